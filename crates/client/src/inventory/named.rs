//! Names for the archives of a vault's inventory.
//!
//! Descriptions tell paths and times, icefield's own modes too. An archive whose description tells no path, or one that
//! must not be used, is called by its ID, so that none is lost for want of a name.

use icefield_protocol::{ArchiveId, InventoryItem, LinearHash, Timestamp, TreeHash};

use crate::{
    catalog::{Entry, Kind, ManifestArchive},
    description::{Decoded, ForeignNote, decode},
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
        /// What its description tells if icefield has not written it.
        foreign: Option<Foreign>,
        /// Why a path that its description tells is refused.
        refused: Option<String>,
    },
    /// The manifest of an upload run.
    Manifest(ManifestArchive),
}

/// What is to be said of an archive that another program has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Foreign {
    /// Whether its bytes are not those that the file had.
    pub(super) is_packed: bool,
}

/// What else there is to know of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) created: Timestamp,
    /// 0 if it is not known.
    pub(super) size: u64,
    pub(super) tree_hash: Option<TreeHash>,
}

/// Names an archive of an inventory.
pub(super) fn named_item(item: InventoryItem) -> Named {
    let InventoryItem { archive_id, description, created, size, tree_hash } = item;
    named(archive_id, description, Facts { created, size, tree_hash })
}

/// Names an archive by its description.
pub(super) fn named(archive_id: ArchiveId, description: String, facts: Facts) -> Named {
    let Facts { created, size, tree_hash } = facts;
    // More than any service stores; the database has no larger numbers.
    let size = size.min(i64::MAX.cast_unsigned());
    let (mut path, mut mtime, mut mode, mut kind) = (None, None, None, Kind::File);
    let (mut refused, mut foreign) = (None, None);
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
        Ok(Decoded::Foreign(note)) => {
            foreign = Some(Foreign { is_packed: note.packing.is_packed() });
            mtime = note.mtime;
            match note.path {
                Ok(Some(found)) => (path, kind) = (Some(found), note.kind),
                Ok(None) => {}
                Err(error) => refused = Some(error.to_string()),
            }
        }
        Err(error) => refused = Some(error.to_string()),
    }
    let entry = Entry {
        path: path.unwrap_or_else(|| placeholder(&archive_id)),
        kind,
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

/// Returns the path that a description tells if it was not written by icefield.
pub(super) fn foreign_path(description: &str) -> Option<CatalogPath> {
    match decode(description) {
        Ok(Decoded::Foreign(ForeignNote { path: Ok(path), .. })) => path,
        _ => None,
    }
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
