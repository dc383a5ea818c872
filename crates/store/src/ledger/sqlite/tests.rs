//! What is SQLite's own: opening and refusing files, closing, plans of queries, damage.

use std::{error::Error, fs, path::PathBuf};

use icefield_protocol::{AccountId, Timestamp, VaultName};
use rusqlite::Connection;
use tempfile::TempDir;

use super::{SqliteLedger, archive, document, job, outbox, purge, staging, upload};
use crate::{
    entry::{Entry, Outcome, PayloadId, VaultNumber},
    error::StoreError,
    ledger::Ledger,
    payload::{LogPosition, RecordPlace},
};

fn in_new_folder() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ledger.db");
    (folder, path)
}

/// Creates a vault of this number; its name is the number.
async fn create_vault(ledger: &SqliteLedger, number: u64) {
    let entry = Entry::VaultCreated {
        vault: VaultNumber(number),
        account: AccountId::parse("000000000001").unwrap(),
        name: VaultName::parse(&number.to_string()).unwrap(),
        created: Timestamp::UNIX_EPOCH,
    };
    let mark = LogPosition { pack: 1, offset: number };
    let outcomes = ledger.apply(vec![(entry, RecordPlace { at: mark, length: 1 })], mark).await;
    assert_eq!(outcomes.unwrap(), [Outcome::Done { writes: 0 }]);
}

fn files(folder: &TempDir) -> Vec<String> {
    let entries = folder.path().read_dir().unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_closed_ledger_is_one_file_and_keeps_everything() {
    let (folder, path) = in_new_folder();
    let ledger = SqliteLedger::open(&path, true, None).unwrap();
    create_vault(&ledger, 1).await;
    assert_eq!(files(&folder), ["ledger.db", "ledger.db-shm", "ledger.db-wal"]);
    ledger.close().await.unwrap();
    ledger.close().await.unwrap();
    assert_eq!(files(&folder), ["ledger.db"]);
    assert!(matches!(ledger.mark().await, Err(StoreError::Closed)));
    assert!(matches!(ledger.purge(1).await, Err(StoreError::Closed)));

    let ledger = SqliteLedger::open(&path, false, None).unwrap();
    assert_eq!(ledger.mark().await.unwrap(), LogPosition { pack: 1, offset: 1 });
    assert!(ledger.vault_by_number(VaultNumber(1)).await.unwrap().is_some());
    drop(ledger);
    assert_eq!(files(&folder), ["ledger.db"]);
}

/// What a crash leaves: the file and its write-ahead log as they are after the last answer.
#[tokio::test]
async fn what_was_answered_is_there_after_a_crash() {
    let (_folder, path) = in_new_folder();
    let ledger = SqliteLedger::open(&path, true, None).unwrap();
    for number in 1..50 {
        create_vault(&ledger, number).await;
    }
    let (copies, copy) = in_new_folder();
    fs::copy(&path, &copy).unwrap();
    fs::copy(path.with_extension("db-wal"), copies.path().join("ledger.db-wal")).unwrap();
    let after_crash = SqliteLedger::open(&copy, false, None).unwrap();
    assert_eq!(after_crash.stat().await.unwrap().vaults, 49);
    assert_eq!(after_crash.mark().await.unwrap().offset, 49);
}

#[tokio::test]
async fn many_tasks_write_and_read_at_once_and_each_reads_what_it_wrote() {
    let (_folder, path) = in_new_folder();
    let ledger = SqliteLedger::open(&path, true, None).unwrap();
    let tasks = (1..300_u64).map(async |number| {
        create_vault(&ledger, number).await;
        let id = PayloadId::from_bytes(u128::from(number).to_be_bytes());
        ledger.stage(vec![id]).await.unwrap();
        let before = PayloadId::from_bytes(u128::from(number - 1).to_be_bytes());
        assert_eq!(ledger.staged(Some(before), 1).await.unwrap(), [id]);
        assert!(ledger.vault_by_number(VaultNumber(number)).await.unwrap().is_some());
    });
    futures_util::future::join_all(tasks).await;
    let stat = ledger.stat().await.unwrap();
    assert_eq!((stat.vaults, stat.staged), (299, 299));
}

#[tokio::test]
async fn a_missing_ledger_is_not_made_by_accident() {
    let (folder, path) = in_new_folder();
    let error = SqliteLedger::open(&path, false, None).unwrap_err();
    assert!(matches!(error, StoreError::LedgerMissing { .. }), "{error}");
    assert!(error.to_string().contains("icefield store rebuild --data"));
    assert_eq!(files(&folder), Vec::<String>::new());
    fs::write(&path, b"").unwrap();
    let error = SqliteLedger::open(&path, false, None).unwrap_err();
    assert!(matches!(error, StoreError::LedgerMissing { .. }), "{error}");
    SqliteLedger::open(&path, true, None).unwrap().close().await.unwrap();
    SqliteLedger::open(&path, true, None).unwrap().close().await.unwrap();
}

#[tokio::test]
async fn a_newer_ledger_and_foreign_databases_are_refused_untouched() {
    let (_folder, path) = in_new_folder();
    SqliteLedger::open(&path, true, None).unwrap().close().await.unwrap();
    let set = |sql: &str| Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    set("PRAGMA user_version = 7");
    let before = fs::read(&path).unwrap();
    let error = SqliteLedger::open(&path, true, None).unwrap_err();
    assert!(matches!(error, StoreError::NewerFormat { found: 7, supported: 4, .. }), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);
    set("PRAGMA user_version = 3");
    let error = SqliteLedger::open(&path, true, None).unwrap_err();
    assert!(error.to_string().contains("icefield store rebuild"), "{error}");
    set("PRAGMA user_version = 4; PRAGMA application_id = 12");
    let error = SqliteLedger::open(&path, true, None).unwrap_err();
    assert!(matches!(error, StoreError::NotAStore { .. }), "{error}");
}

/// The ledger of another store was taken for an index of this one's log, which was then cut off at its mark.
#[tokio::test]
async fn a_ledger_belongs_to_one_store() {
    let (_folder, path) = in_new_folder();
    SqliteLedger::open(&path, true, None).unwrap().close().await.unwrap();
    SqliteLedger::open(&path, false, Some("one")).unwrap().close().await.unwrap();
    SqliteLedger::open(&path, false, Some("one")).unwrap().close().await.unwrap();
    let before = fs::read(&path).unwrap();
    let error = SqliteLedger::open(&path, false, Some("another")).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("another store, one") && text.contains("store rebuild"), "{text}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_file_that_is_no_database_asks_for_a_rebuild() {
    let (_folder, path) = in_new_folder();
    fs::write(&path, "once upon a time, there was no database here\n".repeat(200)).unwrap();
    let error = SqliteLedger::open(&path, false, None).unwrap_err();
    let hint = error.source().map(ToString::to_string).unwrap_or_default();
    assert!(hint.contains("icefield store rebuild"), "{error}: {hint}");
}

#[tokio::test]
async fn damage_is_found_by_the_check_and_never_told_as_a_value() {
    let (_folder, path) = in_new_folder();
    let ledger = SqliteLedger::open(&path, true, None).unwrap();
    create_vault(&ledger, 1).await;
    assert_eq!(ledger.integrity_check().await.unwrap(), Vec::<String>::new());
    ledger.close().await.unwrap();
    let set = |sql: &str| Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    set("UPDATE vaults SET archives = 3");
    let ledger = SqliteLedger::open(&path, false, None).unwrap();
    let found = ledger.integrity_check().await.unwrap();
    assert_eq!(found, ["vault 1 counts 3 archives of 0 bytes, but lists 0 of 0 bytes"]);
    ledger.close().await.unwrap();
    set("UPDATE vaults SET archives = -1, name = 'no/name'");
    let ledger = SqliteLedger::open(&path, false, None).unwrap();
    let error = ledger.vault_by_number(VaultNumber(1)).await.unwrap_err();
    let hint = error.source().map(ToString::to_string).unwrap_or_default();
    assert!(hint.contains("icefield store rebuild"), "{error}: {hint}");
}

/// Overwrites the root of the vaults' tree: SQLite itself notices.
#[tokio::test]
async fn a_broken_page_is_reported_as_damage() {
    let (_folder, path) = in_new_folder();
    let ledger = SqliteLedger::open(&path, true, None).unwrap();
    create_vault(&ledger, 1).await;
    ledger.close().await.unwrap();
    let root = "SELECT rootpage FROM sqlite_schema WHERE name = 'vaults'";
    let root: usize = Connection::open(&path).unwrap().query_one(root, [], |r| r.get(0)).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[(root - 1) * 4096..root * 4096].fill(0xA5);
    fs::write(&path, bytes).unwrap();
    let ledger = SqliteLedger::open(&path, false, None).unwrap();
    let error = ledger.vault_by_number(VaultNumber(1)).await.unwrap_err();
    let hint = error.source().map(ToString::to_string).unwrap_or_default();
    assert!(hint.contains("icefield store rebuild"), "{error}: {hint}");
    assert_ne!(ledger.integrity_check().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn long_lists_follow_an_index_in_the_order_of_the_answer() {
    let (_folder, path) = in_new_folder();
    SqliteLedger::open(&path, true, None).unwrap().close().await.unwrap();
    let db = Connection::open(&path).unwrap();
    let plan = |sql: &str| {
        let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let count = statement.parameter_count();
        let params = rusqlite::params_from_iter(std::iter::repeat_n(1, count));
        let lines = statement.query_map(params, |row| row.get::<_, String>(3)).unwrap();
        lines.collect::<Result<Vec<_>, _>>().unwrap().join("; ")
    };
    let list = plan(archive::LIST);
    assert!(list.contains("archives_of_vault (vault=? AND rowid>?)"), "{list}");
    let purge = plan(purge::UNNEEDED);
    assert!(purge.contains("SCAN a USING INDEX deleted_archives"), "{purge}");
    assert!(purge.contains("jobs_of_archive (archive=?)"), "{purge}");
    assert!(purge.contains("inventory_jobs (vault=? AND writes>? AND writes<?)"), "{purge}");
    let garbage = plan(staging::IS_GARBAGE);
    assert!(!garbage.contains("SCAN archives") && !garbage.contains("SCAN jobs"), "{garbage}");
    for index in ["archives_by_payload", "parts_by_payload", "jobs_by_output"] {
        assert!(garbage.contains(index), "{garbage}");
    }
    let documents = plan(document::LIST);
    assert!(documents.contains("(name>? AND name<?)"), "{documents}");
    let running = plan(job::RUNNING);
    assert!(running.contains("running_retrievals (vault=?)"), "{running}");
    let since = plan(job::SINCE);
    assert!(since.contains("retrievals (vault=? AND created>?)"), "{since}");
    let jobs = plan(job::COUNT);
    assert!(jobs.contains("COVERING INDEX jobs_of_vault (vault=?)"), "{jobs}");
    let inventories = plan(job::COUNT_INVENTORIES);
    assert!(inventories.contains("COVERING INDEX inventory_jobs (vault=?"), "{inventories}");
    let uploads = plan(upload::COUNT);
    assert!(uploads.contains("COVERING INDEX uploads_of_vault (vault=? AND state=?)"), "{uploads}");
    let expire = plan(outbox::EXPIRE);
    assert!(expire.contains("dead_deliveries (dead=?)"), "{expire}");
    let due = plan(outbox::DUE);
    assert!(due.contains("due_deliveries (next<?)"), "{due}");
    let dead = plan(outbox::DEAD);
    assert!(dead.contains("dead_deliveries (dead=? AND rowid>?)"), "{dead}");
    for plan in [list, purge, documents, running, since, due, dead] {
        assert!(!plan.contains("TEMP B-TREE"), "{plan}");
    }
}
