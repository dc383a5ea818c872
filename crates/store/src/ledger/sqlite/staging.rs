//! Payload files that nothing uses, and dead bodies in packs, in SQL.

use rusqlite::{Connection, params};

use super::columns::{bound, execute, find, list};
use crate::{
    entry::{PayloadId, UploadNumber},
    payload::{DeadBody, LogPosition},
};

pub(super) fn stage(db: &Connection, id: PayloadId) -> rusqlite::Result<()> {
    execute(db, "INSERT OR IGNORE INTO staged VALUES (?1)", [id])?;
    Ok(())
}

pub(super) fn unstage(db: &Connection, id: PayloadId) -> rusqlite::Result<()> {
    execute(db, "DELETE FROM staged WHERE payload = ?1", [id])?;
    Ok(())
}

/// Stages the parts of an upload, which then has none.
pub(super) fn stage_parts(db: &Connection, upload: UploadNumber) -> rusqlite::Result<()> {
    let sql = "INSERT OR IGNORE INTO staged SELECT payload FROM parts WHERE upload = ?1";
    execute(db, sql, [upload])?;
    execute(db, "DELETE FROM parts WHERE upload = ?1", [upload])?;
    Ok(())
}

pub(super) fn page(
    db: &Connection,
    after: Option<PayloadId>,
    limit: usize,
) -> rusqlite::Result<Vec<PayloadId>> {
    // Bytes of any length sort after no bytes at all.
    let after = after.map_or_else(Vec::new, |id| id.as_bytes().to_vec());
    let sql = "SELECT payload FROM staged WHERE payload > ?1 ORDER BY payload LIMIT ?2";
    list(db, sql, params![after, bound(limit)], |mut columns| columns.get())
}

/// Whether an id is staged and no row has it. It asks every table that names payload files, by an index.
pub(super) const IS_GARBAGE: &str = "SELECT EXISTS (SELECT 1 FROM staged WHERE payload = ?1) \
     AND NOT EXISTS (SELECT 1 FROM archives WHERE payload = ?1) \
     AND NOT EXISTS (SELECT 1 FROM parts WHERE payload = ?1) \
     AND NOT EXISTS (SELECT 1 FROM jobs WHERE output_payload = ?1)";

pub(super) fn garbage(
    db: &Connection,
    mut ids: Vec<PayloadId>,
) -> rusqlite::Result<Vec<PayloadId>> {
    let mut failed = None;
    ids.retain(|id| {
        let found = find(db, IS_GARBAGE, [id], |mut columns| columns.get::<bool>());
        found.map_err(|error| failed = Some(error)).ok().flatten().unwrap_or(false)
    });
    failed.map_or(Ok(ids), Err)
}

/// Remembers a body that nothing needs any more, until [`forget_dead`].
pub(super) fn add_dead(db: &Connection, body: DeadBody) -> rusqlite::Result<()> {
    let DeadBody { at, archive, bytes } = body;
    let sql = "INSERT OR IGNORE INTO dead_bodies VALUES (?1, ?2, ?3, ?4)";
    if execute(db, sql, params![at.pack, at.offset, archive, bytes])? == 0 {
        return Ok(());
    }
    execute(
        db,
        "INSERT INTO dead_bytes VALUES (?1, ?2) ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes",
        params![at.pack, bytes],
    )?;
    Ok(())
}

pub(super) fn dead_packs(db: &Connection) -> rusqlite::Result<Vec<(u32, u64)>> {
    let sql = "SELECT pack, bytes FROM dead_bytes WHERE bytes > 0 ORDER BY pack";
    list(db, sql, [], |mut columns| Ok((columns.get()?, columns.get()?)))
}

pub(super) fn dead_bodies(
    db: &Connection,
    from: LogPosition,
    limit: usize,
) -> rusqlite::Result<Vec<DeadBody>> {
    let sql = "SELECT pack, offset, archive, bytes FROM dead_bodies \
               WHERE pack = ?1 AND offset >= ?2 ORDER BY offset LIMIT ?3";
    list(db, sql, params![from.pack, from.offset, bound(limit)], |mut columns| {
        let at = LogPosition { pack: columns.get()?, offset: columns.get()? };
        Ok(DeadBody { at, archive: columns.get()?, bytes: columns.get()? })
    })
}

pub(super) fn forget_dead(db: &Connection, records: &[LogPosition]) -> rusqlite::Result<()> {
    for at in records {
        let key = params![at.pack, at.offset];
        let sql = "SELECT bytes FROM dead_bodies WHERE pack = ?1 AND offset = ?2";
        let Some(bytes): Option<u64> = find(db, sql, key, |mut columns| columns.get())? else {
            continue;
        };
        execute(db, "DELETE FROM dead_bodies WHERE pack = ?1 AND offset = ?2", key)?;
        let sql = "UPDATE dead_bytes SET bytes = bytes - ?2 WHERE pack = ?1";
        execute(db, sql, params![at.pack, bytes])?;
    }
    execute(db, "DELETE FROM dead_bytes WHERE bytes <= 0", [])?;
    Ok(())
}
