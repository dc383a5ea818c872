//! SQLite databases of other programs: glacier-cli's cache, and the mapping that Synology's Glacier Backup keeps.
//!
//! They are opened to be read only, and only tables are read, no views: the file may have come from anywhere.

use std::{io, path::Path};

use icefield_protocol::{ArchiveId, Timestamp, VaultName};
use rusqlite::{Connection, ErrorCode, OpenFlags, Row, params, types::ValueRef};

use super::{
    FileForm, FileItem, ReadError, Refusal,
    named::{Facts, Named, named},
};
use crate::{catalog::Entry, path::native};

/// What every SQLite file begins with.
pub(super) const HEADER: &[u8; 16] = b"SQLite format 3\0";

/// Longest name that is read; more is no path.
const MAX_NAME_BYTES: usize = 64 << 10;

type Receiver<'a, E> = &'a mut dyn FnMut(FileItem) -> Result<(), E>;

/// Reads a database; of one that has several vaults the rows of `vault`, if it is given.
pub(super) fn read<E>(
    path: &Path,
    vault: Option<&VaultName>,
    each: Receiver<'_, E>,
) -> Result<FileForm, ReadError<E>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(broken)?;
    if has(&connection, "archive", &["id", "name", "vault", "deleted_here"]).map_err(broken)? {
        glacier_cli(&connection, vault, each)?;
        return Ok(FileForm::GlacierCli);
    }
    if has(&connection, "file_info_tb", &["basePath", "archiveID"]).map_err(broken)? {
        synology(&connection, each)?;
        return Ok(FileForm::Synology);
    }
    Err(ReadError::Unknown)
}

/// Whether there is a table with these columns.
fn has(connection: &Connection, table: &str, columns: &[&str]) -> rusqlite::Result<bool> {
    let mut find = connection.prepare(
        "SELECT 1 FROM sqlite_schema JOIN pragma_table_info(sqlite_schema.name) AS info
         WHERE sqlite_schema.type = 'table' AND lower(sqlite_schema.name) = lower(?) AND lower(info.name) = lower(?)",
    )?;
    for column in columns {
        if !find.exists(params![table, column])? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The cache of glacier-cli: what it calls a name is the archive's description. The time of creation there is that of the
/// row, so it is not used.
fn glacier_cli<E>(
    connection: &Connection,
    vault: Option<&VaultName>,
    each: Receiver<'_, E>,
) -> Result<(), ReadError<E>> {
    let vault = vault.map(VaultName::as_str);
    let mut select = connection
        .prepare("SELECT id, name, CAST(deleted_here AS INTEGER) FROM archive WHERE ?1 IS NULL OR vault = ?1")
        .map_err(broken)?;
    let read = |row: &Row<'_>| -> Result<Vec<FileItem>, String> {
        let archive = archive(text(row, 0)?)?;
        if let Some(deleted) = row.get::<_, Option<i64>>(2).map_err(|error| error.to_string())? {
            let at = Timestamp::from_unix_millis(deleted.saturating_mul(1000));
            return Ok(vec![FileItem::Deleted { archive, at }]);
        }
        let description = match row.get_ref(1).map_err(|error| error.to_string())? {
            ValueRef::Null => String::new(),
            _ => String::from_utf8_lossy(text(row, 1)?).into_owned(),
        };
        let place = archive.to_string();
        let unknown = Facts { created: Timestamp::UNIX_EPOCH, size: 0, tree_hash: None };
        Ok(match named(archive, description, unknown) {
            Named::Manifest(manifest) => vec![FileItem::Manifest(manifest)],
            Named::File { entry, refused, .. } => refused
                .map(|why| FileItem::Refused(Refusal { place, why }))
                .into_iter()
                .chain([FileItem::Entry(entry)])
                .collect(),
        })
    };
    rows(select.query([vault]).map_err(broken)?, &read, each)?;
    let others: i64 = connection
        .query_row("SELECT count(*) FROM archive WHERE vault <> ?", [vault], |row| row.get(0))
        .map_err(broken)?;
    match others.cast_unsigned() {
        0 => Ok(()),
        rows => each(FileItem::OtherVaults { rows }).map_err(ReadError::Receiver),
    }
}

/// The mapping of Synology's Glacier Backup, the only archive of the vault that is called like the backup's with
/// `_mapping` behind. Files of the same content share an archive.
fn synology<E>(connection: &Connection, each: Receiver<'_, E>) -> Result<(), ReadError<E>> {
    let column = |name: &str| has(connection, "file_info_tb", &[name]).map_err(broken);
    let share = if column("shareName")? { "shareName" } else { "''" };
    let size = if column("fileSize")? { "fileSize" } else { "NULL" };
    let mut select = connection
        .prepare(&format!("SELECT archiveID, {share}, basePath, {size} FROM file_info_tb"))
        .map_err(broken)?;
    let read = |row: &Row<'_>| -> Result<Vec<FileItem>, String> {
        let share = text(row, 1)?.trim_ascii();
        let base = text(row, 2)?;
        let base = base.strip_prefix(b"/").unwrap_or(base);
        let path = if share.is_empty() { base.to_vec() } else { [share, b"/", base].concat() };
        let path = native::to_catalog(&path).map_err(|error| error.to_string())?;
        let archive = archive(text(row, 0)?).map_err(|why| format!("{path}: {why}"))?;
        let size =
            row.get::<_, Option<i64>>(3).map_err(|_| format!("{path}: the size is wrong"))?;
        let size =
            u64::try_from(size.unwrap_or(0)).map_err(|_| format!("{path}: the size is wrong"))?;
        Ok(vec![FileItem::Named(Entry { size, ..Entry::named(path, archive) })])
    };
    rows(select.query([]).map_err(broken)?, &read, each)
}

fn rows<E>(
    mut rows: rusqlite::Rows<'_>,
    read: &dyn Fn(&Row<'_>) -> Result<Vec<FileItem>, String>,
    each: Receiver<'_, E>,
) -> Result<(), ReadError<E>> {
    let mut number = 0_u64;
    while let Some(row) = rows.next().map_err(broken)? {
        number += 1;
        let refused =
            |why| vec![FileItem::Refused(Refusal { place: format!("row {number}"), why })];
        for item in read(row).unwrap_or_else(refused) {
            each(item).map_err(ReadError::Receiver)?;
        }
    }
    Ok(())
}

fn text<'a>(row: &'a Row<'_>, column: usize) -> Result<&'a [u8], String> {
    match row.get_ref(column) {
        Ok(ValueRef::Text(bytes) | ValueRef::Blob(bytes)) if bytes.len() <= MAX_NAME_BYTES => {
            Ok(bytes)
        }
        Ok(ValueRef::Text(_) | ValueRef::Blob(_)) => Err("a name is too long".to_owned()),
        _ => Err("a name or an archive ID is missing".to_owned()),
    }
}

fn archive(text: &[u8]) -> Result<ArchiveId, String> {
    let text = std::str::from_utf8(text).map_err(|_| "the archive ID is not UTF-8".to_owned())?;
    ArchiveId::parse_issued(text).map_err(|error| error.to_string())
}

fn broken<E>(error: rusqlite::Error) -> ReadError<E> {
    match error.sqlite_error_code() {
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::SystemIoFailure) => {
            ReadError::Read(io::Error::other(error))
        }
        _ => ReadError::Malformed { place: "the database".to_owned(), problem: error.to_string() },
    }
}
