//! A server process: started, asked where it is and what its key is, and ended with the test.

use std::{
    env,
    ffi::OsStr,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use tempfile::TempDir;

/// A running `icefield serve --dev`. Dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Serve {
    child: Child,
    /// Kept open, so that the server can go on writing to it.
    _stdout: BufReader<ChildStdout>,
    _home: TempDir,
    /// `http://ADDRESS:PORT`, without a path.
    pub(crate) endpoint: String,
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
    /// The number of the account the key belongs to, 12 digits.
    pub(crate) account: String,
    pub(crate) region: String,
}

impl Serve {
    /// Starts a server that keeps everything in memory, with settings as environment variables, and
    /// returns once it listens.
    pub(crate) fn start(settings: &[(&str, &str)]) -> Self {
        Self::start_with(settings, &[])
    }

    /// The same with a store in the folder `data`, and the key to its secrets beside it: another
    /// server can be started on it once this one has ended.
    pub(crate) fn start_on(data: &Path, settings: &[(&str, &str)]) -> Self {
        let master_key = data.with_extension("key");
        let mut settings = settings.to_vec();
        settings.push(("ICEFIELD_MASTER_KEY_FILE", master_key.to_str().unwrap()));
        Self::start_with(&settings, &[OsStr::new("--data"), data.as_os_str()])
    }

    fn start_with(settings: &[(&str, &str)], arguments: &[&OsStr]) -> Self {
        let home = TempDir::new().unwrap();
        let mut child = Command::new(program())
            .args(["serve", "--dev", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"])
            .args(arguments)
            .env_clear()
            .envs(settings.iter().copied())
            .env("HOME", home.path())
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
        let endpoint = told("endpoint");
        let access_key = told("access key");
        let secret_key = told("secret key");
        let account = told("account");
        let region = told("region");
        Self {
            endpoint,
            access_key,
            secret_key,
            account,
            region,
            child,
            _stdout: stdout,
            _home: home,
        }
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        // Nothing it holds outlives it, so it is not asked politely. It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Returns the path of the program under test.
#[expect(
    clippy::disallowed_methods,
    reason = "which program is tested is the environment's to say"
)]
pub(crate) fn program() -> PathBuf {
    let program = env::var_os("ICEFIELD_BIN").map_or_else(beside_this, PathBuf::from);
    assert!(program.exists(), "{} is not there: cargo build -p icefield", program.display());
    program
}

fn beside_this() -> PathBuf {
    let this = env::current_exe().unwrap();
    let profile = this.parent().and_then(|deps| deps.parent()).unwrap();
    profile.join(format!("icefield{}", env::consts::EXE_SUFFIX))
}
