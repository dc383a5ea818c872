//! Which inventory job of each vault is to be read, or was read last.

use icefield_protocol::JobId;
use rusqlite::{OptionalExtension as _, params};

use super::{Catalog, CatalogError, VaultRef};

impl Catalog {
    /// Returns the inventory job last noted for a vault, and whether it has been read.
    pub(crate) fn inventory_job(
        &self,
        vault: VaultRef,
    ) -> Result<Option<(JobId, bool)>, CatalogError> {
        self.read(|connection| {
            let found: Option<(String, bool)> = connection
                .prepare_cached("SELECT job, done FROM refresh WHERE vault = ?")?
                .query_row([vault.0], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            found
                .map(|(job, done)| Ok((JobId::try_from(job).map_err(CatalogError::damaged)?, done)))
                .transpose()
        })
    }

    /// Notes the inventory job of a vault, and whether it has been read.
    pub(crate) fn note_inventory_job(
        &self,
        vault: VaultRef,
        job: &JobId,
        done: bool,
    ) -> Result<(), CatalogError> {
        self.write(|tx| {
            tx.execute(
                "INSERT OR REPLACE INTO refresh (vault, job, done) VALUES (?, ?, ?)",
                params![vault.0, job.as_str(), done],
            )?;
            Ok(())
        })
    }
}
