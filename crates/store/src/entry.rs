//! What the log records: the entries from which vaults and archives can be told again without a ledger.
//!
//! An entry is written as JSON, readable in the pack with `grep -a`. Applying an entry is deterministic: the same log
//! gives the same ledger, refused entries included, whether it is applied live or replayed.

use std::fmt;

use icefield_protocol::{AccountId, ArchiveId, Description, Timestamp, UploadToken, VaultName};
use icefield_treehash::TreeHash;
use serde::{Deserialize, Serialize};

pub use crate::document::{DocumentEntry, DocumentName};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// Handed out by [`crate::Store::next_number`]: unique in the store, growing with time, below 2^63.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// Names one life of a vault: a vault deleted and created again under the same name has another number.
    VaultNumber
);
number!(
    /// Names an archive in the store; archives of a vault in the order of their numbers are in the order of creation.
    ArchiveNumber
);
number!(
    /// Names a multipart upload in the store.
    UploadNumber
);
number!(
    /// Names a job in the store.
    JobNumber
);
number!(
    /// Names a message for one destination in the outbox.
    DeliveryNumber
);

/// Names one payload file: 16 random bytes, written once, never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PayloadId([u8; 16]);

impl PayloadId {
    /// Takes the bytes as they are.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Reads 32 lower-case hex digits; anything else is not the name of a payload file.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 32 || !digits.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        u128::from_str_radix(text, 16).ok().map(|value| Self(value.to_be_bytes()))
    }
}

impl fmt::Display for PayloadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for PayloadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<PayloadId> for String {
    fn from(id: PayloadId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for PayloadId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or_else(|| format!("not the name of a payload file: {text:?}"))
    }
}

/// A run of an archive's bytes: one whole payload file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extent {
    /// The payload file.
    pub payload: PayloadId,
    /// Its length in bytes.
    pub size: u64,
    /// Its tree hash.
    pub tree_hash: TreeHash,
}

/// Where an archive's bytes are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// In the body of the very record that tells of the archive (small archives).
    Here,
    /// In payload files, in this order; not empty.
    Extents(Vec<Extent>),
}

/// From which an archive ID is made again: the number of the sealing key and the random salt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdSeal {
    /// Number of the key in the store's key file.
    pub key: u16,
    /// 16 random bytes, as hex digits in the record.
    #[serde(with = "salt_hex")]
    pub salt: [u8; 16],
}

mod salt_hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(salt: &[u8; 16], to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{:032x}", u128::from_be_bytes(*salt)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 16], D::Error> {
        let text = String::deserialize(from)?;
        super::PayloadId::parse(&text)
            .map(|id| *id.as_bytes())
            .ok_or_else(|| D::Error::custom("salt is not 32 hex digits"))
    }
}

/// The commit record of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchiveEntry {
    /// Its vault.
    pub vault: VaultNumber,
    /// Its number.
    pub number: ArchiveNumber,
    /// The ID its owner was given. Written for readers without icefield; the ledger keeps only `seal`.
    pub id: ArchiveId,
    /// What `id` is made from.
    pub seal: IdSeal,
    /// The user's description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Description>,
    /// When it was created.
    pub created: Timestamp,
    /// The same moment on the store's compliance clock, by which its age is told to vault locks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aged: Option<Timestamp>,
    /// Its length in bytes.
    pub size: u64,
    /// Its tree hash.
    pub tree_hash: TreeHash,
    /// The upload token of the put, if it carried one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<UploadToken>,
    /// The multipart upload it was completed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<UploadNumber>,
    /// Where its bytes are.
    pub content: Content,
}

/// One record of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case", deny_unknown_fields)]
pub enum Entry {
    /// A vault came to be.
    VaultCreated {
        /// Its number.
        vault: VaultNumber,
        /// Its owner.
        account: AccountId,
        /// Its name.
        name: VaultName,
        /// When.
        created: Timestamp,
    },
    /// A vault was deleted. Applies only while the vault holds no archive and its write counter is still `writes`.
    VaultDeleted {
        /// Its number.
        vault: VaultNumber,
        /// The write counter that the decision to delete was based on.
        writes: u64,
        /// When.
        deleted: Timestamp,
    },
    /// An archive was stored.
    ArchiveCreated(ArchiveEntry),
    /// An archive was deleted (the tombstone).
    ArchiveDeleted {
        /// Its vault.
        vault: VaultNumber,
        /// Its number.
        number: ArchiveNumber,
        /// When.
        deleted: Timestamp,
    },
    /// A document got a value, or was removed.
    Document(DocumentEntry),
}

/// What applying an entry did. Every variant but [`Outcome::Done`] changed neither vaults, archives nor documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Applied.
    Done {
        /// The vault's write counter after this entry; of a document, its version.
        writes: u64,
    },
    /// `VaultCreated`: the account has a vault of this name already.
    VaultExists(VaultNumber),
    /// The vault does not exist (any more). For `ArchiveCreated` the extents stay staged, if they were.
    VaultGone,
    /// `VaultDeleted`: the vault holds archives or was written to since.
    VaultChanged,
    /// `ArchiveCreated`: this token or upload has already made the archive named here. Extents that the first archive
    /// does not use stay staged, if they were.
    Repeat(ArchiveNumber),
    /// `ArchiveDeleted`: no such archive, or deleted already.
    ArchiveGone,
    /// `Document`: the version found, given here, is not the one that the change was made from.
    DocumentChanged(Option<u64>),
}

#[cfg(test)]
mod tests {
    use super::Entry;

    /// What is in there is the writer's business.
    const FREE: &str = "\"value\":";
    const ENTRIES: [&str; 5] = [
        r#"{"entry":"vault_created","vault":1,"account":"123456789012","name":"v","created":"2026-11-22T05:13:34.000Z"}"#,
        r#"{"entry":"vault_deleted","vault":1,"writes":2,"deleted":"2026-11-22T05:13:34.000Z"}"#,
        r#"{"entry":"archive_created","vault":1,"number":2,"id":"AAEA","seal":{"key":1,"salt":"00000000000000000000000000000000"},"created":"2026-11-22T05:13:34.000Z","aged":"2026-11-22T05:13:30.000Z","size":0,"tree_hash":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","content":{"extents":[{"payload":"00000000000000000000000000000000","size":0,"tree_hash":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}]}}"#,
        r#"{"entry":"archive_deleted","vault":1,"number":2,"deleted":"2026-11-22T05:13:34.000Z"}"#,
        r#"{"entry":"document","name":"vault/1","vault":1,"version":3,"after":2,"value":{"lock":null},"at":"2026-11-22T05:13:34.000Z"}"#,
    ];

    /// An older icefield that skipped a field it does not know would keep less than was promised.
    #[test]
    fn every_entry_is_written_as_it_was_read_and_a_field_more_is_refused() {
        for text in ENTRIES {
            let entry: Entry = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&entry).unwrap(), text);
            for (at, _) in text.match_indices('{').filter(|(at, _)| !text[..*at].ends_with(FREE)) {
                let more = [&text[..at], r#"{"more":1,"#, &text[at + 1..]].concat();
                assert!(serde_json::from_str::<Entry>(&more).is_err(), "{more}");
            }
        }
    }
}
