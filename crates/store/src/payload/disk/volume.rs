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
        Ok(Arc::new(durable::create_new(&self.full(path))?))
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
