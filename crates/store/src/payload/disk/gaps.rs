//! Where bodies are missing in a compacted pack.
//!
//! ```text
//! icefieldgaps1 PACK LENGTH COUNT CHECK\n
//! OFFSET BYTES\n                             COUNT times, in order
//! ```
//!
//! A compacted pack is a pack without some bodies; every other byte of it is as it was, and is spoken of by the offset that it
//! had. These lines say what is missing. They stand before the rest and, the lines first, once more behind it, so that no
//! single damage takes the way to every record.

use std::io;

use aws_lc_rs::digest;
use icefield_treehash::TreeHash;

use crate::payload::disk::{record, volume::VolumeFile};

const MAGIC: &str = "icefieldgaps1";
/// The header up to the space before its check.
const CHECKED_LEN: usize = MAGIC.len() + 3 * 9 + 1;
const HEADER_LEN: usize = CHECKED_LEN + 64 + 1;
const LINE_LEN: usize = 18;

/// A body that is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gap {
    /// Where it began.
    pub(super) offset: u32,
    /// Its length in bytes, at least one.
    pub(super) bytes: u32,
}

impl Gap {
    fn end(self) -> u64 {
        u64::from(self.offset) + u64::from(self.bytes)
    }
}

/// What is missing of a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gaps {
    pack: u32,
    /// Length of the pack with everything in it.
    len: u64,
    gaps: Vec<Gap>,
    /// How much is missing before each of them.
    before: Vec<u32>,
}

impl Gaps {
    /// Takes gaps in order; `None` if they overlap, are empty, or do not lie in a pack of this length.
    pub(super) fn new(pack: u32, len: u64, gaps: Vec<Gap>) -> Option<Self> {
        let mut before = Vec::with_capacity(gaps.len());
        let (mut missing, mut end) = (0_u32, 0);
        for gap in &gaps {
            if gap.bytes == 0 || u64::from(gap.offset) < end || gap.end() > len {
                return None;
            }
            before.push(missing);
            missing = missing.checked_add(gap.bytes)?;
            end = gap.end();
        }
        (len <= u64::from(u32::MAX)).then_some(Self { pack, len, gaps, before })
    }

    /// Length of the pack with everything in it.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn as_slice(&self) -> &[Gap] {
        &self.gaps
    }

    /// Length of the file: what is not missing, and the lines twice.
    pub(super) fn file_len(&self) -> u64 {
        2 * self.table_len() + self.file_offset(self.len) - self.table_len()
    }

    /// Length of the lines.
    pub(super) fn table_len(&self) -> u64 {
        (HEADER_LEN + self.gaps.len() * LINE_LEN) as u64
    }

    /// How many of the gaps end at or before `offset`.
    pub(super) fn passed(&self, offset: u64) -> usize {
        self.gaps.partition_point(|gap| gap.end() <= offset)
    }

    /// Where the byte at `offset` lies in the file; of a missing one, where the next one does that is not.
    pub(super) fn file_offset(&self, offset: u64) -> u64 {
        let passed = self.passed(offset);
        let missing = match (self.gaps.get(passed), self.before.get(passed)) {
            (Some(gap), Some(before)) => {
                u64::from(*before) + offset.saturating_sub(u64::from(gap.offset))
            }
            _ => self
                .gaps
                .iter()
                .zip(&self.before)
                .next_back()
                .map_or(0, |(gap, before)| u64::from(*before) + u64::from(gap.bytes)),
        };
        self.table_len() + offset - missing
    }

    /// Whether exactly this body is missing.
    pub(super) fn is_gap(&self, offset: u64, bytes: u64) -> bool {
        let at = self.gaps.binary_search_by_key(&offset, |gap| u64::from(gap.offset));
        at.is_ok_and(|at| u64::from(self.gaps[at].bytes) == bytes)
    }

    /// The lines for the beginning of the file and for its end.
    pub(super) fn encode(&self) -> (Vec<u8>, Vec<u8>) {
        let mut lines = Vec::with_capacity(self.gaps.len() * LINE_LEN);
        for Gap { offset, bytes } in &self.gaps {
            lines.extend_from_slice(format!("{offset:08x} {bytes:08x}\n").as_bytes());
        }
        let (pack, len, count) = (self.pack, self.len, self.gaps.len());
        let mut header = format!("{MAGIC} {pack:08x} {len:08x} {count:08x} ").into_bytes();
        let check = check_of(&header, &lines);
        header.extend_from_slice(check.to_string().as_bytes());
        header.push(b'\n');
        let front = [&header[..], &lines].concat();
        lines.extend_from_slice(&header);
        (front, lines)
    }

    /// Reads the lines of a pack, those at its beginning or, if these are damaged, those at its end.
    pub(super) fn read(file: &dyn VolumeFile, pack: u32) -> io::Result<Option<Self>> {
        match Self::read_one(file, pack, Side::Front)? {
            Some(gaps) => Ok(Some(gaps)),
            None => Self::read_one(file, pack, Side::Back),
        }
    }

    /// Reads the lines on one side of the file; `None` if they are not as they were written.
    pub(super) fn read_one(
        file: &dyn VolumeFile,
        pack: u32,
        side: Side,
    ) -> io::Result<Option<Self>> {
        let file_len = file.len()?;
        let header_at = match side {
            Side::Front => Some(0),
            Side::Back => file_len.checked_sub(HEADER_LEN as u64),
        };
        let Some(header_at) = header_at else { return Ok(None) };
        let mut header = [0; HEADER_LEN];
        if file.read_at(&mut header, header_at)? != HEADER_LEN {
            return Ok(None);
        }
        let Some((len, count, check)) = parse_header(&header, pack) else { return Ok(None) };
        let lines_len = count as usize * LINE_LEN;
        let lines_at = match side {
            Side::Front => Some(HEADER_LEN as u64),
            Side::Back => header_at.checked_sub(lines_len as u64),
        };
        let Some(lines_at) = lines_at else { return Ok(None) };
        if lines_at + lines_len as u64 > file_len {
            return Ok(None);
        }
        let mut lines = vec![0; lines_len];
        if file.read_at(&mut lines, lines_at)? != lines_len
            || check_of(&header[..CHECKED_LEN], &lines) != check
        {
            return Ok(None);
        }
        let gaps = lines.chunks_exact(LINE_LEN).map(parse_line).collect::<Option<Vec<_>>>();
        Ok(gaps.and_then(|gaps| Self::new(pack, len, gaps)))
    }
}

/// Which of the two copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Front,
    Back,
}

fn parse_header(header: &[u8; HEADER_LEN], of: u32) -> Option<(u64, u32, TreeHash)> {
    let rest = header.strip_prefix(MAGIC.as_bytes())?;
    let pack = number(rest.get(..9)?)?;
    let len = number(rest.get(9..18)?)?;
    let count = number(rest.get(18..27)?)?;
    let check = rest.get(27..)?.strip_prefix(b" ")?.strip_suffix(b"\n")?;
    (pack == of).then_some((u64::from(len), count, record::parse_hash(check)?))
}

fn parse_line(line: &[u8]) -> Option<Gap> {
    let bytes = number(line.get(8..17)?)?;
    let offset = record::parse_number(line.get(..8)?)?;
    (line.last() == Some(&b'\n')).then_some(Gap { offset, bytes })
}

/// A space and a number.
fn number(field: &[u8]) -> Option<u32> {
    record::parse_number(field.strip_prefix(b" ")?)
}

fn check_of(header: &[u8], lines: &[u8]) -> TreeHash {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(header);
    context.update(lines);
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    TreeHash::from_bytes(out)
}

#[cfg(test)]
mod tests {
    use super::{Gap, Gaps, Side};
    use crate::payload::disk::{simulated::SimulatedVolume, volume::Volume};

    fn gaps() -> Gaps {
        let gaps = [(10, 5), (15, 1), (90, 10)].map(|(offset, bytes)| Gap { offset, bytes });
        Gaps::new(7, 100, gaps.into()).unwrap()
    }

    #[test]
    fn what_is_not_missing_follows_each_other_in_the_file() {
        let gaps = gaps();
        let table = gaps.table_len();
        let at = |offset| gaps.file_offset(offset) - table;
        let expected = [(0, 0), (9, 9), (10, 10), (12, 10), (15, 10), (16, 10), (89, 83), (95, 84)];
        for (offset, place) in expected {
            assert_eq!(at(offset), place, "{offset}");
        }
        assert_eq!(gaps.file_len(), 2 * table + 100 - 16);
        let none = Gaps::new(1, 100, Vec::new()).unwrap();
        assert_eq!(none.file_offset(100) - none.table_len(), 100);
    }

    #[test]
    fn gaps_that_cannot_be_are_refused() {
        for bad in [[(10, 0), (20, 1)], [(10, 5), (14, 1)], [(20, 1), (10, 1)], [(1, 1), (99, 2)]] {
            let bad = bad.map(|(offset, bytes)| Gap { offset, bytes });
            assert_eq!(Gaps::new(1, 100, bad.into()), None);
        }
    }

    #[test]
    fn either_copy_is_enough_and_a_damaged_one_is_not_believed() {
        let (gaps, volume) = (gaps(), SimulatedVolume::new());
        let (front, back) = gaps.encode();
        let bytes = [&front[..], &[b'x'; 84], &back].concat();
        assert_eq!(bytes.len() as u64, gaps.file_len());
        let file = volume.create("a").unwrap();
        file.write_at(&bytes, 0).unwrap();
        for at in (0..front.len()).chain(bytes.len() - back.len()..bytes.len()) {
            volume.change("a", |bytes| bytes[at] ^= 1);
            let read = |side| Gaps::read_one(&*file, 7, side).unwrap();
            assert_eq!(read(Side::Front).is_some(), at >= front.len(), "{at}");
            assert_eq!(read(Side::Back).is_some(), at < front.len(), "{at}");
            assert_eq!(Gaps::read(&*file, 7).unwrap().as_ref(), Some(&gaps));
            volume.change("a", |bytes| bytes[at] ^= 1);
        }
        assert_eq!(Gaps::read(&*file, 8).unwrap(), None, "of another pack");
        volume.change("a", |bytes| bytes.truncate(20));
        assert_eq!(Gaps::read(&*file, 7).unwrap(), None);
    }
}
