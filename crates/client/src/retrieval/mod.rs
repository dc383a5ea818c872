//! Brings archives back: plan, jobs, download, verification, and everything in its place.
//!
//! ```text
//! catalog > plan (what, how much, what is there already) > jobs (journalled, never twice) > wait
//!         > download (segments, verified, journalled) > place (synced, then named)
//! ```
//!
//! A [`Plan`] is made first and changes nothing, so that a command line can show files, bytes and price and ask.
//! [`retrieve`] then starts every job at once, so that hours of waiting are waited once, and downloads each output as it
//! becomes ready. Whatever stops it, even `kill -9`, the same call goes on: started jobs are found in the journal or in
//! the target's list, and segments that were verified and synced are not read from the target again: the next run reads
//! them from the disk once, and what has changed there since is fetched anew.
//!
//! Memory is bounded by the constants in `download`; only the plan grows, by a few hundred bytes for each file.

mod download;
mod execute;
pub(crate) mod jobs;
pub(crate) mod pace;
mod plan;
mod quote;
mod stream;
#[cfg(test)]
pub(crate) mod tests;

use std::{num::NonZeroUsize, path::PathBuf, sync::Arc, time::Duration};

use icefield_protocol::{ArchiveId, ByteRange, Clock, JobId, Tier, Timestamp, VaultName};
use icefield_treehash::{HashPool, TreeHash};

pub(crate) use download::MAX_REFETCHES;
pub use execute::retrieve;
pub use plan::{Plan, PlannedFile, plan};
pub use quote::{Quote, quote};
pub use stream::retrieve_to_writer;

use crate::{
    catalog::{Catalog, CatalogError, Entry, VaultRef},
    events::Events,
    path::CatalogPath,
    pattern::Pattern,
    place::PlaceError,
    target::{Target, TargetError},
};

/// What a retrieval works with.
#[derive(Debug, Clone)]
pub struct RetrieveContext {
    /// Where the vault is.
    pub target: Arc<dyn Target>,
    /// The catalog, which is also the journal.
    pub catalog: Catalog,
    /// The vault in the catalog.
    pub vault: VaultRef,
    /// The vault at the target.
    pub vault_name: VaultName,
    /// Hashes what is at the destination, and what the target does not hash.
    pub hashing: HashPool,
    /// Told what happens.
    pub events: Arc<dyn Events>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}

/// What is to be retrieved, and how.
#[derive(Debug, Clone)]
pub struct RetrieveOptions {
    /// The folder to put things under; made if missing.
    pub to: PathBuf,
    /// Which paths; none means all.
    pub patterns: Vec<Pattern>,
    /// Exactly these archives; the patterns are not used then. One that the catalog does not know gets its ID as path.
    pub archive_ids: Vec<ArchiveId>,
    /// Entries of an inventory file in place of the catalog's; of several with one path the last counts. A size of 0
    /// beside an archive means unknown.
    pub from: Option<Vec<Entry>>,
    /// Everything as it was at that time.
    pub as_of: Option<Timestamp>,
    /// How soon.
    pub tier: Tier,
    /// These bytes of the one file that is selected.
    pub range: Option<ByteRange>,
    /// Whether a different file or link at the destination is replaced.
    pub overwrite: bool,
    /// Whether to return when only jobs in progress are left.
    pub no_wait: bool,
    /// Most bytes that are asked for within an hour; the rest waits its turn.
    pub max_rate: Option<u64>,
    /// How long no job is started after the service, or the account's retrieval policy, has let no more through.
    pub refused_pause: Duration,
    /// Files in transfer at a time.
    pub concurrency: NonZeroUsize,
    /// Segments of large files in transfer at a time.
    pub segments: NonZeroUsize,
}

impl RetrieveOptions {
    /// The whole vault to a folder, with the defaults for everything else.
    pub fn new(to: impl Into<PathBuf>) -> Self {
        Self {
            to: to.into(),
            patterns: Vec::new(),
            archive_ids: Vec::new(),
            from: None,
            as_of: None,
            tier: Tier::Standard,
            range: None,
            overwrite: false,
            no_wait: false,
            max_rate: None,
            refused_pause: Duration::from_mins(10),
            concurrency: NonZeroUsize::new(32).expect("32 is not 0"),
            segments: NonZeroUsize::new(4).expect("4 is not 0"),
        }
    }
}

/// How far a file came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It is in its place, durably.
    Retrieved,
    /// It was there already.
    Skipped,
    /// Its job is not done, or another run is at it: run again later.
    Waiting,
    /// It is not there; the reason goes with it.
    Failed,
}

/// What became of one path.
#[derive(Debug, Clone)]
pub struct RetrievedFile {
    /// The path.
    pub path: CatalogPath,
    /// Its archive; `None` for what has no bytes.
    pub archive: Option<ArchiveId>,
    /// The job that made it readable, if one was needed and is known.
    pub job: Option<JobId>,
    /// Size in bytes, as far as known.
    pub size: Option<u64>,
    /// Tree hash of the archive, as far as known.
    pub tree_hash: Option<TreeHash>,
    /// How far it came.
    pub status: Status,
    /// Why it failed or waits.
    pub why: Option<String>,
}

/// What became of all of them.
#[derive(Debug, Clone, Default)]
pub struct RetrieveReport {
    /// Now in their places.
    pub retrieved: u64,
    /// There already.
    pub skipped: u64,
    /// Not ready yet.
    pub waiting: u64,
    /// Failed, each with the reason.
    pub failed: Vec<(CatalogPath, String)>,
    /// Bytes that were moved by this call.
    pub bytes: u64,
}

/// Why a retrieval could not even be tried, or had to stop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RetrieveError {
    /// The options contradict each other.
    #[error("{0}")]
    Options(String),
    /// The catalog failed.
    #[error("the catalog failed")]
    Catalog(#[from] CatalogError),
    /// The destination cannot be used.
    #[error("the destination cannot be used")]
    Destination(#[source] PlaceError),
    /// The target failed for all.
    #[error("the target refused")]
    Target(#[from] TargetError),
    /// The receiver of a single file failed.
    #[error("writing the output failed")]
    Output(#[source] std::io::Error),
    /// The one file that was asked for could not be had.
    #[error("`{path}` could not be retrieved: {why}")]
    File {
        /// The file.
        path: CatalogPath,
        /// Why.
        why: String,
    },
}

/// Writes an error and all its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Runs blocking work on the runtime's pool for it.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only a runtime that shuts down cancels blocking work, and it polls nobody afterwards.
            Err(_) => std::future::pending().await,
        },
    }
}
