//! Programs of other people that the tests use, unmodified and in fixed versions.
//!
//! Glacier clients (boto3, AWS CLI, both SDKs for JavaScript, two releases of boto 2 on CPython
//! 2.7) and the servers and mail receivers the tests need. What each consists of is locked by hash
//! in `crates/conformance/foreign`. Each is installed once, into
//! `$XDG_CACHE_HOME/icefield-tools/NAME-LOCKS`, where LOCKS stands for the content of its lock
//! files: it is made in a folder beside that and renamed when it works, so a broken installation is
//! never found by name. Tests learn the path from an environment variable. What cannot be had, for
//! want of a network or of an interpreter, is a skipped step with its reason, and its variable is
//! not set.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{self, Command},
};

use anyhow::{Context, Result};

use crate::steps::{Steps, root};

mod install;

use install::run;

/// One of them.
#[derive(Debug)]
struct Tool {
    name: &'static str,
    /// The environment variable that tells tests where it is.
    variable: &'static str,
    /// What the variable names, below the tool's folder.
    entry: &'static str,
    /// The files that say what it consists of, below `crates/conformance/foreign`.
    locks: &'static [&'static str],
    /// Makes it in an empty folder from the folder of the locks.
    install: fn(&Path, &Path) -> Result<()>,
    /// The command that shows that it works.
    probe: fn(&Path) -> Command,
}

const TOOLS: [Tool; 4] = [
    Tool {
        name: "python",
        variable: "ICEFIELD_PYTHON",
        entry: "bin/python",
        locks: &["python/requirements.txt"],
        install: install::python,
        probe: |entry| command(entry, ["-c", "import aiosmtpd, awscli, boto3, moto.server"]),
    },
    Tool {
        name: "node-modules",
        variable: "ICEFIELD_NODE_PATH",
        entry: "node_modules",
        locks: &["node/package.json", "node/package-lock.json"],
        install: install::node,
        probe: |entry| {
            let require = "require('@aws-sdk/client-glacier'); require('aws-sdk/clients/glacier')";
            let mut node = command(Path::new("node"), ["--no-deprecation", "-e", require]);
            node.env("NODE_PATH", entry);
            node
        },
    },
    Tool {
        name: "python27",
        variable: "ICEFIELD_PYTHON27",
        entry: "python2.7",
        locks: &["python27/packages.sha256", "python27/python2.7"],
        install: install::python27,
        probe: |entry| command(entry, ["-c", "import ctypes, hashlib, ssl, xml.sax, zlib"]),
    },
    Tool {
        name: "boto2",
        variable: "ICEFIELD_BOTO2",
        entry: "",
        locks: &["boto2/2.29.1.txt", "boto2/2.49.0.txt"],
        install: install::boto2,
        // Importing it takes CPython 2.7, which is a tool of its own.
        probe: |entry| {
            let of = |release: &str| entry.join(release).join("boto/glacier/layer2.py");
            command(Path::new("ls"), [of("2.29.1"), of("2.49.0")])
        },
    },
];

/// Installs what is not there yet and returns the variables that name what is.
pub(crate) fn provide(steps: &mut Steps) -> Vec<(&'static str, PathBuf)> {
    let mut variables = Vec::new();
    for tool in &TOOLS {
        match tool.provide() {
            Ok(path) => variables.push((tool.variable, path)),
            Err(error) => steps.skip(tool.name, &format!("{error:#}")),
        }
    }
    variables
}

/// `cargo xtask tools`: installs them and prints the variables as a shell takes them.
#[expect(clippy::print_stdout, reason = "a command line program reports")]
pub(crate) fn tools() -> Result<()> {
    let mut steps = Steps::default();
    let variables = provide(&mut steps);
    steps.finish()?;
    for (name, path) in variables {
        println!("export {name}='{}'", path.display());
    }
    Ok(())
}

impl Tool {
    /// Returns where the tool is, once it is there and works.
    #[expect(clippy::print_stdout, reason = "a command line program reports")]
    fn provide(&self) -> Result<PathBuf> {
        let locks = root().join("crates/conformance/foreign");
        let tools = cache()?.join("icefield-tools");
        let folder = tools.join(format!("{}-{:016x}", self.name, self.version(&locks)?));
        let entry = folder.join(self.entry);
        if run(&mut (self.probe)(&entry)).is_ok() {
            return Ok(entry);
        }
        println!("\n==> {}: installing into {}", self.name, folder.display());
        let making = tools.join(format!(".{}-{}", self.name, process::id()));
        let made = self.make(&making, &locks).and_then(|()| replace(&making, &folder));
        if made.is_err() {
            remove(&making)?;
        }
        made?;
        run(&mut (self.probe)(&entry)).context("installed, but does not run")?;
        Ok(entry)
    }

    fn make(&self, making: &Path, locks: &Path) -> Result<()> {
        remove(making)?;
        fs::create_dir_all(making)
            .with_context(|| format!("could not make {}", making.display()))?;
        (self.install)(making, locks)?;
        run(&mut (self.probe)(&making.join(self.entry))).context("does not run here")
    }

    /// Returns the FNV-1a hash of the lock files: it tells versions apart, it protects nothing.
    fn version(&self, locks: &Path) -> Result<u64> {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for lock in self.locks {
            let path = locks.join(lock);
            let text =
                fs::read(&path).with_context(|| format!("could not read {}", path.display()))?;
            for byte in text {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
        Ok(hash)
    }
}

/// Puts `making` where `folder` is expected, in place of what did not work there.
#[expect(clippy::disallowed_methods, reason = "a cache: what a crash loses is installed again")]
fn replace(making: &Path, folder: &Path) -> Result<()> {
    remove(folder)?;
    fs::rename(making, folder).with_context(|| format!("could not make {}", folder.display()))
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("could not remove {}", folder.display()))?;
    }
    Ok(())
}

/// Returns the user's folder for what can be made again.
#[expect(clippy::disallowed_methods, reason = "where caches are is the environment's to say")]
fn cache() -> Result<PathBuf> {
    env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| Some(env::home_dir()?.join(".cache")))
        .context("neither XDG_CACHE_HOME nor HOME is set")
}

fn command<A: AsRef<std::ffi::OsStr>, const N: usize>(
    program: &Path,
    arguments: [A; N],
) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}
