//! Memory for bodies on their way in (small archives until they are committed, and the leaves of those that go into files),
//! and for outputs on their way out.
//!
//! Nobody waits for room, because whoever has it may be a client that has stopped in the middle. Who gets none does with
//! less: a small archive is written into a file like a large one, a body that goes into a file is hashed by its own task
//! and written buffer by buffer, and an output is read one MiB at a time. Only an output that has no room for this MiB is
//! refused: less cannot be verified.

use std::sync::Arc;

use icefield_treehash::{LEAF_SIZE, LEAF_SIZE_BYTES};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes that small archives on their way in may keep together.
const SMALL_BYTES: usize = 64 << 20;

/// Bytes that bodies on their way into files may keep together, but for what waits to be hashed.
const FILES_BYTES: usize = 96 << 20;

/// What one of them keeps at most: best a MiB that is being put together, one on its way to the writer and some that are
/// being written; else two.
const FILE_BYTES: [usize; 2] = [6 << 20, 2 << 20];

/// Bytes that outputs may read ahead together.
const OUTGOING_BYTES: usize = 96 << 20;

/// Bytes that all running outputs together may need at least.
const OUTPUT_BYTES: usize = 256 << 20;

#[derive(Debug)]
pub(crate) struct Room {
    free: Arc<Semaphore>,
    bytes: usize,
}

/// Some of the room, until it is dropped.
#[derive(Debug)]
pub(crate) struct Taken {
    _permit: OwnedSemaphorePermit,
}

impl Room {
    fn of(bytes: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(bytes)), bytes }
    }

    pub(crate) fn of_small() -> Self {
        Self::of(SMALL_BYTES)
    }

    pub(crate) fn of_files() -> Self {
        Self::of(FILES_BYTES)
    }

    pub(crate) fn of_outgoing() -> Self {
        Self::of(OUTGOING_BYTES)
    }

    /// For what no output can do without.
    pub(crate) fn of_outputs() -> Self {
        Self::of(OUTPUT_BYTES)
    }

    /// Whether more than half is left, so that whoever takes much leaves something to others.
    pub(crate) fn is_plenty(&self) -> bool {
        self.free.available_permits() > self.bytes / 2
    }

    /// Takes room for so many bytes, if there is so much.
    pub(crate) fn take(&self, bytes: u64) -> Option<Taken> {
        let bytes = u32::try_from(bytes).ok()?;
        let permit = Arc::clone(&self.free).try_acquire_many_owned(bytes).ok()?;
        Some(Taken { _permit: permit })
    }

    /// Takes room for a body of `size` bytes, and tells how many the writer of its file may keep.
    pub(crate) fn for_file(&self, size: u64) -> Option<(Taken, usize)> {
        let [most, least] = FILE_BYTES;
        let bytes = if self.is_plenty() { most } else { least };
        // A few bytes are put together in a buffer of a whole leaf, too.
        let size = size.checked_next_multiple_of(LEAF_SIZE_BYTES)?;
        Some((self.take(size.min(bytes as u64))?, bytes - LEAF_SIZE))
    }
}
