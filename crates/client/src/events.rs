//! What the library tells while it works: the command line makes progress bars, lines and records of it.

use std::fmt;

use crate::path::CatalogPath;

/// Something worth telling.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// How much there is to do; may be sent again with larger numbers while folders are still being read.
    Planned {
        /// Files to move.
        files: u64,
        /// Bytes to move.
        bytes: u64,
    },
    /// Bytes were moved (or found to be there already by a resumed transfer: then `resumed` is true).
    Moved {
        /// How many.
        bytes: u64,
        /// Whether an earlier run had moved them.
        resumed: bool,
    },
    /// A file is done: moved, or skipped as unchanged.
    FileDone {
        /// Its path.
        path: CatalogPath,
        /// Whether nothing had to be moved.
        skipped: bool,
    },
    /// Something was left out or went wrong and the work goes on: names the file and the reason.
    Warning {
        /// Which file, if it is about one.
        path: Option<CatalogPath>,
        /// What and why, in a sentence without a full stop.
        message: String,
    },
    /// A plain remark for the user (`waiting for 3 jobs until 14:05 UTC`).
    Note(String),
}

/// Receives events; called from several threads, must not block.
pub trait Events: fmt::Debug + Send + Sync {
    /// Takes one event.
    fn event(&self, event: Event);
}

/// Drops every event.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Events for Silent {
    fn event(&self, _: Event) {}
}
