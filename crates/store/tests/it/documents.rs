//! Settings that must not be lost: documents in the log, in ledgers made again, and in the check.

use std::{fs, path::Path};

use bytes::Bytes;
use icefield_protocol::Region;
use icefield_store::{
    DocumentEntry, DocumentName, DocumentRow, Entry, Outcome, Store, StoreError,
    entry::VaultNumber, rebuild,
};
use serde_json::{Value, json};

use crate::support::{bytes, commit, create_vault, fill, open, options, problems, put, put_file};

fn name(text: &str) -> DocumentName {
    DocumentName::parse(text).unwrap()
}

async fn version(store: &Store, text: &str) -> Option<u64> {
    store.ledger().document(&name(text)).await.unwrap().map(|row| row.version)
}

/// A change of the document as it is now.
async fn change(
    store: &Store,
    text: &str,
    vault: Option<VaultNumber>,
    value: Option<Value>,
) -> DocumentEntry {
    let (version, after) = (store.next_number(), version(store, text).await);
    DocumentEntry { name: name(text), vault, version, after, value, at: store.clock().now() }
}

async fn set(store: &Store, text: &str, vault: Option<VaultNumber>, value: Option<Value>) {
    commit(store, Entry::Document(change(store, text, vault, value).await), Bytes::new()).await;
}

async fn all(store: &Store) -> Vec<DocumentRow> {
    store.ledger().documents("", None, 99).await.unwrap()
}

/// A locked vault, a user, a vault that was deleted with its settings, a key that was removed.
async fn with_documents(store: &Store) -> VaultNumber {
    let vault = fill(store).await;
    let lock = format!("vault/{vault}");
    set(store, &lock, Some(vault), Some(json!({ "tags": { "a": "b" } }))).await;
    let policy = "{\"Statement\":[{\"Effect\":\"Deny\"}]}";
    let completed = json!({ "lock": { "state": "Locked", "policy": policy } });
    set(store, &lock, Some(vault), Some(completed)).await;
    set(store, "user/1/me", None, Some(json!("me"))).await;
    let gone = create_vault(store, "gone").await;
    set(store, &format!("vault/{gone}"), Some(gone), Some(json!(1))).await;
    let deleted = store.clock().now();
    commit(store, Entry::VaultDeleted { vault: gone, writes: 0, deleted }, Bytes::new()).await;
    set(store, "key/AKIA", None, Some(json!("of somebody who left"))).await;
    set(store, "key/AKIA", None, None).await;
    vault
}

async fn assert_is_locked(store: &Store, vault: VaultNumber, expected: &[DocumentRow]) {
    let found = store.ledger().document(&name(&format!("vault/{vault}"))).await.unwrap().unwrap();
    assert_eq!((&found.value["lock"]["state"], found.vault), (&json!("Locked"), Some(vault)));
    assert_eq!(all(store).await, expected);
    assert_eq!(problems(store).await, [""; 0]);
}

/// A vault lock that a rebuild forgot would let locked archives be deleted.
#[tokio::test]
async fn a_completed_vault_lock_is_there_after_the_ledger_was_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let vault = with_documents(&store).await;
    let expected = all(&store).await;
    assert_eq!(expected.len(), 2, "{expected:?}");
    store.close().await;
    fs::remove_file(dir.path().join("ledger.db")).unwrap();
    rebuild(dir.path(), options(), &mut |_| {}).await.unwrap();
    let store = open(dir.path()).await;
    assert_is_locked(&store, vault, &expected).await;
    assert_eq!(store.stat().await.unwrap().ledger.documents, 2);
}

#[tokio::test]
async fn a_completed_vault_lock_is_there_after_an_older_ledger_was_put_back() {
    let dir = tempfile::tempdir().unwrap();
    let (ledger, copy) = (dir.path().join("ledger.db"), dir.path().join("copy"));
    open(dir.path()).await.close().await;
    fs::copy(&ledger, &copy).unwrap();
    let store = open(dir.path()).await;
    let vault = with_documents(&store).await;
    let expected = all(&store).await;
    store.close().await;
    fs::rename(&copy, &ledger).unwrap();
    let store = open(dir.path()).await;
    assert_is_locked(&store, vault, &expected).await;
}

#[tokio::test]
async fn a_sweep_and_a_purge_leave_documents_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let vault = with_documents(&store).await;
    let expected = all(&store).await;
    let unused = put_file(&store, bytes(9)).await;
    store.release(vec![unused.payload]).await.unwrap();
    assert!(store.ledger().purge(99).await.unwrap() > 0);
    store.sweep().await.unwrap();
    assert_is_locked(&store, vault, &expected).await;
    store.close().await;
    let store = open(dir.path()).await;
    assert_is_locked(&store, vault, &expected).await;
}

/// Flips a bit in the pack where `text` stands for the first time.
fn damage(dir: &Path, text: &str) {
    for entry in fs::read_dir(dir.join("packs")).unwrap() {
        let pack = entry.unwrap().path();
        let mut log = fs::read(&pack).unwrap();
        let found = log.windows(text.len()).position(|window| window == text.as_bytes());
        if let Some(at) = found {
            log[at] ^= 1;
            fs::write(&pack, log).unwrap();
            return;
        }
    }
    panic!("no pack has {text}");
}

/// The lock was made from the settings before it; that their record is damaged must not unlock the vault.
#[tokio::test]
async fn a_completed_vault_lock_outlives_damage_to_the_settings_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let vault = with_documents(&store).await;
    let expected = all(&store).await;
    store.close().await;
    damage(dir.path(), "\"tags\"");
    let report = rebuild(dir.path(), options(), &mut |_| {}).await.unwrap();
    assert_eq!(report.damage.len(), 1, "{:?}", report.damage);
    let store = open(dir.path()).await;
    assert_eq!(all(&store).await, expected);
    assert!(version(&store, &format!("vault/{vault}")).await.is_some());
}

#[tokio::test]
async fn the_check_compares_the_documents_of_ledger_and_log() {
    for (sql, expected) in [
        ("DELETE FROM documents WHERE name LIKE 'user%'", "document user/1/me is missing"),
        (
            "UPDATE documents SET value = '\"you\"' WHERE name LIKE 'user%'",
            "document user/1/me differs",
        ),
        ("UPDATE documents SET vault = NULL", "differs from what the log tells"),
        ("INSERT INTO documents VALUES ('a', NULL, 1, '0')", "document a is not in the log"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).await;
        with_documents(&store).await;
        let db = rusqlite::Connection::open(dir.path().join("ledger.db")).unwrap();
        db.execute_batch(sql).unwrap();
        let found = problems(&store).await;
        assert!(matches!(&found[..], [one] if one.contains(expected)), "{sql}: {found:?}");
    }
}

/// The clock stands still, so only what the ledger remembers keeps numbers apart.
#[tokio::test]
async fn versions_are_not_handed_out_again_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    set(&store, "clock", None, Some(json!(1))).await;
    let before = version(&store, "clock").await.unwrap();
    set(&store, "clock", None, None).await;
    store.close().await;
    let store = open(dir.path()).await;
    assert!(store.next_number() > before + 1);
}

/// An entry that cannot be read back would be taken for that of a newer icefield: the store would never open again.
#[tokio::test]
async fn a_document_that_a_record_cannot_hold_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let nested = (0..200).fold(json!(0), |inner, _| json!([inner]));
    let of_length = |length: usize| json!("x".repeat(length - 2));
    for (value, expected) in [
        (json!(null), "cannot be read back"),
        (nested, "cannot be read back"),
        (of_length((1 << 20) + 1), "longer than 1 MiB"),
    ] {
        let entry = Entry::Document(change(&store, "user/1/me", None, Some(value)).await);
        let error = store.commit(entry, Bytes::new()).await.unwrap_err();
        assert!(matches!(error, StoreError::UnfitDocument { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("user/1/me") && text.contains(expected), "{text}");
    }
    set(&store, "user/1/me", None, Some(of_length(1 << 20))).await;
    let expected = all(&store).await;
    store.close().await;
    let store = open(dir.path()).await;
    assert_eq!(all(&store).await, expected);
    assert_eq!(problems(&store).await, [""; 0]);
}

#[tokio::test]
async fn of_two_changes_of_one_version_the_second_is_turned_away() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let vault = create_vault(&store, "photos").await;
    let changes = [
        change(&store, "clock", None, Some(json!(1))).await,
        change(&store, "clock", None, Some(json!(2))).await,
    ];
    let versions = changes.each_ref().map(|change| change.version);
    let commits = changes.map(|change| store.commit(Entry::Document(change), Bytes::new()));
    let outcomes = futures_util::future::join_all(commits).await;
    let outcomes: Vec<_> = outcomes.into_iter().map(|committed| committed.unwrap().0).collect();
    let first = Outcome::Done { writes: versions[0] };
    assert_eq!(outcomes, [first, Outcome::DocumentChanged(Some(versions[0]))]);
    put(&store, vault, "a letter", bytes(9)).await;
    assert_eq!(problems(&store).await, [""; 0]);
}

#[tokio::test]
async fn the_first_region_of_a_store_is_its_region() {
    let dir = tempfile::tempdir().unwrap();
    let region = |text: &str| Region::parse(text).unwrap();
    let store = open(dir.path()).await;
    assert_eq!(store.identity().region, None);
    store.set_region(region("us-west-2")).await.unwrap();
    let expected = store.identity().clone();
    assert_eq!(expected.region, Some(region("us-west-2")));
    store.close().await;

    let store = open(dir.path()).await;
    assert_eq!(*store.identity(), expected);
    store.set_region(region("us-west-2")).await.unwrap();
    let error = store.set_region(region("eu-north-1")).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("us-west-2") && text.contains("eu-north-1"), "{text}");
    assert!(matches!(error, StoreError::RegionDiffers { .. }), "{text}");
    assert_eq!(problems(&store).await, [""; 0]);
    store.close().await;
    assert_eq!(*open(dir.path()).await.identity(), expected);
}
