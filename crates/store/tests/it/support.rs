//! A store in a temporary folder, and archives to put into it.

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use icefield_protocol::{Timestamp, UploadToken, VaultName};
use icefield_store::{
    ArchiveEntry, Content, Entry, Extent, IdSeal, ManualClock, OpenOptions, Outcome, Store,
    entry::{ArchiveNumber, UploadNumber, VaultNumber},
    ledger::{ArchiveQuery, ArchiveRow},
};
use icefield_treehash::{Hashed, Hasher, Roles};

pub(crate) fn options() -> OpenOptions {
    OpenOptions {
        create: true,
        lock_wait: Duration::ZERO,
        clock: Arc::new(ManualClock::new(Timestamp::from_unix_millis(1_763_788_414_000))),
        pack_bytes: 100_000,
        ..OpenOptions::default()
    }
}

pub(crate) async fn open(dir: &Path) -> Store {
    Store::open(dir, options()).await.unwrap()
}

pub(crate) fn bytes(len: usize) -> Bytes {
    (0..len).map(|index| (index % 241) as u8 ^ (index >> 20) as u8).collect()
}

pub(crate) fn hashed(bytes: &[u8]) -> Hashed {
    let mut hasher = Hasher::new(Roles { linear: false });
    hasher.update(bytes);
    hasher.finish()
}

pub(crate) async fn create_vault(store: &Store, name: &str) -> VaultNumber {
    let vault = VaultNumber(store.next_number());
    let entry = Entry::VaultCreated {
        vault,
        account: store.identity().account.clone(),
        name: VaultName::parse(name).unwrap(),
        created: store.clock().now(),
    };
    commit(store, entry, Bytes::new()).await;
    vault
}

pub(crate) async fn commit(store: &Store, entry: Entry, body: Bytes) {
    let (outcome, _) = store.commit(entry, body).await.unwrap();
    assert!(matches!(outcome, Outcome::Done { .. }), "{outcome:?}");
}

/// The entry of an archive whose bytes are in its record.
pub(crate) fn small_archive(
    store: &Store,
    vault: VaultNumber,
    number: ArchiveNumber,
    description: &str,
    body: &[u8],
) -> Entry {
    Entry::ArchiveCreated(archive(store, vault, number, description, body))
}

fn archive(
    store: &Store,
    vault: VaultNumber,
    number: ArchiveNumber,
    description: &str,
    body: &[u8],
) -> ArchiveEntry {
    ArchiveEntry {
        vault,
        number,
        id: format!("ID-{number}").parse().unwrap(),
        seal: IdSeal { key: 1, salt: [7; 16] },
        description: Some(description.to_owned().try_into().unwrap()),
        created: store.clock().now(),
        aged: None,
        size: body.len() as u64,
        tree_hash: hashed(body).tree,
        token: None,
        upload: None,
        content: Content::Here,
    }
}

/// Stores an archive: in its record up to 100,000 bytes, in files of up to 2 MiB above.
pub(crate) async fn put(
    store: &Store,
    vault: VaultNumber,
    description: &str,
    body: Bytes,
) -> ArchiveNumber {
    let number = ArchiveNumber(store.next_number());
    put_entry(store, archive(store, vault, number, description, &body), body).await
}

/// As [`put`], with an upload token.
pub(crate) async fn put_with_token(
    store: &Store,
    vault: VaultNumber,
    description: &str,
    body: Bytes,
) -> ArchiveNumber {
    let number = ArchiveNumber(store.next_number());
    let token = Some(UploadToken::from_bytes([7; 16]));
    let entry = archive(store, vault, number, description, &body);
    put_entry(store, ArchiveEntry { token, ..entry }, body).await
}

async fn put_entry(store: &Store, mut entry: ArchiveEntry, body: Bytes) -> ArchiveNumber {
    let number = entry.number;
    if body.len() <= 100_000 {
        commit(store, Entry::ArchiveCreated(entry), body).await;
        return number;
    }
    let mut extents = Vec::new();
    for begin in (0..body.len()).step_by(2 << 20) {
        extents.push(put_file(store, body.slice(begin..body.len().min(begin + (2 << 20)))).await);
    }
    if extents.len() > 1 {
        entry.upload = Some(UploadNumber(store.next_number()));
    }
    entry.content = Content::Extents(extents);
    commit(store, Entry::ArchiveCreated(entry), Bytes::new()).await;
    number
}

/// Stores an archive of one file.
pub(crate) async fn put_as_file(
    store: &Store,
    vault: VaultNumber,
    description: &str,
    body: Bytes,
) -> ArchiveNumber {
    let number = ArchiveNumber(store.next_number());
    let mut entry = archive(store, vault, number, description, &body);
    entry.content = Content::Extents(vec![put_file(store, body).await]);
    commit(store, Entry::ArchiveCreated(entry), Bytes::new()).await;
    number
}

/// Stores a file and commits it as an archive of a vault that does not exist.
pub(crate) async fn refused_file(store: &Store, vault: VaultNumber) -> Extent {
    let body = bytes(1000);
    let number = ArchiveNumber(store.next_number());
    let mut entry = archive(store, vault, number, "refused", &body);
    let extent = put_file(store, body).await;
    entry.content = Content::Extents(vec![extent]);
    let committed = store.commit(Entry::ArchiveCreated(entry), Bytes::new()).await;
    assert_eq!(committed.unwrap().0, Outcome::VaultGone);
    extent
}

pub(crate) async fn put_file(store: &Store, bytes: Bytes) -> Extent {
    let payload = store.reserve().await.unwrap();
    let mut writer = store.payload().create(payload).await.unwrap();
    let Hashed { size, tree, leaves, .. } = hashed(&bytes);
    writer.write(bytes).await.unwrap();
    writer.finish(&leaves).await.unwrap();
    Extent { payload, size, tree_hash: tree }
}

pub(crate) async fn delete(store: &Store, vault: VaultNumber, number: ArchiveNumber) {
    let entry = Entry::ArchiveDeleted { vault, number, deleted: store.clock().now() };
    commit(store, entry, Bytes::new()).await;
}

/// Two vaults, one with archives of all kinds, one of them deleted; a third vault was deleted, too.
pub(crate) async fn fill(store: &Store) -> VaultNumber {
    let vault = create_vault(store, "photos").await;
    create_vault(store, "empty").await;
    let gone = create_vault(store, "gone").await;
    put(store, vault, "a letter", bytes(5_000)).await;
    put(store, vault, "a long letter", bytes(100_000)).await;
    put(store, vault, "a film", bytes(5_000_000)).await;
    let deleted = put(store, vault, "a mistake", bytes(3_000_000)).await;
    delete(store, vault, deleted).await;
    put(store, vault, "nothing", bytes(0)).await;
    let deleted = store.clock().now();
    commit(store, Entry::VaultDeleted { vault: gone, writes: 0, deleted }, Bytes::new()).await;
    vault
}

/// The archives of a vault now.
pub(crate) async fn rows(store: &Store, vault: VaultNumber) -> Vec<ArchiveRow> {
    let row = store.ledger().vault_by_number(vault).await.unwrap().unwrap();
    let (writes, limit) = (row.writes, 10_000);
    let query = ArchiveQuery { vault, writes, after: None, start: None, end: None, limit };
    store.ledger().archives(query).await.unwrap()
}

/// What a check says that is wrong.
pub(crate) async fn problems(store: &Store) -> Vec<String> {
    let report = icefield_store::check(store, &mut |_| {}).await.unwrap();
    report.problems.iter().map(|problem| problem.damage.to_string()).collect()
}
