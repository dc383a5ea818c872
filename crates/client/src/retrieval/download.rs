//! One archive from a job's output into its partial file.
//!
//! Up to [`SMALL_MAX_BYTES`] a file is received in memory and written in one step. Up to [`SEGMENT_MIN_BYTES`] it is one
//! request that is written as it comes. Beyond that the output is cut into segments of one power of two of MiB, several
//! in transfer at a time over all files; each one is written, synced and then journalled with its tree hash, and the
//! hashes of all of them combine to that of the archive, without another read. Only what an earlier run has left is read
//! from the disk before it is relied on.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, future::ready, stream};
use icefield_protocol::{ByteRange, JobDescription, JobId};
use icefield_treehash::{HashStream, Roles, TreeHash};

use super::{PlannedFile, RetrieveContext, blocking, chain, execute::Shared, jobs::Item};
use crate::{
    catalog::CatalogError,
    events::Event,
    place::{Partial, PlaceError, Staged, temporary_path},
    target::{Output, TargetError},
};

/// Outputs up to this size are held in memory.
const SMALL_MAX_BYTES: u64 = 1 << 20;

/// Smallest segment; outputs up to this size are not cut.
const SEGMENT_MIN_BYTES: u64 = 16 << 20;

/// More segments than this make them larger.
const MAX_SEGMENTS: u64 = 4096;

/// Times that what came damaged is fetched again: a line flips a bit now and then, a store that is damaged stays so.
pub(crate) const MAX_REFETCHES: u32 = 3;

/// Bytes that are collected before they are handed to a thread that writes.
const WRITE_BYTES: usize = 4 << 20;

/// Why a download ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum DownloadError {
    /// The job is no longer there.
    #[error("the retrieval job has expired")]
    Gone,
    /// What came, or would come, is not what was stored.
    #[error("{0}")]
    Damaged(String),
    /// The target failed.
    #[error("the download failed")]
    Target(#[source] TargetError),
    /// The destination failed.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// A sync failed: of what was written nobody knows what is there.
    #[error("the partial file is not durable")]
    Unsynced(#[source] PlaceError),
    /// The journal failed.
    #[error("the catalog failed")]
    Catalog(#[from] CatalogError),
}

impl DownloadError {
    /// Whether nothing that has come so far can be relied on.
    pub(super) const fn spoils(&self) -> bool {
        matches!(self, Self::Damaged(_) | Self::Unsynced(_))
    }
}

impl From<TargetError> for DownloadError {
    fn from(error: TargetError) -> Self {
        match error {
            error if error.is_not_found() => Self::Gone,
            error @ TargetError::Damaged { .. } => Self::Damaged(chain(&error)),
            error => Self::Target(error),
        }
    }
}

/// The output of a succeeded job, and the part of it that is wanted.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) job: JobId,
    /// Size of the output.
    pub(super) size: u64,
    /// The wanted bytes of the output.
    pub(super) window: Range<u64>,
    /// Tree hash of the output, unless nobody knows it.
    pub(super) tree_hash: Option<TreeHash>,
}

impl Wanted {
    /// Compares what was planned with what the job offers.
    pub(super) fn new(file: &PlannedFile, job: &JobDescription) -> Result<Self, DownloadError> {
        let damaged = |what: String| Err(DownloadError::Damaged(what));
        if let (Some(here), Some(there)) = (file.tree_hash, job.archive_tree_hash)
            && here != there
        {
            return damaged(format!("the target has tree hash {there}, the catalog {here}"));
        }
        let Some(archive_size) = job.archive_size_in_bytes.or(file.size) else {
            return damaged("the target does not say how large the archive is".to_owned());
        };
        if file.size.is_some_and(|size| size != archive_size) {
            return damaged(format!(
                "the target has {archive_size} bytes, the catalog {}",
                file.size.unwrap_or(0)
            ));
        }
        let Some(whole) = ByteRange::whole(archive_size) else {
            return damaged("the target says that the archive is empty".to_owned());
        };
        let output = job.retrieval_byte_range.unwrap_or(whole);
        let wanted = file.range.unwrap_or(whole);
        if wanted.first < output.first || wanted.last > output.last {
            return damaged(format!("the job has the bytes {output}, wanted are {wanted}"));
        }
        let tree_hash =
            if output == whole { file.tree_hash.or(job.archive_tree_hash) } else { job.tree_hash };
        let window = wanted.first - output.first..wanted.last - output.first + 1;
        Ok(Self { job: job.job_id.clone(), size: output.len(), window, tree_hash })
    }

    /// Whether there is a tree hash to compare it with.
    pub(super) const fn is_verifiable(&self) -> bool {
        self.tree_hash.is_some()
    }

    /// Refuses bytes whose tree hash is not the archive's.
    pub(super) fn check(&self, hash: TreeHash) -> Result<(), DownloadError> {
        match self.tree_hash {
            Some(expected) if expected != hash => Err(DownloadError::Damaged(format!(
                "damaged: the tree hash of what came is {hash}, not {expected}"
            ))),
            _ => Ok(()),
        }
    }
}

/// Downloads one file; on return it waits complete under its temporary name.
pub(super) async fn download(
    shared: &Arc<Shared>,
    item: &Item,
    job: &JobDescription,
) -> Result<Staged, DownloadError> {
    let ended = match download_once(shared, item, job).await {
        // Its parts have no hashes of their own, so all of it is fetched again.
        Err(DownloadError::Damaged(why)) if Wanted::new(&item.file, job).is_ok() => {
            tracing::warn!(path = %item.file.path, why, "fetching the file again");
            download_once(shared, item, job).await
        }
        ended => ended,
    };
    if ended.is_ok() && Wanted::new(&item.file, job).is_ok_and(|wanted| !wanted.is_verifiable()) {
        shared.context.events.event(unverified(&item.file));
    }
    ended
}

/// What is said of a file that was compared with nothing.
pub(super) fn unverified(file: &PlannedFile) -> Event {
    let message = "neither the catalog nor the target knows a tree hash of it, so what came could not be compared";
    Event::Warning { path: Some(file.path.clone()), message: message.to_owned() }
}

async fn download_once(
    shared: &Arc<Shared>,
    item: &Item,
    job: &JobDescription,
) -> Result<Staged, DownloadError> {
    let wanted = Wanted::new(&item.file, job)?;
    if wanted.size <= SMALL_MAX_BYTES {
        return small(shared, item, &wanted).await;
    }
    let segment_size = segment_size(wanted.size);
    let (partial, done) = open_partial(shared, item, &wanted, segment_size).await?;
    let received = segments(shared, item, &wanted, &partial, segment_size, done).await;
    let checked = received.and_then(|hash| wanted.check(hash));
    let (file, overwrite) = (item.file.clone(), shared.overwrite);
    blocking(move || match checked {
        Ok(()) => Ok(partial.stage(file.mode, file.mtime, overwrite)?),
        Err(error) => {
            if error.spoils() {
                partial.discard();
            }
            Err(error)
        }
    })
    .await
}

async fn small(
    shared: &Arc<Shared>,
    item: &Item,
    wanted: &Wanted,
) -> Result<Staged, DownloadError> {
    let mut receiver = Receiver::open(&shared.context, wanted, None).await?;
    let mut chunks = Vec::new();
    while let Some(chunk) = receiver.next().await? {
        chunks.push(chunk);
    }
    wanted.check(receiver.finish().await)?;
    let (file, window, tag) = (item.file.clone(), wanted.window.clone(), tag(&item.file));
    let task = Arc::clone(shared);
    let staged = blocking(move || {
        let partial = task.destination.partial(&file.path, tag, file.mode.is_some())?;
        let mut writer = Writer::new(Arc::new(partial), window, 0);
        for chunk in chunks {
            writer.push(chunk);
        }
        writer.take().write()?;
        writer.partial.stage(file.mode, file.mtime, task.overwrite)
    })
    .await?;
    shared.moved(wanted.window.end - wanted.window.start, false);
    Ok(staged)
}

/// Opens the partial file, with the segments of it that are finished.
async fn open_partial(
    shared: &Arc<Shared>,
    item: &Item,
    wanted: &Wanted,
    segment_size: u64,
) -> Result<(Arc<Partial>, BTreeMap<u64, TreeHash>), DownloadError> {
    let (task, file, tag) = (Arc::clone(shared), item.file.clone(), tag(&item.file));
    let journalled = &item.retrieval.segments;
    if item.retrieval.segment_size == Some(segment_size) && !journalled.is_empty() {
        let length = wanted.window.end - wanted.window.start;
        let earlier = blocking(move || task.destination.earlier_partial(&file.path, tag, length));
        let earlier = earlier.await?;
        if let Some(partial) = earlier.map(Arc::new) {
            let done = still_there(shared, &partial, wanted, segment_size, journalled).await;
            return Ok((partial, done));
        }
    }
    let (task, file, retrieval) = (Arc::clone(shared), item.file.clone(), item.retrieval.id);
    let whole = wanted.size <= segment_size;
    blocking(move || {
        if !whole {
            // Before there is an empty file that earlier segments could be taken to be in.
            let name = task.destination.full_path(&temporary_path(&file.path, tag));
            task.context.catalog.begin_download(retrieval, &name, segment_size)?;
        }
        let partial = task.destination.partial(&file.path, tag, file.mode.is_some())?;
        Ok((Arc::new(partial), BTreeMap::new()))
    })
    .await
}

/// Returns those journalled segments that the partial file of an earlier run has, whole and unchanged.
///
/// It lay on a disk between the runs: it may have been cut, written to or restored from elsewhere. Reading it is cheap
/// beside asking the target again.
async fn still_there(
    shared: &Arc<Shared>,
    partial: &Arc<Partial>,
    wanted: &Wanted,
    segment_size: u64,
    journalled: &BTreeMap<u64, TreeHash>,
) -> BTreeMap<u64, TreeHash> {
    stream::iter(journalled.clone())
        .map(|(index, hash)| {
            let span = span(index, segment_size, wanted.size);
            async move {
                let found = hash_of(shared, partial, &wanted.window, span).await;
                (found == Some(hash)).then_some((index, hash))
            }
        })
        .buffer_unordered(shared.segments_at_once)
        .filter_map(ready)
        .collect()
        .await
}

/// Returns the tree hash of a segment as the partial file has it; none if the file has not all of it.
async fn hash_of(
    shared: &Arc<Shared>,
    partial: &Arc<Partial>,
    window: &Range<u64>,
    span: Range<u64>,
) -> Option<TreeHash> {
    let _permit = shared.segments.acquire().await.expect("the semaphore is never closed");
    // Of a segment at the edge of what is wanted the file has a part only.
    let end = span.end.checked_sub(window.start).filter(|_| span.end <= window.end)?;
    let mut offset = span.start.checked_sub(window.start)?;
    let mut hashing = shared.context.hashing.start(Roles { linear: false });
    while offset < end {
        let length = (end - offset).min(WRITE_BYTES as u64);
        let task = Arc::clone(partial);
        let read = blocking(move || {
            let length = usize::try_from(length).expect("a length below the limit");
            let mut buffer = vec![0; length];
            // What cannot be read is fetched and written again.
            task.read_at(&mut buffer, offset).ok().map(|()| Bytes::from(buffer))
        });
        hashing.submit(read.await?).await;
        offset += length;
    }
    Some(hashing.finish().await.tree)
}

/// Fetches all segments that are not done, and returns the tree hash of the output.
async fn segments(
    shared: &Arc<Shared>,
    item: &Item,
    wanted: &Wanted,
    partial: &Arc<Partial>,
    segment_size: u64,
    mut done: BTreeMap<u64, TreeHash>,
) -> Result<TreeHash, DownloadError> {
    let count = wanted.size.div_ceil(segment_size);
    let resumed: u64 = done
        .keys()
        .map(|index| overlap(&wanted.window, &span(*index, segment_size, wanted.size)))
        .sum();
    if resumed > 0 {
        shared.moved(resumed, true);
    }
    let missing: Vec<u64> = (0..count).filter(|index| !done.contains_key(index)).collect();
    let fetched: Vec<(u64, TreeHash)> = stream::iter(missing)
        .map(|index| {
            let span = span(index, segment_size, wanted.size);
            let (retrieval, single) = (item.retrieval.id, count == 1);
            async move {
                let hash = sound_segment(shared, wanted, partial, span, single).await?;
                if !single {
                    journal(shared, partial, retrieval, index, hash).await?;
                }
                Ok::<_, DownloadError>((index, hash))
            }
        })
        .buffer_unordered(shared.segments_at_once)
        .try_collect()
        .await?;
    done.extend(fetched);
    Ok(TreeHash::combine(done.into_values()))
}

/// Syncs a segment, then records it: after that it is never fetched again.
async fn journal(
    shared: &Arc<Shared>,
    partial: &Arc<Partial>,
    retrieval: i64,
    index: u64,
    hash: TreeHash,
) -> Result<(), DownloadError> {
    let (shared, partial) = (Arc::clone(shared), Arc::clone(partial));
    blocking(move || {
        partial.sync_data().map_err(DownloadError::Unsynced)?;
        shared.context.catalog.record_segment(retrieval, index, hash)?;
        Ok(())
    })
    .await
}

/// Fetches a segment until it is what the target says it is.
async fn sound_segment(
    shared: &Arc<Shared>,
    wanted: &Wanted,
    partial: &Arc<Partial>,
    span: Range<u64>,
    single: bool,
) -> Result<TreeHash, DownloadError> {
    for _ in 0..MAX_REFETCHES {
        match segment(shared, wanted, partial, span.clone(), single).await {
            Err(DownloadError::Damaged(why)) => {
                tracing::warn!(?span, why, "fetching the segment again");
            }
            ended => return ended,
        }
    }
    segment(shared, wanted, partial, span, single).await
}

async fn segment(
    shared: &Arc<Shared>,
    wanted: &Wanted,
    partial: &Arc<Partial>,
    span: Range<u64>,
    single: bool,
) -> Result<TreeHash, DownloadError> {
    let _permit = shared.segments.acquire().await.expect("the semaphore is never closed");
    let range = (!single).then(|| ByteRange { first: span.start, last: span.end - 1 });
    let mut receiver = Receiver::open(&shared.context, wanted, range).await?;
    let mut writer = Writer::new(Arc::clone(partial), wanted.window.clone(), span.start);
    loop {
        let chunk = receiver.next().await?;
        let ended = chunk.is_none();
        if let Some(chunk) = chunk {
            writer.push(chunk);
        }
        if ended || writer.bytes >= WRITE_BYTES {
            let write = writer.take();
            let bytes = write.bytes;
            blocking(move || write.write()).await?;
            shared.moved(bytes as u64, false);
        }
        if ended {
            return Ok(receiver.finish().await);
        }
    }
}

/// Where the tree hash of received bytes comes from.
enum Hash {
    /// The target has verified them against it.
    Told(TreeHash),
    /// It is computed here.
    Own(HashStream),
}

/// Receives bytes of an output, counts them, and hashes them if the target did not.
pub(super) struct Receiver {
    output: Output,
    hash: Hash,
    expected: u64,
    received: u64,
}

impl Receiver {
    /// Opens the output, whole or a range of it.
    pub(super) async fn open(
        context: &RetrieveContext,
        wanted: &Wanted,
        range: Option<ByteRange>,
    ) -> Result<Self, DownloadError> {
        let output = context.target.job_output(&context.vault_name, &wanted.job, range).await?;
        if output.total != wanted.size {
            return Err(DownloadError::Damaged(format!(
                "the output has {} bytes, not {}",
                output.total, wanted.size
            )));
        }
        let own = || Hash::Own(context.hashing.start(Roles { linear: false }));
        let hash = output.tree_hash.map_or_else(own, Hash::Told);
        let expected = range.map_or(wanted.size, |range| range.len());
        Ok(Self { output, hash, expected, received: 0 })
    }

    /// Returns the next bytes, or `None` when exactly the expected number has come.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, DownloadError> {
        let Some(chunk) = self.output.chunks.next().await.transpose()? else {
            return if self.received == self.expected {
                Ok(None)
            } else {
                Err(DownloadError::Damaged(format!(
                    "the output ended after {} of {} bytes",
                    self.received, self.expected
                )))
            };
        };
        self.received += chunk.len() as u64;
        if self.received > self.expected {
            return Err(DownloadError::Damaged(
                "the output is longer than it should be".to_owned(),
            ));
        }
        if let Hash::Own(hashing) = &mut self.hash {
            hashing.submit(chunk.clone()).await;
        }
        Ok(Some(chunk))
    }

    /// Returns the tree hash of what came.
    pub(super) async fn finish(self) -> TreeHash {
        match self.hash {
            Hash::Told(hash) => hash,
            Hash::Own(hashing) => hashing.finish().await.tree,
        }
    }
}

/// Collects chunks and writes the wanted bytes of them.
struct Writer {
    partial: Arc<Partial>,
    window: Range<u64>,
    /// Where in the output the next chunk begins.
    position: u64,
    /// Wanted bytes with their offsets in the file.
    chunks: Vec<(u64, Bytes)>,
    bytes: usize,
}

impl Writer {
    fn new(partial: Arc<Partial>, window: Range<u64>, position: u64) -> Self {
        Self { partial, window, position, chunks: Vec::new(), bytes: 0 }
    }

    fn push(&mut self, chunk: Bytes) {
        let span = self.position..self.position + chunk.len() as u64;
        self.position = span.end;
        let (first, end) = (span.start.max(self.window.start), span.end.min(self.window.end));
        if first < end {
            let within = |offset: u64| {
                usize::try_from(offset - span.start).expect("an offset within a chunk")
            };
            let chunk = chunk.slice(within(first)..within(end));
            self.bytes += chunk.len();
            self.chunks.push((first - self.window.start, chunk));
        }
    }

    fn take(&mut self) -> Write {
        let bytes = std::mem::take(&mut self.bytes);
        let chunks = std::mem::take(&mut self.chunks);
        Write { partial: Arc::clone(&self.partial), chunks, bytes }
    }
}

/// Chunks on their way to a thread that writes.
struct Write {
    partial: Arc<Partial>,
    chunks: Vec<(u64, Bytes)>,
    bytes: usize,
}

impl Write {
    fn write(self) -> Result<(), PlaceError> {
        self.chunks.iter().try_for_each(|(offset, chunk)| self.partial.write_at(chunk, *offset))
    }
}

/// The same for every run, so that a later run finds the partial file and none is left behind.
fn tag(file: &PlannedFile) -> u32 {
    let range = file.range.map(|range| range.to_string()).unwrap_or_default();
    let hash = icefield_protocol::LinearHash::of(format!("{}/{range}", file.archive).as_bytes());
    let [a, b, c, d, ..] = *hash.as_bytes();
    u32::from_be_bytes([a, b, c, d])
}

fn segment_size(output_size: u64) -> u64 {
    output_size.div_ceil(MAX_SEGMENTS).next_power_of_two().max(SEGMENT_MIN_BYTES)
}

fn span(index: u64, segment_size: u64, size: u64) -> Range<u64> {
    index * segment_size..((index + 1) * segment_size).min(size)
}

fn overlap(a: &Range<u64>, b: &Range<u64>) -> u64 {
    a.end.min(b.end).saturating_sub(a.start.max(b.start))
}
