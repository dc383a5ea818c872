//! What of local files depends on the platform: names as bytes, identity, opening. Unix only so far.

use std::{
    ffi::{OsStr, OsString},
    fs::{File, Metadata, OpenOptions},
    io,
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use crate::catalog::{FileTime, Identity};

/// Returns the bytes of a file name or path.
pub(crate) fn bytes(name: &(impl AsRef<OsStr> + ?Sized)) -> &[u8] {
    name.as_ref().as_bytes()
}

/// Returns the path with these bytes.
pub(crate) fn path(bytes: impl Into<Vec<u8>>) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes.into()))
}

/// Returns what changes whenever the file does.
pub(crate) fn identity(metadata: &Metadata) -> Identity {
    Identity {
        size: metadata.len(),
        mtime: file_time(metadata.mtime(), metadata.mtime_nsec()),
        ctime: file_time(metadata.ctime(), metadata.ctime_nsec()),
        inode: metadata.ino(),
    }
}

/// Returns the permission bits, with set-user-ID, set-group-ID and sticky.
pub(crate) fn mode(metadata: &Metadata) -> u32 {
    metadata.mode() & 0o7777
}

/// Returns the word for what is neither file, folder nor link.
pub(crate) fn special_kind(metadata: &Metadata) -> &'static str {
    let kind = metadata.file_type();
    if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_block_device() || kind.is_char_device() {
        "a device"
    } else {
        "of an unknown kind"
    }
}

/// Opens for reading; a link or a pipe that took the file's place is neither followed nor waited for.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY).bits();
    let flags = i32::try_from(flags).map_err(io::Error::other)?;
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// Fills the buffer from an offset, without moving any shared position.
pub(crate) fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    file.read_exact_at(buffer, offset)
}

fn file_time(seconds: i64, nanos: i64) -> FileTime {
    FileTime { seconds, nanos: u32::try_from(nanos).unwrap_or_default() }
}
