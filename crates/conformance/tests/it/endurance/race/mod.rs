//! Everything at once: 32 clients do whatever comes to their minds in the same few vaults.
//!
//! Every request has to get an answer, and one that the operation knows. In the end what clients were told has to be what
//! there is: each archive whose upload was answered, none that was deleted, an upload completed or aborted but not both,
//! and nothing stored that nobody owns.

mod known;
mod walk;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use icefield_conformance::{Credentials, Random};
use icefield_engine::{Engine, MasterKey, Settings};
use icefield_protocol::{Clock, ManualClock, Region, Timestamp};
use icefield_server::{Running, Server, ServerSettings};
use icefield_store::{OpenOptions, Store, check};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinSet};

use self::{known::Known, walk::Walker};
use crate::seed::seed;

const CLIENTS: u64 = 32;
const START: Timestamp = Timestamp::from_unix_millis(1_769_860_800_250);
const ARCHIVE_OVERHEAD_BYTES: u64 = 32 << 10;
/// After this time ended uploads and jobs are forgotten.
const LATER: Duration = Duration::from_hours(25);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn thirty_two_clients_at_once_find_a_server_in_memory_consistent() {
    race(Setting::start(None).await, 60).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn thirty_two_clients_at_once_find_a_server_on_disk_consistent() {
    race(Setting::start(Some(TempDir::new().unwrap())).await, 60).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "long"]
async fn thirty_two_clients_for_long_find_a_server_on_disk_consistent() {
    race(Setting::start(Some(TempDir::new().unwrap())).await, 1000).await;
}

/// A server and what clients need to talk to it.
struct Setting {
    engine: Engine,
    clock: Arc<ManualClock>,
    running: Running,
    key: Credentials,
    _folder: Option<TempDir>,
}

impl Setting {
    async fn start(folder: Option<TempDir>) -> Self {
        let manual = Arc::new(ManualClock::new(START));
        let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&manual);
        let store = match &folder {
            None => Store::in_memory(clock).await.unwrap(),
            Some(folder) => {
                let options = OpenOptions { create: true, clock, ..OpenOptions::default() };
                Store::open(&folder.path().join("store"), options).await.unwrap()
            }
        };
        let region = Region::parse("us-east-1").unwrap();
        let settings = Settings { region, ..Settings::embedded() };
        let master_key = MasterKey::from_bytes([7; 32]);
        let engine = Engine::open_with(store, settings, Some(&master_key)).await.unwrap();
        let key = engine.create_key(engine.account(), None, None).await.unwrap();
        let key = Credentials::new(key.access_key.to_string(), key.secret.as_str());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let running = Server::start(engine.clone(), ServerSettings::default(), listener).unwrap();
        Self { engine, clock: manual, running, key, _folder: folder }
    }

    async fn walker(&self, random: Random, known: &Arc<Known>) -> Walker {
        let address = self.running.address().to_string();
        let (engine, clock) = (self.engine.clone(), Arc::clone(&self.clock));
        Walker::new(&address, &self.key, engine, clock, random, Arc::clone(known)).await
    }
}

async fn race(setting: Setting, steps: u64) {
    let seed = seed();
    let known = Arc::new(Known::default());
    let mut walkers = JoinSet::new();
    for number in 0..CLIENTS {
        let mut walker = setting.walker(Random::of(seed, number), &known).await;
        walkers.spawn(async move {
            for _ in 0..steps {
                walker.step().await;
            }
        });
    }
    while let Some(ended) = walkers.join_next().await {
        ended.unwrap();
    }
    eprintln!("{}", known.figures());
    known.uploads_ended_once();
    let mut walker = setting.walker(Random::of(seed, CLIENTS), &known).await;
    walker.abort_all().await;
    for vault in walk::VAULTS {
        same_archives(vault, &mut walker, &known).await;
    }
    nothing_without_an_owner(&setting, &known).await;
    setting.running.stop().await.unwrap();
    setting.engine.close().await;
}

/// The inventory and the counters of a vault are what clients were told.
async fn same_archives(vault: &'static str, walker: &mut Walker, known: &Known) {
    let expected = known.archives_of(vault);
    let Some((description, inventory)) = walker.inventory(vault).await else {
        assert!(expected.is_empty(), "{vault} is gone with {} archives", expected.len());
        return;
    };
    let listed = inventory["ArchiveList"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let listed: BTreeSet<_> = listed
        .map(|archive| {
            let size = archive["Size"].as_u64().unwrap();
            (text(&archive["ArchiveId"]), size, text(&archive["SHA256TreeHash"]))
        })
        .collect();
    let (missing, extra) = (&expected - &listed, &listed - &expected);
    assert!(missing.is_empty() && extra.is_empty(), "{vault}: {missing:?} {extra:?}");
    let bytes: u64 = listed.iter().map(|(_, size, _)| size + ARCHIVE_OVERHEAD_BYTES).sum();
    assert_eq!(description["NumberOfArchives"], listed.len(), "{vault}");
    assert_eq!(description["SizeInBytes"], bytes, "{vault}");
}

async fn nothing_without_an_owner(setting: &Setting, known: &Known) {
    setting.clock.advance(LATER);
    setting.engine.tick().await.unwrap();
    setting.engine.housekeeping().await.unwrap();
    let stat = setting.engine.store().stat().await.unwrap().ledger;
    assert_eq!((stat.uploads, stat.jobs), (0, 0), "{stat:?}");
    let archives: Vec<_> = walk::VAULTS.iter().flat_map(|vault| known.archives_of(vault)).collect();
    assert_eq!(stat.archives, archives.len() as u64);
    assert_eq!(stat.bytes, archives.iter().map(|(_, size, _)| size).sum::<u64>());
    // Files that were to be removed are; `check` finds those that nothing names, and bytes that are others.
    let store = setting.engine.store();
    let mut files = Vec::new();
    store.payload().list(&mut |file| files.push(file.unwrap())).await.unwrap();
    assert_eq!(store.ledger().garbage(files).await.unwrap(), []);
    let report = check(store, &mut |_| {}).await.unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
}
