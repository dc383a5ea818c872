//! A volume whose first failed sync is its last write.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::task::spawn_blocking;

use crate::{
    error::{Damage, StoreError},
    payload::disk::volume::{Access, Volume, VolumeFile},
};

/// A volume with the store's errors. Writers ask [`Self::writable`] first; syncs go through here only.
#[derive(Debug)]
pub(crate) struct Disk {
    volume: Arc<dyn Volume>,
    fenced: AtomicBool,
}

impl Disk {
    pub(crate) fn new(volume: Arc<dyn Volume>) -> Self {
        Self { volume, fenced: AtomicBool::new(false) }
    }

    pub(crate) fn volume(&self) -> &dyn Volume {
        &*self.volume
    }

    /// Refuses once a sync has failed.
    pub(crate) fn writable(&self) -> Result<(), StoreError> {
        if self.fenced.load(Ordering::SeqCst) { Err(StoreError::Fenced) } else { Ok(()) }
    }

    /// Acknowledges nothing from now on.
    pub(crate) fn fence(&self, path: &str, cause: &io::Error) {
        tracing::error!(path, %cause, "a write cannot be made durable: nothing more is stored");
        self.fenced.store(true, Ordering::SeqCst);
    }

    /// Makes a file's bytes durable, or fences.
    pub(crate) fn sync(&self, file: &dyn VolumeFile, path: &str) -> Result<(), StoreError> {
        self.writable()?;
        self.synced(file.sync(), path)
    }

    /// Makes the names in a folder durable, or fences.
    pub(crate) fn sync_dir(&self, path: &str) -> Result<(), StoreError> {
        self.writable()?;
        match self.volume.sync_dir(path) {
            // Only opening the folder runs out of descriptors: nothing was synced, so nothing failed to be.
            Err(error) if is_out_of_descriptors(&error) => Err(self.failed("opening", path, error)),
            synced => self.synced(synced, path),
        }
    }

    fn synced(&self, result: io::Result<()>, path: &str) -> Result<(), StoreError> {
        result.map_err(|cause| {
            self.fence(path, &cause);
            StoreError::Fenced
        })
    }

    /// Opens a file for reading, `None` when there is none.
    pub(crate) fn find(&self, path: &str) -> Result<Option<Arc<dyn VolumeFile>>, StoreError> {
        match self.volume.open(path, Access::Read) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed("opening", path, error)),
        }
    }

    /// Reads a whole file of at most `limit` bytes, `None` when there is none.
    pub(crate) fn read_small(
        &self,
        path: &str,
        limit: usize,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(file) = self.find(path)? else { return Ok(None) };
        let len = self.len(&*file, path)?;
        if len > limit as u64 {
            return Err(damaged(path, "longer than such a file can be"));
        }
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(limit)];
        let count =
            file.read_at(&mut bytes, 0).map_err(|error| self.failed("reading", path, error))?;
        bytes.truncate(count);
        Ok(Some(bytes))
    }

    /// Returns the length of an open file.
    pub(crate) fn len(&self, file: &dyn VolumeFile, path: &str) -> Result<u64, StoreError> {
        file.len().map_err(|error| self.failed("reading the length of", path, error))
    }

    /// Gives an I/O error its context.
    pub(crate) fn failed(&self, doing: &'static str, path: &str, error: io::Error) -> StoreError {
        StoreError::io(doing, self.volume.root().join(path), error)
    }
}

/// Whether too many files are open, in the process or on the machine.
fn is_out_of_descriptors(error: &io::Error) -> bool {
    let errno = rustix::io::Errno::from_io_error(error);
    matches!(errno, Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE))
}

/// Bytes at `path` that fail their check.
pub(crate) fn damaged(path: &str, what: impl Into<String>) -> StoreError {
    StoreError::Damaged(Damage { place: path.to_owned(), leaf: None, what: what.into() })
}

/// Runs blocking I/O on the runtime's pool for it. Dropping the future does not stop what has begun.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    joined(spawn_blocking(work).await)
}

/// The result of blocking I/O; a runtime that ended while it waited is a closed store.
pub(crate) fn joined<T>(
    result: Result<Result<T, StoreError>, tokio::task::JoinError>,
) -> Result<T, StoreError> {
    match result {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_cancelled) => Err(StoreError::Closed),
        },
    }
}
