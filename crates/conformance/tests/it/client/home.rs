//! What a user has: a home with a configuration and a catalog, an empty folder to work in, a key, and the program.

use std::{
    ffi::OsStr,
    fmt, fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::timeout,
};

use crate::process::program;

/// No run takes longer, unless something waits for what never comes.
const LONGEST_RUN: Duration = Duration::from_mins(10);

/// A user's account on a machine.
#[derive(Debug)]
pub(super) struct Home {
    root: TempDir,
    environment: Vec<(String, String)>,
}

/// How a run ended and what it wrote.
#[derive(Debug)]
pub(super) struct Run {
    command: String,
    pub(super) code: Option<i32>,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: String,
}

/// A run that has not ended.
#[derive(Debug)]
pub(super) struct Running {
    command: String,
    child: Child,
}

impl Home {
    /// Makes an empty one.
    pub(super) fn new() -> Self {
        let root = TempDir::with_prefix("icefield-test-").unwrap();
        let home = root.path().join("home");
        let folder = |name: &str| home.join(name).display().to_string();
        let environment = [
            ("PATH", "/usr/local/bin:/usr/bin:/bin".to_owned()),
            ("LANG", "C.UTF-8".to_owned()),
            // Credentials come from the environment; nothing else is asked for any.
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            ("XDG_DATA_HOME", folder(".local/share")),
            ("XDG_CONFIG_HOME", folder(".config")),
            ("XDG_CACHE_HOME", folder(".cache")),
            ("HOME", home.display().to_string()),
            ("TMPDIR", root.path().join("tmp").display().to_string()),
        ];
        for name in ["home", "work", "tmp"] {
            fs::create_dir(root.path().join(name)).unwrap();
        }
        let environment =
            environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Self { root, environment }
    }

    /// Sets a variable of the environment of every later run.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.unset(name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Takes a variable from the environment of every later run.
    pub(super) fn unset(&mut self, name: &str) {
        self.environment.retain(|(known, _)| known != name);
    }

    /// Makes a service known as a target of this name.
    pub(super) async fn add_target(&self, name: &str, endpoint: &str, region: &str) {
        let place = ["--type", "vault-api", "--endpoint-url", endpoint, "--region", region];
        self.ok(&[&["target", "add", name][..], &place].concat()).await;
    }

    /// Returns the path of something in the folder that runs begin in.
    pub(super) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root.path().join("work").join(name)
    }

    /// Writes a file in that folder, with the folders above it.
    pub(super) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Starts the program.
    pub(super) fn start(&self, arguments: &[impl AsRef<OsStr>]) -> Running {
        let mut command = Command::new(program());
        command
            .args(arguments)
            .current_dir(self.root.path().join("work"))
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let words = arguments.iter().map(|word| word.as_ref().to_string_lossy());
        let command_line = words.fold("icefield".to_owned(), |line, word| line + " " + &word);
        Running { command: command_line, child: command.spawn().unwrap() }
    }

    /// Runs the program to its end.
    pub(super) async fn run(&self, arguments: &[impl AsRef<OsStr> + Sync]) -> Run {
        self.start(arguments).finish().await
    }

    /// Runs the program, which must do all it was asked for.
    pub(super) async fn ok(&self, arguments: &[impl AsRef<OsStr> + Sync]) -> Run {
        self.run(arguments).await.ended(0)
    }

    /// Runs the program with `--output json` and returns its data.
    pub(super) async fn json(&self, arguments: &[&str]) -> Value {
        let run = self.ok(&[arguments, &["--output", "json"]].concat()).await;
        serde_json::from_slice(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run}"))
    }
}

impl Running {
    /// Waits for its end.
    pub(super) async fn finish(self) -> Run {
        let ended = timeout(LONGEST_RUN, self.child.wait_with_output()).await;
        let Ok(output) = ended else { panic!("{} does not end", self.command) };
        let output = output.unwrap();
        Run {
            command: self.command,
            code: output.status.code(),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Waits until `moment` comes, and kills it then as `kill -9` does. Returns false when it ends before.
    pub(super) async fn kill_at(mut self, moment: impl Future<Output = ()>) -> bool {
        // Little is written, far less than a pipe holds, so nobody has to read it.
        let waiting = async {
            tokio::select! {
                biased;
                () = moment => true,
                _ended = self.child.wait() => false,
            }
        };
        let Ok(came) = timeout(LONGEST_RUN, waiting).await else {
            panic!("{} neither ends nor comes to the moment it is to be killed at", self.command)
        };
        self.child.kill().await.unwrap();
        came
    }
}

impl Run {
    /// Checks the exit code.
    #[track_caller]
    pub(super) fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// Checks that it tells the user each of these, whatever else it says.
    #[track_caller]
    pub(super) fn says(self, words: &[&str]) -> Self {
        let said = self.stderr.to_lowercase();
        for word in words {
            assert!(said.contains(&word.to_lowercase()), "{word:?} is not said: {self}");
        }
        self
    }

    /// Checks that there is a hint with each of these.
    #[track_caller]
    pub(super) fn hints(self, words: &[&str]) -> Self {
        let hints: String = self.stderr.lines().filter(|line| line.starts_with("hint: ")).collect();
        for word in words {
            assert!(hints.contains(word), "no hint says {word:?}: {self}");
        }
        self
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ended with {:?}", self.command, self.code)?;
        write!(f, "{}{}", String::from_utf8_lossy(&self.stdout), self.stderr)
    }
}
