//! What went in comes back: bytes, kinds, link targets, modes and times, whatever else was lost in between.

use std::fs;

use crate::{
    differ::Snapshot,
    sandbox::Sandbox,
    trees::{self, SPECIAL, set_mode},
};

/// A tree with everything in it, archived in the vault `odd`; the smallest part size makes its larger files multipart.
fn archived() -> (Sandbox, Snapshot) {
    let sandbox = Sandbox::new();
    let tree = sandbox.path("tree");
    trees::odd(&tree);
    let before = Snapshot::of(&tree);
    let run = sandbox.ok(["upload", "--create", "odd", "tree", "--part-size", "1MiB"]);
    SPECIAL.iter().fold(run, |run, name| run.says(name));
    (sandbox, before)
}

fn come_back(sandbox: &Sandbox, to: &str, before: &Snapshot) {
    sandbox.ok(["retrieve", "odd", "--to", to]);
    before.assert_same(&Snapshot::of(&sandbox.path(to).join("tree")));
}

#[test]
fn a_tree_of_odd_things_comes_back_after_it_was_wiped() {
    let (sandbox, before) = archived();
    let tree = sandbox.path("tree");
    set_mode(&tree.join("locked"), 0o755);
    set_mode(&tree.join("locked/deeper"), 0o755);
    fs::remove_dir_all(&tree).unwrap();
    sandbox.ok(["retrieve", "odd"]);
    before.assert_same(&Snapshot::of(&tree));
    sandbox.check_store();
}

#[test]
fn a_tree_of_odd_things_comes_back_after_the_catalog_was_lost() {
    let (sandbox, before) = archived();
    let listed = sandbox.listed_paths(["list", "odd"]);
    sandbox.lose_catalog();
    sandbox.ok(["inventory", "refresh", "odd"]);
    assert_eq!(sandbox.listed_paths(["list", "odd"]), listed);
    come_back(&sandbox, "back", &before);
}

#[test]
fn a_tree_of_odd_things_comes_back_after_the_ledger_was_lost() {
    let (sandbox, before) = archived();
    let held = sandbox.holds("odd");
    sandbox.lose_ledger();
    sandbox.fails(1, ["vault", "list"]).says("store rebuild");
    sandbox.ok(["store", "rebuild", "--yes"]);
    sandbox.check_store();
    assert_eq!(sandbox.holds("odd"), held);
    come_back(&sandbox, "back", &before);
}

#[test]
fn a_tree_of_odd_things_comes_back_after_catalog_and_ledger_were_lost() {
    let (sandbox, before) = archived();
    sandbox.lose_catalog();
    sandbox.lose_ledger();
    sandbox.ok(["store", "rebuild", "--yes"]);
    sandbox.ok(["inventory", "refresh", "odd"]);
    come_back(&sandbox, "back", &before);
    // And nothing has to be uploaded again.
    let held = sandbox.holds("odd");
    sandbox.ok(["upload", "odd", "tree"]);
    assert_eq!(sandbox.holds("odd"), held);
}

#[test]
fn the_right_to_act_as_the_owner_does_not_come_back() {
    let sandbox = Sandbox::new();
    sandbox.write("tree/tool", "acts as its owner");
    set_mode(&sandbox.path("tree/tool"), 0o4755);
    sandbox.ok(["upload", "--create", "odd", "tree"]);
    sandbox.ok(["retrieve", "odd", "--to", "back"]);
    use std::os::unix::fs::PermissionsExt as _;
    let mode = sandbox.path("back/tree/tool").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o755, "{mode:o}");
}

#[test]
fn an_empty_folder_alone_is_archived_and_comes_back() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("nothing")).unwrap();
    trees::set_mtime(&sandbox.path("nothing"), 1_000_000_000, 5);
    let before = Snapshot::of(&sandbox.path("nothing"));
    sandbox.ok(["upload", "--create", "odd", "nothing"]);
    sandbox.lose_catalog();
    sandbox.ok(["inventory", "refresh", "odd"]);
    sandbox.ok(["retrieve", "odd", "--to", "back"]);
    before.assert_same(&Snapshot::of(&sandbox.path("back/nothing")));
}
