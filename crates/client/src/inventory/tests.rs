//! File forms with exact samples, import and export, appending, reconciliation.

mod bulk;
mod documented;
mod fake;
mod files;
mod foreign;
mod reconciling;
mod refreshing;
mod rows;

use icefield_protocol::{ArchiveId, Timestamp, TreeHash, VaultName};
use tempfile::TempDir;

use crate::{
    catalog::{Catalog, CatalogError, Entry, EntryQuery, FileTime, Kind, VaultRef},
    path::CatalogPath,
};

const NOW: Timestamp = day(100);
const HASH: &str = "36e6802a75fd6339e72a3ac8a05fcb5160194f55221ec5a761648e97d3835b22";

/// The beginning of a day, counted from 1970.
const fn day(days: i64) -> Timestamp {
    Timestamp::from_unix_millis(days * 24 * 3600 * 1000)
}

fn catalog() -> (TempDir, Catalog, VaultRef) {
    let dir = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(&dir.path().join("catalog.db")).unwrap();
    let vault = catalog.vault("store", &name()).unwrap();
    (dir, catalog, vault)
}

fn name() -> VaultName {
    VaultName::parse("photos").unwrap()
}

fn id(text: &str) -> ArchiveId {
    ArchiveId::parse(text).unwrap()
}

fn hash() -> TreeHash {
    HASH.parse().unwrap()
}

fn entry(path: impl Into<Vec<u8>>, archive: &str) -> Entry {
    Entry {
        path: CatalogPath::parse(path).unwrap(),
        kind: Kind::File,
        size: 7,
        mtime: Some(FileTime { seconds: 1_714_564_800, nanos: 5 }),
        mode: Some(0o644),
        link_target: None,
        tree_hash: Some(hash()),
        archive: Some(id(archive)),
        uploaded: day(20),
        description: None,
        manifest: None,
    }
}

fn folder(path: &str) -> Entry {
    Entry { kind: Kind::Folder, size: 0, tree_hash: None, archive: None, ..entry(path, "x") }
}

fn link(path: impl Into<Vec<u8>>, target: &[u8]) -> Entry {
    let target = Some(target.to_vec());
    Entry {
        kind: Kind::Link,
        link_target: target,
        ..Entry { path: CatalogPath::parse(path).unwrap(), ..folder("x") }
    }
}

fn all(catalog: &Catalog, vault: VaultRef) -> Vec<Entry> {
    let mut found = Vec::new();
    catalog
        .for_each(vault, &EntryQuery { versions: true, as_of: None }, &mut |entry| {
            found.push(entry);
            Ok::<_, CatalogError>(())
        })
        .unwrap();
    found
}

fn paths(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|entry| entry.path.to_string()).collect()
}
