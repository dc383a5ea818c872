//! What a purge goes through, a batch at a time, and what it has deleted so far.

use icefield_protocol::{ArchiveId, Timestamp};
use rusqlite::params;

use super::{
    Catalog, CatalogError, VaultRef,
    entries::{archive_key, remove},
};
use crate::path::CatalogPath;

/// An archive of the catalog, with its place in the order in which the catalog has heard of archives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NumberedArchive {
    pub(crate) number: i64,
    pub(crate) archive: ArchiveId,
    pub(crate) path: CatalogPath,
    /// In bytes, if known.
    pub(crate) size: Option<u64>,
}

impl Catalog {
    /// Returns how many different archives the vault holds as far as is known, manifests among them, and how many bytes.
    pub fn archives_and_bytes(&self, vault: VaultRef) -> Result<(u64, u64), CatalogError> {
        self.read(|connection| {
            // Grouped in the order of the index, so that nothing has to be sorted.
            let (archives, bytes): (i64, i64) = connection.query_row(
                "SELECT count(*), cast(total(size) AS INTEGER) FROM
                    (SELECT max(size) AS size FROM entry
                     WHERE vault = ?1 AND archive_key IS NOT NULL AND gone IS NULL GROUP BY archive_key
                     UNION ALL SELECT size FROM manifest WHERE vault = ?1)",
                [vault.0],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )?;
            Ok((archives.cast_unsigned(), bytes.cast_unsigned()))
        })
    }

    /// Returns up to `most` archives that the catalog has heard of after number `after`. One that has several paths comes
    /// once for each.
    pub(crate) fn archives_after(
        &self,
        vault: VaultRef,
        after: i64,
        most: usize,
    ) -> Result<Vec<NumberedArchive>, CatalogError> {
        self.read(|connection| {
            // By number alone: any index would have to be sorted for each batch.
            let mut select = connection.prepare_cached(
                "SELECT id, archive, path, size FROM entry NOT INDEXED
                 WHERE id > ? AND vault = ? AND archive IS NOT NULL AND gone IS NULL
                 ORDER BY id LIMIT ?",
            )?;
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            let mut rows = select.query(params![after, vault.0, most])?;
            let mut archives = Vec::new();
            while let Some(row) = rows.next()? {
                let size = row.get::<_, i64>(3)?.cast_unsigned();
                archives.push(NumberedArchive {
                    number: row.get(0)?,
                    archive: ArchiveId::try_from(row.get::<_, String>(1)?)
                        .map_err(CatalogError::damaged)?,
                    path: CatalogPath::parse(row.get::<_, Vec<u8>>(2)?)
                        .map_err(CatalogError::damaged)?,
                    size: (size > 0).then_some(size),
                });
            }
            Ok(archives)
        })
    }

    /// Forgets archives that a purge has deleted `now`, and remembers that it has.
    pub(crate) fn purged(
        &self,
        vault: VaultRef,
        archives: &[ArchiveId],
        now: Timestamp,
    ) -> Result<(), CatalogError> {
        self.write(|tx| {
            remove(tx, vault, archives)?;
            let mut note = tx.prepare_cached(
                "INSERT OR REPLACE INTO purged (vault, archive_key, deleted) VALUES (?, ?, ?)",
            )?;
            for archive in archives {
                note.execute(params![vault.0, archive_key(archive), now.unix_millis()])?;
            }
            Ok(())
        })
    }

    /// Leaves those of `archives` that no purge has deleted, or none `since` then.
    pub(crate) fn not_purged(
        &self,
        vault: VaultRef,
        archives: Vec<(ArchiveId, u64)>,
        since: Option<Timestamp>,
    ) -> Result<Vec<(ArchiveId, u64)>, CatalogError> {
        let since = since.map_or(i64::MIN, Timestamp::unix_millis);
        self.read(|connection| {
            let mut known = connection.prepare_cached(
                "SELECT 1 FROM purged WHERE vault = ? AND archive_key = ? AND deleted >= ?",
            )?;
            let mut left = Vec::with_capacity(archives.len());
            for (archive, size) in archives {
                if !known.exists(params![vault.0, archive_key(&archive), since])? {
                    left.push((archive, size));
                }
            }
            Ok(left)
        })
    }

    /// Whether a purge of the vault has begun and not ended.
    pub fn has_purged(&self, vault: VaultRef) -> Result<bool, CatalogError> {
        self.read(|connection| {
            let mut select = connection.prepare_cached("SELECT 1 FROM purged WHERE vault = ?")?;
            Ok(select.exists([vault.0])?)
        })
    }

    /// Returns when a purge of the vault has deleted something last.
    pub(crate) fn last_purged(&self, vault: VaultRef) -> Result<Option<Timestamp>, CatalogError> {
        self.read(|connection| {
            let last: Option<i64> = connection.query_row(
                "SELECT max(deleted) FROM purged WHERE vault = ?",
                [vault.0],
                |row| row.get(0),
            )?;
            Ok(last.map(Timestamp::from_unix_millis))
        })
    }
}
