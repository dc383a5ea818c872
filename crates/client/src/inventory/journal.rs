//! Journals of mt-aws-glacier: one line for everything it has done with a vault, the newest last.
//!
//! ```text
//! B TAB 1546519510 TAB CREATED TAB ARCHIVE TAB SIZE TAB MTIME TAB TREEHASH TAB PATH
//! B TAB 1546519510 TAB DELETED TAB ARCHIVE TAB PATH
//! B TAB 1546519510 TAB RETRIEVE_JOB TAB ARCHIVE TAB JOB
//! ```
//!
//! `MTIME` is in seconds, or `NONE`. Version C is as B; A has no `NONE`, and the archive ID for a path that was not known.
//! The first version, without a letter, has spaces and no `MTIME`. A line without an end was torn by a crash: a path that
//! is cut off looks like a whole one, so nothing of it is used.

use std::io::{BufRead, Read as _};

use icefield_protocol::{ArchiveId, Timestamp, TreeHash, shortened};

use super::{FileItem, ReadError, Refusal, files::MAX_ROW_BYTES, named::placeholder};
use crate::{
    catalog::{Entry, FileTime, Kind},
    path::native,
};

const WORDS: [&str; 3] = ["CREATED", "DELETED", "RETRIEVE_JOB"];

/// Whether a file with this first line is a journal.
pub(super) fn is_journal(line: &[u8]) -> bool {
    let is_time = |field: &[u8]| !field.is_empty() && field.iter().all(u8::is_ascii_digit);
    let is_word = |field: &[u8]| WORDS.iter().any(|word| word.as_bytes() == field);
    let mut tabs = line.split(|byte| *byte == b'\t');
    let mut blanks = line.split(|byte| *byte == b' ').filter(|field| !field.is_empty());
    match (tabs.next(), tabs.next(), tabs.next()) {
        (Some([b'A'..=b'Z']), Some(time), Some(word)) => is_time(time) && is_word(word),
        _ => blanks.next().is_some_and(is_time) && blanks.next().is_some_and(is_word),
    }
}

/// Reads a journal whose first line is line `first` of the file.
pub(super) fn read<E>(
    mut reader: impl BufRead,
    first: u64,
    each: &mut dyn FnMut(FileItem) -> Result<(), E>,
) -> Result<(), ReadError<E>> {
    let mut line = Vec::new();
    for number in first.. {
        line.clear();
        let length = reader.by_ref().take(MAX_ROW_BYTES as u64).read_until(b'\n', &mut line);
        if length.map_err(ReadError::Read)? == 0 {
            break;
        }
        let place = format!("line {number}");
        if line.len() >= MAX_ROW_BYTES {
            let problem = format!("the line is longer than {MAX_ROW_BYTES} bytes");
            return Err(ReadError::Malformed { place, problem });
        }
        if matches!(line.as_slice(), [b'D'..=b'Z', b'\t', ..]) {
            let problem = "it is of a version that this icefield does not know".to_owned();
            return Err(ReadError::Malformed { place, problem });
        }
        let item = match line.strip_suffix(b"\n") {
            Some(line) => parse(line.strip_suffix(b"\r").unwrap_or(line)),
            None => Err(format!("it has no end, so it may be cut off: {}", shown(&line))),
        };
        match item {
            Ok(Some(item)) => each(item),
            Ok(None) => Ok(()),
            Err(why) => each(FileItem::Refused(Refusal { place, why })),
        }
        .map_err(ReadError::Receiver)?;
    }
    Ok(())
}

/// Reads a line; none when it tells nothing of an archive.
fn parse(line: &[u8]) -> Result<Option<FileItem>, String> {
    if line.trim_ascii().is_empty() {
        return Ok(None);
    }
    let broken = || format!("it is no line of a journal: {}", shown(line));
    let (separator, fields) = match line {
        [version @ b'A'..=b'C', b'\t', rest @ ..] => ((b'\t', Some(*version)), rest),
        rest => ((b' ', None), rest),
    };
    let (separator, version) = separator;
    let field = |count: usize| fields.splitn(count, |byte| *byte == separator);
    let mut head = field(4).map(utf8);
    let mut next = || head.next().flatten().ok_or_else(broken);
    let time = seconds(next()?).ok_or_else(broken)?;
    let (word, archive) = (next()?, next()?);
    let archive =
        || ArchiveId::parse_issued(archive).map_err(|error| format!("{}: {error}", shown(line)));
    match word {
        "CREATED" => {
            let mut rest = field(if version.is_some() { 7 } else { 6 }).skip(3);
            let mut next = || rest.next().and_then(utf8).ok_or_else(broken);
            let size = next()?;
            let mtime = match version {
                Some(_) => mtime(next()?).ok_or_else(broken)?,
                None => None,
            };
            let tree_hash = next()?;
            let path = rest.next().ok_or_else(broken)?;
            created(archive()?, path, (time, size, mtime, tree_hash)).map(Some)
        }
        "DELETED" => Ok(Some(FileItem::Deleted { archive: archive()?, at: time })),
        "RETRIEVE_JOB" => Ok(None),
        _ => Err(broken()),
    }
}

fn created(
    archive: ArchiveId,
    name: &[u8],
    (time, size, mtime, tree_hash): (Timestamp, &str, Option<FileTime>, &str),
) -> Result<FileItem, String> {
    // What had no description is called by its ID.
    let has_name = name != archive.as_str().as_bytes();
    let path = if has_name {
        native::to_catalog(name).map_err(|error| error.to_string())?
    } else {
        placeholder(&archive)
    };
    let named = |problem: &dyn std::fmt::Display| format!("{path}: {problem}");
    let size = size.parse::<u64>().ok().filter(|size| i64::try_from(*size).is_ok());
    let size = size.ok_or_else(|| named(&"the size is wrong"))?;
    let tree_hash = tree_hash.parse::<TreeHash>().map_err(|error| named(&error))?;
    Ok(FileItem::Named(Entry {
        kind: Kind::File,
        size,
        mtime: mtime.filter(|_| has_name),
        mode: None,
        link_target: None,
        tree_hash: Some(tree_hash),
        archive: Some(archive),
        uploaded: time,
        description: None,
        manifest: None,
        path,
    }))
}

fn utf8(field: &[u8]) -> Option<&str> {
    std::str::from_utf8(field).ok()
}

fn seconds(text: &str) -> Option<Timestamp> {
    let seconds: i64 = text.parse().ok().filter(|seconds| *seconds >= 0)?;
    Some(Timestamp::from_unix_millis(seconds.checked_mul(1000)?))
}

fn mtime(text: &str) -> Option<Option<FileTime>> {
    if text == "NONE" {
        return Some(None);
    }
    text.parse().ok().map(|seconds| Some(FileTime { seconds, nanos: 0 }))
}

/// Returns the line of an entry, of version B.
pub(super) fn line(entry: &Entry) -> Result<String, &'static str> {
    const UNKNOWN: &str =
        "its size, date or tree hash is not known; run `icefield inventory refresh` first";
    let path = entry.path.as_utf8().filter(|path| !path.contains(['\t', '\r', '\n']));
    let path =
        path.ok_or("a journal holds no such path: it is not UTF-8, or has a tab or a line break")?;
    let archive = entry.archive.as_ref().ok_or(UNKNOWN)?;
    ArchiveId::parse_issued(archive.as_str())
        .map_err(|_| "its archive is in no vault of Glacier")?;
    let uploaded = entry.known_uploaded().ok_or(UNKNOWN)?.unix_millis().div_euclid(1000);
    let size = entry.known_size().ok_or(UNKNOWN)?;
    let tree_hash = entry.tree_hash.ok_or(UNKNOWN)?;
    let mtime = entry.mtime.map_or_else(|| "NONE".to_owned(), |mtime| mtime.seconds.to_string());
    Ok(format!("B\t{uploaded}\tCREATED\t{archive}\t{size}\t{mtime}\t{tree_hash}\t{path}\n"))
}

fn shown(line: &[u8]) -> String {
    format!("{:?}", shortened(&String::from_utf8_lossy(line)))
}
