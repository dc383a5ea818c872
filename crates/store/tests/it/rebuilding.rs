//! Ledgers that are gone, old or wrong.

use std::{fs, path::Path};

use icefield_store::{OpenOptions, Store, StoreError, entry::VaultNumber, rebuild};

use crate::support::{
    bytes, create_vault, fill, open, options, problems, put, put_file, put_with_token,
    refused_file, rows,
};

async fn try_open(dir: &Path) -> Result<Store, StoreError> {
    Store::open(dir, OpenOptions { create: false, ..options() }).await
}

#[tokio::test]
async fn a_deleted_ledger_is_rebuilt_with_the_same_rows() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let vault = fill(&store).await;
    let expected =
        (store.ledger().vault_by_number(vault).await.unwrap(), rows(&store, vault).await);
    let unfinished = put_file(&store, bytes(1000)).await;
    store.close().await;
    fs::remove_file(dir.path().join("ledger.db")).unwrap();

    let error = try_open(dir.path()).await.unwrap_err();
    assert!(matches!(error, StoreError::LedgerMissing { .. }), "{error}");
    let mut seen = 0;
    let report = rebuild(dir.path(), options(), &mut |records| seen = records).await.unwrap();
    assert_eq!((report.records, report.vaults, report.archives), (10, 2, 4));
    assert_eq!((report.damage.len(), report.unnamed_files, seen), (0, 1, 10));
    assert_eq!(report.old_ledger, None);

    let store = try_open(dir.path()).await.unwrap();
    let found = (store.ledger().vault_by_number(vault).await.unwrap(), rows(&store, vault).await);
    assert_eq!(found, expected);
    assert_eq!(problems(&store).await, [""; 0]);
    let gone = store.payload().open(unfinished.payload, 1000, unfinished.tree_hash).await;
    assert!(matches!(gone, Err(StoreError::Missing(_))), "an unnamed file is still in the store");
    let aside = dir.path().join("unnamed").join(unfinished.payload.to_string());
    assert_eq!(fs::read(aside).unwrap(), bytes(1000), "an unnamed file is put aside, not deleted");
}

/// A record that cannot be read may be the one that names a file: deleting or moving the file would make damage final.
#[tokio::test]
async fn a_rebuild_over_a_damaged_log_leaves_every_payload_file_in_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let vault = fill(&store).await;
    put(&store, vault, "a film", bytes(5_000_000)).await;
    put(&store, vault, "a letter", bytes(10)).await;
    store.close().await;
    let film = b"a film";
    let packs = fs::read_dir(dir.path().join("packs")).unwrap().map(|pack| pack.unwrap().path());
    let found = packs.into_iter().find_map(|pack| {
        let log = fs::read(&pack).unwrap();
        let at = log.windows(film.len()).position(|window| window == film)?;
        Some((pack, log, at))
    });
    let (pack, mut log, at) = found.unwrap();
    log[at] ^= 1;
    fs::write(&pack, &log).unwrap();

    let report = rebuild(dir.path(), options(), &mut |_| {}).await.unwrap();
    assert!(!report.damage.is_empty());
    assert_eq!(report.unnamed_files, 3, "the parts of the film");
    let store = try_open(dir.path()).await.unwrap();
    store.close().await;
    log[at] ^= 1;
    fs::write(&pack, &log).unwrap();
    rebuild(dir.path(), options(), &mut |_| {}).await.unwrap();
    let store = try_open(dir.path()).await.unwrap();
    assert_eq!(problems(&store).await, [""; 0], "the healed log has its files again");
}

#[tokio::test]
async fn an_older_copy_of_the_ledger_opens_with_everything() {
    let dir = tempfile::tempdir().unwrap();
    let (ledger, copy) = (dir.path().join("ledger.db"), dir.path().join("copy"));
    let store = open(dir.path()).await;
    let vault = fill(&store).await;
    store.close().await;
    fs::copy(&ledger, &copy).unwrap();
    let store = open(dir.path()).await;
    put(&store, vault, "a later letter", bytes(10)).await;
    put(&store, vault, "a later film", bytes(5_000_000)).await;
    let expected = rows(&store, vault).await;
    store.close().await;
    fs::rename(&copy, &ledger).unwrap();

    let store = try_open(dir.path()).await.unwrap();
    assert_eq!(rows(&store, vault).await, expected);
    assert_eq!(problems(&store).await, [""; 0]);
}

#[tokio::test]
async fn a_ledger_that_differs_from_the_log_is_found_and_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let vault = fill(&store).await;
    let expected = rows(&store, vault).await;
    store.close().await;
    // As if a bug, or somebody, had written to it: the archive with the lowest number is forgotten.
    let lowest = expected[0].number.0;
    let db = rusqlite::Connection::open(dir.path().join("ledger.db")).unwrap();
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'archive%'";
    let table: String = db.query_row(sql, [], |row| row.get(0)).unwrap();
    db.pragma_update(None, "foreign_keys", false).unwrap();
    let changed = db.execute(&format!("DELETE FROM {table} WHERE number = ?1"), [lowest as i64]);
    assert_eq!(changed.unwrap(), 1);
    drop(db);

    let store = open(dir.path()).await;
    let found = problems(&store).await;
    assert!(found.iter().any(|what| what.contains(&lowest.to_string())), "{found:?}");
    store.close().await;
    let report = rebuild(dir.path(), options(), &mut |_| {}).await.unwrap();
    assert_eq!(report.old_ledger, Some(dir.path().join("ledger.db.old")));
    let store = open(dir.path()).await;
    assert_eq!(rows(&store, vault).await, expected);
    assert_eq!(problems(&store).await, [""; 0]);
}

/// Damage that the ledger has not applied yet stops the opening; a rebuild goes on and says what it could not read.
#[tokio::test]
async fn damage_beyond_the_ledger_is_refused_until_a_rebuild_has_named_it() {
    let dir = tempfile::tempdir().unwrap();
    let (ledger, copy) = (dir.path().join("ledger.db"), dir.path().join("copy"));
    open(dir.path()).await.close().await;
    fs::copy(&ledger, &copy).unwrap();
    let store = open(dir.path()).await;
    let vault = fill(&store).await;
    store.close().await;
    let pack = dir.path().join("packs/00000001.pack");
    let mut text = fs::read(&pack).unwrap();
    let at = text.windows(8).position(|window| window == b"a letter").unwrap();
    text[at] ^= 1;
    fs::write(&pack, text).unwrap();
    fs::rename(&copy, &ledger).unwrap();

    let error = try_open(dir.path()).await.unwrap_err();
    let place = "packs/00000001.pack";
    assert!(matches!(&error, StoreError::Damaged(damage) if damage.place == place), "{error}");
    let report = rebuild(dir.path(), options(), &mut |_| {}).await.unwrap();
    assert_eq!((report.damage.len(), report.archives), (1, 3), "{:?}", report.damage);
    let store = open(dir.path()).await;
    assert_eq!(rows(&store, vault).await.len(), 3);
    let found = problems(&store).await;
    assert!(matches!(&found[..], [one] if one.starts_with(place)), "{found:?}");
}

#[tokio::test]
async fn a_rebuild_waits_for_the_owner_of_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let error = rebuild(dir.path(), options(), &mut |_| {}).await.unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    drop(store);
}

/// A flipped bit in the record of a vault made a rebuild refuse all archives in it, and the next opening deleted their files.
#[tokio::test]
async fn archives_that_are_refused_because_of_damage_keep_their_files() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let vault = fill(&store).await;
    let expected = rows(&store, vault).await;
    store.close().await;
    let pack = dir.path().join("packs/00000001.pack");
    let mut log = fs::read(&pack).unwrap();
    let at = log.windows(8).position(|window| window == b"\"photos\"").unwrap();
    log[at + 1] ^= 1;
    fs::write(&pack, &log).unwrap();

    let report = rebuild(dir.path(), options(), &mut |_| {}).await.unwrap();
    assert_eq!((report.damage.len(), report.archives, report.unnamed_files), (1, 0, 0));
    let store = try_open(dir.path()).await.unwrap();
    store.sweep().await.unwrap();
    let found = problems(&store).await;
    let files = found.iter().filter(|what| what.starts_with("payload/")).count();
    assert_eq!(files, 5, "the film's and, as its deletion was refused, the mistake's: {found:?}");
    store.close().await;

    log[at + 1] ^= 1;
    fs::write(&pack, &log).unwrap();
    rebuild(dir.path(), options(), &mut |_| {}).await.unwrap();
    let store = try_open(dir.path()).await.unwrap();
    assert_eq!(rows(&store, vault).await, expected);
    assert_eq!(problems(&store).await, [""; 0], "the healed log has its files again");
}

/// Only a log that was read whole says for certain that a refused record names nothing.
#[tokio::test]
async fn files_of_refused_archives_are_put_aside_when_the_log_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    fill(&store).await;
    let nowhere = VaultNumber(store.next_number());
    let file = refused_file(&store, nowhere).await;
    store.close().await;
    fs::remove_file(dir.path().join("ledger.db")).unwrap();
    let report = rebuild(dir.path(), options(), &mut |_| {}).await.unwrap();
    assert_eq!((report.damage.len(), report.unnamed_files), (0, 1));
    assert!(dir.path().join("unnamed").join(file.payload.to_string()).exists());
    let store = try_open(dir.path()).await.unwrap();
    assert_eq!(problems(&store).await, [""; 0]);
}

/// Only rows of vaults and archives were compared: a wrong token makes a repeated upload a second archive, and wrong parts
/// make an archive unreadable.
#[tokio::test]
async fn wrong_tokens_and_parts_in_the_ledger_are_found() {
    for sql in [
        "DELETE FROM tokens",
        "UPDATE parts SET idx = idx + 10; UPDATE parts SET idx = 11 - idx",
        "DELETE FROM parts",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).await;
        let vault = create_vault(&store, "photos").await;
        put_with_token(&store, vault, "a film", bytes(3_000_000)).await;
        assert_eq!(problems(&store).await, [""; 0]);
        let db = rusqlite::Connection::open(dir.path().join("ledger.db")).unwrap();
        db.execute_batch(sql).unwrap();
        let found = problems(&store).await;
        let of_ledger = found.iter().filter(|what| what.contains("has other files or another"));
        assert_eq!(of_ledger.count(), 1, "{sql}: {found:?}");
    }
}
