//! A machine of its own for each test: an empty home, an empty folder to work in, and the program.

use std::{
    env,
    ffi::OsStr,
    fmt, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::process::Watched;

/// What a vault counts for each archive on top of its bytes, as Glacier does.
pub(crate) const OVERHEAD: u64 = 32 << 10;

/// Everything a run of the program can see.
#[derive(Debug)]
pub(crate) struct Sandbox {
    root: TempDir,
    store: PathBuf,
    user: Option<u32>,
}

/// How a run ended and what it wrote.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) command: String,
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

/// Returns the program under test.
#[expect(
    clippy::disallowed_methods,
    reason = "the one variable that reaches the tests from outside"
)]
pub(crate) fn binary() -> PathBuf {
    env::var_os("ICEFIELD_BIN").map_or_else(|| env!("CARGO_BIN_EXE_icefield").into(), PathBuf::from)
}

impl Sandbox {
    /// Makes an empty one.
    pub(crate) fn new() -> Self {
        let root = tempfile::Builder::new().prefix("icefield-test-").tempdir().unwrap();
        for folder in ["home", "work", "tmp"] {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        let store = root.path().join("store");
        Self { root, store, user: None }
    }

    /// Makes another one that has everything that this one has.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::new();
        let everything = self.root.path().join(".");
        let status = Command::new("cp").arg("-a").arg(everything).arg(copy.root.path()).status();
        assert!(status.unwrap().success());
        copy
    }

    /// Keeps the store in another folder.
    pub(crate) fn with_store(mut self, store: PathBuf) -> Self {
        self.store = store;
        self
    }

    /// Runs the program as this user from now on, who owns everything that is in the sandbox now.
    pub(crate) fn owned_by(mut self, user: u32) -> Self {
        give(self.root.path(), user);
        self.user = Some(user);
        self
    }

    /// Returns the path of something in the folder that runs begin in.
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root.path().join("work").join(name)
    }

    /// Returns the folder around everything.
    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    /// Returns the store's folder.
    pub(crate) fn store(&self) -> &Path {
        &self.store
    }

    /// Returns the catalog's file.
    pub(crate) fn catalog(&self) -> PathBuf {
        self.root.path().join("catalog.db")
    }

    /// Writes a file in the working folder, with the folders above it.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Reads a file of the working folder.
    pub(crate) fn read(&self, name: impl AsRef<Path>) -> Vec<u8> {
        let path = self.path(name);
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Loses the catalog.
    pub(crate) fn lose_catalog(&self) {
        remove_database(&self.catalog());
    }

    /// Loses the ledger.
    pub(crate) fn lose_ledger(&self) {
        remove_database(&self.store.join("ledger.db"));
    }

    /// Prepares any program to run in this sandbox.
    pub(crate) fn prepare(&self, program: impl AsRef<OsStr>) -> Command {
        use std::os::unix::process::CommandExt as _;
        let home = self.root.path().join("home");
        let mut command = Command::new(program);
        command.current_dir(self.root.path().join("work")).env_clear().stdin(Stdio::null());
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("LANG", "C.UTF-8");
        command.env("TMPDIR", self.root.path().join("tmp"));
        command.env("XDG_DATA_HOME", home.join(".local/share"));
        command.env("XDG_CONFIG_HOME", home.join(".config"));
        command.env("XDG_CACHE_HOME", home.join(".cache"));
        command.env("HOME", home);
        command.env("ICEFIELD_STORE", &self.store).env("ICEFIELD_CATALOG", self.catalog());
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command
    }

    /// Prepares the program.
    pub(crate) fn command<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Command {
        let mut command = self.prepare(binary());
        command.args(arguments);
        command
    }

    /// Starts the program and returns while it runs.
    pub(crate) fn start<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Watched {
        Watched::start(self.command(arguments))
    }

    /// Runs the program to its end.
    pub(crate) fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Run {
        self.start(arguments).finish()
    }

    /// Runs the program with `input` as its standard input.
    pub(crate) fn run_with_input<A: AsRef<OsStr>>(
        &self,
        input: &[u8],
        arguments: impl IntoIterator<Item = A>,
    ) -> Run {
        let file = self.root.path().join("tmp/input");
        fs::write(&file, input).unwrap();
        let mut command = self.command(arguments);
        command.stdin(fs::File::open(file).unwrap());
        Watched::start(command).finish()
    }

    /// Runs the program, which must do all it was asked for.
    #[track_caller]
    pub(crate) fn ok<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Run {
        self.run(arguments).ended(0)
    }

    /// Runs the program, which must end with this code.
    #[track_caller]
    pub(crate) fn fails<A: AsRef<OsStr>>(
        &self,
        code: i32,
        arguments: impl IntoIterator<Item = A>,
    ) -> Run {
        self.run(arguments).ended(code)
    }

    /// Runs the program with `--output json` and returns its data.
    #[track_caller]
    pub(crate) fn json<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Value {
        let mut command = self.command(arguments);
        command.args(["--output", "json"]);
        Watched::start(command).finish().ended(0).json()
    }

    /// Returns the catalog's rows for a vault.
    #[track_caller]
    pub(crate) fn list(&self, vault: &str) -> Vec<Value> {
        self.json(["list", vault]).as_array().expect("list gives an array").clone()
    }

    /// Returns the paths that the catalog has in a vault, in order.
    #[track_caller]
    pub(crate) fn listed_paths<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Vec<String> {
        paths(&self.json(arguments))
    }

    /// Returns how many archives and bytes, with [`OVERHEAD`], the vault says it has.
    #[track_caller]
    pub(crate) fn holds(&self, vault: &str) -> (u64, u64) {
        let vault = self.json(["vault", "describe", vault]);
        (vault["archives"].as_u64().unwrap(), vault["size"].as_u64().unwrap())
    }

    /// Checks every byte of the store.
    #[track_caller]
    pub(crate) fn check_store(&self) {
        let run = self.ok(["store", "check", "--output", "json"]);
        assert_eq!(run.json(), Value::Array(Vec::new()), "{run}");
    }
}

impl Run {
    /// Checks the exit code.
    #[track_caller]
    pub(crate) fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// Checks that standard error tells of something, in whatever case.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(
            self.stderr.to_lowercase().contains(&text.to_lowercase()),
            "`{text}` is not in\n{self}"
        );
        self
    }

    /// Returns standard output as text.
    #[track_caller]
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout)
            .unwrap_or_else(|error| panic!("{error} in the output of {}", self.command))
    }

    /// Returns standard output as one JSON value.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout)
            .unwrap_or_else(|error| panic!("not JSON: {error}\n{self}"))
    }

    /// Returns standard output as JSON lines.
    #[track_caller]
    pub(crate) fn json_lines(&self) -> Vec<Value> {
        let line = |line| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("not JSON: {error}: {line}"))
        };
        self.text().lines().map(line).collect()
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Longest output that a failed test shows whole.
        const SHOWN: usize = 4000;
        let stdout = String::from_utf8_lossy(&self.stdout[..self.stdout.len().min(SHOWN)]);
        writeln!(f, "$ {}\nended with {:?}", self.command, self.code)?;
        write!(f, "--- standard output\n{stdout}\n--- standard error\n{}", self.stderr)
    }
}

/// Returns the `path` of each record, in order.
#[track_caller]
pub(crate) fn paths(records: &Value) -> Vec<String> {
    let path = |record: &Value| {
        record["path"].as_str().unwrap_or_else(|| panic!("no path: {record}")).to_owned()
    };
    let mut paths: Vec<_> =
        records.as_array().expect("an array of records").iter().map(path).collect();
    paths.sort();
    paths
}

/// Returns whether the tests run as root and may therefore change users and mount volumes.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Says on standard error that a test was left out.
pub(crate) fn skip(reason: &str) {
    eprintln!("SKIPPED: {reason}");
}

fn remove_database(path: &Path) {
    fs::remove_file(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    for suffix in ["-wal", "-shm"] {
        let mut beside = path.as_os_str().to_owned();
        beside.push(suffix);
        // Most often there is none.
        fs::remove_file(beside).ok();
    }
}

fn give(path: &Path, user: u32) {
    std::os::unix::fs::lchown(path, Some(user), Some(user)).unwrap();
    if path.symlink_metadata().unwrap().is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path(), user);
        }
    }
}
