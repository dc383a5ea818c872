mod crashes;
mod files;
mod lives;
mod memory;
mod streams;
mod surveys;

use std::{
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use icefield_protocol::{ManualClock, PartSize, Timestamp, VaultName};
use icefield_treehash::HashPool;
use tempfile::TempDir;

use self::memory::Memory;
use super::{Outcome, UploadContext, UploadOptions, UploadReport, upload};
use crate::{
    catalog::{Catalog, Entry, VaultRef},
    events::{Event, Events},
    path::CatalogPath,
    transfer::Cancel,
    walk::{Roots, Selection},
};

pub(super) const MIB: usize = 1 << 20;

/// A folder `tree` to upload, a catalog and a target.
struct Bench {
    folder: TempDir,
    target: Arc<Memory>,
    catalog: Catalog,
    events: Arc<Told>,
    clock: Arc<ManualClock>,
}

#[derive(Debug, Default)]
struct Told(Mutex<Vec<Event>>);

impl Events for Told {
    fn event(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

impl Told {
    fn warnings(&self) -> Vec<String> {
        let told = self.0.lock().unwrap();
        told.iter()
            .filter_map(|event| match event {
                Event::Warning { message, .. } => Some(message.clone()),
                _ => None,
            })
            .collect()
    }

    fn resumed_bytes(&self) -> u64 {
        let told = self.0.lock().unwrap();
        told.iter()
            .map(|event| match event {
                Event::Moved { bytes, resumed: true } => *bytes,
                _ => 0,
            })
            .sum()
    }
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("tree")).unwrap();
        Self {
            target: Arc::default(),
            catalog: Catalog::open(&folder.path().join("catalog.db")).unwrap(),
            events: Arc::default(),
            clock: Arc::new(ManualClock::new(Timestamp::from_unix_millis(1_000_000))),
            folder,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("tree").join(name)
    }

    fn write(&self, name: &str, content: &[u8]) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), content).unwrap();
    }

    fn context(&self) -> UploadContext {
        UploadContext {
            target: Arc::<Memory>::clone(&self.target),
            catalog: self.catalog.clone(),
            vault: VaultName::parse("v").unwrap(),
            hashing: HashPool::new(NonZeroUsize::MIN),
            clock: Arc::<ManualClock>::clone(&self.clock),
            events: Arc::<Told>::clone(&self.events),
            cancel: Cancel::never(),
            opener: None,
        }
    }

    fn roots(&self) -> Roots {
        Roots::find(&[PathBuf::from("tree")], None, self.folder.path(), None).unwrap()
    }

    /// Uploads the tree, a second after what was done before.
    async fn run(&self, options: UploadOptions) -> (UploadReport, Vec<Outcome>) {
        self.clock.advance(Duration::from_secs(1));
        let mut outcomes = Vec::new();
        let mut tell = |outcome| outcomes.push(outcome);
        let (roots, selection) = (self.roots(), Selection::default());
        let report = upload(self.context(), options, roots, selection, &mut tell).await.unwrap();
        (report, outcomes)
    }

    /// Uploads and expects that nothing failed.
    async fn run_well(&self) -> UploadReport {
        let (report, outcomes) = self.run(options()).await;
        assert!(report.failed == 0 && report.stopped.is_none(), "{report:?} {outcomes:?}");
        report
    }

    fn vault(&self) -> VaultRef {
        self.catalog.vault("memory", &VaultName::parse("v").unwrap()).unwrap()
    }

    fn newest(&self, path: &str) -> Option<Entry> {
        self.catalog.newest(self.vault(), &CatalogPath::parse(path).unwrap()).unwrap()
    }

    fn bytes_received(&self) -> u64 {
        self.target.state.lock().unwrap().bytes_received
    }
}

/// Parts of 1 MiB.
fn options() -> UploadOptions {
    UploadOptions {
        part_size: Some(PartSize::new(MIB as u64).unwrap()),
        ..UploadOptions::default()
    }
}

/// Bytes that are nowhere the same.
fn content(length: usize, seed: u8) -> Vec<u8> {
    let byte = |at: usize| u8::try_from((at % 251) ^ (at / 65_521 % 251)).unwrap() ^ seed;
    (0..length).map(byte).collect()
}

fn set_modified(path: &Path, seconds: u64) {
    let time = std::time::UNIX_EPOCH + Duration::from_secs(seconds);
    fs::File::open(path).unwrap().set_modified(time).unwrap();
}
