//! A pack rewritten without bodies that nothing needs.
//!
//! ```text
//! survey   every byte of the old file that is kept is verified, every dead body is found where it should be
//! write    next generation: what is missing, what is kept, what is missing; then synced, then its name
//! verify   every byte of the new file, from the medium
//! switch   the old name is removed, the folder synced
//! ```
//!
//! Until the old name is gone it is the pack, see [`pack`](super::pack), so a crash at any point needs no decision.

use std::{io, sync::Arc};

use async_trait::async_trait;

use crate::{
    entry::{Content, Entry},
    error::StoreError,
    payload::{
        DeadBody, LogPosition, Owned, PackRewrite, RecordPlace, Survey,
        disk::{
            fenced::{blocking, damaged},
            gaps::{Gap, Gaps, Side},
            leftover,
            log::Log,
            pack::{PackFile, Packs, pack_path},
            record::{HEADER_LEN, Header},
            replay::Pack,
        },
    },
};

/// Copied at once.
const CHUNK_BYTES: usize = 1 << 20;

/// Begins with a pack that nothing is appended to any more.
pub(super) fn begin(
    log: &Log,
    number: u32,
    dead: Vec<DeadBody>,
    owned: Owned,
) -> Result<Option<Rewriting>, StoreError> {
    let packs = Arc::clone(log.packs());
    packs.disk().writable()?;
    if !log.is_sealed(number) {
        return Ok(None);
    }
    let Some(source) = packs.open(number)? else { return Ok(None) };
    let disk = packs.disk();
    let free = disk.volume().free_bytes();
    let free = free.map_err(|error| disk.failed("looking for room beside", &source.path, error))?;
    if free < source.file_len(disk)? {
        // About half of that is needed; the rest is for those who store something meanwhile.
        return Err(StoreError::Full { path: disk.volume().root().join(&source.path) });
    }
    let len = source.len(disk)?;
    let phase = Phase::Survey(Surveying::default());
    Ok(Some(Rewriting {
        work: Some(Box::new(Rewrite { packs, source, len, dead, phase, _owned: owned })),
    }))
}

/// Where the records begin of those bodies that their pack does not have any more.
pub(super) fn dropped(packs: &Packs, bodies: &[DeadBody]) -> Result<Vec<LogPosition>, StoreError> {
    let mut found = Vec::new();
    let Some(first) = bodies.first() else { return Ok(found) };
    let Some(file) = packs.open(first.at.pack)?.filter(|file| file.is_compacted()) else {
        return Ok(found);
    };
    let mut pack = Pack::of(packs.disk(), Arc::clone(&file))?;
    for body in bodies {
        let at = body.at.offset;
        if let Some((entry, header)) = pack.head(at)?
            && is_body_of(body, &entry, &header)
            && is_gap(&file, at, &header)
        {
            found.push(body.at);
        }
    }
    Ok(found)
}

/// The asynchronous side: what is done goes on when nobody waits for it any more.
#[derive(Debug)]
pub(super) struct Rewriting {
    work: Option<Box<Rewrite>>,
}

impl Rewriting {
    async fn run<T: Send + 'static>(
        &mut self,
        step: impl FnOnce(&mut Rewrite) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let mut work = self.work.take().ok_or(StoreError::Closed)?;
        let (work, result) = blocking(move || {
            let result = step(&mut work);
            Ok((work, result))
        })
        .await?;
        self.work = Some(work);
        result
    }
}

#[async_trait]
impl PackRewrite for Rewriting {
    async fn survey(&mut self, budget_bytes: u64) -> Result<Option<Survey>, StoreError> {
        self.run(move |work| work.survey(budget_bytes)).await
    }

    async fn write(&mut self, budget_bytes: u64) -> Result<bool, StoreError> {
        self.run(move |work| work.write(budget_bytes)).await
    }

    async fn switch(mut self: Box<Self>) -> Result<u64, StoreError> {
        self.run(Rewrite::switch).await
    }

    async fn abandon(mut self: Box<Self>) -> Result<(), StoreError> {
        self.run(Rewrite::abandon).await
    }
}

#[derive(Debug)]
struct Rewrite {
    packs: Arc<Packs>,
    source: Arc<PackFile>,
    len: u64,
    dead: Vec<DeadBody>,
    phase: Phase,
    /// Nobody else rewrites, and nobody else owns the store, until this is dropped.
    _owned: Owned,
}

#[derive(Debug)]
enum Phase {
    Survey(Surveying),
    Surveyed(Vec<Gap>),
    Write { to: PackFile, at: u64 },
    Verify { of: Arc<PackFile>, at: u64, gaps: usize },
    Verified(Arc<PackFile>),
    Over,
}

#[derive(Debug, Default)]
struct Surveying {
    at: u64,
    /// Of `dead`, so many have been found.
    found: usize,
    /// Of the file's own gaps, so many have been found.
    passed: usize,
    gaps: Vec<Gap>,
    survey: Survey,
}

impl Rewrite {
    fn survey(&mut self, budget_bytes: u64) -> Result<Option<Survey>, StoreError> {
        let Phase::Survey(now) = &mut self.phase else { return Err(StoreError::Closed) };
        let (source, dead) = (&self.source, &self.dead);
        let broken = |at: u64, what: &str| damaged(&source.path, format!("at byte {at}: {what}"));
        let visit = |now: &mut Surveying, at: u64, entry: &Entry, header: &Header| {
            match entry {
                Entry::ArchiveCreated(archive) => now.survey.vaults.insert(archive.vault),
                Entry::ArchiveDeleted { vault, .. } => now.survey.vaults.insert(*vault),
                _ => false,
            };
            let gap = gap_of(at, header);
            let is_gap = is_gap(source, at, header);
            now.passed += usize::from(is_gap);
            let body = dead.get(now.found).filter(|body| body.at.offset <= at);
            if let Some(body) = body {
                if body.at.offset != at || !is_body_of(body, entry, header) {
                    return Err(broken(
                        body.at.offset,
                        "not the record of the archive that the ledger knows to be dead there",
                    ));
                }
                now.found += 1;
                if !is_gap {
                    now.survey.droppable.push(*body);
                }
            }
            if is_gap || body.is_some() {
                now.gaps.extend(gap);
            }
            Ok(is_gap || body.is_some())
        };
        let mut at = now.at;
        walk(&self.packs, source, &mut at, self.len, budget_bytes, |at, entry, header| {
            visit(now, at, entry, header)
        })?;
        now.at = at;
        if at < self.len {
            return Ok(None);
        }
        if now.found < dead.len() {
            return Err(broken(dead[now.found].at.offset, "beyond the last record"));
        }
        if now.passed != source.gaps().map_or(0, |gaps| gaps.as_slice().len()) {
            return Err(damaged(&source.path, "gaps are not where bodies were"));
        }
        let survey = std::mem::take(&mut now.survey);
        self.phase = Phase::Surveyed(std::mem::take(&mut now.gaps));
        Ok(Some(survey))
    }

    fn write(&mut self, budget_bytes: u64) -> Result<bool, StoreError> {
        let written = self.try_write(budget_bytes);
        if written.is_err() {
            // Best effort: the next attempt or opening removes it as well, and needs the room less than others do now.
            drop(self.abandon());
        }
        written
    }

    fn try_write(&mut self, budget_bytes: u64) -> Result<bool, StoreError> {
        let disk = Arc::clone(self.packs.disk());
        disk.writable()?;
        match &mut self.phase {
            Phase::Surveyed(gaps) => {
                let gaps = std::mem::take(gaps);
                self.phase = Phase::Write { to: self.create(gaps)?, at: 0 };
            }
            Phase::Write { to, at } => {
                let end = self.len.min(at.saturating_add(budget_bytes.max(1)));
                copy(&self.packs, &self.source, to, at, end)?;
                if *at == self.len {
                    let (number, generation) = (to.number, to.generation);
                    finish(&self.packs, to)?;
                    let of = self.packs.open_generation(number, generation)?;
                    let of = of.ok_or_else(|| damaged(&to.path, "missing file"))?;
                    if of.gaps() != to.gaps() {
                        return Err(damaged(&of.path, "its gaps are not what was written"));
                    }
                    self.phase = Phase::Verify { of: Arc::new(of), at: 0, gaps: 0 };
                }
            }
            Phase::Verify { of, at, gaps } => {
                walk(&self.packs, of, at, self.len, budget_bytes, |at, _, header| {
                    let is_gap = is_gap(of, at, header);
                    *gaps += usize::from(is_gap);
                    Ok(is_gap)
                })?;
                if *at == self.len {
                    if Some(*gaps) != of.gaps().map(|gaps| gaps.as_slice().len()) {
                        return Err(damaged(&of.path, "gaps are not where bodies were"));
                    }
                    self.phase = Phase::Verified(Arc::clone(of));
                    return Ok(true);
                }
            }
            Phase::Verified(_) => return Ok(true),
            Phase::Survey(_) | Phase::Over => return Err(StoreError::Closed),
        }
        Ok(false)
    }

    /// Creates the file of the next generation and writes to its beginning what is missing in it.
    fn create(&self, gaps: Vec<Gap>) -> Result<PackFile, StoreError> {
        let disk = self.packs.disk();
        let (number, generation) = (self.source.number, self.source.generation + 1);
        let path = pack_path(number, generation);
        let gaps = Gaps::new(number, self.len, gaps)
            .ok_or_else(|| damaged(&self.source.path, "its gaps would overlap"))?;
        let file = match disk.volume().create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // An attempt before this one was given up, or the source is an older file that somebody has put there.
                leftover::judge(&self.packs, number, self.source.generation, generation)?;
                disk.volume().remove(&path).and_then(|()| disk.volume().create(&path))
            }
            created => created,
        };
        let file = file.map_err(|error| disk.failed("creating", &path, error))?;
        let (front, _) = gaps.encode();
        let written = file.write_at(&front, 0);
        let pack = PackFile::compacted(path, number, generation, file, gaps);
        match written {
            Ok(()) => Ok(pack),
            Err(error) => {
                drop(disk.volume().remove(&pack.path));
                Err(disk.failed("writing", &pack.path, error))
            }
        }
    }

    fn switch(&mut self) -> Result<u64, StoreError> {
        let Phase::Verified(new) = std::mem::replace(&mut self.phase, Phase::Over) else {
            return Err(StoreError::Closed);
        };
        let disk = Arc::clone(self.packs.disk());
        let shorter = self.source.file_len(&disk)?.saturating_sub(new.file_len(&disk)?);
        let replaced = self.packs.replace(&self.source, &new);
        if replaced.is_err() && matches!(disk.find(&self.source.path), Ok(Some(_))) {
            // The old one is the pack, so nobody needs the new one. Best effort, as above.
            self.phase = Phase::Verified(new);
            drop(self.abandon());
        }
        replaced.map(|()| shorter)
    }

    fn abandon(&mut self) -> Result<(), StoreError> {
        let path = match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Write { to, .. } => to.path,
            Phase::Verify { of, .. } | Phase::Verified(of) => of.path.clone(),
            Phase::Survey(_) | Phase::Surveyed(_) | Phase::Over => return Ok(()),
        };
        let disk = self.packs.disk();
        disk.writable()?;
        disk.volume().remove(&path).map_err(|error| disk.failed("removing", &path, error))
    }
}

/// Reads records from `at` on, about so many bytes, and verifies every byte of them, but for the bodies of which `visit` says
/// that nobody needs them.
pub(super) fn walk(
    packs: &Packs,
    file: &Arc<PackFile>,
    at: &mut u64,
    len: u64,
    budget_bytes: u64,
    mut visit: impl FnMut(u64, &Entry, &Header) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    let mut pack = Pack::of(packs.disk(), Arc::clone(file))?;
    let begin = *at;
    let broken = |at: u64| damaged(&file.path, format!("at byte {at}: not intact"));
    while *at < len && *at - begin < budget_bytes.max(1) {
        let (entry, header) = pack.head(*at)?.ok_or_else(|| broken(*at))?;
        let begins = LogPosition { pack: file.number, offset: *at };
        let place = RecordPlace { at: begins, length: header.record_len() };
        let is_intact = match visit(*at, &entry, &header)? {
            true => pack.is_framed(place)?,
            false => pack.is_whole(place)?,
        };
        if !is_intact {
            return Err(broken(*at));
        }
        *at += place.length;
    }
    // What was read once is not needed again; others need the memory.
    file.forget_cached(begin, *at - begin);
    Ok(())
}

/// Copies what is kept of the bytes from `at` to `end`.
fn copy(
    packs: &Packs,
    from: &PackFile,
    to: &PackFile,
    at: &mut u64,
    end: u64,
) -> Result<(), StoreError> {
    let disk = packs.disk();
    let Some(gaps) = to.gaps() else { return Err(StoreError::Closed) };
    let begin = *at;
    let (mut bytes, mut kept) = (vec![0; CHUNK_BYTES], Vec::with_capacity(CHUNK_BYTES));
    while *at < end {
        let len = usize::try_from(end - *at).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        let count = from.read_at(&mut bytes[..len], *at);
        if count.map_err(|error| disk.failed("reading", &from.path, error))? != len {
            return Err(damaged(&from.path, "shorter than it was"));
        }
        kept.clear();
        let (mut next, chunk_end) = (*at, *at + len as u64);
        for gap in &gaps.as_slice()[gaps.passed(*at)..] {
            let gap_at = u64::from(gap.offset);
            if gap_at >= chunk_end {
                break;
            }
            kept.extend_from_slice(part(&bytes, *at, next, gap_at.max(next)));
            next = (gap_at + u64::from(gap.bytes)).min(chunk_end);
        }
        kept.extend_from_slice(part(&bytes, *at, next, chunk_end));
        let written = to.file().write_at(&kept, gaps.file_offset(*at));
        written.map_err(|error| disk.failed("writing", &to.path, error))?;
        *at = chunk_end;
    }
    from.forget_cached(begin, *at - begin);
    Ok(())
}

/// Of bytes that begin at `base`, those from `begin` to `end`.
fn part(bytes: &[u8], base: u64, begin: u64, end: u64) -> &[u8] {
    let index = |at: u64| usize::try_from(at - base).unwrap_or(usize::MAX);
    bytes.get(index(begin)..index(end)).unwrap_or_default()
}

/// Writes to the end of the file what is missing in it, and makes all of it durable.
fn finish(packs: &Packs, to: &PackFile) -> Result<(), StoreError> {
    let disk = packs.disk();
    let Some(gaps) = to.gaps() else { return Err(StoreError::Closed) };
    let (_, back) = gaps.encode();
    let written = to.file().write_at(&back, gaps.file_offset(gaps.len()));
    written.map_err(|error| disk.failed("writing", &to.path, error))?;
    disk.sync(to.file(), &to.path)?;
    disk.sync_dir("packs")?;
    to.file().forget_cached(0, u64::MAX);
    for side in [Side::Front, Side::Back] {
        let found = Gaps::read_one(to.file(), to.number, side);
        let found = found.map_err(|error| disk.failed("reading", &to.path, error))?;
        if found.as_ref() != Some(gaps) {
            return Err(damaged(&to.path, "its gaps are not what was written"));
        }
    }
    if to.file_len(disk)? != gaps.file_len() {
        return Err(damaged(&to.path, "its length is not what was written"));
    }
    Ok(())
}

/// Where the body of a record at `at` lies, unless it is empty.
fn gap_of(at: u64, header: &Header) -> Option<Gap> {
    let offset = u32::try_from(at + (HEADER_LEN + header.meta_len + 1) as u64).ok()?;
    let bytes = u32::try_from(header.body_len).ok()?;
    (bytes > 0).then_some(Gap { offset, bytes })
}

pub(super) fn is_gap(file: &PackFile, at: u64, header: &Header) -> bool {
    gap_of(at, header).is_some_and(|gap| file.is_gap(gap.offset.into(), gap.bytes.into()))
}

/// Whether the record is that of a small archive, and its body the dead one.
fn is_body_of(body: &DeadBody, entry: &Entry, header: &Header) -> bool {
    let Entry::ArchiveCreated(archive) = entry else { return false };
    archive.number == body.archive
        && archive.content == Content::Here
        && archive.size == body.bytes
        && header.body_len as u64 == body.bytes
        && body.bytes > 0
}
