//! Why the store could not do something.
//!
//! Few kinds, each one a decision for the caller: wait (`InUse`), make room (`Full`), restore (`Damaged`), upgrade
//! (`NewerFormat`), stop (`Fenced`). Everything else is I/O with what was being done to which path.

use std::{fmt, io, path::PathBuf};

use icefield_protocol::Region;

use crate::entry::{DocumentName, PayloadId};

/// Bytes that are not what they were when they were stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// What is damaged: a path relative to the store, or a payload's name.
    pub place: String,
    /// Which MiB of that payload, counted from 0, where damage could be located so finely.
    pub leaf: Option<u64>,
    /// What is wrong, in a few words: `hash mismatch`, `missing file`, `shorter than recorded`.
    pub what: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.leaf {
            Some(leaf) => write!(f, "{}: MiB {leaf}: {}", self.place, self.what),
            None => write!(f, "{}: {}", self.place, self.what),
        }
    }
}

/// Errors of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Reading or writing failed.
    #[error("{doing} {}", path.display())]
    Io {
        /// What was being done: `writing`, `opening`.
        doing: &'static str,
        /// To which path.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The volume has no room (or the quota is used up). Nothing was acknowledged; what was half-written is gone.
    #[error("no space left for {}: free some space, then run the same command again", path.display())]
    Full {
        /// Where room was missing.
        path: PathBuf,
    },
    /// Stored bytes fail their check. They are never returned.
    #[error("damaged: {0}")]
    Damaged(Damage),
    /// A payload file does not exist.
    #[error("payload {0} is missing: run `icefield store check` to see what else is")]
    Missing(PayloadId),
    /// A sync failed earlier in this process; nothing more is acknowledged.
    #[error(
        "a sync to disk failed, so nothing more is stored by this process: check the disk, then start again"
    )]
    Fenced,
    /// Another process owns the store.
    #[error("the store {} is in use by {holder}: wait for it to end, or stop it", path.display())]
    InUse {
        /// The store's folder.
        path: PathBuf,
        /// Who holds it, as the holder wrote it: process number, program, since when.
        holder: String,
    },
    /// The folder was written by a newer icefield.
    #[error("the store {} has format {found}, this icefield reads up to {supported}: install a newer icefield", path.display())]
    NewerFormat {
        /// The store's folder.
        path: PathBuf,
        /// Format found.
        found: u32,
        /// Newest format known.
        supported: u32,
    },
    /// The log has a record that only a newer icefield understands. It is neither torn nor damaged.
    #[error(
        "{path} has a record at byte {offset} that this icefield does not understand: install a newer icefield"
    )]
    NewerRecord {
        /// The pack, relative to the store.
        path: String,
        /// Where in it the record begins.
        offset: u64,
    },
    /// The folder holds something, but not a store.
    #[error("{} is not an icefield store: {what}", path.display())]
    NotAStore {
        /// The folder.
        path: PathBuf,
        /// What is missing or unexpected.
        what: String,
    },
    /// There is a log but no ledger.
    #[error("the ledger of {} is missing: run `icefield store rebuild --data {}`", path.display(), path.display())]
    LedgerMissing {
        /// The store's folder.
        path: PathBuf,
    },
    /// The ledger's database failed.
    #[error("the ledger failed while {doing}")]
    Ledger {
        /// What was being done.
        doing: &'static str,
        /// The database's error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A document cannot be stored like this.
    #[error("the document {name} cannot be stored: {what}")]
    UnfitDocument {
        /// Its name.
        name: DocumentName,
        /// Why.
        what: &'static str,
    },
    /// The store answers for another region.
    #[error(
        "the store answers for region {stored}, not {asked}: it keeps the first region it was served with"
    )]
    RegionDiffers {
        /// The store's region.
        stored: Region,
        /// The region asked for.
        asked: Region,
    },
    /// The store is shutting down.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// Wraps an I/O error, telling a full volume apart.
    pub fn io(doing: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            _ => Self::Io { doing, path, source },
        }
    }

    /// The same error once more, for others whom it concerns; of a source only kind and text are kept.
    pub(crate) fn again(&self) -> Self {
        match self {
            Self::Io { doing, path, source } => {
                let source = io::Error::new(source.kind(), source.to_string());
                Self::Io { doing, path: path.clone(), source }
            }
            Self::Full { path } => Self::Full { path: path.clone() },
            Self::Damaged(damage) => Self::Damaged(damage.clone()),
            Self::Missing(id) => Self::Missing(*id),
            Self::Fenced => Self::Fenced,
            Self::InUse { path, holder } => {
                Self::InUse { path: path.clone(), holder: holder.clone() }
            }
            Self::NewerFormat { path, found, supported } => {
                Self::NewerFormat { path: path.clone(), found: *found, supported: *supported }
            }
            Self::NewerRecord { path, offset } => {
                Self::NewerRecord { path: path.clone(), offset: *offset }
            }
            Self::NotAStore { path, what } => {
                Self::NotAStore { path: path.clone(), what: what.clone() }
            }
            Self::LedgerMissing { path } => Self::LedgerMissing { path: path.clone() },
            Self::Ledger { doing, source } => {
                Self::Ledger { doing, source: source.to_string().into() }
            }
            Self::UnfitDocument { name, what } => Self::UnfitDocument { name: name.clone(), what },
            Self::RegionDiffers { stored, asked } => {
                Self::RegionDiffers { stored: stored.clone(), asked: asked.clone() }
            }
            Self::Closed => Self::Closed,
        }
    }
}
