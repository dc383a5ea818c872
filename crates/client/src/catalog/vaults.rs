//! The vaults that a catalog knows.

use icefield_protocol::VaultName;
use rusqlite::{OptionalExtension as _, params};

use super::{Catalog, CatalogError};

/// A vault within one catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VaultRef(pub i64);

impl Catalog {
    /// Returns the vault `name` at the place with `identity`, noted now if it was not known.
    ///
    /// # Errors
    ///
    /// When the database fails, as with every call here.
    pub fn vault(&self, identity: &str, name: &VaultName) -> Result<VaultRef, CatalogError> {
        let key = params![identity, name.as_str()];
        let known = self.read(|connection| {
            connection
                .prepare_cached("SELECT id FROM vault WHERE identity = ? AND name = ?")?
                .query_row(key, |row| row.get(0))
                .optional()
                .map_err(CatalogError::from)
        })?;
        if let Some(id) = known {
            return Ok(VaultRef(id));
        }
        self.write(|tx| {
            tx.execute("INSERT OR IGNORE INTO vault (identity, name) VALUES (?, ?)", key)?;
            let select = "SELECT id FROM vault WHERE identity = ? AND name = ?";
            Ok(VaultRef(tx.query_row(select, key, |row| row.get(0))?))
        })
    }

    /// Lists the vaults known at the place with `identity`, by name.
    pub fn vaults(&self, identity: &str) -> Result<Vec<(VaultRef, VaultName)>, CatalogError> {
        self.read(|connection| {
            let mut select = connection
                .prepare_cached("SELECT id, name FROM vault WHERE identity = ? ORDER BY name")?;
            let mut rows = select.query([identity])?;
            let mut vaults = Vec::new();
            while let Some(row) = rows.next()? {
                let name =
                    VaultName::parse(row.get_ref(1)?.as_str().map_err(CatalogError::damaged)?)
                        .map_err(CatalogError::damaged)?;
                vaults.push((VaultRef(row.get(0)?), name));
            }
            Ok(vaults)
        })
    }

    /// Lists every vault of every place: its number here, the place's identity, its name.
    pub fn all_vaults(&self) -> Result<Vec<(VaultRef, String, VaultName)>, CatalogError> {
        self.read(|connection| {
            let mut select = connection
                .prepare_cached("SELECT id, identity, name FROM vault ORDER BY identity, name")?;
            let mut rows = select.query([])?;
            let mut vaults = Vec::new();
            while let Some(row) = rows.next()? {
                let name =
                    VaultName::parse(row.get_ref(2)?.as_str().map_err(CatalogError::damaged)?)
                        .map_err(CatalogError::damaged)?;
                vaults.push((VaultRef(row.get(0)?), row.get(1)?, name));
            }
            Ok(vaults)
        })
    }

    /// Forgets a vault with its entries and its journal.
    pub fn forget_vault(&self, vault: VaultRef) -> Result<(), CatalogError> {
        self.write(|tx| {
            // The entries first: their number makes a cascade slow, an index does not.
            tx.execute("DELETE FROM entry WHERE vault = ?", [vault.0])?;
            tx.execute("DELETE FROM vault WHERE id = ?", [vault.0])?;
            Ok(())
        })
    }
}
