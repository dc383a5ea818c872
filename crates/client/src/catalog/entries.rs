//! The entries: versions of paths, written in batches, read as streams.

use std::collections::HashMap;

use icefield_protocol::{ArchiveId, LinearHash, Timestamp, TreeHash};
use rusqlite::{Connection, Transaction, params};

use super::{Catalog, CatalogError, Entry, FileTime, Kind, VaultRef, tree::Tree};
use crate::path::CatalogPath;

/// Which entries are wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EntryQuery {
    /// Every version of a path, not only the newest.
    pub versions: bool,
    /// Only what had been archived by then.
    pub as_of: Option<Timestamp>,
}

/// An entry and its number.
type Row = (Entry, i64);

pub(super) const COLUMNS: &str = "path, kind, size, mtime_s, mtime_ns, mode, link_target, tree_hash, archive, \
                       uploaded, description, manifest";

impl Catalog {
    /// Returns the newest version of a path.
    pub fn newest(
        &self,
        vault: VaultRef,
        path: &CatalogPath,
    ) -> Result<Option<Entry>, CatalogError> {
        self.read(|connection| newest(connection, vault, path))
    }

    /// Returns the newest versions of those of `paths` that are known.
    pub fn newest_many(
        &self,
        vault: VaultRef,
        paths: &[CatalogPath],
    ) -> Result<HashMap<CatalogPath, Entry>, CatalogError> {
        self.read(|connection| {
            let mut known = HashMap::with_capacity(paths.len());
            for path in paths {
                if let Some(entry) = newest(connection, vault, path)? {
                    known.insert(path.clone(), entry);
                }
            }
            Ok(known)
        })
    }

    /// Hands entries to `each`, by path, then the oldest version first, as they were when the call began.
    ///
    /// Without `versions` they are a tree that can exist: where a file or link has taken the place of a folder, or a folder
    /// that of a file, only what came last is handed over.
    ///
    /// Memory does not depend on their number. `each` may call the catalog.
    ///
    /// # Errors
    ///
    /// When the database fails, or with what `each` returns.
    pub fn for_each<E: From<CatalogError>>(
        &self,
        vault: VaultRef,
        query: &EntryQuery,
        each: &mut dyn FnMut(Entry) -> Result<(), E>,
    ) -> Result<(), E> {
        self.read(|connection| {
            let sql = format!(
                "SELECT {COLUMNS}, id FROM entry WHERE vault = ? AND uploaded <= ? AND gone IS NULL
                 ORDER BY path, uploaded, id"
            );
            let until = query.as_of.map_or(i64::MAX, Timestamp::unix_millis);
            let mut select = connection.prepare_cached(&sql).map_err(CatalogError::from)?;
            let mut rows = select.query(params![vault.0, until]).map_err(CatalogError::from)?;
            let mut tree = Tree::new(connection, vault, until).map_err(CatalogError::from)?;
            let mut last: Option<Row> = None;
            loop {
                let next = rows.next().map_err(CatalogError::from)?;
                let next = next.map(numbered).transpose()?;
                if let Some((entry, id)) = last.take() {
                    let following = next.as_ref().map(|(entry, _): &Row| &entry.path);
                    let is_wanted = query.versions
                        || (following != Some(&entry.path)
                            && tree.has(&entry, id, following).map_err(CatalogError::from)?);
                    if is_wanted {
                        each(entry)?;
                    }
                }
                if next.is_none() {
                    return Ok(());
                }
                last = next;
            }
        })
    }

    /// Whether a path, or anything below it, is known; with `gone` also when an inventory has shown that all of it is gone.
    pub fn knows(
        &self,
        vault: VaultRef,
        path: &CatalogPath,
        gone: bool,
    ) -> Result<bool, CatalogError> {
        self.read(|connection| {
            let [first, end] = [b"/", b"0"].map(|byte| [path.as_bytes(), byte].concat());
            let mut select = connection.prepare_cached(
                "SELECT 1 FROM entry WHERE vault = ?1 AND path = ?2 AND (?5 OR gone IS NULL)
                 UNION ALL
                 SELECT 1 FROM entry
                 WHERE vault = ?1 AND path > ?3 AND path < ?4 AND (?5 OR gone IS NULL)
                 LIMIT 1",
            )?;
            Ok(select.exists(params![vault.0, path.as_bytes(), first, end, gone])?)
        })
    }

    /// Hands out the paths of files whose newest version is gone, with the date of the inventory that lacks it.
    ///
    /// Memory does not depend on their number.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn for_each_gone(
        &self,
        vault: VaultRef,
        each: &mut dyn FnMut(CatalogPath, Timestamp),
    ) -> Result<(), CatalogError> {
        self.read(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT path, gone FROM entry
                 WHERE vault = ?1 AND gone IS NOT NULL AND archive IS NOT NULL AND kind = 0
                 AND NOT EXISTS (SELECT 1 FROM entry AS newer
                    WHERE newer.vault = ?1 AND newer.path = entry.path
                    AND (newer.uploaded, newer.id) > (entry.uploaded, entry.id))",
            )?;
            let mut rows = select.query([vault.0])?;
            while let Some(row) = rows.next()? {
                let path =
                    CatalogPath::parse(row.get::<_, Vec<u8>>(0)?).map_err(CatalogError::damaged)?;
                each(path, Timestamp::from_unix_millis(row.get(1)?));
            }
            Ok(())
        })
    }

    /// Returns the entries of an archive.
    pub fn by_archive(
        &self,
        vault: VaultRef,
        archive: &ArchiveId,
    ) -> Result<Vec<Entry>, CatalogError> {
        self.read(|connection| {
            let mut select = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM entry
                 WHERE vault = ? AND archive_key = ? AND archive = ? AND gone IS NULL ORDER BY path"
            ))?;
            let key = params![vault.0, archive_key(archive), archive.as_str()];
            let mut rows = select.query(key)?;
            let mut entries = Vec::new();
            while let Some(row) = rows.next()? {
                entries.push(entry(row)?);
            }
            Ok(entries)
        })
    }

    /// Inserts versions that an upload has made and drops the claims of their paths, in one transaction.
    ///
    /// A version with the same path and archive is replaced; of what has no bytes, one with the same path and manifest.
    pub fn record(&self, vault: VaultRef, entries: &[Entry]) -> Result<(), CatalogError> {
        self.write(|tx| {
            let mut unclaim =
                tx.prepare_cached("DELETE FROM claim WHERE vault = ? AND path = ?")?;
            let mut sent = tx.prepare_cached("UPDATE entry SET sent = 1 WHERE id = ?")?;
            for entry in entries {
                sent.execute([insert(tx, vault, entry, entry.uploaded)?])?;
                unclaim.execute(params![vault.0, entry.path.as_bytes()])?;
            }
            Ok(())
        })
    }

    /// Gives the newest versions of paths another time of modification and mode.
    pub fn touch(
        &self,
        vault: VaultRef,
        files: &[(CatalogPath, FileTime, u32)],
    ) -> Result<(), CatalogError> {
        self.write(|tx| {
            let mut update = tx.prepare_cached(
                "UPDATE entry SET mtime_s = ?, mtime_ns = ?, mode = ? WHERE id =
                    (SELECT id FROM entry WHERE vault = ? AND path = ? AND gone IS NULL
                     ORDER BY uploaded DESC, id DESC LIMIT 1)",
            )?;
            for (path, mtime, mode) in files {
                update.execute(params![
                    mtime.seconds,
                    mtime.nanos,
                    mode,
                    vault.0,
                    path.as_bytes()
                ])?;
            }
            Ok(())
        })
    }

    /// Forgets archives that were deleted; with a manifest archive also what only that one told of.
    pub fn remove_archives(
        &self,
        vault: VaultRef,
        archives: &[ArchiveId],
    ) -> Result<(), CatalogError> {
        self.write(|tx| remove(tx, vault, archives))
    }

    /// Forgets every version without bytes (empty files, folders, links) of these paths.
    pub fn remove_without_bytes(
        &self,
        vault: VaultRef,
        paths: &[CatalogPath],
    ) -> Result<(), CatalogError> {
        self.write(|tx| {
            let mut remove = tx.prepare_cached(
                "DELETE FROM entry WHERE vault = ? AND path = ? AND archive IS NULL",
            )?;
            for path in paths {
                remove.execute(params![vault.0, path.as_bytes()])?;
            }
            Ok(())
        })
    }
}

/// Removes what is known of archives.
pub(super) fn remove(
    tx: &Transaction<'_>,
    vault: VaultRef,
    archives: &[ArchiveId],
) -> Result<(), CatalogError> {
    let mut remove =
        tx.prepare_cached("DELETE FROM entry WHERE vault = ? AND archive_key = ? AND archive = ?")?;
    let mut known = tx.prepare_cached("DELETE FROM manifest WHERE vault = ? AND archive = ?")?;
    for archive in archives {
        remove.execute(params![vault.0, archive_key(archive), archive.as_str()])?;
        if known.execute(params![vault.0, archive.as_str()])? > 0 {
            tx.execute(
                "DELETE FROM entry WHERE vault = ? AND archive IS NULL AND manifest = ?",
                params![vault.0, archive.as_str()],
            )?;
        }
    }
    Ok(())
}

/// The value by which archives are indexed.
pub(crate) fn archive_key(archive: &ArchiveId) -> i64 {
    let hash = LinearHash::of(archive.as_str().as_bytes());
    let mut key = [0; 8];
    key.copy_from_slice(&hash.as_bytes()[..8]);
    i64::from_be_bytes(key)
}

/// Inserts a version that the catalog has heard of at `since`, in place of the same one, and returns its number.
pub(crate) fn insert(
    tx: &Transaction<'_>,
    vault: VaultRef,
    entry: &Entry,
    since: Timestamp,
) -> Result<i64, CatalogError> {
    let archive = entry.archive.as_ref().map(ArchiveId::as_str);
    let manifest = entry.manifest.as_ref().map(ArchiveId::as_str);
    tx.prepare_cached(
        "DELETE FROM entry WHERE vault = ?1 AND path = ?2 AND archive IS ?3
            AND (?3 IS NOT NULL OR manifest IS ?4)",
    )?
    .execute(params![vault.0, entry.path.as_bytes(), archive, manifest])?;
    tx.prepare_cached(
        "INSERT INTO entry (vault, path, kind, size, mtime_s, mtime_ns, mode, link_target, tree_hash,
            archive, archive_key, uploaded, since, description, manifest)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        vault.0,
        entry.path.as_bytes(),
        entry.kind as i64,
        entry.size.cast_signed(),
        entry.mtime.map(|mtime| mtime.seconds),
        entry.mtime.map(|mtime| mtime.nanos),
        entry.mode,
        entry.link_target,
        entry.tree_hash.as_ref().map(|hash| hash.as_bytes()),
        archive,
        entry.archive.as_ref().map(archive_key),
        entry.uploaded.unix_millis(),
        since.max(entry.uploaded).unix_millis(),
        entry.description,
        manifest,
    ])?;
    let id = tx.last_insert_rowid();
    if let Some(manifest) = manifest {
        tx.prepare_cached(
            "INSERT OR IGNORE INTO manifest (vault, archive, size, created, applied) VALUES (?, ?, 0, ?, 1)",
        )?
        .execute(params![vault.0, manifest, entry.uploaded.unix_millis()])?;
    }
    Ok(id)
}

fn newest(
    connection: &Connection,
    vault: VaultRef,
    path: &CatalogPath,
) -> Result<Option<Entry>, CatalogError> {
    let mut select = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM entry WHERE vault = ? AND path = ? AND gone IS NULL
         ORDER BY uploaded DESC, id DESC LIMIT 1"
    ))?;
    let mut rows = select.query(params![vault.0, path.as_bytes()])?;
    rows.next()?.map(entry).transpose()
}

fn numbered(row: &rusqlite::Row<'_>) -> Result<Row, CatalogError> {
    Ok((entry(row)?, row.get(12)?))
}

/// Reads an entry from a row that begins with [`COLUMNS`].
pub(super) fn entry(row: &rusqlite::Row<'_>) -> Result<Entry, CatalogError> {
    let mtime = match (row.get(3)?, row.get(4)?) {
        (Some(seconds), Some(nanos)) => Some(FileTime { seconds, nanos }),
        _ => None,
    };
    Ok(Entry {
        path: CatalogPath::parse(row.get::<_, Vec<u8>>(0)?).map_err(CatalogError::damaged)?,
        kind: kind(row.get(1)?)?,
        size: row.get::<_, i64>(2)?.cast_unsigned(),
        mtime,
        mode: row.get(5)?,
        link_target: row.get(6)?,
        tree_hash: row.get::<_, Option<[u8; 32]>>(7)?.map(TreeHash::from_bytes),
        archive: id(row.get(8)?)?,
        uploaded: Timestamp::from_unix_millis(row.get(9)?),
        description: row.get(10)?,
        manifest: id(row.get(11)?)?,
    })
}

fn kind(number: i64) -> Result<Kind, CatalogError> {
    [Kind::File, Kind::Folder, Kind::Link]
        .into_iter()
        .find(|kind| *kind as i64 == number)
        .ok_or_else(|| CatalogError::damaged(format!("{number} is no kind of entry")))
}

fn id(text: Option<String>) -> Result<Option<ArchiveId>, CatalogError> {
    text.map(ArchiveId::try_from).transpose().map_err(CatalogError::damaged)
}
