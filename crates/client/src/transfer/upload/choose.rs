//! What is to be done with what was found: looked up, decided and claimed in batches, then handed to tasks.
//!
//! A batch is whatever the walk has found while the batch before was decided, so a slow disk makes small batches and a
//! slow catalog large ones. Nothing is claimed that cannot be taken up soon: a batch waits until its files have tasks.

use std::{collections::HashMap, panic, sync::Arc};

use tokio::{
    sync::mpsc,
    task::{JoinError, JoinSet},
};

use super::{
    FileError,
    record::{Done, Settle},
    run::Run,
    send::{Job, send},
};
use crate::{
    catalog::{CatalogError, Claim, ClaimRequest, Claimed, Entry, Kind, total},
    description::{Decoded, decode},
    path::CatalogPath,
    walk::{Found, Item},
};

/// Things that are looked up and claimed in one transaction.
const BATCH: usize = 256;

/// Decides about everything that is found until all is sent or the run has to end.
pub(super) async fn choose(
    run: Arc<Run>,
    mut found: mpsc::Receiver<Found>,
    done: mpsc::Sender<Done>,
) {
    let mut tasks = JoinSet::new();
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        let count = tokio::select! {
            biased;
            () = run.halted() => break,
            count = found.recv_many(&mut batch, BATCH) => count,
        };
        if count == 0 {
            break;
        }
        let taken = std::mem::take(&mut batch);
        let decided = match run.catalog(move |_, run| decide(run, taken)).await {
            Ok(decided) => decided,
            Err(error) => {
                run.stop(error.into());
                break;
            }
        };
        for settled in decided.done {
            // Without a recorder the run is over.
            drop(done.send(settled).await);
        }
        start(&run, decided.jobs, &done, &mut tasks).await;
    }
    while let Some(ended) = tasks.join_next().await {
        propagate(ended);
    }
}

/// Gives every job a task, as soon as there is room for it.
async fn start(run: &Arc<Run>, jobs: Vec<Job>, done: &mpsc::Sender<Done>, tasks: &mut JoinSet<()>) {
    let mut jobs = jobs.into_iter();
    while let Some(mut job) = jobs.next() {
        let permit = tokio::select! {
            biased;
            () = run.halted() => None,
            permit = Arc::clone(&run.files).acquire_owned() => permit.ok(),
        };
        let Some(permit) = permit else {
            let left = std::iter::once(job).chain(jobs);
            let claims: Vec<i64> = left.filter_map(|job| job.claim.map(|claim| claim.id)).collect();
            if let Err(error) = run.catalog(move |catalog, _| catalog.release(&claims)).await {
                run.stop(error.into());
            }
            return;
        };
        while let Some(ended) = tasks.try_join_next() {
            propagate(ended);
        }
        job.room = Some(permit);
        let (run, done) = (Arc::clone(run), done.clone());
        tasks.spawn(async move {
            if let Some(settled) = send(run, job).await {
                drop(done.send(settled).await);
            }
        });
    }
}

fn propagate(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && let Ok(panicked) = error.try_into_panic()
    {
        panic::resume_unwind(panicked);
    }
}

/// A batch after its look-up.
#[derive(Default)]
struct Decided {
    /// What needs no sending.
    done: Vec<Done>,
    jobs: Vec<Job>,
}

fn decide(run: &Run, found: Vec<Found>) -> Result<Decided, CatalogError> {
    let mut decided = Decided::default();
    let mut items = Vec::with_capacity(found.len());
    for one in found {
        match one {
            Found::Item(item) => items.push(item),
            Found::Special { path, what } => {
                let why = format!("it is {what}, which cannot be archived");
                decided.done.push(Done::LeftOut { path, why });
            }
            Found::Failed { local, error } => decided.done.push(Done::Failed {
                path: None,
                local,
                error: FileError::Walk(error),
                settle: Settle::Nothing,
            }),
            Found::Remark(text) => decided.done.push(Done::Remark(text)),
        }
    }
    let jobs = look_up(run, items, &mut decided.done)?;
    if run.options.dry_run {
        decided.jobs = jobs;
        return Ok(decided);
    }
    let claimed = claim(run, jobs, &mut decided.done)?;
    // Another run may have finished a file between the look-up and the claim.
    let items = claimed.iter().map(|job| job.item.clone()).collect();
    let mut claims: HashMap<CatalogPath, Option<Claim>> =
        claimed.into_iter().map(|job| (job.item.path, job.claim)).collect();
    for mut job in look_up(run, items, &mut decided.done)? {
        job.claim = claims.remove(&job.item.path).flatten();
        // What has an upload has been read before and found to be new.
        if job.claim.as_ref().is_some_and(|claim| claim.upload.is_some()) {
            job.compare = None;
        }
        decided.jobs.push(job);
    }
    let needless: Vec<i64> = claims.into_values().flatten().map(|claim| claim.id).collect();
    if !needless.is_empty() {
        run.context.catalog.release(&needless)?;
    }
    let bytes = total(decided.jobs.iter().map(|job| job.item.identity.size));
    run.plan_more(decided.jobs.len() as u64, bytes);
    Ok(decided)
}

/// Compares items with what the catalog knows; returns what has to be read or sent.
fn look_up(run: &Run, items: Vec<Item>, done: &mut Vec<Done>) -> Result<Vec<Job>, CatalogError> {
    let paths: Vec<CatalogPath> = items.iter().map(|item| item.path.clone()).collect();
    let mut newest = run.context.catalog.newest_many(run.vault, &paths)?;
    let mut jobs = Vec::new();
    for item in items {
        let known = newest.remove(&item.path);
        match choice(&item, known, run.options.force, run.options.checksum) {
            Choice::Unchanged(entry) => done.push(settled(entry, false)),
            Choice::Touch(entry) => done.push(settled(renewed(entry, &item), true)),
            Choice::NoteTimes(entry) => done.push(Done::Bare {
                entry: renewed(entry, &item),
                is_new: false,
                settle: Settle::Nothing,
            }),
            Choice::Note => done.push(Done::bare(run, &item, Settle::Nothing)),
            Choice::Compare(entry) => jobs.push(Job::new(item, Some(entry))),
            Choice::Send => jobs.push(Job::new(item, None)),
        }
    }
    Ok(jobs)
}

fn claim(run: &Run, jobs: Vec<Job>, done: &mut Vec<Done>) -> Result<Vec<Job>, CatalogError> {
    if jobs.is_empty() {
        return Ok(jobs);
    }
    let requests: Vec<ClaimRequest> = jobs.iter().map(|job| request(&job.item)).collect();
    let claims = run.context.catalog.claim(&run.lease, run.vault, &requests, run.now())?;
    let mut mine = Vec::with_capacity(jobs.len());
    for (mut job, claimed) in jobs.into_iter().zip(claims) {
        match claimed {
            Claimed::Mine(claim) => {
                job.claim = Some(claim);
                mine.push(job);
            }
            Claimed::HeldElsewhere => done.push(Done::Held { path: job.item.path }),
        }
    }
    Ok(mine)
}

pub(super) fn request(item: &Item) -> ClaimRequest {
    ClaimRequest { path: item.path.clone(), local: item.local.clone(), identity: item.identity }
}

/// What is not sent: unchanged or touched, and perhaps to be told by the manifest, if an earlier run did not get so far.
fn settled(entry: Entry, is_touched: bool) -> Done {
    let is_untold = entry.manifest.is_none()
        && entry.description.as_deref().is_some_and(|description| {
            // Most have none, and need not be decoded.
            description.contains("\"manifest\"")
                && matches!(decode(description), Ok(Decoded::ManifestItem { .. }))
        });
    Done::Known { entry, is_touched, is_untold, settle: Settle::Nothing }
}

/// Returns the entry with the time and mode that the item has now.
pub(super) fn renewed(entry: Entry, item: &Item) -> Entry {
    Entry { mtime: Some(item.identity.mtime), mode: Some(item.mode), ..entry }
}

/// What is to be done with an item, with what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Choice {
    /// Nothing.
    Unchanged(Entry),
    /// Only its mode is recorded.
    Touch(Entry),
    /// Its tree hash decides.
    Compare(Entry),
    /// It is sent.
    Send,
    /// It has no bytes and is new: the manifest tells of it.
    Note,
    /// It has no bytes, and only time or mode are new.
    NoteTimes(Entry),
}

pub(super) fn choice(item: &Item, newest: Option<Entry>, force: bool, checksum: bool) -> Choice {
    let has_bytes = item.kind == Kind::File && item.identity.size > 0;
    let is_like = |entry: &Entry| {
        entry.kind == item.kind
            && entry.archive.is_some() == has_bytes
            && entry.link_target == item.link_target
            && entry.known_size().is_none_or(|size| size == item.identity.size)
    };
    let Some(entry) = newest.filter(is_like).filter(|_| !force) else {
        return if has_bytes { Choice::Send } else { Choice::Note };
    };
    let same_time = entry.mtime == Some(item.identity.mtime) && entry.known_size().is_some();
    let same_mode = entry.mode == Some(item.mode);
    match has_bytes {
        false if same_time && same_mode => Choice::Unchanged(entry),
        false => Choice::NoteTimes(entry),
        true if same_time && !checksum && same_mode => Choice::Unchanged(entry),
        true if same_time && !checksum => Choice::Touch(entry),
        true if entry.tree_hash.is_some() => Choice::Compare(entry),
        true => Choice::Send,
    }
}
