//! Deleted archives that nothing shows any more, in SQL.

use rusqlite::Connection;

use super::{
    archive,
    columns::{bound, list},
};

/// Follows the index of deleted archives; whether one is needed, three more indexes tell.
pub(super) const UNNEEDED: &str = "
    SELECT number FROM archives a
    WHERE deleted_write IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.archive = a.number)
      AND NOT EXISTS (SELECT 1 FROM vaults v WHERE v.number = a.vault
                      AND v.inventory_writes >= a.created_write AND v.inventory_writes < a.deleted_write)
      AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.vault = a.vault
                      AND j.writes >= a.created_write AND j.writes < a.deleted_write)
    ORDER BY vault, number LIMIT ?1";

pub(super) fn purge(db: &Connection, limit: usize) -> rusqlite::Result<u64> {
    let unneeded = list(db, UNNEEDED, [bound(limit)], |mut columns| columns.get())?;
    for number in &unneeded {
        archive::discard(db, *number)?;
    }
    Ok(unneeded.len() as u64)
}
