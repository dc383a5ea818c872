//! The only place that syncs, renames or creates.
//!
//! Bytes are durable after a sync of their file, a name after a sync of the folder that holds it. A sync that failed must
//! not be tried again: the kernel marks the pages clean, so that the second try succeeds without having written them.
//! Callers fence instead.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    path::Path,
};

/// Makes the bytes and the length of `file` durable.
pub(crate) fn sync_data(file: &File) -> io::Result<()> {
    file.sync_data()
}

/// Makes the names in the folder `dir` durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Creates `dir` with all missing parents, each durable.
pub(crate) fn create_dir_all(dir: &Path) -> io::Result<()> {
    if dir.as_os_str().is_empty() || dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent().unwrap_or(Path::new(""));
    create_dir_all(parent)?;
    create_dir(dir)?;
    sync_dir(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })
}

/// Creates `dir`, if it is not there, for its owner alone. Its name is not durable yet.
pub(crate) fn create_dir(dir: &Path) -> io::Result<()> {
    let mut options = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut options, 0o700);
    match options.recursive(false).create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}

/// Writes a small file so that a crash leaves the old one or the new one: `NAME.new`, synced, renamed, folder synced.
pub(crate) fn publish(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut staged = path.as_os_str().to_owned();
    staged.push(".new");
    let staged = Path::new(&staged);
    match fs::remove_file(staged) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = create_new(staged)?;
    file.write_all(bytes)?;
    sync_data(&file)?;
    rename(staged, path)
}

/// Gives a synced file another name, in place of a file of that name, and makes it durable. A folder that it leaves is not
/// synced: after a crash it may be found there again.
#[expect(clippy::disallowed_methods, reason = "the place that renames, with the sync after it")]
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_dir(to.parent().unwrap_or(Path::new(".")))
}

/// Creates a file that must not exist yet, for its owner alone to read and write. Its name is not durable yet.
pub(crate) fn create_new(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
