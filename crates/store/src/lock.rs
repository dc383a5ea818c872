//! One process owns a store: the lock that says who.
//!
//! The lock is the operating system's on `DIR/lock`, so it ends with its holder, however that ends. What is written in
//! the file only tells others whom they wait for.
//!
//! A lock on a file whose name was removed, or given to another file, keeps nobody out: the next process makes a new
//! file and locks that. So a lock counts only if the path still leads to the locked file, and the log looks before each
//! batch whether somebody else has written into it.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    path::Path,
    time::Duration,
};

use icefield_protocol::Timestamp;

use crate::error::StoreError;

/// How often a held lock is tried again.
const POLL: Duration = Duration::from_millis(50);
/// More of the holder's text is not shown.
const MAX_HOLDER_BYTES: u64 = 1024;

/// A held lock; dropping it lets it go.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, waiting up to `wait` for its holder to end.
    pub(crate) async fn take(
        dir: &Path,
        wait: Duration,
        holder: &Holder<'_>,
    ) -> Result<Self, StoreError> {
        let path = dir.join("lock");
        let failed = |doing| {
            let path = path.clone();
            move |error| StoreError::io(doing, path, error)
        };
        let mut file = open(&path)?;
        let mut polls = wait.as_millis() / POLL.as_millis();
        loop {
            match file.try_lock() {
                Ok(()) if leads_to(&path, &file).map_err(failed("locking"))? => break,
                Ok(()) => {
                    file = open(&path)?;
                    continue;
                }
                Err(TryLockError::Error(error)) => return Err(failed("locking")(error)),
                Err(TryLockError::WouldBlock) if polls == 0 => {
                    return Err(StoreError::InUse {
                        path: dir.to_owned(),
                        holder: read_holder(&mut file),
                    });
                }
                Err(TryLockError::WouldBlock) => polls -= 1,
            }
            #[expect(
                clippy::disallowed_methods,
                reason = "waits for another process, so no injected clock can make it come true"
            )]
            tokio::time::sleep(POLL).await;
        }
        file.set_len(0).map_err(failed("writing"))?;
        file.write_all(holder.text().as_bytes()).map_err(failed("writing"))?;
        Ok(Self { _file: file })
    }
}

fn open(path: &Path) -> Result<File, StoreError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|error| {
        let doing = match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                "the store's folder cannot be written: opening"
            }
            _ => "opening",
        };
        StoreError::io(doing, path, error)
    })
}

/// Whether `file` is what the path leads to.
#[cfg(unix)]
fn leads_to(path: &Path, file: &File) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let locked = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino()) == (locked.dev(), locked.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether `file` is what the path leads to. Here the name of an open file cannot be given to another one.
#[cfg(not(unix))]
fn leads_to(_: &Path, _: &File) -> io::Result<bool> {
    Ok(true)
}

/// Who takes a lock.
#[derive(Debug)]
pub(crate) struct Holder<'a> {
    /// The program's name.
    pub(crate) program: &'a str,
    /// Where it can be reached, if it serves.
    pub(crate) address: Option<&'a str>,
    /// Since when.
    pub(crate) since: Timestamp,
}

impl Holder<'_> {
    fn text(&self) -> String {
        let (program, since, process) = (self.program, self.since, std::process::id());
        let at = self.address.map(|address| format!(" at {address}")).unwrap_or_default();
        format!("{program} (process {process}){at} since {since}\n")
    }
}

fn read_holder(file: &mut File) -> String {
    let mut text = Vec::new();
    let read = file.rewind().and_then(|()| file.take(MAX_HOLDER_BYTES).read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text);
    match read {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => "another process".to_owned(),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn holder() -> Holder<'static> {
        Holder { program: "test", address: None, since: Timestamp::from_unix_millis(0) }
    }

    /// A process that waited for the lock got it on a file whose name had been removed meanwhile, and the next process
    /// got another lock on a new file: two owners.
    #[tokio::test]
    async fn a_lock_on_a_removed_file_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let first = Lock::take(dir.path(), Duration::ZERO, &holder()).await.unwrap();
        let other = holder();
        let mut waiting = Box::pin(Lock::take(dir.path(), Duration::from_secs(9), &other));
        assert!((&mut waiting).now_or_never().is_none());
        std::fs::remove_file(dir.path().join("lock")).unwrap();
        drop(first);
        let second = waiting.await.unwrap();
        let third = Lock::take(dir.path(), Duration::ZERO, &holder()).await;
        assert!(matches!(third, Err(StoreError::InUse { .. })), "{third:?}");
        drop(second);
    }
}
