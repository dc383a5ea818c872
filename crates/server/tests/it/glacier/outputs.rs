//! Outputs of jobs.

use std::{fs, sync::Arc};

use icefield_store::{ManualClock, OpenOptions, Store};
use serde_json::json;

use super::world::{MIB, START, World, bytes, engine_settings, server_settings};

#[tokio::test]
async fn an_output_is_sent_whole_or_by_ranges_of_exact_length() {
    let world = World::new().await;
    world.create_vault("photos").await;
    let body = bytes(5 * MIB + 9);
    let archive = world.upload("photos", &body).await;
    let job = world.job("photos", json!({"Type": "archive-retrieval", "ArchiveId": archive})).await;
    let ask = world.ask("GET", &format!("/-/vaults/photos/jobs/{job}/output"));
    let whole = ask.send().await;
    assert_eq!(whole.status, 200);
    assert_eq!(
        (whole.header("content-range"), whole.told("accept-ranges")),
        (None, "bytes".into())
    );
    assert!(whole.body == body && whole.header("x-amz-sha256-tree-hash").is_some());
    let end = body.len() - 1;
    for (range, first, last, hashed) in [
        (format!("bytes=0-{end}"), 0, end, true),
        ("bytes=0-".to_owned(), 0, end, true),
        ("bytes=4194304-8388607".to_owned(), 4 * MIB, end, true),
        ("bytes=1048576-2097151".to_owned(), MIB, 2 * MIB - 1, true),
        ("bytes=1048576-3145727".to_owned(), MIB, 3 * MIB - 1, false),
        ("bytes=-3".to_owned(), end - 2, end, false),
        ("bytes=7-7".to_owned(), 7, 7, false),
    ] {
        let part = ask.clone().header("range", &range).send().await;
        assert_eq!(part.status, 206, "{range}");
        assert_eq!(part.told("content-range"), format!("bytes {first}-{last}/{}", body.len()));
        assert_eq!(part.told("content-length"), part.body.len().to_string());
        assert!(part.body == body[first..=last], "{range}");
        assert_eq!(part.header("x-amz-sha256-tree-hash").is_some(), hashed, "{range}");
    }
    for range in ["bytes=5242889-", "bytes=9-8", "bytes=0-1,4-5", "lines=1-2", "bytes"] {
        let (status, code, _) = ask.clone().header("range", range).send().await.refusal();
        assert_eq!((status, code.as_str()), (400, "InvalidParameterValueException"), "{range}");
    }
}

#[tokio::test]
async fn an_inventory_has_its_own_type_and_no_hash() {
    let world = World::new().await;
    world.create_vault("photos").await;
    world.upload("photos", b"x").await;
    for (format, content_type) in [("JSON", "application/json"), ("CSV", "text/csv")] {
        let request = json!({"Type": "inventory-retrieval", "Format": format});
        let job = world.job("photos", request).await;
        let output = world.send("GET", &format!("/-/vaults/photos/jobs/{job}/output")).await;
        assert_eq!((output.status, output.told("content-type").as_str()), (200, content_type));
        assert_eq!(output.header("x-amz-sha256-tree-hash"), None);
        assert_eq!(output.told("content-length"), output.body.len().to_string());
    }
}

/// The head is on its way when the damage is found; a connection that ends too early is all that can be said then.
#[tokio::test]
async fn damage_midway_cuts_the_connection() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(START));
    let options = OpenOptions {
        create: true,
        clock: Arc::<ManualClock>::clone(&clock),
        ..OpenOptions::default()
    };
    let store = Store::open(&folder.path().join("store"), options).await.unwrap();
    let world = World::over(store, clock, engine_settings(), server_settings(), Vec::new()).await;
    world.create_vault("photos").await;
    let body = bytes(4 * MIB);
    let archive = world.upload("photos", &body).await;
    let job = world.job("photos", json!({"Type": "archive-retrieval", "ArchiveId": archive})).await;
    let damaged = damage(folder.path(), &body);
    assert_eq!(damaged, 1, "the archive lies in one file");
    let target = format!("/-/vaults/photos/jobs/{job}/output");
    let output = world.send("GET", &target).await;
    assert_eq!((output.status, output.told("content-length")), (200, body.len().to_string()));
    assert!(output.body.len() <= 3 * MIB, "nothing of the damaged MiB is sent");
    assert!(output.body == body[..output.body.len()]);
}

/// Flips a bit in the last MiB of the file that holds these bytes.
fn damage(folder: &std::path::Path, bytes: &[u8]) -> usize {
    let mut damaged = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            damaged += damage(&path, bytes);
        } else if fs::read(&path).is_ok_and(|found| found == bytes) {
            let mut changed = bytes.to_vec();
            changed[3 * MIB + 5] ^= 1;
            fs::write(&path, changed).unwrap();
            damaged += 1;
        }
    }
    damaged
}
