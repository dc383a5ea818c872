//! Uploading many files, or one stream, so that whatever stops it the next run goes on.
//!
//! ```text
//! walk --> choose --> send (many at once) --> record --> caller
//!          newest      reads, checks,          one transaction for
//!          entries,    one request or parts    all that finished
//!          claims                              meanwhile
//! ```
//!
//! A file is claimed in the journal, durably, before its first byte moves, and every part is noted when it is stored. So
//! a run that died leaves a token and perhaps an upload ID, which the next run adopts: the target answers the same token
//! with the same archive, and parts that journal and target both know are neither read nor sent again. What cannot be an
//! archive (folders, links, empty files) and paths too long for a description go into one manifest archive at the end.
//!
//! Memory is bounded by [`UploadOptions::concurrency`] and the constants here: small files are read whole, 64 at a time;
//! of everything else a few chunks per body are in memory, whatever the size of file or part.

mod choose;
mod parts;
mod record;
mod run;
mod send;
mod spool;
mod stream;
mod survey;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    io::{self, Read},
    num::NonZeroUsize,
    ops::ControlFlow,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use icefield_protocol::{ArchiveId, Clock, Description, PartSize, Timestamp, TreeHash, VaultName};
use icefield_treehash::HashPool;
use tokio::sync::mpsc;

pub use self::survey::{SurveyOptions, Surveyed, survey};
use self::{
    record::{Done, Tally},
    run::Run,
};
use super::{
    Cancel, Throttle, blocking,
    plan::PlanError,
    source::{Source, SourceError},
};
use crate::{
    catalog::{Catalog, CatalogError, Entry},
    description::Format,
    events::Events,
    path::CatalogPath,
    target::{Target, TargetError},
    walk::{Found, Item, Roots, Selection, walk},
};

/// Things found by the walk that wait to be looked up.
const FOUND_WAITING: usize = 1024;

/// Finished files that wait to be recorded.
const DONE_WAITING: usize = 256;

/// What an upload works with.
#[derive(Debug, Clone)]
pub struct UploadContext {
    /// Where the vault is.
    pub target: Arc<dyn Target>,
    /// The catalog, which is also the journal.
    pub catalog: Catalog,
    /// The vault, which exists.
    pub vault: VaultName,
    /// Hashes files whose content may be known already.
    pub hashing: HashPool,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Told what happens; every file that fails or is left out is a warning there.
    pub events: Arc<dyn Events>,
    /// Stops the run in good order.
    pub cancel: Cancel,
    /// Opens what is sent; none takes it from where it lies on this machine.
    pub opener: Option<Arc<dyn Opener>>,
}

/// Opens what is sent.
#[async_trait]
pub trait Opener: fmt::Debug + Send + Sync {
    /// Opens an item that was found.
    ///
    /// # Errors
    ///
    /// When it is not there any more, or cannot be read.
    async fn open(&self, item: &Item) -> Result<Arc<dyn Source>, SourceError>;
}

/// How files are uploaded.
#[derive(Debug, Clone)]
pub struct UploadOptions {
    /// What is written into the descriptions of archives.
    pub describe: Describe,
    /// Size of parts, raised where 10,000 of them are not enough; chosen by the size of the file if absent.
    pub part_size: Option<PartSize>,
    /// Bodies in transfer at a time: parts, or files that are not small. Of small files 16 times as many, at most 64.
    pub concurrency: NonZeroUsize,
    /// Whether files that are unchanged are sent again.
    pub force: bool,
    /// Whether every file is read to find out whether it is unchanged.
    pub checksum: bool,
    /// Whether to find out and tell only.
    pub dry_run: bool,
    /// Limits the rate of the whole run.
    pub throttle: Option<Arc<Throttle>>,
}

impl Default for UploadOptions {
    fn default() -> Self {
        Self {
            describe: Describe::Notes(Format::Icefield),
            part_size: None,
            concurrency: NonZeroUsize::new(4).expect("4 is not 0"),
            force: false,
            checksum: false,
            dry_run: false,
            throttle: None,
        }
    }
}

/// What is written into the description of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Describe {
    /// Path, time and mode as far as this form tells them, so that the catalog can be made anew from the vault; the manifest
    /// of the run tells the rest.
    Notes(Format),
    /// This text, or nothing; the manifest of the run then tells path, time and mode.
    Verbatim(Option<Description>),
}

/// A file that is now an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadedFile {
    /// What the catalog knows of it.
    pub entry: Entry,
    /// Where it lies; `None` for a stream.
    pub local: Option<PathBuf>,
    /// The vault.
    pub vault: VaultName,
    /// The archive.
    pub archive: ArchiveId,
    /// Its tree hash, as the target computed it.
    pub tree_hash: TreeHash,
    /// Requests that its bytes went in.
    pub parts: u32,
    /// When this run took it up.
    pub started: Timestamp,
    /// When it was stored.
    pub finished: Timestamp,
}

impl UploadedFile {
    /// Returns how long it took this run.
    pub fn duration(&self) -> Duration {
        self.finished.saturating_since(self.started)
    }
}

/// What became of one thing; told when the catalog has it durably.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// It was stored.
    Uploaded(UploadedFile),
    /// It is unchanged.
    Skipped(Entry),
    /// Its content is unchanged; its new time and mode are recorded.
    Touched(Entry),
    /// It has no bytes; it is recorded, and told by the manifest of the run.
    Noted(Entry),
    /// It would be uploaded, if this were not a dry run.
    WouldUpload {
        /// Its path.
        path: CatalogPath,
        /// Size in bytes; 0 of what has none.
        size: u64,
    },
    /// It is not archived by this run, and that is no failure.
    LeftOut {
        /// Its path.
        path: CatalogPath,
        /// Why.
        why: String,
    },
    /// It could not be uploaded.
    Failed {
        /// Where it lies.
        local: PathBuf,
        /// Why.
        error: FileError,
    },
}

/// Why one file could not be uploaded, while others can.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// It changed, or could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// It, or the folder, could not be looked at.
    #[error("it cannot be read")]
    Walk(#[source] io::Error),
    /// No archive can hold it.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The target refused it.
    #[error("the target refused it")]
    Target(#[source] TargetError),
}

/// Why a run could not begin, or had to stop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UploadError {
    /// The catalog failed.
    #[error("the catalog failed")]
    Catalog(#[from] CatalogError),
    /// The target failed in a way that concerns every file.
    #[error(
        "the upload stopped at {what}: what is finished is kept, run the same command again to go on"
    )]
    Target {
        /// The file at which it showed.
        what: String,
        /// What the target said.
        #[source]
        source: TargetError,
    },
    /// It was asked to stop.
    #[error("interrupted: what is finished is kept, run the same command again to go on")]
    Cancelled,
    /// The system gave no random bytes.
    #[error("the system gave no random bytes")]
    Random,
    /// The manifest could not be gathered in a temporary file.
    #[error("the temporary file of the manifest failed")]
    Manifest(#[source] io::Error),
    /// The stream could not be read.
    #[error("reading the stream failed, nothing of it was kept")]
    Stream(#[source] io::Error),
}

/// What became of all of it.
#[derive(Debug)]
pub struct UploadReport {
    /// Files that are now archives, the manifest not counted.
    pub uploaded: u64,
    /// Unchanged.
    pub skipped: u64,
    /// Unchanged but for time or mode.
    pub touched: u64,
    /// Recorded without bytes of their own.
    pub noted: u64,
    /// Nothing that can be archived.
    pub left_out: u64,
    /// Left to another run, which may yet fail.
    pub held: u64,
    /// Failed, each told as an [`Outcome`].
    pub failed: u64,
    /// Bytes that this run sent, or would send.
    pub bytes: u64,
    /// Bytes that an earlier run had sent.
    pub resumed_bytes: u64,
    /// The manifest archive, if one was needed.
    pub manifest: Option<ArchiveId>,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Timestamp,
    /// Why it ended before all was done, if it did.
    pub stopped: Option<UploadError>,
}

/// Uploads everything in `roots` that is selected and not in the vault yet.
///
/// `on_outcome` is called for each thing when it is settled. Dropping the call stops it at once, as a crash would: the
/// next run goes on.
///
/// # Errors
///
/// When it could not begin; what stops it later is in the report.
pub async fn upload(
    context: UploadContext,
    options: UploadOptions,
    roots: Roots,
    selection: Selection,
    on_outcome: &mut (dyn FnMut(Outcome) + Send),
) -> Result<UploadReport, UploadError> {
    let run = Run::begin(context, options).await?;
    let (found_sender, found) = mpsc::channel(FOUND_WAITING);
    // Ends when all is found, or when `choose` takes no more.
    drop(tokio::task::spawn_blocking(move || {
        walk(&roots, &selection, &mut |one| match found_sender.blocking_send(one) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        })
    }));
    let (done_sender, done) = mpsc::channel(DONE_WAITING);
    let choosing = choose::choose(Arc::clone(&run), found, done_sender);
    finish(run, choosing, done, on_outcome).await
}

/// Uploads whatever is found elsewhere, as [`upload`] does with what lies in folders; [`UploadContext::opener`] opens it.
///
/// # Errors
///
/// When it could not begin; what stops it later is in the report.
pub async fn upload_found(
    context: UploadContext,
    options: UploadOptions,
    found: mpsc::Receiver<Found>,
    on_outcome: &mut (dyn FnMut(Outcome) + Send),
) -> Result<UploadReport, UploadError> {
    let run = Run::begin(context, options).await?;
    let (done_sender, done) = mpsc::channel(DONE_WAITING);
    let choosing = choose::choose(Arc::clone(&run), found, done_sender);
    finish(run, choosing, done, on_outcome).await
}

/// Uploads a stream of unknown length as the file `path`.
///
/// Parts are gathered before they are sent, three at most, and their size cannot follow the length: 32 MiB unless asked
/// for otherwise, which allows 312 GiB. Parts of 4 GiB, which wait in temporary files, allow 40 TB. A stream cannot be read again, so it is not resumed; what stops it aborts its upload.
///
/// # Errors
///
/// When it could not begin; what stops it later is in the report.
pub async fn upload_stream(
    context: UploadContext,
    options: UploadOptions,
    path: CatalogPath,
    reader: Box<dyn Read + Send>,
    on_outcome: &mut (dyn FnMut(Outcome) + Send),
) -> Result<UploadReport, UploadError> {
    let run = Run::begin(context, options).await?;
    let (done_sender, done) = mpsc::channel(DONE_WAITING);
    let sending = stream::send(Arc::clone(&run), path, reader, done_sender);
    finish(run, sending, done, on_outcome).await
}

async fn finish(
    run: Arc<Run>,
    work: impl Future<Output = ()> + Send,
    done: mpsc::Receiver<Done>,
    on_outcome: &mut (dyn FnMut(Outcome) + Send),
) -> Result<UploadReport, UploadError> {
    let mut tally = Tally::default();
    let recording = record::record(&run, done, &mut tally, on_outcome);
    let ((), manifest) = tokio::join!(work, recording);
    let finished = run.now();
    run.remember_rate(tally.uploaded, finished).await;
    run.settle_down().await;
    Ok(UploadReport {
        uploaded: tally.uploaded,
        skipped: tally.skipped,
        touched: tally.touched,
        noted: tally.noted,
        left_out: tally.left_out,
        held: tally.held,
        failed: tally.failed,
        bytes: if run.options.dry_run { tally.would_move } else { run.bytes_moved() },
        resumed_bytes: run.resumed(),
        manifest,
        started: run.started,
        finished,
        stopped: run.why_halted(),
    })
}
