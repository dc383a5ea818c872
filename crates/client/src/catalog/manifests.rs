//! The manifest archives of a vault: those that were taken in, and those that have still to be retrieved.

use icefield_protocol::{ArchiveId, Timestamp, TreeHash};
use rusqlite::{Transaction, params};

use super::{Catalog, CatalogError, VaultRef};

/// A manifest archive, as an inventory lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestArchive {
    /// The archive.
    pub archive: ArchiveId,
    /// Its size in bytes; 0 means unknown.
    pub size: u64,
    /// When it was created.
    pub created: Timestamp,
    /// Its tree hash, if known.
    pub tree_hash: Option<TreeHash>,
    /// Its description, verbatim, if known.
    pub description: Option<String>,
}

impl Catalog {
    /// Notes a manifest whose content the catalog has.
    pub fn record_manifest(
        &self,
        vault: VaultRef,
        manifest: &ManifestArchive,
    ) -> Result<(), CatalogError> {
        self.write(|tx| note_manifest(tx, vault, manifest, true))
    }

    /// Lists the manifests that are known, the oldest first.
    pub fn manifests(&self, vault: VaultRef) -> Result<Vec<ManifestArchive>, CatalogError> {
        self.read(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT archive, size, created, tree_hash, description FROM manifest
                 WHERE vault = ? ORDER BY created, id",
            )?;
            let mut rows = select.query([vault.0])?;
            let mut manifests = Vec::new();
            while let Some(row) = rows.next()? {
                manifests.push(ManifestArchive {
                    archive: ArchiveId::try_from(row.get::<_, String>(0)?)
                        .map_err(CatalogError::damaged)?,
                    size: row.get::<_, i64>(1)?.cast_unsigned(),
                    created: Timestamp::from_unix_millis(row.get(2)?),
                    tree_hash: row.get::<_, Option<[u8; 32]>>(3)?.map(TreeHash::from_bytes),
                    description: row.get(4)?,
                });
            }
            Ok(manifests)
        })
    }
}

/// Notes a manifest unless it is known; of one that is, what was not known is filled in.
pub(crate) fn note_manifest(
    tx: &Transaction<'_>,
    vault: VaultRef,
    manifest: &ManifestArchive,
    applied: bool,
) -> Result<(), CatalogError> {
    tx.prepare_cached(
        "INSERT INTO manifest (vault, archive, size, created, tree_hash, description, applied)
         VALUES (?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (vault, archive) DO UPDATE SET
            created = CASE size WHEN 0 THEN excluded.created ELSE created END,
            size = CASE size WHEN 0 THEN excluded.size ELSE size END,
            tree_hash = coalesce(tree_hash, excluded.tree_hash),
            description = coalesce(description, excluded.description)
         WHERE size = 0 OR tree_hash IS NULL OR description IS NULL",
    )?
    .execute(params![
        vault.0,
        manifest.archive.as_str(),
        manifest.size.cast_signed(),
        manifest.created.unix_millis(),
        manifest.tree_hash.as_ref().map(|hash| hash.as_bytes()),
        manifest.description,
        applied,
    ])?;
    Ok(())
}
