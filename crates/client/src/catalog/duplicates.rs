//! The same content more than once: what SQLite finds by grouping, in temporary tables that may go to disk.
//!
//! Content is the same when size and tree hash are. Of one content there may be several archives; an archive under several
//! paths is one.

use icefield_protocol::ArchiveId;
use rusqlite::{Connection, Transaction, params};

use super::{
    Catalog, CatalogError, Entry, VaultRef,
    entries::{COLUMNS, entry},
};
use crate::{path::CatalogPath, pattern::Pattern};

/// Archives of files that are in the vault.
const ARCHIVES: &str = "entry.vault = ?1 AND entry.gone IS NULL AND entry.kind = 0 AND entry.archive IS NOT NULL \
                        AND entry.tree_hash IS NOT NULL AND entry.size > 0";

/// An archive whose content another archive of the vault has as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duplicate {
    /// The number of the content, from 1; the one that wastes most comes first.
    pub group: u64,
    /// Archives with this content.
    pub copies: u64,
    /// What the catalog knows of the archive.
    pub entry: Entry,
    /// Whether another one of them is a version of the same path.
    pub is_version: bool,
}

impl Duplicate {
    /// Returns the bytes that would be saved if the content were stored once.
    pub fn wasted_bytes(&self) -> u64 {
        self.entry.size.saturating_mul(self.copies.saturating_sub(1))
    }
}

/// All duplicates together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DuplicateTotals {
    /// Contents that are stored more than once.
    pub groups: u64,
    /// Archives that could go without losing any content.
    pub spare_archives: u64,
    /// Their bytes.
    pub wasted_bytes: u64,
}

/// An archive that nobody remembers to have uploaded, beside one of the same path and content that this catalog has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Twin {
    /// The archive that an inventory told of.
    pub archive: ArchiveId,
    /// The one that was uploaded.
    pub of: ArchiveId,
    /// The path of both.
    pub path: CatalogPath,
    /// The size of each in bytes.
    pub size: u64,
}

impl Catalog {
    /// Hands out the archives whose content is stored more than once, content by content, by path within.
    ///
    /// With `patterns` only contents of which a path matches, then all their archives. Memory does not depend on their
    /// number.
    ///
    /// # Errors
    ///
    /// When the database fails, or with what `each` returns.
    pub fn for_each_duplicate<E: From<CatalogError>>(
        &self,
        vault: VaultRef,
        patterns: &[Pattern],
        each: &mut dyn FnMut(Duplicate) -> Result<(), E>,
    ) -> Result<DuplicateTotals, E> {
        let mut connection = self.open_own()?;
        // One transaction, so that all of it is of one moment.
        let tx = connection.transaction().map_err(CatalogError::from)?;
        group(&tx, vault, patterns)?;
        let mut totals = DuplicateTotals::default();
        let mut last = None;
        let mut select = tx
            .prepare(&format!(
                "SELECT {COLUMNS}, number, copies, EXISTS (
                SELECT 1 FROM entry AS other WHERE other.vault = ?1 AND other.path = entry.path
                AND other.gone IS NULL AND other.size = entry.size
                AND other.tree_hash = entry.tree_hash AND other.archive <> entry.archive)
             FROM entry CROSS JOIN temp.content USING (tree_hash, size)
             WHERE {ARCHIVES}
             ORDER BY number, path, uploaded, id"
            ))
            .map_err(CatalogError::from)?;
        let mut rows = select.query([vault.0]).map_err(CatalogError::from)?;
        while let Some(row) = rows.next().map_err(CatalogError::from)? {
            let (number, duplicate) = duplicate(row, totals.groups)?;
            let duplicate = if last == Some(number) {
                duplicate
            } else {
                last = Some(number);
                totals.groups += 1;
                totals.spare_archives += duplicate.copies.saturating_sub(1);
                totals.wasted_bytes = totals.wasted_bytes.saturating_add(duplicate.wasted_bytes());
                Duplicate { group: totals.groups, ..duplicate }
            };
            each(duplicate)?;
        }
        Ok(totals)
    }
}

/// Fills `content` with what is there more than once, as far as it is asked for.
fn group(tx: &Transaction<'_>, vault: VaultRef, patterns: &[Pattern]) -> Result<(), CatalogError> {
    tx.execute_batch(
        "CREATE TEMP TABLE content (
            number INTEGER PRIMARY KEY, tree_hash BLOB NOT NULL, size INTEGER NOT NULL, copies INTEGER NOT NULL)",
    )?;
    tx.execute(
        &format!(
            "INSERT INTO temp.content (tree_hash, size, copies)
             SELECT tree_hash, size, count(DISTINCT archive) AS copies FROM entry WHERE {ARCHIVES}
             GROUP BY tree_hash, size HAVING copies > 1
             ORDER BY (copies - 1) * size DESC, tree_hash"
        ),
        [vault.0],
    )?;
    tx.execute_batch("CREATE INDEX temp.content_by_hash ON content (tree_hash, size)")?;
    if patterns.is_empty() { Ok(()) } else { choose(tx, vault, patterns) }
}

/// Leaves of `content` what has a path that matches.
fn choose(tx: &Transaction<'_>, vault: VaultRef, patterns: &[Pattern]) -> Result<(), CatalogError> {
    tx.execute_batch("CREATE TEMP TABLE wanted (number INTEGER PRIMARY KEY)")?;
    let mut want = tx.prepare("INSERT OR IGNORE INTO temp.wanted VALUES (?)")?;
    let mut select = tx.prepare(&format!(
        "SELECT path, number FROM entry CROSS JOIN temp.content USING (tree_hash, size) WHERE {ARCHIVES}"
    ))?;
    let mut rows = select.query([vault.0])?;
    while let Some(row) = rows.next()? {
        let path = CatalogPath::parse(row.get::<_, Vec<u8>>(0)?).map_err(CatalogError::damaged)?;
        if patterns.iter().any(|pattern| pattern.matches(&path)) {
            want.execute([row.get::<_, i64>(1)?])?;
        }
    }
    tx.execute(
        "DELETE FROM temp.content WHERE number NOT IN (SELECT number FROM temp.wanted)",
        [],
    )?;
    Ok(())
}

fn duplicate(row: &rusqlite::Row<'_>, group: u64) -> Result<(i64, Duplicate), CatalogError> {
    let duplicate = Duplicate {
        group,
        copies: row.get::<_, i64>(13)?.cast_unsigned(),
        entry: entry(row)?,
        is_version: row.get(14)?,
    };
    Ok((row.get(12)?, duplicate))
}

/// Hands out the twins of a vault.
pub(crate) fn for_each_twin(
    connection: &Connection,
    vault: VaultRef,
    each: &mut dyn FnMut(Twin),
) -> Result<(), CatalogError> {
    // A catalog that was made anew has uploaded nothing, and need not look for each of its archives.
    let has_sent: bool = connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM entry WHERE vault = ? AND sent = 1 AND gone IS NULL)",
        [vault.0],
        |row| row.get(0),
    )?;
    if !has_sent {
        return Ok(());
    }
    let mut select = connection.prepare(&format!(
        "SELECT archive, path, size, (
            SELECT archive FROM entry AS mine WHERE mine.vault = ?1 AND mine.path = entry.path
            AND mine.sent = 1 AND mine.gone IS NULL AND mine.size = entry.size
            AND mine.tree_hash = entry.tree_hash AND mine.archive <> entry.archive) AS uploaded_one
         FROM entry WHERE {ARCHIVES} AND sent IS NULL AND uploaded_one IS NOT NULL"
    ))?;
    let mut rows = select.query(params![vault.0])?;
    while let Some(row) = rows.next()? {
        let id = |text: String| ArchiveId::try_from(text).map_err(CatalogError::damaged);
        each(Twin {
            archive: id(row.get(0)?)?,
            of: id(row.get(3)?)?,
            path: CatalogPath::parse(row.get::<_, Vec<u8>>(1)?).map_err(CatalogError::damaged)?,
            size: row.get::<_, i64>(2)?.cast_unsigned(),
        });
    }
    Ok(())
}
