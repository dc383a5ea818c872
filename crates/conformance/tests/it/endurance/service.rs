//! A server as an operator runs it: a store on disk, a master key, an access key that `icefield key create` has made, and
//! one port through all its lives.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, ChildStdout, Command, Output, Stdio},
    time::Duration,
};

use icefield_conformance::Credentials;
use icefield_store::{Clock as _, SystemClock};
use tempfile::TempDir;
use tokio::net::TcpSocket;

use crate::process::program;

/// What stays when a server dies.
#[derive(Debug)]
pub(super) struct Service {
    folder: TempDir,
    settings: Vec<(&'static str, &'static str)>,
    /// Holds the port between two lives, without listening. Nobody else gets it, not even as the near end of a connection.
    _port: TcpSocket,
    pub(super) address: SocketAddr,
}

/// A server that runs. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Life {
    child: Child,
    /// Kept open, so that the server can go on writing to it.
    _stdout: BufReader<ChildStdout>,
    /// From its start until it took connections.
    pub(super) ready_after: Duration,
    pub(super) account: String,
    pub(super) region: String,
}

impl Service {
    pub(super) fn new(settings: &[(&'static str, &'static str)]) -> Self {
        let port = TcpSocket::new_v4().unwrap();
        port.set_reuseaddr(true).unwrap();
        port.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = port.local_addr().unwrap();
        let folder = TempDir::new().unwrap();
        Self { folder, settings: settings.to_vec(), _port: port, address }
    }

    pub(super) fn data(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    pub(super) fn set(&mut self, setting: &'static str, value: &'static str) {
        self.settings.retain(|(name, _)| *name != setting);
        self.settings.push((setting, value));
    }

    /// Runs a command on the store and returns what it printed.
    pub(super) fn run(&self, arguments: &[&str]) -> Output {
        let output = self.command(arguments).arg("--data").arg(self.data()).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        output
    }

    pub(super) fn create_key(&self) -> Credentials {
        let output = self.run(&["--output", "json", "key", "create"]);
        let key: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let text = |name: &str| key[name].as_str().unwrap().to_owned();
        Credentials::new(text("access_key"), text("secret_key"))
    }

    /// Starts the server and returns once it takes connections.
    pub(super) fn start(&self) -> Life {
        let began = SystemClock.boot();
        let listen = self.address.to_string();
        let mut child = self
            .command(&["serve", "--listen", &listen, "--metrics-listen", "none"])
            .arg("--data")
            .arg(self.data())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut told = |name: &str| {
            let mut line = String::new();
            stdout.read_line(&mut line).unwrap();
            let value = line.strip_prefix(name).and_then(|rest| rest.strip_prefix(": "));
            value.unwrap_or_else(|| panic!("`{name}: ` expected, got {line:?}")).trim().to_owned()
        };
        told("endpoint");
        let ready_after = SystemClock.boot() - began;
        let (account, region) = (told("account"), told("region"));
        Life { child, _stdout: stdout, ready_after, account, region }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command
            .args(arguments)
            .env_clear()
            .envs(self.settings.iter().copied())
            .env("ICEFIELD_MASTER_KEY_FILE", self.folder.path().join("master.key"))
            // One line for each request is of no use here.
            .env("ICEFIELD_LOG_LEVEL", "warn")
            .env("HOME", self.folder.path());
        command
    }
}

impl Life {
    /// Ends it as a power cut of the process would: SIGKILL.
    pub(super) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, and waits until it has.
    pub(super) fn stop(mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
    }

    /// Returns how much memory it takes, as the system tells it; some do not.
    pub(super) fn resident(&self) -> String {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.unwrap_or("unknown").trim().to_owned()
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
