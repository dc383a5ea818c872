//! `retrieve`: what is at the destination already, versions, ranges, single archives.

use std::{fs, os::unix::fs::MetadataExt as _};

use crate::{
    sandbox::Sandbox,
    trees::{self, MIB, noise},
};

fn archived() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("tree/a", "first");
    sandbox.write("tree/large", noise(3 << 20, 1));
    sandbox.ok(["upload", "--create", "v", "tree"]);
    sandbox
}

fn id(sandbox: &Sandbox, path: &str) -> String {
    sandbox.json(["list", "v", path])[0]["archive_id"].as_str().unwrap().to_owned()
}

#[test]
fn what_is_there_and_equal_is_skipped() {
    let sandbox = archived();
    sandbox.ok(["retrieve", "v", "--to", "back"]);
    let inode = sandbox.path("back/tree/large").metadata().unwrap().ino();
    sandbox.ok(["retrieve", "v", "--to", "back"]);
    assert_eq!(sandbox.path("back/tree/large").metadata().unwrap().ino(), inode);
    let jobs = sandbox.json(["job", "list", "v"]);
    assert_eq!(jobs.as_array().unwrap().len(), 2, "a job was started again: {jobs}");
}

#[test]
fn what_is_there_and_different_is_refused_without_overwrite() {
    let sandbox = archived();
    sandbox.write("back/tree/a", "mine");
    sandbox.fails(3, ["retrieve", "v", "--to", "back"]).says("tree/a").says("--overwrite");
    assert_eq!(sandbox.read("back/tree/a"), b"mine");
    assert_eq!(
        sandbox.read("back/tree/large"),
        sandbox.read("tree/large"),
        "the other file still comes"
    );
    sandbox.ok(["retrieve", "v", "--to", "back", "--overwrite"]);
    assert_eq!(sandbox.read("back/tree/a"), b"first");
}

#[test]
fn a_different_file_of_the_same_size_is_refused_too() {
    let sandbox = archived();
    sandbox.write("back/tree/a", "FIRST");
    sandbox.fails(3, ["retrieve", "v", "--to", "back"]).says("tree/a");
    assert_eq!(sandbox.read("back/tree/a"), b"FIRST");
}

#[test]
fn one_file_goes_to_standard_output() {
    let sandbox = archived();
    assert_eq!(
        sandbox.ok(["retrieve", "v", "tree/large", "--to", "-"]).stdout,
        sandbox.read("tree/large")
    );
    let run = sandbox.run(["retrieve", "v", "--to", "-"]);
    assert!(matches!(run.code, Some(1 | 2)), "{run}");
    assert!(run.stdout.is_empty());
    run.says("one file");
}

#[test]
fn an_archive_is_retrieved_by_its_id_and_one_with_a_dash_is_taken_for_an_id() {
    let sandbox = archived();
    let id = id(&sandbox, "tree/a");
    sandbox.ok(["retrieve", "v", "--archive-id", &id, "--to", "back"]);
    assert_eq!(sandbox.read("back/tree/a"), b"first");
    assert_eq!(trees::files(&sandbox.path("back")).len(), 1);
    let foreign = format!("-{}", &id[1..]);
    let run = sandbox.run(["retrieve", "v", "--archive-id", &foreign, "--to", "none"]);
    assert!(matches!(run.code, Some(1 | 3)), "{run}");
    run.says(&foreign);
}

#[test]
fn an_archive_that_the_catalog_does_not_know_is_retrieved_by_its_id() {
    let sandbox = archived();
    let id = id(&sandbox, "tree/a");
    sandbox.lose_catalog();
    assert_eq!(sandbox.ok(["retrieve", "v", "--archive-id", &id, "--to", "-"]).stdout, b"first");
}

#[test]
fn a_range_of_one_file_is_exactly_its_bytes() {
    let sandbox = archived();
    let content = sandbox.read("tree/large");
    let mib = usize::try_from(MIB).unwrap();
    for (first, last) in
        [(mib, 2 * mib - 1), (10, 20), (0, 0), (mib - 1, mib), (3 * mib - 1, 3 * mib - 1)]
    {
        let range = format!("{first}-{last}");
        let run = sandbox.ok(["retrieve", "v", "tree/large", "--range", &range, "--to", "-"]);
        assert!(run.stdout == content[first..=last], "{range}: {} bytes came", run.stdout.len());
    }
    let run = sandbox.run(["retrieve", "v", "tree/large", "--range", "0-99999999", "--to", "-"]);
    assert!(matches!(run.code, Some(1..=3)), "{run}");
    let run = sandbox.run(["retrieve", "v", "--range", "0-1", "--to", "back"]);
    assert!(matches!(run.code, Some(1 | 2)), "a range of two files: {run}");
}

#[test]
fn the_newest_version_comes_and_an_older_one_by_its_time() {
    let sandbox = archived();
    let first = sandbox.json(["list", "v", "tree/a"])[0]["uploaded"].as_str().unwrap().to_owned();
    sandbox.write("tree/a", "second, and longer");
    sandbox.ok(["upload", "v", "tree"]);
    assert_eq!(sandbox.json(["list", "v", "tree/a", "--versions"]).as_array().unwrap().len(), 2);
    assert_eq!(sandbox.ok(["retrieve", "v", "tree/a", "--to", "-"]).stdout, b"second, and longer");
    assert_eq!(
        sandbox.ok(["retrieve", "v", "tree/a", "--as-of", &first, "--to", "-"]).stdout,
        b"first"
    );
    let run = sandbox.run(["retrieve", "v", "tree/a", "--as-of", "2001-01-01", "--to", "-"]);
    assert_eq!(run.code, Some(1), "{run}");
}

#[test]
fn without_waiting_the_embedded_store_is_ready_at_once_or_later() {
    let sandbox = archived();
    let run = sandbox.run(["retrieve", "v", "--to", "back", "--no-wait"]);
    assert!(matches!(run.code, Some(0 | 75)), "{run}");
    sandbox.ok(["retrieve", "v", "--to", "back", "--no-wait"]);
    assert_eq!(sandbox.read("back/tree/large"), sandbox.read("tree/large"));
}

#[test]
fn a_dry_run_retrieves_nothing() {
    let sandbox = archived();
    let run = sandbox.ok(["-n", "retrieve", "v", "--to", "back"]);
    assert!(run.stderr.contains("2 files"), "{run}");
    assert!(!sandbox.path("back").exists());
    assert_eq!(sandbox.ok(["job", "list", "v"]).text(), "");
}

#[test]
fn it_resumes_after_a_file_of_the_destination_was_lost() {
    let sandbox = archived();
    sandbox.ok(["retrieve", "v", "--to", "back"]);
    fs::remove_file(sandbox.path("back/tree/a")).unwrap();
    let run = sandbox.ok(["retrieve", "v", "--to", "back", "--output", "json"]);
    let retrieved = run
        .json()
        .as_array()
        .unwrap()
        .iter()
        .filter(|record| record["status"] == "retrieved")
        .count();
    assert_eq!(retrieved, 1, "{run}");
    assert_eq!(sandbox.read("back/tree/a"), b"first");
}

#[test]
fn every_tier_is_taken_and_others_are_wrong_usage() {
    let sandbox = archived();
    for tier in ["expedited", "standard", "bulk"] {
        sandbox.ok(["retrieve", "v", "tree/a", "--tier", tier, "--to", tier]);
    }
    sandbox.fails(2, ["retrieve", "v", "--tier", "fast"]).says("expedited");
}
