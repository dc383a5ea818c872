//! The bytes of one record of the log. `docs/data-directory.md` shows them.
//!
//! ```text
//! icefield1 PACK OFFSET SYNCED META BODY BODY-SHA256 CHECK\n
//! {"entry":...}\n
//! body\n
//! ```
//!
//! Numbers are 8 hex digits, hashes 64. A record says where it lies, so that a copy of it, in the body of an archived
//! pack for example, is never taken for a record. It says up to where the pack had been synced when it was written: that
//! tells a batch which a power cut tore (nothing later was ever synced) from damage in what was durable.

use aws_lc_rs::digest;
use icefield_treehash::{LEAF_SIZE, TreeHash};

use crate::{
    entry::{Content, Entry},
    payload::{LogPosition, RecordPlace},
};

/// First bytes of each record.
pub(crate) const MAGIC: &[u8] = b"icefield1 ";

const NUMBER_LEN: usize = 8;
const HASH_LEN: usize = 64;
/// Bytes of the header line that the check covers: all before it.
const CHECKED_LEN: usize = MAGIC.len() + 5 * (NUMBER_LEN + 1) + HASH_LEN + 1;
/// Length of the header line with its end.
pub(crate) const HEADER_LEN: usize = CHECKED_LEN + HASH_LEN + 1;
/// Longest JSON text: 10,000 extents need 1.5 MB.
pub(crate) const MAX_META_LEN: usize = 16 << 20;
/// Longest body: one leaf, whose SHA-256 is its tree hash.
pub(crate) const MAX_BODY_LEN: usize = LEAF_SIZE;

/// A header line that fits its place. The check is not compared yet: it covers the JSON text, too.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    /// Everything in this pack before here had been synced when the record was written.
    pub(crate) synced: u64,
    /// Length of the JSON text in bytes.
    pub(crate) meta_len: usize,
    /// Length of the body in bytes.
    pub(crate) body_len: usize,
    /// SHA-256 of the body.
    pub(crate) body_hash: TreeHash,
}

impl Header {
    /// Reads the header line of a record at `at`; `None` for anything that is not exactly one.
    pub(crate) fn parse(line: &[u8], at: LogPosition) -> Option<Self> {
        let line: &[u8; HEADER_LEN] = line.try_into().ok()?;
        let mut rest = line.strip_prefix(MAGIC)?;
        let mut numbers = [0; 5];
        for number in &mut numbers {
            let (field, tail) = rest.split_at(NUMBER_LEN);
            *number = parse_number(field)?;
            rest = tail.strip_prefix(b" ")?;
        }
        let [pack, offset, synced, meta_len, body_len] = numbers;
        let body_hash = parse_hash(&rest[..HASH_LEN])?;
        let rest = rest[HASH_LEN..].strip_prefix(b" ")?;
        parse_hash(&rest[..HASH_LEN])?;
        if pack != at.pack || u64::from(offset) != at.offset || synced > offset {
            return None;
        }
        let (meta_len, body_len) = (meta_len as usize, body_len as usize);
        if rest[HASH_LEN] != b'\n' || meta_len > MAX_META_LEN || body_len > MAX_BODY_LEN {
            return None;
        }
        Some(Self { synced: u64::from(synced), meta_len, body_len, body_hash })
    }

    /// Length of the whole record.
    pub(crate) fn record_len(&self) -> u64 {
        (HEADER_LEN + self.meta_len + 1 + self.body_len + 1) as u64
    }

    /// Returns the JSON text, if it, its line end and the header line fit the check.
    pub(crate) fn json<'a>(line: &[u8], meta: &'a [u8]) -> Option<&'a [u8]> {
        let json = meta.strip_suffix(b"\n")?;
        let check = line.get(CHECKED_LEN..CHECKED_LEN + HASH_LEN)?;
        if check != hex(&check_of(&line[..CHECKED_LEN], json)).as_bytes() {
            return None;
        }
        Some(json)
    }
}

/// Reads the entry from a JSON text that fits its check; `None` for one that a newer icefield wrote.
pub(crate) fn entry(json: &[u8]) -> Option<Entry> {
    serde_json::from_slice(json).ok()
}

/// A whole record, taken apart and found intact.
pub(crate) fn split(record: &[u8], at: LogPosition) -> Result<(Entry, Header), &'static str> {
    let (entry, header) = split_frame(record, at)?;
    let body_at = HEADER_LEN + header.meta_len + 1;
    if TreeHash::of_leaf(&record[body_at..body_at + header.body_len]) != header.body_hash {
        return Err("the record's body does not fit its hash");
    }
    Ok((entry, header))
}

/// A whole record whose body is not looked at, taken apart and found intact but for that.
pub(crate) fn split_frame(record: &[u8], at: LogPosition) -> Result<(Entry, Header), &'static str> {
    let line = record.get(..HEADER_LEN).ok_or("shorter than recorded")?;
    let header = Header::parse(line, at).ok_or("the record's header is not what was written")?;
    if header.record_len() != record.len() as u64 {
        return Err("the record has another length");
    }
    let body_at = HEADER_LEN + header.meta_len + 1;
    let json = Header::json(line, &record[HEADER_LEN..body_at])
        .ok_or("the record's entry does not fit its check")?;
    let entry = entry(json).ok_or("a newer icefield wrote the record's entry")?;
    if record[body_at + header.body_len..] != *b"\n" {
        return Err("the record does not end where it should");
    }
    Ok((entry, header))
}

/// Why an entry cannot become a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TooLong {
    #[error("the entry is longer than {MAX_META_LEN} bytes")]
    Entry,
    #[error("a body in the log is longer than {MAX_BODY_LEN} bytes")]
    Body,
}

/// Appends a record that will lie at `at` to `out`.
pub(crate) fn write(
    out: &mut Vec<u8>,
    at: LogPosition,
    synced: u64,
    entry: &Entry,
    body: &[u8],
) -> Result<RecordPlace, TooLong> {
    let json = serde_json::to_vec(entry).expect("an entry is plain data");
    if json.len() > MAX_META_LEN {
        return Err(TooLong::Entry);
    }
    if body.len() > MAX_BODY_LEN {
        return Err(TooLong::Body);
    }
    let begin = out.len();
    let body_hash = body_hash(entry, body);
    let (pack, offset) = (at.pack, at.offset);
    let (meta_len, body_len) = (json.len(), body.len());
    let checked = format!(
        "icefield1 {pack:08x} {offset:08x} {synced:08x} {meta_len:08x} {body_len:08x} {body_hash} "
    );
    let check = hex(&check_of(checked.as_bytes(), &json));
    out.extend_from_slice(checked.as_bytes());
    out.extend_from_slice(check.as_bytes());
    out.push(b'\n');
    out.extend_from_slice(&json);
    out.push(b'\n');
    out.extend_from_slice(body);
    out.push(b'\n');
    Ok(RecordPlace { at, length: (out.len() - begin) as u64 })
}

/// The SHA-256 of the body. An archive's body was hashed when it was received: up to one MiB that is its tree hash.
fn body_hash(entry: &Entry, body: &[u8]) -> TreeHash {
    match entry {
        Entry::ArchiveCreated(archive) if archive.content == Content::Here => {
            debug_assert_eq!(archive.tree_hash, TreeHash::of_leaf(body), "hash of another body");
            archive.tree_hash
        }
        _ => TreeHash::of_leaf(body),
    }
}

fn check_of(checked: &[u8], json: &[u8]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(checked);
    context.update(json);
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

fn hex(bytes: &[u8; 32]) -> String {
    TreeHash::from_bytes(*bytes).to_string()
}

/// Reads 64 lower-case hex digits.
pub(crate) fn parse_hash(digits: &[u8]) -> Option<TreeHash> {
    if !digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    str::from_utf8(digits).ok()?.parse().ok()
}

/// Reads lower-case hex digits.
pub(super) fn parse_number(digits: &[u8]) -> Option<u32> {
    if !digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    u32::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
}
