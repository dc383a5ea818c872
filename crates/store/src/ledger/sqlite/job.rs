//! Jobs in SQL.

use icefield_protocol::{AccountId, JobStatus, Timestamp};
use rusqlite::{Connection, params};

use super::{
    columns::{Columns, bound, execute, find, list},
    outbox, staging, state,
};
use crate::{
    entry::{Extent, JobNumber, VaultNumber},
    ledger::{DeliveryRow, InventoryOutput, JobEnd, JobFilter, JobKind, JobRow, RetrievalLoad},
};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT number, vault, seal_key, salt, description, sns_topic, created, due, status, message, completed, \
             output_payload, output_size, output_tree_hash, output_next, archive, range_first, range_last, range_given, \
             tier, format, writes, date, starts, ends, at_most, after FROM jobs ",
            $rest
        )
    };
}

fn row(mut columns: Columns<'_>) -> rusqlite::Result<JobRow> {
    Ok(JobRow {
        number: columns.get()?,
        vault: columns.get()?,
        seal: columns.seal()?,
        description: columns.convert_opt()?,
        sns_topic: columns.get()?,
        created: columns.read()?,
        due: columns.read()?,
        status: columns.parse()?,
        message: columns.get()?,
        completed: columns.read_opt()?,
        output: output(&mut columns)?,
        kind: kind(&mut columns)?,
    })
}

fn output(columns: &mut Columns<'_>) -> rusqlite::Result<Option<InventoryOutput>> {
    let (payload, size, tree_hash, next) = (
        columns.get::<Option<_>>()?,
        columns.get::<Option<_>>()?,
        columns.read_opt()?,
        columns.get()?,
    );
    let (Some(payload), Some(size), Some(tree_hash)) = (payload, size, tree_hash) else {
        return Ok(None);
    };
    Ok(Some(InventoryOutput { extent: Extent { payload, size, tree_hash }, next }))
}

fn kind(columns: &mut Columns<'_>) -> rusqlite::Result<JobKind> {
    if let Some(archive) = columns.get()? {
        return Ok(JobKind::Archive {
            archive,
            range: (columns.get()?, columns.get()?),
            range_given: columns.get()?,
            tier: columns.parse()?,
        });
    }
    columns.skip(4);
    Ok(JobKind::Inventory {
        format: columns.parse()?,
        writes: columns.get()?,
        date: columns.read()?,
        start: columns.read_opt()?,
        end: columns.read_opt()?,
        limit: columns.get()?,
        after: columns.get()?,
    })
}

pub(super) fn create(db: &Connection, job: &JobRow) -> rusqlite::Result<()> {
    state::used_number(db, job.number.0)?;
    let inserted = execute(
        db,
        "INSERT OR IGNORE INTO jobs (number, vault, seal_key, salt, description, sns_topic, created, due, status, \
         message, completed, output_payload, output_size, output_tree_hash, output_next, archive, writes) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
        params![
            job.number,
            job.vault,
            job.seal.key,
            job.seal.salt,
            job.description.as_ref().map(|text| text.as_str()),
            job.sns_topic,
            job.created.unix_millis(),
            job.due.unix_millis(),
            job.status.as_str(),
            job.message,
            job.completed.map(Timestamp::unix_millis),
            job.output.map(|output| output.extent.payload),
            job.output.map(|output| output.extent.size),
            job.output.map(|output| *output.extent.tree_hash.as_bytes()),
            job.output.and_then(|output| output.next),
            match job.kind {
                JobKind::Archive { archive, .. } => Some(archive),
                JobKind::Inventory { .. } => None,
            },
            match job.kind {
                JobKind::Archive { .. } => None,
                JobKind::Inventory { writes, .. } => Some(writes),
            },
        ],
    )?;
    if inserted == 0 {
        return Ok(());
    }
    match &job.kind {
        JobKind::Archive { range, range_given, tier, .. } => execute(
            db,
            "UPDATE jobs SET range_first = ?2, range_last = ?3, range_given = ?4, tier = ?5 WHERE number = ?1",
            params![job.number, range.0, range.1, range_given, tier.as_str()],
        )?,
        JobKind::Inventory { format, date, start, end, limit, after, .. } => execute(
            db,
            "UPDATE jobs SET format = ?2, date = ?3, starts = ?4, ends = ?5, at_most = ?6, after = ?7 WHERE number = ?1",
            params![
                job.number,
                format.as_str(),
                date.unix_millis(),
                start.map(Timestamp::unix_millis),
                end.map(Timestamp::unix_millis),
                limit,
                after
            ],
        )?,
    };
    Ok(())
}

pub(super) fn by_number(db: &Connection, number: JobNumber) -> rusqlite::Result<Option<JobRow>> {
    find(db, select!("WHERE number = ?1"), [number], row)
}

pub(super) fn of_vault(
    db: &Connection,
    vault: VaultNumber,
    filter: JobFilter,
    from: Option<JobNumber>,
    limit: usize,
) -> rusqlite::Result<Vec<JobRow>> {
    let from = from.map_or(0, |number| bound(number.0));
    list(
        db,
        select!(
            "WHERE vault = ?1 AND number >= ?2 AND (?3 IS NULL OR (status <> 'InProgress') = ?3) \
             AND (?4 IS NULL OR status = ?4) ORDER BY number LIMIT ?5"
        ),
        params![vault, from, filter.completed, filter.status.map(JobStatus::as_str), bound(limit)],
        row,
    )
}

pub(super) const COUNT: &str =
    "SELECT count(*) FROM (SELECT 1 FROM jobs WHERE vault = ?1 LIMIT ?2)";
pub(super) const COUNT_INVENTORIES: &str =
    "SELECT count(*) FROM (SELECT 1 FROM jobs WHERE vault = ?1 AND writes IS NOT NULL LIMIT ?2)";

pub(super) fn due(db: &Connection, now: Timestamp, limit: usize) -> rusqlite::Result<Vec<JobRow>> {
    list(
        db,
        select!("WHERE status = 'InProgress' AND due <= ?1 ORDER BY due, number LIMIT ?2"),
        params![now.unix_millis(), bound(limit)],
        row,
    )
}

pub(super) fn next_due(db: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    let sql = "SELECT min(due) FROM jobs WHERE status = 'InProgress'";
    Ok(find(db, sql, [], |mut columns| columns.read_opt())?.flatten())
}

pub(super) fn end(
    db: &Connection,
    number: JobNumber,
    end: JobEnd,
    at: Timestamp,
    deliveries: &[DeliveryRow],
) -> rusqlite::Result<bool> {
    let (status, message, output) = match end {
        JobEnd::Succeeded(output) => (JobStatus::Succeeded, None, output),
        JobEnd::Failed(reason) => (JobStatus::Failed, Some(reason), None),
    };
    let ended = execute(
        db,
        "UPDATE jobs SET status = ?2, message = coalesce(?3, message), completed = ?4, output_payload = ?5, \
         output_size = ?6, output_tree_hash = ?7, output_next = ?8 WHERE number = ?1 AND status = 'InProgress'",
        params![
            number,
            status.as_str(),
            message,
            at.unix_millis(),
            output.map(|output| output.extent.payload),
            output.map(|output| output.extent.size),
            output.map(|output| *output.extent.tree_hash.as_bytes()),
            output.and_then(|output| output.next),
        ],
    )?;
    if ended == 0 {
        return Ok(false);
    }
    if let Some(output) = output {
        staging::unstage(db, output.extent.payload)?;
    }
    outbox::enqueue(db, deliveries)?;
    Ok(true)
}

/// The Standard retrievals in progress of an account.
pub(super) const RUNNING: &str = "SELECT range_first, range_last FROM jobs INDEXED BY running_retrievals \
     WHERE vault IN (SELECT number FROM vaults WHERE account = ?1) AND tier = 'Standard' AND status = 'InProgress'";
/// Those initiated since.
pub(super) const SINCE: &str = "SELECT range_first, range_last FROM jobs \
     WHERE vault IN (SELECT number FROM vaults WHERE account = ?1) AND tier = 'Standard' AND created >= ?2";

pub(super) fn load(
    db: &Connection,
    account: &AccountId,
    hours: u64,
    since: Timestamp,
) -> rusqlite::Result<RetrievalLoad> {
    let mut load = RetrievalLoad::default();
    let range = |mut columns: Columns<'_>| Ok((columns.get()?, columns.get()?));
    for range in list(db, RUNNING, [account.as_str()], range)? {
        load.add_running(range, hours);
    }
    for range in list(db, SINCE, params![account.as_str(), since.unix_millis()], range)? {
        load.add_since(range);
    }
    Ok(load)
}

pub(super) fn expire(db: &Connection, before: Timestamp) -> rusqlite::Result<u64> {
    let before = [before.unix_millis()];
    execute(
        db,
        "INSERT OR IGNORE INTO staged SELECT output_payload FROM jobs \
         WHERE completed < ?1 AND output_payload IS NOT NULL",
        before,
    )?;
    Ok(execute(db, "DELETE FROM jobs WHERE completed < ?1", before)? as u64)
}
