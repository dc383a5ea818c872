//! Bytes on their way out: each MiB verified against its stored hash before it is handed out.
//!
//! An archive is a sequence of payload files, or the body of a record. The files that a range touches are opened one
//! ahead of their use, their MiBs read a few ahead, so that disk, hashing and receiver work at the same time and memory
//! stays bounded whatever the length.

use std::{fmt, pin::Pin, sync::Arc};

use bytes::{Buf as _, Bytes};
use futures_util::{Stream, StreamExt as _, stream};
use icefield_protocol::ByteRange;
use icefield_store::{
    Extent, StoreError,
    ledger::{ArchiveRow, Stored},
    payload::{PayloadReader, RecordPlace},
};
use icefield_treehash::{LEAF_SIZE, LEAF_SIZE_BYTES, TreeHash};
use tokio::task::JoinError;

use crate::{engine::Engine, error::EngineError, room::Taken};

/// Payload files opened at a time.
const FILES_AHEAD: usize = 2;

/// MiBs that are read at once and verified together, where there is room for them: best as many as the hash has lanes.
const LEAVES_AT_ONCE: [usize; 2] = [16, 2];

/// Such batches that an output has in memory: one that is read and verified, and one on its way to the receiver.
const BATCHES: usize = 2;

/// MiBs that an output needs: one being read, and one on its way to the receiver.
const LEAVES_NEEDED: u64 = 2;

type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes, EngineError>> + Send>>;

/// Yields the bytes of a job's output in order.
pub struct OutputReader {
    chunks: Option<Chunks>,
    /// For what is read ahead. A receiver may be slow, so nobody waits for it.
    room: Option<Taken>,
    _needed: Taken,
}

impl OutputReader {
    /// Returns the next bytes, at most 1 MiB and never none, or `None` at the end and after an error.
    ///
    /// # Errors
    ///
    /// `Damaged` when the bytes are not those that were stored; they are never returned.
    pub async fn next(&mut self) -> Option<Result<Bytes, EngineError>> {
        let next = self.chunks.as_mut()?.next().await;
        if !matches!(next, Some(Ok(_))) {
            self.chunks = None;
        }
        next
    }
}

impl fmt::Debug for OutputReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutputReader")
            .field("ended", &self.chunks.is_none())
            .field("reads_ahead", &self.room.is_some())
            .finish()
    }
}

/// Bytes that are stored, as one sequence.
#[derive(Debug)]
pub(super) struct StoredBytes {
    /// Whose they are, for errors.
    what: Arc<str>,
    size: u64,
    tree_hash: TreeHash,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Record(RecordPlace),
    Files(Vec<Extent>),
}

impl Engine {
    /// Finds the bytes of an archive.
    pub(super) async fn stored_bytes(&self, row: &ArchiveRow) -> Result<StoredBytes, EngineError> {
        let place = match row.stored {
            Stored::Record(place) => Place::Record(place),
            Stored::File(_) | Stored::Parts(_) => {
                Place::Files(self.store().ledger().extents(row.number).await?)
            }
        };
        let what = format!("archive {}", self.archive_id(row)?).into();
        Ok(StoredBytes { what, size: row.size, tree_hash: row.tree_hash, place })
    }
}

impl StoredBytes {
    pub(super) fn of_file(what: String, file: Extent) -> Self {
        let Extent { size, tree_hash, .. } = file;
        Self { what: what.into(), size, tree_hash, place: Place::Files(vec![file]) }
    }

    /// Yields the bytes of `range`.
    ///
    /// # Errors
    ///
    /// `TooManyOutputs` when there is no room for what is needed: whoever has it may be slow, so nobody waits for it.
    pub(super) fn read(
        self,
        engine: &Engine,
        range: ByteRange,
    ) -> Result<OutputReader, EngineError> {
        let engine = engine.clone();
        // A piece of a leaf, or of the body of a record, keeps the whole of it.
        let needed = LEAVES_NEEDED * self.size.min(LEAF_SIZE_BYTES);
        let needed = engine.inner.outputs.take(needed).ok_or(EngineError::TooManyOutputs)?;
        let (room, batch) = Self::room(&engine, range).unzip();
        let batch = batch.unwrap_or(1);
        let chunks: Chunks = match self.place {
            Place::Record(place) => Box::pin(read_record(engine, self.what, place, range)),
            Place::Files(files) => Box::pin(read_files(engine, self.what, &files, range, batch)),
        };
        Ok(OutputReader { chunks: Some(chunks), room, _needed: needed })
    }

    /// Takes room for reading several MiBs at once, and tells how many.
    fn room(engine: &Engine, range: ByteRange) -> Option<(Taken, usize)> {
        let bytes = |leaves: usize| (leaves * BATCHES) as u64 * LEAF_SIZE_BYTES;
        let [most, least] = LEAVES_AT_ONCE;
        let outgoing = &engine.inner.outgoing;
        let leaves = if outgoing.is_plenty() { most } else { least };
        Some((outgoing.take(bytes(leaves).min(range.len()))?, leaves))
    }

    /// Returns the tree hash of a tree-aligned range, from stored hashes.
    pub(super) async fn tree_hash(
        &self,
        engine: &Engine,
        range: ByteRange,
    ) -> Result<TreeHash, EngineError> {
        if range.len() == self.size {
            return Ok(self.tree_hash);
        }
        match &self.place {
            Place::Record(place) => {
                let body = body(engine, &self.what, *place).await?;
                let bytes = body.slice(in_memory(range.first)..=in_memory(range.last));
                Ok(TreeHash::combine(bytes.chunks(LEAF_SIZE).map(TreeHash::of_leaf)))
            }
            Place::Files(files) => {
                // An aligned range is either some whole files or lies in one of them.
                let mut nodes = Vec::new();
                for span in spans(files, range) {
                    if span.is_whole() {
                        nodes.push(span.file.tree_hash);
                        continue;
                    }
                    let reader = span.open(engine, &self.what).await?;
                    let leaves = in_memory(span.first / LEAF_SIZE_BYTES)
                        ..=in_memory(span.last / LEAF_SIZE_BYTES);
                    nodes.push(TreeHash::combine(reader.leaves()[leaves].iter().copied()));
                }
                Ok(TreeHash::combine(nodes))
            }
        }
    }
}

async fn body(engine: &Engine, what: &str, place: RecordPlace) -> Result<Bytes, EngineError> {
    let body = engine.store().payload().read_body(place).await;
    body.map_err(|error| EngineError::reading(what, 0, error))
}

fn read_record(
    engine: Engine,
    what: Arc<str>,
    place: RecordPlace,
    range: ByteRange,
) -> impl Stream<Item = Result<Bytes, EngineError>> + Send {
    let body = async move { body(&engine, &what, place).await };
    stream::once(body).flat_map(move |body| {
        let body = body.map(|body| body.slice(in_memory(range.first)..=in_memory(range.last)));
        let chunks = match body {
            Ok(mut rest) => {
                let mut chunks = Vec::with_capacity(rest.len().div_ceil(LEAF_SIZE));
                while !rest.is_empty() {
                    chunks.push(Ok(rest.split_to(rest.len().min(LEAF_SIZE))));
                }
                chunks
            }
            Err(error) => vec![Err(error)],
        };
        stream::iter(chunks)
    })
}

fn read_files(
    engine: Engine,
    what: Arc<str>,
    files: &[Extent],
    range: ByteRange,
    batch: usize,
) -> impl Stream<Item = Result<Bytes, EngineError>> + Send + use<> {
    stream::iter(spans(files, range))
        .map(move |span| {
            let (engine, what) = (engine.clone(), Arc::clone(&what));
            async move {
                let reader = span.open(&engine, &what).await?;
                Ok::<_, EngineError>(span.pieces(&Arc::from(reader), &what, batch))
            }
        })
        .buffered(FILES_AHEAD)
        .flat_map(|pieces| {
            stream::iter(match pieces {
                Ok(pieces) => pieces.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            })
        })
        // Tasks of their own: the next batch is read while the receiver takes this one.
        .map(|piece| async move {
            match piece {
                Ok(piece) => joined(tokio::spawn(piece.read()).await),
                Err(error) => vec![Err(error)],
            }
        })
        .buffered(if batch == 1 { 1 } else { BATCHES })
        .flat_map(stream::iter)
}

/// What a task has read; one that was stopped with its runtime has read nothing.
fn joined(
    ended: Result<Vec<Result<Bytes, EngineError>>, JoinError>,
) -> Vec<Result<Bytes, EngineError>> {
    ended.unwrap_or_else(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_cancelled) => vec![Err(StoreError::Closed.into())],
    })
}

/// The bytes of one payload file that a range touches.
#[derive(Debug, Clone, Copy)]
struct Span {
    file: Extent,
    /// Where the file begins in the whole.
    offset: u64,
    /// First and last byte in the file.
    first: u64,
    last: u64,
}

fn spans(files: &[Extent], range: ByteRange) -> Vec<Span> {
    let mut offset = 0;
    let mut spans = Vec::new();
    for &file in files {
        let end = offset + file.size;
        if offset <= range.last && range.first < end {
            let first = range.first.max(offset) - offset;
            let last = range.last.min(end - 1) - offset;
            spans.push(Span { file, offset, first, last });
        }
        offset = end;
    }
    spans
}

impl Span {
    const fn is_whole(&self) -> bool {
        self.first == 0 && self.last + 1 == self.file.size
    }

    async fn open(
        &self,
        engine: &Engine,
        what: &str,
    ) -> Result<Box<dyn PayloadReader>, EngineError> {
        let Extent { payload, size, tree_hash } = self.file;
        let reader = engine.store().payload().open(payload, size, tree_hash).await;
        reader.map_err(|error| EngineError::reading(what, self.offset / LEAF_SIZE_BYTES, error))
    }

    fn pieces(&self, reader: &Arc<dyn PayloadReader>, what: &Arc<str>, batch: usize) -> Vec<Piece> {
        let leaves = self.first / LEAF_SIZE_BYTES..=self.last / LEAF_SIZE_BYTES;
        let last = *leaves.end();
        let begins = leaves.step_by(batch);
        begins
            .map(|leaf| {
                let end = last.min(leaf + batch as u64 - 1);
                let start = leaf * LEAF_SIZE_BYTES;
                Piece {
                    reader: Arc::clone(reader),
                    what: Arc::clone(what),
                    offset: self.offset / LEAF_SIZE_BYTES,
                    leaf,
                    count: in_memory(end - leaf + 1),
                    skip: in_memory(self.first.saturating_sub(start)),
                    cut: in_memory(((end + 1) * LEAF_SIZE_BYTES).saturating_sub(self.last + 1)),
                }
            })
            .collect()
    }
}

/// MiBs to be read at once.
struct Piece {
    reader: Arc<dyn PayloadReader>,
    what: Arc<str>,
    /// In which MiB of the whole the file begins.
    offset: u64,
    leaf: u64,
    count: usize,
    /// Bytes at the begin of the first that are not wanted.
    skip: usize,
    /// Bytes that are not wanted at the end of the last, if that were whole.
    cut: usize,
}

impl Piece {
    /// Returns them one by one, up to the first error.
    async fn read(self) -> Vec<Result<Bytes, EngineError>> {
        let mut read = self.reader.read_leaves(self.leaf, self.count).await;
        if let Some(Ok(last)) = read.get_mut(self.count - 1) {
            last.truncate(LEAF_SIZE - self.cut);
        }
        if let Some(Ok(first)) = read.first_mut() {
            first.advance(self.skip);
        }
        let said = |result: Result<_, _>| {
            result.map_err(|error| EngineError::reading(&self.what, self.offset, error))
        };
        read.into_iter().map(said).collect()
    }
}

/// Positions in a leaf, a record's body or a list of leaves.
fn in_memory(position: u64) -> usize {
    usize::try_from(position).expect("what is in memory can be counted")
}
