//! Vaults in SQL.

use icefield_protocol::{AccountId, Timestamp, VaultName};
use rusqlite::{Connection, params};

use super::columns::{Columns, bound, execute, find, list};
use crate::{
    entry::VaultNumber,
    ledger::{InventorySnapshot, VaultRow},
};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT number, account, name, created, writes, archives, bytes, inventory_date, inventory_writes, \
             inventory_archives, inventory_bytes FROM vaults ",
            $rest
        )
    };
}

fn row(mut columns: Columns<'_>) -> rusqlite::Result<VaultRow> {
    Ok(VaultRow {
        number: columns.get()?,
        account: columns.parse()?,
        name: columns.parse()?,
        created: columns.read()?,
        writes: columns.get()?,
        archives: columns.get()?,
        bytes: columns.get()?,
        inventory: match columns.read_opt()? {
            None => None,
            Some(date) => Some(InventorySnapshot {
                date,
                writes: columns.get()?,
                archives: columns.get()?,
                bytes: columns.get()?,
            }),
        },
    })
}

pub(super) fn by_name(
    db: &Connection,
    account: &AccountId,
    name: &VaultName,
) -> rusqlite::Result<Option<VaultRow>> {
    let key = [account.as_str(), name.as_str()];
    find(db, select!("WHERE account = ?1 AND name = ?2"), key, row)
}

pub(super) fn by_number(
    db: &Connection,
    number: VaultNumber,
) -> rusqlite::Result<Option<VaultRow>> {
    find(db, select!("WHERE number = ?1"), [number], row)
}

pub(super) fn of_account(
    db: &Connection,
    account: &AccountId,
    from: Option<&VaultName>,
    limit: usize,
) -> rusqlite::Result<Vec<VaultRow>> {
    let from = from.map_or("", |name| name.as_str());
    list(
        db,
        select!("WHERE account = ?1 AND name >= ?2 ORDER BY name LIMIT ?3"),
        params![account.as_str(), from, bound(limit)],
        row,
    )
}

pub(super) fn take_inventory(
    db: &Connection,
    number: VaultNumber,
    date: Timestamp,
    interval_millis: u64,
) -> rusqlite::Result<Option<VaultRow>> {
    let Some(mut vault) = by_number(db, number)? else { return Ok(None) };
    if vault.inventory_is_due(date, interval_millis) {
        execute(
            db,
            "UPDATE vaults SET inventory_date = ?2, inventory_writes = writes, inventory_archives = archives, \
             inventory_bytes = bytes WHERE number = ?1",
            params![number, date.unix_millis()],
        )?;
        vault.inventory = Some(InventorySnapshot {
            date,
            writes: vault.writes,
            archives: vault.archives,
            bytes: vault.bytes,
        });
    }
    Ok(Some(vault))
}
