//! Payload files: written front to back, read by the MiB.

use std::{
    collections::VecDeque,
    fmt::Write as _,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join;
use icefield_treehash::{HashPool, LEAF_SIZE, LEAF_SIZE_BYTES, TreeHash};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::{
    entry::PayloadId,
    error::{Damage, StoreError},
    payload::{
        PayloadReader, PayloadWriter,
        disk::{
            fenced::{Disk, blocking, damaged, joined},
            record::parse_hash,
            volume::VolumeFile,
        },
    },
};

/// Bytes are collected up to here before they are written, unless less may be kept.
const WRITE_BYTES: usize = 1 << 20;
/// Writes of one file that may be under way, unless less may be kept.
const WRITES_AHEAD: usize = 4;
/// `<64 hex digits>  -\n`
const HASH_LINE_LEN: usize = 68;

/// Folder of all ids that begin with this byte.
pub(super) fn shard_path(shard: u8) -> String {
    format!("payload/{shard:02x}")
}

/// The first byte of an id.
pub(super) fn shard_of(id: PayloadId) -> u8 {
    id.as_bytes()[0]
}

/// Paths of a payload file and of its hashes in the store's folder.
pub(crate) fn payload_paths(id: PayloadId) -> [String; 2] {
    [data_path(id), hash_path(id)]
}

/// Path of a payload file in the store's folder.
fn data_path(id: PayloadId) -> String {
    format!("{}/{id}", shard_path(shard_of(id)))
}

/// Path of the file with the hashes of a payload file.
fn hash_path(id: PayloadId) -> String {
    format!("{}.sha256", data_path(id))
}

/// Which shard folders this process has made durable.
#[derive(Debug)]
pub(super) struct Shards([AtomicBool; 256]);

impl Default for Shards {
    fn default() -> Self {
        Self([const { AtomicBool::new(false) }; 256])
    }
}

impl Shards {
    fn prepare(&self, disk: &Disk, shard: u8) -> Result<(), StoreError> {
        let done = &self.0[usize::from(shard)];
        if !done.load(Ordering::Acquire) {
            let path = shard_path(shard);
            let created = disk.volume().create_dir(&path);
            created.map_err(|error| disk.failed("creating", &path, error))?;
            disk.sync_dir("payload")?;
            done.store(true, Ordering::Release);
        }
        Ok(())
    }
}

/// Creates both files of an id.
pub(super) async fn create(
    disk: Arc<Disk>,
    shards: Arc<Shards>,
    id: PayloadId,
) -> Result<FileWriter, StoreError> {
    // When this future is dropped, the work goes on. It must not leave files after its caller has given the id back:
    // what finds nobody waiting removes them itself, and whoever is dropped later gives back what exists.
    let waiting = Arc::new(());
    let waits = Arc::downgrade(&waiting);
    let writer = blocking(move || {
        disk.writable()?;
        if waits.strong_count() == 0 {
            return Err(StoreError::Closed);
        }
        shards.prepare(&disk, shard_of(id))?;
        let create = |path: &str| {
            let file = disk.volume().create(path);
            file.map_err(|error| disk.failed("creating", path, error))
        };
        let data = create(&data_path(id))?;
        let hashes = create(&hash_path(id))?;
        if waits.strong_count() == 0 {
            remove_files(&disk, &[id])?;
            return Err(StoreError::Closed);
        }
        Ok(FileWriter::new(disk, id, data, hashes))
    })
    .await;
    drop(waiting);
    writer
}

/// A payload file being written.
#[derive(Debug)]
pub(super) struct FileWriter {
    disk: Arc<Disk>,
    id: PayloadId,
    data: Arc<dyn VolumeFile>,
    hashes: Arc<dyn VolumeFile>,
    /// Bytes handed to the pool so far.
    size: u64,
    /// Bytes at which what is collected is written.
    collects: usize,
    /// Writes that may be under way when a call returns.
    ahead: usize,
    collected: Vec<Bytes>,
    collected_len: usize,
    under_way: VecDeque<JoinHandle<Result<(), StoreError>>>,
    failed: bool,
}

impl FileWriter {
    fn new(
        disk: Arc<Disk>,
        id: PayloadId,
        data: Arc<dyn VolumeFile>,
        hashes: Arc<dyn VolumeFile>,
    ) -> Self {
        Self {
            disk,
            id,
            data,
            hashes,
            size: 0,
            collects: WRITE_BYTES,
            ahead: WRITES_AHEAD,
            collected: Vec::new(),
            collected_len: 0,
            under_way: VecDeque::new(),
            failed: false,
        }
    }

    fn flush(&mut self) {
        let pieces = std::mem::take(&mut self.collected);
        let mut offset = self.size;
        self.size += std::mem::take(&mut self.collected_len) as u64;
        let (disk, file, id) = (Arc::clone(&self.disk), Arc::clone(&self.data), self.id);
        self.under_way.push_back(spawn_blocking(move || {
            disk.writable()?;
            for piece in pieces {
                file.write_past_memory(&piece, offset)
                    .map_err(|error| disk.failed("writing", &data_path(id), error))?;
                offset += piece.len() as u64;
            }
            Ok(())
        }));
    }

    /// Waits until at most `ahead` writes are under way.
    async fn settle(&mut self, ahead: usize) -> Result<(), StoreError> {
        while self.under_way.len() > ahead
            && let Some(write) = self.under_way.front_mut()
        {
            let result = joined(write.await);
            drop(self.under_way.pop_front());
            if result.is_err() {
                self.failed = true;
                return result;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl PayloadWriter for FileWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        if !bytes.is_empty() {
            self.collected_len += bytes.len();
            self.collected.push(bytes);
        }
        if self.collected_len > 0 && self.collected_len >= self.collects {
            self.flush();
        }
        self.settle(self.ahead).await
    }

    fn keep_at_most(&mut self, bytes: usize) {
        self.collects = bytes.min(WRITE_BYTES);
        self.ahead = (bytes.saturating_sub(WRITE_BYTES) / WRITE_BYTES).min(WRITES_AHEAD);
    }

    async fn finish(mut self: Box<Self>, leaves: &[TreeHash]) -> Result<(), StoreError> {
        if self.collected_len > 0 {
            self.flush();
        }
        self.settle(0).await?;
        let Self { disk, id, data, hashes, size, failed, .. } = *self;
        let lines = leaf_count(size);
        // An empty payload has the hash of nothing as its only leaf, but no MiB: `split` prints no line for it.
        if failed || (leaves.len() as u64 != lines && size != 0) {
            let what = io::Error::other("a write failed, or hashes of other bytes were given");
            return Err(disk.failed("finishing", &data_path(id), what));
        }
        let mut text = String::with_capacity(leaves.len() * HASH_LINE_LEN);
        if size != 0 {
            for leaf in leaves {
                writeln!(text, "{leaf}  -").expect("writing to a string succeeds");
            }
        }
        blocking(move || {
            disk.writable()?;
            hashes
                .write_at(text.as_bytes(), 0)
                .map_err(|error| disk.failed("writing", &hash_path(id), error))?;
            disk.sync(&*data, &data_path(id))?;
            disk.sync(&*hashes, &hash_path(id))?;
            disk.sync_dir(&shard_path(shard_of(id)))
        })
        .await
    }
}

/// MiB of a payload, the last one perhaps shorter.
fn leaf_count(size: u64) -> u64 {
    size.div_ceil(LEAF_SIZE_BYTES)
}

/// Opens an id's files and checks hashes and lengths.
pub(super) fn open(
    disk: Arc<Disk>,
    hashing: HashPool,
    id: PayloadId,
    size: u64,
    tree_hash: TreeHash,
) -> Result<FileReader, StoreError> {
    let path = data_path(id);
    let Some(file) = disk.find(&path)? else { return Err(StoreError::Missing(id)) };
    let found = disk.len(&*file, &path)?;
    if found != size {
        let what = if found < size { "shorter" } else { "longer" };
        return Err(damaged(&path, format!("{what} than recorded: {found} bytes, not {size}")));
    }
    let leaves = read_hashes(&disk, id, size)?;
    if TreeHash::combine(leaves.iter().copied()) != tree_hash {
        return Err(damaged(&hash_path(id), "the hashes do not fit the recorded tree hash"));
    }
    Ok(FileReader { disk, hashing, id, file, size, leaves })
}

/// Lets the next reads of both files of an id come from the medium.
pub(super) fn forget_cached(disk: &Disk, id: PayloadId) -> Result<(), StoreError> {
    for path in payload_paths(id) {
        if let Some(file) = disk.find(&path)? {
            file.forget_cached(0, u64::MAX);
        }
    }
    Ok(())
}

/// Reads the lines of a hash file; anything but exactly what was written is damage.
fn read_hashes(disk: &Disk, id: PayloadId, size: u64) -> Result<Vec<TreeHash>, StoreError> {
    let path = hash_path(id);
    let Some(file) = disk.find(&path)? else { return Err(damaged(&path, "missing file")) };
    let found = disk.len(&*file, &path)?;
    if found != leaf_count(size) * HASH_LINE_LEN as u64 {
        return Err(damaged(&path, "not one line for each MiB"));
    }
    let mut text = vec![0; usize::try_from(found).unwrap_or(0)];
    let count = file.read_at(&mut text, 0).map_err(|error| disk.failed("reading", &path, error))?;
    text.truncate(count);
    let lines = text.chunks(HASH_LINE_LEN).enumerate();
    lines
        .map(|(index, line)| {
            line.strip_suffix(b"  -\n").and_then(parse_hash).ok_or_else(|| {
                let what = "its line in the hash file is not what was written".to_owned();
                let place = path.clone();
                StoreError::Damaged(Damage { place, leaf: Some(index as u64), what })
            })
        })
        .collect()
}

/// A payload file being read.
#[derive(Debug)]
pub(super) struct FileReader {
    disk: Arc<Disk>,
    hashing: HashPool,
    id: PayloadId,
    file: Arc<dyn VolumeFile>,
    size: u64,
    leaves: Vec<TreeHash>,
}

impl FileReader {
    /// Reads MiBs, up to one that is shorter than recorded.
    async fn read(
        &self,
        first: u64,
        count: usize,
    ) -> Result<(Vec<Bytes>, Option<StoreError>), StoreError> {
        // By two threads, so that neither disk nor hashing wait long for the other.
        let half = count.div_ceil(2);
        let (begin, end) =
            join(self.read_begin(first, half), self.read_begin(first + half as u64, count - half))
                .await;
        let mut read = begin?;
        if read.len() == half {
            read.append(&mut end?);
        }
        let short = (read.len() < count)
            .then(|| self.damaged(first + read.len() as u64, "shorter than recorded"));
        Ok((read, short))
    }

    /// Reads MiBs, as many as are whole.
    async fn read_begin(&self, first: u64, count: usize) -> Result<Vec<Bytes>, StoreError> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let (disk, file, id) = (Arc::clone(&self.disk), Arc::clone(&self.file), self.id);
        let (size, blocks) = (self.size, self.hashing.blocks().clone());
        blocking(move || {
            let mut read = Vec::with_capacity(count);
            for index in (first..).take(count) {
                let offset = index * LEAF_SIZE_BYTES;
                let len = usize::try_from(size - offset).unwrap_or(LEAF_SIZE).min(LEAF_SIZE);
                let mut came = 0;
                let fill = |buffer: &mut [u8]| {
                    came = file.read_at(buffer, offset)?;
                    Ok(())
                };
                let bytes = blocks.filled(len, fill);
                let bytes = bytes.map_err(|error| disk.failed("reading", &data_path(id), error))?;
                if came < len {
                    break;
                }
                read.push(bytes);
            }
            Ok(read)
        })
        .await
    }

    fn damaged(&self, index: u64, what: &str) -> StoreError {
        let place = data_path(self.id);
        StoreError::Damaged(Damage { place, leaf: Some(index), what: what.to_owned() })
    }
}

#[async_trait]
impl PayloadReader for FileReader {
    fn leaves(&self) -> &[TreeHash] {
        &self.leaves
    }

    async fn read_leaves(&self, first: u64, count: usize) -> Vec<Result<Bytes, StoreError>> {
        let expected = usize::try_from(first).ok().and_then(|first| self.leaves.get(first..));
        let expected = expected.unwrap_or_default();
        let expected = &expected[..expected.len().min(count)];
        let read = self.read(first, expected.len()).await;
        let (read, mut failed) = match read {
            Ok((read, short)) => (read, short),
            Err(error) => (Vec::new(), Some(error)),
        };
        if failed.is_none() && expected.len() < count {
            failed = Some(self.damaged(first + expected.len() as u64, "past the end"));
        }
        let hashes = self.hashing.leaves(read.clone()).await;
        let mut verified = Vec::with_capacity(count);
        for (index, (bytes, (hash, leaf))) in
            (first..).zip(read.into_iter().zip(hashes.iter().zip(expected)))
        {
            if hash != leaf {
                verified.push(Err(self.damaged(index, "hash mismatch")));
                return verified;
            }
            verified.push(Ok(bytes));
        }
        verified.extend(failed.map(Err));
        verified
    }
}

/// Removes both files of each id, durable.
pub(super) fn remove_files(disk: &Disk, ids: &[PayloadId]) -> Result<(), StoreError> {
    disk.writable()?;
    let folders = disk.volume().entries("payload");
    let folders = folders.map_err(|error| disk.failed("listing", "payload", error))?;
    let mut touched = [false; 256];
    for id in ids {
        // A file that is not there may have been removed by a process that died before the sync.
        touched[usize::from(shard_of(*id))] = true;
        for path in [data_path(*id), hash_path(*id)] {
            match disk.volume().remove(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(disk.failed("removing", &path, error));
                }
                Ok(()) | Err(_) => {}
            }
        }
    }
    let exists = |shard: u8| folders.iter().any(|folder| folder.name == format!("{shard:02x}"));
    let touched = (0..=u8::MAX).filter(|shard| touched[usize::from(*shard)] && exists(*shard));
    touched.map(shard_path).try_for_each(|path| disk.sync_dir(&path))
}
