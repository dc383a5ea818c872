//! What the catalog knows of one version of one path.

use std::{fmt, str::FromStr};

use icefield_protocol::{ArchiveId, Timestamp, TreeHash};
use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

use crate::path::CatalogPath;

/// A file's time of modification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileTime {
    /// Seconds since 1970, rounded down.
    pub seconds: i64,
    /// Nanoseconds after that, below 10^9.
    pub nanos: u32,
}

/// The text is not a time of a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a time of the form `2024-05-01T12:00:00.123456789Z`")]
pub struct InvalidFileTime(pub String);

impl FileTime {
    /// Returns the time as RFC 3339 in UTC with as many digits as it has; none beyond the years 0 to 9999.
    pub fn to_rfc3339(self) -> Option<String> {
        let nanos = i128::from(self.seconds) * 1_000_000_000 + i128::from(self.nanos);
        OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()?.format(&Rfc3339).ok()
    }
}

impl FromStr for FileTime {
    type Err = InvalidFileTime;

    /// Reads RFC 3339 with any offset.
    fn from_str(text: &str) -> Result<Self, InvalidFileTime> {
        let time = OffsetDateTime::parse(text, &Rfc3339)
            .map_err(|_| InvalidFileTime(text.to_owned()))?
            .to_offset(UtcOffset::UTC);
        Ok(Self { seconds: time.unix_timestamp(), nanos: time.nanosecond() })
    }
}

/// What a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A file; an empty one has no archive.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
}

impl Kind {
    /// Returns the word for it: `file`, `folder` or `link`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Folder => "folder",
            Self::Link => "link",
        }
    }

    /// Returns the kind with this word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::File, Self::Folder, Self::Link].into_iter().find(|kind| kind.as_str() == word)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One version of one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The path.
    pub path: CatalogPath,
    /// What it is.
    pub kind: Kind,
    /// Size in bytes. An archive is never empty: 0 together with an archive means unknown (see [`known_size`](Self::known_size)).
    pub size: u64,
    /// When the file was modified, if known.
    pub mtime: Option<FileTime>,
    /// Permission bits, if known.
    pub mode: Option<u32>,
    /// Where a link points, verbatim.
    pub link_target: Option<Vec<u8>>,
    /// Tree hash of the archive, if known.
    pub tree_hash: Option<TreeHash>,
    /// The archive; none for what has no bytes. That of a folder is the mark that another program has left of it.
    pub archive: Option<ArchiveId>,
    /// When it was archived; [`Timestamp::UNIX_EPOCH`] means unknown (see [`known_uploaded`](Self::known_uploaded)).
    pub uploaded: Timestamp,
    /// The archive's description, verbatim, if known.
    pub description: Option<String>,
    /// The manifest archive that tells of it, if any.
    pub manifest: Option<ArchiveId>,
}

/// Adds sizes up; what an inventory claims may be more than there can be.
pub(crate) fn total(sizes: impl Iterator<Item = u64>) -> u64 {
    sizes.fold(0, u64::saturating_add)
}

impl Entry {
    /// A file of which nothing is known but its name and its archive.
    pub(crate) fn named(path: CatalogPath, archive: ArchiveId) -> Self {
        Self {
            path,
            kind: Kind::File,
            size: 0,
            mtime: None,
            mode: None,
            link_target: None,
            tree_hash: None,
            archive: Some(archive),
            uploaded: Timestamp::UNIX_EPOCH,
            description: None,
            manifest: None,
        }
    }

    /// Returns the size in bytes, if known. An import from a file without sizes leaves it open until a refresh.
    pub fn known_size(&self) -> Option<u64> {
        (self.archive.is_none() || self.size > 0).then_some(self.size)
    }

    /// Returns when it was archived, if known.
    pub fn known_uploaded(&self) -> Option<Timestamp> {
        (self.uploaded != Timestamp::UNIX_EPOCH).then_some(self.uploaded)
    }
}
