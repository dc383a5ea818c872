//! Jobs: one for each archive and range, found again rather than started again.
//!
//! A job that this run needs is looked for in the journal, then in the target's own list (an earlier run may have been
//! killed between the target's answer and the journal's record); only then it is started, and recorded synced before
//! anything else happens to it.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    sync::Arc,
};

use futures_util::{StreamExt as _, stream};
use icefield_protocol::{
    ByteRange, Description, ErrorCode, JobAction, JobDescription, JobId, JobRequest, JobStatus,
    Tier, Timestamp,
};

use icefield_treehash::range::tree_aligned_around;

use super::{PlannedFile, RetrieveContext, RetrieveError, blocking, chain};
use crate::{
    catalog::{CatalogError, ClaimedRetrieval, Retrieval, RetrievalKey, Run},
    target::TargetError,
};

/// Files that are claimed, and whose jobs are recorded, in one transaction.
const BATCH: usize = 256;

const MIB: u64 = 1 << 20;

/// A file on its way, claimed in the journal.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) file: PlannedFile,
    pub(crate) retrieval: Retrieval,
    /// The job; known from the start phase on.
    pub(crate) job: Option<JobId>,
    /// Whether a job of this run was lost already: it is replaced once.
    pub(crate) restarted: bool,
}

/// What became of a file in the start phase.
#[derive(Debug)]
pub(crate) enum Started {
    /// It has a job.
    Ready(Item),
    /// Another run is at it.
    Elsewhere(PlannedFile),
    /// No job could be started.
    Refused(Item, String),
    /// No job may be started now.
    Later(Item, String),
}

/// Returns what the file's job is known by: a range is widened to the smallest one whose tree hash the target tells, so
/// that it can be verified.
pub(crate) fn key(file: &PlannedFile) -> RetrievalKey {
    let widened = file.range.map(|range| widen(range, file.size));
    let range = widened.filter(|range| file.size.and_then(ByteRange::whole) != Some(*range));
    RetrievalKey { archive: file.archive.clone(), range }
}

/// Returns how many bytes the file's job asks for, as far as known.
pub(crate) fn asked_bytes(file: &PlannedFile) -> Option<u64> {
    key(file).range.map(|range| range.len()).or(file.size)
}

/// Widens a range; of an archive of unknown size to whole MiB, as the service wants it.
fn widen(range: ByteRange, size: Option<u64>) -> ByteRange {
    let ByteRange { first, last } = range;
    match size.filter(|size| last < *size) {
        Some(size) => {
            let (first, last) = tree_aligned_around(size, first, last);
            ByteRange { first, last }
        }
        None => {
            ByteRange { first: first / MIB * MIB, last: (last / MIB + 1).saturating_mul(MIB) - 1 }
        }
    }
}

/// What the target lists.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    /// Jobs whose output is, or will be, what one of the files needs.
    pub(crate) jobs: HashMap<RetrievalKey, JobId>,
    /// When how many bytes were asked for, in all retrieval jobs.
    pub(crate) asked: Vec<(Timestamp, u64)>,
}

/// Lists the retrieval jobs at the target.
pub(crate) async fn list(
    context: &RetrieveContext,
    files: impl Iterator<Item = &PlannedFile>,
) -> Result<Listed, TargetError> {
    let wanted: HashSet<RetrievalKey> = files.map(key).collect();
    let mut listed = Listed::default();
    let mut marker = None;
    loop {
        let page = context.target.list_jobs(&context.vault_name, marker.as_deref()).await?;
        for job in page.items {
            let range = job.retrieval_byte_range.map(|range| range.len());
            if let Some(bytes) = range.or(job.archive_size_in_bytes) {
                listed.asked.push((job.creation_date, bytes));
            }
            if let Some(key) = key_of(&job).filter(|key| wanted.contains(key)) {
                listed.jobs.insert(key, job.job_id);
            }
        }
        marker = page.marker;
        if marker.is_none() {
            return Ok(listed);
        }
    }
}

fn key_of(job: &JobDescription) -> Option<RetrievalKey> {
    if job.action != JobAction::ArchiveRetrieval || job.status_code == JobStatus::Failed {
        return None;
    }
    let whole = job.archive_size_in_bytes.and_then(ByteRange::whole);
    let range = job.retrieval_byte_range.filter(|range| whole != Some(*range));
    Some(RetrievalKey { archive: job.archive_id.clone()?, range })
}

/// Claims files and sees to it that each has a job; `report` is told about each.
pub(crate) async fn start(
    context: &RetrieveContext,
    run: &Arc<Run>,
    tier: Tier,
    concurrency: usize,
    known: &mut HashMap<RetrievalKey, JobId>,
    files: Vec<(PlannedFile, PathBuf)>,
    mut report: impl FnMut(Started),
) -> Result<(), RetrieveError> {
    let mut files = files.into_iter().peekable();
    while files.peek().is_some() {
        let batch: Vec<_> = files.by_ref().take(BATCH).collect();
        let claimed = claim(context, run, batch).await?;
        let mut missing = Vec::new();
        for (file, claimed) in claimed {
            let ClaimedRetrieval::Mine(retrieval) = claimed else {
                report(Started::Elsewhere(file));
                continue;
            };
            let job = retrieval.job.clone();
            let mut item = Item { file, retrieval, job, restarted: false };
            if item.job.is_none() {
                item.job = known.get(&key(&item.file)).cloned();
            }
            match item.job {
                Some(_) => report(Started::Ready(item)),
                None => missing.push(item),
            }
        }
        for started in start_missing(context, tier, concurrency, missing).await? {
            if let Started::Ready(Item { file, job: Some(job), .. }) = &started {
                // The same archive may belong to several paths.
                known.insert(key(file), job.clone());
            }
            report(started);
        }
    }
    Ok(())
}

async fn claim(
    context: &RetrieveContext,
    run: &Arc<Run>,
    batch: Vec<(PlannedFile, PathBuf)>,
) -> Result<Vec<(PlannedFile, ClaimedRetrieval)>, CatalogError> {
    let (catalog, vault, now) = (context.catalog.clone(), context.vault, context.clock.now());
    let run = Arc::clone(run);
    blocking(move || {
        let requests: Vec<_> =
            batch.iter().map(|(file, destination)| (key(file), destination.clone())).collect();
        let claimed = catalog.claim_retrievals(&run, vault, &requests, now)?;
        Ok(batch.into_iter().map(|(file, _)| file).zip(claimed).collect())
    })
    .await
}

/// Starts one job for each different archive and range, and records all of them in one transaction.
async fn start_missing(
    context: &RetrieveContext,
    tier: Tier,
    concurrency: usize,
    items: Vec<Item>,
) -> Result<Vec<Started>, CatalogError> {
    let mut groups: HashMap<RetrievalKey, Vec<Item>> = HashMap::new();
    let mut order = Vec::new();
    for item in items {
        let key = key(&item.file);
        let group = groups.entry(key.clone()).or_default();
        if group.is_empty() {
            order.push(key);
        }
        group.push(item);
    }
    let initiated: Vec<_> = stream::iter(order)
        .map(|key| {
            let group = groups.remove(&key).unwrap_or_default();
            async move {
                let path = group.first().map(|item| item.file.path.as_bytes().to_vec());
                let job = initiate(context, &key, tier, &path.unwrap_or_default()).await;
                (group, job)
            }
        })
        .buffered(concurrency)
        .collect()
        .await;
    let mut started = Vec::new();
    let mut jobs = Vec::new();
    for (group, job) in initiated {
        for mut item in group {
            match &job {
                Ok(job) => {
                    jobs.push((item.retrieval.id, job.clone()));
                    item.job = Some(job.clone());
                    started.push(Started::Ready(item));
                }
                Err(error) if is_for_now(error) => started.push(Started::Later(item, chain(error))),
                Err(error) => started.push(Started::Refused(item, chain(error))),
            }
        }
    }
    record(context, tier, jobs).await?;
    Ok(started)
}

/// Whether a job that is refused now may be started later: the account's retrieval policy lets so many bytes through in an
/// hour, and the service so many requests in a second.
fn is_for_now(error: &TargetError) -> bool {
    matches!(
        error,
        TargetError::Service { code: ErrorCode::PolicyEnforced | ErrorCode::Throttling, .. }
    )
}

async fn record(
    context: &RetrieveContext,
    tier: Tier,
    jobs: Vec<(i64, JobId)>,
) -> Result<(), CatalogError> {
    if jobs.is_empty() {
        return Ok(());
    }
    let (catalog, now) = (context.catalog.clone(), context.clock.now());
    blocking(move || catalog.set_jobs(&jobs, tier, now)).await
}

/// Starts and records a new job in place of one that is lost.
pub(crate) async fn restart(
    context: &RetrieveContext,
    tier: Tier,
    item: &mut Item,
) -> Result<(), RetrieveError> {
    item.restarted = true;
    let key = key(&item.file);
    let newer = {
        let (catalog, vault, key) = (context.catalog.clone(), context.vault, key.clone());
        blocking(move || catalog.job_for(vault, &key)).await?
    };
    // Another path with the same archive may have noticed first.
    if let Some((newer, _)) = newer.filter(|(newer, _)| item.job.as_ref() != Some(newer)) {
        item.job = Some(newer);
        return Ok(());
    }
    let job = initiate(context, &key, tier, item.file.path.as_bytes()).await?;
    record(context, tier, vec![(item.retrieval.id, job.clone())]).await?;
    item.job = Some(job);
    Ok(())
}

/// Starts a job whose description is the path.
async fn initiate(
    context: &RetrieveContext,
    key: &RetrievalKey,
    tier: Tier,
    path: &[u8],
) -> Result<JobId, TargetError> {
    let request = JobRequest::Archive {
        archive: key.archive.clone(),
        range: key.range,
        tier,
        // Only a text for people, so one that does not fit is left out.
        description: Description::parse(&path.escape_ascii().to_string()).ok().flatten(),
        sns_topic: None,
    };
    context.target.initiate_job(&context.vault_name, &request).await
}

/// Returns the jobs of a vault by ID: of many jobs the list is asked, not each of them.
pub(crate) async fn all(
    context: &RetrieveContext,
) -> Result<HashMap<JobId, JobDescription>, TargetError> {
    let mut jobs = HashMap::new();
    let mut marker = None;
    loop {
        let page = context.target.list_jobs(&context.vault_name, marker.as_deref()).await?;
        jobs.extend(page.items.into_iter().map(|job| (job.job_id.clone(), job)));
        marker = page.marker;
        if marker.is_none() {
            return Ok(jobs);
        }
    }
}

/// What a job is now.
#[derive(Debug)]
pub(crate) enum State {
    InProgress,
    Succeeded(Box<JobDescription>),
    /// It failed, expired or was never there.
    Lost(String),
}

pub(crate) fn state_of(job: JobDescription) -> State {
    match job.status_code {
        JobStatus::InProgress => State::InProgress,
        JobStatus::Succeeded => State::Succeeded(Box::new(job)),
        JobStatus::Failed => {
            let why = job.status_message.unwrap_or_else(|| "it gives no reason".to_owned());
            State::Lost(format!("the retrieval job failed: {why}"))
        }
    }
}

pub(crate) async fn state(context: &RetrieveContext, job: &JobId) -> Result<State, TargetError> {
    match context.target.describe_job(&context.vault_name, job).await {
        Ok(job) => Ok(state_of(job)),
        Err(error) if error.is_not_found() => {
            Ok(State::Lost("the retrieval job has expired".to_owned()))
        }
        Err(error) => Err(error),
    }
}
