//! What there is once: the mark, the highest number, and the counts, in SQL.

use rusqlite::{Connection, params};

use super::columns::{execute, find};
use crate::{ledger::LedgerStat, payload::LogPosition};

pub(super) fn mark(db: &Connection) -> rusqlite::Result<LogPosition> {
    let sql = "SELECT mark_pack, mark_offset FROM state";
    let mark = find(db, sql, [], |mut columns| {
        Ok(LogPosition { pack: columns.get()?, offset: columns.get()? })
    })?;
    mark.ok_or(rusqlite::Error::QueryReturnedNoRows)
}

pub(super) fn set_mark(db: &Connection, mark: LogPosition) -> rusqlite::Result<()> {
    let sql = "UPDATE state SET mark_pack = ?1, mark_offset = ?2";
    execute(db, sql, params![mark.pack, mark.offset])?;
    Ok(())
}

pub(super) fn highest_number(db: &Connection) -> rusqlite::Result<u64> {
    let highest = find(db, "SELECT highest FROM state", [], |mut columns| columns.get())?;
    highest.ok_or(rusqlite::Error::QueryReturnedNoRows)
}

pub(super) fn used_number(db: &Connection, number: u64) -> rusqlite::Result<()> {
    execute(db, "UPDATE state SET highest = ?1 WHERE highest < ?1", [number])?;
    Ok(())
}

pub(super) fn stat(db: &Connection) -> rusqlite::Result<LedgerStat> {
    let sql = "SELECT (SELECT count(*) FROM vaults), (SELECT coalesce(sum(archives), 0) FROM vaults), \
               (SELECT coalesce(sum(bytes), 0) FROM vaults), \
               (SELECT count(*) FROM uploads WHERE state = 'in progress'), (SELECT count(*) FROM jobs), \
               (SELECT count(*) FROM jobs WHERE status = 'InProgress'), \
               (SELECT count(*) FROM staged), (SELECT coalesce(sum(bytes), 0) FROM dead_bytes), \
               (SELECT count(*) FROM documents WHERE value IS NOT NULL), (SELECT count(*) FROM deliveries WHERE dead = 0), \
               (SELECT count(*) FROM deliveries WHERE dead = 1)";
    let stat = find(db, sql, [], |mut columns| {
        Ok(LedgerStat {
            vaults: columns.get()?,
            archives: columns.get()?,
            bytes: columns.get()?,
            uploads: columns.get()?,
            jobs: columns.get()?,
            jobs_in_progress: columns.get()?,
            staged: columns.get()?,
            dead_bytes: columns.get()?,
            documents: columns.get()?,
            deliveries: columns.get()?,
            dead_deliveries: columns.get()?,
        })
    })?;
    stat.ok_or(rusqlite::Error::QueryReturnedNoRows)
}

/// Vaults whose counters do not say what their archives do; a sound ledger has none.
pub(super) fn wrong_counters(db: &Connection) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT name, v.archives, v.bytes, count(a.number), coalesce(sum(a.size), 0) FROM vaults v \
               LEFT JOIN archives a ON a.vault = v.number AND a.deleted_write IS NULL \
               GROUP BY v.number HAVING v.archives <> count(a.number) OR v.bytes <> coalesce(sum(a.size), 0)";
    super::columns::list(db, sql, [], |mut columns| {
        let (name, archives, bytes): (String, i64, i64) =
            (columns.get()?, columns.get()?, columns.get()?);
        let (listed, size): (i64, i64) = (columns.get()?, columns.get()?);
        Ok(format!(
            "vault {name} counts {archives} archives of {bytes} bytes, but lists {listed} of {size} bytes"
        ))
    })
}
