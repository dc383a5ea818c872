//! Inventories: lists of a vault's archives as files, and the vault's own list reconciled with the catalog.
//!
//! * [`read`] and [`read_file`] understand every form of inventory file, [`import`] and [`import_file`] take one into the
//!   catalog.
//! * [`write()`] makes a file of the catalog; [`InventoryFile`] is appended to while an upload runs.
//! * [`Reconciliation`] holds a vault's inventory against the catalog; [`refresh`] is the whole flow against a target.
//!
//! All of it streams, so memory does not depend on the number of archives. One bad row never costs the others: it is
//! refused by name and counted in [`Refusals`].
//!
//! # icefield's own file
//!
//! CSV (RFC 4180, UTF-8, first line the names) with the columns `FilePath,ArchiveId,Checksum,Size,Modified,Mode,Uploaded,
//! Vault,FilePathBase64,LinkTarget,LinkTargetBase64,Description,Kind`. `FilePath` is a catalog path, `Checksum` the tree hash,
//! `Modified` and `Uploaded` are RFC 3339, `Mode` is octal, `Kind` is `file`, `folder` or `link`. Unknown values are
//! empty; what has no bytes has no `ArchiveId`. A path that is not UTF-8 is lossy in `FilePath` and exact in
//! `FilePathBase64`; targets of links likewise.

mod append;
mod columns;
mod database;
mod files;
mod import;
mod journal;
mod listing;
mod named;
mod reconcile;
mod refresh;
mod text;
mod write;

pub use append::{AppendError, InventoryFile};
pub use files::{FileForm, FileItem, ReadError, read, read_file};
pub use import::{ImportReport, import, import_file};
pub use listing::Listed;
pub use reconcile::{
    ReconcileError, Reconciliation, RefreshReport, Twins, apply_manifest, reconcile,
};
pub use refresh::{RefreshError, RefreshOptions, refresh};
pub use write::{ExportForm, ExportReport, WriteError, write};

pub(crate) use refresh::is_whole_inventory;

/// Refusals and twins that are kept by name; more are only counted.
const MAX_NAMED: usize = 100;

/// Items that were left out, each with its place and reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusals {
    /// The first of them.
    pub first: Vec<Refusal>,
    /// How many there were.
    pub total: u64,
}

/// An item that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Where it is: `line 7`, `item 3` or an archive ID.
    pub place: String,
    /// What is wrong with it.
    pub why: String,
}

impl Refusals {
    fn add(&mut self, refusal: Refusal) {
        self.total += 1;
        if self.first.len() < MAX_NAMED {
            self.first.push(refusal);
        }
    }
}

#[cfg(test)]
mod tests;
