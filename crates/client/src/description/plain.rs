//! Text that is a name: `boto`'s script, glacier-cli and glacier-cmd write the file's name or path, git-annex its key.

use icefield_protocol::Description;

use super::{ArchiveNote, Decoded, Told};

/// Longest name of a file on every system.
const MAX_SEGMENT_BYTES: usize = 255;

/// What glacier-cmd writes for want of a description.
const NONE_OF_GLACIER_CMD: &str = "No description.";

/// Takes a text as a path; structured ones (JSON, XML) and those too long for a file's name are none.
pub(super) fn decode(text: &str) -> Option<Told> {
    let is_structured = text.starts_with(['{', '[', '<', '"']);
    let is_too_long = text.split('/').any(|segment| segment.len() > MAX_SEGMENT_BYTES);
    if text.is_empty() || is_structured || is_too_long || text == NONE_OF_GLACIER_CMD {
        return None;
    }
    Some(Told { path: text.as_bytes().to_vec(), ..Told::default() })
}

/// Returns the path as a description; none when it would be read as something else.
pub(super) fn encode(note: &ArchiveNote) -> Option<Description> {
    let description = Description::try_from(note.path.as_utf8()?.to_owned()).ok()?;
    match super::decode(description.as_str()) {
        Ok(Decoded::Foreign(read)) if read.path.as_ref() == Ok(&Some(note.path.clone())) => {
            Some(description)
        }
        _ => None,
    }
}
