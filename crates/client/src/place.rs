//! Puts finished things in their place below a destination folder, durably, and never outside it.
//!
//! Every path is walked step by step from the destination's own descriptor, and no step follows a link: whatever an
//! archive brought along, or somebody left there before, cannot lead a file out of the destination. Content goes to a
//! partial file beside its final name (`.NAME.icefield-TAG`), is synced, gets its recorded mode and modification time,
//! and only then its name, which replaces nothing unless that was asked for.
//!
//! Syncing 50,000 small files one by one would take longer than reading them back. [`Destination::publish`] therefore
//! takes many staged files at once and, where the system can do so, syncs the file system once for all data and once
//! for all names.
//!
//! Unix only: other systems have neither these calls nor these permission bits.

mod partial;

use std::{
    collections::BTreeSet,
    fs, io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{
        AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_OMIT, fchmod,
        fstat, fsync, futimens, mkdirat, openat, readlinkat, renameat, statat, symlinkat, unlinkat,
        utimensat,
    },
    io::Errno,
};

pub(crate) use partial::temporary_path;
pub use partial::{Partial, Staged};

use crate::{catalog::FileTime, path::CatalogPath};

/// Above so many folders or files, one sync of the whole file system is used in place of one for each.
const MAX_SINGLE_SYNCS: usize = 8;

/// Why something could not be put in its place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlaceError {
    /// A step of the path is no folder.
    #[error("`{step}` is {what} at the destination, and nothing is put through it; move it away")]
    Blocked {
        /// The step, relative to the destination.
        step: CatalogPath,
        /// What it is, with its article.
        what: &'static str,
    },
    /// Something else has the name.
    #[error("{what} is at the destination already; {hint}")]
    Exists {
        /// What has the name, with its article.
        what: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// The names of finished files could not be made durable.
    #[error("it is in place, but perhaps not durably: {what}")]
    Unsynced {
        /// What went wrong.
        what: String,
    },
    /// The system refused.
    #[error("{doing} `{path}` failed")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl PlaceError {
    fn io(doing: &'static str, path: &CatalogPath) -> impl FnOnce(Errno) -> Self {
        let path = path.to_string();
        move |errno| Self::Io { doing, path, source: errno.into() }
    }
}

/// What has a name at the destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing has it.
    Nothing,
    /// A regular file.
    File(Attributes),
    /// A folder.
    Folder(Attributes),
    /// A link and what it points to.
    Link {
        /// The bytes of the link.
        target: Vec<u8>,
        /// Modification time of the link itself.
        mtime: FileTime,
    },
    /// A socket, pipe or device.
    Other,
}

impl Found {
    /// Names the kind with its article, for messages.
    pub const fn what(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::File(_) => "a file",
            Self::Folder(_) => "a folder",
            Self::Link { .. } => "a link",
            Self::Other => "a socket, pipe or device",
        }
    }
}

/// What a file or folder at the destination has beside its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// Size in bytes.
    pub size: u64,
    /// Modification time.
    pub mtime: FileTime,
    /// Permission bits.
    pub mode: u32,
}

/// An open destination folder. All calls block.
#[derive(Debug)]
pub struct Destination {
    root: OwnedFd,
    path: PathBuf,
}

impl Destination {
    /// Opens the folder at `path`, which may be reached through links, and makes it if it is missing.
    ///
    /// # Errors
    ///
    /// When it cannot be made or is no folder.
    pub fn open(path: &Path) -> Result<Self, PlaceError> {
        let failed = |source| PlaceError::Io {
            doing: "opening the destination",
            path: path.display().to_string(),
            source,
        };
        create_synced(path).map_err(failed)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat(CWD, path, flags, Mode::empty()).map_err(|errno| failed(errno.into()))?;
        Ok(Self { root, path: path.to_owned() })
    }

    /// Opens the folder at `path` if there is one, and makes nothing.
    pub fn existing(path: &Path) -> Option<Self> {
        path.is_dir().then(|| Self::open(path).ok()).flatten()
    }

    /// Returns where a path lies, for messages and records; never opened by that name.
    pub fn full_path(&self, path: &CatalogPath) -> PathBuf {
        use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};
        self.path.join(OsStr::from_bytes(path.as_bytes()))
    }

    /// Tells what has a name.
    ///
    /// # Errors
    ///
    /// When a step before the last one is no folder, or cannot be read.
    pub fn look(&self, path: &CatalogPath) -> Result<Found, PlaceError> {
        let Some(folder) = self.parent(path, false)? else { return Ok(Found::Nothing) };
        look_in(&folder, path.name()).map_err(PlaceError::io("reading the attributes of", path))
    }

    /// Opens a regular file for reading.
    ///
    /// # Errors
    ///
    /// When it is missing or something else.
    pub fn open_file(&self, path: &CatalogPath) -> Result<fs::File, PlaceError> {
        let failed = |errno| PlaceError::io("opening", path)(errno);
        let folder = self.parent(path, false)?.ok_or(Errno::NOENT).map_err(failed)?;
        // NONBLOCK: a pipe that took the file's place must not hang us.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(&folder, path.name(), flags, Mode::empty()).map_err(failed)?;
        if kind(&fstat(&file).map_err(failed)?) != FileType::RegularFile {
            return Err(failed(Errno::INVAL));
        }
        Ok(fs::File::from(file))
    }

    /// Returns the names in a folder.
    ///
    /// # Errors
    ///
    /// When it is missing, no folder, or unreadable.
    pub fn names(&self, path: &CatalogPath) -> Result<Vec<Vec<u8>>, PlaceError> {
        let failed = |errno| PlaceError::io("reading the folder", path)(errno);
        let folder = self.walk(path.segments(), false)?.ok_or(Errno::NOENT).map_err(failed)?;
        let mut names = Vec::new();
        for entry in Dir::read_from(&folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Makes a folder, and those above it, unless it is there.
    ///
    /// With `recorded`, when a mode will be set at the end, nobody else may look into it until then, and one that is
    /// there already is made writable for us. Not synced: see [`Destination::sync`].
    ///
    /// # Errors
    ///
    /// When something that is no folder has the name or that of a step before.
    pub fn make_folder(&self, path: &CatalogPath, recorded: bool) -> Result<(), PlaceError> {
        let parent = self.make_parent(path)?;
        let mode = if recorded { Mode::RWXU } else { Mode::from_raw_mode(0o777) };
        match mkdirat(&parent, path.name(), mode) {
            Ok(()) => return Ok(()),
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(PlaceError::io("making the folder", path)(errno)),
        }
        let found = look_in(&parent, path.name())
            .map_err(PlaceError::io("reading the attributes of", path))?;
        let Found::Folder(attributes) = found else {
            let hint = "move it away, a folder belongs there";
            return Err(PlaceError::Exists { what: found.what(), hint });
        };
        if recorded && attributes.mode & 0o700 != 0o700 {
            let folder = step(&parent, path.name()).map_err(PlaceError::io("opening", path))?;
            fchmod(&folder, Mode::from_raw_mode(attributes.mode | 0o700))
                .map_err(PlaceError::io("making writable", path))?;
        }
        Ok(())
    }

    /// Makes a link with its modification time; one that points to the same is left, with its time corrected.
    ///
    /// # Errors
    ///
    /// When something else has the name and is not a file or link that may be replaced.
    pub fn make_link(
        &self,
        path: &CatalogPath,
        target: &[u8],
        mtime: Option<FileTime>,
        overwrite: bool,
    ) -> Result<(), PlaceError> {
        let folder = self.make_parent(path)?;
        let failed = |errno| PlaceError::io("making the link", path)(errno);
        match look_in(&folder, path.name()).map_err(failed)? {
            Found::Nothing => symlinkat(target, &folder, path.name()).map_err(failed)?,
            Found::Link { target: there, .. } if there == target => {}
            found => {
                may_replace(&found, overwrite)?;
                let temporary = partial::temporary_name(path, 0);
                remove_if_there(&folder, &temporary).map_err(failed)?;
                symlinkat(target, &folder, &temporary[..]).map_err(failed)?;
                renameat(&folder, &temporary[..], &folder, path.name()).map_err(failed)?;
            }
        }
        if let Some(mtime) = mtime {
            utimensat(&folder, path.name(), &times(mtime), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(PlaceError::io("setting the time of", path))?;
        }
        Ok(())
    }

    /// Gives a file or folder that is there its recorded mode and time; returns a warning for bits that were refused.
    ///
    /// # Errors
    ///
    /// When it cannot be opened, or its time cannot be set.
    pub fn adjust(
        &self,
        path: &CatalogPath,
        mode: Option<u32>,
        mtime: Option<FileTime>,
    ) -> Result<Option<String>, PlaceError> {
        let failed = |errno| PlaceError::io("opening", path)(errno);
        let folder = self.parent(path, false)?.ok_or(Errno::NOENT).map_err(failed)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let thing = openat(&folder, path.name(), flags, Mode::empty()).map_err(failed)?;
        set_attributes(&thing, mode, mtime).map_err(PlaceError::io("setting the time of", path))
    }

    /// Makes everything durable that was made or renamed in these folders (`None`: the destination itself).
    ///
    /// # Errors
    ///
    /// When a sync fails; it must not be tried again.
    pub fn sync(&self, folders: &BTreeSet<Option<CatalogPath>>) -> Result<(), PlaceError> {
        let failed = |source: Errno| PlaceError::Io {
            doing: "syncing",
            path: self.path.display().to_string(),
            source: source.into(),
        };
        if folders.len() > MAX_SINGLE_SYNCS && self.sync_file_system().map_err(failed)? {
            return Ok(());
        }
        for folder in folders {
            let walked = match folder {
                Some(path) => self.walk(path.segments(), false)?,
                None => None,
            };
            fsync(walked.as_ref().map_or(self.root.as_fd(), AsFd::as_fd)).map_err(failed)?;
        }
        Ok(())
    }

    /// Syncs the whole file system if this system can; returns whether it did.
    fn sync_file_system(&self) -> Result<bool, Errno> {
        #[cfg(target_os = "linux")]
        match rustix::fs::syncfs(&self.root) {
            Ok(()) => return Ok(true),
            Err(Errno::NOSYS | Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(errno),
        }
        Ok(false)
    }

    fn make_parent(&self, path: &CatalogPath) -> Result<OwnedFd, PlaceError> {
        let made = self.parent(path, true)?.ok_or(Errno::NOENT);
        made.map_err(PlaceError::io("opening the folder of", path))
    }

    fn parent(&self, path: &CatalogPath, make: bool) -> Result<Option<OwnedFd>, PlaceError> {
        let depth = path.segments().count() - 1;
        self.walk(path.segments().take(depth), make)
    }

    /// Opens folder after folder without following a link; `None` when one is missing and none is to be made.
    fn walk<'a>(
        &self,
        segments: impl Iterator<Item = &'a [u8]>,
        make: bool,
    ) -> Result<Option<OwnedFd>, PlaceError> {
        let root = self.root.try_clone().map_err(|source| PlaceError::Io {
            doing: "opening",
            path: self.path.display().to_string(),
            source,
        })?;
        let mut here = root;
        let mut walked: Vec<u8> = Vec::new();
        for segment in segments {
            if !walked.is_empty() {
                walked.push(b'/');
            }
            walked.extend_from_slice(segment);
            let next = match step(&here, segment) {
                Err(Errno::NOENT) if make => {
                    match mkdirat(&here, segment, Mode::from_raw_mode(0o777)) {
                        Ok(()) | Err(Errno::EXIST) => step(&here, segment),
                        Err(errno) => Err(errno),
                    }
                }
                other => other,
            };
            here = match next {
                Ok(next) => next,
                Err(Errno::NOENT) if !make => return Ok(None),
                Err(errno) => return Err(blocked(&here, segment, &walked, errno)),
            };
        }
        Ok(Some(here))
    }
}

fn step(folder: &OwnedFd, segment: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(folder, segment, flags, Mode::empty())
}

fn blocked(folder: &OwnedFd, segment: &[u8], walked: &[u8], errno: Errno) -> PlaceError {
    let step = CatalogPath::parse(walked).expect("the beginning of a catalog path is one");
    if matches!(errno, Errno::NOTDIR | Errno::LOOP)
        && let Ok(found) = look_in(folder, segment)
    {
        return PlaceError::Blocked { step, what: found.what() };
    }
    PlaceError::io("opening the folder", &step)(errno)
}

fn look_in(folder: &OwnedFd, name: &[u8]) -> Result<Found, Errno> {
    let stat = match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(Found::Nothing),
        Err(errno) => return Err(errno),
    };
    let attributes = Attributes {
        size: u64::try_from(stat.st_size).unwrap_or(0),
        mtime: FileTime {
            seconds: stat.st_mtime,
            nanos: u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
        },
        mode: stat.st_mode & 0o7777,
    };
    Ok(match kind(&stat) {
        FileType::RegularFile => Found::File(attributes),
        FileType::Directory => Found::Folder(attributes),
        FileType::Symlink => Found::Link {
            target: readlinkat(folder, name, Vec::new())?.into_bytes(),
            mtime: attributes.mtime,
        },
        _ => Found::Other,
    })
}

fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// Refuses to replace what is there, unless it may be.
fn may_replace(found: &Found, overwrite: bool) -> Result<(), PlaceError> {
    let hint = match found {
        Found::Nothing => return Ok(()),
        Found::File(_) | Found::Link { .. } if overwrite => return Ok(()),
        Found::File(_) | Found::Link { .. } => "allow overwriting to replace it",
        Found::Folder(_) | Found::Other => "move it away, it is never replaced",
    };
    Err(PlaceError::Exists { what: found.what(), hint })
}

fn remove_if_there(folder: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
    match unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Bits that a file can get back: setuid and setgid would make a program that runs with the rights of whoever retrieves,
/// and a foreign vault may record what it likes.
const FILE_MODE: u32 = 0o777;

/// Bits that a folder can get back: sticky takes rights away only.
const FOLDER_MODE: u32 = 0o1777;

/// Sets the mode as recorded, but for setuid and setgid, then the modification time; returns a warning for a mode that
/// was refused.
fn set_attributes(
    thing: &impl AsFd,
    mode: Option<u32>,
    mtime: Option<FileTime>,
) -> Result<Option<String>, Errno> {
    let warning = match mode {
        None => None,
        Some(mode) => {
            let is_folder = kind(&fstat(thing)?) == FileType::Directory;
            let mode = mode & if is_folder { FOLDER_MODE } else { FILE_MODE };
            let refused = fchmod(thing, Mode::from_raw_mode(mode)).err();
            refused.map(|refused| format!("the mode {mode:04o} could not be set: {refused}"))
        }
    };
    if let Some(mtime) = mtime {
        futimens(thing, &times(mtime))?;
    }
    Ok(warning)
}

fn times(mtime: FileTime) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: mtime.seconds, tv_nsec: mtime.nanos.into() },
    }
}

/// Makes a folder and those above it, each entry synced.
fn create_synced(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().unwrap_or(Path::new("/"));
    create_synced(parent)?;
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        other => other?,
    }
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    fs::File::open(parent)?.sync_all()
}

#[cfg(test)]
mod tests;
