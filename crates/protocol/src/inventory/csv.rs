//! The CSV form: a line of names, then a line per archive.
//!
//! A description with a comma, a quote or a backslash stands in quotes; a quote inside becomes `\"`, a backslash is
//! **not** escaped. Read from left to right that is ambiguous (`\"` may end a field or not), so it is not read that
//! way: the archive ID to the left and the three fields to the right never hold a comma, and what lies between them is
//! the description. There every quote has exactly one backslash of the format before it, so removing one before each
//! gives back *every* description without a line break: none is ambiguous. General CSV readers do not get this far,
//! which is why none is used.

use std::io::{self, BufRead, Read as _, Write};

use super::{InventoryError, InventoryHead, InventoryItem};
use crate::timestamp::Timestamp;

const NAMES: [&str; 5] =
    ["ArchiveId", "ArchiveDescription", "CreationDate", "Size", "SHA256TreeHash"];

/// Longest line that is read: several times what a description of 1,024 quotes takes.
const MAX_LINE_BYTES: usize = 16 << 10;

/// Writes an inventory as CSV. The form carries neither the vault nor the date.
#[derive(Debug)]
pub struct CsvInventoryWriter<W> {
    writer: W,
}

impl<W: Write> CsvInventoryWriter<W> {
    /// Begins an inventory with the line of names.
    ///
    /// # Errors
    ///
    /// When `writer` fails. Many small pieces are written, so it should be buffered.
    pub fn new(mut writer: W) -> io::Result<Self> {
        writeln!(writer, "{}", NAMES.join(","))?;
        Ok(Self { writer })
    }

    /// Adds an archive.
    ///
    /// # Errors
    ///
    /// When the writer fails, and (`InvalidInput`) on a description with a line break, which this form cannot hold.
    pub fn item(&mut self, item: &InventoryItem) -> io::Result<()> {
        let description = &item.description;
        if description.contains(['\n', '\r']) {
            let problem =
                format!("the description of archive {} has a line break", item.archive_id);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
        write!(self.writer, "{},", item.archive_id)?;
        if description.contains([',', '"', '\\']) {
            write!(self.writer, "\"{}\"", description.replace('"', "\\\""))?;
        } else {
            write!(self.writer, "{description}")?;
        }
        let tree_hash = item.tree_hash.map(|hash| hash.to_string()).unwrap_or_default();
        writeln!(self.writer, ",{},{},{tree_hash}", item.created.to_seconds_string(), item.size)
    }

    /// Flushes and returns the writer.
    ///
    /// # Errors
    ///
    /// When the writer fails.
    pub fn finish(mut self) -> io::Result<W> {
        self.writer.flush()?;
        Ok(self.writer)
    }
}

/// Reads an inventory in CSV and hands every item to `receiver`, in the order of the lines.
///
/// Lines end with `\n` or `\r\n`; empty lines and a byte order mark are skipped; any field may be quoted. The form has
/// no end mark, so a document that was cut off between two lines cannot be told from a whole one.
///
/// # Errors
///
/// When `reader` fails, a line is not what it should be (the error names it), or `receiver` refuses.
pub fn read_csv<E>(
    mut reader: impl BufRead,
    receiver: &mut dyn FnMut(InventoryItem) -> Result<(), E>,
) -> Result<InventoryHead, InventoryError<E>> {
    let mut head = InventoryHead::default();
    let mut line = Vec::new();
    let mut named = false;
    for number in 1_u64.. {
        let more = next_line(&mut reader, &mut line)
            .map_err(|source| InventoryError::Read { items: head.items, source })?;
        if !more {
            break;
        }
        let malformed = |problem: String| InventoryError::Malformed {
            place: format!("line {number}"),
            problem,
        };
        if line.len() > MAX_LINE_BYTES {
            return Err(malformed(format!("it is longer than {MAX_LINE_BYTES} bytes")));
        }
        let text = str::from_utf8(&line).map_err(|error| malformed(error.to_string()))?;
        let text = text.trim_end_matches(['\r', '\n']);
        if !named {
            check_names(text).map_err(malformed)?;
            named = true;
        } else if !text.is_empty() {
            let item = parse_line(text).map_err(malformed)?;
            receiver(item)
                .map_err(|source| InventoryError::Receiver { item: head.items + 1, source })?;
            head.items += 1;
        }
    }
    if named {
        Ok(head)
    } else {
        Err(InventoryError::Malformed {
            place: "line 1".to_owned(),
            problem: "it is missing".to_owned(),
        })
    }
}

/// Reads a line with its end, but not much more than the limit; returns false at the end of the document.
fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    reader.take(MAX_LINE_BYTES as u64 + 1).read_until(b'\n', line)?;
    Ok(!line.is_empty())
}

fn check_names(line: &str) -> Result<(), String> {
    let names = line.trim_start_matches('\u{feff}').split(',').map(unquoted);
    if names.eq(NAMES) { Ok(()) } else { Err(format!("expected the names {}", NAMES.join(","))) }
}

fn parse_line(line: &str) -> Result<InventoryItem, String> {
    let mut fields = line.rsplitn(4, ',');
    let mut right = || fields.next().ok_or("it has fewer than five fields");
    let (tree_hash, size, created, left) = (right()?, right()?, right()?, right()?);
    let (archive_id, description) = left.split_once(',').ok_or("it has fewer than five fields")?;
    Ok(InventoryItem {
        archive_id: unquoted(archive_id).parse().map_err(|error| format!("{error}"))?,
        description: verbatim(description),
        created: Timestamp::parse(unquoted(created)).map_err(|error| error.to_string())?,
        size: unquoted(size).parse().map_err(|_| format!("{size:?} is not a size in bytes"))?,
        tree_hash: match unquoted(tree_hash) {
            "" => None,
            hash => Some(hash.parse().map_err(|error| format!("{error}"))?),
        },
    })
}

/// Decodes a description. An unquoted one has no escapes: services quote whatever needs one.
fn verbatim(field: &str) -> String {
    let inside = unquoted(field);
    if inside.len() == field.len() { field.to_owned() } else { inside.replace("\\\"", "\"") }
}

/// Removes the quotes around a field that has them.
fn unquoted(field: &str) -> &str {
    field.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(field)
}
