//! What an object's metadata tells of an archive.
//!
//! Values are printable ASCII, and not more than 2 KiB altogether, as S3 wants it. A `%` and the blanks that a header would
//! lose (at its ends, after another one) are `%XX`, so that every description comes back verbatim.

use std::collections::HashMap;

use icefield_protocol::{ErrorCode, TreeHash, UploadToken};

use super::keys::{escape, unescaped};
use crate::{
    path::CatalogPath,
    target::{NewArchive, TargetError},
};

const TOKEN: &str = "icefield-token";
const TREE_HASH: &str = "icefield-tree-hash";
const DESCRIPTION: &str = "icefield-description";
const PATH: &str = "icefield-path";

/// The tag that tells the tree hash of what was a stream.
pub(super) const TREE_HASH_TAG: &str = TREE_HASH;

/// Most bytes of names and values.
const MAX_BYTES: usize = 2048;

/// What is known of an archive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Metadata {
    /// The token it was put with.
    pub(super) token: Option<UploadToken>,
    /// Its tree hash.
    pub(super) tree_hash: Option<TreeHash>,
    /// Its description.
    pub(super) description: Option<String>,
    /// Its path, where the key does not tell it.
    pub(super) path: Option<CatalogPath>,
}

impl Metadata {
    /// Writes what is known of a new archive. A path that makes it too long is left out: the manifest of the run tells it.
    ///
    /// # Errors
    ///
    /// When it is too long without the path.
    pub(super) fn write(
        new: &NewArchive,
        tree_hash: Option<TreeHash>,
        tell_path: bool,
    ) -> Result<HashMap<String, String>, TargetError> {
        let mut all = HashMap::from([(TOKEN.to_owned(), new.token.to_string())]);
        if let Some(hash) = tree_hash {
            all.insert(TREE_HASH.to_owned(), hash.to_string());
        }
        if let Some(description) = &new.description {
            all.insert(DESCRIPTION.to_owned(), escaped(description.as_str().as_bytes()));
        }
        let length: usize = all.iter().map(|(name, value)| name.len() + value.len()).sum();
        if length > MAX_BYTES {
            return Err(TargetError::Service {
                code: ErrorCode::InvalidParameterValue,
                message: "the description does not fit into the 2 KiB that S3 keeps beside an object: shorten it"
                    .to_owned(),
            });
        }
        let path = escaped(new.path.as_bytes());
        if tell_path && length + PATH.len() + path.len() <= MAX_BYTES {
            all.insert(PATH.to_owned(), path);
        }
        Ok(all)
    }

    /// Reads it back; what cannot be read was not written by icefield and is left out.
    pub(super) fn read(all: Option<&HashMap<String, String>>) -> Self {
        let Some(all) = all else { return Self::default() };
        let text = |name| all.get(name).map(|value| unescaped(value));
        Self {
            token: all.get(TOKEN).and_then(|text| text.parse().ok()),
            tree_hash: all.get(TREE_HASH).and_then(|text| text.parse().ok()),
            description: text(DESCRIPTION).and_then(|bytes| String::from_utf8(bytes).ok()),
            path: text(PATH).and_then(|bytes| CatalogPath::parse(bytes).ok()),
        }
    }
}

/// Returns the bytes as the value of a header that loses nothing.
fn escaped(bytes: &[u8]) -> String {
    let mut value = String::with_capacity(bytes.len());
    for (index, byte) in bytes.iter().enumerate() {
        let follows_blank = index == 0 || bytes[index - 1] == b' ';
        match byte {
            b' ' if follows_blank || index + 1 == bytes.len() => escape(&mut value, b" "),
            b'%' => escape(&mut value, b"%"),
            b' '..=b'~' => value.push(char::from(*byte)),
            other => escape(&mut value, &[*other]),
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use icefield_protocol::{Description, TreeHash, UploadToken};
    use proptest::{prop_assert, prop_assert_eq, proptest};

    use super::Metadata;
    use crate::{path::CatalogPath, target::NewArchive};

    fn new(path: &[u8], description: &str) -> NewArchive {
        NewArchive {
            path: CatalogPath::parse(path).unwrap(),
            description: Description::parse(description).unwrap(),
            token: UploadToken::from_bytes([7; 16]),
            tree_hash: None,
        }
    }

    #[test]
    fn a_usual_description_can_be_read_by_people() {
        let new = new(b"a", r#"{"icefield":1,"path":"a","mode":"0644"}"#);
        let all = Metadata::write(&new, Some(TreeHash::of_leaf(b"a")), false).unwrap();
        assert_eq!(all["icefield-description"], r#"{"icefield":1,"path":"a","mode":"0644"}"#);
        assert_eq!(all["icefield-token"], "07".repeat(16));
        assert_eq!(all["icefield-tree-hash"], TreeHash::of_leaf(b"a").to_string());
        assert!(!all.contains_key("icefield-path"));
    }

    #[test]
    fn a_path_that_does_not_fit_is_left_out_and_a_description_is_refused() {
        let long = new(&[b'x'; 4000], "short");
        assert!(!Metadata::write(&long, None, true).unwrap().contains_key("icefield-path"));
        assert!(Metadata::write(&new(b"a", &"%".repeat(1024)), None, true).is_err());
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_back(description in "[ -~]{0,200}", path in "[^\0/]{1,40}") {
            let Ok(path) = CatalogPath::parse(path.into_bytes()) else { return Ok(()) };
            let new = NewArchive { path: path.clone(), ..new(b"a", &description) };
            let hash = TreeHash::of_leaf(b"a");
            let all = Metadata::write(&new, Some(hash), true).unwrap();
            for value in all.values() {
                prop_assert!(value.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{value:?}");
                prop_assert!(!value.contains("  ") && value.trim() == value, "{value:?}");
            }
            let read = Metadata::read(Some(&all));
            prop_assert_eq!(read.token, Some(new.token));
            prop_assert_eq!(read.tree_hash, Some(hash));
            prop_assert_eq!(read.path, Some(path));
            prop_assert_eq!(read.description, new.description.map(String::from));
        }
    }
}
