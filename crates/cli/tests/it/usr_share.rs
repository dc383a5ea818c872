//! The real thing: this machine's own `/usr/share`, tens of thousands of files that nobody wrote for a test.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt as _, fs::symlink},
    path::Path,
};

use rustix::fs::{CWD, Mode, mkfifoat};

use crate::{differ::Snapshot, sandbox::Sandbox, trees};

const SHARE: &str = "/usr/share";

/// What `/usr/share` lacks.
fn additions(root: &Path) {
    fs::create_dir_all(root.join("empty/folder")).unwrap();
    fs::write(root.join("empty/file"), "").unwrap();
    symlink("nowhere", root.join("dangling")).unwrap();
    symlink("round", root.join("round")).unwrap();
    fs::write(root.join(OsStr::from_bytes(b"caf\xe9")), "not UTF-8").unwrap();
    fs::write(root.join("-rf"), "a leading dash").unwrap();
    mkfifoat(CWD, root.join("pipe"), Mode::from_raw_mode(0o600)).unwrap();
    trees::set_mtime(&root.join("dangling"), 1_000_000_000, 1);
    trees::set_mtime(&root.join("empty/folder"), 1_000_000_000, 2);
}

/// One test, so that the upload is done once. Diff says the same as the snapshots, and is what a reader believes.
#[test]
fn usr_share_comes_back_whatever_else_is_lost() {
    let sandbox = Sandbox::new();
    additions(&sandbox.path("additions"));
    let before = Snapshot::of(Path::new(SHARE));
    let added = Snapshot::of(&sandbox.path("additions"));

    let run = sandbox.ok(["upload", "--create", "share", SHARE, "additions"]);
    run.says("pipe");
    let held = sandbox.holds("share");
    sandbox.check_store();

    let comes_back = || {
        sandbox.ok(["retrieve", "share", "--to", "back"]);
        diff(&sandbox, SHARE, "back/share", "");
        diff(&sandbox, "additions", "back/additions", "Only in additions: pipe\n");
        before.assert_same(&Snapshot::of(&sandbox.path("back/share")));
        added.assert_same(&Snapshot::of(&sandbox.path("back/additions")));
        fs::remove_dir_all(sandbox.path("back")).unwrap();
    };
    comes_back();

    sandbox.lose_catalog();
    sandbox.ok(["inventory", "refresh", "share"]);
    comes_back();

    sandbox.lose_ledger();
    sandbox.ok(["store", "rebuild", "--yes"]);
    comes_back();

    sandbox.ok(["upload", "share", SHARE, "additions"]);
    assert_eq!(sandbox.holds("share"), held, "an unchanged tree was uploaded again");
    sandbox.check_store();
}

fn diff(sandbox: &Sandbox, one: &str, other: &str, differences: &str) {
    let output =
        sandbox.prepare("diff").args(["-r", "--no-dereference", one, other]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), differences);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
