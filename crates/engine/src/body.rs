//! Bytes on their way in: each leaf is hashed once and written once, at the same time.
//!
//! A small archive is kept in memory until its record is written. Everything else streams into a payload file under an
//! id that the ledger knows as staged before the first byte, so a body that is dropped leaves nothing but garbage for
//! the sweep. Memory is bounded by the buffers in hand, never by the length.

use std::fmt;

use bytes::{Bytes, BytesMut};
use futures_util::future::join;
use icefield_protocol::ByteRange;
use icefield_store::{Extent, Store, StoreError, entry::PayloadId, payload::PayloadWriter};
use icefield_treehash::{
    Block, Blocks, HashStream, Hashed, Hasher, LEAF_SIZE, LinearHash, Roles, TreeHash,
};
use tokio::runtime::Handle;

use crate::{engine::Engine, error::EngineError, room::Taken};

/// What the caller said would come.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Declared {
    Archive(u64),
    Part(ByteRange),
}

impl Declared {
    const fn size(self) -> u64 {
        match self {
            Self::Archive(size) => size,
            Self::Part(range) => range.len(),
        }
    }

    const fn mismatch(self, received: u64) -> EngineError {
        match self {
            Self::Archive(size) => EngineError::InvalidContentLength(size),
            Self::Part(range) => EngineError::ContentRangeMismatch { range, received },
        }
    }
}

/// Counts what comes against what was said would come.
#[derive(Debug)]
struct Count {
    declared: Declared,
    received: u64,
}

impl Count {
    /// Returns the count after `bytes`, which must not exceed what was said.
    fn with(&self, bytes: &Bytes) -> Result<u64, EngineError> {
        let received = self.received + bytes.len() as u64;
        if received > self.declared.size() {
            return Err(self.declared.mismatch(received));
        }
        Ok(received)
    }

    fn end(&self) -> Result<(), EngineError> {
        if self.received == self.declared.size() {
            Ok(())
        } else {
            Err(self.declared.mismatch(self.received))
        }
    }
}

/// A body on its way into a payload file.
///
/// Where there is room, it is put together to whole leaves, each of which goes to the hashing threads and to the disk from
/// the one place where it lies; a leaf that comes whole is not copied for that. Without room each piece is hashed by whoever
/// brings it and written before the next one, and nothing is kept.
#[derive(Debug)]
pub(crate) struct Storing {
    count: Count,
    hashing: Hashing,
    file: StagedFile,
}

enum Hashing {
    Pooled { stream: HashStream, blocks: Blocks, filling: Option<Block> },
    Own(Hasher),
}

impl Storing {
    /// Creates the file of a body.
    pub(crate) async fn begin(
        engine: &Engine,
        declared: Declared,
        linear: bool,
    ) -> Result<Self, EngineError> {
        let mut file = StagedFile::create(engine.store()).await?;
        let roles = Roles { linear };
        let hashing =
            if let Some((room, most)) = engine.inner.room_of_files.for_file(declared.size()) {
                file.keep_at_most(most, room);
                let pool = engine.store().hashing();
                Hashing::Pooled {
                    stream: pool.start(roles),
                    blocks: pool.blocks().clone(),
                    filling: None,
                }
            } else {
                file.writer.keep_at_most(0);
                Hashing::Own(Hasher::new(roles))
            };
        Ok(Self { count: Count { declared, received: 0 }, hashing, file })
    }

    /// Takes the next bytes.
    pub(crate) async fn write(&mut self, mut bytes: Bytes) -> Result<(), EngineError> {
        let received = self.count.with(&bytes)?;
        match &mut self.hashing {
            Hashing::Pooled { stream, blocks, filling } => {
                while let Some(leaf) = next_leaf(blocks, filling, &mut bytes) {
                    hash_and_keep(stream, &mut self.file, leaf).await?;
                }
            }
            Hashing::Own(hasher) => {
                hasher.update(&bytes);
                self.file.write(bytes).await?;
            }
        }
        // Only now: a call that was dropped midway leaves the count behind what was hashed, and `finish` refuses.
        self.count.received = received;
        Ok(())
    }

    /// Ends the bytes; the file is not durable yet.
    pub(crate) async fn finish(mut self) -> Result<(Hashed, StagedFile), EngineError> {
        self.count.end()?;
        let hashed = match self.hashing {
            Hashing::Pooled { mut stream, filling, .. } => {
                if let Some(rest) = filling {
                    hash_and_keep(&mut stream, &mut self.file, rest.freeze()).await?;
                }
                stream.finish().await
            }
            Hashing::Own(hasher) => hasher.finish(),
        };
        if hashed.size == self.count.received {
            Ok((hashed, self.file))
        } else {
            Err(self.count.declared.mismatch(hashed.size))
        }
    }
}

/// Returns the next leaf that is whole: as it came, or put together in a block.
fn next_leaf(blocks: &Blocks, filling: &mut Option<Block>, bytes: &mut Bytes) -> Option<Bytes> {
    if filling.is_none() && bytes.len() >= LEAF_SIZE {
        return Some(bytes.split_to(LEAF_SIZE));
    }
    if bytes.is_empty() {
        return None;
    }
    let block = filling.get_or_insert_with(|| blocks.take());
    block.fill_from(bytes);
    if block.is_full() { filling.take().map(Block::freeze) } else { None }
}

async fn hash_and_keep(
    stream: &mut HashStream,
    file: &mut StagedFile,
    leaf: Bytes,
) -> Result<(), StoreError> {
    let ((), kept) = join(stream.submit(leaf.clone()), file.write(leaf)).await;
    kept
}

impl fmt::Debug for Hashing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pooled { stream, .. } => stream.fmt(f),
            Self::Own(hasher) => hasher.fmt(f),
        }
    }
}

/// A small body, kept in memory.
#[derive(Debug)]
pub(crate) struct Collecting {
    count: Count,
    /// Copied, so that no buffers are kept that the pieces came in.
    whole: BytesMut,
    linear: bool,
    room: Taken,
}

impl Collecting {
    /// Begins to keep a body, if there is room for it.
    pub(crate) fn begin(engine: &Engine, declared: Declared, linear: bool) -> Option<Self> {
        let room = engine.inner.room.take(declared.size())?;
        let whole = BytesMut::with_capacity(usize::try_from(declared.size()).ok()?);
        Some(Self { count: Count { declared, received: 0 }, whole, linear, room })
    }

    pub(crate) fn write(&mut self, bytes: &Bytes) -> Result<(), EngineError> {
        self.count.received = self.count.with(bytes)?;
        self.whole.extend_from_slice(bytes);
        Ok(())
    }

    pub(crate) async fn finish(self, engine: &Engine) -> Result<(Hashed, Collected), EngineError> {
        self.count.end()?;
        let bytes = self.whole.freeze();
        let mut stream = engine.store().hashing().start(Roles { linear: self.linear });
        stream.submit(bytes.clone()).await;
        Ok((stream.finish().await, Collected { bytes, _room: self.room }))
    }
}

/// A small body that has come completely.
#[derive(Debug)]
pub(crate) struct Collected {
    pub(crate) bytes: Bytes,
    _room: Taken,
}

/// A body that nobody needs, because its archive exists already.
#[derive(Debug)]
pub(crate) struct Drain {
    count: Count,
    /// The caller may still have a linear hash to compare.
    hasher: Option<Hasher>,
}

impl Drain {
    pub(crate) fn begin(declared: Declared, linear: bool) -> Self {
        let hasher = linear.then(|| Hasher::new(Roles { linear }));
        Self { count: Count { declared, received: 0 }, hasher }
    }

    pub(crate) fn write(&mut self, bytes: &Bytes) -> Result<(), EngineError> {
        self.count.received = self.count.with(bytes)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<Option<LinearHash>, EngineError> {
        self.count.end()?;
        Ok(self.hasher.and_then(|hasher| hasher.finish().linear))
    }
}

/// A payload file being written, staged until a commit takes it over.
#[derive(Debug)]
pub(crate) struct StagedFile {
    // Dropped before the name is given back, which removes the file.
    writer: Box<dyn PayloadWriter>,
    name: Reserved,
    _room: Option<Taken>,
}

impl StagedFile {
    /// Creates a file for one of those tasks of which only a few run at a time.
    pub(crate) async fn create(store: &Store) -> Result<Self, EngineError> {
        let name = Reserved { store: store.clone(), id: store.reserve().await?, held: true };
        Ok(Self { writer: store.payload().create(name.id).await?, name, _room: None })
    }

    /// Limits what is kept in memory of the bytes, and keeps the room for it.
    fn keep_at_most(&mut self, bytes: usize, room: Taken) {
        self.writer.keep_at_most(bytes);
        self._room = Some(room);
    }

    pub(crate) async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        self.writer.write(bytes).await
    }

    /// Makes the file durable. The name is to be kept until the ledger knows the file.
    pub(crate) async fn finish(self, hashed: &Hashed) -> Result<(Extent, Reserved), EngineError> {
        let Self { writer, name, _room } = self;
        writer.finish(&hashed.leaves).await?;
        Ok((Extent { payload: name.id, size: hashed.size, tree_hash: hashed.tree }, name))
    }
}

/// The name of a payload file that no sweep touches while this lives.
#[derive(Debug)]
pub(crate) struct Reserved {
    store: Store,
    id: PayloadId,
    held: bool,
}

impl Reserved {
    /// Gives the name back: a file that the ledger did not take over is removed.
    pub(crate) async fn release(mut self) -> Result<(), EngineError> {
        self.held = false;
        Ok(self.store.release(vec![self.id]).await?)
    }

    /// The commit of an archive has given the name back by itself.
    pub(crate) fn settled(mut self) {
        self.held = false;
    }
}

impl Drop for Reserved {
    /// Whoever goes away midway cannot wait for the file to be removed.
    fn drop(&mut self) {
        if !self.held {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        let (store, id) = (self.store.clone(), self.id);
        runtime.spawn(async move {
            if let Err(error) = store.release(vec![id]).await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, payload = %id, "an unused payload file is left to a later sweep");
            }
        });
    }
}

/// Compares the tree hash that the caller gave, if any, with that of what came.
pub(crate) fn check(expected: Option<TreeHash>, computed: TreeHash) -> Result<(), EngineError> {
    match expected {
        Some(expected) if expected != computed => {
            Err(EngineError::ChecksumMismatch { expected, computed })
        }
        Some(_) | None => Ok(()),
    }
}
