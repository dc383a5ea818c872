//! `verify` and `status`.

use crate::{
    sandbox::Sandbox,
    trees::{self, set_mtime},
};

fn archived() -> Sandbox {
    let sandbox = Sandbox::new();
    trees::odd(&sandbox.path("tree"));
    sandbox.ok(["upload", "--create", "v", "tree"]);
    sandbox
}

#[test]
fn an_unchanged_tree_verifies() {
    let sandbox = archived();
    sandbox.ok(["verify", "v", "tree"]);
    sandbox.ok(["verify", "v"]);
    assert_eq!(
        sandbox
            .ok(["job", "list", "v", "--output", "json"])
            .json()
            .as_array()
            .map(|jobs| { jobs.iter().filter(|job| job["action"] == "archive-retrieval").count() }),
        Some(0),
        "something was retrieved"
    );
}

#[test]
fn every_difference_is_named() {
    use std::os::unix::fs::MetadataExt as _;
    let sandbox = archived();
    sandbox.write("tree/empty", "no more");
    sandbox.write("tree/never archived", "new");
    std::fs::remove_file(sandbox.path("tree/a b")).unwrap();
    std::fs::remove_file(sandbox.path("tree/dangling")).unwrap();
    std::os::unix::fs::symlink("elsewhere", sandbox.path("tree/dangling")).unwrap();
    // Another content under the same size and time.
    let private = sandbox.path("tree/private");
    let before = private.metadata().unwrap();
    sandbox.write("tree/private", "PRIVATE");
    set_mtime(&private, before.mtime(), u32::try_from(before.mtime_nsec()).unwrap());
    let run = sandbox.fails(3, ["verify", "v", "tree", "--output", "json"]);
    let named = crate::sandbox::paths(&run.json());
    for path in ["tree/empty", "tree/never archived", "tree/a b", "tree/dangling", "tree/private"] {
        assert!(named.iter().any(|name| name == path), "{path} is not in {named:?}");
    }
}

#[test]
fn status_tells_of_an_upload_that_was_killed() {
    let sandbox = Sandbox::new();
    trees::big_file(&sandbox.path("big"), 256 << 20, 8);
    sandbox.ok(["vault", "create", "v"]);
    let nothing = sandbox.json(["status"]);
    assert_eq!(nothing.as_array().map(Vec::len), Some(0), "{nothing}");
    let mut run =
        sandbox.start(["upload", "v", "big", "--part-size", "4MiB", "--concurrency", "2"]);
    assert!(
        run.until(|| trees::bytes_on_disk(sandbox.store()) > 40 << 20),
        "the upload ended before it was seen"
    );
    assert!(run.kill());
    let pending = sandbox.json(["status"]);
    assert!(pending.to_string().contains("big"), "{pending}");
    sandbox.ok(["upload", "v", "big"]);
    assert_eq!(sandbox.json(["status"]).as_array().map(Vec::len), Some(0));
}
