//! Compaction of a store in a folder, and what ledgers, old and new, make of it.

use std::{fs, path::Path, sync::Arc};

use icefield_store::{
    Compaction, OpenOptions, PackOutcome, Store, StoreError, VaultLocks,
    entry::{ArchiveNumber, VaultNumber},
    ledger::{LedgerStat, VaultRow},
    payload::{DeadBody, LogPosition},
    rebuild,
};

use crate::support::{bytes, create_vault, delete, open, options, problems, put, rows};

/// No vault has a lock.
#[derive(Debug)]
struct NoLocks;

#[async_trait::async_trait]
impl VaultLocks for NoLocks {
    async fn is_locked(&self, _: VaultNumber) -> Result<bool, StoreError> {
        Ok(false)
    }
}

/// Compacts what is worth it and returns the packs that are shorter now.
pub(crate) async fn compact(store: &Store) -> Vec<u32> {
    let mut compaction = Compaction::new(store, Arc::new(NoLocks));
    let mut shorter = Vec::new();
    loop {
        let step = compaction.step(1 << 20).await.unwrap();
        match step.pack {
            Some((pack, PackOutcome::Shorter(_))) => shorter.push(pack),
            Some(other) => panic!("{other:?}"),
            None if step.is_idle => return shorter,
            None => {}
        }
    }
}

/// Fills packs with archives of 4 KiB and deletes three of four.
pub(crate) async fn mostly_dead(store: &Store) -> (VaultNumber, Vec<ArchiveNumber>) {
    let vault = create_vault(store, "small").await;
    let (mut kept, mut dead) = (Vec::new(), Vec::new());
    for index in 0..60 {
        let number = put(store, vault, &format!("file {index}"), bytes(4096 + index)).await;
        if index % 4 == 0 { kept.push(number) } else { dead.push(number) }
    }
    for number in dead {
        delete(store, vault, number).await;
    }
    (vault, kept)
}

fn packs(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir.join("packs")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

async fn read_all(store: &Store, vault: VaultNumber) -> usize {
    let rows = rows(store, vault).await;
    for row in &rows {
        let icefield_store::ledger::Stored::Record(place) = row.stored else { panic!("{row:?}") };
        let body = store.payload().read_body(place).await.unwrap();
        assert_eq!(body, bytes(body.len()));
        assert_eq!(body.len() as u64, row.size);
    }
    rows.len()
}

async fn told(store: &Store, vault: VaultNumber) -> (LedgerStat, Option<VaultRow>, Vec<DeadBody>) {
    let ledger = store.ledger();
    let mut dead = Vec::new();
    for (pack, _) in ledger.dead_packs().await.unwrap() {
        dead.extend(ledger.dead_bodies(LogPosition { pack, offset: 0 }, 999).await.unwrap());
    }
    let stat = LedgerStat { staged: 0, ..ledger.stat().await.unwrap() };
    (stat, ledger.vault_by_number(vault).await.unwrap(), dead)
}

#[tokio::test]
async fn a_rebuild_after_a_compaction_gives_the_same_ledger() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let (vault, kept) = mostly_dead(&store).await;
    store.ledger().purge(1000).await.unwrap();
    let before = store.stat().await.unwrap();
    assert_eq!(compact(&store).await, [1, 2]);
    let after = store.stat().await.unwrap();
    assert!(after.pack_bytes + 130_000 < before.pack_bytes, "{before:?} {after:?}");
    assert!(packs(dir.path()).starts_with(&["00000001.1.pack".into(), "00000002.1.pack".into()]));
    assert_eq!(problems(&store).await, [""; 0]);
    let (rows_before, told_before) = (rows(&store, vault).await, told(&store, vault).await);
    store.close().await;

    let report = rebuild(dir.path(), options(), &mut |_| {}).await.unwrap();
    assert_eq!((report.damage.len(), report.archives), (0, kept.len() as u64));
    let store = open(dir.path()).await;
    assert_eq!(rows(&store, vault).await, rows_before);
    assert_eq!(told(&store, vault).await, told_before);
    assert_eq!(read_all(&store, vault).await, kept.len());
    assert_eq!(compact(&store).await, [0; 0]);
    assert_eq!(problems(&store).await, [""; 0]);
}

/// Places in an older ledger are those of the packs before the compaction.
#[tokio::test]
async fn an_older_ledger_finds_everything_in_compacted_packs() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let (vault, kept) = mostly_dead(&store).await;
    store.close().await;
    let ledger = dir.path().join("ledger.db");
    let old = fs::read(&ledger).unwrap();
    let store = open(dir.path()).await;
    let last = put(&store, vault, "last", bytes(9)).await;
    delete(&store, vault, kept[0]).await;
    store.ledger().purge(1000).await.unwrap();
    assert_eq!(compact(&store).await, [1, 2]);
    let dead_bytes = store.stat().await.unwrap().ledger.dead_bytes;
    store.close().await;

    fs::write(&ledger, old).unwrap();
    let looked_at =
        Store::open(dir.path(), OpenOptions { repair: false, ..options() }).await.unwrap();
    assert_eq!(problems(&looked_at).await, [""; 0], "the deletion is further on in the log");
    looked_at.close().await;
    let store = open(dir.path()).await;
    assert_eq!(read_all(&store, vault).await, kept.len(), "one was deleted and one put since");
    assert!(store.ledger().archive(last).await.unwrap().is_some());
    assert_eq!(problems(&store).await, [""; 0]);
    assert!(store.ledger().purge(1000).await.unwrap() > 40, "it has forgotten nothing yet");
    assert_eq!(compact(&store).await, [0; 0], "there is nothing left to be dropped");
    assert_eq!(store.stat().await.unwrap().ledger.dead_bytes, dead_bytes, "those of the last pack");
}

/// What is being written must be this process's, also when the store was closed meanwhile.
#[tokio::test]
async fn a_compaction_keeps_the_folder_until_it_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    mostly_dead(&store).await;
    store.ledger().purge(1000).await.unwrap();
    let mut compaction = Compaction::new(&store, Arc::new(NoLocks));
    while !packs(dir.path()).iter().any(|name| name == "00000001.1.pack") {
        compaction.step(10_000).await.unwrap();
    }
    store.close().await;
    let refused = Store::open(dir.path(), options()).await;
    assert!(matches!(refused, Err(StoreError::InUse { .. })), "{refused:?}");
    drop(compaction);
    let store = open(dir.path()).await;
    assert!(!packs(dir.path()).iter().any(|name| name == "00000001.1.pack"), "a leftover");
    assert_eq!(problems(&store).await, [""; 0]);
    assert_eq!(compact(&store).await, [1, 2]);
}
