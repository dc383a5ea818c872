//! The files of the log: which there are, and reading one by the offsets that its records say.
//!
//! ```text
//! packs/00000001.pack      as it was appended
//! packs/00000001.1.pack    compacted: without bodies that nothing needs, see `gaps`; .2 after the next time
//! ```
//!
//! Of several files of one pack the one of the lowest generation counts: it is removed only when the next one is durable and
//! was verified. What becomes of the others is in [`leftover`](super::leftover).

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    error::{Damage, StoreError},
    payload::disk::{
        fenced::{Disk, damaged},
        gaps::{Gaps, Side},
        volume::VolumeFile,
    },
};

/// Compacted packs that are kept open with their gaps ...
const MAX_OPEN: usize = 64;
/// ... of 12 bytes each, as long as there are no more than so many.
const MAX_GAPS: usize = 256 << 10;

/// Path of a pack in the store's folder.
pub(super) fn pack_path(pack: u32, generation: u32) -> String {
    match generation {
        0 => format!("packs/{pack:08x}.pack"),
        _ => format!("packs/{pack:08x}.{generation}.pack"),
    }
}

/// The number and the generation of the pack with this file name; `None` for names of other files.
pub(super) fn parse_name(name: &str) -> Option<(u32, u32)> {
    let stem = name.strip_suffix(".pack")?;
    let (number, generation) = stem.split_once('.').unwrap_or((stem, "0"));
    let number = u32::from_str_radix(number, 16).ok()?;
    let generation = generation.parse().ok()?;
    let is_ours = pack_path(number, generation).strip_prefix("packs/") == Some(name);
    (number != 0 && is_ours).then_some((number, generation))
}

/// All packs of a store.
#[derive(Debug)]
pub(super) struct Packs {
    disk: Arc<Disk>,
    /// Compacted ones, the one that was used last at the end. Held while one is opened and while one is replaced, so that
    /// none is kept that is not there any more.
    open: Mutex<Vec<Arc<PackFile>>>,
}

impl Packs {
    pub(super) fn new(disk: Arc<Disk>) -> Self {
        Self { disk, open: Mutex::default() }
    }

    pub(super) fn disk(&self) -> &Arc<Disk> {
        &self.disk
    }

    /// The generations of each pack, in order.
    pub(super) fn list(&self) -> Result<BTreeMap<u32, Vec<u32>>, StoreError> {
        let entries = self.disk.volume().entries("packs");
        let entries = entries.map_err(|error| self.disk.failed("listing", "packs", error))?;
        let mut found = BTreeMap::<u32, Vec<u32>>::new();
        for (pack, generation) in entries.iter().filter_map(|entry| parse_name(&entry.name)) {
            found.entry(pack).or_default().push(generation);
        }
        found.values_mut().for_each(|generations| generations.sort_unstable());
        Ok(found)
    }

    /// Opens a pack for reading; `None` when there is none of this number.
    pub(super) fn open(&self, number: u32) -> Result<Option<Arc<PackFile>>, StoreError> {
        if let Some(found) = used(&mut self.opened(), number) {
            return Ok(Some(found));
        }
        // Nearly every pack is one, and needs neither the list nor anything kept.
        let path = pack_path(number, 0);
        if let Some(file) = self.disk.find(&path)? {
            return Ok(Some(Arc::new(PackFile { number, generation: 0, path, file, gaps: None })));
        }
        let mut opened = self.opened();
        if let Some(found) = used(&mut opened, number) {
            return Ok(Some(found));
        }
        let generations = self.list()?.remove(&number);
        let Some(generation) = generations.and_then(|all| all.first().copied()) else {
            return Ok(None);
        };
        let Some(found) = self.open_generation(number, generation)?.map(Arc::new) else {
            return Ok(None);
        };
        opened.push(Arc::clone(&found));
        while opened.len() > MAX_OPEN || opened.len() > 1 && gaps_in(&opened) > MAX_GAPS {
            opened.remove(0);
        }
        Ok(Some(found))
    }

    /// Opens one file of a pack.
    pub(super) fn open_generation(
        &self,
        number: u32,
        generation: u32,
    ) -> Result<Option<PackFile>, StoreError> {
        let path = pack_path(number, generation);
        let Some(file) = self.disk.find(&path)? else { return Ok(None) };
        let mut gaps = None;
        if generation > 0 {
            let read = Gaps::read(&*file, number);
            let read = read.map_err(|error| self.disk.failed("reading", &path, error))?;
            gaps = Some(read.ok_or_else(|| damaged(&path, "its lists of gaps are damaged"))?);
        }
        Ok(Some(PackFile { number, generation, path, file, gaps }))
    }

    /// Removes the file of a pack, if the new one, which is durable and was verified, is in its place, and lets readers find
    /// that one.
    pub(super) fn replace(&self, old: &PackFile, new: &PackFile) -> Result<(), StoreError> {
        let mut opened = self.opened();
        self.disk.writable()?;
        let there = self.open_generation(new.number, new.generation)?;
        let is_same = match &there {
            Some(there) => {
                there.gaps == new.gaps && there.file_len(&self.disk)? == new.file_len(&self.disk)?
            }
            None => false,
        };
        if !is_same {
            return Err(damaged(&new.path, "somebody has changed it"));
        }
        let removed = self.disk.volume().remove(&old.path);
        removed.map_err(|error| self.disk.failed("removing", &old.path, error))?;
        opened.retain(|pack| pack.number != old.number);
        self.disk.sync_dir("packs")
    }

    /// What is wrong with the lists of gaps: each has two copies, so a damaged one harms nobody yet.
    pub(super) fn check_gaps(&self, cold: bool) -> Result<Vec<Damage>, StoreError> {
        let mut found = Vec::new();
        for (number, generations) in self.list()? {
            let Some(generation) = generations.first().copied().filter(|first| *first > 0) else {
                continue;
            };
            let place = pack_path(number, generation);
            let Some(file) = self.disk.find(&place)? else { continue };
            if cold {
                file.forget_cached(0, u64::MAX);
            }
            let failed = |error| self.disk.failed("reading", &place, error);
            let front = Gaps::read_one(&*file, number, Side::Front).map_err(failed)?;
            let back = Gaps::read_one(&*file, number, Side::Back).map_err(failed)?;
            let what = match (&front, &back) {
                (Some(front), Some(back)) if front != back => "its lists of gaps differ",
                (Some(front), Some(_)) if front.file_len() != file.len().map_err(failed)? => {
                    "another length than its list of gaps says"
                }
                (Some(_), Some(_)) => continue,
                (None, Some(_)) => "its list of gaps at the beginning is damaged",
                (Some(_), None) => "its list of gaps at the end is damaged",
                (None, None) => "its lists of gaps are damaged",
            };
            found.push(Damage { place, leaf: None, what: what.to_owned() });
        }
        Ok(found)
    }

    fn opened(&self) -> MutexGuard<'_, Vec<Arc<PackFile>>> {
        // Whatever is in there is open and whole.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn used(opened: &mut Vec<Arc<PackFile>>, number: u32) -> Option<Arc<PackFile>> {
    let at = opened.iter().position(|pack| pack.number == number)?;
    let found = opened.remove(at);
    opened.push(Arc::clone(&found));
    Some(found)
}

fn gaps_in(opened: &[Arc<PackFile>]) -> usize {
    opened.iter().filter_map(|pack| pack.gaps.as_ref()).map(|gaps| gaps.as_slice().len()).sum()
}

/// An open pack. Offsets are those that its records say, whatever is missing before them.
#[derive(Debug)]
pub(super) struct PackFile {
    pub(super) number: u32,
    pub(super) generation: u32,
    pub(super) path: String,
    file: Arc<dyn VolumeFile>,
    gaps: Option<Gaps>,
}

impl PackFile {
    /// A new file of a pack, with these gaps.
    pub(super) fn compacted(
        path: String,
        number: u32,
        generation: u32,
        file: Arc<dyn VolumeFile>,
        gaps: Gaps,
    ) -> Self {
        Self { number, generation, path, file, gaps: Some(gaps) }
    }

    /// Whether something may be missing; then nothing is appended any more, and nothing is torn.
    pub(super) fn is_compacted(&self) -> bool {
        self.gaps.is_some()
    }

    /// Length of the pack with everything in it.
    pub(super) fn len(&self, disk: &Disk) -> Result<u64, StoreError> {
        match &self.gaps {
            Some(gaps) => Ok(gaps.len()),
            None => disk.len(&*self.file, &self.path),
        }
    }

    /// Length of the file.
    pub(super) fn file_len(&self, disk: &Disk) -> Result<u64, StoreError> {
        disk.len(&*self.file, &self.path)
    }

    pub(super) fn file(&self) -> &dyn VolumeFile {
        &*self.file
    }

    pub(super) fn gaps(&self) -> Option<&Gaps> {
        self.gaps.as_ref()
    }

    /// Whether exactly this body is missing.
    pub(super) fn is_gap(&self, offset: u64, bytes: u64) -> bool {
        self.gaps.as_ref().is_some_and(|gaps| gaps.is_gap(offset, bytes))
    }

    /// Fills `buffer` from `offset` on and returns how many bytes there were: fewer only at the end. Zeros stand for what is
    /// missing.
    pub(super) fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let Some(gaps) = &self.gaps else { return self.file.read_at(buffer, offset) };
        let end = gaps.len().min(offset.saturating_add(buffer.len() as u64));
        if offset >= end {
            return Ok(0);
        }
        // All that is there of it, in one go; it lies together.
        let (begin, kept) = (gaps.file_offset(offset), gaps.file_offset(end));
        let mut bytes = vec![0; in_memory(kept - begin)];
        let count = self.file.read_at(&mut bytes, begin)?;
        let (mut rest, mut at) = (&bytes[..count], offset);
        let mut filled = 0;
        let mut next = gaps.as_slice()[gaps.passed(offset)..].iter();
        while at < end {
            let gap = next.next();
            let gap_at = gap.map_or(end, |gap| u64::from(gap.offset)).clamp(at, end);
            let there = in_memory(gap_at - at);
            let (now, later) = rest.split_at(there.min(rest.len()));
            buffer[filled..filled + now.len()].copy_from_slice(now);
            filled += now.len();
            if now.len() < there {
                return Ok(filled);
            }
            rest = later;
            let gap_end = gap.map_or(end, |gap| u64::from(gap.offset) + u64::from(gap.bytes));
            at = gap_end.clamp(gap_at, end);
            let missing = in_memory(at - gap_at);
            buffer[filled..filled + missing].fill(0);
            filled += missing;
        }
        Ok(filled)
    }

    /// Lets the next read of these bytes come from the medium.
    pub(super) fn forget_cached(&self, offset: u64, len: u64) {
        let (begin, end) = match &self.gaps {
            None => (offset, offset.saturating_add(len)),
            Some(gaps) => {
                let end = offset.saturating_add(len).min(gaps.len());
                (gaps.file_offset(offset.min(gaps.len())), gaps.file_offset(end))
            }
        };
        self.file.forget_cached(begin, end.saturating_sub(begin));
    }
}

fn in_memory(bytes: u64) -> usize {
    usize::try_from(bytes).expect("a part of a buffer is as long as one")
}
