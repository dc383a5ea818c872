//! What a folder must be to be opened, and who may.

use std::{fs, path::Path, time::Duration};

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

#[cfg(unix)]
#[tokio::test]
async fn the_keys_are_private() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).await.close().await;
    let mode = fs::metadata(dir.path().join("keys.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
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
