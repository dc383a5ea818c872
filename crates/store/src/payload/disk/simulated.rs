//! A volume in memory that keeps what is written apart from what is durable, and fails when it is told to.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use crate::payload::disk::volume::{Access, Volume, VolumeEntry, VolumeFile};

/// Bytes that a disk writes whole or not at all.
const SECTOR: usize = 512;

/// What a crash leaves of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remains {
    /// Nothing of it.
    Nothing,
    /// All of it.
    Everything,
    /// Names and sectors by this seed.
    Some(u64),
}

/// The volume; clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct SimulatedVolume {
    root: PathBuf,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    names: BTreeMap<String, Node>,
    durable_names: BTreeMap<String, Node>,
    files: Vec<Content>,
    syncs: u64,
    /// At this sync the power goes: nothing works afterwards.
    cut_at: Option<u64>,
    /// This sync fails, once.
    fail_sync_at: Option<u64>,
    is_cut: bool,
    /// No folder can be opened any more.
    out_of_descriptors: bool,
    /// Bytes left on the volume.
    room: Option<u64>,
    /// The medium does not give this file's bytes.
    unreadable: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    Folder,
    File(usize),
}

#[derive(Debug, Default, Clone)]
struct Content {
    written: Vec<u8>,
    durable: Vec<u8>,
    /// Bytes that the medium does not have any more: reads show it once the cache forgets them.
    rotten: BTreeSet<usize>,
    /// Sectors that a failed sync has not written and that count as clean: only writing them again helps.
    dropped: BTreeSet<usize>,
}

impl Content {
    fn new(bytes: Vec<u8>) -> Self {
        Self { written: bytes.clone(), durable: bytes, ..Self::default() }
    }

    fn sectors(&self) -> std::ops::Range<usize> {
        0..self.written.len().div_ceil(SECTOR)
    }

    fn make_durable(&mut self) {
        self.durable.resize(self.written.len(), 0);
        for sector in self.sectors().filter(|sector| !self.dropped.contains(sector)) {
            let (begin, end) = (sector * SECTOR, self.written.len().min((sector + 1) * SECTOR));
            self.durable[begin..end].copy_from_slice(&self.written[begin..end]);
        }
    }

    fn fail_sync(&mut self) {
        self.dropped.extend(self.sectors().filter(|sector| {
            let (begin, end) = (sector * SECTOR, self.written.len().min((sector + 1) * SECTOR));
            self.durable.get(begin..end) != Some(&self.written[begin..end])
        }));
    }
}

impl SimulatedVolume {
    pub(crate) fn new() -> Self {
        Self { root: PathBuf::from("/simulated"), state: Arc::default() }
    }

    /// Syncs asked for so far.
    pub(crate) fn syncs(&self) -> u64 {
        self.state().syncs
    }

    pub(crate) fn cut_at(&self, sync: u64) {
        self.state().cut_at = Some(sync);
    }

    pub(crate) fn fail_sync_at(&self, sync: u64) {
        self.state().fail_sync_at = Some(sync);
    }

    pub(crate) fn set_out_of_descriptors(&self, out: bool) {
        self.state().out_of_descriptors = out;
    }

    pub(crate) fn set_room(&self, bytes: Option<u64>) {
        self.state().room = bytes;
    }

    pub(crate) fn set_unreadable(&self, path: Option<&str>) {
        self.state().unreadable = path.map(str::to_owned);
    }

    /// All files, as they are written.
    pub(crate) fn paths(&self) -> Vec<String> {
        let state = self.state();
        let files = state.names.iter().filter(|(_, node)| matches!(node, Node::File(_)));
        files.map(|(path, _)| path.clone()).collect()
    }

    pub(crate) fn len_of(&self, path: &str) -> usize {
        let state = self.state();
        match state.names[path] {
            Node::File(file) => state.files[file].written.len(),
            Node::Folder => panic!("{path} is a folder"),
        }
    }

    /// Changes bytes behind everybody's back.
    pub(crate) fn change(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        let Node::File(file) = state.names[path] else { panic!("{path} is a folder") };
        change(&mut state.files[file].written);
    }

    /// Flips a bit of a byte on the medium, behind everybody's back and the cache.
    pub(crate) fn rot(&self, path: &str, offset: usize) {
        let mut state = self.state();
        let Node::File(file) = state.names[path] else { panic!("{path} is a folder") };
        state.files[file].rotten.insert(offset);
    }

    /// The volume that the next process finds.
    pub(crate) fn after_crash(&self, remains: Remains) -> Self {
        let state = self.state();
        let mut random = Random(match remains {
            Remains::Some(seed) => seed.wrapping_mul(2).wrapping_add(1),
            _ => 1,
        });
        let mut keeps = |remains| match remains {
            Remains::Nothing => false,
            Remains::Everything => true,
            Remains::Some(_) => random.next().is_multiple_of(2),
        };
        let mut names = state.durable_names.clone();
        for (path, node) in &state.names {
            if state.durable_names.get(path) != Some(node) && keeps(remains) {
                names.insert(path.clone(), *node);
            }
        }
        for path in state.durable_names.keys() {
            if !state.names.contains_key(path) && keeps(remains) {
                names.remove(path);
            }
        }
        // What a crash keeps below a folder that it does not keep is gone.
        let folders: Vec<String> = names.keys().cloned().collect();
        names.retain(|path, _| {
            let parent = parent(path);
            parent.is_empty() || folders.iter().any(|folder| folder == parent)
        });
        let files: Vec<Content> = state
            .files
            .iter()
            .map(|file| {
                let mut bytes = file.durable.clone();
                if keeps(remains) {
                    bytes.resize(file.written.len(), 0);
                }
                for begin in (0..bytes.len().min(file.written.len())).step_by(SECTOR) {
                    let end = (begin + SECTOR).min(bytes.len()).min(file.written.len());
                    if keeps(remains) {
                        bytes[begin..end].copy_from_slice(&file.written[begin..end]);
                    }
                }
                Content::new(bytes)
            })
            .collect();
        let durable_names = names.clone();
        let state = State { names, durable_names, files, ..State::default() };
        Self { root: self.root.clone(), state: Arc::new(Mutex::new(state)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn alive(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.state();
        if state.is_cut { Err(io::Error::other("the power is off")) } else { Ok(state) }
    }

    fn file(&self, path: &str, file: usize) -> Arc<dyn VolumeFile> {
        Arc::new(SimulatedFile { volume: self.clone(), path: path.to_owned(), file })
    }
}

impl State {
    fn sync(&mut self, what: impl FnOnce(&mut Self)) -> io::Result<()> {
        self.syncs += 1;
        if self.cut_at == Some(self.syncs) {
            self.is_cut = true;
            return Err(io::Error::other("the power goes off"));
        }
        if self.fail_sync_at == Some(self.syncs) {
            return Err(io::Error::other("the disk does not take it"));
        }
        what(self);
        Ok(())
    }

    fn create(&mut self, path: &str) -> io::Result<usize> {
        if !parent(path).is_empty() && self.names.get(parent(path)) != Some(&Node::Folder) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if self.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.files.push(Content::default());
        self.names.insert(path.to_owned(), Node::File(self.files.len() - 1));
        Ok(self.files.len() - 1)
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

impl Volume for SimulatedVolume {
    fn root(&self) -> &Path {
        &self.root
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn VolumeFile>> {
        let file = self.alive()?.create(path)?;
        Ok(self.file(path, file))
    }

    fn open(&self, path: &str, _access: Access) -> io::Result<Arc<dyn VolumeFile>> {
        match self.alive()?.names.get(path) {
            Some(Node::File(file)) => Ok(self.file(path, *file)),
            Some(Node::Folder) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn create_dir(&self, path: &str) -> io::Result<()> {
        self.alive()?.names.entry(path.to_owned()).or_insert(Node::Folder);
        Ok(())
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        if self.alive()?.out_of_descriptors {
            return Err(rustix::io::Errno::MFILE.into());
        }
        self.alive()?.sync(|state| {
            state
                .durable_names
                .retain(|name, _| parent(name) != path || state.names.contains_key(name));
            let inside = state.names.iter().filter(|(name, _)| parent(name) == path);
            state.durable_names.extend(inside.map(|(name, node)| (name.clone(), *node)));
        })
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let removed = self.alive()?.names.remove(path);
        removed.map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn entries(&self, path: &str) -> io::Result<Vec<VolumeEntry>> {
        let state = self.alive()?;
        let inside = state.names.iter().filter(|(name, _)| parent(name) == path);
        Ok(inside
            .map(|(name, node)| VolumeEntry {
                name: name.rsplit('/').next().unwrap_or(name).to_owned(),
                is_dir: *node == Node::Folder,
            })
            .collect())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(self.alive()?.room.unwrap_or(u64::MAX))
    }

    fn publish(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.alive()?;
        state.files.push(Content::new(bytes.to_vec()));
        let node = Node::File(state.files.len() - 1);
        state.sync(|state| {
            state.names.insert(path.to_owned(), node);
            state.durable_names.insert(path.to_owned(), node);
        })
    }
}

#[derive(Debug)]
struct SimulatedFile {
    volume: SimulatedVolume,
    path: String,
    file: usize,
}

impl VolumeFile for SimulatedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.volume.alive()?;
        if state.unreadable.as_ref() == Some(&self.path) {
            return Err(io::Error::other("the medium does not answer"));
        }
        let bytes = state.files[self.file].written.get(offset as usize..).unwrap_or_default();
        let count = bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.volume.alive()?;
        let fits = state.room.map_or(bytes.len(), |room| bytes.len().min(room as usize));
        state.room = state.room.map(|room| room - fits as u64);
        let end = offset as usize + fits;
        let content = &mut state.files[self.file];
        content
            .dropped
            .retain(|sector| !(offset as usize / SECTOR..end.div_ceil(SECTOR)).contains(sector));
        let written = &mut content.written;
        written.resize(written.len().max(end), 0);
        written[offset as usize..end].copy_from_slice(&bytes[..fits]);
        if fits < bytes.len() {
            return Err(io::Error::new(io::ErrorKind::StorageFull, self.path.clone()));
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let file = self.file;
        let mut state = self.volume.alive()?;
        let result = state.sync(|state| state.files[file].make_durable());
        if result.is_err() {
            state.files[file].fail_sync();
        }
        result
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.volume.alive()?.files[self.file].written.len() as u64)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.volume.alive()?.files[self.file].written.truncate(len as usize);
        Ok(())
    }

    fn forget_cached(&self, offset: u64, len: u64) {
        let content = &mut self.volume.state().files[self.file];
        let begin = offset as usize;
        let end = begin.saturating_add(usize::try_from(len).unwrap_or(usize::MAX));
        for rotten in content.rotten.extract_if(begin..end, |_| true) {
            content.written[rotten] ^= 1;
        }
    }
}

/// A small generator, so that a failing seed can be run again.
#[derive(Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
