//! One file to a writer, in order: what `retrieve --to -` does.
//!
//! The output is fetched in pieces, a few ahead, and each piece is verified before a byte of it is written; the tree
//! hash of the whole is checked at the end. There is no destination to remember segments at, so an interrupted stream
//! begins again; only its job is not started twice.

use std::{io::Write, path::Path, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use icefield_protocol::ByteRange;
use icefield_treehash::TreeHash;

use super::{
    Plan, PlannedFile, RetrieveContext, RetrieveError, RetrieveOptions, RetrievedFile, Status,
    blocking, chain,
    download::{DownloadError, MAX_REFETCHES, Receiver, Wanted, unverified},
    jobs::{self, Item, Started, State},
};
use crate::{catalog::Run, events::Event};

/// Bytes that are held until they are verified.
const PIECE_BYTES: u64 = 8 << 20;

/// Pieces that are fetched ahead.
const PIECES_AHEAD: usize = 4;

/// Retrieves the one file of `plan` into `writer`.
///
/// Returns it with [`Status::Waiting`] when its job is not done and `no_wait` was given.
///
/// # Errors
///
/// When the plan does not have exactly one file, or that file cannot be had whole and verified. Bytes that were written
/// before the error are right, but not all.
pub async fn retrieve_to_writer(
    context: &RetrieveContext,
    options: &RetrieveOptions,
    plan: Plan,
    writer: Box<dyn Write + Send>,
) -> Result<RetrievedFile, RetrieveError> {
    let Plan { folders: _, mut made, mut files, skipped, refused, unmatched: _ } = plan;
    let single = files.len() + made.len() + skipped.len() + refused.len() == 1;
    let (file, empty) = (files.pop(), made.pop());
    if let (true, Some(entry)) = (single, empty.filter(|entry| entry.link_target.is_none())) {
        return Ok(RetrievedFile {
            path: entry.path,
            archive: None,
            job: None,
            size: Some(0),
            tree_hash: None,
            status: Status::Retrieved,
            why: None,
        });
    }
    let (true, Some(file)) = (single, file) else {
        return Err(RetrieveError::Options(
            "exactly one file goes to the standard output; name it by its whole path or its archive ID"
                .to_owned(),
        ));
    };
    context.events.event(Event::Planned { files: 1, bytes: file.wanted_bytes().unwrap_or(0) });
    // The claim holds as long as the run.
    let (mut item, _run) = start(context, options, &file).await?;
    let ended = stream_out(context, options, &file, &mut item, writer).await;
    if !matches!(&ended, Ok(answer) if answer.status == Status::Waiting) {
        // Nothing of it can be gone on with, however it ended.
        let (catalog, id) = (context.catalog.clone(), item.retrieval.id);
        blocking(move || catalog.end_retrieval(id)).await?;
    }
    ended
}

async fn stream_out(
    context: &RetrieveContext,
    options: &RetrieveOptions,
    file: &PlannedFile,
    item: &mut Item,
    mut writer: Box<dyn Write + Send>,
) -> Result<RetrievedFile, RetrieveError> {
    let failed = |why: String| RetrieveError::File { path: file.path.clone(), why };
    let mut answer = RetrievedFile {
        path: file.path.clone(),
        archive: Some(file.archive.clone()),
        job: item.job.clone(),
        size: file.wanted_bytes(),
        tree_hash: file.tree_hash,
        status: Status::Retrieved,
        why: None,
    };
    loop {
        let Some(job) = item.job.clone() else { return Err(failed("it has no job".to_owned())) };
        answer.job = Some(job.clone());
        match jobs::state(context, &job).await? {
            State::InProgress if options.no_wait => {
                answer.status = Status::Waiting;
                return Ok(answer);
            }
            State::InProgress => context.target.wait(&context.vault_name, &job).await?,
            State::Lost(why) if item.restarted => return Err(failed(why)),
            State::Lost(_) => jobs::restart(context, options.tier, item).await?,
            State::Succeeded(job) => {
                let wanted = Wanted::new(file, &job).map_err(|error| failed(chain(&error)))?;
                answer.size = Some(wanted.window.end - wanted.window.start);
                writer =
                    pour(context, file, &wanted, writer).await.map_err(|error| match error {
                        PourError::Download(error) => failed(chain(&error)),
                        PourError::Write(error) => RetrieveError::Output(error),
                    })?;
                drop(writer);
                return Ok(answer);
            }
        }
    }
}

async fn start(
    context: &RetrieveContext,
    options: &RetrieveOptions,
    file: &PlannedFile,
) -> Result<(Item, Arc<Run>), RetrieveError> {
    let catalog = context.catalog.clone();
    let run = Arc::new(blocking(move || catalog.begin_run("retrieve")).await?);
    let mut outcome = None;
    let files = vec![(file.clone(), Path::new("-").to_owned())];
    let mut known = jobs::list(context, std::iter::once(file)).await?.jobs;
    let tell = |started| outcome = Some(started);
    jobs::start(context, &run, options.tier, 1, &mut known, files, tell).await?;
    let failed = |why: String| RetrieveError::File { path: file.path.clone(), why };
    match outcome {
        Some(Started::Ready(item)) => Ok((item, run)),
        Some(Started::Refused(_, why) | Started::Later(_, why)) => Err(failed(why)),
        Some(Started::Elsewhere(_)) | None => {
            Err(failed("another run is retrieving it".to_owned()))
        }
    }
}

enum PourError {
    Download(DownloadError),
    Write(std::io::Error),
}

impl From<DownloadError> for PourError {
    fn from(error: DownloadError) -> Self {
        Self::Download(error)
    }
}

async fn pour(
    context: &RetrieveContext,
    file: &PlannedFile,
    wanted: &Wanted,
    mut writer: Box<dyn Write + Send>,
) -> Result<Box<dyn Write + Send>, PourError> {
    let count = wanted.size.div_ceil(PIECE_BYTES);
    let mut pieces = stream::iter(0..count)
        .map(|index| sound_piece(context, wanted, index, count == 1))
        .buffered(PIECES_AHEAD);
    let mut hashes = Vec::new();
    let mut position = 0;
    while let Some(fetched) = pieces.next().await {
        let (chunks, hash) = fetched?;
        if count == 1 {
            wanted.check(hash)?;
        }
        hashes.push(hash);
        let window = wanted.window.clone();
        let begin = position;
        position += chunks.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
        let (back, written) = blocking(move || {
            let written = write(&mut writer, chunks, begin, &window);
            (writer, written)
        })
        .await;
        writer = back;
        let bytes = written.map_err(PourError::Write)?;
        context.events.event(Event::Moved { bytes, resumed: false });
    }
    wanted.check(TreeHash::combine(hashes))?;
    if !wanted.is_verifiable() {
        context.events.event(unverified(file));
    }
    blocking(move || writer.flush().map(|()| writer)).await.map_err(PourError::Write)
}

/// Fetches a piece until it is what the target says it is.
async fn sound_piece(
    context: &RetrieveContext,
    wanted: &Wanted,
    index: u64,
    single: bool,
) -> Result<(Vec<Bytes>, TreeHash), DownloadError> {
    for _ in 0..MAX_REFETCHES {
        match piece(context, wanted, index, single).await {
            Err(DownloadError::Damaged(why)) => {
                tracing::warn!(index, why, "fetching the piece again");
            }
            ended => return ended,
        }
    }
    piece(context, wanted, index, single).await
}

async fn piece(
    context: &RetrieveContext,
    wanted: &Wanted,
    index: u64,
    single: bool,
) -> Result<(Vec<Bytes>, TreeHash), DownloadError> {
    let first = index * PIECE_BYTES;
    let last = (first + PIECE_BYTES).min(wanted.size) - 1;
    let range = (!single).then_some(ByteRange { first, last });
    let mut receiver = Receiver::open(context, wanted, range).await?;
    let mut chunks = Vec::new();
    while let Some(chunk) = receiver.next().await? {
        chunks.push(chunk);
    }
    Ok((chunks, receiver.finish().await))
}

/// Writes the part of the chunks that is wanted; returns how many bytes that was.
fn write(
    writer: &mut dyn Write,
    chunks: Vec<Bytes>,
    mut position: u64,
    window: &std::ops::Range<u64>,
) -> std::io::Result<u64> {
    let mut written = 0;
    for chunk in chunks {
        let (start, end) = (position, position + chunk.len() as u64);
        position = end;
        let (first, last) = (start.max(window.start), end.min(window.end));
        if first < last {
            let at =
                |offset: u64| usize::try_from(offset - start).expect("an offset within a chunk");
            writer.write_all(&chunk[at(first)..at(last)])?;
            written += last - first;
        }
    }
    Ok(written)
}
