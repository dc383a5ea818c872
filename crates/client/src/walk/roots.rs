//! Where the arguments of an upload lie and what they are called in the catalog.
//!
//! An argument is called by its own name, as `cp -r` and `tar` have it: `~/Pictures` is `Pictures`, `.` is the name of
//! the current folder, a slash behind changes nothing, `/` has no name and what is in it comes at the top. A path from a
//! list keeps all of its segments, as `tar -T` has it, because a list is mostly what `find` printed; the current folder
//! itself has none there.

use std::{
    collections::HashMap,
    fs, io,
    path::{Component, Path, PathBuf},
};

use ignore::DirEntry;

use super::Names;
use crate::{
    local,
    path::{CatalogPath, InvalidPath},
};

/// One place to begin at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// Its path in the catalog, with the prefix; `None` when its content comes at the very top.
    pub path: Option<CatalogPath>,
    /// Its absolute path; of an argument that is a link, what the link leads to.
    pub local: PathBuf,
    /// Whether it is a folder, to be gone through.
    pub is_folder: bool,
    prefix: Option<CatalogPath>,
}

/// Why the arguments cannot be used; nothing has been sent then.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// There is nothing there, or it cannot be looked at.
    #[error("{} cannot be found", .local.display())]
    Missing {
        /// The argument.
        local: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Two arguments would have the same path in the catalog.
    #[error(
        "both {} and {} would be archived as {path}: upload one of them with `--prefix`",
        .first.display(), .second.display()
    )]
    Ambiguous {
        /// The path that both would have.
        path: CatalogPath,
        /// One of them.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// A path has no form that a catalog can hold.
    #[error("{} cannot be archived under its name", .local.display())]
    Name {
        /// The argument.
        local: PathBuf,
        /// What is wrong.
        #[source]
        source: InvalidPath,
    },
    /// A relative path of a list leads out of the current folder.
    #[error("{} in the list of files leads out of the current folder: write it as an absolute path", .0.display())]
    Outside(PathBuf),
    /// The list could not be read.
    #[error("the list of files cannot be read")]
    List(#[source] io::Error),
}

/// The places to begin at, in order of their paths, none inside another.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Roots(Vec<Root>);

impl Roots {
    /// Finds the arguments and the paths of the list (one per line, or separated by NUL where there is one) from the
    /// current folder `base`, and puts everything below `prefix`. Blocking.
    ///
    /// # Errors
    ///
    /// When one does not exist, or two different ones would have the same path.
    pub fn find(
        arguments: &[PathBuf],
        list: Option<&mut dyn io::Read>,
        base: &Path,
        prefix: Option<&CatalogPath>,
    ) -> Result<Self, WalkError> {
        let mut roots = Vec::new();
        for argument in arguments {
            roots.push(from_argument(argument, base, prefix)?);
        }
        if let Some(list) = list {
            let mut text = Vec::new();
            list.read_to_end(&mut text).map_err(WalkError::List)?;
            for line in lines(&text) {
                roots.push(from_list(&local::path(line), base, prefix)?);
            }
        }
        without_overlaps(roots).map(Self)
    }

    /// Iterates over them.
    pub fn iter(&self) -> impl Iterator<Item = &Root> {
        self.0.iter()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Root {
    fn new(
        local: PathBuf,
        name: &[u8],
        is_folder: bool,
        prefix: Option<&CatalogPath>,
    ) -> Result<Self, WalkError> {
        let path = match (prefix, name) {
            (prefix, []) => Ok(prefix.cloned()),
            (Some(prefix), name) => prefix.join(name).map(Some),
            (None, name) => CatalogPath::parse(name).map(Some),
        };
        let path = path.map_err(|source| WalkError::Name { local: local.clone(), source })?;
        Ok(Self { path, local, is_folder, prefix: prefix.cloned() })
    }

    /// Returns what the thing at `rest` below the root is called; `rest` is empty for the root itself.
    pub(super) fn names(&self, rest: &[u8]) -> io::Result<Names> {
        let full = match (&self.path, rest) {
            (Some(path), []) => Ok(path.clone()),
            (Some(path), rest) => path.join(rest),
            (None, rest) => CatalogPath::parse(rest),
        };
        let full = full.map_err(io::Error::other)?;
        let bare = self.prefix.as_ref().and_then(|prefix| {
            let rest = full.as_bytes().strip_prefix(prefix.as_bytes())?.strip_prefix(b"/")?;
            CatalogPath::parse(rest).ok()
        });
        Ok(Names { full, bare })
    }

    pub(super) fn names_of(&self, entry: &DirEntry) -> io::Result<Names> {
        let rest = entry.path().strip_prefix(&self.local).map_err(io::Error::other)?;
        self.names(local::bytes(rest))
    }

    /// Returns where `path` would lie if it came from this root; `None` if it would not.
    fn local_of(&self, path: &CatalogPath) -> Option<PathBuf> {
        let Some(own) = &self.path else {
            return Some(self.local.join(local::path(path.as_bytes())));
        };
        let rest = path.as_bytes().strip_prefix(own.as_bytes())?;
        match rest {
            [] => Some(self.local.clone()),
            [b'/', rest @ ..] => Some(self.local.join(local::path(rest))),
            _ => None,
        }
    }
}

fn from_argument(
    argument: &Path,
    base: &Path,
    prefix: Option<&CatalogPath>,
) -> Result<Root, WalkError> {
    let absolute = normalised(&base.join(argument));
    let missing = |source| WalkError::Missing { local: argument.to_owned(), source };
    let own = fs::symlink_metadata(&absolute).map_err(missing)?;
    let (local, is_folder) = if own.is_symlink() {
        let followed = fs::canonicalize(&absolute).map_err(missing)?;
        let is_folder = fs::metadata(&followed).map_err(missing)?.is_dir();
        (followed, is_folder)
    } else {
        (absolute.clone(), own.is_dir())
    };
    let name = absolute.file_name().map(local::bytes).unwrap_or_default();
    Root::new(local, name, is_folder, prefix)
}

/// A link in a list is kept as a link, because `find` prints those inside folders too.
fn from_list(line: &Path, base: &Path, prefix: Option<&CatalogPath>) -> Result<Root, WalkError> {
    let local = normalised(&base.join(line));
    let missing = |source| WalkError::Missing { local: line.to_owned(), source };
    let is_folder = fs::symlink_metadata(&local).map_err(missing)?.is_dir();
    let name = if line.is_absolute() {
        local.strip_prefix("/").unwrap_or(&local)
    } else {
        local.strip_prefix(base).map_err(|_| WalkError::Outside(line.to_owned()))?
    };
    Root::new(local.clone(), local::bytes(name), is_folder, prefix)
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let separator = if text.contains(&0) { 0 } else { b'\n' };
    text.split(move |byte| *byte == separator)
        .map(
            move |line| {
                if separator == 0 { line } else { line.strip_suffix(b"\r").unwrap_or(line) }
            },
        )
        .filter(|line| !line.is_empty())
}

/// Takes out `.` and `..` by the text alone, as a shell's `cd` does; `..` of the root is the root.
pub(crate) fn normalised(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            other => clean.push(other),
        }
    }
    clean
}

/// Drops what another root has too, and refuses different files for one path.
fn without_overlaps(mut roots: Vec<Root>) -> Result<Vec<Root>, WalkError> {
    let bytes = |root: &Root| root.path.as_ref().map(|path| path.as_bytes().to_vec());
    roots.sort_by_key(bytes);
    let mut kept: HashMap<Option<Vec<u8>>, Root> = HashMap::new();
    let mut in_order = Vec::new();
    for root in roots {
        let covering = above(bytes(&root)).find_map(|path| kept.get(&path));
        if let (Some(other), Some(path)) = (covering, &root.path) {
            let there = other.local_of(path).filter(|there| fs::symlink_metadata(there).is_ok());
            match there {
                Some(there) if there == root.local => continue,
                Some(first) => {
                    let (path, second) = (path.clone(), root.local);
                    return Err(WalkError::Ambiguous { path, first, second });
                }
                None => {}
            }
        } else if covering.is_some() {
            // Only the root folder itself has no path, and there is but one.
            continue;
        }
        in_order.push(bytes(&root));
        kept.insert(bytes(&root), root);
    }
    Ok(in_order.into_iter().filter_map(|path| kept.remove(&path)).collect())
}

/// Iterates over a path, the folders above it, and the top.
fn above(path: Option<Vec<u8>>) -> impl Iterator<Item = Option<Vec<u8>>> {
    let mut next = Some(path);
    std::iter::from_fn(move || {
        let path = next.take()?;
        next = path.as_ref().map(|path| {
            path.iter().rposition(|byte| *byte == b'/').map(|slash| path[..slash].to_vec())
        });
        Some(path)
    })
}
