//! The ledger that a check makes from the log, to compare the real one with.

use std::path::PathBuf;

use crate::{
    error::StoreError,
    layout::SCRATCH_FILE,
    ledger::{Ledger, MemoryLedger, SqliteLedger, remove_database},
    payload::disk::fenced::blocking,
    store::Store,
};

/// In a file where the real ledger is in one, else in memory.
#[derive(Debug)]
pub(super) enum Scratch {
    Memory(Box<MemoryLedger>),
    File { ledger: Box<SqliteLedger>, path: PathBuf },
}

impl Scratch {
    pub(super) async fn create(store: &Store) -> Result<Self, StoreError> {
        let Some(dir) = store.dir().filter(|_| store.has_database()) else {
            return Ok(Self::Memory(Box::default()));
        };
        let path = dir.join(SCRATCH_FILE);
        blocking(move || {
            remove_database(&path)?;
            Ok(Self::File { ledger: Box::new(SqliteLedger::open(&path, true, None)?), path })
        })
        .await
    }

    pub(super) fn ledger(&self) -> &dyn Ledger {
        match self {
            Self::Memory(ledger) => &**ledger,
            Self::File { ledger, .. } => &**ledger,
        }
    }

    pub(super) async fn remove(self) -> Result<(), StoreError> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::File { ledger, path } => {
                ledger.close().await?;
                blocking(move || remove_database(&path)).await
            }
        }
    }
}
