//! The catalog: what lies where, and as a journal what has begun and not ended.
//!
//! One SQLite file holds every version of every path that was archived, by vault. Beside it the journal: uploads that a
//! run has claimed with their upload IDs and finished parts, retrievals with their jobs and finished segments. Everything
//! is committed with full synchronous durability before the step that relies on it, so a run that dies is continued by
//! the next one.
//!
//! Two processes may use one catalog: readers see snapshots, writers take short immediate transactions and wait for each
//! other. A claim belongs to a [`Run`], which holds a lock of the operating system for as long as it lives; claims of a
//! run whose lock is free are adopted.
//!
//! All calls block. Readers have connections of their own, so a callback may call the catalog again.

mod duplicates;
mod entries;
mod entry;
mod errands;
mod error;
mod manifests;
mod native;
mod places;
mod purges;
mod rates;
mod refreshes;
mod retrievals;
mod run;
mod schema;
mod tree;
mod uploads;
mod vaults;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rusqlite::{Connection, Transaction, TransactionBehavior};

pub use duplicates::{Duplicate, DuplicateTotals, Twin};
pub use entries::EntryQuery;
pub(crate) use entry::total;
pub use entry::{Entry, FileTime, InvalidFileTime, Kind};
pub use errands::Errand;
pub use error::CatalogError;
pub use manifests::ManifestArchive;
pub use places::Place;
pub use retrievals::{ClaimedRetrieval, PendingRetrieval, Retrieval, RetrievalKey};
pub use run::Run;
pub use uploads::{Claim, ClaimRequest, Claimed, Identity, JournalledPart, PendingUpload};
pub use vaults::{Life, VaultRef};

pub(crate) use duplicates::for_each_twin;
pub(crate) use entries::{archive_key, insert};
pub(crate) use manifests::note_manifest;
pub(crate) use uploads::{forget_unseen, settle_unseen};

/// Idle connections that are kept for readers.
const MAX_IDLE_READERS: usize = 4;

/// A catalog that is open. Clones share its connections.
#[derive(Clone)]
pub struct Catalog {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
}

impl Catalog {
    /// Opens the catalog at `path`; a missing one is made, with its folders.
    ///
    /// # Errors
    ///
    /// When the file is no catalog, is damaged, was written by a newer icefield, or cannot be opened.
    pub fn open(path: &Path) -> Result<Self, CatalogError> {
        // Readers are opened later, maybe from another current folder.
        let path = std::path::absolute(path)
            .map_err(|source| CatalogError::Io { path: path.to_path_buf(), source })?;
        let writer = schema::open_and_migrate(&path)?;
        let shared = Shared { path, writer: Mutex::new(writer), readers: Mutex::new(Vec::new()) };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Returns where the catalog lies.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Runs `act` in one immediate transaction and commits it.
    pub(crate) fn write<T>(
        &self,
        act: impl FnOnce(&Transaction<'_>) -> Result<T, CatalogError>,
    ) -> Result<T, CatalogError> {
        let mut writer = lock(&self.shared.writer);
        write_with(&mut writer, act)
    }

    /// Runs `act` on a connection that only reads.
    fn read<T, E: From<CatalogError>>(
        &self,
        act: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let idle = lock(&self.shared.readers).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => schema::open_reader(&self.shared.path)?,
        };
        let result = act(&connection);
        let mut readers = lock(&self.shared.readers);
        if readers.len() < MAX_IDLE_READERS {
            readers.push(connection);
        }
        result
    }

    /// Opens a connection of its own, for work with temporary tables.
    pub(crate) fn open_own(&self) -> Result<Connection, CatalogError> {
        schema::open_writer(&self.shared.path)
    }

    /// The folder of the lock files of runs.
    fn runs(&self) -> PathBuf {
        schema::runs(&self.shared.path)
    }
}

/// Runs `act` in one immediate transaction on `connection` and commits it.
pub(crate) fn write_with<T>(
    connection: &mut Connection,
    act: impl FnOnce(&Transaction<'_>) -> Result<T, CatalogError>,
) -> Result<T, CatalogError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let value = act(&transaction)?;
    transaction.commit()?;
    Ok(value)
}

/// A panic in a transaction has rolled it back, so what the lock guards is sound.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Catalog").field("path", &self.shared.path).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
