//! The list of a vault's archives as a document, written and read as a stream.
//!
//! Both forms of the service ("Vault Inventory", "Get Job Output (GET output)") go item by item, so memory does not
//! depend on the number of archives. A reader hands out items before it has seen the end of the document: whoever
//! receives them keeps them provisional until the reader has returned `Ok`.

mod csv;
mod json;

use std::io;

use icefield_treehash::TreeHash;

use crate::id::ArchiveId;
use crate::name::VaultArn;
use crate::timestamp::Timestamp;

pub use csv::{CsvInventoryWriter, read_csv};
pub use json::{JsonInventoryWriter, read_json};

/// One archive of an inventory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InventoryItem {
    /// The archive.
    pub archive_id: ArchiveId,
    /// Its description, verbatim; empty when there is none.
    pub description: String,
    /// When it was created. Documents have whole seconds, so writing truncates it.
    pub created: Timestamp,
    /// Its size in bytes.
    pub size: u64,
    /// Its tree hash. A vault always tells it; of an object that another program has put into a bucket nobody knows it.
    pub tree_hash: Option<TreeHash>,
}

/// What an inventory says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InventoryHead {
    /// The vault; unknown from CSV.
    pub vault_arn: Option<VaultArn>,
    /// When the list was taken; unknown from CSV.
    pub date: Option<Timestamp>,
    /// Items that were handed out.
    pub items: u64,
}

/// Reading an inventory failed.
#[derive(Debug, thiserror::Error)]
pub enum InventoryError<E> {
    /// The document could not be read to its end.
    #[error("cannot read the inventory after {items} items")]
    Read {
        /// Items handed out before.
        items: u64,
        /// Why.
        source: io::Error,
    },
    /// The document is not an inventory, or is damaged or cut off.
    #[error("the inventory is damaged at {place}: {problem}")]
    Malformed {
        /// Where, such as `line 3` or `item 2`.
        place: String,
        /// What is wrong there.
        problem: String,
    },
    /// The receiver of the items refused one.
    #[error("the inventory was read up to item {item}")]
    Receiver {
        /// The item, counted from 1.
        item: u64,
        /// Why.
        source: E,
    },
}

/// Returns the text, or the beginning and the end of one that is too long to be read.
pub fn shortened(text: &str) -> String {
    const BEGINNING: usize = 100;
    const END: usize = 40;
    let length = text.chars().count();
    if length <= BEGINNING + END + 1 {
        return text.to_owned();
    }
    let beginning = text.chars().take(BEGINNING);
    beginning.chain(['…']).chain(text.chars().skip(length - END)).collect()
}

#[cfg(test)]
mod tests;
