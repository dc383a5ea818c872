//! What a vault with a million archives costs: nothing that grows with it.
//!
//! Two servers, one with ten archives and one with very many, get the same requests in turns, so that whatever else the
//! machine does hits both alike. Compared are medians.

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use icefield_conformance::Random;
use icefield_engine::{Access, Caller, Engine, NewArchive, Resource, Settings};
use icefield_protocol::{ArchiveId, Clock as _, Operation, TreeHash, VaultName};
use icefield_store::{OpenOptions, Store, SystemClock};
use tokio::task::JoinSet;

use super::{
    client::{Ask, Client, json},
    service::{Life, Service},
};

const FEW: u64 = 10;
const VAULT: &str = "v";
/// Uploads at once while a vault is filled: more than a commit takes up.
const WRITERS: u64 = 512;
/// Requests of each kind to each server.
const REQUESTS: usize = 300;
const JOBS: u64 = 5;
const BODY: &[u8] = b"small";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vault_with_20_000_archives_answers_like_one_with_ten() {
    compare(20_000, 60, 4.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long"]
async fn a_vault_with_1_000_000_archives_answers_like_one_with_ten() {
    compare(1_000_000, REQUESTS, 2.0).await;
}

async fn compare(many: u64, requests: usize, at_most: f64) {
    let (mut few, mut full) = (Service::new(&[]), Service::new(&[]));
    fill(&few.data(), FEW).await;
    let began = SystemClock.boot();
    fill(&full.data(), many).await;
    let took = (SystemClock.boot() - began).as_secs_f64();
    eprintln!("{many} archives stored in {took:.1} s, {:.0} a second", many as f64 / took);
    // No inventory before the vault is a day old, and one on every use.
    for interval in ["24h", "0s"] {
        few.set("ICEFIELD_INVENTORY_INTERVAL", interval);
        full.set("ICEFIELD_INVENTORY_INTERVAL", interval);
        let (mut small, mut large) = (Side::open(&few).await, Side::open(&full).await);
        eprintln!("an inventory every {interval}:");
        for (side, archives) in [(&mut small, FEW), (&mut large, many)] {
            let ready = side.life.ready_after;
            eprintln!("{archives}: ready after {ready:?}, resident {}", side.life.resident());
            if interval == "0s" {
                // With those that were stored to measure it, the first time.
                side.has_archives(archives + requests as u64).await;
            }
        }
        for question in [
            Question::DescribeVault,
            Question::ListVaults,
            Question::ListJobs,
            Question::UploadArchive,
        ] {
            take_turns(question, &mut small, &mut large, requests, at_most).await;
        }
        eprintln!("{many}: resident {} afterwards", large.life.resident());
        small.life.stop();
        large.life.stop();
    }
}

/// Makes a store with one vault of so many archives, the first of which is deleted and forgotten.
async fn fill(data: &Path, archives: u64) {
    let options = OpenOptions { create: true, ..OpenOptions::default() };
    let store = Store::open(data, options).await.unwrap();
    let settings =
        Settings { inventory_interval: Duration::from_hours(24), ..Settings::embedded() };
    let engine = Engine::open(store, settings).await.unwrap();
    let vault = VaultName::parse(VAULT).unwrap();
    let caller = Caller::root(engine.account().clone());
    let resource = Resource::vault(engine.account(), &vault);
    let access = engine.authorize(&caller, Operation::CreateVault, resource).await.unwrap();
    engine.create_vault(&access).await.unwrap();
    forget_one(&engine, &caller, &vault).await;

    let access = engine.authorize(&caller, Operation::UploadArchive, resource).await.unwrap();
    let access = Arc::new(access);
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let share = archives / WRITERS + u64::from(writer < archives % WRITERS);
        let (engine, access) = (engine.clone(), Arc::clone(&access));
        writers.spawn(async move {
            for _ in 0..share {
                upload(&engine, &access).await;
            }
        });
    }
    while let Some(ended) = writers.join_next().await {
        ended.unwrap();
    }
    assert_eq!(engine.store().stat().await.unwrap().ledger.archives, archives);
    engine.close().await;
}

/// Stores the first archive of the vault and lets nothing remember it: where a list is asked for what was written first,
/// it has to be found out without looking at everything that was written since.
async fn forget_one(engine: &Engine, caller: &Caller, vault: &VaultName) {
    let resource = Resource::vault(engine.account(), vault);
    let access = engine.authorize(caller, Operation::UploadArchive, resource).await.unwrap();
    let id = upload(engine, &access).await;
    let resource = Resource { archive: Some(&id), ..resource };
    let access = engine.authorize(caller, Operation::DeleteArchive, resource).await.unwrap();
    engine.delete_archive(&access, &id).await.unwrap();
    engine.housekeeping().await.unwrap();
}

async fn upload(engine: &Engine, access: &Access) -> ArchiveId {
    let size = BODY.len() as u64;
    let new = NewArchive { description: None, token: None, size, linear: false };
    let mut receiving = engine.receive_archive(access, new).await.unwrap();
    receiving.write(Bytes::from_static(BODY)).await.unwrap();
    receiving.commit(None).await.unwrap().id
}

/// A server and its client.
struct Side {
    life: Life,
    client: Client,
}

impl Side {
    async fn open(service: &Service) -> Self {
        let key = service.create_key();
        let life = service.start();
        let authority = service.address.to_string();
        let mut client = Client::connect(&authority, &life.region, &key).await;
        for _ in 0..JOBS {
            let body =
                br#"{"Type":"inventory-retrieval","InventoryRetrievalParameters":{"Limit":"1"}}"#;
            let path = &format!("/vaults/{VAULT}/jobs");
            let ask = Ask { method: "POST", path, headers: &[], body };
            // Without an inventory there is none to retrieve.
            let answer = client.send(SystemClock.now(), &ask).await;
            assert!(matches!(answer.status, 202 | 404), "{answer:?}");
        }
        Self { life, client }
    }

    async fn has_archives(&mut self, archives: u64) {
        let path = &format!("/vaults/{VAULT}");
        let ask = Ask { method: "GET", path, headers: &[], body: b"" };
        let vault = json(&self.client.send(SystemClock.now(), &ask).await);
        assert_eq!(vault["NumberOfArchives"], archives, "{vault}");
    }

    async fn asked(&mut self, question: Question) -> Duration {
        let hash = TreeHash::of_leaf(BODY).to_string();
        let path = question.path();
        let ask = match question {
            Question::UploadArchive => Ask {
                method: "POST",
                path: &path,
                headers: &[("x-amz-sha256-tree-hash", &hash)],
                body: BODY,
            },
            _ => Ask { method: "GET", path: &path, headers: &[], body: b"" },
        };
        let began = SystemClock.boot();
        let answer = self.client.send(SystemClock.now(), &ask).await;
        let took = SystemClock.boot() - began;
        let expected = if question == Question::UploadArchive { 201 } else { 200 };
        assert_eq!(answer.status, expected, "{answer:?}");
        took
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    DescribeVault,
    ListVaults,
    ListJobs,
    UploadArchive,
}

impl Question {
    fn path(self) -> String {
        match self {
            Self::DescribeVault => format!("/vaults/{VAULT}"),
            Self::ListVaults => "/vaults".to_owned(),
            Self::ListJobs => format!("/vaults/{VAULT}/jobs"),
            Self::UploadArchive => format!("/vaults/{VAULT}/archives"),
        }
    }
}

async fn take_turns(
    question: Question,
    small: &mut Side,
    large: &mut Side,
    requests: usize,
    at_most: f64,
) {
    let (mut of_small, mut of_large) = (Vec::new(), Vec::new());
    let mut random = Random::of(requests as u64, 0);
    for _ in 0..requests {
        // Neither is always the first, whose answer may leave work behind.
        if random.within(0..2) == 0 {
            of_small.push(small.asked(question).await);
            of_large.push(large.asked(question).await);
        } else {
            of_large.push(large.asked(question).await);
            of_small.push(small.asked(question).await);
        }
    }
    of_small.sort_unstable();
    of_large.sort_unstable();
    let at = |times: &[Duration], percent: usize| times[(times.len() - 1) * percent / 100];
    let ratio = at(&of_large, 50).as_secs_f64() / at(&of_small, 50).as_secs_f64();
    eprintln!(
        "{question:?}: median {:?} and {:?}, ratio {ratio:.2}; 95 % within {:?} and {:?}",
        at(&of_small, 50),
        at(&of_large, 50),
        at(&of_small, 95),
        at(&of_large, 95)
    );
    assert!(ratio <= at_most, "{question:?} takes {ratio:.2} times as long");
}
