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
            record::{self, HEADER_LEN, MAX_BODY_LEN, MAX_META_LEN},
            replay,
            volume::{Access, VolumeFile},
        },
    },
};

/// Path of a pack in the store's folder.
pub(super) fn pack_path(pack: u32) -> String {
    format!("packs/{pack:08x}.pack")
}

/// The packs of a store.
#[derive(Debug)]
pub(super) struct Log {
    disk: Arc<Disk>,
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
    /// The pack of `at`, once it was written to.
    file: Option<Arc<dyn VolumeFile>>,
}

impl Log {
    pub(super) fn new(disk: Arc<Disk>, pack_bytes: u64) -> Self {
        Self {
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
        if tail.at.pack == 0 || tail.at.offset >= self.pack_bytes {
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
        Ok(Tail { at: LogPosition { pack, offset: 0 }, file: Some(file) })
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
        let page = replay::page(&self.disk, from, end, repair && end.is_none())?;
        if repair && end.is_none() && page.last {
            *self.tail() = Some(Tail { at: page.next, file: None });
        }
        Ok(page)
    }

    /// Makes what the log has from `from` on durable, once: what later pages read is then durable, too.
    pub(super) fn settle(&self, from: LogPosition) -> Result<(), StoreError> {
        let mut is_settled = self.is_settled.lock().unwrap_or_else(PoisonError::into_inner);
        if !*is_settled {
            replay::settle(&self.disk, from)?;
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

    /// Reads one record whole and returns its body, if every byte of it fits its checks.
    pub(super) fn read_body(&self, place: RecordPlace) -> Result<Bytes, StoreError> {
        let path = pack_path(place.at.pack);
        let longest = HEADER_LEN + MAX_META_LEN + MAX_BODY_LEN + 2;
        let len = usize::try_from(place.length).ok().filter(|len| *len <= longest);
        let len = len.ok_or_else(|| damaged(&path, "a record's length is out of bounds"))?;
        let file = self.disk.find(&path)?.ok_or_else(|| damaged(&path, "missing file"))?;
        let mut bytes = vec![0; len];
        let count = file
            .read_at(&mut bytes, place.at.offset)
            .map_err(|error| self.disk.failed("reading", &path, error))?;
        bytes.truncate(count);
        let (_, header) = record::split(&bytes, place.at)
            .map_err(|what| damaged(&path, format!("at byte {}: {what}", place.at.offset)))?;
        let body_at = HEADER_LEN + header.meta_len + 1;
        Ok(Bytes::from(bytes).slice(body_at..body_at + header.body_len))
    }

    /// Lets the next read of these bytes come from the medium.
    pub(super) fn forget_cached(&self, range: RecordPlace) -> Result<(), StoreError> {
        if let Some(file) = self.disk.find(&pack_path(range.at.pack))? {
            file.forget_cached(range.at.offset, range.length);
        }
        Ok(())
    }

    fn tail(&self) -> MutexGuard<'_, Option<Tail>> {
        // The tail is only replaced whole or moved after success: a panic leaves it right.
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
