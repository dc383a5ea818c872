//! What an ordinary user may not read is named and left out. Root may read everything, so root steps down for this.

use std::{fs, process::Stdio};

use crate::{
    differ::Snapshot,
    sandbox::{Sandbox, binary, is_root, skip},
    trees::{self, set_mode},
};

const NOBODY: u32 = 65534;

/// Gives the sandbox to an ordinary user who can reach the program.
fn ordinary(sandbox: Sandbox) -> Option<Sandbox> {
    if !is_root() {
        return Some(sandbox);
    }
    let sandbox = sandbox.owned_by(NOBODY);
    let mut reaches = sandbox.prepare(binary());
    if reaches.arg("--version").stdout(Stdio::null()).status().is_ok() {
        return Some(sandbox);
    }
    skip(
        "an ordinary user cannot reach the program; put the target folder where everybody may look",
    );
    None
}

#[test]
fn an_unreadable_file_or_folder_is_named_and_the_others_go() {
    let sandbox = Sandbox::new();
    sandbox.write("tree/open", "open");
    sandbox.write("tree/secret", "secret");
    sandbox.write("tree/closed/inside", "inside");
    set_mode(&sandbox.path("tree/secret"), 0o000);
    set_mode(&sandbox.path("tree/closed"), 0o000);
    let Some(sandbox) = ordinary(sandbox) else { return };
    let run = sandbox.fails(3, ["upload", "--create", "v", "tree"]);
    run.says("tree/secret").says("tree/closed").says("permission denied");
    let listed = sandbox.listed_paths(["list", "v"]);
    assert!(listed.contains(&"tree/open".to_owned()), "{listed:?}");
    assert!(!listed.contains(&"tree/secret".to_owned()), "{listed:?}");

    set_mode(&sandbox.path("tree/secret"), 0o600);
    set_mode(&sandbox.path("tree/closed"), 0o700);
    sandbox.ok(["upload", "v", "tree"]);
    sandbox.ok(["retrieve", "v", "--to", "back"]);
    Snapshot::of(&sandbox.path("tree")).assert_same(&Snapshot::of(&sandbox.path("back/tree")));
}

#[test]
fn read_only_folders_come_back_for_an_ordinary_user() {
    let sandbox = Sandbox::new();
    trees::odd(&sandbox.path("tree"));
    let Some(sandbox) = ordinary(sandbox) else { return };
    let before = Snapshot::of(&sandbox.path("tree"));
    sandbox.ok(["upload", "--create", "v", "tree"]);
    sandbox.ok(["retrieve", "v", "--to", "back"]);
    before.assert_same(&Snapshot::of(&sandbox.path("back/tree")));
    // A second retrieval has nothing to do, in read-only folders too.
    sandbox.ok(["retrieve", "v", "--to", "back"]);
    before.assert_same(&Snapshot::of(&sandbox.path("back/tree")));
}

#[test]
fn a_destination_that_cannot_be_written_is_named() {
    let sandbox = Sandbox::new();
    sandbox.write("tree/file", "content");
    fs::create_dir(sandbox.path("back")).unwrap();
    set_mode(&sandbox.path("back"), 0o555);
    let Some(sandbox) = ordinary(sandbox) else { return };
    sandbox.ok(["upload", "--create", "v", "tree"]);
    let run = sandbox.run(["retrieve", "v", "--to", "back"]);
    assert!(matches!(run.code, Some(1 | 3)), "{run}");
    run.says("permission denied");
}

#[test]
fn the_keys_of_a_store_are_not_for_everybodys_eyes() {
    use std::os::unix::fs::PermissionsExt as _;
    let sandbox = Sandbox::new();
    sandbox.write("file", "content");
    sandbox.ok(["upload", "--create", "v", "file"]);
    let mode = sandbox.store().join("keys.json").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
}

#[test]
fn a_store_that_cannot_be_written_is_named() {
    let sandbox = Sandbox::new();
    sandbox.write("file", "content");
    sandbox.ok(["upload", "--create", "v", "file"]);
    set_mode(&sandbox.store().join("lock"), 0o444);
    let Some(sandbox) = ordinary(sandbox) else { return };
    let run = sandbox.run(["upload", "v", "file"]);
    assert_eq!(run.code, Some(1), "{run}");
    run.says("the store's folder cannot be written").says("permission denied");
}
