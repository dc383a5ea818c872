//! The keys of vaults and archives.
//!
//! A path is its own key below the vault's prefix, if it can be: UTF-8 of characters that XML can tell, no blank at its
//! end. Of any other path what cannot stand is `%XX`, byte by byte, and so is `%` itself, so that the path can be told from
//! the key. S3 takes 1,024 bytes: a longer key is cut, and ends with `~` and the SHA-256 of the path. In both cases the
//! object's metadata has the path, as far as it fits.

use std::fmt::Write as _;

use icefield_protocol::{ArchiveId, ErrorCode, LinearHash, Timestamp, VaultName};

use crate::{path::CatalogPath, target::TargetError};

/// Longest key of any service.
const MAX_KEY_BYTES: usize = 1024;

/// Longest prefix, which leaves room for the longest name of a vault, a hash and a version.
const MAX_PREFIX_BYTES: usize = 512;

/// `@2026-11-28T23:00:00Z`.
const VERSION_BYTES: usize = 21;

/// `~` and 64 hex digits.
const HASH_BYTES: usize = 65;

/// What the keys of all vaults of a target begin with: segments with `/` between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix(String);

/// The text cannot be a prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no prefix for keys: at most 512 bytes of text, with single slashes between its segments and no control \
     characters"
)]
pub struct InvalidPrefix(pub String);

impl Prefix {
    /// Checks a prefix; slashes around it are left out, and nothing is left of one that is empty.
    ///
    /// # Errors
    ///
    /// When it is too long, has empty segments or characters that keys should not have.
    pub fn parse(text: &str) -> Result<Option<Self>, InvalidPrefix> {
        let inner = text.trim_matches('/');
        let is_legal = inner.len() <= MAX_PREFIX_BYTES
            && inner.chars().all(is_plain)
            && !inner.contains("//")
            && !inner.starts_with(' ');
        match inner {
            "" => Ok(None),
            _ if is_legal => Ok(Some(Self(inner.to_owned()))),
            _ => Err(InvalidPrefix(text.to_owned())),
        }
    }

    /// Returns the text, without slashes around it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The key that a path has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PathKey {
    /// The whole key.
    pub(super) key: String,
    /// Whether the key tells the path as it is.
    pub(super) is_plain: bool,
}

/// Names vaults and archives of one target.
#[derive(Debug)]
pub(super) struct Keys {
    /// Empty, or with a slash at its end.
    root: String,
}

impl Keys {
    pub(super) fn new(prefix: Option<Prefix>) -> Self {
        Self { root: prefix.map(|prefix| format!("{}/", prefix.0)).unwrap_or_default() }
    }

    /// What the keys of all vaults begin with.
    pub(super) fn root(&self) -> &str {
        &self.root
    }

    /// What the keys of a vault begin with, which is also the key of its marker.
    pub(super) fn vault(&self, vault: &VaultName) -> String {
        format!("{}{vault}/", self.root)
    }

    /// The vault of a common prefix, if it can be one.
    pub(super) fn vault_of(&self, prefix: &str) -> Option<VaultName> {
        let name = prefix.strip_prefix(&self.root)?.strip_suffix('/')?;
        VaultName::parse(name).ok()
    }

    /// The key of a path.
    pub(super) fn path(&self, vault: &VaultName, path: &CatalogPath) -> PathKey {
        let mut key = self.vault(vault);
        let (name, is_plain) = encoded(path.as_bytes());
        let room = MAX_KEY_BYTES - VERSION_BYTES - key.len();
        if name.len() <= room {
            key.push_str(&name);
            return PathKey { key, is_plain };
        }
        key.push_str(&name[..name.floor_char_boundary(room - HASH_BYTES)]);
        write!(key, "~{}", LinearHash::of(path.as_bytes())).expect("a string takes everything");
        PathKey { key, is_plain: false }
    }

    /// The key of an archive, which must be one of the vault: an ID from elsewhere is never a key to something else.
    pub(super) fn of<'a>(
        &self,
        vault: &VaultName,
        archive: &'a ArchiveId,
    ) -> Result<&'a str, TargetError> {
        self.inside(vault, archive.as_str())
    }

    /// The same of a key that an identifier tells.
    pub(super) fn inside<'a>(
        &self,
        vault: &VaultName,
        key: &'a str,
    ) -> Result<&'a str, TargetError> {
        let name = key.strip_prefix(&self.vault(vault)).unwrap_or_default();
        if name.is_empty() || key.len() > MAX_KEY_BYTES {
            return Err(TargetError::Service {
                code: ErrorCode::ResourceNotFound,
                message: format!("the archive ID {key} is not one of the vault {vault}"),
            });
        }
        Ok(key)
    }

    /// The path that the key of an object of other programs stands for, if it can be one.
    pub(super) fn told_path(&self, vault: &VaultName, key: &str) -> Option<CatalogPath> {
        CatalogPath::parse(key.strip_prefix(&self.vault(vault))?).ok()
    }
}

/// The key of a newer archive of a path.
pub(super) fn version(key: &str, at: Timestamp) -> String {
    format!("{key}@{}", at.to_seconds_string())
}

/// Whether a key is that of a newer archive of the path of `key`.
pub(super) fn is_version(of: &str, key: &str) -> bool {
    let time = key.strip_prefix(of).and_then(|rest| rest.strip_prefix('@'));
    time.is_some_and(|time| time.len() + 1 == VERSION_BYTES && Timestamp::parse(time).is_ok())
}

/// Returns the path as part of a key, and whether it is the path as it is.
fn encoded(path: &[u8]) -> (String, bool) {
    if let Ok(text) = str::from_utf8(path)
        && text.chars().all(is_plain)
        && !text.ends_with(' ')
    {
        return (text.to_owned(), true);
    }
    let mut key = String::with_capacity(path.len() + 16);
    for chunk in path.utf8_chunks() {
        for character in chunk.valid().chars() {
            if is_plain(character) && character != '%' {
                key.push(character);
            } else {
                escape(&mut key, character.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        escape(&mut key, chunk.invalid());
    }
    if key.ends_with(' ') {
        key.pop();
        escape(&mut key, b" ");
    }
    (key, false)
}

/// Whether a character may stand in a key: not what XML cannot tell, and not what an identifier may not have.
fn is_plain(character: char) -> bool {
    !character.is_control() && !matches!(character, '\u{fffe}' | '\u{ffff}')
}

/// Adds bytes as `%XX`.
pub(super) fn escape(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        write!(text, "%{byte:02X}").expect("a string takes everything");
    }
}

/// Reads `%XX`; a `%` that is followed by something else stands for itself.
pub(super) fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let digits = tail.get(..2).filter(|_| first == b'%');
        let byte = digits
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            .and_then(|digits| str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(first));
        rest = &tail[if byte.is_some() { 2 } else { 0 }..];
    }
    bytes
}

#[cfg(test)]
mod tests {
    use icefield_protocol::{ArchiveId, Timestamp, VaultName};
    use proptest::{collection::vec, prelude::any, prop_assert, prop_assert_eq, proptest};

    use super::{Keys, Prefix, encoded, is_version, unescaped, version};
    use crate::path::CatalogPath;

    fn vault() -> VaultName {
        VaultName::parse("films").unwrap()
    }

    fn keys() -> Keys {
        Keys::new(Prefix::parse("/deep/masters/").unwrap())
    }

    fn key(path: &[u8]) -> (String, bool) {
        let found = keys().path(&vault(), &CatalogPath::parse(path).unwrap());
        (found.key, found.is_plain)
    }

    #[test]
    fn a_path_is_its_own_key_where_it_can_be() {
        assert_eq!(key(b"2024/a b.mov"), ("deep/masters/films/2024/a b.mov".to_owned(), true));
        assert_eq!(key("100%/é".as_bytes()), ("deep/masters/films/100%/é".to_owned(), true));
        assert_eq!(Keys::new(None).vault(&vault()), "films/");
    }

    #[test]
    fn what_cannot_stand_in_a_key_is_escaped() {
        assert_eq!(key(b"a\xff%/b"), ("deep/masters/films/a%FF%25/b".to_owned(), false));
        assert_eq!(key(b"a\nb"), ("deep/masters/films/a%0Ab".to_owned(), false));
        assert_eq!(key(b"a  "), ("deep/masters/films/a %20".to_owned(), false));
    }

    #[test]
    fn a_path_that_is_too_long_keeps_its_beginning_and_has_a_hash() {
        let paths: Vec<_> = ["a", "b"].map(|last| format!("{}{last}", "é".repeat(700))).into();
        let found: Vec<_> = paths.iter().map(|path| key(path.as_bytes())).collect();
        assert_ne!(found[0], found[1]);
        for (key, is_plain) in found {
            assert!(key.starts_with("deep/masters/films/éé") && !is_plain);
            assert!(version(&key, Timestamp::UNIX_EPOCH).len() <= 1024);
            assert!(key.len() > 1000, "{}", key.len());
        }
    }

    #[test]
    fn versions_are_told_from_other_paths() {
        let newer = version("v/a", Timestamp::parse("2026-11-28T23:00:00Z").unwrap());
        assert_eq!(newer, "v/a@2026-11-28T23:00:00Z");
        assert!(is_version("v/a", &newer));
        for other in ["v/a", "v/a@home", "v/ab@2026-11-28T23:00:00Z", "v/a@2026-11-28T23:00:00Z/b"]
        {
            assert!(!is_version("v/a", other), "{other}");
        }
    }

    #[test]
    fn ids_of_other_vaults_open_nothing() {
        let keys = keys();
        let is_inside = |id: &str| keys.of(&vault(), &ArchiveId::parse(id).unwrap()).is_ok();
        assert!(is_inside("deep/masters/films/a"));
        for other in ["deep/masters/films/", "deep/masters/film/a", "films/a", "x"] {
            assert!(!is_inside(other), "{other}");
        }
    }

    #[test]
    fn prefixes_that_would_not_be_found_again_are_refused() {
        assert_eq!(Prefix::parse("/").unwrap(), None);
        assert_eq!(Prefix::parse("a/b/").unwrap().unwrap().as_str(), "a/b");
        for bad in ["a//b", "a\nb", " a", &"x".repeat(513)] {
            assert!(Prefix::parse(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn an_escaped_path_is_read_back(bytes in vec(any::<u8>(), 1..200)) {
            let (name, is_plain) = encoded(&bytes);
            if is_plain {
                prop_assert_eq!(name.as_bytes(), &bytes);
            } else {
                prop_assert_eq!(unescaped(&name), bytes);
            }
            prop_assert!(!name.chars().any(char::is_control));
        }
    }
}
