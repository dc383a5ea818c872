//! The suite against the server of this workspace, in this process: in memory, and in a folder on disk.
//!
//! A laboratory beside it starts a server for each case that turns the clock, over the same kind of store.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use icefield_conformance::{
    Bench, Credentials, Ending, Endpoint, Laboratory, Report, Setup, Suite,
};
use icefield_engine::{Delays, Engine, MasterKey, NewKey, Settings};
use icefield_protocol::{Clock, ManualClock, Region, Timestamp, UserName};
use icefield_server::{Running, Server, ServerSettings, connection::Limits};
use icefield_store::{OpenOptions, Store, SystemClock};
use tempfile::TempDir;
use tokio::net::TcpListener;

const HOUR: Duration = Duration::from_hours(1);

/// 31 January 2026, noon: a month later is the last day of February.
const START: Timestamp = Timestamp::from_unix_millis(1_769_860_800_250);

/// Where servers keep what they are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Memory,
    Disk,
}

/// A server in this process.
#[derive(Debug)]
struct Local {
    endpoint: Endpoint,
    engine: Engine,
    clock: Arc<dyn Clock>,
    /// The same clock, if it can be turned.
    manual: Option<Arc<ManualClock>>,
    _running: Running,
    _folder: Option<TempDir>,
}

impl Local {
    async fn start(
        place: Place,
        setup: Setup,
        clock: Arc<dyn Clock>,
        manual: Option<Arc<ManualClock>>,
    ) -> Self {
        let (store, folder) = match place {
            Place::Memory => (Store::in_memory(Arc::clone(&clock)).await.unwrap(), None),
            Place::Disk => {
                let folder = TempDir::new().unwrap();
                let clock = Arc::clone(&clock);
                let options = OpenOptions { create: true, clock, ..OpenOptions::default() };
                (Store::open(&folder.path().join("store"), options).await.unwrap(), Some(folder))
            }
        };
        let key = MasterKey::from_bytes([7; 32]);
        let engine = Engine::open_with(store, settings(setup), Some(&key)).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let running = Server::start(engine.clone(), server_settings(), listener).unwrap();
        let endpoint = endpoint(&engine, running.address().to_string()).await;
        Self { endpoint, engine, clock, manual, _running: running, _folder: folder }
    }
}

/// Makes all the keys that cases ask for.
async fn endpoint(engine: &Engine, authority: String) -> Endpoint {
    let (ours, user) = (engine.account().clone(), UserName::parse("nobody").unwrap());
    let theirs = engine.create_account().await.unwrap().account;
    engine.create_user(&ours, &user).await.unwrap();
    let session = Some(12 * HOUR);
    Endpoint {
        authority,
        region: engine.region().to_string(),
        owner: credentials(&engine.create_key(&ours, None, None).await.unwrap()),
        user: Some(credentials(&engine.create_key(&ours, Some(&user), None).await.unwrap())),
        other: Some(credentials(&engine.create_key(&theirs, None, None).await.unwrap())),
        session: Some(credentials(&engine.create_key(&ours, None, session).await.unwrap())),
        own_account: true,
        strict: true,
    }
}

fn credentials(key: &NewKey) -> Credentials {
    Credentials {
        access_key: key.access_key.to_string(),
        secret: key.secret.as_str().to_owned(),
        token: key.session_token.clone(),
    }
}

fn settings(setup: Setup) -> Settings {
    let region = Region::parse("us-west-2").unwrap();
    let immediate = Settings { region, ..Settings::embedded() };
    match setup {
        Setup::Immediate => immediate,
        Setup::CapacityNeeded => Settings { expedited_needs_capacity: true, ..immediate },
        Setup::LikeTheService => Settings {
            retrieval_delay: Delays { expedited: HOUR / 60, standard: 4 * HOUR, bulk: 8 * HOUR },
            inventory_interval: 24 * HOUR,
            ..immediate
        },
    }
}

/// Cases that let a head or a body stall wait for these.
fn server_settings() -> ServerSettings {
    let stall = Duration::from_secs(10);
    let limits = Limits { header: stall, body_stall: stall, ..Limits::default() };
    ServerSettings { limits, ..ServerSettings::default() }
}

#[async_trait]
impl Laboratory for Place {
    async fn open(&self, setup: Setup) -> Result<Box<dyn Bench>, String> {
        let manual = Arc::new(ManualClock::new(START));
        let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&manual);
        Ok(Box::new(Local::start(*self, setup, clock, Some(manual)).await))
    }
}

#[async_trait]
impl Bench for Local {
    fn endpoint(&self) -> Endpoint {
        self.endpoint.clone()
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    async fn advance(&self, step: Duration) {
        if let Some(manual) = &self.manual {
            manual.advance(step);
        }
        self.engine.tick().await.unwrap();
        self.engine.run_due_jobs().await.unwrap();
    }
}

async fn run(place: Place) -> Report {
    let local = Local::start(place, Setup::Immediate, Arc::new(SystemClock), None).await;
    let suite = Suite::new(local.endpoint.clone(), Arc::new(SystemClock));
    suite.with_laboratory(Arc::new(place)).run().await.unwrap()
}

/// Everything is offered, so everything has to hold.
#[track_caller]
fn assert_holds(report: &Report) {
    eprintln!("{report}");
    let bad = |ending: &Ending| !matches!(ending, Ending::Passed);
    let bad: Vec<_> = report.cases.iter().filter(|case| bad(&case.ending)).collect();
    assert!(bad.is_empty(), "{} of {} cases do not hold", bad.len(), report.cases.len());
    assert!(report.passed >= 712, "cases are missing: {}", report.passed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_in_memory_behaves_as_documented() {
    assert_holds(&run(Place::Memory).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_on_disk_behaves_as_documented() {
    assert_holds(&run(Place::Disk).await);
}
