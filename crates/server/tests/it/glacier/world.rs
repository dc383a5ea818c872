//! A server of its own for each test: on a free port, over a store in memory, by a clock that stands still.

use std::{fmt, sync::Arc, time::Duration};

use icefield_engine::{Engine, MasterKey, Settings};
use icefield_protocol::{
    AccountId, Region, Timestamp,
    sigv4::{AccessKeyId, SecretKey},
};
use icefield_server::{Observer, Running, Server, ServerSettings, connection::Limits};
use icefield_store::{ManualClock, Store};
use tokio::net::TcpListener;

use super::request::{Answer, Ask, Identity};

/// 7 May 2012, 12:00:00.250 UTC.
pub(crate) const START: Timestamp = Timestamp::from_unix_millis(1_336_392_000_250);

pub(crate) const MIB: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) running: Running,
    pub(crate) account: AccountId,
    /// The root of the account.
    pub(crate) root: Identity,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(engine_settings(), server_settings(), Vec::new()).await
    }

    pub(crate) async fn with(
        settings: Settings,
        server: ServerSettings,
        observers: Vec<Arc<dyn Observer>>,
    ) -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let store = Store::in_memory(Arc::<ManualClock>::clone(&clock)).await.unwrap();
        Self::over(store, clock, settings, server, observers).await
    }

    pub(crate) async fn over(
        store: Store,
        clock: Arc<ManualClock>,
        settings: Settings,
        server: ServerSettings,
        observers: Vec<Arc<dyn Observer>>,
    ) -> Self {
        let key = MasterKey::from_bytes([7; 32]);
        let engine = Engine::open_with(store, settings, Some(&key)).await.unwrap();
        let root = identity("AKIDEXAMPLEEXAMPLE12", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        engine.set_root_key(&root.access_key, &root.secret).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let running = Server::start_observed(engine.clone(), server, listener, observers).unwrap();
        let account = engine.account().clone();
        Self { engine, clock, running, account, root }
    }

    /// A request of the root, complete but for what it says.
    pub(crate) fn ask(&self, method: &str, target: &str) -> Ask {
        use icefield_protocol::Clock as _;
        Ask {
            server: self.running.address(),
            identity: Some(self.root.clone()),
            time: self.clock.now(),
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            unsigned: Vec::new(),
            body: Vec::new(),
        }
        .header("x-amz-glacier-version", "2012-06-01")
    }

    pub(crate) async fn send(&self, method: &str, target: &str) -> Answer {
        self.ask(method, target).send().await
    }

    #[track_caller]
    pub(crate) fn arn(&self, vault: &str) -> String {
        format!("arn:aws:glacier:us-west-2:{}:vaults/{vault}", self.account)
    }

    pub(crate) async fn create_vault(&self, name: &str) {
        let answer = self.send("PUT", &format!("/-/vaults/{name}")).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }

    /// Uploads an archive and returns its ID.
    pub(crate) async fn upload(&self, vault: &str, body: &[u8]) -> String {
        let ask = self.ask("POST", &format!("/-/vaults/{vault}/archives")).payload(body);
        let answer = ask.send().await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.told("x-amz-archive-id")
    }

    /// Starts a job, runs it, and returns its ID.
    pub(crate) async fn job(&self, vault: &str, request: impl fmt::Display) -> String {
        let ask = self.ask("POST", &format!("/-/vaults/{vault}/jobs"));
        let answer = ask.body(request.to_string()).send().await;
        assert_eq!(answer.status, 202, "{answer:?}");
        self.engine.run_due_jobs().await.unwrap();
        answer.told("x-amz-job-id")
    }
}

/// No delays; the inventory is always current.
pub(crate) fn engine_settings() -> Settings {
    Settings { region: Region::parse("us-west-2").unwrap(), ..Settings::embedded() }
}

/// Bodies that are not wanted are not waited for.
pub(crate) fn server_settings() -> ServerSettings {
    let limits = Limits { drain_time: Duration::from_millis(20), ..Limits::default() };
    ServerSettings { limits, ..ServerSettings::default() }
}

pub(crate) fn identity(access_key: &str, secret: &str) -> Identity {
    Identity {
        access_key: AccessKeyId::parse(access_key).unwrap(),
        secret: SecretKey::new(secret),
        region: "us-west-2".to_owned(),
        service: "glacier".to_owned(),
    }
}

/// `length` bytes that differ from MiB to MiB.
pub(crate) fn bytes(length: usize) -> Vec<u8> {
    let words = (0..length.div_ceil(8) as u64).flat_map(u64::to_le_bytes);
    let mut bytes: Vec<u8> = words.collect();
    bytes.truncate(length);
    bytes
}
