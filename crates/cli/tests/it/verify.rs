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

/// Another machine has deleted an archive, and the catalog here does not know.
#[test]
fn a_file_whose_archive_is_gone_is_told_after_a_refresh() {
    let sandbox = Sandbox::new();
    sandbox.write("tree/stays", "stays");
    sandbox.write("tree/goes", "goes");
    sandbox.ok(["upload", "--create", "v", "tree"]);
    let record = &sandbox.json(["list", "v", "tree/goes"])[0];
    let elsewhere = Sandbox::new().with_store(sandbox.store().to_owned());
    let id = record["archive_id"].as_str().unwrap();
    elsewhere.ok(["delete", "v", "--archive-id", id, "--yes"]);

    sandbox
        .ok(["verify", "v", "tree"])
        .says("no inventory of the vault was ever read")
        .says("--refresh");
    let differ = |arguments: &[&str]| {
        let run = sandbox.fails(3, [arguments, &["--output", "json"]].concat());
        let record = run.json()[0].clone();
        assert_eq!(
            (&record["path"], &record["difference"]),
            (&"tree/goes".into(), &"not-in-vault".into())
        );
        assert!(record["why"].as_str().unwrap().starts_with("not in the vault"), "{record}");
        run
    };
    // Of an archive made in the second of the inventory nobody can tell.
    let older = "UPDATE entry SET since = since - 5000";
    rusqlite::Connection::open(sandbox.catalog()).unwrap().execute(older, []).unwrap();
    differ(&["verify", "v", "tree", "--refresh"]).says("the inventory is of");
    differ(&["verify", "v", "tree"]).says("the last inventory that was read is of");
    differ(&["verify", "v", "tree/goes"]);
    // And is cured by what one would do.
    sandbox.ok(["upload", "v", "tree"]);
    sandbox.ok(["verify", "v", "tree", "--refresh"]);
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
