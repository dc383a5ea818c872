//! Files on their way: a partial file beside the final name, and the step that gives it that name.

use std::{
    collections::BTreeSet,
    fs,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::{FileExt as _, MetadataExt as _},
    },
    sync::{Mutex, PoisonError},
};

use icefield_protocol::LinearHash;
use rustix::{
    fs::{Mode, OFlags, fdatasync, fsync, ftruncate, openat, renameat},
    io::Errno,
};

use super::{
    Destination, MAX_SINGLE_SYNCS, PlaceError, look_in, may_replace, remove_if_there,
    set_attributes,
};
use crate::{catalog::FileTime, path::CatalogPath};

/// Longest beginning of a name that its partial file repeats, so that the whole stays below the usual 255 bytes.
const MAX_REPEATED_NAME_BYTES: usize = 200;

/// A file being written beside its final name.
///
/// Dropping it leaves the partial file where it is, for a later run to go on with.
#[derive(Debug)]
pub struct Partial {
    folder: OwnedFd,
    file: fs::File,
    path: CatalogPath,
    temporary: Vec<u8>,
    /// Whether a sync has failed. Held while one is under way: a failure is told once, and then the next sync would
    /// succeed without the bytes being there.
    unsynced: Mutex<bool>,
}

/// A complete file that still has its temporary name. Holds no descriptor, so thousands of them may wait.
#[derive(Debug, Clone)]
pub struct Staged {
    path: CatalogPath,
    temporary: Vec<u8>,
    overwrite: bool,
    /// What could not be given to it.
    pub warning: Option<String>,
}

impl Staged {
    /// Where it belongs.
    pub fn path(&self) -> &CatalogPath {
        &self.path
    }
}

impl Destination {
    /// Makes an empty partial file of `path`; `tag` keeps partial files of different content apart.
    ///
    /// With `recorded`, when a mode will be set at the end, nobody else may read it until then.
    ///
    /// # Errors
    ///
    /// When the folder cannot be made or the file not be opened.
    pub fn partial(
        &self,
        path: &CatalogPath,
        tag: u32,
        recorded: bool,
    ) -> Result<Partial, PlaceError> {
        let folder = self.make_parent(path)?;
        let temporary = temporary_name(path, tag);
        let failed = |errno| PlaceError::io("opening the partial file of", path)(errno);
        remove_if_there(&folder, &temporary).map_err(failed)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(if recorded { 0o600 } else { 0o666 });
        let file = openat(&folder, &temporary[..], flags, mode).map_err(failed)?.into();
        Ok(Partial::new(folder, file, path.clone(), temporary))
    }

    /// Opens the partial file that an earlier run has left, if it is a plain file that only its own name leads to.
    ///
    /// What is in it may be anything, as it lay about between the runs; only its length is made to be `length`.
    ///
    /// # Errors
    ///
    /// When the folder cannot be reached, or the length not be set.
    pub fn earlier_partial(
        &self,
        path: &CatalogPath,
        tag: u32,
        length: u64,
    ) -> Result<Option<Partial>, PlaceError> {
        let Some(folder) = self.parent(path, false)? else { return Ok(None) };
        let temporary = temporary_name(path, tag);
        let Some(file) = reopen(&folder, &temporary) else { return Ok(None) };
        ftruncate(&file, length).map_err(PlaceError::io("setting the length of", path))?;
        Ok(Some(Partial::new(folder, file, path.clone(), temporary)))
    }

    /// Gives staged files their names. On return those with `Ok` are durable, data and name.
    ///
    /// The data of all of them is synced before the first one is renamed.
    pub fn publish(&self, staged: &[Staged]) -> Vec<Result<(), PlaceError>> {
        let synced = self.sync_data(staged);
        let mut folders = BTreeSet::new();
        let mut results: Vec<_> = staged
            .iter()
            .zip(synced)
            .map(|(one, synced)| {
                synced?;
                self.name(one)?;
                folders.insert(one.path.parent());
                Ok(())
            })
            .collect();
        if let Err(error) = self.sync(&folders) {
            let message = error.to_string();
            for result in results.iter_mut().filter(|result| result.is_ok()) {
                *result = Err(PlaceError::Unsynced { what: message.clone() });
            }
        }
        results
    }

    /// Removes what was staged.
    pub fn discard(&self, staged: &Staged) {
        // Best effort: a partial file that stays is overwritten by the next run.
        if let Ok(Some(folder)) = self.parent(&staged.path, false) {
            remove_if_there(&folder, &staged.temporary).ok();
        }
    }

    fn sync_data(&self, staged: &[Staged]) -> Vec<Result<(), PlaceError>> {
        if staged.len() > MAX_SINGLE_SYNCS {
            match self.sync_file_system() {
                Ok(true) => return staged.iter().map(|_| Ok(())).collect(),
                Ok(false) => {}
                Err(errno) => {
                    let failed = |one: &Staged| Err(PlaceError::io("syncing", &one.path)(errno));
                    return staged.iter().map(failed).collect();
                }
            }
        }
        staged.iter().map(|one| self.sync_one(one)).collect()
    }

    fn sync_one(&self, staged: &Staged) -> Result<(), PlaceError> {
        let failed = |errno| PlaceError::io("syncing", &staged.path)(errno);
        let folder = self.parent(&staged.path, false)?.ok_or(Errno::NOENT).map_err(failed)?;
        // Opened for reading: its final mode may already forbid writing.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&folder, &staged.temporary[..], flags, Mode::empty()).map_err(failed)?;
        fsync(&file).map_err(failed)
    }

    fn name(&self, staged: &Staged) -> Result<(), PlaceError> {
        let failed = |errno| PlaceError::io("putting in place", &staged.path)(errno);
        let folder = self.parent(&staged.path, false)?.ok_or(Errno::NOENT).map_err(failed)?;
        let name = staged.path.name();
        let renamed = if staged.overwrite {
            may_replace(&look_in(&folder, name).map_err(failed)?, true)?;
            renameat(&folder, &staged.temporary[..], &folder, name)
        } else {
            rename_new(&folder, &staged.temporary, name)
        };
        match renamed {
            Err(Errno::EXIST) => {
                let found = look_in(&folder, name).map_err(failed)?;
                may_replace(&found, false)?;
                Err(failed(Errno::EXIST))
            }
            other => other.map_err(failed),
        }
    }
}

impl Partial {
    fn new(folder: OwnedFd, file: fs::File, path: CatalogPath, temporary: Vec<u8>) -> Self {
        Self { folder, file, path, temporary, unsynced: Mutex::new(false) }
    }

    /// Reads bytes at an offset; fails when the file ends before the buffer is full.
    ///
    /// # Errors
    ///
    /// When the file is too short or the disk fails.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), PlaceError> {
        self.file.read_exact_at(buffer, offset).map_err(|source| PlaceError::Io {
            doing: "reading the partial file of",
            path: self.path.to_string(),
            source,
        })
    }

    /// Writes bytes at an offset.
    ///
    /// # Errors
    ///
    /// When the disk is full or fails.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), PlaceError> {
        self.file.write_all_at(bytes, offset).map_err(|source| PlaceError::Io {
            doing: "writing",
            path: self.path.to_string(),
            source,
        })
    }

    /// Makes what was written durable.
    ///
    /// # Errors
    ///
    /// When the sync fails, and from then on always: nobody knows which bytes are there.
    pub fn sync_data(&self) -> Result<(), PlaceError> {
        let mut unsynced = self.unsynced.lock().unwrap_or_else(PoisonError::into_inner);
        let synced = if *unsynced { Err(Errno::IO) } else { fdatasync(self.file.as_fd()) };
        *unsynced = synced.is_err();
        synced.map_err(PlaceError::io("syncing", &self.path))
    }

    /// Ends writing: the file has its mode and time, and waits for its name.
    ///
    /// # Errors
    ///
    /// When the time cannot be set.
    pub fn stage(
        &self,
        mode: Option<u32>,
        mtime: Option<FileTime>,
        overwrite: bool,
    ) -> Result<Staged, PlaceError> {
        let warning = set_attributes(&self.file, mode, mtime)
            .map_err(PlaceError::io("setting the time of", &self.path))?;
        Ok(Staged {
            path: self.path.clone(),
            temporary: self.temporary.clone(),
            overwrite,
            warning,
        })
    }

    /// Removes the partial file.
    pub fn discard(&self) {
        // Best effort: a partial file that stays is overwritten by the next run.
        remove_if_there(&self.folder, &self.temporary).ok();
    }
}

/// The same for every run, so that a later run finds the partial file and none is left behind; another one for every
/// path, also where only the end of a long name differs.
pub(super) fn temporary_name(path: &CatalogPath, tag: u32) -> Vec<u8> {
    let name = path.name();
    let repeated = &name[..name.len().min(MAX_REPEATED_NAME_BYTES)];
    let [a, b, c, d, ..] = *LinearHash::of(name).as_bytes();
    let of_name = u32::from_be_bytes([a, b, c, d]);
    [b".", repeated, format!(".icefield-{tag:08x}{of_name:08x}").as_bytes()].concat()
}

/// Where the partial file of `path` lies below the destination.
pub(crate) fn temporary_path(path: &CatalogPath, tag: u32) -> CatalogPath {
    let name = temporary_name(path, tag);
    let temporary = match path.parent() {
        Some(parent) => parent.join(&name),
        None => CatalogPath::parse(name),
    };
    temporary.expect("a name beside a name of a catalog path is one")
}

/// Opens a partial file of an earlier run, if it is a plain file that only its own name leads to.
fn reopen(folder: &OwnedFd, temporary: &[u8]) -> Option<fs::File> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = fs::File::from(openat(folder, temporary, flags, Mode::empty()).ok()?);
    let metadata = file.metadata().ok()?;
    (metadata.is_file() && metadata.nlink() == 1).then_some(file)
}

/// Renames unless the name is taken.
fn rename_new(folder: &OwnedFd, from: &[u8], to: &[u8]) -> Result<(), Errno> {
    #[cfg(any(target_os = "linux", target_vendor = "apple"))]
    {
        use rustix::fs::{RenameFlags, renameat_with};
        match renameat_with(folder, from, folder, to, RenameFlags::NOREPLACE) {
            // Some file systems (NFS among them) cannot.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
            other => return other,
        }
    }
    use rustix::fs::{AtFlags, linkat, unlinkat};
    match linkat(folder, from, folder, to, AtFlags::empty()) {
        Ok(()) => unlinkat(folder, from, AtFlags::empty()),
        Err(Errno::PERM | Errno::OPNOTSUPP) => match look_in(folder, to)? {
            super::Found::Nothing => renameat(folder, from, folder, to),
            _ => Err(Errno::EXIST),
        },
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::{path::CatalogPath, place::Destination};

    /// Two segments of one file were synced at a time; the system tells a failure once, so the second sync "succeeded"
    /// and its segment was journalled although its bytes were perhaps not there.
    #[test]
    #[cfg(target_os = "linux")]
    fn after_a_failed_sync_none_of_the_same_file_succeeds() {
        let folder = tempfile::tempdir().unwrap();
        let to = Destination::open(folder.path()).unwrap();
        let mut partial = to.partial(&CatalogPath::parse("f").unwrap(), 1, true).unwrap();
        partial.sync_data().unwrap();
        // A device that cannot be synced.
        let file = std::mem::replace(&mut partial.file, fs::File::open("/dev/null").unwrap());
        assert!(partial.sync_data().is_err());
        partial.file = file;
        assert!(partial.sync_data().is_err());
    }
}
