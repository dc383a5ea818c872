//! The tables of `ledger.db`, and opening a connection to them.
//!
//! Made for 100 million archives. Numbers are handed out in the order of time, so rows keyed by them are appended; tokens
//! are ordered by time as well. Only names of payload files are random: an index on them costs a page for each file, which
//! is little beside the file, and lets a sweep ask whether a file is in use before it removes it. An archive is
//! found by number alone and listed by vault, and its row is wide: it lives under its number, and the index on the vault
//! costs a dozen bytes. The parts of an upload become those of an archive by its taking over the upload's number.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::failure::Failure;
use crate::{
    durable,
    error::{Damage, StoreError},
};

/// "icef" in ASCII, so that `file` and other tools can tell a ledger from other databases.
const APPLICATION_ID: i32 = i32::from_be_bytes(*b"icef");
/// The newest schema this program knows.
const SCHEMA: u32 = 4;
/// How long to wait for a lock that somebody outside, looking at the file with a tool of their own, holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// More than there are statements in this folder.
const CACHED_STATEMENTS: usize = 128;
/// The write-ahead log is cut back to this after a checkpoint.
const WAL_KEPT_BYTES: i64 = 16 << 20;

const TABLES: &str = "
CREATE TABLE state (
    id INTEGER PRIMARY KEY CHECK (id = 0),
    mark_pack INTEGER NOT NULL,
    mark_offset INTEGER NOT NULL,
    highest INTEGER NOT NULL,
    -- Whose log it is an index of; empty until the first opening if the store did not know itself.
    store_id TEXT
) STRICT;
INSERT INTO state VALUES (0, 0, 0, 0, NULL);

CREATE TABLE vaults (
    number INTEGER PRIMARY KEY,
    account TEXT NOT NULL,
    name TEXT NOT NULL,
    created INTEGER NOT NULL,
    writes INTEGER NOT NULL,
    archives INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    inventory_date INTEGER,
    inventory_writes INTEGER,
    inventory_archives INTEGER,
    inventory_bytes INTEGER,
    UNIQUE (account, name)
) STRICT;

-- Its bytes: in a record (pack, offset, length), in one payload file, or in the parts of an upload.
CREATE TABLE archives (
    number INTEGER PRIMARY KEY,
    vault INTEGER NOT NULL,
    seal_key INTEGER NOT NULL,
    salt BLOB NOT NULL,
    description TEXT,
    created INTEGER NOT NULL,
    aged INTEGER,
    size INTEGER NOT NULL,
    tree_hash BLOB NOT NULL,
    pack INTEGER,
    offset INTEGER,
    length INTEGER,
    payload BLOB,
    upload INTEGER,
    created_write INTEGER NOT NULL,
    deleted_write INTEGER,
    CHECK ((pack IS NOT NULL) + (payload IS NOT NULL) + (upload IS NOT NULL) = 1)
) STRICT;
-- An index ends with the row's number, so this is the list of a vault in order.
CREATE INDEX archives_of_vault ON archives (vault);
CREATE INDEX archives_by_payload ON archives (payload) WHERE payload IS NOT NULL;
CREATE INDEX deleted_archives ON archives (vault) WHERE deleted_write IS NOT NULL;

-- What tokens and uploads became is remembered as long as the vault: a replay must refuse what was refused.
CREATE TABLE tokens (
    vault INTEGER NOT NULL,
    token BLOB NOT NULL,
    archive INTEGER NOT NULL,
    PRIMARY KEY (vault, token)
) STRICT, WITHOUT ROWID;
CREATE TABLE completed (
    vault INTEGER NOT NULL,
    upload INTEGER NOT NULL,
    archive INTEGER NOT NULL,
    PRIMARY KEY (vault, upload)
) STRICT, WITHOUT ROWID;

CREATE TABLE uploads (
    number INTEGER PRIMARY KEY,
    vault INTEGER NOT NULL,
    seal_key INTEGER NOT NULL,
    salt BLOB NOT NULL,
    description TEXT,
    part_size INTEGER NOT NULL,
    token BLOB,
    created INTEGER NOT NULL,
    touched INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('in progress', 'completed', 'aborted')),
    archive INTEGER
) STRICT;
CREATE INDEX uploads_of_vault ON uploads (vault, state);
CREATE UNIQUE INDEX upload_tokens ON uploads (vault, token) WHERE token IS NOT NULL;

CREATE TABLE parts (
    upload INTEGER NOT NULL,
    idx INTEGER NOT NULL,
    payload BLOB NOT NULL,
    size INTEGER NOT NULL,
    tree_hash BLOB NOT NULL,
    PRIMARY KEY (upload, idx)
) STRICT, WITHOUT ROWID;
CREATE INDEX parts_by_payload ON parts (payload);

-- An archive job has an archive, an inventory job has the writes that it shows.
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY,
    vault INTEGER NOT NULL,
    seal_key INTEGER NOT NULL,
    salt BLOB NOT NULL,
    archive INTEGER,
    range_first INTEGER,
    range_last INTEGER,
    range_given INTEGER,
    tier TEXT,
    format TEXT,
    writes INTEGER,
    date INTEGER,
    starts INTEGER,
    ends INTEGER,
    at_most INTEGER,
    after INTEGER,
    description TEXT,
    sns_topic TEXT,
    created INTEGER NOT NULL,
    due INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('InProgress', 'Succeeded', 'Failed')),
    message TEXT,
    completed INTEGER,
    output_payload BLOB,
    output_size INTEGER,
    output_tree_hash BLOB,
    output_next INTEGER,
    CHECK ((archive IS NOT NULL) + (writes IS NOT NULL) = 1)
) STRICT;
CREATE INDEX jobs_of_vault ON jobs (vault);
CREATE INDEX jobs_of_archive ON jobs (archive) WHERE archive IS NOT NULL;
CREATE INDEX inventory_jobs ON jobs (vault, writes) WHERE writes IS NOT NULL;
CREATE INDEX due_jobs ON jobs (due) WHERE status = 'InProgress';
CREATE INDEX jobs_by_output ON jobs (output_payload) WHERE output_payload IS NOT NULL;
CREATE INDEX ended_jobs ON jobs (completed) WHERE completed IS NOT NULL;
CREATE INDEX running_retrievals ON jobs (vault) WHERE tier = 'Standard' AND status = 'InProgress';
CREATE INDEX retrievals ON jobs (vault, created) WHERE tier = 'Standard';

-- Values may be long, so rows live under numbers and the names beside them. Without a value: removed, but remembered as
-- long as the vault, so that a late change of it can be told from one whose predecessor is lost.
CREATE TABLE documents (
    name TEXT NOT NULL UNIQUE,
    vault INTEGER,
    version INTEGER NOT NULL,
    value TEXT
) STRICT;
CREATE INDEX documents_of_vault ON documents (vault) WHERE vault IS NOT NULL;

CREATE TABLE deliveries (
    number INTEGER PRIMARY KEY,
    topic TEXT NOT NULL,
    destination TEXT NOT NULL,
    message_id TEXT NOT NULL,
    message TEXT NOT NULL,
    created INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    next INTEGER NOT NULL,
    dead INTEGER NOT NULL,
    error TEXT
) STRICT;
CREATE INDEX due_deliveries ON deliveries (next) WHERE dead = 0;
CREATE INDEX dead_deliveries ON deliveries (dead) WHERE dead = 1;

CREATE TABLE staged (payload BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;

-- Bodies in packs that nothing needs any more, by where their records begin, until a compaction has dropped them; and
-- their sums.
CREATE TABLE dead_bodies (
    pack INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    archive INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (pack, offset)
) STRICT, WITHOUT ROWID;
CREATE TABLE dead_bytes (pack INTEGER PRIMARY KEY, bytes INTEGER NOT NULL) STRICT;
";

/// Opens the connection that writes, and makes the tables in a new file if `create` says so. A ledger of another store than
/// `store_id` is not touched.
pub(super) fn open_writer(
    path: &Path,
    create: bool,
    store_id: Option<&str>,
) -> Result<Connection, StoreError> {
    let missing = || StoreError::LedgerMissing { path: folder_of(path) };
    if !create && !path.exists() {
        return Err(missing());
    }
    if create {
        create_file(path).map_err(|error| StoreError::io("creating", path, error))?;
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut db = Connection::open_with_flags(path, flags).map_err(failed(path))?;
    match found_schema(&db, path)? {
        Some(SCHEMA) => check_store(&db, path, store_id)?,
        Some(found) if found < SCHEMA => return Err(unfit(path, "made before the first release")),
        Some(found) => {
            return Err(StoreError::NewerFormat {
                path: folder_of(path),
                found,
                supported: SCHEMA,
            });
        }
        None if create => make_tables(&mut db).map_err(failed(path))?,
        None => return Err(missing()),
    }
    if let Some(store_id) = store_id {
        let sql = "UPDATE state SET store_id = ?1 WHERE store_id IS NULL";
        db.execute(sql, [store_id]).map_err(failed(path))?;
    }
    let mode = prepare(&db).map_err(failed(path))?;
    if mode != "wal" {
        let source =
            format!("its file system does not allow a write-ahead log, only {mode}").into();
        return Err(StoreError::Ledger { doing: "opening the ledger", source });
    }
    Ok(db)
}

/// Makes an empty file that only its owner may read, if there is none; SQLite gives its companions the same mode.
fn create_file(path: &Path) -> io::Result<()> {
    match durable::create_new(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Refuses the ledger of another store: its mark would be taken for where the log of this one was acknowledged to.
fn check_store(db: &Connection, path: &Path, store_id: Option<&str>) -> Result<(), StoreError> {
    let sql = "SELECT store_id FROM state";
    let found: Option<String> = db.query_one(sql, [], |row| row.get(0)).map_err(failed(path))?;
    match (found, store_id) {
        (Some(found), Some(store_id)) if found != store_id => {
            Err(unfit(path, &format!("the ledger of another store, {found}")))
        }
        _ => Ok(()),
    }
}

fn unfit(path: &Path, what: &str) -> StoreError {
    let place = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let what = format!("{what}: put back the right one, or run `icefield store rebuild`");
    StoreError::Damaged(Damage { place, leaf: None, what })
}

/// Opens one more connection, for reading, to a file that [`open_writer`] has checked.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || -> rusqlite::Result<_> {
        let db = Connection::open_with_flags(path, flags)?;
        db.busy_timeout(BUSY_TIMEOUT)?;
        db.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
        db.pragma_update(None, "cell_size_check", true)?;
        Ok(db)
    };
    open().map_err(failed(path))
}

fn failed(path: &Path) -> impl Fn(rusqlite::Error) -> StoreError {
    |source| Failure::from(source).while_doing("opening the ledger", path)
}

fn folder_of(path: &Path) -> PathBuf {
    path.parent().map(Path::to_path_buf).unwrap_or_default()
}

/// The schema in the file, `None` when it has no tables yet.
fn found_schema(db: &Connection, path: &Path) -> Result<Option<u32>, StoreError> {
    let read = || -> rusqlite::Result<_> {
        let id: i32 = db.pragma_query_value(None, "application_id", |row| row.get(0))?;
        let schema: u32 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let tables: u32 = db.query_one("SELECT count(*) FROM sqlite_schema", [], |r| r.get(0))?;
        Ok((id, schema, tables))
    };
    let (id, schema, tables) = read().map_err(failed(path))?;
    if id == 0 && schema == 0 && tables == 0 {
        return Ok(None);
    }
    if id != APPLICATION_ID || schema == 0 {
        return Err(StoreError::NotAStore {
            path: folder_of(path),
            what: format!("{} is the database of another program", path.display()),
        });
    }
    Ok(Some(schema))
}

fn make_tables(db: &mut Connection) -> rusqlite::Result<()> {
    let change = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    change.execute_batch(TABLES)?;
    change.pragma_update(None, "application_id", APPLICATION_ID)?;
    change.pragma_update(None, "user_version", SCHEMA)?;
    change.commit()
}

/// Makes every commit durable; returns the journal mode that the file system allowed.
fn prepare(db: &Connection) -> rusqlite::Result<String> {
    db.busy_timeout(BUSY_TIMEOUT)?;
    db.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    db.pragma_update(None, "synchronous", "FULL")?;
    // On macOS a plain fsync does not reach the medium; elsewhere these change nothing.
    db.pragma_update(None, "fullfsync", true)?;
    db.pragma_update(None, "checkpoint_fullfsync", true)?;
    db.pragma_update(None, "cell_size_check", true)?;
    db.pragma_update_and_check(None, "journal_size_limit", WAL_KEPT_BYTES, |_| Ok(()))?;
    db.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
}
