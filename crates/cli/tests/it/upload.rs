//! What `upload` calls things, and where it takes them from.

use std::{fs, os::unix::fs::symlink};

use serde_json::Value;

use crate::{
    sandbox::{OVERHEAD, Sandbox, paths},
    trees::{self, noise},
};

/// Paths of the files in the vault, without folders.
fn files(sandbox: &Sandbox, vault: &str) -> Vec<String> {
    let files = sandbox.list(vault).into_iter().filter(|record| record["kind"] == "file").collect();
    paths(&Value::Array(files))
}

#[test]
fn paths_are_relative_to_the_parent_of_the_argument() {
    let sandbox = Sandbox::new();
    sandbox.write("Pictures/2024/a.fit", "a");
    let absolute = sandbox.path("Pictures").into_os_string().into_string().unwrap();
    for (vault, argument) in
        [("a", "Pictures"), ("b", "Pictures/"), ("c", "./Pictures"), ("d", &absolute)]
    {
        sandbox.ok(["upload", "--create", vault, argument]);
        assert_eq!(files(&sandbox, vault), ["Pictures/2024/a.fit"], "{argument}");
    }
    sandbox.ok(["upload", "--create", "e", "Pictures/2024"]);
    assert_eq!(files(&sandbox, "e"), ["2024/a.fit"]);
    sandbox.ok(["upload", "--create", "f", "Pictures/2024/a.fit"]);
    assert_eq!(files(&sandbox, "f"), ["a.fit"]);
    let mut command = sandbox.command(["upload", "--create", "g", "."]);
    command.current_dir(sandbox.path("Pictures"));
    crate::process::Watched::start(command).finish().ended(0);
    assert_eq!(files(&sandbox, "g"), ["Pictures/2024/a.fit"]);
}

#[test]
fn a_prefix_puts_everything_below_it() {
    let sandbox = Sandbox::new();
    sandbox.write("tree/a", "a");
    sandbox.ok(["upload", "--create", "v", "tree", "--prefix", "nas/2024"]);
    assert_eq!(files(&sandbox, "v"), ["nas/2024/tree/a"]);
    sandbox.ok(["retrieve", "v", "--to", "back"]);
    assert_eq!(sandbox.read("back/nas/2024/tree/a"), b"a");
    let run = sandbox.run(["upload", "v", "tree", "--prefix", "../up"]);
    assert!(matches!(run.code, Some(1 | 2)), "{run}");
}

#[test]
fn an_argument_that_is_a_link_is_followed_and_links_inside_are_kept() {
    let sandbox = Sandbox::new();
    sandbox.write("real/a", "a");
    symlink("a", sandbox.path("real/inside")).unwrap();
    symlink("real", sandbox.path("alias")).unwrap();
    sandbox.ok(["upload", "--create", "v", "alias"]);
    sandbox.ok(["retrieve", "v", "--to", "back"]);
    assert_eq!(sandbox.read("back/alias/a"), b"a");
    assert!(sandbox.path("back/alias").symlink_metadata().unwrap().is_dir());
    assert_eq!(fs::read_link(sandbox.path("back/alias/inside")).unwrap().to_str(), Some("a"));
}

#[test]
fn standard_input_is_archived_under_the_given_name() {
    let sandbox = Sandbox::new();
    let content = noise(5 << 20, 9);
    sandbox
        .run_with_input(
            &content,
            ["upload", "--create", "v", "-", "--name", "dumps/db.tar", "--part-size", "1MiB"],
        )
        .ended(0);
    let listed = sandbox.json(["list", "v", "dumps/db.tar"]);
    assert_eq!(listed[0]["size"], 5 << 20);
    assert_eq!(sandbox.ok(["retrieve", "v", "dumps/db.tar", "--to", "-"]).stdout, content);
    sandbox.run_with_input(b"", ["upload", "v", "-", "--name", "nothing"]).ended(0);
    assert_eq!(sandbox.ok(["retrieve", "v", "nothing", "--to", "-"]).stdout, b"");
}

#[test]
fn part_size_is_kept_and_small_files_go_in_one_request() {
    let sandbox = Sandbox::new();
    sandbox.write("large", noise((5 << 20) + 1, 1));
    sandbox.write("small", "s");
    let records = sandbox.json([
        "upload",
        "--create",
        "v",
        "large",
        "small",
        "--part-size",
        "2MiB",
        "--concurrency",
        "3",
    ]);
    let parts = |path: &str| {
        let record =
            records.as_array().unwrap().iter().find(|record| record["path"] == path).unwrap();
        record["parts"].as_u64().unwrap_or(0)
    };
    assert_eq!(parts("large"), 3);
    assert!(parts("small") <= 1);
}

#[test]
fn a_description_is_sent_verbatim() {
    let sandbox = Sandbox::new();
    sandbox.write("tape.tar", "t");
    let description = "backup of  2015-06-17 \"images\" <main>";
    sandbox.ok(["upload", "--create", "v", "tape.tar", "--description", description]);
    assert_eq!(sandbox.list("v")[0]["description"], description);
    sandbox.lose_catalog();
    sandbox.ok(["inventory", "refresh", "v"]);
    assert_eq!(sandbox.list("v")[0]["description"], description);
}

#[test]
fn a_dry_run_changes_nothing_at_all() {
    let sandbox = Sandbox::new();
    sandbox.write("tree/a", "a");
    let run = sandbox.ok(["-n", "upload", "--create", "v", "tree"]);
    assert!(format!("{}{}", run.text(), run.stderr).contains("tree/a"), "{run}");
    assert!(!sandbox.store().exists(), "a dry run made a store");
    sandbox.ok(["upload", "--create", "v", "tree"]);
    let held = sandbox.holds("v");
    sandbox.write("tree/b", "b");
    let files = trees::files(sandbox.store());
    let run = sandbox.ok(["upload", "v", "tree", "--dry-run"]);
    assert!(format!("{}{}", run.text(), run.stderr).contains("tree/b"), "{run}");
    assert_eq!(sandbox.holds("v"), held);
    assert_eq!(trees::files(sandbox.store()), files);
}

#[test]
fn the_inventory_file_grows_to_a_complete_list_over_repeated_runs() {
    let sandbox = Sandbox::new();
    sandbox.write("tree/a", "a");
    sandbox.ok(["upload", "--create", "v", "tree", "--inventory", "out.csv"]);
    sandbox.write("tree/b", "b");
    sandbox.ok(["upload", "v", "tree", "--inventory", "out.csv"]);
    let text = String::from_utf8(sandbox.read("out.csv")).unwrap();
    assert!(
        text.starts_with("FilePath,ArchiveId,Checksum,Size,Modified,Mode,Uploaded,Vault"),
        "{text}"
    );
    for path in ["tree/a", "tree/b"] {
        assert!(text.lines().any(|line| line.starts_with(path)), "{path} is not in\n{text}");
    }
    assert_eq!(text.matches("FilePath,").count(), 1, "{text}");
    sandbox.ok(["retrieve", "v", "--from", "out.csv", "--to", "back"]);
    assert_eq!(sandbox.read("back/tree/b"), b"b");
}

#[test]
fn an_estimate_is_told_before_and_the_rate_after() {
    let sandbox = Sandbox::new();
    sandbox.write("big", noise(4 << 20, 1));
    let run = sandbox.ok(["upload", "--create", "v", "big", "--estimate-rate", "11.33"]);
    run.says("11.33").says("Mbit/s");
}

#[test]
fn a_limited_rate_still_moves_everything() {
    let sandbox = Sandbox::new();
    sandbox.write("big", noise(2 << 20, 1));
    sandbox.ok(["upload", "--create", "v", "big", "--limit-rate", "16MiB"]);
    sandbox.ok(["retrieve", "v", "--to", "back"]);
    assert_eq!(sandbox.read("back/big"), sandbox.read("big"));
    sandbox.fails(2, ["upload", "v", "big", "--limit-rate", "fast"]);
}

#[test]
fn files_from_two_runs_at_once_are_archived_once() {
    let sandbox = Sandbox::new();
    trees::many(&sandbox.path("tree"), 300);
    sandbox.ok(["vault", "create", "v"]);
    let runs: Vec<_> = (0..2).map(|_| sandbox.start(["upload", "v", "tree"])).collect();
    for run in runs {
        run.finish().ended(0);
    }
    let (archives, _) = sandbox.holds("v");
    assert!(archives <= 302, "{archives} archives of 300 files");
    sandbox.check_store();
}

#[test]
fn an_interrupt_keeps_what_was_done() {
    let sandbox = Sandbox::new();
    trees::big_file(&sandbox.path("big"), 256 << 20, 6);
    sandbox.ok(["vault", "create", "v"]);
    let mut run =
        sandbox.start(["upload", "v", "big", "--part-size", "4MiB", "--concurrency", "2"]);
    assert!(
        run.until(|| trees::bytes_on_disk(sandbox.store()) > 40 << 20),
        "the upload ended before it was seen"
    );
    run.signal(rustix::process::Signal::INT);
    run.finish().ended(130).says("same command again");
    sandbox.ok(["upload", "v", "big"]);
    assert_eq!(sandbox.holds("v"), (1, (256 << 20) + OVERHEAD));
    sandbox.check_store();
}
