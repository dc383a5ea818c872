//! What an entry of the log does to the tables in SQL.

use rusqlite::{Connection, params};

use super::{
    archive,
    columns::{execute, find, list},
    document, staging, state, upload, vault,
};
use crate::{
    document::DocumentEntry,
    entry::{ArchiveEntry, ArchiveNumber, Entry, Extent, Outcome, UploadNumber, VaultNumber},
    ledger::{ArchiveRow, Stored, UploadRow, UploadState, VaultRow},
    payload::{LogPosition, RecordPlace},
};

pub(super) fn apply(
    db: &Connection,
    entries: Vec<(Entry, RecordPlace)>,
    mark: LogPosition,
) -> rusqlite::Result<Vec<Outcome>> {
    let highest = entries.iter().map(|(entry, _)| entry.highest_number()).max();
    state::used_number(db, highest.unwrap_or(0))?;
    state::set_mark(db, mark)?;
    entries.into_iter().map(|(entry, place)| apply_one(db, entry, place)).collect()
}

fn apply_one(db: &Connection, entry: Entry, place: RecordPlace) -> rusqlite::Result<Outcome> {
    match entry {
        Entry::VaultCreated { vault, account, name, created } => {
            if let Some(other) = vault::by_name(db, &account, &name)? {
                return Ok(Outcome::VaultExists(other.number));
            }
            if vault::by_number(db, vault)?.is_some() {
                return Ok(Outcome::VaultExists(vault));
            }
            execute(
                db,
                "INSERT INTO vaults (number, account, name, created, writes, archives, bytes) \
                 VALUES (?1, ?2, ?3, ?4, 0, 0, 0)",
                params![vault, account.as_str(), name.as_str(), created.unix_millis()],
            )?;
            Ok(Outcome::Done { writes: 0 })
        }
        Entry::VaultDeleted { vault, writes, .. } => delete_vault(db, vault, writes),
        Entry::ArchiveCreated(entry) => create_archive(db, entry, place),
        Entry::ArchiveDeleted { vault, number, .. } => delete_archive(db, vault, number),
        Entry::Document(entry) => change_document(db, entry),
    }
}

fn delete_vault(db: &Connection, number: VaultNumber, writes: u64) -> rusqlite::Result<Outcome> {
    let Some(vault) = vault::by_number(db, number)? else { return Ok(Outcome::VaultGone) };
    if vault.archives != 0 || vault.writes != writes {
        return Ok(Outcome::VaultChanged);
    }
    let deleted = "SELECT number FROM archives WHERE vault = ?1 AND deleted_write IS NOT NULL";
    for archive in list(db, deleted, [number], |mut columns| columns.get())? {
        archive::discard(db, archive)?;
    }
    let uploads = "SELECT number FROM uploads WHERE vault = ?1";
    for upload in list(db, uploads, [number], |mut columns| columns.get())? {
        staging::stage_parts(db, upload)?;
    }
    execute(
        db,
        "INSERT OR IGNORE INTO staged SELECT output_payload FROM jobs \
         WHERE vault = ?1 AND output_payload IS NOT NULL",
        [number],
    )?;
    for sql in [
        "DELETE FROM uploads WHERE vault = ?1",
        "DELETE FROM jobs WHERE vault = ?1",
        "DELETE FROM tokens WHERE vault = ?1",
        "DELETE FROM completed WHERE vault = ?1",
        "DELETE FROM vaults WHERE number = ?1",
    ] {
        execute(db, sql, [number])?;
    }
    document::remove_of_vault(db, number)?;
    Ok(Outcome::Done { writes })
}

fn create_archive(
    db: &Connection,
    entry: ArchiveEntry,
    place: RecordPlace,
) -> rusqlite::Result<Outcome> {
    let Some(vault) = vault::by_number(db, entry.vault)? else {
        return refuse_archive(db, &entry, Outcome::VaultGone);
    };
    if let Some(first) = earlier_archive(db, &entry)? {
        return refuse_archive(db, &entry, Outcome::Repeat(first));
    }
    let row = ArchiveRow {
        vault: entry.vault,
        number: entry.number,
        seal: entry.seal,
        description: entry.description.clone(),
        created: entry.created,
        aged: entry.aged,
        size: entry.size,
        tree_hash: entry.tree_hash,
        stored: Stored::of(&entry, place),
        created_write: vault.writes + 1,
        deleted_write: None,
    };
    archive::insert(db, &row)?;
    take_extents(db, &entry, row.stored)?;
    if let Some(token) = entry.token {
        execute(
            db,
            "INSERT INTO tokens VALUES (?1, ?2, ?3)",
            params![entry.vault, token.as_bytes(), entry.number],
        )?;
    }
    if let Some(upload) = entry.upload {
        complete_upload(db, upload, &entry)?;
    }
    set_counters(
        db,
        &VaultRow {
            writes: row.created_write,
            archives: vault.archives + 1,
            bytes: vault.bytes.saturating_add(entry.size),
            ..vault
        },
    )?;
    Ok(Outcome::Done { writes: row.created_write })
}

/// The archive that this entry's token or upload has made already, or one of the same number.
fn earlier_archive(
    db: &Connection,
    entry: &ArchiveEntry,
) -> rusqlite::Result<Option<ArchiveNumber>> {
    if let Some(token) = entry.token {
        let sql = "SELECT archive FROM tokens WHERE vault = ?1 AND token = ?2";
        let key = params![entry.vault, token.as_bytes()];
        if let Some(number) = find(db, sql, key, |mut columns| columns.get())? {
            return Ok(Some(number));
        }
    }
    if let Some(upload) = entry.upload {
        let sql = "SELECT archive FROM completed WHERE vault = ?1 AND upload = ?2";
        let key = params![entry.vault, upload];
        if let Some(number) = find(db, sql, key, |mut columns| columns.get())? {
            return Ok(Some(number));
        }
    }
    let sql = "SELECT number FROM archives WHERE number = ?1";
    find(db, sql, [entry.number], |mut columns| columns.get())
}

/// Makes the entry's files the archive's own. When they are the parts of its upload already, nothing is written.
fn take_extents(db: &Connection, entry: &ArchiveEntry, stored: Stored) -> rusqlite::Result<()> {
    let extents = entry.extents();
    if let Stored::Parts(upload) = stored {
        if !has_parts(db, upload, extents)? {
            staging::stage_parts(db, upload)?;
            for (index, extent) in (0..).zip(extents) {
                upload::insert_part(db, upload, index, extent)?;
            }
        }
        return Ok(());
    }
    if let Some(upload) = entry.upload {
        staging::stage_parts(db, upload)?;
    }
    extents.iter().try_for_each(|extent| staging::unstage(db, extent.payload))
}

fn has_parts(db: &Connection, upload: UploadNumber, extents: &[Extent]) -> rusqlite::Result<bool> {
    let parts = upload::parts(db, upload, 0, extents.len() + 1)?;
    let numbered = (0..).zip(extents);
    Ok(parts.len() == extents.len()
        && numbered
            .zip(&parts)
            .all(|((index, extent), part)| part.index == index && part.extent == *extent))
}

fn complete_upload(
    db: &Connection,
    upload: UploadNumber,
    entry: &ArchiveEntry,
) -> rusqlite::Result<()> {
    execute(
        db,
        "INSERT INTO completed VALUES (?1, ?2, ?3)",
        params![entry.vault, upload, entry.number],
    )?;
    let state = UploadState::Completed(entry.number);
    if upload::by_number(db, upload)?.is_some() {
        return upload::set_state(db, upload, state, entry.created);
    }
    let token_is_taken = match entry.token {
        Some(token) => upload::by_token(db, entry.vault, token)?.is_some(),
        None => false,
    };
    let row = UploadRow {
        number: upload,
        vault: entry.vault,
        seal: entry.seal,
        description: entry.description.clone(),
        part_size: entry.part_size(),
        token: entry.token.filter(|_| !token_is_taken),
        created: entry.created,
        touched: entry.created,
        state,
    };
    upload::insert(db, &row)
}

/// Turns an archive away: its upload has ended, its bytes stay as they are, in files and in its record. Over a damaged log it
/// may be refused because of what cannot be read, so it is not taken for dead.
fn refuse_archive(
    db: &Connection,
    entry: &ArchiveEntry,
    outcome: Outcome,
) -> rusqlite::Result<Outcome> {
    let Some(upload) = entry.upload else { return Ok(outcome) };
    let state = match outcome {
        Outcome::Repeat(first) => {
            execute(
                db,
                "INSERT OR IGNORE INTO completed VALUES (?1, ?2, ?3)",
                params![entry.vault, upload, first],
            )?;
            UploadState::Completed(first)
        }
        _ => UploadState::Aborted,
    };
    upload::end(db, upload, state, entry.created)?;
    Ok(outcome)
}

fn delete_archive(
    db: &Connection,
    vault: VaultNumber,
    number: ArchiveNumber,
) -> rusqlite::Result<Outcome> {
    let Some(vault) = vault::by_number(db, vault)? else { return Ok(Outcome::VaultGone) };
    let archive = archive::by_number(db, number)?;
    let live = archive.filter(|row| row.vault == vault.number && row.deleted_write.is_none());
    let Some(row) = live else { return Ok(Outcome::ArchiveGone) };
    let writes = vault.writes + 1;
    let sql = "UPDATE archives SET deleted_write = ?2 WHERE number = ?1";
    execute(db, sql, params![number, writes])?;
    set_counters(
        db,
        &VaultRow {
            writes,
            archives: vault.archives.saturating_sub(1),
            bytes: vault.bytes.saturating_sub(row.size),
            ..vault
        },
    )?;
    Ok(Outcome::Done { writes })
}

fn change_document(db: &Connection, entry: DocumentEntry) -> rusqlite::Result<Outcome> {
    if let Some(vault) = entry.vault
        && vault::by_number(db, vault)?.is_none()
    {
        return Ok(Outcome::VaultGone);
    }
    let (last, is_there) = document::last_change(db, &entry.name)?;
    if !entry.fits(last, is_there) {
        return Ok(Outcome::DocumentChanged(is_there.then_some(last)));
    }
    document::change(db, &entry)?;
    Ok(Outcome::Done { writes: entry.version })
}

fn set_counters(db: &Connection, vault: &VaultRow) -> rusqlite::Result<()> {
    execute(
        db,
        "UPDATE vaults SET writes = ?2, archives = ?3, bytes = ?4 WHERE number = ?1",
        params![vault.number, vault.writes, vault.archives, vault.bytes],
    )?;
    Ok(())
}
