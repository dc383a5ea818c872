//! Memory for bodies on their way in (what is kept back until a leaf is complete, small archives until they are
//! committed, and what is collected for files), and for outputs on their way out.
//!
//! Nobody waits for room, because whoever has it may be a client that has stopped in the middle. Who gets none does with
//! less: a body is hashed by its own task, piece by piece, a small archive is written into a file like a large one, a
//! file is written buffer by buffer, and an output is read one MiB at a time. Only an output that has no room for this
//! MiB is refused: less cannot be verified.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes that all who share a room together may keep, but for that of outputs.
const ROOM_BYTES: usize = 64 << 20;

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
