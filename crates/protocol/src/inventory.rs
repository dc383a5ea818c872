//! The list of a vault's archives as a document.

use icefield_treehash::TreeHash;

use crate::id::ArchiveId;
use crate::timestamp::Timestamp;

/// One archive of an inventory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InventoryItem {
    /// The archive.
    pub archive_id: ArchiveId,
    /// Its description, verbatim; empty when there is none.
    pub description: String,
    /// When it was created, in whole seconds.
    pub created: Timestamp,
    /// Its size in bytes.
    pub size: u64,
    /// Its tree hash.
    pub tree_hash: TreeHash,
}
