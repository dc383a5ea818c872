//! A reference model: what the service promises, in the simplest words. See `sequence` for how it is used.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use icefield_protocol::{ArchiveId, ByteRange, ErrorCode, JobId, JobStatus, Timestamp, UploadId};

use crate::world::MIB;

pub(crate) const DELAY: Duration = Duration::from_hours(4);
const DAY: Duration = Duration::from_hours(24);
const NOT_FOUND: ErrorCode = ErrorCode::ResourceNotFound;
const INVALID: ErrorCode = ErrorCode::InvalidParameterValue;

/// Index of an archive, upload or job in the order of its creation.
pub(crate) type Index = usize;

#[derive(Default)]
pub(crate) struct Model {
    pub(crate) now: Option<Timestamp>,
    /// Vaults that exist, and which life of that name they are.
    pub(crate) vaults: BTreeMap<u8, usize>,
    pub(crate) lives: Vec<Life>,
    pub(crate) archives: Vec<Archive>,
    pub(crate) uploads: Vec<Upload>,
    pub(crate) jobs: Vec<Job>,
}

#[derive(Default)]
pub(crate) struct Life {
    pub(crate) writes: u64,
    tokens: BTreeMap<u8, Index>,
    pub(crate) inventory: Option<Inventory>,
}

#[derive(Clone)]
pub(crate) struct Inventory {
    pub(crate) writes: u64,
    pub(crate) date: Timestamp,
    pub(crate) archives: Vec<Index>,
}

pub(crate) struct Archive {
    pub(crate) vault: u8,
    life: usize,
    /// As the engine gave it.
    pub(crate) id: Option<ArchiveId>,
    pub(crate) bytes: Bytes,
    deleted: bool,
    forgotten: bool,
}

pub(crate) struct Upload {
    pub(crate) vault: u8,
    life: usize,
    pub(crate) id: Option<UploadId>,
    pub(crate) parts: BTreeMap<u64, Bytes>,
    token: Option<u8>,
    touched: Timestamp,
    state: State,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    InProgress,
    Completed(Index),
    Aborted,
}

pub(crate) struct Job {
    pub(crate) vault: u8,
    life: usize,
    pub(crate) id: Option<JobId>,
    pub(crate) kind: Kind,
    due: Timestamp,
    pub(crate) status: JobStatus,
    ended: Option<Timestamp>,
}

pub(crate) enum Kind {
    Archive(Index, ByteRange),
    Inventory(Inventory),
}

impl Model {
    pub(crate) fn now(&self) -> Timestamp {
        self.now.unwrap()
    }

    pub(crate) fn life(&self, vault: u8) -> Result<usize, ErrorCode> {
        self.vaults.get(&vault).copied().ok_or(NOT_FOUND)
    }

    pub(crate) fn create_vault(&mut self, vault: u8) {
        if !self.vaults.contains_key(&vault) {
            self.vaults.insert(vault, self.lives.len());
            self.lives.push(Life::default());
        }
    }

    pub(crate) fn delete_vault(&mut self, vault: u8) -> Result<(), ErrorCode> {
        let Ok(life) = self.life(vault) else { return Ok(()) };
        if !self.take_inventory(life).is_none_or(|inventory| inventory.archives.is_empty()) {
            return Err(INVALID);
        }
        self.vaults.remove(&vault);
        Ok(())
    }

    /// The inventory is always current, and is not renewed without a write.
    pub(crate) fn take_inventory(&mut self, life: usize) -> Option<Inventory> {
        let (now, listed) = (self.now(), self.listed(life));
        let life = &mut self.lives[life];
        if life.writes != life.inventory.as_ref().map_or(0, |inventory| inventory.writes) {
            life.inventory = Some(Inventory { writes: life.writes, date: now, archives: listed });
        }
        life.inventory.clone()
    }

    fn listed(&self, life: usize) -> Vec<Index> {
        let exists = |archive: &Archive| archive.life == life && !archive.deleted;
        (0..self.archives.len()).filter(|&index| exists(&self.archives[index])).collect()
    }

    /// Returns the archive of the put, and whether it is new.
    pub(crate) fn put(
        &mut self,
        vault: u8,
        bytes: Bytes,
        token: Option<u8>,
    ) -> Result<(Index, bool), ErrorCode> {
        let life = self.life(vault)?;
        if let Some(&first) = token.and_then(|token| self.lives[life].tokens.get(&token)) {
            return if self.archives[first].deleted { Err(INVALID) } else { Ok((first, false)) };
        }
        let index = self.archives.len();
        self.archives.push(Archive {
            vault,
            life,
            id: None,
            bytes,
            deleted: false,
            forgotten: false,
        });
        self.lives[life].writes += 1;
        if let Some(token) = token {
            self.lives[life].tokens.insert(token, index);
        }
        Ok((index, true))
    }

    /// Whether the archive exists in the vault's present life.
    fn archive(&self, index: Index) -> Result<bool, ErrorCode> {
        let archive = &self.archives[index];
        if archive.life != self.life(archive.vault)? {
            return Err(INVALID);
        }
        Ok(!archive.deleted)
    }

    pub(crate) fn delete(&mut self, index: Index) -> Result<(), ErrorCode> {
        if self.archive(index)? {
            self.archives[index].deleted = true;
            self.lives[self.archives[index].life].writes += 1;
        }
        Ok(())
    }

    /// Returns the upload of the initiation, and whether it is new.
    pub(crate) fn initiate(
        &mut self,
        vault: u8,
        token: Option<u8>,
    ) -> Result<(Index, bool), ErrorCode> {
        let life = self.life(vault)?;
        let same = |index: &Index| {
            let upload = &self.uploads[*index];
            upload.life == life && upload.token == token && self.is_remembered(upload)
        };
        let made = token.and_then(|token| self.lives[life].tokens.get(&token));
        let made = made.map(|index| &self.archives[*index]);
        if made.is_some_and(|made| made.deleted && !made.forgotten) {
            return Err(INVALID);
        }
        if token.is_some()
            && let Some(first) = (0..self.uploads.len()).find(same)
        {
            return match self.uploads[first].state {
                State::Completed(archive) if self.archives[archive].forgotten => Err(INVALID),
                _ => Ok((first, false)),
            };
        }
        let (parts, touched, state) = (BTreeMap::new(), self.now(), State::InProgress);
        self.uploads.push(Upload { vault, life, id: None, parts, token, touched, state });
        Ok((self.uploads.len() - 1, true))
    }

    fn is_remembered(&self, upload: &Upload) -> bool {
        let kept = if upload.state == State::InProgress { 7 * DAY } else { DAY };
        self.vaults.get(&upload.vault) == Some(&upload.life)
            && self.now() < upload.touched.saturating_add(kept)
    }

    fn state(&self, index: Index) -> Result<State, ErrorCode> {
        let upload = &self.uploads[index];
        if self.is_remembered(upload) { Ok(upload.state) } else { Err(NOT_FOUND) }
    }

    pub(crate) fn in_progress(&self, index: Index) -> Result<(), ErrorCode> {
        (self.state(index)? == State::InProgress).then_some(()).ok_or(NOT_FOUND)
    }

    pub(crate) fn part(&mut self, index: Index, part: u64, bytes: Bytes) -> Result<(), ErrorCode> {
        self.in_progress(index)?;
        let now = self.now();
        let upload = &mut self.uploads[index];
        upload.parts.insert(part, bytes);
        upload.touched = now;
        Ok(())
    }

    /// Completes with what the parts are, if `right`, or with a wrong size.
    pub(crate) fn complete(&mut self, index: Index, right: bool) -> Result<Index, ErrorCode> {
        let (now, token) = (self.now(), self.uploads[index].token);
        match self.state(index)? {
            State::Aborted => return Err(NOT_FOUND),
            State::Completed(archive) => {
                // With a token and nothing left to tell the ID from; else only what was completed counts.
                let Archive { forgotten, bytes, .. } = &self.archives[archive];
                let refused = match (forgotten, token) {
                    (true, Some(_)) => true,
                    (true, None) => false,
                    (false, _) => !right || *bytes != self.whole(index),
                };
                return if refused { Err(INVALID) } else { Ok(archive) };
            }
            State::InProgress => {}
        }
        let parts = &self.uploads[index].parts;
        let in_order = parts.keys().copied().eq(0..parts.len() as u64);
        let mut all_but_last = parts.values().rev().skip(1);
        if parts.is_empty()
            || !in_order
            || all_but_last.any(|part| part.len() as u64 != MIB)
            || !right
        {
            return Err(INVALID);
        }
        let (vault, whole) = (self.uploads[index].vault, self.whole(index));
        let made = self.put(vault, whole, token);
        let life = self.uploads[index].life;
        let archive = match made {
            Ok((archive, _)) => archive,
            Err(_) => token.map(|token| self.lives[life].tokens[&token]).unwrap(),
        };
        self.uploads[index].state = State::Completed(archive);
        self.uploads[index].touched = now;
        made.map(|(archive, _)| archive)
    }

    /// All parts in order.
    pub(crate) fn whole(&self, index: Index) -> Bytes {
        self.uploads[index].parts.values().flatten().copied().collect()
    }

    pub(crate) fn abort(&mut self, index: Index) -> Result<(), ErrorCode> {
        match self.state(index)? {
            State::Completed(_) => Err(NOT_FOUND),
            State::Aborted => Ok(()),
            State::InProgress => {
                self.uploads[index].state = State::Aborted;
                self.uploads[index].touched = self.now();
                Ok(())
            }
        }
    }

    pub(crate) fn uploads_in_progress(&self, vault: u8) -> Vec<Index> {
        let here =
            |index: &Index| self.uploads[*index].vault == vault && self.in_progress(*index).is_ok();
        (0..self.uploads.len()).filter(here).collect()
    }

    /// Starts a retrieval of these MiB, or of everything.
    pub(crate) fn retrieve(
        &mut self,
        index: Index,
        range: Option<(u64, u64)>,
    ) -> Result<(Index, Option<ByteRange>), ErrorCode> {
        if !self.archive(index)? {
            return Err(NOT_FOUND);
        }
        let size = self.archives[index].bytes.len() as u64;
        let range = match range {
            Some((first, count)) if first * MIB < size => {
                let last = ((first + count) * MIB).min(size) - 1;
                Some(ByteRange { first: first * MIB, last })
            }
            Some(_) => return Err(INVALID),
            None => None,
        };
        let kind = Kind::Archive(index, range.unwrap_or(ByteRange { first: 0, last: size - 1 }));
        Ok((self.start(self.archives[index].vault, kind), range))
    }

    pub(crate) fn list_archives(&mut self, vault: u8) -> Result<Index, ErrorCode> {
        let life = self.life(vault)?;
        let inventory = self.take_inventory(life).ok_or(NOT_FOUND)?;
        Ok(self.start(vault, Kind::Inventory(inventory)))
    }

    fn start(&mut self, vault: u8, kind: Kind) -> Index {
        let (life, due) = (self.vaults[&vault], self.now().saturating_add(DELAY));
        let status = JobStatus::InProgress;
        self.jobs.push(Job { vault, life, id: None, kind, due, status, ended: None });
        self.jobs.len() - 1
    }

    pub(crate) fn run_due_jobs(&mut self) -> u64 {
        let now = self.now();
        let mut ended = 0;
        for job in &mut self.jobs {
            let alive = self.vaults.get(&job.vault) == Some(&job.life);
            if alive && job.status == JobStatus::InProgress && job.due <= now {
                let failed =
                    matches!(job.kind, Kind::Archive(index, _) if self.archives[index].deleted);
                job.status = if failed { JobStatus::Failed } else { JobStatus::Succeeded };
                job.ended = Some(now);
                ended += 1;
            }
        }
        ended
    }

    pub(crate) fn job(&self, index: Index) -> Result<&Job, ErrorCode> {
        let job = &self.jobs[index];
        let over = job.ended.is_some_and(|ended| self.now() >= ended.saturating_add(DAY));
        if over || self.life(job.vault)? != job.life { Err(NOT_FOUND) } else { Ok(job) }
    }

    pub(crate) fn jobs_of(&self, vault: u8) -> Vec<Index> {
        let here = |index: &Index| self.jobs[*index].vault == vault && self.job(*index).is_ok();
        (0..self.jobs.len()).filter(here).collect()
    }

    /// The bytes of a succeeded archive job.
    pub(crate) fn output(&self, index: Index) -> Result<&Job, ErrorCode> {
        let job = self.job(index)?;
        if job.status == JobStatus::Succeeded { Ok(job) } else { Err(INVALID) }
    }

    /// Deleted archives that no inventory shows and no job needs are forgotten.
    pub(crate) fn housekeeping(&mut self) {
        let needed = |index: Index, life: usize| {
            let shown = |inventory: &Inventory| inventory.archives.contains(&index);
            self.lives[life].inventory.as_ref().is_some_and(shown)
                || (0..self.jobs.len()).filter_map(|job| self.job(job).ok()).any(|job| {
                    match &job.kind {
                        Kind::Archive(archive, _) => *archive == index,
                        Kind::Inventory(inventory) => shown(inventory),
                    }
                })
        };
        let archives = self.archives.iter().enumerate();
        let forgotten: Vec<Index> = archives
            .filter(|(index, archive)| archive.deleted && !needed(*index, archive.life))
            .map(|(index, _)| index)
            .collect();
        for index in forgotten {
            self.archives[index].forgotten = true;
        }
    }
}
