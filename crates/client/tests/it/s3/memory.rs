//! Memory that does not follow the size of what is moved.

use icefield_client::{
    Target as _,
    target::{Body, NewArchive, StorageClass},
};
use icefield_protocol::{ByteRange, PartSize};

use super::{MIB, bytes, new, place, vault};

/// Most memory that a transfer adds: the budget of hashing, and what is on its way.
const MOST_BYTES: u64 = 96 << 20;

/// The peak of this process so far. Each test is a process of its own under nextest; elsewhere the tests before count, which
/// can only make a failure less likely.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[tokio::test]
async fn a_part_is_never_held_whole() {
    const PART: u64 = 512 * MIB;
    let place = place(StorageClass::Standard).await;
    place.bucket.discards.store(true, std::sync::atomic::Ordering::Relaxed);
    let chunk = bytes(1, MIB);
    let part = Body::new(PART, move || {
        let chunk = chunk.clone();
        Box::pin(futures_util::stream::iter((0..PART / MIB).map(move |_| Ok(chunk.clone()))))
    });
    let size = PartSize::new(PART).unwrap();
    let before = peak();
    let new = NewArchive { tree_hash: None, ..new("big", 1) };
    let upload = place.target.initiate_upload(&vault(), size, &new).await.unwrap();
    let range = ByteRange { first: 0, last: PART - 1 };
    place.target.upload_part(&vault(), &upload, range, &part).await.unwrap();
    let added = peak() - before;
    assert!(added < MOST_BYTES, "{} MiB for a part of {} MiB", added >> 20, PART >> 20);
}
