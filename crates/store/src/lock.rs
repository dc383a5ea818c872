//! One process owns a store: the lock that says who.
//!
//! The lock is the operating system's on `DIR/lock`, so it ends with its holder, however that ends. What is written in
//! the file only tells others whom they wait for.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
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
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(failed("opening"))?;
        let mut polls = wait.as_millis() / POLL.as_millis();
        loop {
            match file.try_lock() {
                Ok(()) => break,
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
