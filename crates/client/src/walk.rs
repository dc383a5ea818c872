//! From arguments to items: what there is to archive, in order, each with its path in the catalog.
//!
//! [`Roots`] fixes before anything is sent where every argument lies and what it is called; [`walk`] then goes through
//! them on a blocking thread and hands out one [`Found`] at a time, folders before what they hold, names in order of
//! their bytes, so tens of thousands of files cost no memory. What cannot be read is handed out as such and the walk
//! goes on. The folders are read by the `ignore` crate, for its `.icefieldignore`, with all its other filters off.

mod roots;

use std::{
    collections::BTreeSet,
    fs, io,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
};

use ignore::{DirEntry, WalkBuilder};

use crate::{
    catalog::{Identity, Kind},
    local,
    path::CatalogPath,
    pattern::Pattern,
};

pub(crate) use roots::normalised;
pub use roots::{Root, Roots, WalkError};

/// Name of the files that say, in the syntax of `.gitignore`, what of their folder is left out.
pub const IGNORE_FILE: &str = ".icefieldignore";

/// Something to archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its path in the catalog.
    pub path: CatalogPath,
    /// Where it lies.
    pub local: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// Size, times and inode as they were when it was found; the size of what is no file is 0.
    pub identity: Identity,
    /// Permission bits.
    pub mode: u32,
    /// What a link points to, as it is written in the link.
    pub link_target: Option<Vec<u8>>,
}

/// What a walk comes across.
#[derive(Debug)]
pub enum Found {
    /// Something to archive.
    Item(Item),
    /// A pipe, socket or device, which cannot be archived.
    Special {
        /// Its path in the catalog, if it had one.
        path: CatalogPath,
        /// `a named pipe` and the like.
        what: &'static str,
    },
    /// Something that could not be read or named.
    Failed {
        /// Where it lies.
        local: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Something in an ignore file that is not understood, or what is left out as icefield's own.
    Remark(String),
}

/// What of the trees is wanted.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Only what one of these matches, and the folders above it; empty is everything.
    pub include: Vec<Pattern>,
    /// Not what one of these matches.
    pub exclude: Vec<Pattern>,
    /// Nothing that lies in one of these places, which are icefield's own: files or folders, their links resolved.
    pub leave_out: Vec<PathBuf>,
}

impl Selection {
    fn leaves_out(&self, local: &Path) -> bool {
        let has_name = |own: &&PathBuf| own.file_name() == local.file_name();
        self.leave_out.iter().filter(has_name).any(|own| *own == place(local))
    }

    fn leaves_out_all_of(&self, root: &Root) -> bool {
        let place = (!self.leave_out.is_empty()).then(|| place(&root.local));
        place.is_some_and(|place| self.leave_out.iter().any(|own| place.starts_with(own)))
    }

    /// What of `leave_out` a walk comes across.
    fn left_out_of(&self, roots: &Roots) -> BTreeSet<&Path> {
        if self.leave_out.is_empty() {
            return BTreeSet::new();
        }
        let mut met = BTreeSet::new();
        for root in roots.iter().map(|root| place(&root.local)) {
            let meets = |own: &&PathBuf| {
                root.starts_with(own) || (own.starts_with(&root) && own.symlink_metadata().is_ok())
            };
            met.extend(self.leave_out.iter().filter(meets).map(PathBuf::as_path));
        }
        met
    }
    fn includes(&self, names: &Names) -> bool {
        self.include.is_empty() || self.include.iter().any(|pattern| names.match_with(pattern))
    }

    fn excludes(&self, names: &Names) -> bool {
        self.exclude.iter().any(|pattern| names.match_with(pattern))
    }
}

/// Where something lies, the links on the way to it resolved, but not itself.
fn place(local: &Path) -> PathBuf {
    match (local.parent(), local.file_name()) {
        (Some(folder), Some(name)) => {
            fs::canonicalize(folder).map_or_else(|_| local.to_owned(), |folder| folder.join(name))
        }
        _ => local.to_owned(),
    }
}

/// What one thing is called: in the catalog, and without the prefix. Patterns may mean either.
#[derive(Debug, Clone)]
struct Names {
    full: CatalogPath,
    bare: Option<CatalogPath>,
}

impl Names {
    fn match_with(&self, pattern: &Pattern) -> bool {
        pattern.matches(&self.full) || self.bare.as_ref().is_some_and(|bare| pattern.matches(bare))
    }
}

/// Goes through all roots until `take` breaks. Blocking.
pub fn walk(
    roots: &Roots,
    selection: &Selection,
    take: &mut dyn FnMut(Found) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let selection = Arc::new(selection.clone());
    let own = selection.left_out_of(roots);
    if !own.is_empty() {
        let own: Vec<_> = own.iter().map(|own| own.display().to_string()).collect();
        take(Found::Remark(format!(
            "left out, because icefield itself writes there: {}",
            own.join(", ")
        )))?;
    }
    for root in roots.iter().filter(|root| !selection.leaves_out_all_of(root)) {
        let mut walk = Walk { selection: &selection, take, above: Vec::new() };
        if root.is_folder {
            walk.folder(root)?;
        } else {
            walk.single(root)?;
        }
    }
    ControlFlow::Continue(())
}

struct Walk<'a> {
    selection: &'a Arc<Selection>,
    take: &'a mut dyn FnMut(Found) -> ControlFlow<()>,
    /// Folders above the current place that are handed out once something in them is included.
    above: Vec<Item>,
}

impl Walk<'_> {
    fn single(&mut self, root: &Root) -> ControlFlow<()> {
        // Only `/` has no name of its own, and it is a folder.
        let Ok(names) = root.names(b"") else { return ControlFlow::Continue(()) };
        if self.selection.excludes(&names) || !self.selection.includes(&names) {
            return ControlFlow::Continue(());
        }
        (self.take)(examine(names.full, root.local.clone(), fs::symlink_metadata(&root.local)))
    }

    fn folder(&mut self, root: &Root) -> ControlFlow<()> {
        let (pruning, pruned_root) = (Arc::clone(self.selection), root.clone());
        let wanted = move |entry: &DirEntry| {
            !pruning.leaves_out(entry.path())
                && !pruned_root.names_of(entry).is_ok_and(|names| pruning.excludes(&names))
        };
        let entries = WalkBuilder::new(&root.local)
            .standard_filters(false)
            .follow_links(false)
            .add_custom_ignore_filename(IGNORE_FILE)
            .sort_by_file_name(|a, b| local::bytes(a).cmp(local::bytes(b)))
            .filter_entry(wanted)
            .build();
        for entry in entries {
            match entry {
                Ok(entry) => self.entry(root, entry)?,
                Err(error) => {
                    let (local, error) = place_of(error);
                    let local = local.unwrap_or_else(|| root.local.clone());
                    (self.take)(Found::Failed { local, error })?;
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn entry(&mut self, root: &Root, entry: DirEntry) -> ControlFlow<()> {
        if let Some(error) = entry.error() {
            (self.take)(Found::Remark(format!(
                "part of {IGNORE_FILE} is not understood: {error}"
            )))?;
        }
        if entry.depth() == 0 && root.path.is_none() {
            return ControlFlow::Continue(());
        }
        let names = match root.names_of(&entry) {
            Ok(names) => names,
            Err(error) => return (self.take)(Found::Failed { local: entry.into_path(), error }),
        };
        // The filter does not see the root itself.
        if entry.depth() == 0 && self.selection.excludes(&names) {
            return ControlFlow::Continue(());
        }
        let metadata = entry.metadata().map_err(|error| place_of(error).1);
        let is_included = self.selection.includes(&names);
        match examine(names.full, entry.into_path(), metadata) {
            Found::Item(folder) if folder.kind == Kind::Folder && !is_included => {
                self.leave_for(&folder.path);
                self.above.push(folder);
                ControlFlow::Continue(())
            }
            Found::Item(item) if is_included => {
                self.leave_for(&item.path);
                for folder in self.above.drain(..) {
                    (self.take)(Found::Item(folder))?;
                }
                (self.take)(Found::Item(item))
            }
            Found::Item(_) | Found::Special { .. } if !is_included => ControlFlow::Continue(()),
            found => (self.take)(found),
        }
    }

    /// Forgets the folders that `path` does not lie in.
    fn leave_for(&mut self, path: &CatalogPath) {
        self.above.retain(|folder| {
            path.as_bytes()
                .strip_prefix(folder.path.as_bytes())
                .is_some_and(|rest| rest.first() == Some(&b'/'))
        });
    }
}

/// Finds out what lies somewhere.
fn examine(path: CatalogPath, local: PathBuf, metadata: io::Result<fs::Metadata>) -> Found {
    let metadata = match metadata {
        Ok(metadata) => metadata,
        Err(error) => return Found::Failed { local, error },
    };
    let kind = metadata.file_type();
    let (kind, link_target) = if kind.is_file() {
        (Kind::File, None)
    } else if kind.is_dir() {
        (Kind::Folder, None)
    } else if kind.is_symlink() {
        match fs::read_link(&local) {
            Ok(target) => (Kind::Link, Some(local::bytes(&target).to_vec())),
            Err(error) => return Found::Failed { local, error },
        }
    } else {
        return Found::Special { path, what: local::special_kind(&metadata) };
    };
    let mut identity = local::identity(&metadata);
    if kind != Kind::File {
        identity.size = 0;
    }
    Found::Item(Item { path, local, kind, identity, mode: local::mode(&metadata), link_target })
}

/// Takes the path out of an error of the `ignore` crate.
fn place_of(error: ignore::Error) -> (Option<PathBuf>, io::Error) {
    match error {
        ignore::Error::WithPath { path, err } => (Some(path), place_of(*err).1),
        ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => {
            place_of(*err)
        }
        ignore::Error::Io(error) => (None, error),
        other => (None, io::Error::other(other)),
    }
}

#[cfg(test)]
mod tests;
