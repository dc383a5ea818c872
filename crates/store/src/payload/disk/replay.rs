//! Reading the log in order, a page at a time, without the bodies.
//!
//! What cannot be read as a record is either damage or a torn tail: the last batch, cut by a crash before its sync was
//! acknowledged. Each record says up to where its pack had been synced when it was written. So a break is a torn tail
//! exactly when it is in the last pack and no intact record after it was written once the break had been synced. In the
//! last batch a repairing replay reads the bodies, too: there a crash may have kept a head without its body.
//!
//! What a repairing replay finds beyond the ledger was perhaps never synced: the process that wrote it may have died of a
//! failed sync, and what is read may be in the page cache only. [`settle`] makes it durable before it is read.

use std::{fmt, io, sync::Arc};

use crate::{
    entry::{DocumentName, Entry},
    error::{Damage, StoreError},
    payload::{
        LogPosition, RecordPlace, ReplayPage, Replayed,
        disk::{
            fenced::Disk,
            leftover,
            pack::{PackFile, Packs, pack_path, parse_name},
            record::{self, HEADER_LEN, Header, MAGIC},
            volume::{Access, VolumeFile},
        },
    },
};

/// A page ends at the first batch after so many records ...
const PAGE_RECORDS: usize = 1024;
/// ... or so many bytes of JSON.
const PAGE_META_BYTES: usize = 4 << 20;
/// Read at once, at least.
const WINDOW_BYTES: usize = 64 << 10;
/// Read at once while looking for the next intact record.
const SCAN_BYTES: usize = 1 << 20;
/// Enough of an entry to tell what it is, and the whole name of a document.
const ENTRY_BEGIN_BYTES: usize = 1024;
/// Documents named of one run of damaged bytes.
const MAX_TOLD: usize = 16;
/// Between a pack's name and the offset of a torn end that was cut off it.
const TORN: &str = ".torn-";

/// Reads a page from `from` on; `end` is where the log is known to end, if it is.
pub(super) fn page(
    all: &Packs,
    from: LogPosition,
    end: Option<LogPosition>,
    repair: bool,
) -> Result<ReplayPage, StoreError> {
    let packs: Vec<u32> = all.list()?.into_keys().collect();
    let mut page = Page::default();
    let mut at = if from.pack == 0 { LogPosition { pack: 1, offset: 0 } } else { from };
    loop {
        let later = packs.iter().any(|pack| *pack > at.pack);
        if !packs.contains(&at.pack) {
            if later {
                page.damaged(&pack_path(at.pack, 0), "missing file");
                at = LogPosition { pack: at.pack + 1, offset: 0 };
                page.lost = Some(at);
                continue;
            }
            if from.pack != 0 && at == from {
                page.damaged(&pack_path(at.pack, 0), "missing file: the ledger knows of it");
            }
            let next = if packs.is_empty() { LogPosition::default() } else { at };
            return Ok(page.finish(next, true));
        }
        let mut pack = match Pack::open(all, at.pack, end) {
            Ok(pack) => pack,
            // Nobody can tell where anything is in it.
            Err(StoreError::Damaged(damage)) => {
                page.items.push(Replayed::Damaged(damage));
                at = LogPosition { pack: at.pack + 1, offset: 0 };
                page.lost = Some(at);
                if later {
                    continue;
                }
                return Ok(page.finish(at, true));
            }
            Err(error) => return Err(error),
        };
        if at.offset > pack.len {
            page.damaged(&pack.path, "shorter than the ledger knows it");
        }
        while at.offset < pack.len {
            if let Some((entry, header)) = pack.head(at.offset)? {
                if header.synced == at.offset {
                    if page.is_full() {
                        return Ok(page.finish(at, false));
                    }
                    page.batch = page.items.len();
                }
                let place = RecordPlace { at, length: header.record_len() };
                page.record(entry, place, header.meta_len);
                at.offset += place.length;
                continue;
            }
            let torn = repair && !later && !pack.is_sealed() && !pack.synced_beyond(at.offset)?;
            if torn {
                let cut = page.first_bad_body(&mut pack)?.unwrap_or(at.offset);
                pack.cut(cut)?;
                return Ok(page.finish(LogPosition { offset: cut, ..at }, true));
            }
            let next = pack.next_intact(at.offset + 1)?.unwrap_or(pack.len);
            let told = pack.told(at.offset, next)?;
            let what = format!("bytes {} to {next} are no record{told}", at.offset);
            page.damaged(&pack.path, &what);
            page.batch = page.items.len();
            at.offset = next;
            if !told.only_archives {
                page.lost = Some(at);
            }
        }
        if !later {
            if repair
                && !pack.is_sealed()
                && let Some(cut) = page.first_bad_body(&mut pack)?
            {
                pack.cut(cut)?;
                at.offset = cut;
            }
            return Ok(page.finish(at, true));
        }
        at = LogPosition { pack: at.pack + 1, offset: 0 };
    }
}

/// Makes what the log has from `from` on durable, before any of it is believed.
///
/// The bytes are written again in place: after a failed sync the system takes their pages for clean, and a further sync
/// would not write them. Only the last pack can have such bytes, because the next one is begun after a sync of its
/// predecessor.
///
/// What an interrupted compaction left is removed before.
pub(super) fn settle(packs: &Packs, from: LogPosition) -> Result<(), StoreError> {
    leftover::remove(packs)?;
    let Some((last, generations)) = packs.list()?.pop_last() else { return Ok(()) };
    let disk = &**packs.disk();
    if generations.iter().any(|generation| *generation > 0) {
        // A compacted pack was synced before the one that it replaces was removed.
        return disk.sync_dir("packs");
    }
    let path = pack_path(last, 0);
    let mut at = if from.pack == last { from.offset } else { 0 };
    let file = disk.volume().open(&path, Access::Read);
    let len = disk.len(&*file.map_err(|error| disk.failed("opening", &path, error))?, &path)?;
    if at < len {
        disk.writable()?;
        let file = disk.volume().open(&path, Access::ReadWrite);
        let file = file.map_err(|error| disk.failed("opening", &path, error))?;
        let mut bytes = vec![0; SCAN_BYTES];
        while at < len {
            let count = file.read_at(&mut bytes, at);
            let count = count.map_err(|error| disk.failed("reading", &path, error))?;
            if count == 0 {
                break;
            }
            let written = file.write_at(&bytes[..count], at);
            written.map_err(|error| disk.failed("writing", &path, error))?;
            at += count as u64;
        }
        disk.sync(&*file, &path)?;
    }
    // A crash may have come between the creation of the pack and the sync of its name.
    disk.sync_dir("packs")
}

/// Whether this is the name of a file that keeps a torn end: `PACK.torn-OFFSET`, with a number when there were several.
pub(super) fn is_torn_name(name: &str) -> bool {
    let Some((pack, end)) = name.split_once(TORN) else { return false };
    let (offset, again) = end.split_once('.').unwrap_or((end, "1"));
    let is_offset = u32::from_str_radix(offset, 16).is_ok_and(|at| format!("{at:08x}") == offset);
    let is_again = again.parse::<u32>().is_ok_and(|count| count > 0 && count.to_string() == again);
    parse_name(pack).is_some_and(|(_, generation)| generation == 0) && is_offset && is_again
}

#[derive(Debug, Default)]
struct Page {
    items: Vec<Replayed>,
    /// Where in `items` the batch begins that the last record belongs to.
    batch: usize,
    meta_bytes: usize,
    lost: Option<LogPosition>,
}

impl Page {
    fn is_full(&self) -> bool {
        self.items.len() >= PAGE_RECORDS || self.meta_bytes >= PAGE_META_BYTES
    }

    fn record(&mut self, entry: Entry, place: RecordPlace, meta_len: usize) {
        self.meta_bytes += meta_len;
        self.items.push(Replayed::Record(entry, place));
    }

    fn damaged(&mut self, path: &str, what: &str) {
        let damage = Damage { place: path.to_owned(), leaf: None, what: what.to_owned() };
        self.items.push(Replayed::Damaged(damage));
    }

    /// Drops the last batch from its first record with a bad body on, and returns where that record begins.
    fn first_bad_body(&mut self, pack: &mut Pack<'_>) -> Result<Option<u64>, StoreError> {
        for index in self.batch..self.items.len() {
            if let Replayed::Record(_, place) = &self.items[index]
                && place.at.pack == pack.number
                && !pack.is_whole(*place)?
            {
                let cut = place.at.offset;
                self.items.truncate(index);
                return Ok(Some(cut));
            }
        }
        Ok(None)
    }

    fn finish(self, next: LogPosition, last: bool) -> ReplayPage {
        ReplayPage { items: self.items, next, last, lost: self.lost }
    }
}

/// What damaged bytes have told of.
struct Told {
    /// Every record in there, none of them intact, is one of an archive.
    only_archives: bool,
    /// Documents that can still be recognised.
    documents: Vec<DocumentName>,
}

impl Told {
    /// Adds a record, of which these bytes are the begin of the entry.
    fn add(&mut self, entry: &[u8]) {
        if entry.starts_with(br#"{"entry":"archive_"#) {
            return;
        }
        self.only_archives = false;
        let name = entry.strip_prefix(br#"{"entry":"document","name":""#);
        let name = name.and_then(|rest| rest.split(|byte| *byte == b'"').next());
        let name = name.and_then(|name| str::from_utf8(name).ok());
        let name = name.and_then(|name| DocumentName::parse(name).ok());
        if self.documents.len() < MAX_TOLD {
            self.documents.extend(name);
        }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.documents.iter().enumerate() {
            write!(f, "{} {name}", if index == 0 { "; they told of document" } else { "," })?;
        }
        Ok(())
    }
}

/// A pack being read forward.
pub(super) struct Pack<'a> {
    disk: &'a Disk,
    number: u32,
    path: String,
    file: Arc<PackFile>,
    len: u64,
    window_at: u64,
    window: Vec<u8>,
}

impl<'a> Pack<'a> {
    fn open(packs: &'a Packs, number: u32, end: Option<LogPosition>) -> Result<Self, StoreError> {
        let file = packs.open(number)?.ok_or_else(|| {
            let gone = io::Error::from(io::ErrorKind::NotFound);
            packs.disk().failed("opening", &pack_path(number, 0), gone)
        })?;
        let mut pack = Self::of(packs.disk(), file)?;
        if let Some(end) = end.filter(|end| end.pack == number) {
            pack.len = pack.len.min(end.offset);
        }
        Ok(pack)
    }

    /// Reads this file, all of it.
    pub(super) fn of(disk: &'a Disk, file: Arc<PackFile>) -> Result<Self, StoreError> {
        let (number, path, len) = (file.number, file.path.clone(), file.len(disk)?);
        Ok(Self { disk, number, path, file, len, window_at: 0, window: Vec::new() })
    }

    /// Whether its end cannot be torn.
    fn is_sealed(&self) -> bool {
        self.file.is_compacted()
    }

    /// Bytes from `offset` on: `len` of them, fewer only at the end of the pack.
    fn read(&mut self, offset: u64, len: usize, ahead: usize) -> Result<&[u8], StoreError> {
        let left = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = len.min(left);
        let begin = offset.checked_sub(self.window_at).and_then(|at| usize::try_from(at).ok());
        let begin = match begin {
            Some(begin) if begin + len <= self.window.len() => begin,
            _ => {
                self.window.resize(len.max(ahead).min(left), 0);
                let read = self.file.read_at(&mut self.window, offset);
                let count = read.map_err(|error| self.disk.failed("reading", &self.path, error))?;
                self.window.truncate(count);
                self.window_at = offset;
                0
            }
        };
        let end = (begin + len).min(self.window.len());
        Ok(&self.window[begin..end])
    }

    /// The record at `offset`, if its head is intact and its body within the pack.
    pub(super) fn head(&mut self, offset: u64) -> Result<Option<(Entry, Header)>, StoreError> {
        let at = LogPosition { pack: self.number, offset };
        let line = self.read(offset, HEADER_LEN, WINDOW_BYTES)?;
        let Some(header) = Header::parse(line, at) else { return Ok(None) };
        if offset + header.record_len() > self.len {
            return Ok(None);
        }
        let head = self.read(offset, HEADER_LEN + header.meta_len + 1, WINDOW_BYTES)?;
        let Some((line, meta)) = head.split_at_checked(HEADER_LEN) else { return Ok(None) };
        let Some(json) = Header::json(line, meta) else { return Ok(None) };
        // Every byte is as it was written: not torn, not damaged, and never to be cut off.
        match record::entry(json) {
            Some(entry) => Ok(Some((entry, header))),
            None => Err(StoreError::NewerRecord { path: self.path.clone(), offset }),
        }
    }

    /// What bytes that are no record have told of, as far as can be read: the first of them begin a record, and its lengths
    /// say where the next one begins.
    fn told(&mut self, mut offset: u64, end: u64) -> Result<Told, StoreError> {
        let mut told = Told { only_archives: true, documents: Vec::new() };
        while offset < end {
            let at = LogPosition { pack: self.number, offset };
            let header = Header::parse(self.read(offset, HEADER_LEN, WINDOW_BYTES)?, at);
            told.add(self.read(offset + HEADER_LEN as u64, ENTRY_BEGIN_BYTES, WINDOW_BYTES)?);
            let Some(header) = header else {
                told.only_archives = false;
                return Ok(told);
            };
            offset += header.record_len();
        }
        // Only the end of the pack may cut a record off.
        told.only_archives &= offset == end || end == self.len;
        Ok(told)
    }

    /// Whether every byte of a record fits its checks.
    pub(super) fn is_whole(&mut self, place: RecordPlace) -> Result<bool, StoreError> {
        let len = usize::try_from(place.length).unwrap_or(usize::MAX);
        let record = self.read(place.at.offset, len, len)?;
        Ok(record::split(record, place.at).is_ok())
    }

    /// Whether every byte of a record but those of its body fits its checks.
    pub(super) fn is_framed(&mut self, place: RecordPlace) -> Result<bool, StoreError> {
        let len = usize::try_from(place.length).unwrap_or(usize::MAX);
        let record = self.read(place.at.offset, len, WINDOW_BYTES)?;
        Ok(record::split_frame(record, place.at).is_ok())
    }

    /// Where the next record with an intact head begins, from `offset` on.
    fn next_intact(&mut self, mut offset: u64) -> Result<Option<u64>, StoreError> {
        while offset < self.len {
            let bytes = self.read(offset, SCAN_BYTES, SCAN_BYTES)?;
            let len = bytes.len();
            let Some(found) = bytes.windows(MAGIC.len()).position(|window| window == MAGIC) else {
                // The next one may begin in the last few bytes.
                offset += len.saturating_sub(MAGIC.len() - 1).max(1) as u64;
                continue;
            };
            offset += found as u64;
            if self.head(offset)?.is_some() {
                return Ok(Some(offset));
            }
            offset += 1;
        }
        Ok(None)
    }

    /// Whether an intact record after `offset` was written when the byte at `offset` had been synced.
    fn synced_beyond(&mut self, offset: u64) -> Result<bool, StoreError> {
        let mut from = offset + 1;
        while let Some(found) = self.next_intact(from)? {
            let mut at = found;
            while let Some((_, header)) = self.head(at)? {
                if header.synced > offset {
                    return Ok(true);
                }
                at += header.record_len();
            }
            from = at.max(found + 1);
        }
        Ok(false)
    }

    /// Cuts a torn tail off, durable, once its bytes are kept beside the pack.
    ///
    /// A crash leaves such an end, and nothing of it was acknowledged. But damage to the last batch looks the same when the
    /// ledger does not know the batch (it is an older copy, or was rebuilt), so no byte of it is thrown away.
    fn cut(&mut self, offset: u64) -> Result<(), StoreError> {
        self.disk.writable()?;
        if offset < self.len {
            let kept = self.keep(offset)?;
            tracing::warn!(
                pack = self.path,
                offset,
                kept,
                "cut off an end that a crash has torn; its bytes are kept, and may be removed if there was a crash"
            );
        }
        let cut = self.disk.volume().open(&self.path, Access::ReadWrite).and_then(|file| {
            file.truncate(offset)?;
            Ok(file)
        });
        let file =
            cut.map_err(|error| self.disk.failed("cutting the torn end of", &self.path, error))?;
        self.disk.sync(&*file, &self.path)
    }

    /// Copies the bytes from `offset` on to a new file, durable, and returns its path.
    fn keep(&self, offset: u64) -> Result<String, StoreError> {
        let (path, file) = self.create_torn(offset)?;
        if let Err(error) = self.copy_to(&*file, offset) {
            // Best effort: half a copy is of no use, and the pack still has the bytes.
            drop(self.disk.volume().remove(&path));
            return Err(self.disk.failed("keeping the torn end of a pack in", &path, error));
        }
        self.disk.sync(&*file, &path)?;
        self.disk.sync_dir("packs")?;
        Ok(path)
    }

    /// Creates a file for a torn end under the first name that is free.
    fn create_torn(&self, offset: u64) -> Result<(String, Arc<dyn VolumeFile>), StoreError> {
        let first = format!("{}{TORN}{offset:08x}", self.path);
        let (mut path, mut count) = (first.clone(), 1_u32);
        loop {
            match self.disk.volume().create(&path) {
                Ok(file) => return Ok((path, file)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    count += 1;
                    path = format!("{first}.{count}");
                }
                Err(error) => return Err(self.disk.failed("creating", &path, error)),
            }
        }
    }

    fn copy_to(&self, kept: &dyn VolumeFile, offset: u64) -> io::Result<()> {
        let mut bytes = vec![0; SCAN_BYTES];
        let mut at = offset;
        while at < self.len {
            let count = self.file.read_at(&mut bytes, at)?;
            if count == 0 {
                break;
            }
            kept.write_at(&bytes[..count], at - offset)?;
            at += count as u64;
        }
        Ok(())
    }
}
