//! The disk backend on a real folder and on a simulated volume.

use std::{num::NonZeroUsize, sync::Arc};

use icefield_treehash::{HashPool, TreeHash};

use super::{
    DiskPayload, PACK_BYTES,
    fenced::Disk,
    simulated::{Remains, SimulatedVolume},
    volume::{Folder, Volume},
};
use crate::{
    entry::Content,
    error::StoreError,
    payload::{
        LogPosition, Payload, Replayed,
        contract::{archive, hash, id, pattern, read_file, replay, suite, vault, write_file},
    },
};

fn pool() -> HashPool {
    HashPool::new(NonZeroUsize::MIN)
}

fn on(volume: impl Volume, pack_bytes: u64) -> DiskPayload {
    let disk = Arc::new(Disk::new(Arc::new(volume)));
    DiskPayload::create_layout(&disk).unwrap();
    DiskPayload::new(disk, pool(), pack_bytes)
}

/// The packs' damage as a reader that does not repair sees it.
async fn damage(payload: &DiskPayload) -> Vec<String> {
    let mut found = Vec::new();
    let mut at = LogPosition::default();
    loop {
        let page = payload.replay(at, false).await.unwrap();
        found.extend(page.items.iter().filter_map(|item| match item {
            Replayed::Damaged(damage) => Some(damage.to_string()),
            Replayed::Record(..) => None,
        }));
        at = page.next;
        if page.last {
            return found;
        }
    }
}

#[tokio::test]
async fn a_folder_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    suite(&on(Folder::new(dir.path()), PACK_BYTES)).await;
}

#[tokio::test]
async fn a_folder_with_small_packs_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    suite(&on(Folder::new(dir.path()), 1)).await;
}

#[tokio::test]
async fn the_simulated_volume_keeps_the_contract() {
    suite(&on(SimulatedVolume::new(), 10_000)).await;
}

#[tokio::test]
async fn a_record_in_the_body_of_a_damaged_record_is_not_taken_for_one() {
    let volume = SimulatedVolume::new();
    let payload = on(volume.clone(), PACK_BYTES);
    payload.append(vec![vault(1)]).await.unwrap();
    let mut pack = Vec::new();
    volume.change("packs/00000001.pack", |bytes| pack = bytes.clone());
    let places = payload.append(vec![archive(1, 2, &pack.into(), Content::Here)]).await.unwrap();
    payload.append(vec![vault(3)]).await.unwrap();
    volume.change("packs/00000001.pack", |bytes| bytes[places[0].at.offset as usize + 20] ^= 1);
    let reopened = on(volume, PACK_BYTES);
    let page = reopened.replay(LogPosition::default(), false).await.unwrap();
    assert!(
        matches!(
            page.items[..],
            [Replayed::Record(..), Replayed::Damaged(_), Replayed::Record(..)]
        ),
        "{page:?}"
    );
}

/// A batch torn anywhere is cut off; the same bytes before something that was synced later are damage.
#[tokio::test]
async fn a_torn_batch_is_cut_off_and_a_break_before_a_later_batch_is_damage() {
    let body = pattern(3000, 7);
    let batch = || (0..3).map(|n| archive(1, 10 + n, &body, Content::Here)).collect::<Vec<_>>();
    for seed in 0..200 {
        let volume = SimulatedVolume::new();
        let payload = on(volume.clone(), PACK_BYTES);
        payload.append(vec![vault(1)]).await.unwrap();
        volume.cut_at(volume.syncs() + 1);
        payload.append(batch()).await.unwrap_err();
        let after = volume.after_crash(Remains::Some(seed));
        let torn_len = after.len_of("packs/00000001.pack");
        let reopened = on(after.clone(), PACK_BYTES);
        let (records, end) = replay(&reopened, LogPosition::default()).await;
        assert!(!records.is_empty(), "seed {seed}: the synced record is gone");
        for (_, place) in &records {
            reopened.read_body(*place).await.unwrap();
        }
        assert_eq!(after.len_of("packs/00000001.pack") as u64, end.offset, "{torn_len}");
        reopened.append(vec![vault(5)]).await.unwrap();
        assert_eq!(replay(&reopened, LogPosition::default()).await.0.len(), records.len() + 1);
        assert_eq!(damage(&reopened).await, [""; 0]);
    }
    let volume = SimulatedVolume::new();
    let payload = on(volume.clone(), PACK_BYTES);
    let first = payload.append(batch()).await.unwrap();
    payload.append(vec![vault(1)]).await.unwrap();
    volume.change("packs/00000001.pack", |bytes| bytes[first[1].at.offset as usize + 3] ^= 16);
    let reopened = on(volume.clone(), PACK_BYTES);
    let mut items = reopened.replay(LogPosition::default(), true).await.unwrap().items;
    let broken = items.remove(1);
    assert!(matches!(broken, Replayed::Damaged(_)), "{broken:?}");
    assert_eq!(items.len(), 3);
}

/// A record whose check fits but whose entry this version does not know was taken for a torn end and cut off.
#[tokio::test]
async fn a_record_of_a_newer_icefield_is_neither_torn_nor_damaged() {
    let volume = SimulatedVolume::new();
    let payload = on(volume.clone(), PACK_BYTES);
    let first = payload.append(vec![vault(1)]).await.unwrap()[0];
    let path = "packs/00000001.pack";
    volume.change(path, |bytes| {
        let at = bytes.len() as u64;
        let json = br#"{"entry":"archive_moved","to":1}"#;
        let body_hash = hash(&bytes::Bytes::new()).0;
        let header = format!(
            "icefield1 00000001 {at:08x} {at:08x} {:08x} 00000000 {body_hash} ",
            json.len()
        );
        let mut checked = header.clone().into_bytes();
        checked.extend_from_slice(json);
        let check = TreeHash::of_leaf(&checked);
        bytes.extend_from_slice(format!("{header}{check}\n").as_bytes());
        bytes.extend_from_slice(json);
        bytes.extend_from_slice(b"\n\n");
    });
    let len = volume.len_of(path);
    for repair in [true, false] {
        let reopened = on(volume.clone(), PACK_BYTES);
        match reopened.replay(LogPosition::default(), repair).await {
            Err(StoreError::NewerRecord { offset, .. }) => assert_eq!(offset, first.length),
            other => panic!("{other:?}"),
        }
        assert_eq!(volume.len_of(path), len);
    }
}

#[tokio::test]
async fn a_missing_pack_is_damage_wherever_it_is_missing() {
    let volume = SimulatedVolume::new();
    let payload = on(volume.clone(), 1);
    let mut ends = Vec::new();
    for number in 1..=3 {
        payload.append(vec![vault(number)]).await.unwrap();
        ends.push(replay(&payload, LogPosition::default()).await.1);
    }
    for pack in 1..=3 {
        let copy = volume.after_crash(Remains::Everything);
        copy.remove(&format!("packs/0000000{pack}.pack")).unwrap();
        let reopened = on(copy, 1);
        let from = if pack == 3 { ends[2] } else { LogPosition::default() };
        let page = reopened.replay(from, false).await.unwrap();
        let damaged = page.items.iter().filter(|item| matches!(item, Replayed::Damaged(_)));
        assert_eq!(damaged.count(), 1, "pack {pack}: {page:?}");
    }
}

/// Somebody removed the file `lock`, and two processes owned the store: each wrote its records over those of the other.
#[tokio::test]
async fn two_owners_do_not_overwrite_each_others_records() {
    let volume = SimulatedVolume::new();
    let one = on(volume.clone(), PACK_BYTES);
    one.append(vec![vault(1)]).await.unwrap();
    let other = on(volume.clone(), PACK_BYTES);
    other.append(vec![vault(2)]).await.unwrap();
    match one.append(vec![vault(3)]).await {
        Err(StoreError::Damaged(damage)) => {
            assert!(damage.what.starts_with("another process wrote into the store"), "{damage}");
        }
        answer => panic!("{answer:?}"),
    }
    assert!(matches!(one.append(vec![vault(3)]).await, Err(StoreError::Fenced)));
    assert_eq!(replay(&on(volume, PACK_BYTES), LogPosition::default()).await.0.len(), 2);
}

/// Uploads that stop in the middle would keep a MiB and more each.
#[tokio::test]
async fn a_file_keeps_as_little_in_memory_as_it_is_told_to() {
    const MIB: usize = 1 << 20;
    for (number, most) in [(1, 0), (2, MIB), (3, 5 * MIB)] {
        let volume = SimulatedVolume::new();
        let payload = on(volume.clone(), PACK_BYTES);
        let bytes = pattern(3 << 20, 9);
        let written = || volume.len_of(&format!("payload/{number:02x}/{}", id(number)));
        let mut writer = payload.create(id(number)).await.unwrap();
        writer.keep_at_most(most);
        writer.write(bytes.slice(..1000)).await.unwrap();
        assert_eq!(written(), if most == 0 { 1000 } else { 0 });
        writer.write(bytes.slice(1000..MIB)).await.unwrap();
        if most <= MIB {
            assert_eq!(written(), MIB, "nothing is under way");
        }
        writer.write(bytes.slice(MIB..)).await.unwrap();
        writer.finish(&hash(&bytes).1).await.unwrap();
        let reader = payload.open(id(number), 3 << 20, hash(&bytes).0).await.unwrap();
        assert_eq!(read_file(&*reader).await.unwrap(), bytes);
    }
}

#[tokio::test]
async fn without_room_in_memory_a_write_that_fails_says_so_at_once() {
    let volume = SimulatedVolume::new();
    let payload = on(volume.clone(), PACK_BYTES);
    let mut writer = payload.create(id(1)).await.unwrap();
    writer.keep_at_most(0);
    volume.set_room(Some(10));
    let full = writer.write(pattern(100, 1)).await;
    assert!(matches!(full, Err(StoreError::Full { .. })), "{full:?}");
}

#[tokio::test]
async fn a_failed_sync_is_the_last_write() {
    for operation in 0..2 {
        let volume = SimulatedVolume::new();
        let payload = on(volume.clone(), PACK_BYTES);
        payload.append(vec![vault(1)]).await.unwrap();
        volume.fail_sync_at(volume.syncs() + 1);
        let failed = match operation {
            0 => payload.append(vec![vault(2)]).await.map(drop),
            _ => write_file(&payload, id(1), &pattern(10, 1)).await,
        };
        assert!(matches!(failed, Err(StoreError::Fenced)), "{failed:?}");
        let syncs = volume.syncs();
        assert!(matches!(payload.append(vec![vault(3)]).await, Err(StoreError::Fenced)));
        assert!(matches!(payload.create(id(2)).await, Err(StoreError::Fenced)));
        assert!(matches!(payload.remove(&[id(1)]).await, Err(StoreError::Fenced)));
        assert_eq!(volume.syncs(), syncs, "a sync was tried again");
    }
}

/// Idle connections could use up the descriptors of a server, and the next upload ended it for good.
#[tokio::test]
async fn running_out_of_descriptors_is_no_failed_sync() {
    let volume = SimulatedVolume::new();
    let payload = on(volume.clone(), PACK_BYTES);
    payload.append(vec![vault(1)]).await.unwrap();
    volume.set_out_of_descriptors(true);
    let failed = write_file(&payload, id(1), &pattern(10, 1)).await;
    assert!(matches!(failed, Err(StoreError::Io { .. })), "{failed:?}");
    volume.set_out_of_descriptors(false);
    write_file(&payload, id(2), &pattern(10, 1)).await.unwrap();
    payload.append(vec![vault(2)]).await.unwrap();
}

#[tokio::test]
async fn a_full_volume_keeps_what_it_has_and_nothing_half() {
    let volume = SimulatedVolume::new();
    let payload = on(volume.clone(), PACK_BYTES);
    payload.append(vec![vault(1)]).await.unwrap();
    volume.set_room(Some(100));
    let full = payload.append(vec![vault(2), vault(3)]).await;
    assert!(matches!(full, Err(StoreError::Full { .. })), "{full:?}");
    let full = write_file(&payload, id(1), &pattern(5_000_000, 1)).await;
    assert!(matches!(full, Err(StoreError::Full { .. })), "{full:?}");
    assert_eq!(replay(&payload, LogPosition::default()).await.0.len(), 1);
    assert_eq!(damage(&on(volume.clone(), PACK_BYTES)).await, [""; 0]);
    volume.set_room(None);
    payload.append(vec![vault(4)]).await.unwrap();
    assert_eq!(replay(&payload, LogPosition::default()).await.0.len(), 2);
}

#[tokio::test]
async fn damage_in_a_file_names_its_mib_and_the_others_stay_readable() {
    let volume = SimulatedVolume::new();
    let payload = on(volume.clone(), PACK_BYTES);
    let bytes = pattern(3 << 20, 9);
    write_file(&payload, id(7), &bytes).await.unwrap();
    let path = format!("payload/07/{}", id(7));
    volume.change(&path, |bytes| bytes[(1 << 20) + 5] ^= 4);
    let reader = payload.open(id(7), 3 << 20, hash(&bytes).0).await.unwrap();
    assert_eq!(reader.read_leaf(0).await.unwrap(), bytes[..1 << 20]);
    match reader.read_leaf(1).await {
        Err(StoreError::Damaged(damage)) => {
            assert_eq!((damage.place, damage.leaf), (path.clone(), Some(1)));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(reader.read_leaf(2).await.unwrap(), bytes[2 << 20..]);
    for (change, what) in [
        ((|bytes| bytes.truncate(100)) as fn(&mut Vec<u8>), "shorter"),
        (|bytes| bytes.resize(4 << 20, 0), "longer"),
    ] {
        volume.change(&path, change);
        let error = payload.open(id(7), 3 << 20, hash(&bytes).0).await.unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
}
