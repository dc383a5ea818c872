//! A new ledger from the log alone.
//!
//! The new ledger is written beside the old one and takes its place when it is complete. Vaults and archives come back as
//! they were, deletions included; uploads in progress and jobs do not. Files that no record names are then parts of such
//! uploads, outputs of jobs, what a refused record names, or archives whose records are lost: a rebuild cannot tell, so it
//! never deletes them. It puts them aside, or leaves them where they are while the log has damage that a backup may still
//! heal.
//!
//! Over a damaged log the replay may come to an older version of a document: of a vault's lock, of a key. What the old
//! ledger knows later is taken over. Where no old ledger knows what was lost, the new one is not put in place unless
//! the caller accepts that.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    compaction::forget_dropped,
    document::{DocumentChange, DocumentName},
    durable,
    entry::{Content, Entry, Outcome, PayloadId},
    error::{Damage, StoreError},
    identity::{IdKeys, Identity},
    layout::{KEYS_FILE, LEDGER_FILE, NEW_LEDGER_FILE, OLD_LEDGER_FILE, UNNAMED_FOLDER},
    ledger::{COMPANIONS, Ledger, SqliteLedger, beside, remove_database},
    open::{NO_RECORDS, OpenOptions, enter},
    payload::{
        LogPosition, Payload, Replayed,
        disk::{
            DiskPayload,
            fenced::{Disk, blocking, damaged},
            payload_paths,
        },
    },
    store::hash_pool,
    takeover::{OldLedger, take_over, vaults_with_documents},
};

/// Rows purged at a time.
const PAGE: usize = 1024;
/// More damage than this is counted, not listed.
const MAX_DAMAGE: usize = 10_000;

/// What a rebuild found.
#[derive(Debug, Default)]
pub struct RebuildReport {
    /// Records of the log.
    pub records: u64,
    /// Vaults in the new ledger.
    pub vaults: u64,
    /// Archives in the new ledger.
    pub archives: u64,
    /// Sum of their sizes in bytes.
    pub bytes: u64,
    /// Documents in the new ledger.
    pub documents: u64,
    /// Documents whose last change was taken over from the old ledger, because the log has lost it; removed ones included.
    pub taken_over: Vec<DocumentName>,
    /// Why documents may be older than they were, if they may.
    pub doubt: Option<Doubt>,
    /// Whether the new ledger took the place of the old one. False only if there is doubt that was not accepted: then the
    /// store is as it was.
    pub in_place: bool,
    /// Payload files that no record names; a refused record counts only while there is damage. They were put aside in
    /// [`UNNAMED_FOLDER`], or left in their places if there is damage.
    pub unnamed_files: u64,
    /// What could not be read, at most 10,000 places. What it told of is not in the ledger.
    pub damage: Vec<Damage>,
    /// Where the ledger is that was replaced.
    pub old_ledger: Option<PathBuf>,
}

/// Documents may be older than they were: locks, access policies, users, keys.
#[derive(Debug)]
pub struct Doubt {
    /// Why nothing tells what was lost.
    pub why: String,
    /// The vaults that have documents, by name. Others may have lost theirs.
    pub vaults: Vec<String>,
}

impl RebuildReport {
    fn damaged(&mut self, damage: Damage) {
        if self.damage.len() < MAX_DAMAGE {
            self.damage.push(damage);
        }
    }
}

/// Makes the ledger of the store in `dir` again. `progress` is told the number of records so far.
///
/// When records are lost that may have told of documents and the old ledger does not know them, the new ledger takes its
/// place only with [`OpenOptions::accept_older_settings`]; see [`RebuildReport::in_place`].
///
/// # Errors
///
/// `InUse`, `NewerFormat`, `NotAStore` as in opening; damage in the log is no error but reported.
pub async fn rebuild(
    dir: &Path,
    options: OpenOptions,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<RebuildReport, StoreError> {
    let home = enter(dir, &OpenOptions { create: false, ..options.clone() }).await?;
    let mut report = RebuildReport::default();
    let store_id = identify(&home.disk, &mut report)?;
    let payload = DiskPayload::new(Arc::clone(&home.disk), hash_pool(), options.pack_bytes);

    let path = dir.join(NEW_LEDGER_FILE);
    let ledger = {
        let (path, store_id) = (path.clone(), store_id.clone());
        blocking(move || {
            remove_database(&path)?;
            SqliteLedger::open(&path, true, store_id.as_deref())
        })
        .await?
    };
    payload.settle().await?;
    let (named, lost) = replay(&payload, &ledger, &mut report, progress).await?;
    let old = OldLedger::open(&dir.join(LEDGER_FILE), store_id.as_deref()).await;
    let mut newer = compare(old, &ledger, lost, &mut report).await?;
    // Deleted archives have no inventory or job any more that needs them.
    while ledger.purge(PAGE).await? > 0 {}
    for (pack, _) in ledger.dead_packs().await? {
        match forget_dropped(&payload, &ledger, pack).await {
            // The replay has said so; they count as dead until a compaction looks at the pack.
            Err(StoreError::Damaged(_)) => {}
            forgotten => forgotten?,
        }
    }
    let unnamed = list_unnamed(&payload, named, &mut report).await?;
    if report.records == 0 && !report.damage.is_empty() {
        // A new log in place of one that may still be found would be in its way.
        newer.clear();
        report.doubt = Some(Doubt { why: NO_RECORDS.to_owned(), vaults: Vec::new() });
    }
    report.in_place = report.doubt.is_none() || options.accept_older_settings;
    if report.in_place {
        report.taken_over = take_over(newer, &payload, &ledger, options.clock.now()).await?;
    }
    let stat = ledger.stat().await?;
    (report.vaults, report.archives, report.bytes) = (stat.vaults, stat.archives, stat.bytes);
    report.documents = stat.documents;
    ledger.close().await?;
    if !report.in_place {
        blocking(move || remove_database(&path)).await?;
        return Ok(report);
    }
    let (dir, whole) = (dir.to_owned(), report.damage.is_empty());
    report.old_ledger = blocking(move || {
        if whole {
            put_aside(&dir, &unnamed)?;
        }
        put_in_place(&dir)
    })
    .await?;
    drop(home);
    Ok(report)
}

/// How far a replay came.
#[derive(Debug, Clone, Copy, Default)]
struct Lost {
    /// Where the log ends.
    end: LogPosition,
    /// Where the last bytes end that cannot be read and may have told of documents.
    until: Option<LogPosition>,
    /// Whether anything cannot be read.
    any: bool,
}

/// What the old ledger knows of documents beyond a damaged log. Where it does not know all that is lost, there is doubt.
async fn compare(
    old: Result<OldLedger, String>,
    ledger: &SqliteLedger,
    mut lost: Lost,
    report: &mut RebuildReport,
) -> Result<Vec<DocumentChange>, StoreError> {
    if let Ok(old) = &old
        && old.mark > lost.end
    {
        let what = format!("the log ends at {:?}, the ledger knew it to {:?}", lost.end, old.mark);
        report.damaged(Damage { place: "packs".to_owned(), leaf: None, what });
        (lost.any, lost.until) = (true, Some(old.mark));
    }
    let mut newer = Vec::new();
    let knows_until = match old {
        Ok(old) => {
            let read = if lost.any { old.newer_than(ledger).await } else { Ok(Vec::new()) };
            let mark = old.mark;
            old.close().await;
            read.map(|found| newer = found).map(|()| mark).map_err(|error| error.to_string())
        }
        Err(why) => Err(why),
    };
    let why = match (lost.until, knows_until) {
        (Some(until), Ok(mark)) if mark < until => {
            "the old ledger is older than what was lost".to_owned()
        }
        (Some(_), Err(why)) => why,
        _ => return Ok(newer),
    };
    report.doubt = Some(Doubt { why, vaults: vaults_with_documents(ledger).await? });
    Ok(newer)
}

/// Damaged identity or keys are reported; a newer format is not touched. Returns the store's id, if it can be read.
fn identify(disk: &Disk, report: &mut RebuildReport) -> Result<Option<String>, StoreError> {
    let keys = IdKeys::read(disk)
        .and_then(|keys| keys.map(drop).ok_or_else(|| damaged(KEYS_FILE, "missing file")));
    let identity = Identity::read(disk).map(|identity| identity.map(|identity| identity.store_id));
    match keys {
        Err(StoreError::Damaged(damage)) => report.damaged(damage),
        other => other?,
    }
    match identity {
        Err(StoreError::Damaged(damage)) => {
            report.damaged(damage);
            Ok(None)
        }
        other => other,
    }
}

/// Applies the whole log. Returns the ids of all payload files that it names, sorted, and what is lost of the log. Those that only refused entries name
/// count while there is damage: what could not be read may be why they were refused.
///
/// Nothing is repaired: without a ledger nobody knows what at the end of the log was acknowledged.
async fn replay(
    payload: &DiskPayload,
    ledger: &SqliteLedger,
    report: &mut RebuildReport,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<(Vec<PayloadId>, Lost), StoreError> {
    let (mut named, mut refused) = (Vec::new(), Vec::new());
    let (mut at, mut lost) = (LogPosition::default(), Lost::default());
    loop {
        let page = payload.replay(at, false).await?;
        let mut entries = Vec::with_capacity(page.items.len());
        let mut files = Vec::with_capacity(page.items.len());
        let mut end = at;
        lost.until = page.lost.or(lost.until);
        for item in page.items {
            match item {
                Replayed::Record(entry, place) => {
                    end = LogPosition { offset: place.at.offset + place.length, ..place.at };
                    files.push((end, payloads(&entry).collect::<Vec<_>>()));
                    entries.push((entry, place));
                }
                Replayed::Damaged(damage) => {
                    lost.any = true;
                    report.damaged(damage);
                }
            }
        }
        if !entries.is_empty() {
            report.records += entries.len() as u64;
            let outcomes = ledger.apply(entries, end).await?;
            for (outcome, (end, files)) in outcomes.into_iter().zip(files) {
                match outcome {
                    // Perhaps only because the removal before it is lost.
                    Outcome::DocumentChanged(_) if lost.until.is_some() => lost.until = Some(end),
                    Outcome::Done { .. } => named.extend(files),
                    _ => refused.extend(files),
                }
            }
            progress(report.records);
        }
        if page.last {
            if !report.damage.is_empty() {
                named.extend(refused);
            }
            named.sort_unstable();
            lost.end = page.next;
            return Ok((named, lost));
        }
        at = page.next;
    }
}

/// The payload files that an entry names.
pub(crate) fn payloads(entry: &Entry) -> impl Iterator<Item = PayloadId> {
    let extents = match entry {
        Entry::ArchiveCreated(archive) => match &archive.content {
            Content::Extents(extents) => extents.as_slice(),
            Content::Here => &[],
        },
        _ => &[],
    };
    extents.iter().map(|extent| extent.payload)
}

async fn list_unnamed(
    payload: &DiskPayload,
    named: Vec<PayloadId>,
    report: &mut RebuildReport,
) -> Result<Vec<PayloadId>, StoreError> {
    let mut unnamed = Vec::new();
    let visit = &mut |found: Result<PayloadId, Damage>| match found {
        Ok(id) if named.binary_search(&id).is_err() => unnamed.push(id),
        Ok(_) => {}
        Err(damage) => report.damaged(damage),
    };
    payload.list(visit).await?;
    report.unnamed_files = unnamed.len() as u64;
    if report.records == 0 && !unnamed.is_empty() {
        let what = NO_RECORDS.to_owned();
        report.damaged(Damage { place: "packs".to_owned(), leaf: None, what });
    }
    Ok(unnamed)
}

/// Moves payload files and their hashes out of the store's own folders, where nothing looks for them or deletes them.
fn put_aside(dir: &Path, unnamed: &[PayloadId]) -> Result<(), StoreError> {
    if unnamed.is_empty() {
        return Ok(());
    }
    let aside = dir.join(UNNAMED_FOLDER);
    durable::create_dir_all(&aside).map_err(|error| StoreError::io("creating", &aside, error))?;
    for id in unnamed {
        for path in payload_paths(*id) {
            let path = dir.join(path);
            let name = path.file_name().unwrap_or_default();
            match durable::rename(&path, &aside.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(StoreError::io("putting aside", path, error));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Keeps the old ledger under another name and gives the new one its name.
fn put_in_place(dir: &Path) -> Result<Option<PathBuf>, StoreError> {
    let (current, old) = (dir.join(LEDGER_FILE), dir.join(OLD_LEDGER_FILE));
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| StoreError::io("putting the new ledger in place of", path, error)
    };
    let had_one = current.exists();
    if had_one {
        remove_database(&old)?;
        durable::rename(&current, &old).map_err(failed(&current))?;
        for companion in COMPANIONS {
            match durable::rename(&beside(&current, companion), &beside(&old, companion)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(failed(&current)(error));
                }
                _ => {}
            }
        }
    } else {
        remove_database(&current)?;
    }
    durable::rename(&dir.join(NEW_LEDGER_FILE), &current).map_err(failed(&current))?;
    Ok(had_one.then_some(old))
}
