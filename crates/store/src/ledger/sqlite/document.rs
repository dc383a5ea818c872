//! Documents in SQL.

use rusqlite::{Connection, params};

use super::columns::{Columns, bound, execute, find, list};
use crate::{
    document::{DocumentName, DocumentRow},
    entry::VaultNumber,
};

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT name, vault, version, value FROM documents ", $rest)
    };
}

fn row(mut columns: Columns<'_>) -> rusqlite::Result<DocumentRow> {
    Ok(DocumentRow {
        name: columns.parse()?,
        vault: columns.get()?,
        version: columns.get()?,
        value: columns.parse()?,
    })
}

pub(super) fn by_name(
    db: &Connection,
    name: &DocumentName,
) -> rusqlite::Result<Option<DocumentRow>> {
    find(db, select!("WHERE name = ?1"), [name.as_str()], row)
}

pub(super) fn version(db: &Connection, name: &DocumentName) -> rusqlite::Result<Option<u64>> {
    let sql = "SELECT version FROM documents WHERE name = ?1";
    find(db, sql, [name.as_str()], |mut columns| columns.get())
}

/// The names that begin with a prefix. No character of a name comes after delete, the last of ASCII.
pub(super) const LIST: &str =
    select!("WHERE name >= ?1 AND name < ?1 || char(127) AND name > ?2 ORDER BY name LIMIT ?3");

pub(super) fn of_prefix(
    db: &Connection,
    prefix: &str,
    after: Option<&DocumentName>,
    limit: usize,
) -> rusqlite::Result<Vec<DocumentRow>> {
    let after = after.map_or("", DocumentName::as_str);
    list(db, LIST, params![prefix, after, bound(limit)], row)
}

pub(super) fn put(db: &Connection, document: &DocumentRow) -> rusqlite::Result<()> {
    execute(
        db,
        "INSERT INTO documents (name, vault, version, value) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (name) DO UPDATE \
         SET vault = excluded.vault, version = excluded.version, value = excluded.value",
        params![
            document.name.as_str(),
            document.vault,
            document.version,
            document.value.to_string()
        ],
    )?;
    Ok(())
}

pub(super) fn remove(db: &Connection, name: &DocumentName) -> rusqlite::Result<()> {
    execute(db, "DELETE FROM documents WHERE name = ?1", [name.as_str()])?;
    Ok(())
}

pub(super) fn remove_of_vault(db: &Connection, vault: VaultNumber) -> rusqlite::Result<()> {
    execute(db, "DELETE FROM documents WHERE vault = ?1", [vault])?;
    Ok(())
}
