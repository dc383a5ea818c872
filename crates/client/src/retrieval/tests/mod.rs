//! Whole retrievals from a target in memory.

pub(crate) mod shelf;

mod quotes;
mod resume;
mod trouble;
mod way_back;

use std::{
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
};

use icefield_protocol::{ArchiveId, ManualClock, Timestamp, VaultName};
use icefield_treehash::HashPool;
use tempfile::TempDir;

use self::shelf::{Shelf, tree_hash};
use super::{
    RetrieveContext, RetrieveError, RetrieveOptions, RetrieveReport, RetrievedFile, Status, plan,
    retrieve,
};
use crate::{
    catalog::{Catalog, Entry, FileTime, Kind},
    events::Silent,
    path::CatalogPath,
};

pub(crate) const MTIME: FileTime = FileTime { seconds: 1_000_000_007, nanos: 123_456_789 };

/// A shelf, a catalog and a destination.
pub(crate) struct Scene {
    pub(crate) folder: TempDir,
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) context: RetrieveContext,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Arc::new(Shelf::default());
        let catalog = Catalog::open(&folder.path().join("catalog.db")).unwrap();
        let vault_name = VaultName::parse("v").unwrap();
        let context = RetrieveContext {
            target: Arc::new(Arc::clone(&shelf)),
            vault: catalog.vault("shelf", &vault_name).unwrap(),
            catalog,
            vault_name,
            hashing: HashPool::new(NonZeroUsize::new(2).unwrap()),
            events: Arc::new(Silent),
            clock: Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH)),
        };
        Self { folder, shelf, context }
    }

    pub(crate) fn to(&self) -> PathBuf {
        self.folder.path().join("to")
    }

    pub(crate) fn options(&self) -> RetrieveOptions {
        RetrieveOptions::new(self.to())
    }

    pub(crate) fn record(&self, entries: &[Entry]) {
        self.context.catalog.record(self.context.vault, entries).unwrap();
    }

    /// Shelves an archive and records it.
    pub(crate) fn archived(&self, path: impl AsRef<[u8]>, id: &str, bytes: Vec<u8>) -> ArchiveId {
        let mut entry = entry(path, Kind::File);
        entry.size = bytes.len() as u64;
        entry.tree_hash = Some(tree_hash(&bytes));
        let archive = self.shelf.put(id, bytes);
        entry.archive = Some(archive.clone());
        self.record(&[entry]);
        archive
    }

    pub(crate) async fn run(
        &self,
        options: &RetrieveOptions,
    ) -> Result<(RetrieveReport, Vec<RetrievedFile>), RetrieveError> {
        let planned = plan(&self.context, options).await?;
        let mut files = Vec::new();
        let report =
            retrieve(&self.context, options, planned, &mut |file| files.push(file)).await?;
        Ok((report, files))
    }
}

pub(crate) fn path(bytes: impl AsRef<[u8]>) -> CatalogPath {
    CatalogPath::parse(bytes.as_ref()).unwrap()
}

pub(crate) fn entry(at: impl AsRef<[u8]>, kind: Kind) -> Entry {
    Entry {
        path: path(at),
        kind,
        size: 0,
        mtime: Some(MTIME),
        mode: Some(if kind == Kind::Folder { 0o750 } else { 0o640 }),
        link_target: None,
        tree_hash: None,
        archive: None,
        uploaded: Timestamp::from_unix_millis(1000),
        description: None,
        manifest: None,
    }
}

pub(crate) fn link(at: impl AsRef<[u8]>, target: &[u8]) -> Entry {
    Entry { link_target: Some(target.to_vec()), ..entry(at, Kind::Link) }
}

/// Bytes that differ from MiB to MiB.
pub(crate) fn bytes(length: usize) -> Vec<u8> {
    static ONE: LazyLock<Vec<u8>> = LazyLock::new(|| (0..=250_u8).cycle().take(1 << 20).collect());
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        let begin = bytes.len();
        bytes.extend_from_slice(&ONE[..ONE.len().min(length - begin)]);
        bytes[begin] = u8::try_from(begin >> 20).unwrap();
    }
    bytes
}

/// The names in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

pub(crate) fn statuses(files: &[RetrievedFile]) -> Vec<(String, Status)> {
    let mut all: Vec<_> = files.iter().map(|file| (file.path.to_string(), file.status)).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}
