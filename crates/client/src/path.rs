//! Paths as the catalog keeps them: relative, `/` between segments, any bytes but NUL inside.
//!
//! A path that has been parsed cannot leave the folder it is put under: that is the constructor's check, wherever the
//! path came from (a folder on disk, an inventory file, a description in a foreign vault).

pub(crate) mod native;

use std::{borrow::Cow, fmt};

use icefield_protocol::shortened;

/// Longest path, sixteen times what systems take: what a damaged or hostile file has beyond that is not kept.
const MAX_PATH_BYTES: usize = 64 << 10;

/// A relative path of at least one segment; no segment is empty, `.` or `..`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CatalogPath(Vec<u8>);

/// Why bytes are no catalog path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPath {
    /// Nothing is left.
    #[error("the path is empty")]
    Empty,
    /// It begins with `/` or a drive letter.
    #[error("{0:?} is absolute, a path in a catalog is relative")]
    Absolute(String),
    /// It would leave the folder it is put under.
    #[error("{0:?} has a segment that would leave its folder (`..`, `.` or an empty one)")]
    Leaves(String),
    /// It is longer than any path can be.
    #[error("the path has {length} bytes, more than {MAX_PATH_BYTES} cannot be a path")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// It holds a NUL byte.
    #[error("{0:?} holds a NUL byte")]
    Nul(String),
}

impl CatalogPath {
    /// Checks the bytes of a relative path with `/` between segments.
    ///
    /// # Errors
    ///
    /// Absolute paths (also `C:...` and `\\...`), `.`, `..` and empty segments (so also a trailing `/`), NUL. A backslash
    /// elsewhere is an ordinary byte of a name, but `..\` and `\..` are refused like `../`.
    pub fn parse(bytes: impl Into<Vec<u8>>) -> Result<Self, InvalidPath> {
        let bytes = bytes.into();
        let shown = || shortened(&String::from_utf8_lossy(&bytes));
        if bytes.len() > MAX_PATH_BYTES {
            return Err(InvalidPath::TooLong { length: bytes.len() });
        }
        match bytes.as_slice() {
            [] => return Err(InvalidPath::Empty),
            [b'/' | b'\\', ..] => return Err(InvalidPath::Absolute(shown())),
            [letter, b':', b'/' | b'\\', ..] if letter.is_ascii_alphabetic() => {
                return Err(InvalidPath::Absolute(shown()));
            }
            _ => {}
        }
        if bytes.contains(&0) {
            return Err(InvalidPath::Nul(shown()));
        }
        let leaves = |segment: &[u8]| {
            segment.is_empty()
                || segment == b"."
                || (segment.contains(&b'\\')
                    && segment.split(|b| *b == b'\\').any(|piece| piece == b".."))
                || segment == b".."
        };
        if bytes.split(|b| *b == b'/').any(leaves) {
            return Err(InvalidPath::Leaves(shown()));
        }
        Ok(Self(bytes))
    }

    /// Returns the bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the path as text, with U+FFFD for what is not UTF-8.
    pub fn to_lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }

    /// Returns the path as text if it is UTF-8.
    pub fn as_utf8(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// Iterates over the segments.
    pub fn segments(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|b| *b == b'/')
    }

    /// Returns the last segment.
    pub fn name(&self) -> &[u8] {
        self.segments().last().unwrap_or_default()
    }

    /// Returns the path of the folder it is in, or `None` when that is the destination itself.
    pub fn parent(&self) -> Option<Self> {
        let slash = self.0.iter().rposition(|byte| *byte == b'/')?;
        Some(Self(self.0[..slash].to_vec()))
    }

    /// Returns `self/segment...`.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse).
    pub fn join(&self, rest: &[u8]) -> Result<Self, InvalidPath> {
        let mut bytes = Vec::with_capacity(self.0.len() + 1 + rest.len());
        bytes.extend_from_slice(&self.0);
        bytes.push(b'/');
        bytes.extend_from_slice(rest);
        Self::parse(bytes)
    }
}

impl fmt::Display for CatalogPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_lossy())
    }
}

impl fmt::Debug for CatalogPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_lossy(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::{CatalogPath, InvalidPath};

    #[test]
    fn paths_that_would_leave_their_folder_are_refused() {
        for bad in ["../a", "a/../b", "a/..", "a//b", "a/", "./a", "..\\a", "a\\..\\b", "."] {
            assert!(matches!(CatalogPath::parse(bad), Err(InvalidPath::Leaves(_))), "{bad}");
        }
        for bad in ["/etc/passwd", "C:\\x", "c:/x", "\\\\host\\share"] {
            assert!(matches!(CatalogPath::parse(bad), Err(InvalidPath::Absolute(_))), "{bad}");
        }
        assert_eq!(CatalogPath::parse(""), Err(InvalidPath::Empty));
        assert!(matches!(CatalogPath::parse("a\0b"), Err(InvalidPath::Nul(_))));
    }

    #[test]
    fn what_is_too_long_is_refused_and_not_repeated() {
        let long = vec![b'a'; super::MAX_PATH_BYTES + 1];
        assert_eq!(CatalogPath::parse(&long[1..]).map(drop), Ok(()));
        let error = CatalogPath::parse(long).unwrap_err();
        assert_eq!(error, InvalidPath::TooLong { length: super::MAX_PATH_BYTES + 1 });
        let error = CatalogPath::parse([&b"../"[..], &[b'a'; 60_000]].concat()).unwrap_err();
        assert!(error.to_string().len() < 300, "{error}");
    }

    #[test]
    fn odd_but_harmless_names_are_kept_byte_for_byte() {
        for good in [&b"-rf"[..], b"a b/..c/d..", b"\xff\xfe/x", b"a:b/c", b"back\\slash"] {
            assert_eq!(CatalogPath::parse(good).map(|p| p.as_bytes().to_vec()), Ok(good.to_vec()));
        }
    }
}
