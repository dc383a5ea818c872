//! Reading what is sent, and noticing when it changes meanwhile.
//!
//! A file is read in chunks of 1 MiB on blocking threads, a little ahead of the target. Its identity (size, times, inode)
//! is taken when it is opened and compared after the last byte of every body; the last chunk is held back until then, so
//! a target never gets a whole body of a file that changed.
//!
//! Not only files are sent: whatever is a [`Source`] can be.
//!
//! Times of files advance in ticks of the kernel's clock, so a change right after another one can leave them as they
//! were. A file whose status changed within the last tick is therefore left to rest for that tick before it is read: any
//! later change gives it another time. (Stores through a memory map are seen when the kernel writes them down.)

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;
use icefield_protocol::{ByteRange, TreeHash};
use icefield_treehash::Blocks;
use tokio::sync::mpsc;

use super::spool::Spooled;
use crate::{
    catalog::{FileTime, Identity},
    local,
    target::{Body, Chunks, TargetError},
};

/// Length of the chunks of a body.
const CHUNK_BYTES: u64 = 1 << 20;

/// Chunks read ahead of the target.
const READ_AHEAD: usize = 2;

/// At least twice the longest tick of a kernel's clock (10 ms).
const TICK: Duration = Duration::from_millis(20);

/// The tick of file systems that keep no fractions of a second (FAT has the longest).
const COARSE_TICK: Duration = Duration::from_secs(2);

/// Something that can be sent, as a whole or in regions.
#[async_trait]
pub trait Source: fmt::Debug + Send + Sync {
    /// Returns what tells whether it is still the same.
    fn identity(&self) -> Identity;

    /// Returns its permission bits.
    fn mode(&self) -> u32;

    /// Returns its tree hash, where that is known without reading it.
    fn tree_hash(&self) -> Option<TreeHash> {
        None
    }

    /// Returns a region as a body; an error of the body is a [`SourceError`] inside.
    ///
    /// # Errors
    ///
    /// When the region cannot be had.
    async fn body(self: Arc<Self>, range: ByteRange) -> Result<Body, SourceError>;

    /// Compares it with what it was. Blocking, but never for long.
    ///
    /// # Errors
    ///
    /// `Changed`, or what prevented the comparison.
    fn check(&self) -> Result<(), SourceError>;
}

/// Why a file could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It is not what it was when it was opened.
    #[error(
        "the file changed while it was being read, nothing of it was kept: run the same command again"
    )]
    Changed,
    /// It is no longer a regular file.
    #[error("it is no longer a regular file")]
    NotAFile,
    /// It could not be opened or read.
    #[error("it cannot be read")]
    Io(#[from] io::Error),
    /// The target that it is fetched from failed.
    #[error("it cannot be fetched")]
    Remote(#[source] TargetError),
}

/// An open file that is read only as long as it does not change.
#[derive(Debug)]
pub struct FileSource {
    file: File,
    identity: Identity,
    mode: u32,
    blocks: Blocks,
}

impl FileSource {
    /// Opens the file, and waits a moment if it has only just changed. Blocking.
    ///
    /// # Errors
    ///
    /// When it cannot be opened, is no regular file, or goes on changing.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        let file = local::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(SourceError::NotAFile);
        }
        let (identity, mode) = (local::identity(&metadata), local::mode(&metadata));
        let source = Self { file, identity, mode, blocks: Blocks::default() };
        if let Some(rest) = rest_of_tick(source.identity.ctime) {
            std::thread::sleep(rest);
            source.check()?;
        }
        Ok(source)
    }

    /// Returns its size in bytes.
    pub fn size(&self) -> u64 {
        self.identity.size
    }

    /// Reads a region and compares the file afterwards. Blocking; for regions of a chunk or less.
    ///
    /// # Errors
    ///
    /// As [`Source::check`].
    pub fn read(&self, range: ByteRange) -> Result<Bytes, SourceError> {
        let chunk = self.read_unchecked(range.first, range.len())?;
        self.check()?;
        Ok(chunk)
    }

    fn chunks(self: &Arc<Self>, range: ByteRange) -> Chunks {
        let (sender, mut receiver) = mpsc::channel(READ_AHEAD);
        let source = Arc::clone(self);
        // It ends with the chunks, or at the first one after they were dropped; nobody needs to wait for it.
        drop(tokio::task::spawn_blocking(move || source.feed(range, &sender)));
        Box::pin(stream::poll_fn(move |context| receiver.poll_recv(context)))
    }

    fn feed(&self, range: ByteRange, sender: &mpsc::Sender<io::Result<Bytes>>) {
        let mut offset = range.first;
        while offset <= range.last {
            let length = CHUNK_BYTES.min(range.last - offset + 1);
            let is_last = offset + length > range.last;
            let chunk = self
                .read_unchecked(offset, length)
                .and_then(|chunk| if is_last { self.check().map(|()| chunk) } else { Ok(chunk) });
            let failed = chunk.is_err();
            if sender.blocking_send(chunk.map_err(io::Error::other)).is_err() || failed {
                return;
            }
            offset += length;
        }
    }

    fn read_unchecked(&self, offset: u64, length: u64) -> Result<Bytes, SourceError> {
        let length = usize::try_from(length).map_err(io::Error::other)?;
        let read = |buffer: &mut [u8]| local::read_exact_at(&self.file, buffer, offset);
        self.blocks.filled(length, read).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => SourceError::Changed,
            _ => error.into(),
        })
    }
}

#[async_trait]
impl Source for FileSource {
    /// As it was opened.
    fn identity(&self) -> Identity {
        self.identity
    }

    /// As it was opened.
    fn mode(&self) -> u32 {
        self.mode
    }

    async fn body(self: Arc<Self>, range: ByteRange) -> Result<Body, SourceError> {
        Ok(Body::new(range.len(), move || self.chunks(range)))
    }

    fn check(&self) -> Result<(), SourceError> {
        if local::identity(&self.file.metadata()?) == self.identity {
            Ok(())
        } else {
            Err(SourceError::Changed)
        }
    }
}

/// Returns how long a file that was last changed at `ctime` has to rest, if it has to.
#[expect(
    clippy::disallowed_methods,
    reason = "compared with times that the kernel stamped, which no injected clock governs"
)]
fn rest_of_tick(ctime: FileTime) -> Option<Duration> {
    let tick = if ctime.nanos == 0 { COARSE_TICK } else { TICK };
    let changed = Duration::new(u64::try_from(ctime.seconds).ok()?, ctime.nanos);
    // A time in the future is the mark of a clock that was set back: the next change is stamped before it.
    let age = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.checked_sub(changed)?;
    tick.checked_sub(age)
}

/// One part of a stream.
#[derive(Debug, Clone)]
pub struct StreamPart {
    /// The bytes.
    pub bytes: Spooled,
    /// Whether the stream has ended with it.
    pub is_last: bool,
}

/// Reads a stream of unknown length part by part on a blocking thread, one part ahead.
///
/// There are three parts at most: one that is read, one that waits, one that is sent. Large ones are not in memory.
pub fn read_stream(
    mut reader: Box<dyn Read + Send>,
    part_size: u64,
) -> mpsc::Receiver<io::Result<StreamPart>> {
    let (sender, receiver) = mpsc::channel(1);
    drop(tokio::task::spawn_blocking(move || {
        let mut first_chunk = match read_chunk(&mut reader) {
            Ok(chunk) => chunk,
            Err(error) => return drop(sender.blocking_send(Err(error))),
        };
        loop {
            let part = read_part(&mut reader, part_size, &mut first_chunk);
            let ended = part.as_ref().map_or(true, |part| part.is_last);
            if sender.blocking_send(part).is_err() || ended {
                return;
            }
        }
    }));
    receiver
}

/// Reads a part that begins with `next`, which is then the first chunk of the part after it.
fn read_part(reader: &mut impl Read, part_size: u64, next: &mut Bytes) -> io::Result<StreamPart> {
    let mut part = StreamPart { bytes: Spooled::default(), is_last: false };
    while part.bytes.size() < part_size && !next.is_empty() {
        part.bytes.push(std::mem::take(next))?;
        *next = read_chunk(reader)?;
    }
    part.is_last = next.is_empty();
    Ok(part)
}

/// Reads 1 MiB, or what is left.
fn read_chunk(reader: &mut impl Read) -> io::Result<Bytes> {
    let mut buffer = Vec::new();
    reader.take(CHUNK_BYTES).read_to_end(&mut buffer)?;
    Ok(buffer.into())
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write, sync::Arc};

    use futures_util::StreamExt;
    use icefield_protocol::ByteRange;

    use super::{FileSource, Source as _, SourceError, read_stream};

    #[tokio::test]
    async fn a_body_is_the_region_in_chunks_of_a_mebibyte() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let content: Vec<u8> = (0..3 << 20).map(|n: u32| n.to_le_bytes()[1]).collect();
        fs::write(&path, &content).unwrap();
        let source = Arc::new(FileSource::open(&path).unwrap());
        let range = ByteRange::new(1 << 20, (3 << 20) - 5).unwrap();
        let chunks: Vec<_> = Arc::clone(&source)
            .body(range)
            .await
            .unwrap()
            .read()
            .map(Result::unwrap)
            .collect()
            .await;
        assert_eq!(chunks.iter().map(|c| c.len()).collect::<Vec<_>>(), [1 << 20, (1 << 20) - 4]);
        assert_eq!(chunks.concat(), content[1 << 20..(3 << 20) - 4]);
    }

    #[tokio::test]
    async fn the_last_chunk_of_a_changed_file_never_comes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        fs::write(&path, vec![1; 6 << 20]).unwrap();
        let source = Arc::new(FileSource::open(&path).unwrap());
        let whole = ByteRange::whole(source.size()).unwrap();
        let mut chunks = Arc::clone(&source).body(whole).await.unwrap().read();
        chunks.next().await.unwrap().unwrap();
        // Same size, other content, and the old modification time put back: only the status time tells.
        let before = fs::metadata(&path).unwrap().modified().unwrap();
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        (&file).write_all(b"other").unwrap();
        file.set_modified(before).unwrap();
        let rest: Vec<_> = chunks.collect().await;
        let error = rest.last().unwrap().as_ref().unwrap_err();
        let source_error = error.get_ref().unwrap().downcast_ref::<SourceError>().unwrap();
        assert!(matches!(source_error, SourceError::Changed), "{source_error}");
        assert!(rest.len() < 6, "a whole body came out");
    }

    #[test]
    fn a_file_that_shrinks_or_grows_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        for other in ["short", "long enough to be longer"] {
            fs::write(&path, b"ten bytes.").unwrap();
            let source = FileSource::open(&path).unwrap();
            fs::write(&path, other).unwrap();
            let whole = ByteRange::whole(10).unwrap();
            assert!(matches!(source.read(whole), Err(SourceError::Changed)), "{other}");
        }
    }

    #[test]
    fn a_change_in_the_same_tick_as_the_one_before_opening_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        for round in 0..20 {
            fs::write(&path, b"one").unwrap();
            let source = FileSource::open(&path).unwrap();
            fs::write(&path, b"two").unwrap();
            assert!(matches!(source.check(), Err(SourceError::Changed)), "round {round}");
        }
    }

    #[test]
    fn links_and_folders_are_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/etc/hostname", &link).unwrap();
        assert!(matches!(FileSource::open(&link), Err(SourceError::Io(_))));
        assert!(matches!(FileSource::open(folder.path()), Err(SourceError::NotAFile)));
    }

    #[tokio::test]
    async fn a_stream_is_cut_into_parts_and_told_its_end() {
        const MIB: usize = 1 << 20;
        for (length, sizes) in [
            (0, vec![0]),
            (5, vec![5]),
            (2 * MIB, vec![2 * MIB]),
            (2 * MIB + 1, vec![2 * MIB, 1]),
            (4 * MIB, vec![2 * MIB, 2 * MIB]),
        ] {
            let reader = Box::new(std::io::Cursor::new(vec![7; length]));
            let mut parts = read_stream(reader, 2 << 20);
            for (index, size) in sizes.iter().enumerate() {
                let part = parts.recv().await.unwrap().unwrap();
                assert_eq!(
                    (part.bytes.size(), part.is_last),
                    (*size as u64, index + 1 == sizes.len())
                );
            }
            assert!(parts.recv().await.is_none());
        }
    }
}
