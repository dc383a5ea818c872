//! The tables, and how a file is opened, checked and brought to the newest version.
//!
//! An archive ID is long (138 characters) and random, so its index holds `archive_key`, 64 bits of its SHA-256; every
//! look-up compares the ID too. Times are milliseconds since 1970, times of files seconds and nanoseconds.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::CatalogError;

/// `ICEC`: marks an SQLite file as a catalog.
const APPLICATION_ID: i64 = 0x4943_4543;
const WRITER: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_CREATE);
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
/// The step from each version to the next; the version is their number.
const MIGRATIONS: &[&str] =
    &[VERSION_1, VERSION_2, VERSION_3, VERSION_4, VERSION_5, VERSION_6, VERSION_7];

const VERSION_1: &str = "
CREATE TABLE vault (
    id INTEGER PRIMARY KEY,
    identity TEXT NOT NULL,
    name TEXT NOT NULL,
    UNIQUE (identity, name)
) STRICT;

-- One version of one path. `size` 0 of an archive and `uploaded` 0 mean unknown. `since`: when the catalog heard of it,
-- at least `uploaded`. `gone`: date of the inventory that lacks it.
CREATE TABLE entry (
    id INTEGER PRIMARY KEY,
    vault INTEGER NOT NULL REFERENCES vault (id) ON DELETE CASCADE,
    path BLOB NOT NULL,
    kind INTEGER NOT NULL CHECK (kind IN (0, 1, 2)),
    size INTEGER NOT NULL CHECK (size >= 0),
    mtime_s INTEGER,
    mtime_ns INTEGER,
    mode INTEGER,
    link_target BLOB,
    tree_hash BLOB,
    archive TEXT,
    archive_key INTEGER,
    uploaded INTEGER NOT NULL,
    since INTEGER NOT NULL,
    description TEXT,
    manifest TEXT,
    gone INTEGER
) STRICT;
CREATE INDEX entry_by_path ON entry (vault, path, uploaded);
CREATE INDEX entry_by_archive ON entry (vault, archive_key) WHERE archive_key IS NOT NULL;

-- Manifest archives; one that is not applied has still to be retrieved.
CREATE TABLE manifest (
    vault INTEGER NOT NULL REFERENCES vault (id) ON DELETE CASCADE,
    archive TEXT NOT NULL,
    size INTEGER NOT NULL,
    created INTEGER NOT NULL,
    applied INTEGER NOT NULL,
    PRIMARY KEY (vault, archive)
) STRICT, WITHOUT ROWID;

CREATE TABLE claim (
    id INTEGER PRIMARY KEY,
    vault INTEGER NOT NULL REFERENCES vault (id) ON DELETE CASCADE,
    path BLOB NOT NULL,
    local BLOB NOT NULL,
    size INTEGER NOT NULL,
    mtime_s INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    ctime_s INTEGER NOT NULL,
    ctime_ns INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    token BLOB NOT NULL,
    run TEXT,
    begun INTEGER NOT NULL,
    upload TEXT,
    part_size INTEGER,
    superseded TEXT,
    UNIQUE (vault, path)
) STRICT;
CREATE INDEX claim_by_upload ON claim (vault, upload) WHERE upload IS NOT NULL;

CREATE TABLE part (
    claim INTEGER NOT NULL REFERENCES claim (id) ON DELETE CASCADE,
    part INTEGER NOT NULL,
    tree_hash BLOB NOT NULL,
    PRIMARY KEY (claim, part)
) STRICT, WITHOUT ROWID;

-- `bytes`: the range FIRST-LAST, empty for the whole archive.
CREATE TABLE job (
    vault INTEGER NOT NULL REFERENCES vault (id) ON DELETE CASCADE,
    archive TEXT NOT NULL,
    bytes TEXT NOT NULL,
    job TEXT NOT NULL,
    tier TEXT NOT NULL,
    started INTEGER NOT NULL,
    PRIMARY KEY (vault, archive, bytes)
) STRICT, WITHOUT ROWID;

CREATE TABLE retrieval (
    id INTEGER PRIMARY KEY,
    vault INTEGER NOT NULL REFERENCES vault (id) ON DELETE CASCADE,
    archive TEXT NOT NULL,
    bytes TEXT NOT NULL,
    destination BLOB NOT NULL,
    run TEXT,
    begun INTEGER NOT NULL,
    partial BLOB,
    segment_size INTEGER,
    UNIQUE (vault, archive, bytes, destination)
) STRICT;

CREATE TABLE segment (
    retrieval INTEGER NOT NULL REFERENCES retrieval (id) ON DELETE CASCADE,
    segment INTEGER NOT NULL,
    tree_hash BLOB NOT NULL,
    PRIMARY KEY (retrieval, segment)
) STRICT, WITHOUT ROWID;

-- The inventory job of each vault: started and to be read, or the last one that was read.
CREATE TABLE refresh (
    vault INTEGER PRIMARY KEY REFERENCES vault (id) ON DELETE CASCADE,
    job TEXT NOT NULL,
    done INTEGER NOT NULL
) STRICT;

CREATE TABLE rate (
    identity TEXT PRIMARY KEY,
    bytes_per_second REAL NOT NULL
) STRICT;
";

/// When the vault was made, as the target says; null until it was met. Tells one that was made again from the one before.
const VERSION_2: &str = "ALTER TABLE vault ADD COLUMN created INTEGER;";

/// What an inventory file has to tell of a manifest archive.
const VERSION_3: &str = "
ALTER TABLE manifest ADD COLUMN tree_hash BLOB;
ALTER TABLE manifest ADD COLUMN description TEXT;
";

/// Gives manifests numbers in the order in which they were heard of: an inventory lists archives in the order of their
/// creation, but its dates have whole seconds only.
const VERSION_4: &str = "
CREATE TABLE numbered_manifest (
    id INTEGER PRIMARY KEY,
    vault INTEGER NOT NULL REFERENCES vault (id) ON DELETE CASCADE,
    archive TEXT NOT NULL,
    size INTEGER NOT NULL,
    created INTEGER NOT NULL,
    applied INTEGER NOT NULL,
    tree_hash BLOB,
    description TEXT,
    UNIQUE (vault, archive)
) STRICT;
INSERT INTO numbered_manifest (vault, archive, size, created, applied, tree_hash, description)
    SELECT vault, archive, size, created, applied, tree_hash, description FROM manifest ORDER BY created;
DROP TABLE manifest;
ALTER TABLE numbered_manifest RENAME TO manifest;
";

/// Targets over a network: parts that are known by an entity tag, uploads whose completion was asked for, the account that
/// an endpoint, a region and an access key stand for, the commands that are to be gone on with, and what purges have deleted.
const VERSION_5: &str = "
ALTER TABLE part ADD COLUMN etag TEXT;
ALTER TABLE claim ADD COLUMN completing BLOB;
ALTER TABLE claim ADD COLUMN completing_since INTEGER;
CREATE TABLE place (
    endpoint TEXT NOT NULL,
    region TEXT NOT NULL,
    access_key TEXT NOT NULL,
    account TEXT NOT NULL,
    keeps_tokens INTEGER NOT NULL,
    PRIMARY KEY (endpoint, region, access_key)
) STRICT, WITHOUT ROWID;
-- Commands that have begun and not ended: their words (separated by NUL) and the folder they were given in.
CREATE TABLE errand (
    id INTEGER PRIMARY KEY,
    words BLOB NOT NULL,
    folder BLOB NOT NULL,
    begun INTEGER NOT NULL,
    run TEXT,
    UNIQUE (words, folder)
) STRICT;
-- Archives that a purge has deleted, and when: inventories list them for a while, and a purge that was interrupted reads its
-- inventory again.
CREATE TABLE purged (
    vault INTEGER NOT NULL REFERENCES vault (id) ON DELETE CASCADE,
    archive_key INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    PRIMARY KEY (vault, archive_key)
) STRICT, WITHOUT ROWID;
";

/// `inventoried`: date of the newest inventory that a vault was compared with. `sent`: 1 of an archive that an upload with
/// this catalog has made, null of what the catalog was told of.
const VERSION_6: &str = "
ALTER TABLE vault ADD COLUMN inventoried INTEGER;
ALTER TABLE entry ADD COLUMN sent INTEGER;
";

/// What the user of a command has agreed to pay for it, in billionths of a dollar; null where nobody was asked.
const VERSION_7: &str = "ALTER TABLE errand ADD COLUMN agreed INTEGER;";

/// The folder beside the catalog where runs keep their lock files.
pub(super) fn runs(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".runs");
    PathBuf::from(name)
}

/// Opens the writing connection of a catalog, made or brought up to date first where necessary.
pub(super) fn open_and_migrate(path: &Path) -> Result<Connection, CatalogError> {
    let folder = runs(path);
    fs::create_dir_all(&folder)
        .map_err(|source| CatalogError::Io { path: folder.clone(), source })?;
    // Only one process at a time makes or migrates; changing to WAL does not wait for others by itself.
    let guard = folder.join("open");
    let opening = File::create(&guard).and_then(|file| file.lock().map(|()| file));
    let opening = opening.map_err(|source| CatalogError::Io { path: guard, source })?;
    let mut connection = open(path, WRITER)?;
    migrate(path, &mut connection)?;
    drop(opening);
    Ok(connection)
}

/// Opens another writing connection of a catalog that is up to date.
pub(super) fn open_writer(path: &Path) -> Result<Connection, CatalogError> {
    let connection = open(path, WRITER)?;
    configure(&connection)?;
    Ok(connection)
}

fn configure(connection: &Connection) -> Result<(), CatalogError> {
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "cache_size", -32_000)?;
    Ok(())
}

/// Opens a connection that only reads.
pub(super) fn open_reader(path: &Path) -> Result<Connection, CatalogError> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "cache_size", -8_000)?;
    Ok(connection)
}

fn open(path: &Path, flags: OpenFlags) -> Result<Connection, CatalogError> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

fn migrate(path: &Path, connection: &mut Connection) -> Result<(), CatalogError> {
    let foreign = || CatalogError::Foreign { path: path.to_path_buf() };
    let number = |connection: &Connection, pragma: &str| {
        connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0))
    };
    let application = match number(connection, "application_id") {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {
            return Err(foreign());
        }
        other => other?,
    };
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let empty = application == 0 && tables == 0;
    if application != APPLICATION_ID && !empty {
        return Err(foreign());
    }
    let found = number(connection, "user_version")?;
    let known = MIGRATIONS.len();
    let version = usize::try_from(found).map_err(CatalogError::damaged)?;
    if version > known {
        let known = i64::try_from(known).unwrap_or(i64::MAX);
        return Err(CatalogError::Newer { path: path.to_path_buf(), found, known });
    }
    configure(connection)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    if version < known {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for step in &MIGRATIONS[version..] {
            transaction.execute_batch(step)?;
        }
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(
            None,
            "user_version",
            i64::try_from(known).unwrap_or(i64::MAX),
        )?;
        transaction.commit()?;
    }
    Ok(())
}
