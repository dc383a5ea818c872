//! Inventory files into the catalog.

use std::{io::Read, path::Path};

use icefield_protocol::{ArchiveId, Timestamp, TreeHash, VaultName};
use rusqlite::{Transaction, params};

use super::{
    FileForm, FileItem, ReadError, Refusal, Refusals,
    files::{read_file, read_for},
    named::{foreign_path, placeholder},
};
use crate::{
    catalog::{Catalog, CatalogError, Entry, VaultRef, archive_key, insert, note_manifest},
    path::CatalogPath,
};

/// Rows per transaction: many enough to be quick, few enough that others may write in between.
pub(super) const BATCH: usize = 2000;

/// What an import did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportReport {
    /// The form of the file.
    pub form: FileForm,
    /// Entries that were new, or whose archive had no name before.
    pub added: u64,
    /// Entries that the catalog had; what it did not know of them was filled in.
    pub already_known: u64,
    /// Archives that the file says were deleted: they are gone now, however they came into the catalog.
    pub gone: u64,
    /// Rows that are of other vaults.
    pub other_vaults: u64,
    /// Rows that were left out.
    pub refused: Refusals,
}

/// Takes an inventory file of any form but databases into the catalog of a vault.
///
/// A row without size or dates leaves them unknown until a refresh. An archive that was known only by its ID gets its
/// name. A row that names another vault is refused. Rows are committed in batches: after an error those before it are kept, and a repeat finds them known.
///
/// # Errors
///
/// As [`read`](super::read). Rows that cannot be used are in the report.
pub fn import(
    catalog: &Catalog,
    vault: VaultRef,
    reader: impl Read,
    now: Timestamp,
) -> Result<ImportReport, ReadError<CatalogError>> {
    import_from(catalog, vault, now, |vault, each| read_for(vault, reader, each))
}

/// Takes the inventory file at `path` into the catalog as [`import`] does, databases too.
///
/// # Errors
///
/// As [`import`].
pub fn import_file(
    catalog: &Catalog,
    vault: VaultRef,
    path: &Path,
    now: Timestamp,
) -> Result<ImportReport, ReadError<CatalogError>> {
    import_from(catalog, vault, now, |vault, each| read_file(vault, path, each))
}

type Receiver<'a> = &'a mut dyn FnMut(FileItem) -> Result<(), CatalogError>;

fn import_from(
    catalog: &Catalog,
    vault: VaultRef,
    now: Timestamp,
    read: impl FnOnce(Option<&VaultName>, Receiver<'_>) -> Result<FileForm, ReadError<CatalogError>>,
) -> Result<ImportReport, ReadError<CatalogError>> {
    let mut report = ImportReport {
        form: FileForm::Icefield,
        added: 0,
        already_known: 0,
        gone: 0,
        other_vaults: 0,
        refused: Refusals::default(),
    };
    let mut batch = Vec::with_capacity(BATCH);
    let vaults = catalog.all_vaults().map_err(ReadError::Receiver)?;
    let name = vaults.into_iter().find(|(known, ..)| *known == vault).map(|(.., name)| name);
    report.form = read(name.as_ref(), &mut |item| {
        batch.push(item);
        if batch.len() >= BATCH {
            take_batch(catalog, vault, &mut batch, now, &mut report)?;
        }
        Ok(())
    })?;
    take_batch(catalog, vault, &mut batch, now, &mut report).map_err(ReadError::Receiver)?;
    Ok(report)
}

fn take_batch(
    catalog: &Catalog,
    vault: VaultRef,
    batch: &mut Vec<FileItem>,
    now: Timestamp,
    report: &mut ImportReport,
) -> Result<(), CatalogError> {
    catalog.write(|tx| {
        for item in batch.drain(..) {
            match item {
                FileItem::Refused(refusal) => report.refused.add(refusal),
                FileItem::Manifest(manifest) => note_manifest(tx, vault, &manifest, false)?,
                FileItem::Entry(entry) => {
                    let taken = take(tx, vault, &entry, now, false)?;
                    report.count(taken, &entry);
                }
                FileItem::Named(entry) => {
                    let taken = take(tx, vault, &entry, now, true)?;
                    report.count(taken, &entry);
                }
                FileItem::Deleted { archive, at } => {
                    report.gone += u64::from(mark_gone(tx, vault, &archive, at)?);
                }
                FileItem::OtherVaults { rows } => report.other_vaults += rows,
            }
        }
        Ok(())
    })
}

impl ImportReport {
    fn count(&mut self, taken: Taken, entry: &Entry) {
        match taken {
            Taken::Added => self.added += 1,
            Taken::Known => self.already_known += 1,
            Taken::Refused(why) => {
                self.refused.add(Refusal { place: entry.path.to_string(), why });
            }
        }
    }
}

/// Marks an archive as gone; returns whether it was known as being there. A later inventory that has it brings it back.
fn mark_gone(
    tx: &Transaction<'_>,
    vault: VaultRef,
    archive: &ArchiveId,
    at: Timestamp,
) -> Result<bool, CatalogError> {
    let gone = tx
        .prepare_cached(
            "UPDATE entry SET gone = ?
             WHERE vault = ? AND archive_key = ? AND archive = ? AND gone IS NULL",
        )?
        .execute(params![at.unix_millis(), vault.0, archive_key(archive), archive.as_str()])?;
    Ok(gone > 0)
}

enum Taken {
    Added,
    Known,
    Refused(String),
}

fn take(
    tx: &Transaction<'_>,
    vault: VaultRef,
    entry: &Entry,
    now: Timestamp,
    names: bool,
) -> Result<Taken, CatalogError> {
    let Some(archive) = &entry.archive else { return take_without_bytes(tx, vault, entry, now) };
    let unnamed = placeholder(archive);
    let mut other_name = None;
    for known in known(tx, vault, archive)? {
        if let Some(why) = known.differs(entry) {
            return Ok(Taken::Refused(format!("archive {archive} is another one: {why}")));
        }
        if known.path == entry.path {
            fill(tx, known.id, entry)?;
            return Ok(Taken::Known);
        }
        other_name = Some(known);
    }
    match other_name {
        // A file of the service's inventory cannot name the archive; the catalog can.
        Some(known) if entry.path == unnamed => {
            fill(tx, known.id, entry)?;
            Ok(Taken::Known)
        }
        Some(known) if known.path == unnamed || (names && known.is_named_by_others()) => {
            fill(tx, known.id, entry)?;
            tx.prepare_cached("UPDATE entry SET path = ?, kind = ? WHERE id = ?")?
                .execute(params![entry.path.as_bytes(), entry.kind as i64, known.id])?;
            Ok(Taken::Added)
        }
        _ => {
            insert(tx, vault, entry, now)?;
            Ok(Taken::Added)
        }
    }
}

fn take_without_bytes(
    tx: &Transaction<'_>,
    vault: VaultRef,
    entry: &Entry,
    now: Timestamp,
) -> Result<Taken, CatalogError> {
    let mut same = tx.prepare_cached(
        "SELECT 1 FROM entry WHERE vault = ? AND path = ? AND archive IS NULL AND gone IS NULL
            AND kind = ? AND link_target IS ? AND mtime_s IS ? AND mtime_ns IS ?",
    )?;
    let known = same.exists(params![
        vault.0,
        entry.path.as_bytes(),
        entry.kind as i64,
        entry.link_target,
        entry.mtime.map(|mtime| mtime.seconds),
        entry.mtime.map(|mtime| mtime.nanos),
    ])?;
    if known {
        return Ok(Taken::Known);
    }
    insert(tx, vault, entry, now)?;
    Ok(Taken::Added)
}

/// A row of an archive that the catalog has.
pub(super) struct Known {
    pub(super) id: i64,
    pub(super) path: CatalogPath,
    size: u64,
    tree_hash: Option<TreeHash>,
    /// Whether it is there and nothing but its description is left to be filled in.
    complete: bool,
    pub(super) description: Option<String>,
}

impl Known {
    /// Whether its path is only what another program's description makes of it.
    fn is_named_by_others(&self) -> bool {
        let described = self.description.as_deref().and_then(foreign_path);
        described.as_ref() == Some(&self.path)
    }

    /// Whether `told` has something to fill in.
    pub(super) fn lacks(&self, told: &Entry) -> bool {
        !self.complete || (self.description.is_none() && told.description.is_some())
    }

    /// Tells how what is known differs from what is told of the same archive.
    pub(super) fn differs(&self, told: &Entry) -> Option<String> {
        match (self.tree_hash, told.tree_hash) {
            (Some(known), Some(told)) if known != told => {
                Some(format!("its tree hash is {known} in the catalog, here {told}"))
            }
            _ if self.size != 0 && told.size != 0 && self.size != told.size => {
                Some(format!("its size is {} in the catalog, here {}", self.size, told.size))
            }
            _ => None,
        }
    }
}

/// Finds the rows of an archive, also of one that was gone.
pub(super) fn known(
    tx: &Transaction<'_>,
    vault: VaultRef,
    archive: &ArchiveId,
) -> Result<Vec<Known>, CatalogError> {
    let mut select = tx.prepare_cached(
        "SELECT id, path, size, tree_hash, size > 0 AND uploaded <> 0 AND tree_hash IS NOT NULL
                AND gone IS NULL, description
         FROM entry WHERE vault = ? AND archive_key = ? AND archive = ?",
    )?;
    let mut rows = select.query(params![vault.0, archive_key(archive), archive.as_str()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(Known {
            id: row.get(0)?,
            path: CatalogPath::parse(row.get::<_, Vec<u8>>(1)?).map_err(CatalogError::damaged)?,
            size: row.get::<_, i64>(2)?.cast_unsigned(),
            tree_hash: row.get::<_, Option<[u8; 32]>>(3)?.map(TreeHash::from_bytes),
            complete: row.get(4)?,
            description: row.get(5)?,
        });
    }
    Ok(found)
}

/// Fills in what a row lacks, and brings it back if it was gone.
pub(super) fn fill(tx: &Transaction<'_>, id: i64, told: &Entry) -> Result<(), CatalogError> {
    tx.prepare_cached(
        "UPDATE entry SET
            size = CASE size WHEN 0 THEN ? ELSE size END,
            uploaded = CASE uploaded WHEN 0 THEN ? ELSE uploaded END,
            mtime_ns = CASE WHEN mtime_s IS NULL THEN ? ELSE mtime_ns END,
            mtime_s = coalesce(mtime_s, ?),
            mode = coalesce(mode, ?),
            tree_hash = coalesce(tree_hash, ?),
            description = coalesce(description, ?),
            gone = NULL
         WHERE id = ?",
    )?
    .execute(params![
        told.size.cast_signed(),
        told.uploaded.unix_millis(),
        told.mtime.map(|mtime| mtime.nanos),
        told.mtime.map(|mtime| mtime.seconds),
        told.mode,
        told.tree_hash.as_ref().map(|hash| hash.as_bytes()),
        told.description,
        id,
    ])?;
    Ok(())
}
