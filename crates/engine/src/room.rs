//! Memory for bodies on their way in (small archives until they are committed, and the leaves of those that go into files),
//! and for outputs on their way out.
//!
//! Nobody waits for room, because whoever has it may be a client that has stopped in the middle. Who gets none does with
//! less: a small archive is written into a file like a large one, a body that goes into a file is hashed by its own task
//! and written buffer by buffer, and an output is read one MiB at a time. Only an output that has no room for this MiB is
//! refused: less cannot be verified.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes that all who share a room together may keep, but for that of outputs.
const ROOM_BYTES: usize = 64 << 20;

/// Bytes that bodies on their way into files may keep together, but for what waits to be hashed.
const FILES_BYTES: usize = 96 << 20;

/// What one of them keeps at most: best a MiB that is being put together, one on its way to the writer and some that are
/// being written, as long as they leave as much to others; else two.
const FILE_BYTES: [usize; 2] = [6 << 20, 2 << 20];

/// Bytes that all running outputs together may need at least.
const OUTPUT_BYTES: usize = 256 << 20;

#[derive(Debug)]
pub(crate) struct Room(Arc<Semaphore>);

/// Some of the room, until it is dropped.
#[derive(Debug)]
pub(crate) struct Taken {
    _permit: OwnedSemaphorePermit,
}

impl Room {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(ROOM_BYTES)))
    }

    /// For bodies on their way into files.
    pub(crate) fn of_files() -> Self {
        Self(Arc::new(Semaphore::new(FILES_BYTES)))
    }

    /// Takes room for a body of `size` bytes, and tells how many the writer of its file may keep.
    pub(crate) fn for_file(&self, size: u64) -> Option<(Taken, usize)> {
        let plenty = self.0.available_permits() > FILES_BYTES / 2;
        let [most, least] = FILE_BYTES;
        let bytes = if plenty { most } else { least };
        let taken = self.take(size.min(bytes as u64))?;
        Some((taken, bytes - (1 << 20)))
    }

    /// For what no output can do without.
    pub(crate) fn of_outputs() -> Self {
        Self(Arc::new(Semaphore::new(OUTPUT_BYTES)))
    }

    /// Takes room for so many bytes, if there is so much.
    pub(crate) fn take(&self, bytes: u64) -> Option<Taken> {
        let bytes = u32::try_from(bytes).ok()?;
        let permit = Arc::clone(&self.0).try_acquire_many_owned(bytes).ok()?;
        Some(Taken { _permit: permit })
    }
}
