//! What the description of an archive tells of the file: in icefield's words and in those of other programs.
//!
//! A description is all that a vault itself says about an archive besides size, date and hash, so every program writes
//! into it what it wants to find again. One file here for each family:
//!
//! | Family | Written by | Begins with |
//! | --- | --- | --- |
//! | `own` | icefield | `{"icefield":1` |
//! | `mtglacier` | mt-aws-glacier | `mt2 `, `mt1 ` |
//! | `fastglacier` | FastGlacier, CrushFTP, QNAP and others | `<m>`, `<ArchiveMetadata>` |
//! | `cloudberry` | CloudBerry and MSP360 | `{"Path":` |
//! | `plain` | everything else | |
//!
//! [`decode`] tries them in this order. What none of them can read is no error: the archive has no name then, and the text
//! is kept. A path that a description tells is never trusted: a root or drive is taken off, and what would still leave the
//! folder it is put under is refused.

mod basic_time;
mod cloudberry;
mod fastglacier;
mod mtglacier;
mod own;
mod plain;
#[cfg(test)]
mod tests;

use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use icefield_protocol::Description;

pub use own::{InvalidRunId, RunId, encode, encode_item, encode_manifest};
pub(crate) use own::{join_bytes, octal, parse_octal, split_bytes};

use crate::{
    catalog::{FileTime, Kind},
    path::{CatalogPath, InvalidPath, native},
};

/// What a description tells of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveNote {
    /// Its path.
    pub path: CatalogPath,
    /// When it was modified.
    pub mtime: Option<FileTime>,
    /// Its permission bits.
    pub mode: Option<u32>,
}

/// What a description says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    /// The archive is this file.
    Note(ArchiveNote),
    /// The archive is the manifest of a run.
    Manifest(RunId),
    /// The archive is a file whose path is in the manifest of a run.
    ManifestItem {
        /// The run.
        run: RunId,
        /// Its number there.
        item: u64,
    },
    /// Another program has written it.
    Foreign(ForeignNote),
}

/// What another program's description tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignNote {
    /// The family it is of.
    pub writer: Writer,
    /// The path, if it tells one; an error if that is none that could be restored.
    pub path: Result<Option<CatalogPath>, InvalidPath>,
    /// What the archive stands for: a file, or a folder whose mark it is.
    pub kind: Kind,
    /// When it was modified.
    pub mtime: Option<FileTime>,
    /// What was done to the file's bytes before they were archived.
    pub packing: Packing,
}

/// The family of a foreign description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// mt-aws-glacier.
    MtGlacier,
    /// FastGlacier, and programs that write as it does.
    FastGlacier,
    /// CloudBerry or MSP360.
    CloudBerry,
    /// Text of any kind.
    Other,
}

/// What a program did to a file's bytes before it archived them, and what it says of them as they were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Packing {
    /// They are compressed.
    pub is_compressed: bool,
    /// They are encrypted.
    pub is_encrypted: bool,
    /// MD5 of the file.
    pub original_md5: Option<[u8; 16]>,
    /// Size of the file in bytes.
    pub original_size: Option<u64>,
}

impl Packing {
    /// Whether the archive holds other bytes than the file had.
    pub fn is_packed(&self) -> bool {
        self.is_compressed || self.is_encrypted
    }
}

/// A form that icefield can write descriptions in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// icefield's own: path, time and mode.
    #[default]
    Icefield,
    /// As mt-aws-glacier since version 0.85: path, and time in whole seconds.
    Mt2,
    /// The path and nothing else.
    Plain,
}

impl Format {
    /// Whether a description of this form tells all that a note has.
    pub fn tells_all(self) -> bool {
        self == Self::Icefield
    }
}

/// Returns the description of a file in this form; none when the form cannot hold it, or in more than 1,024 bytes only.
///
/// Whatever is returned, [`decode`] reads the same path from it.
pub fn encode_as(format: Format, note: &ArchiveNote) -> Option<Description> {
    match format {
        Format::Icefield => encode(note),
        Format::Mt2 => mtglacier::encode(note),
        Format::Plain => plain::encode(note),
    }
}

/// Reads a description, icefield's or another one.
///
/// A time or mode that cannot be read is left out.
///
/// # Errors
///
/// When it is icefield's and its path is none that could be restored; the error names it.
pub fn decode(text: &str) -> Result<Decoded, InvalidPath> {
    let text = text.trim();
    if let Some(decoded) = own::decode(text) {
        return decoded;
    }
    let text = unquoted(text);
    let (writer, told) = if mtglacier::is_marked(&text) {
        (Writer::MtGlacier, mtglacier::decode(&text))
    } else if fastglacier::is_marked(&text) {
        (Writer::FastGlacier, fastglacier::decode(&text))
    } else if let Some(told) = cloudberry::decode(&text) {
        (Writer::CloudBerry, Some(told))
    } else {
        (Writer::Other, plain::decode(&text))
    };
    Ok(Decoded::Foreign(match told {
        Some(told) => told.note(writer),
        None => ForeignNote {
            writer,
            path: Ok(None),
            kind: Kind::File,
            mtime: None,
            packing: Packing::default(),
        },
    }))
}

/// What a foreign description tells, before anybody has looked at the path.
#[derive(Debug, Default)]
struct Told {
    path: Vec<u8>,
    is_folder: bool,
    mtime: Option<FileTime>,
    packing: Packing,
}

impl Told {
    fn note(self, writer: Writer) -> ForeignNote {
        ForeignNote {
            writer,
            path: native::to_catalog(&self.path).map(Some),
            kind: if self.is_folder { Kind::Folder } else { Kind::File },
            mtime: self.mtime,
            packing: self.packing,
        }
    }
}

/// Takes off one layer of quotes, which spreadsheets and shells have left around some descriptions.
fn unquoted(text: &str) -> String {
    let inner = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match inner {
        Some(inner) => serde_json::from_str(text).unwrap_or_else(|_| inner.trim().to_owned()),
        None => text.to_owned(),
    }
}

/// Decodes Base64 of either alphabet, with or without padding and with white space anywhere.
fn base64(text: &str) -> Option<Vec<u8>> {
    const CONFIG: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::RequireNone);
    let standard = |byte: u8| match byte {
        b'-' => b'+',
        b'_' => b'/',
        other => other,
    };
    let text: Vec<u8> = text
        .trim_end_matches('=')
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .map(standard)
        .collect();
    GeneralPurpose::new(&STANDARD, CONFIG).decode(text).ok()
}
