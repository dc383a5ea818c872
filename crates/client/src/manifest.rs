//! The manifest archive of an upload run: what has no bytes, and the paths that did not fit their description.
//!
//! JSON lines, one per entry. Folders, links and empty files are told here because an archive cannot be empty; a file
//! whose path is too long for its description has its archive ID, size and tree hash here.

use std::io::{self, BufRead, Read as _, Write};

use icefield_protocol::{ArchiveId, Timestamp, TreeHash};
use serde::{Deserialize, Serialize};

use crate::{
    catalog::{Entry, FileTime, Kind},
    description::{RunId, join_bytes, octal, parse_octal, split_bytes},
    path::CatalogPath,
};

/// Longest line that is read: paths have a few thousand bytes on every system, and six characters stand for a byte at most.
const MAX_LINE_BYTES: u64 = 1 << 20;

/// A line that tells of nothing that could be restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedLine {
    /// The line, counted from 1.
    pub line: u64,
    /// What is wrong; names the path.
    pub why: String,
}

/// Returns what the manifest of a run is called where archives are named by their paths.
pub fn path(run: RunId) -> CatalogPath {
    CatalogPath::parse(format!(".icefield-manifest-{run}")).expect("hex digits are a name")
}

/// Writes a manifest that tells of `entries`.
///
/// # Errors
///
/// When `writer` fails. Many small pieces are written, so it should be buffered.
pub fn write<'a>(
    mut writer: impl Write,
    entries: impl Iterator<Item = &'a Entry>,
) -> io::Result<()> {
    for entry in entries {
        let (path, path_base64) = split_bytes(entry.path.as_bytes());
        let (link, link_base64) = entry.link_target.as_deref().map(split_bytes).unwrap_or_default();
        let line = Line {
            path,
            path_base64,
            kind: entry.kind.as_str().to_owned(),
            mtime: entry.mtime.and_then(FileTime::to_rfc3339),
            mode: entry.mode.map(octal),
            link,
            link_base64,
            archive_id: entry.archive.clone(),
            size: entry.archive.is_some().then_some(entry.size),
            tree_hash: entry.tree_hash.filter(|_| entry.archive.is_some()),
        };
        serde_json::to_writer(&mut writer, &line)?;
        writer.write_all(b"\n")?;
    }
    writer.flush()
}

/// Reads a manifest and hands `each` every entry or the line that is refused.
///
/// When the entries were archived is not in it: `uploaded` is unknown.
///
/// # Errors
///
/// When `reader` fails, a line is too long (`InvalidData`), or with what `each` returns.
pub fn read<E: From<io::Error>>(
    mut reader: impl BufRead,
    each: &mut dyn FnMut(Result<Entry, RefusedLine>) -> Result<(), E>,
) -> Result<(), E> {
    let mut bytes = Vec::new();
    for line in 1.. {
        bytes.clear();
        reader.by_ref().take(MAX_LINE_BYTES + 1).read_until(b'\n', &mut bytes)?;
        if bytes.is_empty() {
            break;
        }
        if bytes.len() as u64 > MAX_LINE_BYTES {
            let problem =
                format!("line {line} of the manifest is longer than {MAX_LINE_BYTES} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem).into());
        }
        if !bytes.trim_ascii().is_empty() {
            each(parse(&bytes).map_err(|why| RefusedLine { line, why }))?;
        }
    }
    Ok(())
}

fn parse(bytes: &[u8]) -> Result<Entry, String> {
    let line: Line = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let path = join_bytes(line.path, line.path_base64).ok_or("it has no path")?;
    let path = CatalogPath::parse(path).map_err(|error| error.to_string())?;
    let kind = Kind::from_word(&line.kind)
        .ok_or_else(|| format!("{:?} is no kind of entry ({path})", line.kind))?;
    let link_target = join_bytes(line.link, line.link_base64);
    if (kind == Kind::Link) != link_target.is_some() {
        return Err(format!("a link has a target and nothing else has one ({path})"));
    }
    if kind != Kind::File && line.archive_id.is_some() {
        return Err(format!("a {kind} has no archive ({path})"));
    }
    Ok(Entry {
        path,
        kind,
        size: line.size.unwrap_or(0),
        mtime: line.mtime.and_then(|text| text.parse().ok()),
        mode: line.mode.as_deref().and_then(parse_octal),
        link_target,
        tree_hash: line.tree_hash,
        archive: line.archive_id,
        uploaded: Timestamp::UNIX_EPOCH,
        description: None,
        manifest: None,
    })
}

#[derive(Serialize, Deserialize)]
struct Line {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path_base64: Option<String>,
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mtime: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mode: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    link: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    link_base64: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    archive_id: Option<ArchiveId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tree_hash: Option<TreeHash>,
}

#[cfg(test)]
mod tests {
    use std::io;

    use icefield_protocol::{ArchiveId, Timestamp, TreeHash};
    use proptest::{collection::vec, prelude::any, prop_assert_eq, proptest};

    use super::{RefusedLine, read, write};
    use crate::{
        catalog::{Entry, FileTime, Kind},
        path::CatalogPath,
    };

    fn entry(path: &[u8], kind: Kind) -> Entry {
        Entry {
            path: CatalogPath::parse(path).unwrap(),
            kind,
            size: 0,
            mtime: Some(FileTime { seconds: 1, nanos: 5 }),
            mode: Some(0o755),
            link_target: None,
            tree_hash: None,
            archive: None,
            uploaded: Timestamp::UNIX_EPOCH,
            description: None,
            manifest: None,
        }
    }

    fn read_all(bytes: &[u8]) -> io::Result<Vec<Result<Entry, RefusedLine>>> {
        let mut lines = Vec::new();
        read(bytes, &mut |line| -> io::Result<()> {
            lines.push(line);
            Ok(())
        })?;
        Ok(lines)
    }

    #[test]
    fn folders_links_empty_files_and_long_paths_are_told() {
        let link = Entry { link_target: Some(b"../\xff".to_vec()), ..entry(b"l", Kind::Link) };
        let long = Entry {
            size: 9,
            archive: Some(ArchiveId::parse("-id").unwrap()),
            tree_hash: Some(TreeHash::from_bytes([7; 32])),
            ..entry(&[b'x'; 2000], Kind::File)
        };
        let all = [entry(b"d", Kind::Folder), link, entry("\u{e9}".as_bytes(), Kind::File), long];
        let mut bytes = Vec::new();
        write(&mut bytes, all.iter()).unwrap();
        assert!(bytes.starts_with(
            br#"{"path":"d","kind":"folder","mtime":"1970-01-01T00:00:01.000000005Z","mode":"0755"}"#
        ));
        assert_eq!(read_all(&bytes).unwrap(), all.map(Ok));
    }

    #[test]
    fn a_hostile_line_is_refused_by_name_and_the_rest_is_read() {
        let bytes = br#"{"path":"../../etc/passwd","kind":"file"}
{"path":"x","kind":"device"}

{"path":"l","kind":"link"}
nonsense
{"path":"ok","kind":"folder"}"#;
        let lines = read_all(bytes).unwrap();
        assert_eq!(lines.len(), 5);
        let refused: Vec<_> = lines.iter().filter_map(|line| line.as_ref().err()).collect();
        assert_eq!(refused.iter().map(|refused| refused.line).collect::<Vec<_>>(), [1, 2, 4, 5]);
        assert!(refused[0].why.contains("../../etc/passwd"), "{refused:?}");
        assert_eq!(lines[4].as_ref().unwrap().path.as_bytes(), b"ok");
    }

    #[test]
    fn a_line_without_end_is_not_taken_into_memory() {
        assert_eq!(read_all(&vec![b'x'; 2 << 20]).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    proptest! {
        #[test]
        fn any_path_and_target_come_back(path in vec(any::<u8>(), 1..50), target in vec(any::<u8>(), 0..50)) {
            let Ok(path) = CatalogPath::parse(path) else { return Ok(()) };
            let link = Entry { path, link_target: Some(target), ..entry(b"x", Kind::Link) };
            let mut bytes = Vec::new();
            write(&mut bytes, std::iter::once(&link)).unwrap();
            prop_assert_eq!(read_all(&bytes).unwrap(), vec![Ok(link)]);
        }

        #[test]
        fn any_bytes_are_read_or_refused_without_a_panic(bytes in vec(any::<u8>(), 0..300)) {
            drop(read_all(&bytes));
        }
    }
}
