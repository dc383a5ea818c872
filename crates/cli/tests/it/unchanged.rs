//! The second upload of a tree sends what is new or changed, and nothing else.

use std::{collections::BTreeSet, fs, os::unix::fs::MetadataExt as _};

use serde_json::Value;

use crate::{
    sandbox::{Run, Sandbox},
    trees::{self, set_mtime},
};

/// A tree of 30 files in folders, uploaded once to the vault `v`.
fn uploaded() -> Sandbox {
    let sandbox = Sandbox::new();
    trees::many(&sandbox.path("tree"), 30);
    sandbox.write("tree/empty", "");
    sandbox.write("tree/large", trees::noise(3 << 20, 1));
    sandbox.ok(["upload", "--create", "v", "tree"]);
    sandbox
}

/// Paths of the archives that a run uploaded.
fn uploads(run: &Run) -> BTreeSet<String> {
    let records = run.json();
    let archives =
        records.as_array().unwrap().iter().filter(|record| !record["archive_id"].is_null());
    archives.map(|record| record["path"].as_str().unwrap().to_owned()).collect()
}

fn upload(sandbox: &Sandbox, options: &[&str]) -> Run {
    sandbox.ok([&["upload", "v", "tree", "--output", "json"], options].concat())
}

fn row(sandbox: &Sandbox, path: &str) -> Value {
    let rows = sandbox.list("v");
    rows.into_iter()
        .find(|row| row["path"] == path)
        .unwrap_or_else(|| panic!("{path} is not listed"))
}

#[test]
fn a_second_upload_moves_no_bytes_and_says_so() {
    let sandbox = uploaded();
    let held = sandbox.holds("v");
    let files = trees::files(sandbox.store());
    let run = upload(&sandbox, &[]);
    assert_eq!(uploads(&run), BTreeSet::new());
    run.says("no bytes").says("unchanged");
    assert_eq!(sandbox.holds("v"), held);
    assert_eq!(trees::files(sandbox.store()), files);
}

#[test]
fn three_changed_files_are_exactly_what_is_uploaded() {
    let sandbox = uploaded();
    let changed = ["tree/0000/000003.dat", "tree/0000/000017.dat", "tree/large"];
    for path in changed {
        let mut content = sandbox.read(path);
        content.extend_from_slice(b"more");
        sandbox.write(path, content);
    }
    let run = upload(&sandbox, &[]);
    assert_eq!(uploads(&run), changed.map(str::to_owned).into());
    assert_eq!(sandbox.holds("v").0, 31 + 1 + 3, "{run}");
    sandbox.ok(["retrieve", "v", "--to", "back"]);
    for path in changed {
        assert_eq!(sandbox.read(path), sandbox.read(format!("back/{path}")));
    }
}

#[test]
fn a_changed_byte_is_noticed_where_size_and_name_stay() {
    let sandbox = uploaded();
    let path = "tree/0000/000005.dat";
    let mut content = sandbox.read(path);
    content[0] ^= 1;
    sandbox.write(path, content);
    // Were the clock too coarse, the change could not be seen.
    set_mtime(&sandbox.path(path), 1_800_000_000, 0);
    assert_eq!(uploads(&upload(&sandbox, &[])), [path.to_owned()].into());
}

#[test]
fn touched_files_are_not_uploaded_but_their_times_are_recorded() {
    let sandbox = uploaded();
    let held = sandbox.holds("v");
    let touched = ["tree/0000/000001.dat", "tree/large"];
    for path in touched {
        set_mtime(&sandbox.path(path), 1_750_000_000, 250_000_000);
    }
    let run = upload(&sandbox, &[]);
    assert_eq!(uploads(&run), BTreeSet::new(), "{run}");
    assert_eq!(sandbox.holds("v"), held);
    for path in touched {
        let modified = row(&sandbox, path)["modified"].as_str().unwrap().to_owned();
        assert!(modified.starts_with("2025-06-15T15:06:40"), "{path}: {modified}");
    }
    sandbox.ok(["retrieve", "v", "--to", "back"]);
    for path in touched {
        let back = sandbox.path("back").join(path).metadata().unwrap();
        assert_eq!((back.mtime(), back.mtime_nsec()), (1_750_000_000, 250_000_000), "{path}");
    }
}

#[test]
fn checksum_finds_what_size_and_time_hide() {
    let sandbox = uploaded();
    let path = "tree/0000/000007.dat";
    let before = sandbox.path(path).metadata().unwrap();
    let mut content = sandbox.read(path);
    content[10] ^= 0xff;
    sandbox.write(path, content);
    set_mtime(&sandbox.path(path), before.mtime(), u32::try_from(before.mtime_nsec()).unwrap());
    assert_eq!(uploads(&upload(&sandbox, &[])), BTreeSet::new());
    assert_eq!(uploads(&upload(&sandbox, &["--checksum"])), [path.to_owned()].into());
    assert_eq!(uploads(&upload(&sandbox, &["--checksum"])), BTreeSet::new());
}

#[test]
fn force_sends_everything_again_as_new_versions() {
    let sandbox = uploaded();
    assert_eq!(uploads(&upload(&sandbox, &["--force"])).len(), 31);
    let versions = sandbox.json(["list", "v", "tree/large", "--versions"]);
    assert_eq!(versions.as_array().unwrap().len(), 2);
    assert_eq!(sandbox.json(["list", "v", "tree/large"]).as_array().unwrap().len(), 1);
}

#[test]
fn what_vanished_from_the_disk_stays_in_the_vault() {
    let sandbox = uploaded();
    fs::remove_dir_all(sandbox.path("tree/0000")).unwrap();
    upload(&sandbox, &[]);
    sandbox.ok(["retrieve", "v", "tree/0000", "--to", "back"]);
    assert_eq!(trees::files(&sandbox.path("back")).len(), 30);
}

#[test]
fn new_empty_files_and_folders_are_found_by_the_second_upload() {
    let sandbox = uploaded();
    sandbox.write("tree/also empty", "");
    fs::create_dir(sandbox.path("tree/new folder")).unwrap();
    std::os::unix::fs::symlink("large", sandbox.path("tree/link")).unwrap();
    upload(&sandbox, &[]);
    sandbox.lose_catalog();
    sandbox.ok(["inventory", "refresh", "v"]);
    sandbox.ok(["retrieve", "v", "--to", "back"]);
    crate::differ::Snapshot::of(&sandbox.path("tree"))
        .assert_same(&crate::differ::Snapshot::of(&sandbox.path("back/tree")));
}
