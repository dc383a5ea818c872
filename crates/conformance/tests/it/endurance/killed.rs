//! `kill -9` of the server under eight uploading clients: what was acknowledged is there, intact, and what is locked stays
//! locked, also without the ledger.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use icefield_conformance::Credentials;
use tempfile::TempDir;

use super::service::{Life, Service};
use crate::{
    foreign::{script, tool},
    seed,
};

/// Acknowledgements that a life brings before it is ended, at most.
const MAX_ANSWERS: u64 = 25;
/// Then it goes on for at most this time, so that any moment between two answers may be the last.
const MAX_MILLIS_MORE: u64 = 60;
/// No life is so slow that it brings nothing in this time.
const SILENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(2);

#[test]
fn a_server_killed_5_times_under_8_clients_keeps_all_that_it_acknowledged() {
    kill_under_clients(5);
}

#[test]
#[ignore = "long"]
fn a_server_killed_50_times_under_8_clients_keeps_all_that_it_acknowledged() {
    kill_under_clients(50);
}

fn kill_under_clients(kills: u32) {
    let Some(python) = tool("ICEFIELD_PYTHON") else { return };
    let (seed, mut random) = seed::random();
    let service = Service::new(&[("ICEFIELD_INVENTORY_INTERVAL", "0s")]);
    let key = service.create_key();
    let life = service.start();
    let clients = Clients::new(&python, &service, &life, key, seed);
    clients.run("prepare");

    let mut uploading = Uploading(clients.start("upload").spawn().unwrap());
    let (mut life, mut waited) = (life, Vec::new());
    for _ in 0..kills {
        let answers = clients.answers() + random.within(1..MAX_ANSWERS);
        uploading.until(|| clients.answers() >= answers);
        std::thread::sleep(Duration::from_millis(random.within(0..MAX_MILLIS_MORE)));
        life.kill();
        life = service.start();
        waited.push(life.ready_after);
    }
    uploading.end();
    life.stop();
    waited.sort_unstable();
    eprintln!(
        "{kills} kills, {} answers that count; ready again after {:?} (median), {:?} (longest)",
        clients.answers(),
        waited[waited.len() / 2],
        waited[waited.len() - 1]
    );

    service.run(&["store", "check"]);
    let life = service.start();
    clients.run("verify");
    life.stop();

    // All that the ledger knew of archives and locks is in the log as well.
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        let removed = fs::remove_file(service.data().join(name));
        assert!(removed.is_ok() || name != "ledger.db");
    }
    service.run(&["store", "rebuild"]);
    let life = service.start();
    clients.run("verify");
    life.stop();
    service.run(&["store", "check"]);
}

/// How the clients' script is started.
struct Clients {
    python: PathBuf,
    environment: Vec<(&'static str, String)>,
    notes: TempDir,
}

impl Clients {
    fn new(python: &OsStr, service: &Service, life: &Life, key: Credentials, seed: u64) -> Self {
        let notes = TempDir::new().unwrap();
        let environment = vec![
            ("ICEFIELD_ENDPOINT", format!("http://{}", service.address)),
            ("ICEFIELD_ACCOUNT", life.account.clone()),
            ("ICEFIELD_SEED", seed.to_string()),
            ("ICEFIELD_NOTES", notes.path().display().to_string()),
            ("AWS_ACCESS_KEY_ID", key.access_key),
            ("AWS_SECRET_ACCESS_KEY", key.secret),
            ("AWS_DEFAULT_REGION", life.region.clone()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            ("HOME", notes.path().display().to_string()),
            ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
        ];
        Self { python: python.into(), environment, notes }
    }

    fn start(&self, what: &str) -> Command {
        let mut command = Command::new(&self.python);
        command
            .arg(script("python/endurance_clients.py"))
            .arg(what)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped());
        command
    }

    /// Runs the script to its end and fails with it.
    fn run(&self, what: &str) {
        let output = self.start(what).output().unwrap();
        let (said, complained) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{what}: {}\n{said}\n{complained}", output.status);
        assert!(said.contains("ok "), "{what} checked nothing: {said}");
        eprint!("{said}");
    }

    /// Counts the acknowledgements that the clients have noted.
    fn answers(&self) -> u64 {
        let lines = |path: &Path| {
            let notes = fs::read(path).unwrap();
            notes.iter().filter(|byte| **byte == b'\n').count() as u64
        };
        let files = fs::read_dir(self.notes.path()).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.is_file()).map(|path| lines(&path)).sum()
    }
}

/// The clients at work.
struct Uploading(Child);

impl Uploading {
    /// Waits until `seen`; fails when the clients have ended by then, or nothing happens.
    fn until(&mut self, seen: impl Fn() -> bool) {
        let tries = SILENCE.as_millis() / LOOK_AGAIN.as_millis();
        for _ in 0..tries {
            if let Some(status) = self.0.try_wait().unwrap() {
                panic!("the clients have given up: {status}");
            }
            if seen() {
                return;
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        panic!("no answers for {SILENCE:?}");
    }

    /// Lets the clients finish what they have begun.
    fn end(mut self) {
        drop(self.0.stdin.take());
        let status = self.0.wait().unwrap();
        assert!(status.success(), "{status}");
    }
}

impl Drop for Uploading {
    fn drop(&mut self) {
        // They have ended, unless the test has failed.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
