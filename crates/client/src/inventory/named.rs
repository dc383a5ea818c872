//! Names for the archives of a vault's inventory.
//!
//! icefield's own descriptions tell path, time and mode. Another description is taken as a path if it can be one. Every
//! other archive is called by its ID, so that none is lost for want of a name.

use icefield_protocol::{ArchiveId, InventoryItem, LinearHash};

use crate::{
    catalog::{Entry, Kind, ManifestArchive},
    description::{Decoded, decode},
    path::CatalogPath,
};

/// Longest name of a file on every system.
const MAX_SEGMENT_BYTES: usize = 255;

/// What an archive of an inventory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Named {
    /// A file.
    File {
        entry: Entry,
        /// Whether its description was not written by icefield.
        foreign: bool,
        /// Why a path that its description tells is refused.
        refused: Option<String>,
    },
    /// The manifest of an upload run.
    Manifest(ManifestArchive),
}

/// Names an archive.
pub(super) fn named(item: InventoryItem) -> Named {
    let InventoryItem { archive_id, description, created, size, tree_hash } = item;
    // More than any service stores; the database has no larger numbers.
    let size = size.min(i64::MAX.cast_unsigned());
    let (mut path, mut mtime, mut mode, mut refused, mut foreign) = (None, None, None, None, false);
    match decode(&description) {
        Ok(Decoded::Manifest(_)) => {
            return Named::Manifest(ManifestArchive {
                archive: archive_id,
                size,
                created,
                tree_hash,
                description: Some(description),
            });
        }
        Ok(Decoded::ManifestItem { .. }) => {}
        Ok(Decoded::Note(note)) => {
            path = Some(note.path);
            mtime = note.mtime;
            mode = note.mode;
        }
        Ok(Decoded::Plain(text)) => {
            foreign = true;
            match plain(&text) {
                Ok(found) => path = found,
                Err(refusal) => refused = Some(refusal),
            }
        }
        Err(error) => refused = Some(error.to_string()),
    }
    let entry = Entry {
        path: path.unwrap_or_else(|| placeholder(&archive_id)),
        kind: Kind::File,
        size,
        mtime,
        mode,
        link_target: None,
        tree_hash,
        archive: Some(archive_id),
        uploaded: created,
        description: Some(description).filter(|text| !text.is_empty()),
        manifest: None,
    };
    Named::File { entry, foreign, refused }
}

/// Returns the path that an archive has for want of a better one if its description was not written by icefield.
pub(super) fn foreign_path(description: &str) -> Option<CatalogPath> {
    match decode(description) {
        Ok(Decoded::Plain(text)) => plain(&text).ok().flatten(),
        _ => None,
    }
}

/// Takes a foreign text as a path; structured ones (JSON, XML) and those too long for a file's name are none.
fn plain(text: &str) -> Result<Option<CatalogPath>, String> {
    let text = text.trim();
    let structured = text.starts_with(['{', '[', '<', '"']);
    let too_long = text.split('/').any(|segment| segment.len() > MAX_SEGMENT_BYTES);
    if text.is_empty() || structured || too_long {
        return Ok(None);
    }
    CatalogPath::parse(text).map(Some).map_err(|error| error.to_string())
}

/// The name of an archive that has none: `archive-` and its ID, or a hash of an ID too long for a file's name.
pub(super) fn placeholder(archive: &ArchiveId) -> CatalogPath {
    let name = match ArchiveId::parse_issued(archive.as_str()) {
        Ok(plain) if plain.as_str().len() + "archive-".len() <= MAX_SEGMENT_BYTES => {
            format!("archive-{plain}")
        }
        _ => format!("archive-{}", LinearHash::of(archive.as_str().as_bytes())),
    };
    CatalogPath::parse(name).expect("neither an issued ID nor a hash has separators")
}
