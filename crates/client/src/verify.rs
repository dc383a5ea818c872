//! Compares files on disk with the catalog: what is missing, what differs, what was never archived.
//!
//! Sizes, kinds and link targets are compared first; files of equal size are then read and their tree hashes compared.
//! Nothing is retrieved and nothing changed. What the last inventory of the vault has lacked is in the catalog as gone: a
//! file that is not as another version which is still there is then told as being in the vault no more. Local files are looked up as `upload` named them: [`locate`] finds the folder
//! that the catalog's paths begin in. No link inside is followed.

mod locate;

use std::{
    collections::{HashMap, HashSet},
    fmt, fs, io,
    path::PathBuf,
    sync::Arc,
};

use bytes::BytesMut;
use futures_util::{StreamExt as _, stream};
use icefield_protocol::Timestamp;
use icefield_treehash::{HashPool, Roles, TreeHash};

pub use locate::{Located, locate};

use crate::{
    catalog::{Catalog, CatalogError, Entry, EntryQuery, Kind, VaultRef},
    path::CatalogPath,
    pattern::Pattern,
    place::{Destination, Found, PlaceError},
    retrieval::{blocking, chain},
};

/// Files that are read at a time.
const READ_AT_ONCE: usize = 8;

/// Bytes that are read ahead of the hashing threads, for each file.
const READ_BYTES: usize = 1 << 20;

/// What is compared.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// The folder below which the catalog's paths lie.
    pub base: PathBuf,
    /// Only these paths; none means all of the catalog.
    pub only: Vec<Pattern>,
    /// What lies below `base` here and was never archived is told, the path itself or what is in it.
    pub extras_in: Vec<CatalogPath>,
    /// Files that are compared at a time. Memory grows with it.
    pub hashing: HashPool,
}

impl VerifyOptions {
    fn wants(&self, path: &CatalogPath) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only.matches(path))
    }
}

/// How a path differs from the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// It is in the catalog, but not on disk.
    Missing,
    /// It is of another kind.
    Kind {
        /// In the catalog.
        expected: Kind,
        /// On disk, with its article.
        found: &'static str,
    },
    /// It has another size.
    Size {
        /// In the catalog.
        expected: u64,
        /// On disk.
        found: u64,
    },
    /// It has the same size and other bytes.
    Content {
        /// In the catalog.
        expected: TreeHash,
        /// On disk.
        found: TreeHash,
    },
    /// The link points elsewhere.
    Target {
        /// In the catalog.
        expected: Vec<u8>,
        /// On disk.
        found: Vec<u8>,
    },
    /// It could not be read.
    Unreadable(String),
    /// It is on disk, but its archive is in the vault no more.
    Gone {
        /// Date of the inventory that lacks it.
        since: Timestamp,
    },
    /// It is on disk, but not in the catalog.
    Extra,
}

impl Difference {
    /// A file that is other than a version which is left was perhaps as the one that is gone.
    fn or_gone(self, since: Option<Timestamp>) -> Self {
        match (self, since) {
            (Self::Size { .. } | Self::Content { .. }, Some(since)) => Self::Gone { since },
            (other, _) => other,
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("missing"),
            Self::Kind { expected, found } => write!(f, "is {found}, was archived as a {expected}"),
            Self::Size { expected, found } => write!(f, "has {found} bytes, archived {expected}"),
            Self::Content { expected, found } => {
                write!(f, "other content: tree hash {found}, archived {expected}")
            }
            Self::Target { expected, found } => write!(
                f,
                "points to `{}`, archived `{}`",
                String::from_utf8_lossy(found),
                String::from_utf8_lossy(expected)
            ),
            Self::Unreadable(why) => write!(f, "cannot be read: {why}"),
            Self::Gone { since } => {
                write!(f, "not in the vault: the inventory of {since} has its archive no more")
            }
            Self::Extra => f.write_str("not archived"),
        }
    }
}

/// What a verification found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Paths of the catalog that were looked at. With 0 of them nothing was verified.
    pub compared: u64,
    /// Paths that are as the catalog has them.
    pub equal: u64,
    /// Of these, files whose tree hash the catalog does not know, so that only the size could be compared.
    pub by_size_only: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Paths that differ, are missing, or are extra.
    pub differences: u64,
}

/// A verification stopped.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The catalog failed.
    #[error("the catalog failed")]
    Catalog(#[from] CatalogError),
    /// There is nothing to compare with.
    #[error("the folder to compare with cannot be used")]
    Base(#[source] PlaceError),
    /// There is nothing to compare with.
    #[error("there is no folder {}", .0.display())]
    NoBase(PathBuf),
    /// The current folder is gone, or the path is empty.
    #[error("there is no path {}", path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The catalog has no path that a local path could have been archived as.
    #[error("{} is not archived as any of: {tried}", path.display())]
    Unknown {
        /// The local path.
        path: PathBuf,
        /// What was looked for.
        tried: String,
    },
    /// There is nothing to compare.
    #[error("{} is neither on disk nor in the catalog", .0.display())]
    Nowhere(PathBuf),
}

/// Compares; `on_difference` is told about each path that differs, extras last.
///
/// # Errors
///
/// When the catalog fails or the base folder is missing. What cannot be read is a difference.
pub async fn verify(
    catalog: &Catalog,
    vault: VaultRef,
    options: &VerifyOptions,
    on_difference: &mut (dyn FnMut(&CatalogPath, &Difference) + Send),
) -> Result<VerifyReport, VerifyError> {
    let (entries, mut gone, base) = {
        let (catalog, options) = (catalog.clone(), options.clone());
        blocking(move || {
            let entries = select(&catalog, vault, &options)?;
            Ok::<_, VerifyError>((entries, gone(&catalog, vault, &options)?, open(&options)?))
        })
        .await?
    };
    let known = Known::of(&entries, &gone);
    let mut report = VerifyReport::default();
    let mut compared = stream::iter(entries)
        .map(|entry| compare(&options.hashing, Arc::clone(&base), entry))
        .buffered(READ_AT_ONCE);
    while let Some(Compared { path, bytes, difference, by_size_only }) = compared.next().await {
        report.compared += 1;
        report.bytes = report.bytes.saturating_add(bytes);
        report.by_size_only += u64::from(by_size_only);
        let since = gone.remove(&path);
        match difference.map(|difference| difference.or_gone(since)) {
            None => report.equal += 1,
            Some(difference) => {
                report.differences += 1;
                on_difference(&path, &difference);
            }
        }
    }
    drop(compared);
    let still_there = {
        let base = Arc::clone(&base);
        blocking(move || still_there(&base, gone)).await
    };
    for (path, since) in still_there {
        report.differences += 1;
        on_difference(&path, &Difference::Gone { since });
    }
    let folders = options.extras_in.clone();
    for path in blocking(move || extras(&base, folders, &known)).await {
        report.differences += 1;
        on_difference(&path, &Difference::Extra);
    }
    Ok(report)
}

fn select(
    catalog: &Catalog,
    vault: VaultRef,
    options: &VerifyOptions,
) -> Result<Vec<Entry>, CatalogError> {
    let mut entries = Vec::new();
    let query = EntryQuery { versions: false, as_of: None };
    catalog.for_each(vault, &query, &mut |entry: Entry| {
        if options.wants(&entry.path) {
            entries.push(entry);
        }
        Ok::<(), CatalogError>(())
    })?;
    Ok(entries)
}

/// Finds the paths whose newest archive is gone, with the date of the inventory that showed it.
fn gone(
    catalog: &Catalog,
    vault: VaultRef,
    options: &VerifyOptions,
) -> Result<HashMap<CatalogPath, Timestamp>, CatalogError> {
    let mut gone = HashMap::new();
    catalog.for_each_gone(vault, &mut |path, since| {
        if options.wants(&path) {
            gone.insert(path, since);
        }
    })?;
    Ok(gone)
}

/// Leaves those of which there is something on disk, by path.
fn still_there(
    base: &Destination,
    gone: HashMap<CatalogPath, Timestamp>,
) -> Vec<(CatalogPath, Timestamp)> {
    let is_there = |path: &CatalogPath| !matches!(base.look(path), Ok(Found::Nothing) | Err(_));
    let mut there: Vec<_> = gone.into_iter().filter(|(path, _)| is_there(path)).collect();
    there.sort();
    there
}

fn open(options: &VerifyOptions) -> Result<Arc<Destination>, VerifyError> {
    if !options.base.is_dir() {
        return Err(VerifyError::NoBase(options.base.clone()));
    }
    Destination::open(&options.base).map(Arc::new).map_err(VerifyError::Base)
}

struct Compared {
    path: CatalogPath,
    bytes: u64,
    difference: Option<Difference>,
    by_size_only: bool,
}

async fn compare(hashing: &HashPool, base: Arc<Destination>, entry: Entry) -> Compared {
    let looked = {
        let (base, path) = (Arc::clone(&base), entry.path.clone());
        blocking(move || base.look(&path)).await
    };
    let mut compared =
        Compared { path: entry.path.clone(), bytes: 0, difference: None, by_size_only: false };
    let found = match looked {
        Ok(found) => found,
        // A link or file in place of a folder above it.
        Err(PlaceError::Blocked { .. }) => Found::Nothing,
        Err(error) => {
            compared.difference = Some(Difference::Unreadable(chain(&error)));
            return compared;
        }
    };
    compared.difference = match (entry.kind, found) {
        (_, Found::Nothing) => Some(Difference::Missing),
        (Kind::Folder, Found::Folder(_)) => None,
        (Kind::Link, Found::Link { target, .. }) => {
            let expected = entry.link_target.unwrap_or_default();
            (expected != target).then_some(Difference::Target { expected, found: target })
        }
        (Kind::File, Found::File(attributes)) => match (entry.known_size(), entry.tree_hash) {
            (Some(expected), _) if expected != attributes.size => {
                Some(Difference::Size { expected, found: attributes.size })
            }
            (Some(0), _) => None,
            (_, None) => {
                compared.by_size_only = true;
                None
            }
            (_, Some(expected)) => {
                let path = entry.path;
                let opened = blocking(move || base.open_file(&path)).await;
                let hashed = match opened {
                    Ok(file) => hash_file(hashing, file).await.map_err(|error| chain(&error)),
                    Err(error) => Err(chain(&error)),
                };
                match hashed {
                    Ok((size, found)) => {
                        compared.bytes = size;
                        (found != expected).then_some(Difference::Content { expected, found })
                    }
                    Err(why) => Some(Difference::Unreadable(why)),
                }
            }
        },
        (expected, found) => Some(Difference::Kind { expected, found: found.what() }),
    };
    compared
}

/// The paths of the catalog, gone ones too, and the folders they lie in.
struct Known {
    paths: HashSet<CatalogPath>,
    folders: HashSet<CatalogPath>,
}

impl Known {
    fn of(entries: &[Entry], gone: &HashMap<CatalogPath, Timestamp>) -> Self {
        let paths: HashSet<_> =
            entries.iter().map(|entry| &entry.path).chain(gone.keys()).cloned().collect();
        let mut folders = HashSet::new();
        for path in &paths {
            let mut parent = path.parent();
            while let Some(folder) = parent {
                parent = folder.parent();
                if !folders.insert(folder) {
                    break;
                }
            }
        }
        Self { paths, folders }
    }
}

/// Finds what is there and not in the catalog; a folder that is not known stands for all below it.
fn extras(base: &Destination, mut paths: Vec<CatalogPath>, known: &Known) -> Vec<CatalogPath> {
    let mut extras = Vec::new();
    while let Some(path) = paths.pop() {
        let found = base.look(&path).unwrap_or(Found::Nothing);
        let is_known = known.paths.contains(&path) || known.folders.contains(&path);
        match found {
            // Pipes, sockets and devices are never archived, so they are not missed either.
            Found::Nothing | Found::Other => {}
            _ if !is_known => extras.push(path),
            Found::Folder(_) => {
                let names = base.names(&path).unwrap_or_default();
                paths.extend(names.iter().filter_map(|name| path.join(name).ok()));
            }
            _ => {}
        }
    }
    extras.sort();
    extras
}

/// Reads a file and returns its size and tree hash.
///
/// # Errors
///
/// When reading fails.
pub async fn hash_file(hashing: &HashPool, file: fs::File) -> io::Result<(u64, TreeHash)> {
    let mut stream = hashing.start(Roles { linear: false });
    let mut file = file;
    loop {
        let (back, read) = blocking(move || {
            let read = read_chunk(&mut file);
            (file, read)
        })
        .await;
        file = back;
        let chunk = read?;
        if chunk.is_empty() {
            let hashed = stream.finish().await;
            return Ok((hashed.size, hashed.tree));
        }
        stream.submit(chunk.freeze()).await;
    }
}

/// Reads up to a chunk; shorter only at the end of the file.
fn read_chunk(file: &mut fs::File) -> io::Result<BytesMut> {
    use io::Read as _;
    let length = file.metadata()?.len().clamp(1, READ_BYTES as u64);
    let length = usize::try_from(length).unwrap_or(READ_BYTES);
    let mut chunk = BytesMut::zeroed(length);
    let mut filled = 0;
    while filled < length {
        match file.read(&mut chunk[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    chunk.truncate(filled);
    Ok(chunk)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, time::Duration};

    use icefield_protocol::{InventoryItem, Timestamp};

    use super::{Difference, VerifyOptions, VerifyReport, verify};
    use crate::{
        catalog::Kind,
        inventory::Reconciliation,
        pattern::Pattern,
        retrieval::tests::{Scene, bytes, entry, link, path},
    };

    async fn verified(
        scene: &Scene,
        only: &[&str],
        extras_in: &[&str],
    ) -> (VerifyReport, Vec<(String, Difference)>) {
        let options = VerifyOptions {
            base: scene.to(),
            only: only.iter().map(|only| Pattern::parse(*only).unwrap()).collect(),
            extras_in: extras_in.iter().map(path).collect(),
            hashing: scene.context.hashing.clone(),
        };
        let mut differences = Vec::new();
        let (catalog, vault) = (&scene.context.catalog, scene.context.vault);
        let report = verify(catalog, vault, &options, &mut |path, difference| {
            differences.push((path.to_string(), difference.clone()));
        })
        .await
        .unwrap();
        assert_eq!(report.differences, differences.len() as u64);
        (report, differences)
    }

    #[tokio::test]
    async fn what_was_just_retrieved_has_no_difference() {
        let scene = Scene::new();
        scene.record(&[entry("d", Kind::Folder), link("d/l", b"x"), entry("d/e", Kind::File)]);
        scene.archived("d/f", "f", bytes((2 << 20) + 1));
        scene.run(&scene.options()).await.unwrap();
        let (report, differences) = verified(&scene, &[], &["d"]).await;
        assert_eq!(differences, []);
        assert_eq!((report.equal, report.bytes), (4, (2 << 20) + 1));
    }

    #[tokio::test]
    async fn what_an_inventory_lacks_is_told_as_gone() {
        let scene = Scene::new();
        for (name, archive) in [("d/gone", "a"), ("d/gone and deleted", "b"), ("d/stays", "c")] {
            scene.archived(name, archive, bytes(10));
        }
        scene.run(&scene.options()).await.unwrap();
        fs::remove_file(scene.to().join("d/gone and deleted")).unwrap();
        let (catalog, vault) = (&scene.context.catalog, scene.context.vault);
        let date = Timestamp::from_unix_millis(i64::from(u32::MAX) * 1000);
        let mut reconciliation = Reconciliation::begin(catalog, vault).unwrap();
        let stays = catalog.newest(vault, &path("d/stays")).unwrap().unwrap();
        let item = InventoryItem {
            archive_id: stays.archive.unwrap(),
            description: String::new(),
            created: stays.uploaded,
            size: stays.size,
            tree_hash: stays.tree_hash,
        };
        reconciliation.item(item).unwrap();
        reconciliation.finish(date, Duration::ZERO).unwrap();
        let (report, differences) = verified(&scene, &[], &["d"]).await;
        assert_eq!(differences, [("d/gone".to_owned(), Difference::Gone { since: date })]);
        assert_eq!((report.compared, report.equal), (1, 1));
        let told = differences[0].1.to_string();
        assert!(told.starts_with("not in the vault"), "{told}");
    }

    #[tokio::test]
    async fn every_kind_of_difference_is_told() {
        let scene = Scene::new();
        scene.record(&[
            entry("d", Kind::Folder),
            link("d/link", b"x"),
            entry("d/sub", Kind::Folder),
        ]);
        scene.archived("d/content", "a", bytes(3 << 20));
        scene.archived("d/size", "b", bytes(10));
        scene.archived("d/missing", "c", bytes(10));
        scene.archived("d/now-a-link", "e", bytes(10));
        scene.archived("other/unselected", "f", bytes(10));
        scene.run(&scene.options()).await.unwrap();
        let d = scene.to().join("d");
        let mut changed = bytes(3 << 20);
        changed[2 << 20] ^= 1;
        fs::write(d.join("content"), changed).unwrap();
        fs::write(d.join("size"), "short").unwrap();
        fs::remove_file(d.join("missing")).unwrap();
        fs::remove_file(d.join("now-a-link")).unwrap();
        symlink(d.join("size"), d.join("now-a-link")).unwrap();
        fs::remove_file(d.join("link")).unwrap();
        symlink("y", d.join("link")).unwrap();
        fs::create_dir_all(d.join("new/deep")).unwrap();
        fs::write(d.join("sub/extra"), "").unwrap();

        let (report, differences) = verified(&scene, &["d"], &["d"]).await;
        let told: Vec<_> = differences.iter().map(|(path, _)| path.as_str()).collect();
        let expected =
            ["d/content", "d/link", "d/missing", "d/now-a-link", "d/size", "d/new", "d/sub/extra"];
        assert_eq!(told, expected);
        assert!(matches!(differences[0].1, Difference::Content { .. }));
        assert!(matches!(differences[1].1, Difference::Target { .. }));
        assert_eq!(differences[2].1, Difference::Missing);
        assert_eq!(differences[3].1, Difference::Kind { expected: Kind::File, found: "a link" });
        assert_eq!(differences[4].1, Difference::Size { expected: 10, found: 5 });
        assert_eq!(differences[5].1, Difference::Extra);
        assert_eq!((report.equal, report.compared), (2, 7));
    }

    #[tokio::test]
    async fn a_file_that_was_never_archived_differs_though_nothing_is_compared() {
        let scene = Scene::new();
        scene.archived("d/f", "f", bytes(10));
        scene.run(&scene.options()).await.unwrap();
        fs::write(scene.to().join("d/new"), "").unwrap();
        let (report, differences) = verified(&scene, &["/d/new"], &["d/new"]).await;
        assert_eq!(report.compared, 0);
        assert_eq!(differences, [("d/new".to_owned(), Difference::Extra)]);
        let (report, differences) = verified(&scene, &["/d/f"], &["d/f"]).await;
        assert_eq!((report.compared, report.equal, differences), (1, 1, vec![]));
    }

    #[tokio::test]
    async fn a_missing_base_folder_is_an_error_and_is_not_made() {
        let scene = Scene::new();
        let options = VerifyOptions {
            base: scene.to(),
            only: Vec::new(),
            extras_in: Vec::new(),
            hashing: scene.context.hashing.clone(),
        };
        let (catalog, vault) = (&scene.context.catalog, scene.context.vault);
        assert!(verify(catalog, vault, &options, &mut |_, _| {}).await.is_err());
        assert!(!scene.to().exists());
    }
}
