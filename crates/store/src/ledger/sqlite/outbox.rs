//! Messages on their way, in SQL.

use icefield_protocol::Timestamp;
use rusqlite::{Connection, params};

use super::{
    columns::{Columns, bound, execute, find, list},
    state,
};
use crate::{entry::DeliveryNumber, ledger::DeliveryRow};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT number, topic, destination, message_id, message, created, attempts, next, dead, error \
             FROM deliveries ",
            $rest
        )
    };
}

fn row(mut columns: Columns<'_>) -> rusqlite::Result<DeliveryRow> {
    Ok(DeliveryRow {
        number: columns.get()?,
        topic: columns.get()?,
        destination: columns.get()?,
        message_id: columns.get()?,
        message: columns.get()?,
        created: columns.read()?,
        attempts: columns.get()?,
        next: columns.read()?,
        dead: columns.get()?,
        error: columns.get()?,
    })
}

pub(super) fn enqueue(db: &Connection, deliveries: &[DeliveryRow]) -> rusqlite::Result<()> {
    for row in deliveries {
        state::used_number(db, row.number.0)?;
        execute(
            db,
            "INSERT OR IGNORE INTO deliveries VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            params![
                row.number,
                row.topic,
                row.destination,
                row.message_id,
                row.message,
                row.created.unix_millis(),
                row.attempts,
                row.next.unix_millis(),
                row.dead,
                row.error,
            ],
        )?;
    }
    Ok(())
}

pub(super) const DUE: &str =
    select!("WHERE dead = 0 AND next <= ?1 ORDER BY next, number LIMIT ?2");

pub(super) fn due(
    db: &Connection,
    now: Timestamp,
    limit: usize,
) -> rusqlite::Result<Vec<DeliveryRow>> {
    list(db, DUE, params![now.unix_millis(), bound(limit)], row)
}

pub(super) fn next(db: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    let sql = "SELECT min(next) FROM deliveries WHERE dead = 0";
    Ok(find(db, sql, [], |mut columns| columns.read_opt())?.flatten())
}

pub(super) fn update(db: &Connection, row: &DeliveryRow) -> rusqlite::Result<bool> {
    let updated = execute(
        db,
        "UPDATE deliveries SET topic = ?2, destination = ?3, message_id = ?4, message = ?5, created = ?6, \
         attempts = ?7, next = ?8, dead = ?9, error = ?10 WHERE number = ?1",
        params![
            row.number,
            row.topic,
            row.destination,
            row.message_id,
            row.message,
            row.created.unix_millis(),
            row.attempts,
            row.next.unix_millis(),
            row.dead,
            row.error,
        ],
    )?;
    Ok(updated > 0)
}

pub(super) fn remove(db: &Connection, number: DeliveryNumber) -> rusqlite::Result<bool> {
    Ok(execute(db, "DELETE FROM deliveries WHERE number = ?1", [number])? > 0)
}

pub(super) const EXPIRE: &str = "DELETE FROM deliveries WHERE dead = 1 AND next < ?1";

pub(super) fn expire(db: &Connection, before: Timestamp) -> rusqlite::Result<u64> {
    Ok(execute(db, EXPIRE, [before.unix_millis()])? as u64)
}

pub(super) const DEAD: &str = select!("WHERE dead = 1 AND number > ?1 ORDER BY number LIMIT ?2");

pub(super) fn dead(
    db: &Connection,
    after: Option<DeliveryNumber>,
    limit: usize,
) -> rusqlite::Result<Vec<DeliveryRow>> {
    let after = after.map_or(-1, |number| bound(number.0));
    list(db, DEAD, params![after, bound(limit)], row)
}
