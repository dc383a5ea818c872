//! Bytes on their way in: each buffer is hashed once and written once, at the same time.
//!
//! A small archive is kept in memory until its record is written. Everything else streams into a payload file under an
//! id that the ledger knows as staged before the first byte, so a body that is dropped leaves nothing but garbage for
//! the sweep. Memory is bounded by the buffers in hand, never by the length.

use std::fmt;

use bytes::Bytes;
use futures_util::future::join;
use icefield_protocol::ByteRange;
use icefield_store::{Extent, Store, StoreError, entry::PayloadId, payload::PayloadWriter};
use icefield_treehash::{HashStream, Hashed, Hasher, LinearHash, Roles, TreeHash};
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

/// A body that is hashed while its owner keeps it somewhere.
#[derive(Debug)]
pub(crate) struct Hashing {
    count: Count,
    stream: Stream,
}

impl Hashing {
    pub(crate) fn begin(engine: &Engine, declared: Declared, linear: bool) -> Self {
        let stream = Stream::begin(engine, declared, Roles { linear });
        Self { count: Count { declared, received: 0 }, stream }
    }

    /// Takes the next bytes, hashing them while `keep` keeps them.
    pub(crate) async fn write(
        &mut self,
        bytes: Bytes,
        keep: impl Future<Output = Result<(), StoreError>>,
    ) -> Result<(), EngineError> {
        let received = self.count.with(&bytes)?;
        let ((), kept) = join(self.stream.submit(bytes), keep).await;
        kept?;
        // Only now: a call that was dropped midway leaves the count behind what was hashed, and `finish` refuses.
        self.count.received = received;
        Ok(())
    }

    pub(crate) async fn finish(self) -> Result<Hashed, EngineError> {
        self.count.end()?;
        let hashed = self.stream.finish().await;
        if hashed.size == self.count.received {
            Ok(hashed)
        } else {
            Err(self.count.declared.mismatch(hashed.size))
        }
    }
}

/// Where a body is hashed.
enum Stream {
    /// By the store's threads, several leaves at once. What is not a whole leaf yet is kept, so this takes room.
    Pooled(HashStream, Taken),
    /// By whoever brings the bytes, which keeps none of them.
    Own(Hasher),
}

/// The most bytes that a pooled stream keeps: a leaf, in a buffer that has grown to twice as much.
const KEPT_BY_A_STREAM: u64 = 2 << 20;

impl Stream {
    fn begin(engine: &Engine, declared: Declared, roles: Roles) -> Self {
        let kept = declared.size().saturating_mul(2).min(KEPT_BY_A_STREAM);
        match engine.inner.room.take(kept) {
            Some(room) => Self::Pooled(engine.store().hashing().start(roles), room),
            None => Self::Own(Hasher::new(roles)),
        }
    }

    async fn submit(&mut self, bytes: Bytes) {
        match self {
            Self::Pooled(stream, _) => stream.submit(bytes).await,
            Self::Own(hasher) => hasher.update(&bytes),
        }
    }

    async fn finish(self) -> Hashed {
        match self {
            Self::Pooled(stream, _room) => stream.finish().await,
            Self::Own(hasher) => hasher.finish(),
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pooled(stream, _) => stream.fmt(f),
            Self::Own(hasher) => hasher.fmt(f),
        }
    }
}

/// A body that nobody needs, because its archive exists already.
#[derive(Debug)]
pub(crate) struct Drain {
    count: Count,
    /// The caller may still have a linear hash to compare.
    hashing: Option<Stream>,
}

impl Drain {
    pub(crate) fn begin(engine: &Engine, declared: Declared, linear: bool) -> Self {
        let hashing = linear.then(|| Stream::begin(engine, declared, Roles { linear }));
        Self { count: Count { declared, received: 0 }, hashing }
    }

    pub(crate) async fn write(&mut self, bytes: Bytes) -> Result<(), EngineError> {
        let received = self.count.with(&bytes)?;
        if let Some(hashing) = &mut self.hashing {
            hashing.submit(bytes).await;
        }
        self.count.received = received;
        Ok(())
    }

    pub(crate) async fn finish(self) -> Result<Option<LinearHash>, EngineError> {
        self.count.end()?;
        match self.hashing {
            Some(hashing) => Ok(hashing.finish().await.linear),
            None => Ok(None),
        }
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

/// What the writer of a body keeps at most: best some MiBs under way while the next is collected, else one that is
/// collected. Without room for either it keeps nothing.
const KEPT_BY_A_WRITER: [usize; 2] = [5 << 20, 1 << 20];

impl StagedFile {
    /// Creates a file for one of those tasks of which only a few run at a time.
    pub(crate) async fn create(store: &Store) -> Result<Self, EngineError> {
        let name = Reserved { store: store.clone(), id: store.reserve().await?, held: true };
        Ok(Self { writer: store.payload().create(name.id).await?, name, _room: None })
    }

    /// Creates a file for a body of `size` bytes that a client sends.
    pub(crate) async fn for_body(engine: &Engine, size: u64) -> Result<Self, EngineError> {
        let mut file = Self::create(engine.store()).await?;
        let room = KEPT_BY_A_WRITER
            .into_iter()
            .find_map(|most| Some((engine.inner.collecting.take(size.min(most as u64))?, most)));
        let (room, most) = room.unzip();
        file.writer.keep_at_most(most.unwrap_or(0));
        Ok(Self { _room: room, ..file })
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
