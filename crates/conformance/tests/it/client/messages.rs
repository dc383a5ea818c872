//! What can go wrong for a user: each time a message that names the cause and the next step, and the documented exit code.
//!
//! The words that are looked for are those that a user needs to act on: the key, the region, the minutes, the path.

use std::{fs, path::PathBuf, process::Command, sync::Arc, time::Duration};

use icefield_engine::{Engine, MasterKey, Settings};
use icefield_protocol::{Clock, ManualClock, Timestamp};
use icefield_server::{Running, Server, ServerSettings};
use icefield_store::{Store, SystemClock};
use tokio::net::TcpListener;

use super::{
    files::MIB,
    home::Home,
    line::{Line, TARGET, at},
};

const MINUTE: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_unknown_is_named_with_the_endpoint() {
    let mut line = Line::new().await;
    line.home.write("file", "x");
    line.home.set("AWS_ACCESS_KEY_ID", "ICEFIELDSTRANGER0000");
    let endpoint = line.endpoint();
    let run = line.home.run(&["upload", &at("v"), "file"]).await.ended(1);
    run.says(&["ICEFIELDSTRANGER0000", &endpoint, "AWS_ACCESS_KEY_ID"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_is_wrong_is_told_apart_from_a_key_that_is() {
    let mut line = Line::new().await;
    line.home.write("file", "x");
    line.home.set("AWS_SECRET_ACCESS_KEY", &"w".repeat(40));
    let key = line.serve.access_key.clone();
    let run = line.home.run(&["upload", &at("v"), "file"]).await.ended(1);
    let run = run.says(&[&key, "secret", "AWS_SECRET_ACCESS_KEY"]);
    assert!(!run.stderr.contains(&"w".repeat(40)), "a secret is told: {run}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_credentials_at_all_is_told_with_where_they_are_taken_from() {
    let mut line = Line::new().await;
    line.home.write("file", "x");
    line.home.unset("AWS_ACCESS_KEY_ID");
    line.home.unset("AWS_SECRET_ACCESS_KEY");
    let run = line.home.run(&["upload", &at("v"), "file"]).await.ended(1);
    run.says(&["credentials", "AWS_ACCESS_KEY_ID", "profile"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vault_that_the_region_does_not_have_is_named_with_the_region() {
    let line = Line::new().await;
    line.home.write("file", "x");
    line.home.ok(&["vault", "create", &at("frames")]).await;
    let endpoint = line.endpoint();
    for command in [&["upload", "lab:frame", "file"][..], &["inventory", "refresh", "lab:frame"]] {
        let command = [command, &["--region", "eu-west-1"]].concat();
        let run = line.home.run(&command).await.ended(1);
        run.says(&["frame", "eu-west-1", &endpoint, "--region", "vault create"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_20_minutes_off_is_told_with_the_minutes_and_the_direction() {
    for (direction, shift) in [("behind", 20), ("ahead", -20)] {
        let here = SystemClock.now().unix_millis();
        let there = Timestamp::from_unix_millis(here + shift * 60_000);
        let service = Service::at(there).await;
        service.home.write("file", "x");
        let run = service.home.run(&["upload", &at("v"), "file"]).await.ended(1);
        run.says(&["clock", &format!("20 minutes {direction}"), "set it"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_over_is_told_with_its_key_and_how_to_begin_another() {
    let before = Timestamp::from_unix_millis(SystemClock.now().unix_millis() - 60 * 60_000);
    let mut service = Service::at(before).await;
    let account = service.engine.account().clone();
    let key = service.engine.create_key(&account, None, Some(15 * MINUTE)).await.unwrap();
    let id = key.access_key.to_string();
    service.home.set("AWS_ACCESS_KEY_ID", &id);
    service.home.set("AWS_SECRET_ACCESS_KEY", key.secret.as_str());
    service.home.set("AWS_SESSION_TOKEN", key.session_token.as_deref().unwrap());
    service.home.write("file", "x");
    service.clock.advance(60 * MINUTE);
    let run = service.home.run(&["upload", &at("v"), "file"]).await.ended(1);
    run.says(&["session", &id, "sign in again", "same command again"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_at_the_destination_is_named_and_with_room_the_same_command_finishes() {
    let line = Line::new().await;
    let path = line.home.path("volume");
    let Some(volume) = Volume::mount(path, "2m") else { return };
    let content = icefield_conformance::Random::new(1).bytes(usize::try_from(4 * MIB).unwrap());
    line.home.write("film", &content);
    line.home.ok(&["upload", "--create", &at("v"), "film"]).await;
    let retrieve = ["retrieve", &at("v"), "--to", "volume"];
    let run = line.home.run(&retrieve).await;
    assert!(matches!(run.code, Some(1 | 3)), "{run}");
    run.says(&["film", "no space left", "make room for volume", "same command again"]);
    volume.grow("16m");
    line.home.ok(&retrieve).await;
    assert_eq!(fs::read(line.home.path("volume/film")).unwrap(), content);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_file_at_the_destination_is_kept_and_named_with_what_would_replace_it() {
    let line = Line::new().await;
    line.home.write("film", "what was archived");
    line.home.ok(&["upload", "--create", &at("v"), "film"]).await;
    line.home.write("film", "what came later");
    let before = line.proxy.log().exchanges().len();
    let run = line.home.run(&["retrieve", &at("v")]).await.ended(3);
    run.says(&["film", "--overwrite"]);
    assert_eq!(fs::read(line.home.path("film")).unwrap(), b"what came later");
    let log = line.proxy.log();
    let started = log.exchanges()[before..].iter().filter(|exchange| {
        exchange.asked.operation == Some(icefield_protocol::Operation::InitiateJob)
    });
    assert_eq!(started.count(), 0, "a retrieval was paid for that is of no use");
    line.home.ok(&["retrieve", &at("v"), "--overwrite"]).await;
    assert_eq!(fs::read(line.home.path("film")).unwrap(), b"what was archived");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_else_has_deleted_is_named_with_how_to_learn_what_is_left() {
    let line = Line::new().await;
    line.home.write("film", "x");
    line.home.ok(&["upload", "--create", &at("v"), "film"]).await;
    line.view.empty("v").await;
    let run = line.home.run(&["retrieve", &at("v"), "--to", "back"]).await.ended(3);
    run.says(&["film", "deleted", "inventory refresh lab:v"]);
}

/// A server in this process whose clock can be turned, and a user of it.
struct Service {
    home: Home,
    engine: Engine,
    clock: Arc<ManualClock>,
    _running: Running,
}

impl Service {
    async fn at(time: Timestamp) -> Self {
        let clock = Arc::new(ManualClock::new(time));
        let store = Store::in_memory(Arc::<ManualClock>::clone(&clock)).await.unwrap();
        let master = MasterKey::from_bytes([7; 32]);
        let engine = Engine::open_with(store, Settings::embedded(), Some(&master)).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let running = Server::start(engine.clone(), ServerSettings::default(), listener).unwrap();
        let key = engine.create_key(engine.account(), None, None).await.unwrap();
        let mut home = Home::new();
        home.set("AWS_ACCESS_KEY_ID", key.access_key.as_ref());
        home.set("AWS_SECRET_ACCESS_KEY", key.secret.as_str());
        let endpoint = format!("http://{}", running.address());
        home.add_target(TARGET, &endpoint, engine.region().as_str()).await;
        Self { home, engine, clock, _running: running }
    }
}

/// A small volume in memory; it is gone when this is dropped.
struct Volume(PathBuf);

impl Volume {
    /// Mounts it, where that is allowed.
    fn mount(path: PathBuf, size: &str) -> Option<Self> {
        fs::create_dir_all(&path).unwrap();
        let volume = Self(path);
        let size = format!("size={size}");
        if volume.run("mount", &["-t", "tmpfs", "-o", &size, "icefield-test"]) {
            return Some(volume);
        }
        eprintln!("SKIPPED: only root can mount a small volume, where the machine lets it");
        None
    }

    fn grow(&self, size: &str) {
        assert!(self.run("mount", &["-o", &format!("remount,size={size}")]));
    }

    fn run(&self, program: &str, arguments: &[&str]) -> bool {
        let mut command = Command::new(program);
        command.args(arguments).arg(&self.0);
        command.status().is_ok_and(|status| status.success())
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        self.run("umount", &[]);
    }
}
