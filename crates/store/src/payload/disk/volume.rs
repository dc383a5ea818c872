//! What the disk backend needs of a disk, and the real one.
//!
//! Small and synchronous, so that tests can put a volume in its place that keeps what is written apart from what is
//! durable, and cut it at any sync. Paths are relative to the store's folder and use `/`.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::durable;

/// A folder on a disk.
pub(crate) trait Volume: fmt::Debug + Send + Sync + 'static {
    /// The folder, for messages.
    fn root(&self) -> &Path;

    /// Creates a file that must not exist, for reading and writing; its name becomes durable with [`Self::sync_dir`].
    fn create(&self, path: &str) -> io::Result<Arc<dyn VolumeFile>>;

    /// Opens a file for reading, or for both.
    fn open(&self, path: &str, access: Access) -> io::Result<Arc<dyn VolumeFile>>;

    /// Creates a folder, if it is not there; its name becomes durable with [`Self::sync_dir`] of its parent.
    fn create_dir(&self, path: &str) -> io::Result<()>;

    /// Makes the names in a folder durable; the empty path is the root.
    fn sync_dir(&self, path: &str) -> io::Result<()>;

    /// Removes a file's name.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// Lists a folder, in no order; the empty path is the root.
    fn entries(&self, path: &str) -> io::Result<Vec<VolumeEntry>>;

    /// Bytes that can still be written, as far as the system knows; more than there can be where it does not.
    fn free_bytes(&self) -> io::Result<u64>;

    /// Puts a small file in place, durable, so that a crash leaves the old one or the new one.
    fn publish(&self, path: &str, bytes: &[u8]) -> io::Result<()>;
}

/// What a file is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    ReadWrite,
}

/// A name in a folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct VolumeEntry {
    /// The name; what is not UTF-8 in it is replaced (no name of ours is affected).
    pub(crate) name: String,
    /// Whether it is a folder.
    pub(crate) is_dir: bool,
}

/// An open file.
pub(crate) trait VolumeFile: fmt::Debug + Send + Sync + 'static {
    /// Fills `buffer` from `offset` on and returns how many bytes there were: fewer only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Writes like [`write_at`](Self::write_at), for bytes that nobody reads again soon: past the system's memory, where
    /// there is a way and they lie as it demands (address, length and offset).
    fn write_past_memory(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_at(bytes, offset)
    }

    /// Makes bytes and length durable.
    fn sync(&self) -> io::Result<()>;

    /// Returns the length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Cuts the file off.
    fn truncate(&self, len: u64) -> io::Result<()>;

    /// Asks the system to drop these bytes, or to the end of the file, from its memory, if they are durable. Best effort.
    fn forget_cached(&self, offset: u64, len: u64);
}

/// The real disk.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
}

impl Folder {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    fn full(&self, path: &str) -> PathBuf {
        if path.is_empty() { self.root.clone() } else { self.root.join(path) }
    }
}

impl Volume for Folder {
    fn root(&self) -> &Path {
        &self.root
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn VolumeFile>> {
        let path = self.full(path);
        let file = durable::create_new(&path)?;
        Ok(Arc::new(NewFile { file, past: past_memory::Way::new(path) }))
    }

    fn open(&self, path: &str, access: Access) -> io::Result<Arc<dyn VolumeFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(access == Access::ReadWrite)
            .open(self.full(path))?;
        Ok(Arc::new(file))
    }

    fn create_dir(&self, path: &str) -> io::Result<()> {
        durable::create_dir(&self.full(path))
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        durable::sync_dir(&self.full(path))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.full(path))
    }

    fn entries(&self, path: &str) -> io::Result<Vec<VolumeEntry>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(self.full(path))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            found.push(VolumeEntry { name, is_dir: entry.file_type()?.is_dir() });
        }
        Ok(found)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.root)?;
        // Some file systems over a network count nothing.
        Ok(if stat.f_blocks == 0 { u64::MAX } else { stat.f_bavail.saturating_mul(stat.f_frsize) })
    }

    fn publish(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        durable::publish(&self.full(path), bytes)
    }
}

impl VolumeFile for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match positioned::read(self, &mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        positioned::write_all(self, bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        durable::sync_data(self)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }

    #[cfg(target_os = "linux")]
    fn forget_cached(&self, offset: u64, len: u64) {
        use rustix::fs::{Advice, fadvise};

        // Only whole pages are dropped, and the largest pages in use have so many bytes.
        const PAGE_BYTES: u64 = 64 << 10;
        let begin = offset - offset % PAGE_BYTES;
        let end = offset.checked_add(len).and_then(|end| end.checked_next_multiple_of(PAGE_BYTES));
        let len = end.and_then(|end| std::num::NonZeroU64::new(end - begin));
        if let Err(error) = fadvise(self, begin, len, Advice::DontNeed) {
            tracing::debug!(%error, "bytes may be read from memory instead of the medium");
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn forget_cached(&self, _offset: u64, _len: u64) {}
}

/// A file that was created, to be written once.
#[derive(Debug)]
struct NewFile {
    file: File,
    past: past_memory::Way,
}

impl VolumeFile for NewFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        VolumeFile::read_at(&self.file, buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_at(bytes, offset)
    }

    fn write_past_memory(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if self.past.write(&self.file, bytes, offset)? {
            Ok(())
        } else {
            self.file.write_at(bytes, offset)
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    fn len(&self) -> io::Result<u64> {
        VolumeFile::len(&self.file)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.file.truncate(len)
    }

    fn forget_cached(&self, offset: u64, len: u64) {
        self.file.forget_cached(offset, len);
    }
}

/// Writing past the system's memory: what is not read again soon does not drive out what is, and costs no copy.
///
/// The bytes are in the device's hands then, not durable: that takes a sync of the file as ever.
#[cfg(target_os = "linux")]
mod past_memory {
    use std::{
        fs::{File, OpenOptions},
        io,
        os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
        path::PathBuf,
        sync::{
            OnceLock,
            atomic::{AtomicBool, Ordering},
        },
    };

    use icefield_treehash::BLOCK_ALIGNMENT;
    use rustix::{fs::OFlags, io::Errno};

    use super::positioned;

    /// The same file, opened once more when it is first needed.
    #[derive(Debug)]
    pub(super) struct Way {
        path: PathBuf,
        file: OnceLock<Option<File>>,
        /// The file system demands something else of bytes than they have.
        refused: AtomicBool,
    }

    impl Way {
        pub(super) fn new(path: PathBuf) -> Self {
            Self { path, file: OnceLock::new(), refused: AtomicBool::new(false) }
        }

        /// Writes the bytes to the file that is open as `of`, or tells that there is no way for them.
        pub(super) fn write(&self, of: &File, bytes: &[u8], offset: u64) -> io::Result<bool> {
            let lies_well = bytes.as_ptr().align_offset(BLOCK_ALIGNMENT) == 0
                && bytes.len().is_multiple_of(BLOCK_ALIGNMENT)
                && offset.is_multiple_of(BLOCK_ALIGNMENT as u64);
            if !lies_well || self.refused.load(Ordering::Relaxed) {
                return Ok(false);
            }
            let Some(file) = self.file.get_or_init(|| self.open(of)) else { return Ok(false) };
            match positioned::write_all(file, bytes, offset) {
                Err(error)
                    if matches!(
                        Errno::from_io_error(&error),
                        Some(Errno::INVAL | Errno::OPNOTSUPP)
                    ) =>
                {
                    self.refused.store(true, Ordering::Relaxed);
                    Ok(false)
                }
                written => written.map(|()| true),
            }
        }

        /// Not all file systems have it; a file that cannot be opened is written in the ordinary way, and so is one that
        /// is not at its path any more: what is synced is the other.
        fn open(&self, of: &File) -> Option<File> {
            let flags = OFlags::DIRECT.bits().cast_signed();
            let file = OpenOptions::new().write(true).custom_flags(flags).open(&self.path).ok()?;
            let (same, other) = (of.metadata().ok()?, file.metadata().ok()?);
            ((same.dev(), same.ino()) == (other.dev(), other.ino())).then_some(file)
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod past_memory {
    use std::{io, path::PathBuf};

    /// There is none that is portable.
    #[derive(Debug)]
    pub(super) struct Way;

    impl Way {
        pub(super) fn new(_path: PathBuf) -> Self {
            Self
        }

        #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "as on Linux")]
        pub(super) fn write(
            &self,
            _of: &std::fs::File,
            _bytes: &[u8],
            _offset: u64,
        ) -> io::Result<bool> {
            Ok(false)
        }
    }
}

#[cfg(unix)]
mod positioned {
    use std::{fs::File, io, os::unix::fs::FileExt};

    pub(super) fn read(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        file.read_at(buffer, offset)
    }

    pub(super) fn write_all(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }
}

#[cfg(windows)]
mod positioned {
    use std::{fs::File, io, os::windows::fs::FileExt};

    pub(super) fn read(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        file.seek_read(buffer, offset)
    }

    pub(super) fn write_all(file: &File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            let count = file.seek_write(bytes, offset)?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            bytes = &bytes[count..];
            offset += count as u64;
        }
        Ok(())
    }
}
