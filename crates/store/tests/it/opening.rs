//! What a folder must be to be opened, and who may.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use icefield_store::{OpenOptions, Store, StoreError, entry::ArchiveNumber};
use icefield_treehash::LinearHash;

use crate::support::{
    bytes, create_vault, fill, open, options, problems, put_file, rows, small_archive,
};

async fn refused(dir: &Path, create: bool) -> StoreError {
    Store::open(dir, OpenOptions { create, ..options() }).await.unwrap_err()
}

#[tokio::test]
async fn a_store_opens_again_as_it_was_closed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new/store");
    let store = open(&path).await;
    let identity = store.identity().clone();
    let key = *store.id_keys().newest().1;
    let vault = fill(&store).await;
    let before = rows(&store, vault).await;
    let number = store.next_number();
    assert_eq!(problems(&store).await, [""; 0]);
    store.close().await;

    let store = Store::open(&path, OpenOptions { create: false, ..options() }).await.unwrap();
    assert_eq!(*store.identity(), identity);
    assert_eq!(store.id_keys().by_number(1), Some(&key));
    assert_eq!(rows(&store, vault).await, before);
    assert!(store.next_number() > before.last().unwrap().number.0);
    assert!(store.next_number() < number + 1000, "numbers jump");
    assert_eq!(problems(&store).await, [""; 0]);
    let stat = store.stat().await.unwrap();
    assert_eq!((stat.ledger.vaults, stat.ledger.archives), (2, 4));
    assert!(stat.pack_bytes > 105_000 && stat.file_bytes > 5_000_000, "{stat:?}");
}

/// Only the keys were: the archives could be read by every user of the machine.
#[cfg(unix)]
#[tokio::test]
async fn everything_in_a_store_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new/store");
    let store = open(&path).await;
    fill(&store).await;
    let mut paths = vec![dir.path().join("new")];
    let mut files = 0;
    while let Some(path) = paths.pop() {
        let found = fs::metadata(&path).unwrap();
        let expected = if found.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(found.permissions().mode() & 0o777, expected, "{}", path.display());
        match fs::read_dir(&path) {
            Ok(entries) => paths.extend(entries.map(|entry| entry.unwrap().path())),
            Err(_) => files += 1,
        }
    }
    assert!(files > 12, "{files}");
}

#[tokio::test]
async fn a_store_in_use_names_its_holder() {
    let dir = tempfile::tempdir().unwrap();
    let address = Some("127.0.0.1:9440".to_owned());
    let store = Store::open(dir.path(), OpenOptions { address, ..options() }).await.unwrap();
    let wait = OpenOptions { lock_wait: Duration::from_millis(120), ..options() };
    let error = Store::open(dir.path(), wait).await.unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    let (text, process) = (error.to_string(), format!("process {}", std::process::id()));
    assert!(text.contains(&process) && text.contains("icefield"), "{text}");
    assert!(text.contains("127.0.0.1:9440") && text.contains("2025-11-22T05:13:34"), "{text}");
    store.close().await;
    open(dir.path()).await.close().await;
}

#[tokio::test]
async fn a_folder_of_other_files_is_not_made_a_store() {
    let dir = tempfile::tempdir().unwrap();
    let error = refused(&dir.path().join("missing"), false).await.to_string();
    assert!(error.contains("no such folder"), "{error}");
    let error = refused(dir.path(), false).await.to_string();
    assert!(error.contains("no store.json"), "{error}");
    fs::write(dir.path().join("thesis.tex"), "x").unwrap();
    let error = refused(dir.path(), true).await.to_string();
    assert!(error.contains("other files"), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "something was written there");
}

#[tokio::test]
async fn a_newer_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).await.close().await;
    let covered = "{\n  \"format\": 2,\n  \"colour\": \"blue\",\n";
    let check = LinearHash::of(covered.as_bytes());
    let text = format!("{covered}  \"check\": \"{check}\"\n}}\n");
    fs::write(dir.path().join("store.json"), text).unwrap();
    let error = refused(dir.path(), true).await;
    assert!(matches!(error, StoreError::NewerFormat { found: 2, supported: 1, .. }), "{error}");
    let error = icefield_store::rebuild(dir.path(), options(), &mut |_| {}).await.unwrap_err();
    assert!(matches!(error, StoreError::NewerFormat { .. }), "{error}");
}

#[tokio::test]
async fn a_changed_identity_or_key_is_damage() {
    for name in ["store.json", "keys.json"] {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path()).await.close().await;
        let mut text = fs::read(dir.path().join(name)).unwrap();
        let digit = text.iter().rposition(|byte| *byte == b'1').unwrap();
        text[digit] = b'3';
        fs::write(dir.path().join(name), text).unwrap();
        let error = refused(dir.path(), true).await;
        assert!(matches!(&error, StoreError::Damaged(damage) if damage.place == name), "{error}");
    }
}

#[tokio::test]
async fn what_is_neither_owned_nor_in_use_is_swept() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let [kept, given_back] = [put_file(&store, bytes(10)).await, put_file(&store, bytes(20)).await];
    store.sweep().await.unwrap();
    let opens = async |store: &Store, extent: icefield_store::Extent| {
        store.payload().open(extent.payload, extent.size, extent.tree_hash).await.is_ok()
    };
    assert!(opens(&store, kept).await && opens(&store, given_back).await);
    store.release(vec![given_back.payload]).await.unwrap();
    assert!(opens(&store, kept).await && !opens(&store, given_back).await);
    store.close().await;
    let store = open(dir.path()).await;
    assert!(!opens(&store, kept).await, "a file that nothing came to own outlived its process");
    assert_eq!(store.ledger().stat().await.unwrap().staged, 0);
}

#[tokio::test]
async fn a_closed_store_takes_no_commits() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let clone = store.clone();
    store.close().await;
    let entry = icefield_store::Entry::VaultCreated {
        vault: icefield_store::entry::VaultNumber(1),
        account: clone.identity().account.clone(),
        name: "late".parse().unwrap(),
        created: clone.clock().now(),
    };
    assert!(matches!(clone.commit(entry, Bytes::new()).await, Err(StoreError::Closed)));
}

/// The record is durable before the ledger has it, so it comes back; until then nothing more is stored.
#[tokio::test]
async fn a_ledger_that_fails_stops_the_store_and_the_log_heals_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let vault = create_vault(&store, "photos").await;
    let sabotage = |sql: &str| {
        let db = rusqlite::Connection::open(dir.path().join("ledger.db")).unwrap();
        db.execute_batch(sql).unwrap();
    };
    sabotage("CREATE TRIGGER sabotage BEFORE UPDATE ON vaults BEGIN SELECT raise(FAIL, 'no'); END");
    let number = ArchiveNumber(store.next_number());
    let body = bytes(10);
    let entry = small_archive(&store, vault, number, "a letter", &body);
    let error = store.commit(entry.clone(), body.clone()).await.unwrap_err();
    assert!(matches!(error, StoreError::Ledger { .. }), "{error}");
    let error = store.commit(entry, body).await.unwrap_err();
    assert!(matches!(error, StoreError::Fenced), "{error}");
    store.close().await;
    sabotage("DROP TRIGGER sabotage");
    let store = open(dir.path()).await;
    assert_eq!(rows(&store, vault).await.len(), 1);
    assert_eq!(problems(&store).await, [""; 0]);
}

/// Checking opened a store like everybody, so that it swept and cut off what it should have reported.
#[tokio::test]
async fn a_store_that_is_only_looked_at_stays_as_it_is() {
    let (dir, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (ledger, copy) = (dir.path().join("ledger.db"), copies.path().join("copy"));
    open(dir.path()).await.close().await;
    fs::copy(&ledger, &copy).unwrap();
    let store = open(dir.path()).await;
    let vault = fill(&store).await;
    assert_eq!(store.ledger().purge(9).await.unwrap(), 1);
    put_file(&store, bytes(10)).await;
    store.close().await;
    let store = open(dir.path()).await;
    put_file(&store, bytes(20)).await;
    store.close().await;
    let pack = dir.path().join("packs/00000002.pack");
    let mut log = fs::read(&pack).unwrap();
    log.extend(b"a torn end");
    fs::write(&pack, log).unwrap();

    let look = OpenOptions { create: false, repair: false, ..options() };
    let before = contents(dir.path());
    let store = Store::open(dir.path(), look.clone()).await.unwrap();
    let found = problems(&store).await;
    assert!(matches!(&found[..], [one] if one.starts_with("packs/00000002.pack")), "{found:?}");
    let file = store.reserve().await.unwrap_err();
    assert!(matches!(file, StoreError::Closed), "{file}");
    assert!(matches!(store.sweep().await, Err(StoreError::Closed)), "{:?}", store.sweep().await);
    let entry = small_archive(&store, vault, ArchiveNumber(store.next_number()), "x", b"x");
    let error = store.commit(entry, Bytes::from_static(b"x")).await.unwrap_err();
    assert!(matches!(error, StoreError::Closed), "{error}");
    store.close().await;
    assert!(contents(dir.path()) == before, "a store was changed by looking at it");

    // With an older ledger the whole log waits to be applied: nothing is missing for that.
    fs::copy(&copy, &ledger).unwrap();
    let store = Store::open(dir.path(), look).await.unwrap();
    assert_eq!(store.stat().await.unwrap().ledger.archives, 0);
    let found = problems(&store).await;
    let of_files = found.iter().filter(|what| what.contains("no record, upload or job names it"));
    assert_eq!((found.len(), of_files.count()), (2, 1), "{found:?}");
    store.close().await;
    let store = open(dir.path()).await;
    assert_eq!(rows(&store, vault).await.len(), 4);
}

/// Everything in the packs and payload folders.
fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![dir.join("packs"), dir.join("payload")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match fs::read(&path) {
                Ok(bytes) => found.push((path, bytes)),
                Err(_) => folders.push(path),
            }
        }
    }
    found.sort();
    found
}

/// Without packs and ledger a store seemed to be a new one: it was given an empty ledger.
#[tokio::test]
async fn payload_files_without_a_log_are_no_new_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    fill(&store).await;
    store.close().await;
    for name in ["packs/00000001.pack", "packs/00000002.pack", "ledger.db"] {
        fs::remove_file(dir.path().join(name)).unwrap();
    }
    let error = refused(dir.path(), true).await;
    assert!(matches!(&error, StoreError::Damaged(damage) if damage.place == "packs"), "{error}");
    assert!(!dir.path().join("ledger.db").exists());
    let report = icefield_store::rebuild(dir.path(), options(), &mut |_| {}).await.unwrap();
    assert_eq!((report.damage.len(), report.records), (1, 0));
    assert!(!dir.path().join("unnamed").exists(), "the packs may still be found");
}

/// The ledger of another store was accepted, and the log then cut off at its mark.
#[tokio::test]
async fn the_ledger_of_another_store_is_refused_before_anything_is_repaired() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for dir in [&dir, &other] {
        let store = open(dir.path()).await;
        fill(&store).await;
        store.close().await;
    }
    fs::copy(other.path().join("ledger.db"), dir.path().join("ledger.db")).unwrap();
    let before = contents(dir.path());
    let error = refused(dir.path(), false).await;
    assert!(error.to_string().contains("of another store"), "{error}");
    assert!(contents(dir.path()) == before, "something was repaired by it");
    icefield_store::rebuild(dir.path(), options(), &mut |_| {}).await.unwrap();
    let store = open(dir.path()).await;
    assert_eq!(problems(&store).await, [""; 0]);
}
