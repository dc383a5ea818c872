//! Documents in SQL.

use rusqlite::{Connection, params};
use serde_json::Value;

use super::columns::{Columns, bound, execute, find, list};
use crate::{
    document::{DocumentChange, DocumentEntry, DocumentName, DocumentRow},
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
    find(db, select!("WHERE name = ?1 AND value IS NOT NULL"), [name.as_str()], row)
}

/// The version of the last change, 0 for none, and whether there is a document since.
pub(super) fn last_change(db: &Connection, name: &DocumentName) -> rusqlite::Result<(u64, bool)> {
    let sql = "SELECT version, value IS NOT NULL FROM documents WHERE name = ?1";
    let found = find(db, sql, [name.as_str()], |mut columns| Ok((columns.get()?, columns.get()?)));
    Ok(found?.unwrap_or_default())
}

/// The names that begin with a prefix. No character of a name comes after delete, the last of ASCII.
pub(super) const LIST: &str = select!(
    "WHERE name >= ?1 AND name < ?1 || char(127) AND name > ?2 AND value IS NOT NULL \
     ORDER BY name LIMIT ?3"
);

pub(super) fn of_prefix(
    db: &Connection,
    prefix: &str,
    after: Option<&DocumentName>,
    limit: usize,
) -> rusqlite::Result<Vec<DocumentRow>> {
    let after = after.map_or("", DocumentName::as_str);
    list(db, LIST, params![prefix, after, bound(limit)], row)
}

/// The last changes of all documents, removed ones included, in the order of their names.
pub(super) fn changes(
    db: &Connection,
    after: Option<&DocumentName>,
    limit: usize,
) -> rusqlite::Result<Vec<DocumentChange>> {
    let after = after.map_or("", DocumentName::as_str);
    let sql = select!("WHERE name > ?1 ORDER BY name LIMIT ?2");
    list(db, sql, params![after, bound(limit)], |mut columns| {
        let (name, vault, version) = (columns.parse()?, columns.get()?, columns.get()?);
        Ok(DocumentChange { name, vault, version, value: columns.parse_opt()? })
    })
}

/// What is wrong with the pages of documents.
pub(super) fn integrity(db: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut found: Vec<String> =
        list(db, "PRAGMA integrity_check('documents')", [], |mut row| row.get())?;
    found.retain(|line| line != "ok");
    Ok(found)
}

/// Records a change that was accepted.
pub(super) fn change(db: &Connection, entry: &DocumentEntry) -> rusqlite::Result<()> {
    execute(
        db,
        "INSERT INTO documents (name, vault, version, value) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (name) DO UPDATE \
         SET vault = excluded.vault, version = excluded.version, value = excluded.value",
        params![
            entry.name.as_str(),
            entry.vault,
            entry.version,
            entry.value.as_ref().map(Value::to_string)
        ],
    )?;
    Ok(())
}

pub(super) fn remove_of_vault(db: &Connection, vault: VaultNumber) -> rusqlite::Result<()> {
    execute(db, "DELETE FROM documents WHERE vault = ?1", [vault])?;
    Ok(())
}
