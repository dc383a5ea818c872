//! Documents: what the store keeps beside archives, as named JSON values with a version.
//!
//! Settings of vaults, accounts, users, keys, topics: small things that are read and replaced as a whole. A change names
//! the version that it was made from, so that of two changes at once one is turned away instead of lost. The log is their
//! truth as it is that of archives; what a value means is its writer's business.

use std::{fmt, str::FromStr};

use icefield_protocol::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    entry::{Entry, VaultNumber},
    error::StoreError,
};

/// Longest name of a document in bytes.
pub const MAX_DOCUMENT_NAME_BYTES: usize = 512;
/// Longest value of a document in bytes of JSON.
pub const MAX_DOCUMENT_BYTES: usize = 1 << 20;

/// Names a document: 1 to 512 bytes of `A-Z`, `a-z`, `0-9` and `_./@+=,-`, in segments separated by `/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DocumentName(String);

/// A text that is no name of a document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a document: {0:?}")]
pub struct DocumentNameError(String);

impl DocumentName {
    /// Reads a name.
    ///
    /// # Errors
    ///
    /// When it is empty, too long, or has another character.
    pub fn parse(text: &str) -> Result<Self, DocumentNameError> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_./@+=,-".contains(&byte);
        let fits = (1..=MAX_DOCUMENT_NAME_BYTES).contains(&text.len());
        if fits && text.bytes().all(is_allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(DocumentNameError(text.chars().take(MAX_DOCUMENT_NAME_BYTES).collect()))
        }
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DocumentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for DocumentName {
    type Err = DocumentNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl TryFrom<String> for DocumentName {
    type Error = DocumentNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<DocumentName> for String {
    fn from(name: DocumentName) -> Self {
        name.0
    }
}

/// The record of a document's new value, or of its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocumentEntry {
    /// Its name.
    pub name: DocumentName,
    /// The vault that it belongs to: refused when that is gone, and removed with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vault: Option<VaultNumber>,
    /// Its version, from [`crate::Store::next_number`], so never used twice.
    pub version: u64,
    /// The version that it replaces; `None` when there must be none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// The new value, not null; `None` removes the document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// When.
    pub at: Timestamp,
}

impl DocumentEntry {
    /// Whether the change is applied. `last` is the version of the last change, `is_there` whether it left a document.
    ///
    /// A change after a version that the ledger has not come to is applied, too: whoever made it had read that version, so
    /// the record of it is lost. Without this, damage to one record would take all later versions with it in a rebuild,
    /// a vault's lock among them. That removed documents are remembered makes the difference to a late change of one.
    pub(crate) fn fits(&self, last: u64, is_there: bool) -> bool {
        self.after == is_there.then_some(last) || self.after.is_some_and(|after| after > last)
    }

    /// Length of the value as JSON in bytes.
    pub(crate) fn value_bytes(&self) -> usize {
        let text = self.value.as_ref().map(serde_json::to_vec);
        text.and_then(Result::ok).map_or(0, |text| text.len())
    }

    /// Refuses what a record cannot hold: a value that is too long, or one that does not come back from its JSON as it was
    /// (null, or nested too deeply to be read). A record that cannot be read would keep the whole store from opening.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let unfit = |what| Err(StoreError::UnfitDocument { name: self.name.clone(), what });
        if self.value_bytes() > MAX_DOCUMENT_BYTES {
            return unfit("its value is longer than 1 MiB");
        }
        let entry = Entry::Document(self.clone());
        let text = serde_json::to_vec(&entry).ok();
        if text.and_then(|text| serde_json::from_slice(&text).ok()).as_ref() != Some(&entry) {
            return unfit("its value cannot be read back");
        }
        Ok(())
    }
}

/// A document as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentRow {
    /// Its name.
    pub name: DocumentName,
    /// The vault that it belongs to.
    pub vault: Option<VaultNumber>,
    /// Its version.
    pub version: u64,
    /// Its value.
    pub value: Value,
}

/// The last change of a document, also of one that was removed by it.
#[derive(Debug)]
pub(crate) struct DocumentChange {
    pub(crate) name: DocumentName,
    pub(crate) vault: Option<VaultNumber>,
    pub(crate) version: u64,
    /// `None`: it was removed.
    pub(crate) value: Option<Value>,
}

#[cfg(test)]
mod tests {
    use super::DocumentName;

    #[test]
    fn names_are_short_and_plain() {
        for text in ["a", "vault/17", "user/123456789012/a.b+c=d,e@f-g_h", &"x".repeat(512)] {
            assert_eq!(DocumentName::parse(text).unwrap().as_str(), text);
        }
        for text in ["", "a b", "ä", "a*", "a\n", "a:b", "a\u{7f}", &"x".repeat(513)] {
            let error = DocumentName::parse(text).unwrap_err();
            assert!(error.to_string().starts_with("not the name of a document: "), "{error}");
            assert!(serde_json::from_value::<DocumentName>(text.into()).is_err());
        }
    }
}
