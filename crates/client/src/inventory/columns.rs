//! The columns of icefield's own CSV, of PowerShell's and of lists of names, and rows as entries.

use csv::{ByteRecord, StringRecord};
use icefield_protocol::{ArchiveId, Timestamp, TreeHash, VaultName};

use crate::{
    catalog::{Entry, FileTime, Kind},
    description::{join_bytes, octal, parse_octal, split_bytes},
    path::{CatalogPath, native},
};

/// The columns in the order they are written. `Kind` is last: a row that was torn there has no kind.
pub(super) const COLUMNS: [&str; 13] = [
    "FilePath",
    "ArchiveId",
    "Checksum",
    "Size",
    "Modified",
    "Mode",
    "Uploaded",
    "Vault",
    "FilePathBase64",
    "LinkTarget",
    "LinkTargetBase64",
    "Description",
    "Kind",
];

/// Columns that PowerShell's file does not have, up to those that somebody may have added.
const OWN: std::ops::Range<usize> = 3..11;

/// Where the columns are in a file.
#[derive(Debug, Clone)]
pub(super) struct Columns([Option<usize>; COLUMNS.len()]);

impl Columns {
    /// Finds the columns by name, in any order and case; none without a path and an archive ID.
    pub(super) fn find(header: &StringRecord) -> Option<Self> {
        let at = |name: &str| header.iter().position(|cell| cell.trim().eq_ignore_ascii_case(name));
        let columns = Self(COLUMNS.map(at));
        (columns.0[0].is_some() && columns.0[1].is_some()).then_some(columns)
    }

    /// Whether the file is icefield's own, with catalog paths, not PowerShell's with native ones.
    pub(super) fn is_own(&self) -> bool {
        self.0[OWN].iter().any(Option::is_some)
    }

    /// Reads a row; one that names another vault than `vault` is refused.
    pub(super) fn entry(
        &self,
        row: &ByteRecord,
        vault: Option<&VaultName>,
    ) -> Result<Entry, String> {
        let cell = |column: usize| self.0[column].and_then(|at| row.get(at)).unwrap_or_default();
        let text = |column: usize| {
            let text = std::str::from_utf8(cell(column)).map(str::trim);
            text.map_err(|_| format!("{} is not UTF-8", COLUMNS[column]))
        };
        let path = self.path(cell(0), text(8)?)?;
        let named = |problem: &dyn std::fmt::Display| format!("{path}: {problem}");
        let own_vault = text(7)?;
        if vault.is_some_and(|vault| !own_vault.is_empty() && own_vault != vault.as_str()) {
            return Err(named(&format!("belongs to the vault `{own_vault}`")));
        }
        let archive = parsed(text(1)?, ArchiveId::parse).map_err(|error| named(&error))?;
        let kind = match text(12)? {
            "" => Kind::File,
            word => Kind::from_word(word)
                .ok_or_else(|| named(&format!("{word:?} is no kind of entry")))?,
        };
        let link_target = self.link_target(cell(9), text(10)?, kind);
        if archive.is_none() && !self.is_own() {
            return Err(named(&"the row has no archive ID"));
        }
        if archive.is_some() && kind == Kind::Link {
            return Err(named(&"a link has no archive"));
        }
        if kind == Kind::Link && link_target.is_none() {
            return Err(named(&"the link has no target"));
        }
        let size = parsed(text(3)?, str::parse::<u64>).map_err(|error| named(&error))?;
        if size > Some(i64::MAX.cast_unsigned()) {
            return Err(named(&"the size is too large"));
        }
        if archive.is_none() && size.unwrap_or(0) > 0 {
            return Err(named(&"the row has bytes but no archive ID"));
        }
        Ok(Entry {
            kind,
            size: size.unwrap_or(0),
            mtime: parsed(text(4)?, str::parse::<FileTime>).map_err(|error| named(&error))?,
            mode: parsed(text(5)?, |text| parse_octal(text).ok_or("the mode is not octal"))
                .map_err(|error| named(&error))?,
            link_target,
            tree_hash: parsed(text(2)?, str::parse::<TreeHash>).map_err(|error| named(&error))?,
            archive,
            uploaded: parsed(text(6)?, Timestamp::parse)
                .map_err(|error| named(&error))?
                .unwrap_or(Timestamp::UNIX_EPOCH),
            description: self.description(cell(11))?,
            manifest: None,
            path,
        })
    }

    fn path(&self, path: &[u8], base64: &str) -> Result<CatalogPath, String> {
        if !self.is_own() {
            return native::to_catalog(path).map_err(|error| error.to_string());
        }
        let exact = (!base64.is_empty()).then(|| base64.to_owned());
        let exact = match exact {
            Some(_) => join_bytes(None, exact).ok_or("FilePathBase64 is not Base64")?,
            None => path.to_vec(),
        };
        CatalogPath::parse(exact).map_err(|error| error.to_string())
    }

    /// A description is kept as it is, with its blanks.
    fn description(&self, cell: &[u8]) -> Result<Option<String>, String> {
        if cell.is_empty() || !self.is_own() {
            return Ok(None);
        }
        let text = std::str::from_utf8(cell);
        text.map(|text| Some(text.to_owned())).map_err(|_| "Description is not UTF-8".to_owned())
    }

    fn link_target(&self, target: &[u8], base64: &str, kind: Kind) -> Option<Vec<u8>> {
        if kind != Kind::Link {
            return None;
        }
        let exact = join_bytes(None, (!base64.is_empty()).then(|| base64.to_owned()));
        exact.or_else(|| (!target.is_empty()).then(|| target.to_vec()))
    }
}

/// Where the columns of a list of names are.
#[derive(Debug, Clone, Copy)]
pub(super) struct NameColumns {
    archive: usize,
    name: usize,
}

impl NameColumns {
    /// Finds the columns `GlacierArchiveID` and `FileName`, in any order and case.
    pub(super) fn find(header: &StringRecord) -> Option<Self> {
        let at = |name: &str| header.iter().position(|cell| cell.trim().eq_ignore_ascii_case(name));
        Some(Self { archive: at("GlacierArchiveID")?, name: at("FileName")? })
    }

    /// Reads a row.
    pub(super) fn entry(self, row: &ByteRecord) -> Result<Entry, String> {
        let path = native::to_catalog(row.get(self.name).unwrap_or_default())
            .map_err(|error| error.to_string())?;
        let archive = std::str::from_utf8(row.get(self.archive).unwrap_or_default());
        let archive = archive.map_err(|_| format!("{path}: the archive ID is not UTF-8"))?;
        let archive =
            ArchiveId::parse_issued(archive.trim()).map_err(|error| format!("{path}: {error}"))?;
        Ok(Entry::named(path, archive))
    }
}

/// Reads a cell; an empty one is none.
fn parsed<T, E>(text: &str, parse: impl FnOnce(&str) -> Result<T, E>) -> Result<Option<T>, E> {
    if text.is_empty() { Ok(None) } else { parse(text).map(Some) }
}

/// Returns the row of an entry, in the order of [`COLUMNS`].
pub(super) fn row(entry: &Entry, vault: &str) -> [String; COLUMNS.len()] {
    let target = entry.link_target.as_deref().unwrap_or_default();
    let exact = |bytes: &[u8]| split_bytes(bytes).1.unwrap_or_default();
    [
        entry.path.to_lossy().into_owned(),
        entry.archive.as_ref().map(ToString::to_string).unwrap_or_default(),
        entry.tree_hash.map(|hash| hash.to_string()).unwrap_or_default(),
        entry.known_size().map(|size| size.to_string()).unwrap_or_default(),
        entry.mtime.and_then(FileTime::to_rfc3339).unwrap_or_default(),
        entry.mode.map(octal).unwrap_or_default(),
        entry.known_uploaded().map(Timestamp::to_millis_string).unwrap_or_default(),
        vault.to_owned(),
        exact(entry.path.as_bytes()),
        String::from_utf8_lossy(target).into_owned(),
        exact(target),
        entry.description.clone().unwrap_or_default(),
        entry.kind.as_str().to_owned(),
    ]
}
