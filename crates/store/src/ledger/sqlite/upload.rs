//! Uploads and their parts in SQL.

use icefield_protocol::{Timestamp, UploadToken};
use rusqlite::{Connection, params};

use super::{
    columns::{Columns, bound, execute, find, list},
    staging, state,
};
use crate::{
    entry::{Extent, UploadNumber, VaultNumber},
    ledger::{PartRow, UploadRow, UploadState},
};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT number, vault, seal_key, salt, description, part_size, token, created, touched, state, archive \
             FROM uploads ",
            $rest
        )
    };
}

fn row(mut columns: Columns<'_>) -> rusqlite::Result<UploadRow> {
    Ok(UploadRow {
        number: columns.get()?,
        vault: columns.get()?,
        seal: columns.seal()?,
        description: columns.convert_opt()?,
        part_size: columns.read()?,
        token: columns.read_opt()?,
        created: columns.read()?,
        touched: columns.read()?,
        state: upload_state(&mut columns)?,
    })
}

fn upload_state(columns: &mut Columns<'_>) -> rusqlite::Result<UploadState> {
    match columns.get::<String>()?.as_str() {
        "in progress" => Ok(UploadState::InProgress),
        "completed" => columns.get().map(UploadState::Completed),
        "aborted" => Ok(UploadState::Aborted),
        other => Err(columns.damage(format!("{other:?} is no state of an upload"))),
    }
}

fn state_word(state: UploadState) -> &'static str {
    match state {
        UploadState::InProgress => "in progress",
        UploadState::Completed(_) => "completed",
        UploadState::Aborted => "aborted",
    }
}

/// Inserts an upload without looking at others.
pub(super) fn insert(db: &Connection, upload: &UploadRow) -> rusqlite::Result<()> {
    let archive = match upload.state {
        UploadState::Completed(archive) => Some(archive),
        UploadState::InProgress | UploadState::Aborted => None,
    };
    execute(
        db,
        "INSERT INTO uploads (number, vault, seal_key, salt, description, part_size, token, created, touched, state, \
         archive) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        params![
            upload.number,
            upload.vault,
            upload.seal.key,
            upload.seal.salt,
            upload.description.as_ref().map(|text| text.as_str()),
            upload.part_size.bytes(),
            upload.token.as_ref().map(|token| token.as_bytes()),
            upload.created.unix_millis(),
            upload.touched.unix_millis(),
            state_word(upload.state),
            archive,
        ],
    )?;
    Ok(())
}

pub(super) fn create(db: &Connection, upload: UploadRow) -> rusqlite::Result<UploadRow> {
    let first = match upload.token {
        Some(token) => by_token(db, upload.vault, token)?,
        None => None,
    };
    if let Some(first) = first {
        return Ok(first);
    }
    if let Some(first) = by_number(db, upload.number)? {
        return Ok(first);
    }
    state::used_number(db, upload.number.0)?;
    insert(db, &upload)?;
    Ok(upload)
}

pub(super) fn by_number(
    db: &Connection,
    number: UploadNumber,
) -> rusqlite::Result<Option<UploadRow>> {
    find(db, select!("WHERE number = ?1"), [number], row)
}

pub(super) fn by_token(
    db: &Connection,
    vault: VaultNumber,
    token: UploadToken,
) -> rusqlite::Result<Option<UploadRow>> {
    let key = params![vault, token.as_bytes()];
    find(db, select!("WHERE vault = ?1 AND token = ?2"), key, row)
}

pub(super) const COUNT: &str = "SELECT count(*) FROM \
     (SELECT 1 FROM uploads WHERE vault = ?1 AND state = 'in progress' LIMIT ?2)";

pub(super) fn in_progress(
    db: &Connection,
    vault: VaultNumber,
    from: Option<UploadNumber>,
    limit: usize,
) -> rusqlite::Result<Vec<UploadRow>> {
    let from = from.map_or(0, |number| bound(number.0));
    list(
        db,
        select!(
            "WHERE vault = ?1 AND state = 'in progress' AND number >= ?2 ORDER BY number LIMIT ?3"
        ),
        params![vault, from, bound(limit)],
        row,
    )
}

/// Changes the state, and when it was last touched.
pub(super) fn set_state(
    db: &Connection,
    number: UploadNumber,
    state: UploadState,
    at: Timestamp,
) -> rusqlite::Result<()> {
    let archive = match state {
        UploadState::Completed(archive) => Some(archive),
        UploadState::InProgress | UploadState::Aborted => None,
    };
    execute(
        db,
        "UPDATE uploads SET state = ?2, archive = ?3, touched = ?4 WHERE number = ?1",
        params![number, state_word(state), archive, at.unix_millis()],
    )?;
    Ok(())
}

/// Ends an upload that is in progress and stages its parts; returns the state before.
pub(super) fn end(
    db: &Connection,
    number: UploadNumber,
    state: UploadState,
    at: Timestamp,
) -> rusqlite::Result<Option<UploadState>> {
    let Some(upload) = by_number(db, number)? else { return Ok(None) };
    if upload.state == UploadState::InProgress {
        set_state(db, number, state, at)?;
        staging::stage_parts(db, number)?;
    }
    Ok(Some(upload.state))
}

pub(super) fn put_part(
    db: &Connection,
    upload: UploadNumber,
    part: PartRow,
    at: Timestamp,
) -> rusqlite::Result<bool> {
    let touched = execute(
        db,
        "UPDATE uploads SET touched = ?2 WHERE number = ?1 AND state = 'in progress'",
        params![upload, at.unix_millis()],
    )?;
    if touched == 0 {
        return Ok(false);
    }
    execute(
        db,
        "INSERT OR IGNORE INTO staged SELECT payload FROM parts WHERE upload = ?1 AND idx = ?2",
        params![upload, part.index],
    )?;
    insert_part(db, upload, part.index, &part.extent)?;
    Ok(true)
}

/// Records a part in place of one of the same index, and takes its file out of staging.
pub(super) fn insert_part(
    db: &Connection,
    upload: UploadNumber,
    index: u32,
    extent: &Extent,
) -> rusqlite::Result<()> {
    execute(
        db,
        "INSERT OR REPLACE INTO parts VALUES (?1, ?2, ?3, ?4, ?5)",
        params![upload, index, extent.payload, extent.size, extent.tree_hash.as_bytes()],
    )?;
    staging::unstage(db, extent.payload)
}

pub(super) fn parts(
    db: &Connection,
    upload: UploadNumber,
    from: u32,
    limit: usize,
) -> rusqlite::Result<Vec<PartRow>> {
    list(
        db,
        "SELECT idx, payload, size, tree_hash FROM parts WHERE upload = ?1 AND idx >= ?2 ORDER BY idx LIMIT ?3",
        params![upload, from, bound(limit)],
        |mut columns| columns.part(),
    )
}

pub(super) fn expire(
    db: &Connection,
    idle_since: Timestamp,
    ended_before: Timestamp,
) -> rusqlite::Result<u64> {
    let idle: Vec<UploadNumber> = list(
        db,
        "SELECT number FROM uploads WHERE state = 'in progress' AND touched < ?1",
        [idle_since.unix_millis()],
        |mut columns| columns.get(),
    )?;
    for number in &idle {
        staging::stage_parts(db, *number)?;
        execute(db, "DELETE FROM uploads WHERE number = ?1", [number])?;
    }
    let ended = execute(
        db,
        "DELETE FROM uploads WHERE state <> 'in progress' AND touched < ?1",
        [ended_before.unix_millis()],
    )?;
    Ok((idle.len() + ended) as u64)
}
