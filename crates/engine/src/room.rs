//! Memory for bodies on their way in (what is kept back until a leaf is complete, and small archives until they are
//! committed), and as much for outputs on their way out (what is read ahead).
//!
//! Nobody waits for room, because whoever has it may be a client that has stopped in the middle. Who gets none does with
//! less: a body is hashed by its own task, piece by piece, a small archive is written into a file like a large one, and
//! an output is read one MiB at a time.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes that all bodies of one direction together may keep.
const ROOM_BYTES: usize = 64 << 20;

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

    /// Takes room for so many bytes, if there is so much.
    pub(crate) fn take(&self, bytes: u64) -> Option<Taken> {
        let bytes = u32::try_from(bytes).ok()?;
        let permit = Arc::clone(&self.0).try_acquire_many_owned(bytes).ok()?;
        Some(Taken { _permit: permit })
    }
}
