//! The vaults that a catalog knows.

use icefield_protocol::{Timestamp, VaultName};
use rusqlite::{OptionalExtension as _, params};

use super::{Catalog, CatalogError};

/// A vault within one catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VaultRef(pub i64);

/// Whether a vault is the one that the catalog has described so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It is, or nothing was known of it.
    Same,
    /// It was deleted and another one made under its name.
    New {
        /// Entries of the one before; they are kept as gone.
        gone: u64,
    },
}

impl Catalog {
    /// Compares when a vault was made with what is known; of one made again, all that was known of the one before is
    /// marked as gone, and its journal is forgotten.
    pub fn meet_vault(&self, vault: VaultRef, created: Timestamp) -> Result<Life, CatalogError> {
        const CREATED: &str = "SELECT created FROM vault WHERE id = ?";
        let created = created.unix_millis();
        let known: Option<i64> = self.read(|connection| {
            connection.query_row(CREATED, [vault.0], |row| row.get(0)).map_err(CatalogError::from)
        })?;
        if known == Some(created) {
            return Ok(Life::Same);
        }
        self.write(|tx| {
            let known: Option<i64> = tx.query_row(CREATED, [vault.0], |row| row.get(0))?;
            tx.execute("UPDATE vault SET created = ? WHERE id = ?", [created, vault.0])?;
            if known.is_none_or(|known| known == created) {
                return Ok(Life::Same);
            }
            tx.execute("UPDATE vault SET inventoried = NULL WHERE id = ?", [vault.0])?;
            let gone = tx.execute(
                "UPDATE entry SET gone = ? WHERE vault = ? AND gone IS NULL",
                [created, vault.0],
            )?;
            for table in ["manifest", "claim", "job", "retrieval", "refresh", "purged"] {
                tx.execute(&format!("DELETE FROM {table} WHERE vault = ?"), [vault.0])?;
            }
            Ok(Life::New { gone: gone as u64 })
        })
    }

    /// Returns the date of the newest inventory that the catalog was compared with, if it ever was.
    pub fn inventoried(&self, vault: VaultRef) -> Result<Option<Timestamp>, CatalogError> {
        self.read(|connection| {
            let mut select =
                connection.prepare_cached("SELECT inventoried FROM vault WHERE id = ?")?;
            let date: Option<i64> = select.query_row([vault.0], |row| row.get(0))?;
            Ok(date.map(Timestamp::from_unix_millis))
        })
    }

    /// Counts the different archives that a vault holds as far as is known, manifests among them.
    pub fn count_archives(&self, vault: VaultRef) -> Result<u64, CatalogError> {
        self.read(|connection| {
            let count: i64 = connection
                .prepare_cached(
                    "SELECT (SELECT count(DISTINCT archive_key) FROM entry
                             WHERE vault = ?1 AND archive_key IS NOT NULL AND gone IS NULL)
                          + (SELECT count(*) FROM manifest WHERE vault = ?1)",
                )?
                .query_row([vault.0], |row| row.get(0))?;
            Ok(count.cast_unsigned())
        })
    }

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
