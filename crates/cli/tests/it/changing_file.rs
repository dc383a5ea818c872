//! A file that changes while it is uploaded is named, and no archive of it remains.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::FileExt as _,
    path::Path,
};

use crate::{
    differ::same_bytes,
    sandbox::Sandbox,
    trees::{MIB, big_file, bytes_on_disk},
};

const SIZE: u64 = 192 * MIB;

/// Stops an upload in the middle, changes the file, and lets it go on.
fn changed_in_the_middle(change: impl FnOnce(&Path)) {
    let sandbox = Sandbox::new();
    sandbox.write("tree/quiet", "does not change");
    let big = sandbox.path("tree/moving");
    big_file(&big, SIZE, 3);
    sandbox.ok(["vault", "create", "v"]);

    let mut run =
        sandbox.start(["upload", "v", "tree", "--part-size", "4MiB", "--concurrency", "2"]);
    assert!(
        run.until(|| bytes_on_disk(sandbox.store()) >= SIZE / 8),
        "the upload ended before it was seen"
    );
    run.stop();
    let stored = bytes_on_disk(sandbox.store());
    assert!(
        stored < SIZE * 9 / 10,
        "{stored} bytes were stored before the upload could be stopped"
    );
    change(&big);
    run.go_on();
    run.finish().ended(3).says("tree/moving").says("changed");

    let listed = sandbox.listed_paths(["list", "v"]);
    assert!(!listed.contains(&"tree/moving".to_owned()), "{listed:?}");
    assert!(sandbox.holds("v").1 < MIB, "something of the changed file is in the vault");
    sandbox.check_store();

    // The same command again archives it as it is now.
    sandbox.ok(["upload", "v", "tree"]);
    sandbox.ok(["retrieve", "v", "--to", "back"]);
    assert!(same_bytes(&big, &sandbox.path("back/tree/moving")));
    assert_eq!(sandbox.json(["uploads", "list", "v"]).as_array().unwrap().len(), 0);
}

#[test]
fn a_file_that_grows_is_named_and_not_archived() {
    changed_in_the_middle(|path| {
        File::options().append(true).open(path).unwrap().write_all(b"more").unwrap();
    });
}

#[test]
fn a_file_that_is_rewritten_in_place_is_named_and_not_archived() {
    changed_in_the_middle(|path| {
        let file = File::options().write(true).open(path).unwrap();
        // Once where it has been read already, and once where it has not.
        file.write_all_at(b"new beginning", 0).unwrap();
        file.write_all_at(b"new end", SIZE - 100).unwrap();
    });
}

#[test]
fn a_file_that_shrinks_is_named_and_not_archived() {
    changed_in_the_middle(|path| {
        File::options().write(true).open(path).unwrap().set_len(SIZE / 2).unwrap();
    });
}

#[test]
fn a_file_that_is_replaced_by_another_is_named_and_not_archived() {
    changed_in_the_middle(|path| {
        fs::remove_file(path).unwrap();
        big_file(path, SIZE, 4);
    });
}
