//! The accounts that credentials stand for, as their services have told: a vault is known by its account, not by a key.

use icefield_protocol::AccountId;
use rusqlite::{OptionalExtension as _, params};

use super::{Catalog, CatalogError};

/// What is known of a service, as one access key sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The account that the key belongs to.
    pub account: AccountId,
    /// Whether the service answers a repeated upload token with the first result.
    pub keeps_tokens: bool,
}

impl Catalog {
    /// Returns what was learnt about a service with an access key.
    pub fn place(
        &self,
        endpoint: &str,
        region: &str,
        access_key: &str,
    ) -> Result<Option<Place>, CatalogError> {
        self.read(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT account, keeps_tokens FROM place
                 WHERE endpoint = ? AND region = ? AND access_key = ?",
            )?;
            let found = select
                .query_row(params![endpoint, region, access_key], |row| {
                    Ok((row.get::<_, String>(0)?, row.get(1)?))
                })
                .optional()?;
            found.map(|(account, keeps_tokens)| place(&account, keeps_tokens)).transpose()
        })
    }

    /// Returns what was learnt about a service with whatever access key, if that was the same each time.
    pub fn only_place(&self, endpoint: &str, region: &str) -> Result<Option<Place>, CatalogError> {
        self.read(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT DISTINCT account, keeps_tokens FROM place WHERE endpoint = ? AND region = ?",
            )?;
            let mut rows = select.query([endpoint, region])?;
            let Some(row) = rows.next()? else { return Ok(None) };
            let found = place(&row.get::<_, String>(0)?, row.get(1)?)?;
            Ok(if rows.next()?.is_none() { Some(found) } else { None })
        })
    }

    /// Notes what was learnt about a service.
    pub fn record_place(
        &self,
        endpoint: &str,
        region: &str,
        access_key: &str,
        place: &Place,
    ) -> Result<(), CatalogError> {
        self.write(|tx| {
            tx.execute(
                "INSERT OR REPLACE INTO place (endpoint, region, access_key, account, keeps_tokens)
                 VALUES (?, ?, ?, ?, ?)",
                params![endpoint, region, access_key, place.account.as_str(), place.keeps_tokens],
            )?;
            Ok(())
        })
    }
}

fn place(account: &str, keeps_tokens: bool) -> Result<Place, CatalogError> {
    let account = AccountId::parse(account).map_err(CatalogError::damaged)?;
    Ok(Place { account, keeps_tokens })
}
