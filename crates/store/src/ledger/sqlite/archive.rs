//! Archives and their extents in SQL.

use icefield_protocol::{Timestamp, UploadToken};
use rusqlite::{Connection, params};

use super::{
    columns::{Columns, bound, execute, find, list},
    staging,
};
use crate::{
    entry::{ArchiveNumber, Extent, VaultNumber},
    ledger::{ArchiveQuery, ArchiveRow, Stored},
    payload::{DeadBody, LogPosition, RecordPlace},
};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT number, vault, seal_key, salt, description, created, aged, size, tree_hash, \
             created_write, deleted_write, payload, upload, pack, offset, length FROM archives ",
            $rest
        )
    };
}

fn row(mut columns: Columns<'_>) -> rusqlite::Result<ArchiveRow> {
    Ok(ArchiveRow {
        number: columns.get()?,
        vault: columns.get()?,
        seal: columns.seal()?,
        description: columns.convert_opt()?,
        created: columns.read()?,
        aged: columns.read_opt()?,
        size: columns.get()?,
        tree_hash: columns.read()?,
        created_write: columns.get()?,
        deleted_write: columns.get()?,
        stored: stored(&mut columns)?,
    })
}

fn stored(columns: &mut Columns<'_>) -> rusqlite::Result<Stored> {
    let payload: Option<_> = columns.get()?;
    let upload: Option<_> = columns.get()?;
    if let Some(payload) = payload {
        return Ok(Stored::File(payload));
    }
    if let Some(upload) = upload {
        return Ok(Stored::Parts(upload));
    }
    let at = LogPosition { pack: columns.get()?, offset: columns.get()? };
    Ok(Stored::Record(RecordPlace { at, length: columns.get()? }))
}

pub(super) fn insert(db: &Connection, archive: &ArchiveRow) -> rusqlite::Result<()> {
    let (place, payload, upload) = match archive.stored {
        Stored::Record(place) => (Some(place), None, None),
        Stored::File(payload) => (None, Some(payload), None),
        Stored::Parts(upload) => (None, None, Some(upload)),
    };
    execute(
        db,
        "INSERT INTO archives (number, vault, seal_key, salt, description, created, aged, size, tree_hash, \
         created_write, payload, upload, pack, offset, length) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
        params![
            archive.number,
            archive.vault,
            archive.seal.key,
            archive.seal.salt,
            archive.description.as_ref().map(|text| text.as_str()),
            archive.created.unix_millis(),
            archive.aged.map(Timestamp::unix_millis),
            archive.size,
            archive.tree_hash.as_bytes(),
            archive.created_write,
            payload,
            upload,
            place.map(|place| place.at.pack),
            place.map(|place| place.at.offset),
            place.map(|place| place.length),
        ],
    )?;
    Ok(())
}

pub(super) fn by_number(
    db: &Connection,
    number: ArchiveNumber,
) -> rusqlite::Result<Option<ArchiveRow>> {
    find(db, select!("WHERE number = ?1"), [number], row)
}

pub(super) fn by_token(
    db: &Connection,
    vault: VaultNumber,
    token: UploadToken,
) -> rusqlite::Result<Option<ArchiveRow>> {
    find(
        db,
        select!("WHERE number = (SELECT archive FROM tokens WHERE vault = ?1 AND token = ?2)"),
        params![vault, token.as_bytes()],
        row,
    )
}

/// The list of a vault. Its statement follows the index `archives_of_vault`, so a page costs what it shows.
pub(super) const LIST: &str = select!(
    "WHERE vault = ?1 AND number > ?2 AND created_write <= ?3 AND (deleted_write IS NULL OR deleted_write > ?3) \
     AND created >= ?4 AND created < ?5 ORDER BY number LIMIT ?6"
);

pub(super) fn of_vault(db: &Connection, query: ArchiveQuery) -> rusqlite::Result<Vec<ArchiveRow>> {
    let after = query.after.map_or(-1, |number| bound(number.0));
    let start = query.start.map_or(i64::MIN, Timestamp::unix_millis);
    let end = query.end.map_or(i64::MAX, Timestamp::unix_millis);
    let limit = bound(query.limit);
    list(db, LIST, params![query.vault, after, bound(query.writes), start, end, limit], row)
}

pub(super) fn extents(db: &Connection, number: ArchiveNumber) -> rusqlite::Result<Vec<Extent>> {
    let Some(archive) = by_number(db, number)? else { return Ok(Vec::new()) };
    match archive.stored {
        Stored::Record(_) => Ok(Vec::new()),
        Stored::File(payload) => {
            Ok(vec![Extent { payload, size: archive.size, tree_hash: archive.tree_hash }])
        }
        Stored::Parts(upload) => list(
            db,
            "SELECT payload, size, tree_hash FROM parts WHERE upload = ?1 ORDER BY idx",
            [upload],
            |mut columns| columns.extent(),
        ),
    }
}

/// Forgets an archive that nothing needs any more.
pub(super) fn discard(db: &Connection, number: ArchiveNumber) -> rusqlite::Result<()> {
    let Some(archive) = by_number(db, number)? else { return Ok(()) };
    match archive.stored {
        Stored::Record(place) if archive.size > 0 => {
            let body = DeadBody { at: place.at, archive: number, bytes: archive.size };
            staging::add_dead(db, body)?;
        }
        Stored::Record(_) => {}
        Stored::File(payload) => staging::stage(db, payload)?,
        Stored::Parts(upload) => staging::stage_parts(db, upload)?,
    }
    execute(db, "DELETE FROM archives WHERE number = ?1", [number])?;
    Ok(())
}
