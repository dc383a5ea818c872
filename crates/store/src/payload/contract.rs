//! The suite that every payload backend passes.

use bytes::Bytes;
use icefield_protocol::{AccountId, Timestamp, VaultName};
use icefield_treehash::{Hasher, Roles, TreeHash};

use crate::{
    entry::{ArchiveEntry, ArchiveNumber, Content, Entry, IdSeal, PayloadId, VaultNumber},
    error::StoreError,
    payload::{LogPosition, NewRecord, Payload, PayloadReader, RecordPlace, Replayed},
};

/// Runs the suite on a new backend.
pub(crate) async fn suite(payload: &dyn Payload) {
    the_log_is_replayed_in_order_from_any_record(payload).await;
    pages_lead_to_the_end(payload).await;
    files_give_back_what_was_written(payload).await;
    ids_are_used_once(payload).await;
    wrong_expectations_are_damage(payload).await;
    removed_files_are_missing_and_others_stay(payload).await;
}

/// Bytes that differ from MiB to MiB.
pub(crate) fn pattern(len: usize, seed: u8) -> Bytes {
    (0..len).map(|index| (index % 251) as u8 ^ (index >> 20) as u8 ^ seed).collect()
}

pub(crate) fn id(number: u8) -> PayloadId {
    PayloadId::from_bytes([number; 16])
}

/// Creation of a vault.
pub(crate) fn vault(number: u64) -> NewRecord {
    let entry = Entry::VaultCreated {
        vault: VaultNumber(number),
        account: AccountId::parse("123456789012").unwrap(),
        name: VaultName::parse(&format!("vault-{number}")).unwrap(),
        created: Timestamp::from_unix_millis(1_000),
    };
    NewRecord { entry, body: Bytes::new() }
}

/// Creation of an archive; with its bytes in the record, unless `content` says otherwise.
pub(crate) fn archive(vault: u64, number: u64, body: &Bytes, content: Content) -> NewRecord {
    let here = content == Content::Here;
    let entry = Entry::ArchiveCreated(ArchiveEntry {
        vault: VaultNumber(vault),
        number: ArchiveNumber(number),
        id: format!("archive-{number}").parse().unwrap(),
        seal: IdSeal { key: 1, salt: number.to_be_bytes().repeat(2).try_into().unwrap() },
        description: format!("description of {number}").try_into().ok(),
        created: Timestamp::from_unix_millis(2_000),
        aged: None,
        size: body.len() as u64,
        tree_hash: hash(body).0,
        token: None,
        upload: None,
        content,
    });
    NewRecord { entry, body: if here { body.clone() } else { Bytes::new() } }
}

/// Tree hash and leaves.
pub(crate) fn hash(bytes: &[u8]) -> (TreeHash, Vec<TreeHash>) {
    let mut hasher = Hasher::new(Roles { linear: false });
    hasher.update(bytes);
    let hashed = hasher.finish();
    (hashed.tree, hashed.leaves)
}

/// Writes a payload file in pieces of odd length.
pub(crate) async fn write_file(
    payload: &dyn Payload,
    id: PayloadId,
    bytes: &Bytes,
) -> Result<(), StoreError> {
    let mut writer = payload.create(id).await?;
    for begin in (0..bytes.len()).step_by(300_007) {
        writer.write(bytes.slice(begin..bytes.len().min(begin + 300_007))).await?;
    }
    writer.finish(&hash(bytes).1).await
}

pub(crate) async fn read_file(reader: &dyn PayloadReader) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::new();
    for index in 0..reader.leaves().len() as u64 {
        bytes.extend_from_slice(&reader.read_leaf(index).await?);
    }
    Ok(bytes)
}

/// Replays to the end.
pub(crate) async fn replay(
    payload: &dyn Payload,
    mut from: LogPosition,
) -> (Vec<(Entry, RecordPlace)>, LogPosition) {
    let mut records = Vec::new();
    loop {
        let page = payload.replay(from, true).await.unwrap();
        for item in page.items {
            match item {
                Replayed::Record(entry, place) => records.push((entry, place)),
                Replayed::Damaged(damage) => panic!("{damage}"),
            }
        }
        from = page.next;
        if page.last {
            return (records, from);
        }
    }
}

async fn the_log_is_replayed_in_order_from_any_record(payload: &dyn Payload) {
    assert_eq!(replay(payload, LogPosition::default()).await, (vec![], LogPosition::default()));
    let bodies = [pattern(0, 1), pattern(1, 2), pattern(4096, 3), pattern(1 << 20, 4)];
    let mut records = vec![vault(1)];
    records
        .extend((10..).zip(&bodies).map(|(number, body)| archive(1, number, body, Content::Here)));
    let mut places = payload.append(records[..2].to_vec()).await.unwrap();
    places.extend(payload.append(records[2..].to_vec()).await.unwrap());

    let (all, end) = replay(payload, LogPosition::default()).await;
    let expected: Vec<(Entry, RecordPlace)> =
        records.iter().map(|record| record.entry.clone()).zip(places.iter().copied()).collect();
    assert_eq!(all, expected);
    for (index, place) in places.iter().enumerate() {
        let after = LogPosition { offset: place.at.offset + place.length, ..place.at };
        assert_eq!(replay(payload, place.at).await, (expected[index..].to_vec(), end));
        assert_eq!(replay(payload, after).await, (expected[index + 1..].to_vec(), end));
        assert_eq!(payload.read_body(*place).await.unwrap(), records[index].body);
    }
    let beyond = LogPosition { offset: end.offset + 1, ..end };
    let page = payload.replay(beyond, true).await.unwrap();
    assert!(matches!(page.items[..], [Replayed::Damaged(_)]) && page.last, "{page:?}");
    let elsewhere = RecordPlace { length: places[2].length - 1, ..places[2] };
    assert!(matches!(payload.read_body(elsewhere).await, Err(StoreError::Damaged(_))));
}

async fn pages_lead_to_the_end(payload: &dyn Payload) {
    let (_, from) = replay(payload, LogPosition::default()).await;
    for batch in 0..30 {
        payload
            .append((0..100).map(|index| vault(1000 + batch * 100 + index)).collect())
            .await
            .unwrap();
    }
    assert!(!payload.replay(from, true).await.unwrap().last, "one page holds 3,000 records");
    let (records, _) = replay(payload, from).await;
    let names = |(entry, _): &(Entry, RecordPlace)| match entry {
        Entry::VaultCreated { vault, .. } => vault.0,
        _ => 0,
    };
    assert_eq!(records.iter().map(names).collect::<Vec<_>>(), (1000..4000).collect::<Vec<_>>());
}

async fn files_give_back_what_was_written(payload: &dyn Payload) {
    for (number, len) in
        [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 6_000_000].into_iter().enumerate()
    {
        let (number, bytes) = (number as u8, pattern(len, number as u8));
        write_file(payload, id(number), &bytes).await.unwrap();
        let (tree_hash, leaves) = hash(&bytes);
        let reader = payload.open(id(number), len as u64, tree_hash).await.unwrap();
        assert_eq!(reader.leaves(), &leaves[..len.div_ceil(1 << 20)]);
        assert_eq!(read_file(&*reader).await.unwrap(), bytes);
        let beyond = reader.read_leaf(reader.leaves().len() as u64).await;
        assert!(matches!(beyond, Err(StoreError::Damaged(_))));
    }
}

async fn ids_are_used_once(payload: &dyn Payload) {
    assert!(payload.create(id(1)).await.is_err());
    let unfinished = payload.create(id(50)).await.unwrap();
    assert!(payload.create(id(50)).await.is_err());
    drop(unfinished);
    payload.remove(&[id(50)]).await.unwrap();
}

async fn wrong_expectations_are_damage(payload: &dyn Payload) {
    let bytes = pattern(1 << 20, 3);
    let damaged = |result| matches!(result, Err(StoreError::Damaged(_)));
    assert!(damaged(payload.open(id(3), 1 << 20, hash(b"other").0).await.map(drop)));
    assert!(damaged(payload.open(id(3), (1 << 20) + 1, hash(&bytes).0).await.map(drop)));
    let writer = payload.create(id(51)).await.unwrap();
    let wrong_count = {
        let mut writer = writer;
        writer.write(bytes.clone()).await.unwrap();
        writer.finish(&[]).await
    };
    assert!(wrong_count.is_err());
    payload.remove(&[id(51)]).await.unwrap();
}

async fn removed_files_are_missing_and_others_stay(payload: &dyn Payload) {
    payload.remove(&[id(0), id(1), id(99)]).await.unwrap();
    let bytes = pattern(1, 1);
    let missing = payload.open(id(1), 1, hash(&bytes).0).await;
    assert!(matches!(missing, Err(StoreError::Missing(gone)) if gone == id(1)));
    let mut found = Vec::new();
    payload.list(&mut |item| found.push(item.unwrap())).await.unwrap();
    found.sort();
    assert_eq!(found, [id(2), id(3), id(4), id(5)]);
    let (packs, files) = payload.used_bytes().await.unwrap();
    assert!(packs > 1 << 20 && files >= 6_000_000 + 3 * (1 << 20), "{packs} {files}");
}
