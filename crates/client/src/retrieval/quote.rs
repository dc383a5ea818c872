//! What of planned files has still to be asked for and read, so that a price can be put on it before it is carried out.

use std::collections::HashSet;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use icefield_protocol::JobId;

use super::{
    PlannedFile, RetrieveContext, RetrieveError, blocking,
    jobs::{self, State},
};
use crate::{catalog::RetrievalKey, target::TargetError};

/// Jobs that are asked after at a time.
const ASKED_AT_ONCE: usize = 16;

/// What of planned files has still to be asked for and read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quote {
    /// Bytes of each job that has to be started, as far as known; one for all files of the same archive.
    pub jobs: Vec<u64>,
    /// Bytes of each file that has to be read, as far as known.
    pub reads: Vec<u64>,
    /// Files whose size is not known: they count as nothing.
    pub unknown: u64,
}

/// Finds out which of planned files need a new job: an archive whose job the target has, running or with output to be read,
/// is not paid for again. Starts nothing.
///
/// # Errors
///
/// When the catalog fails or the target does not answer.
pub async fn quote(
    context: &RetrieveContext,
    files: &[PlannedFile],
) -> Result<Quote, RetrieveError> {
    let mut quote = Quote::default();
    if files.is_empty() {
        return Ok(quote);
    }
    let known = jobs::list(context, files.iter()).await?.jobs;
    let mut missing = Vec::new();
    let mut seen = HashSet::new();
    for file in files {
        let key = jobs::key(file);
        // All of the output is read, so that it can be verified.
        let asked = jobs::asked_bytes(file);
        quote.reads.push(asked.unwrap_or(0));
        quote.unknown += u64::from(asked.is_none());
        if !known.contains_key(&key) && seen.insert(key.clone()) {
            missing.push((key, asked.unwrap_or(0)));
        }
    }
    let journalled = in_journal(context, missing).await?;
    let started = stream::iter(journalled)
        .map(|(bytes, job)| async move {
            let has_job = match job {
                Some(job) => !matches!(jobs::state(context, &job).await?, State::Lost(_)),
                None => false,
            };
            Ok::<_, TargetError>((bytes, has_job))
        })
        .buffered(ASKED_AT_ONCE)
        .try_collect::<Vec<_>>()
        .await?;
    quote.jobs =
        started.into_iter().filter(|(_, has_job)| !has_job).map(|(bytes, _)| bytes).collect();
    Ok(quote)
}

/// Adds the job that the journal has: a target may not list it.
async fn in_journal(
    context: &RetrieveContext,
    missing: Vec<(RetrievalKey, u64)>,
) -> Result<Vec<(u64, Option<JobId>)>, RetrieveError> {
    let (catalog, vault) = (context.catalog.clone(), context.vault);
    let looked_up = blocking(move || {
        let look_up = |(key, bytes): (RetrievalKey, u64)| {
            Ok((bytes, catalog.job_for(vault, &key)?.map(|(job, _)| job)))
        };
        missing.into_iter().map(look_up).collect()
    });
    looked_up.await
}
