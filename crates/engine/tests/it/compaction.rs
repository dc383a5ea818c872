//! What compaction gives back, and what a vault lock keeps it from.

use std::{fs, path::Path, sync::Arc};

use icefield_engine::{Engine, Settings};
use icefield_protocol::{ArchiveId, Operation};
use icefield_store::{
    Entry, ManualClock, OpenOptions, PackOutcome, Store,
    document::DocumentEntry,
    entry::{DocumentName, VaultNumber},
};
use serde_json::json;

use crate::{
    acting::{Acting, DAY, deny, retention},
    world::{START, archive_job, bytes, read},
};

async fn open(folder: &Path) -> (Engine, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(START));
    let options = OpenOptions {
        create: true,
        clock: Arc::<ManualClock>::clone(&clock),
        pack_bytes: 100_000,
        ..OpenOptions::default()
    };
    let store = Store::open(folder, options).await.unwrap();
    (Engine::open(store, Settings::embedded()).await.unwrap(), clock)
}

/// Stores archives of 4 KiB and deletes all but every fourth; returns those.
async fn fill(root: &Acting<'_>) -> Vec<ArchiveId> {
    let mut kept = Vec::new();
    for seed in 0..60 {
        let stored = root.put(&bytes(seed, 4096)).await.unwrap();
        if seed % 4 == 0 {
            kept.push(stored.id);
        } else {
            root.delete(&stored.id).await.unwrap();
        }
    }
    root.engine.housekeeping().await.unwrap();
    kept
}

async fn compact(engine: &Engine) -> Vec<(u32, PackOutcome)> {
    let mut compaction = engine.compaction();
    let mut packs = Vec::new();
    loop {
        let step = compaction.step(1 << 20).await.unwrap();
        packs.extend(step.pack);
        if step.is_idle {
            return packs;
        }
    }
}

fn content(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder.join("packs")).unwrap();
    let mut packs: Vec<_> = entries
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
        })
        .collect();
    packs.sort();
    packs.retain(|(name, _)| name.starts_with("00000001") || name.starts_with("00000002"));
    packs
}

fn are_locked(outcomes: &[(u32, PackOutcome)]) -> bool {
    matches!(outcomes, [(1, PackOutcome::Locked(_)), (2, PackOutcome::Locked(_))])
}

fn are_shorter(outcomes: &[(u32, PackOutcome)]) -> bool {
    matches!(outcomes, [(1, PackOutcome::Shorter(_)), (2, PackOutcome::Shorter(_))])
}

#[tokio::test]
async fn packs_of_a_vault_with_a_lock_stay_as_they_are_in_every_state_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, clock) = open(folder.path()).await;
    let root = Acting::root(&engine);
    root.create().await.unwrap();
    let kept = fill(&root).await;
    let before = content(folder.path());
    assert_eq!(before.len(), 2);

    let id = root.initiate_lock(&retention(&root.arn())).await.unwrap();
    assert!(are_locked(&compact(&engine).await), "in progress");
    root.abort_lock().await.unwrap();
    let id_of_the_second = root.initiate_lock(&retention(&root.arn())).await.unwrap();
    assert_ne!(id, id_of_the_second);
    root.complete_lock(&id_of_the_second).await.unwrap();
    assert!(are_locked(&compact(&engine).await), "locked");
    clock.advance(400 * DAY);
    for id in kept {
        root.delete(&id).await.unwrap();
    }
    engine.housekeeping().await.unwrap();
    assert!(are_locked(&compact(&engine).await), "locked, although all of it is dead");
    assert_eq!(content(folder.path()), before);
    let report = icefield_store::check(engine.store(), &mut |_| {}).await.unwrap();
    assert_eq!(report.problems, []);
}

#[tokio::test]
async fn a_lock_that_was_aborted_or_has_expired_keeps_nothing() {
    for expires in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let (engine, clock) = open(folder.path()).await;
        let root = Acting::root(&engine);
        root.create().await.unwrap();
        fill(&root).await;
        let policy = deny(&root.arn(), "glacier:DeleteArchive", "{}");
        let policy = policy.replace(",\"Condition\":{}", "");
        root.initiate_lock(&policy).await.unwrap();
        assert!(are_locked(&compact(&engine).await));
        if expires {
            clock.advance(DAY);
        } else {
            root.abort_lock().await.unwrap();
        }
        assert!(are_shorter(&compact(&engine).await), "expires: {expires}");
    }
}

/// Settings of a newer icefield may have a rule that this one does not know.
#[tokio::test]
async fn settings_that_cannot_be_read_count_as_a_lock() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, _) = open(folder.path()).await;
    let root = Acting::root(&engine);
    root.create().await.unwrap();
    fill(&root).await;
    let store = engine.store();
    let rows = store.ledger().vaults(engine.account(), None, 9).await.unwrap();
    let vault: VaultNumber = rows[0].number;
    let mut change = DocumentEntry {
        name: DocumentName::parse(&format!("vault/{vault}")).unwrap(),
        vault: Some(vault),
        version: store.next_number(),
        after: None,
        value: Some(json!({ "seal": true })),
        at: START,
    };
    store.commit(Entry::Document(change.clone()), bytes::Bytes::new()).await.unwrap();
    assert!(are_locked(&compact(&engine).await));
    change.after = Some(change.version);
    change.version = store.next_number();
    change.value = Some(json!({}));
    store.commit(Entry::Document(change), bytes::Bytes::new()).await.unwrap();
    assert!(are_shorter(&compact(&engine).await));
}

#[tokio::test]
async fn what_is_left_is_retrieved_after_a_compaction() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, _) = open(folder.path()).await;
    let root = Acting::root(&engine);
    root.create().await.unwrap();
    let kept = fill(&root).await;
    assert!(are_shorter(&compact(&engine).await));
    let mut seed = 0;
    for id in &kept {
        let job = root.start(&archive_job(id, None)).await.unwrap();
        engine.run_due_jobs().await.unwrap();
        let access = root.access(Operation::GetJobOutput).await.unwrap();
        let output = engine.job_output(&access, &job, None).await.unwrap();
        assert_eq!(read(output.reader).await.unwrap(), bytes(seed, 4096));
        seed += 4;
    }
}
