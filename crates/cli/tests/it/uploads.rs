//! `uploads list|parts|abort`: what a killed upload has left.

use crate::{
    sandbox::Sandbox,
    trees::{big_file, bytes_on_disk},
};

/// A vault `v` with an upload that was killed in the middle.
fn killed() -> (Sandbox, String) {
    let sandbox = Sandbox::new();
    big_file(&sandbox.path("big"), 256 << 20, 9);
    sandbox.ok(["vault", "create", "v"]);
    let mut run =
        sandbox.start(["upload", "v", "big", "--part-size", "4MiB", "--concurrency", "2"]);
    assert!(
        run.until(|| bytes_on_disk(sandbox.store()) > 40 << 20),
        "the upload ended before it was seen"
    );
    assert!(run.kill());
    let uploads = sandbox.json(["uploads", "list", "v"]);
    let [upload] = uploads.as_array().unwrap().as_slice() else {
        panic!("not one upload: {uploads}")
    };
    assert_eq!(upload["part_size"], 4 << 20);
    assert!(upload["description"].as_str().unwrap().contains("big"), "{upload}");
    (sandbox, upload["upload_id"].as_str().unwrap().to_owned())
}

#[test]
fn the_parts_of_an_incomplete_upload_are_listed() {
    let (sandbox, id) = killed();
    let parts = sandbox.json(["uploads", "parts", "v", &id]);
    let parts = parts.as_array().unwrap();
    assert!(parts.len() > 2, "{parts:?}");
    let uploads = sandbox.json(["uploads", "list", "v", "--sizes"]);
    assert_eq!(uploads[0]["received"], (parts.len() as u64) << 22, "{uploads}");
    assert!(uploads[0]["age_seconds"].as_u64().is_some(), "{uploads}");
    assert!(sandbox.json(["uploads", "list", "v"])[0]["received"].is_null());
    for part in parts {
        assert_eq!(part["size"], 4 << 20);
        assert_eq!(part["tree_hash"].as_str().unwrap().len(), 64);
        assert!(part["range"].as_str().unwrap().contains('-'));
    }
}

#[test]
fn an_aborted_upload_gives_its_room_back() {
    let (sandbox, id) = killed();
    sandbox.fails(2, ["uploads", "abort", "v", &id]).says("--yes");
    sandbox.ok(["uploads", "abort", "v", &id, "--yes"]);
    assert_eq!(sandbox.json(["uploads", "list", "v"]).as_array().unwrap().len(), 0);
    assert!(bytes_on_disk(&sandbox.store().join("payload")) < 4 << 20, "the parts are still there");
    sandbox.check_store();
    // And the file can still be uploaded.
    sandbox.ok(["upload", "v", "big"]);
    assert_eq!(sandbox.holds("v").0, 1);
    sandbox.check_store();
}

#[test]
fn uploads_are_aborted_by_their_age() {
    let (sandbox, _) = killed();
    sandbox.ok(["uploads", "abort", "v", "--older-than", "1d", "--yes"]);
    assert_eq!(
        sandbox.json(["uploads", "list", "v"]).as_array().unwrap().len(),
        1,
        "it is younger than a day"
    );
    sandbox.ok(["-n", "uploads", "abort", "v", "--older-than", "0s"]);
    assert_eq!(
        sandbox.json(["uploads", "list", "v"]).as_array().unwrap().len(),
        1,
        "a dry run aborted it"
    );
    sandbox.ok(["uploads", "abort", "v", "--older-than", "0s", "--yes"]);
    assert_eq!(sandbox.json(["uploads", "list", "v"]).as_array().unwrap().len(), 0);
    sandbox.ok(["uploads", "abort", "v", "--all", "--yes"]);
    sandbox.fails(2, ["uploads", "abort", "v"]);
}
