//! mt-aws-glacier: a mark, a space, and Base64 of `{"filename":"a/b","mtime":"20190103T124510Z"}`.
//!
//! `mt2` since version 0.85. `mt1`, of the month before, has the JSON encoded in UTF-8 twice. Versions up to 0.7 left the
//! description empty. `mtijob1` marks the jobs that fetch its inventories; it names no archive.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use icefield_protocol::Description;
use serde::{Deserialize, Serialize};

use super::{ArchiveNote, Told, base64, basic_time};

#[derive(Serialize, Deserialize)]
struct Wire {
    filename: String,
    #[serde(default)]
    mtime: Option<String>,
}

/// Whether a description is of this family.
pub(super) fn is_marked(text: &str) -> bool {
    marked(text).is_some()
}

fn marked(text: &str) -> Option<(&str, &str)> {
    let (mark, rest) = text.split_once(' ')?;
    matches!(mark, "mt1" | "mt2" | "mtijob1").then_some((mark, rest))
}

/// Reads a description; none when it names no archive.
pub(super) fn decode(text: &str) -> Option<Told> {
    let (mark, rest) = marked(text)?;
    let json = match mark {
        "mt2" => base64(rest)?,
        "mt1" => undoubled(&base64(rest)?)?,
        _ => return None,
    };
    let wire: Wire = serde_json::from_slice(&json).ok()?;
    let mtime = wire.mtime.as_deref().and_then(basic_time::parse);
    Some(Told { path: wire.filename.into_bytes(), mtime, ..Told::default() })
}

/// Takes off one of two layers of UTF-8.
fn undoubled(bytes: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(bytes).ok()?;
    text.chars().map(|character| u8::try_from(u32::from(character)).ok()).collect()
}

/// Returns the description as mt-aws-glacier writes it; it knows no file without a time, or with a tab or line feed in
/// its name.
pub(super) fn encode(note: &ArchiveNote) -> Option<Description> {
    let filename = note.path.as_utf8().filter(|path| !path.contains(['\t', '\n', '\r']))?;
    let mtime = Some(basic_time::format(note.mtime?)?);
    let json = serde_json::to_vec(&Wire { filename: filename.to_owned(), mtime }).ok()?;
    Description::try_from(format!("mt2 {}", URL_SAFE_NO_PAD.encode(json))).ok()
}
