//! The end of the log, where batches are appended, and single records read back.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

use crate::{
    error::StoreError,
    payload::{
        LogPosition, NewRecord, RecordPlace, ReplayPage,
        disk::{
            fenced::{Disk, damaged},
            pack::{self, Packs},
            record::{self, HEADER_LEN, MAX_BODY_LEN, MAX_META_LEN},
            replay,
            volume::{Access, VolumeFile},
        },
    },
};

/// Path of a pack that records are appended to.
fn pack_path(pack: u32) -> String {
    pack::pack_path(pack, 0)
}

/// The packs of a store.
#[derive(Debug)]
pub(super) struct Log {
    disk: Arc<Disk>,
    packs: Arc<Packs>,
    pack_bytes: u64,
    /// Unknown until a repairing replay has reached it.
    tail: Mutex<Option<Tail>>,
    /// Whether what earlier processes wrote has been made durable.
    is_settled: Mutex<bool>,
}

/// Where the next record goes.
#[derive(Debug)]
struct Tail {
    at: LogPosition,
    /// Whether nothing is appended to the pack of `at` any more.
    sealed: bool,
    /// The pack of `at`, once it was written to.
    file: Option<Arc<dyn VolumeFile>>,
}

impl Log {
    pub(super) fn new(disk: Arc<Disk>, pack_bytes: u64) -> Self {
        Self {
            packs: Arc::new(Packs::new(Arc::clone(&disk))),
            disk,
            pack_bytes: pack_bytes.min(1 << 31),
            tail: Mutex::new(None),
            is_settled: Mutex::default(),
        }
    }

    /// Writes the records in one go, then syncs once.
    pub(super) fn append(&self, records: &[NewRecord]) -> Result<Vec<RecordPlace>, StoreError> {
        self.disk.writable()?;
        self.find_tail()?;
        let mut guard = self.tail();
        let tail = guard.as_mut().ok_or(StoreError::Closed)?;
        if tail.at.pack == 0 || tail.sealed || tail.at.offset >= self.pack_bytes {
            *tail = self.next_pack(tail.at.pack + 1)?;
        }
        let path = pack_path(tail.at.pack);
        let (bytes, places) = self.encode(tail.at, records)?;
        let file = match &tail.file {
            Some(file) => Arc::clone(file),
            None => Arc::clone(tail.file.insert(self.open(&path)?)),
        };
        if self.disk.len(&*file, &path)? != tail.at.offset {
            // Whoever it was, one of the two would overwrite records of the other that were acknowledged.
            let what = "another process wrote into the store: end all processes that use it, then run `icefield store check`";
            self.disk.fence(&path, &io::Error::other(what));
            return Err(damaged(&path, what));
        }
        if let Err(error) = file.write_at(&bytes, tail.at.offset) {
            // Half a record must not stay, nor a whole one come back after a crash when its caller was told that it failed.
            if let Err(cause) = file.truncate(tail.at.offset).and_then(|()| file.sync()) {
                self.disk.fence(&path, &cause);
            }
            return Err(self.disk.failed("writing", &path, error));
        }
        self.disk.sync(&*file, &path)?;
        tail.at.offset += bytes.len() as u64;
        Ok(places)
    }

    fn encode(
        &self,
        mut at: LogPosition,
        records: &[NewRecord],
    ) -> Result<(Vec<u8>, Vec<RecordPlace>), StoreError> {
        let synced = at.offset;
        let mut bytes = Vec::new();
        let mut places = Vec::with_capacity(records.len());
        for NewRecord { entry, body } in records {
            let written = record::write(&mut bytes, at, synced, entry, body).ok();
            let place = written.filter(|place| at.offset + place.length <= u64::from(u32::MAX));
            let place = place.ok_or_else(|| {
                let what = io::Error::new(io::ErrorKind::InvalidInput, "a record is too long");
                self.disk.failed("appending to", &pack_path(at.pack), what)
            })?;
            at.offset += place.length;
            places.push(place);
        }
        Ok((bytes, places))
    }

    /// Begins a pack, durable while still empty.
    fn next_pack(&self, pack: u32) -> Result<Tail, StoreError> {
        let path = pack_path(pack);
        let file = match self.disk.volume().create(&path) {
            Ok(file) => file,
            // An earlier attempt got this far.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.open(&path)?,
            Err(error) => return Err(self.disk.failed("creating", &path, error)),
        };
        if self.disk.len(&*file, &path)? != 0 {
            return Err(damaged(&path, "not empty although it was never written to"));
        }
        self.disk.sync(&*file, &path)?;
        self.disk.sync_dir("packs")?;
        Ok(Tail { at: LogPosition { pack, offset: 0 }, sealed: false, file: Some(file) })
    }

    fn open(&self, path: &str) -> Result<Arc<dyn VolumeFile>, StoreError> {
        let file = self.disk.volume().open(path, Access::ReadWrite);
        file.map_err(|error| self.disk.failed("opening", path, error))
    }

    /// Reads a page of records. Once the end is known, nothing is repaired and nothing beyond it is looked at.
    pub(super) fn replay(&self, from: LogPosition, repair: bool) -> Result<ReplayPage, StoreError> {
        let end = self.tail().as_ref().map(|tail| tail.at);
        if repair && end.is_none() {
            self.settle(from)?;
        }
        let page = replay::page(&self.packs, from, end, repair && end.is_none())?;
        if repair && end.is_none() && page.last {
            let last = self.packs.open(page.next.pack)?;
            let sealed = last.is_some_and(|pack| pack.is_compacted());
            *self.tail() = Some(Tail { at: page.next, sealed, file: None });
        }
        Ok(page)
    }

    /// Makes what the log has from `from` on durable, once: what later pages read is then durable, too.
    pub(super) fn settle(&self, from: LogPosition) -> Result<(), StoreError> {
        let mut is_settled = self.is_settled.lock().unwrap_or_else(PoisonError::into_inner);
        if !*is_settled {
            replay::settle(&self.packs, from)?;
            *is_settled = true;
        }
        Ok(())
    }

    fn find_tail(&self) -> Result<(), StoreError> {
        let mut at = LogPosition::default();
        while self.tail().is_none() {
            at = self.replay(at, true)?.next;
        }
        Ok(())
    }

    /// Reads one record whole and returns its body, if every byte of it fits its checks; `None` if a compaction has dropped
    /// it.
    pub(super) fn read_record(&self, place: RecordPlace) -> Result<Option<Bytes>, StoreError> {
        let missing = || damaged(&pack_path(place.at.pack), "missing file");
        let pack = self.packs.open(place.at.pack)?.ok_or_else(missing)?;
        let path = &pack.path;
        let longest = HEADER_LEN + MAX_META_LEN + MAX_BODY_LEN + 2;
        let len = usize::try_from(place.length).ok().filter(|len| *len <= longest);
        let len = len.ok_or_else(|| damaged(path, "a record's length is out of bounds"))?;
        let mut bytes = vec![0; len];
        let count = pack
            .read_at(&mut bytes, place.at.offset)
            .map_err(|error| self.disk.failed("reading", path, error))?;
        bytes.truncate(count);
        let broken = |what| damaged(path, format!("at byte {}: {what}", place.at.offset));
        let (_, header) = record::split_frame(&bytes, place.at).map_err(broken)?;
        let body_at = HEADER_LEN + header.meta_len + 1;
        if pack.is_gap(place.at.offset + body_at as u64, header.body_len as u64) {
            return Ok(None);
        }
        record::split(&bytes, place.at).map_err(broken)?;
        Ok(Some(Bytes::from(bytes).slice(body_at..body_at + header.body_len)))
    }

    /// The packs before the one that records are appended to, with the lengths of their files.
    pub(super) fn sealed_packs(&self) -> Result<Vec<(u32, u64)>, StoreError> {
        let Some(tail) = self.tail().as_ref().map(|tail| tail.at.pack) else {
            return Ok(Vec::new());
        };
        let mut sealed = Vec::new();
        for (number, generations) in self.packs.list()?.range(..tail) {
            let path = pack::pack_path(*number, generations.first().copied().unwrap_or(0));
            if let Some(file) = self.disk.find(&path)? {
                sealed.push((*number, self.disk.len(&*file, &path)?));
            }
        }
        Ok(sealed)
    }

    /// Whether nothing is appended to this pack any more.
    pub(super) fn is_sealed(&self, pack: u32) -> bool {
        self.tail().as_ref().is_some_and(|tail| pack < tail.at.pack)
    }

    pub(super) fn packs(&self) -> &Arc<Packs> {
        &self.packs
    }

    /// Lets the next read of these bytes come from the medium.
    pub(super) fn forget_cached(&self, range: RecordPlace) -> Result<(), StoreError> {
        if let Some(pack) = self.packs.open(range.at.pack)? {
            pack.forget_cached(range.at.offset, range.length);
        }
        Ok(())
    }

    fn tail(&self) -> MutexGuard<'_, Option<Tail>> {
        // The tail is only replaced whole or moved after success: a panic leaves it right.
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
