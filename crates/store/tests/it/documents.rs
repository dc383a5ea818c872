//! Settings that must not be lost: documents in the log, in ledgers made again, and in the check.

use std::{fs, path::Path};

use bytes::Bytes;
use icefield_protocol::Region;
use icefield_store::{
    DocumentEntry, DocumentName, DocumentRow, Entry, OpenOptions, Outcome, Store, StoreError,
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
    let found = |log: &[u8]| log.windows(text.len()).position(|window| window == text.as_bytes());
    damage_at(dir, found);
}

/// Flips a bit in the value, or in the end, of the last record of a document.
fn damage_last_of(dir: &Path, name: &str) {
    let text = format!("\"document\",\"name\":\"{name}\"");
    let after = b",\"at\":";
    damage_at(dir, |log| {
        let last = log.windows(text.len()).rposition(|window| window == text.as_bytes())?;
        let end = log[last..].windows(after.len()).position(|window| window == after)?;
        Some(last + end - 1)
    });
}

fn damage_at(dir: &Path, find: impl Fn(&[u8]) -> Option<usize>) {
    let packs = fs::read_dir(dir.join("packs")).unwrap().map(|entry| entry.unwrap().path());
    let mut packs: Vec<_> = packs.collect();
    packs.sort();
    for pack in packs.into_iter().rev() {
        let mut log = fs::read(&pack).unwrap();
        if let Some(at) = find(&log) {
            log[at] ^= 1;
            fs::write(&pack, log).unwrap();
            return;
        }
    }
    panic!("no pack has it");
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

fn accepting() -> OpenOptions {
    OpenOptions { accept_older_settings: true, ..options() }
}

/// A rebuild brought the older version of a document back although the old ledger knew the newer one: a completed lock was in
/// progress again and could be aborted.
#[tokio::test]
async fn a_lock_whose_record_is_damaged_is_taken_over_from_the_old_ledger_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let vault = with_documents(&store).await;
    let expected = all(&store).await;
    store.close().await;
    let lock = format!("vault/{vault}");
    damage_last_of(dir.path(), &lock);

    let report = rebuild(dir.path(), options(), &mut |_| {}).await.unwrap();
    assert!(report.in_place && report.doubt.is_none(), "{report:?}");
    assert_eq!((report.documents, &report.taken_over[..]), (2, &[name(&lock)][..]));
    assert!(matches!(&report.damage[..], [one] if one.what.contains(&lock)), "{report:?}");
    let store = open(dir.path()).await;
    assert_eq!(all(&store).await, expected);
    set(&store, "clock", None, Some(json!(1))).await;
    let expected = all(&store).await;
    store.close().await;

    // The next one has it from the log.
    fs::remove_file(dir.path().join("ledger.db")).unwrap();
    let report = rebuild(dir.path(), accepting(), &mut |_| {}).await.unwrap();
    assert_eq!(report.taken_over, []);
    let store = open(dir.path()).await;
    assert_eq!(all(&store).await, expected);
    let found = problems(&store).await;
    assert!(matches!(&found[..], [one] if one.contains(&lock)), "{found:?}");
}

#[tokio::test]
async fn a_removed_key_whose_removal_is_damaged_stays_removed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let vault = with_documents(&store).await;
    let expected = all(&store).await;
    put(&store, vault, "a later letter", bytes(9)).await;
    store.close().await;
    damage_last_of(dir.path(), "key/AKIA");
    let report = rebuild(dir.path(), options(), &mut |_| {}).await.unwrap();
    assert_eq!((report.doubt.is_none(), &report.taken_over[..]), (true, &[name("key/AKIA")][..]));
    let store = open(dir.path()).await;
    assert_eq!(all(&store).await, expected);
    store.close().await;
    fs::remove_file(dir.path().join("ledger.db")).unwrap();
    rebuild(dir.path(), accepting(), &mut |_| {}).await.unwrap();
    assert_eq!(all(&open(dir.path()).await).await, expected);
}

/// The record that was damaged and what was taken over say the same, so it does not matter which of them counts.
#[tokio::test]
async fn a_pack_that_is_healed_after_a_rebuild_agrees_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let vault = with_documents(&store).await;
    let expected = all(&store).await;
    store.close().await;
    let lock = format!("vault/{vault}");
    damage_last_of(dir.path(), &lock);
    rebuild(dir.path(), options(), &mut |_| {}).await.unwrap();
    // The same bit once more.
    damage_at(dir.path(), |log| {
        let at = b",\"at\":";
        let text = format!("\"name\":\"{lock}\"");
        let second = log
            .windows(text.len())
            .enumerate()
            .filter(|(_, window)| *window == text.as_bytes())
            .nth(1)?;
        let end = log[second.0..].windows(at.len()).position(|window| window == at)?;
        Some(second.0 + end - 1)
    });
    fs::remove_file(dir.path().join("ledger.db")).unwrap();
    let report = rebuild(dir.path(), options(), &mut |_| {}).await.unwrap();
    assert_eq!((&report.damage[..], report.doubt.is_none()), (&[][..], true));
    let store = open(dir.path()).await;
    assert_is_locked(&store, vault, &expected).await;
}

/// Neither without an old ledger, nor with one that is older than what was lost, another store's, or damaged.
#[tokio::test]
async fn settings_that_nothing_knows_any_more_are_given_up_only_by_choice() {
    for (old, expected) in [
        ("none", "no old ledger"),
        ("older", "older than what was lost"),
        ("another", "of another store"),
        ("damaged", "cannot be used"),
    ] {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let ledger = dir.path().join("ledger.db");
        let store = open(dir.path()).await;
        store.close().await;
        let older = fs::read(&ledger).unwrap();
        let store = open(dir.path()).await;
        let vault = with_documents(&store).await;
        store.close().await;
        damage_last_of(dir.path(), &format!("vault/{vault}"));
        match old {
            "none" => fs::remove_file(&ledger).unwrap(),
            "older" => fs::write(&ledger, older).unwrap(),
            "another" => {
                open(other.path()).await.close().await;
                fs::copy(other.path().join("ledger.db"), &ledger).map(drop).unwrap();
            }
            _ => fs::write(&ledger, vec![0x5a; older.len()]).unwrap(),
        }
        let before = (fs::read(&ledger).ok(), packs(dir.path()));

        let report = rebuild(dir.path(), options(), &mut |_| {}).await.unwrap();
        let doubt = report.doubt.unwrap();
        assert!(!report.in_place && doubt.why.contains(expected), "{old}: {doubt:?}");
        assert_eq!((doubt.vaults, report.archives), (vec!["photos".to_owned()], 4), "{old}");
        assert!(!dir.path().join("ledger.db.old").exists(), "{old}");
        assert_eq!((fs::read(&ledger).ok(), packs(dir.path())), before, "{old}");

        let report = rebuild(dir.path(), accepting(), &mut |_| {}).await.unwrap();
        assert!(report.in_place && report.doubt.is_some(), "{old}: {report:?}");
        let store = open(dir.path()).await;
        let row = store.ledger().document(&name(&format!("vault/{vault}"))).await.unwrap();
        assert_eq!(row.unwrap().value, json!({ "tags": { "a": "b" } }), "{old}: the older one");
    }
}

/// A document that was made again after its removal is refused by the replay when the removal is lost.
#[tokio::test]
async fn an_old_ledger_that_knows_the_removal_but_not_what_came_after_is_not_enough() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = dir.path().join("ledger.db");
    let store = open(dir.path()).await;
    with_documents(&store).await;
    store.close().await;
    let older = fs::read(&ledger).unwrap();
    damage_last_of(dir.path(), "key/AKIA");
    let store = open(dir.path()).await;
    set(&store, "key/AKIA", None, Some(json!("of somebody new"))).await;
    let expected = all(&store).await;
    store.close().await;
    let newer = fs::read(&ledger).unwrap();

    fs::write(&ledger, older).unwrap();
    let report = rebuild(dir.path(), options(), &mut |_| {}).await.unwrap();
    assert!(!report.in_place && report.doubt.is_some(), "{report:?}");
    fs::write(&ledger, newer).unwrap();
    let report = rebuild(dir.path(), options(), &mut |_| {}).await.unwrap();
    assert_eq!((report.in_place, &report.taken_over[..]), (true, &[name("key/AKIA")][..]));
    assert_eq!(all(&open(dir.path()).await).await, expected);
}

/// The packs may still be found; a log that began anew would stand in their place.
#[tokio::test]
async fn settings_of_an_old_ledger_begin_no_new_log() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    with_documents(&store).await;
    store.close().await;
    for pack in ["packs/00000001.pack", "packs/00000002.pack"] {
        fs::remove_file(dir.path().join(pack)).unwrap();
    }
    for (options, in_place) in [(options(), false), (accepting(), true)] {
        let report = rebuild(dir.path(), options, &mut |_| {}).await.unwrap();
        assert_eq!((report.in_place, &report.taken_over[..]), (in_place, &[][..]), "{report:?}");
        assert!(report.doubt.is_some_and(|doubt| doubt.why.contains("no records")));
        assert_eq!(fs::read_dir(dir.path().join("packs")).unwrap().count(), 0);
    }
}

fn packs(dir: &Path) -> Vec<Vec<u8>> {
    let packs = ["packs/00000001.pack", "packs/00000002.pack"];
    packs.iter().map(|pack| fs::read(dir.join(pack)).unwrap_or_default()).collect()
}

/// An archive's record that is damaged says of itself that it told of no settings.
#[tokio::test]
async fn damaged_archives_cast_no_doubt_on_settings() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let vault = with_documents(&store).await;
    let expected = all(&store).await;
    store.close().await;
    fs::remove_file(dir.path().join("ledger.db")).unwrap();
    damage(dir.path(), "\"a letter\"");
    let report = rebuild(dir.path(), options(), &mut |_| {}).await.unwrap();
    assert_eq!((report.damage.len(), report.archives, report.in_place), (1, 3, true));
    assert!(report.doubt.is_none(), "{report:?}");
    let store = open(dir.path()).await;
    assert_eq!(all(&store).await, expected);
    assert!(version(&store, &format!("vault/{vault}")).await.is_some());
}

/// The end of the log is gone without a trace; only the old ledger knows that there was more.
#[tokio::test]
async fn settings_in_a_lost_end_of_the_log_are_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let vault = fill(&store).await;
    let lock = format!("vault/{vault}");
    set(&store, &lock, Some(vault), Some(json!({ "lock": "InProgress" }))).await;
    store.close().await;
    let before = packs(dir.path());
    let store = open(dir.path()).await;
    set(&store, &lock, Some(vault), Some(json!({ "lock": "Locked" }))).await;
    let expected = all(&store).await;
    store.close().await;
    for (pack, text) in ["packs/00000001.pack", "packs/00000002.pack"].iter().zip(before) {
        fs::write(dir.path().join(pack), text).unwrap();
    }
    let report = rebuild(dir.path(), options(), &mut |_| {}).await.unwrap();
    assert_eq!((report.damage.len(), &report.taken_over[..]), (1, &[name(&lock)][..]));
    let store = open(dir.path()).await;
    assert_eq!(all(&store).await, expected);
    assert_eq!(problems(&store).await, [""; 0]);
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
