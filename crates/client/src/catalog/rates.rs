//! The rate that was last reached at each place, for estimates.

use rusqlite::{OptionalExtension as _, params};

use super::{Catalog, CatalogError};

impl Catalog {
    /// Returns the rate last reached at the place with `identity`, in bytes per second.
    pub fn rate(&self, identity: &str) -> Result<Option<f64>, CatalogError> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT bytes_per_second FROM rate WHERE identity = ?")?
                .query_row([identity], |row| row.get(0))
                .optional()
                .map_err(CatalogError::from)
        })
    }

    /// Remembers the rate reached at the place with `identity`. What is not a positive number is not kept.
    pub fn record_rate(&self, identity: &str, bytes_per_second: f64) -> Result<(), CatalogError> {
        if !(bytes_per_second.is_finite() && bytes_per_second > 0.0) {
            return Ok(());
        }
        self.write(|tx| {
            tx.execute(
                "INSERT INTO rate (identity, bytes_per_second) VALUES (?, ?)
                 ON CONFLICT (identity) DO UPDATE SET bytes_per_second = excluded.bytes_per_second",
                params![identity, bytes_per_second],
            )?;
            Ok(())
        })
    }
}
