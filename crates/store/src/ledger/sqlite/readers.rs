//! A few connections that read: lists on blocking threads, single rows where they are wanted.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::{Connection, TransactionBehavior};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
};

use super::{failure::Failure, schema::open_reader};
use crate::error::StoreError;

/// Reads that run at the same time; further ones wait.
const READERS: u32 = 4;

/// The pool.
#[derive(Debug, Clone)]
pub(super) struct Readers {
    /// As many permits as there are connections, so whoever has one finds a connection.
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let idle = (0..READERS).map(|_| open_reader(path)).collect::<Result<Vec<_>, _>>()?;
        let permits = Arc::new(Semaphore::new(idle.len()));
        Ok(Self { permits, idle: Arc::new(Mutex::new(idle)) })
    }

    /// Runs `query` on one state of the database: what it reads belongs together.
    pub(super) async fn read<T, F>(&self, query: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|_closed| Failure::Closed)?;
        let mut reader = Reader { db: self.pop(), idle: Arc::clone(&self.idle), _permit: permit };
        let read = spawn_blocking(move || {
            let db = reader.db.as_mut().ok_or(Failure::Closed)?;
            let state = db.transaction_with_behavior(TransactionBehavior::Deferred)?;
            let result = query(&state)?;
            state.finish()?;
            Ok(result)
        });
        read.await.map_err(|_stopped| Failure::Closed)?
    }

    /// Runs one statement that finds a row or two by a key, at once and on the caller's thread: it takes a few pages, which
    /// mostly are in memory, and less time than another thread takes to wake up. While no connection is idle it goes the
    /// way of the others.
    pub(super) async fn look_up<T, F>(&self, statement: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            return self.read(statement).await;
        };
        let reader = Reader { db: self.pop(), idle: Arc::clone(&self.idle), _permit: permit };
        let db = reader.db.as_ref().ok_or(Failure::Closed)?;
        Ok(statement(db)?)
    }

    /// Waits for running reads and closes the connections; later reads are refused.
    pub(super) async fn close(&self) {
        let all = self.permits.acquire_many(READERS).await;
        self.permits.close();
        drop(all);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn pop(&self) -> Option<Connection> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

/// A connection on loan; it goes back however the read ends.
struct Reader {
    db: Option<Connection>,
    idle: Arc<Mutex<Vec<Connection>>>,
    /// Given back after the connection.
    _permit: OwnedSemaphorePermit,
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.extend(self.db.take());
    }
}
