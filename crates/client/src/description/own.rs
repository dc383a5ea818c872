//! icefield's own descriptions, by which names come back from the vault alone.
//!
//! One object of printable ASCII JSON: `{"icefield":1,"path":"2024/a.fit","mtime":"2024-05-01T12:00:00Z","mode":"0644"}`.
//! Characters outside printable ASCII are `\uXXXX`; a path that is not UTF-8 is `path_base64`. The manifest archive of a
//! run has `{"icefield":1,"manifest":"<32 hex digits>"}`, an archive whose path did not fit
//! `{"icefield":1,"manifest":"<32 hex digits>","item":7}`: the manifest then tells its path. Unknown members are skipped.

use std::{fmt, fmt::Write as _, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use icefield_protocol::Description;
use serde::{Deserialize, Serialize};

use super::{ArchiveNote, Decoded};
use crate::{
    catalog::FileTime,
    path::{CatalogPath, InvalidPath},
};

const FORMAT: u64 = 1;

/// The name of an upload run in its manifest and descriptions: 32 hex digits, random.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId([u8; 16]);

/// The text is not the name of a run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the name of a run: it has 32 hex digits")]
pub struct InvalidRunId(pub String);

impl RunId {
    /// Returns the name with these bytes; they should be random.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunId({self})")
    }
}

impl FromStr for RunId {
    type Err = InvalidRunId;

    fn from_str(text: &str) -> Result<Self, InvalidRunId> {
        let refused = || InvalidRunId(text.to_owned());
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(refused());
        }
        let number = u128::from_str_radix(text, 16).map_err(|_| refused())?;
        Ok(Self(number.to_be_bytes()))
    }
}

/// Returns the description of a file; none when it would be longer than 1,024 bytes.
///
/// A time beyond the years 0 to 9999 is left out; of the mode the permission bits (07777) are kept.
pub fn encode(note: &ArchiveNote) -> Option<Description> {
    let (path, path_base64) = split_bytes(note.path.as_bytes());
    let mtime = note.mtime.and_then(FileTime::to_rfc3339);
    let wire = Wire {
        icefield: FORMAT,
        path,
        path_base64,
        mtime,
        mode: note.mode.map(octal),
        ..Wire::default()
    };
    describe(&wire)
}

/// Returns the description of the manifest archive of a run.
pub fn encode_manifest(run: RunId) -> Description {
    let wire = Wire { icefield: FORMAT, manifest: Some(run.to_string()), ..Wire::default() };
    describe(&wire).expect("a run's name is short")
}

/// Returns the description of an archive whose path is in the manifest of a run.
pub fn encode_item(run: RunId, item: u64) -> Description {
    let manifest = Some(run.to_string());
    let wire = Wire { icefield: FORMAT, manifest, item: Some(item), ..Wire::default() };
    describe(&wire).expect("a run's name and a number are short")
}

/// Reads a description; none when it is not icefield's.
pub(super) fn decode(text: &str) -> Option<Result<Decoded, InvalidPath>> {
    let wire = serde_json::from_str::<Wire>(text).ok().filter(|wire| wire.icefield == FORMAT)?;
    if let Some(run) = wire.manifest {
        let run = run.parse().ok()?;
        return Some(Ok(match wire.item {
            None => Decoded::Manifest(run),
            Some(item) => Decoded::ManifestItem { run, item },
        }));
    }
    let path = CatalogPath::parse(join_bytes(wire.path, wire.path_base64)?);
    Some(path.map(|path| {
        Decoded::Note(ArchiveNote {
            path,
            mtime: wire.mtime.and_then(|text| text.parse().ok()),
            mode: wire.mode.as_deref().and_then(parse_octal),
        })
    }))
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Wire {
    icefield: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path_base64: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mtime: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mode: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    manifest: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    item: Option<u64>,
}

fn describe(wire: &Wire) -> Option<Description> {
    let json = serde_json::to_string(wire).expect("strings and numbers are JSON");
    Description::try_from(printable_ascii(&json)).ok()
}

/// Escapes what is not printable ASCII. In JSON such characters stand only inside strings.
fn printable_ascii(json: &str) -> String {
    let mut ascii = String::with_capacity(json.len());
    for character in json.chars() {
        if matches!(character, ' '..='~') {
            ascii.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(ascii, "\\u{unit:04x}").expect("a string takes everything");
            }
        }
    }
    ascii
}

/// Splits bytes into text, or else Base64.
pub(crate) fn split_bytes(bytes: &[u8]) -> (Option<String>, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Some(text.to_owned()), None),
        Err(_) => (None, Some(STANDARD.encode(bytes))),
    }
}

/// Joins what [`split_bytes`] has split; Base64 goes first, as text may be lossy.
pub(crate) fn join_bytes(text: Option<String>, base64: Option<String>) -> Option<Vec<u8>> {
    match base64 {
        Some(base64) => STANDARD.decode(base64).ok(),
        None => text.map(String::into_bytes),
    }
}

/// Writes permission bits as `0644`.
pub(crate) fn octal(mode: u32) -> String {
    format!("{:04o}", mode & 0o7777)
}

/// Reads what [`octal`] has written.
pub(crate) fn parse_octal(text: &str) -> Option<u32> {
    let legal = (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let mode = if legal { u32::from_str_radix(text, 8).ok()? } else { return None };
    (mode <= 0o7777).then_some(mode)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, option, prelude::any, prop_assert_eq, proptest};

    use super::{
        super::{ArchiveNote, Decoded, decode},
        RunId, encode, encode_item, encode_manifest,
    };
    use crate::{
        catalog::FileTime,
        path::{CatalogPath, InvalidPath},
    };

    fn note(path: &[u8]) -> ArchiveNote {
        ArchiveNote {
            path: CatalogPath::parse(path).unwrap(),
            mtime: Some(FileTime { seconds: 1_714_564_800, nanos: 123_456_789 }),
            mode: Some(0o644),
        }
    }

    #[test]
    fn a_description_is_exactly_this_text() {
        let text = |path: &[u8]| encode(&note(path)).unwrap().to_string();
        assert_eq!(
            text(b"M33/Light/a.fit"),
            r#"{"icefield":1,"path":"M33/Light/a.fit","mtime":"2024-05-01T12:00:00.123456789Z","mode":"0644"}"#
        );
        assert_eq!(
            text("\u{e9}\u{1f600}\u{7f}\"\n".as_bytes()),
            r#"{"icefield":1,"path":"\u00e9\ud83d\ude00\u007f\"\n","mtime":"2024-05-01T12:00:00.123456789Z","mode":"0644"}"#
        );
        assert_eq!(
            text(b"\xff/x"),
            r#"{"icefield":1,"path_base64":"/y94","mtime":"2024-05-01T12:00:00.123456789Z","mode":"0644"}"#
        );
        let run = RunId::from_bytes([0xab; 16]);
        let hex = "ab".repeat(16);
        assert_eq!(
            encode_manifest(run).as_str(),
            format!(r#"{{"icefield":1,"manifest":"{hex}"}}"#)
        );
        assert_eq!(
            encode_item(run, 7).as_str(),
            format!(r#"{{"icefield":1,"manifest":"{hex}","item":7}}"#)
        );
        assert_eq!(decode(encode_manifest(run).as_str()), Ok(Decoded::Manifest(run)));
        assert_eq!(
            decode(encode_item(run, 7).as_str()),
            Ok(Decoded::ManifestItem { run, item: 7 })
        );
    }

    #[test]
    fn a_path_that_does_not_fit_has_no_description() {
        let overhead = encode(&note(b"x")).unwrap().as_str().len() - 1;
        assert!(encode(&note(&vec![b'x'; 1024 - overhead])).is_some());
        assert_eq!(encode(&note(&vec![b'x'; 1025 - overhead])), None);
        assert_eq!(encode(&note("\u{e9}".repeat(200).as_bytes())), None);
    }

    #[test]
    fn a_path_that_would_leave_is_an_error_that_names_it() {
        for bad in ["../x", "/etc/passwd", "a/../../x", "C:\\\\x", "a\\u0000b", ""] {
            let text = format!(r#"{{"icefield":1,"path":"{bad}"}}"#);
            assert!(decode(&text).is_err(), "{bad}");
        }
        let escape = decode(r#"{"icefield":1,"path_base64":"Li4veA=="}"#);
        assert_eq!(escape, Err(InvalidPath::Leaves("../x".to_owned())));
    }

    #[test]
    fn what_something_else_wrote_is_not_taken_for_icefields() {
        for text in [
            "",
            "images-main-2010.tar.xz",
            "{",
            r#"{"icefield":2,"path":"x"}"#,
            r#"{"icefield":1}"#,
            r#"{"icefield":1,"manifest":"12"}"#,
            r#"{"icefield":1,"path_base64":"*"}"#,
        ] {
            assert_eq!(super::decode(text), None, "{text}");
        }
    }

    #[test]
    fn a_damaged_time_or_mode_does_not_cost_the_name() {
        let text = r#"{"icefield":1,"path":"x","mtime":"yesterday","mode":"rwx","more":[1]}"#;
        let path = CatalogPath::parse("x").unwrap();
        assert_eq!(decode(text), Ok(Decoded::Note(ArchiveNote { path, mtime: None, mode: None })));
    }

    proptest! {
        #[test]
        fn every_note_that_fits_is_read_back(
            path in vec(any::<u8>(), 1..300),
            time in option::of((-60_000_000_000_i64..250_000_000_000, 0..1_000_000_000_u32)),
            mode in option::of(0..=0o7777_u32),
        ) {
            let Ok(path) = CatalogPath::parse(path) else { return Ok(()) };
            let mtime = time.map(|(seconds, nanos)| FileTime { seconds, nanos });
            let note = ArchiveNote { path, mtime, mode };
            if let Some(description) = encode(&note) {
                prop_assert_eq!(decode(description.as_str()), Ok(Decoded::Note(note)));
            }
        }

        #[test]
        fn any_text_is_decoded_or_refused_without_a_panic(text: String, path: String) {
            drop(decode(&text));
            drop(decode(&serde_json::json!({ "icefield": 1, "path": path, "mtime": text }).to_string()));
        }
    }
}
