//! Runs: one process's work, alive for as long as it holds its lock file.

use std::{
    collections::HashMap,
    fs::{self, File, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use super::{Catalog, CatalogError};

/// One run of a command that holds claims. Dropping it, or dying, leaves its claims to be adopted.
#[derive(Debug)]
pub struct Run {
    name: String,
    path: PathBuf,
    /// Holds the lock.
    _lock: File,
}

impl Catalog {
    /// Begins a run; `what` is kept in its lock file for people.
    ///
    /// # Errors
    ///
    /// When the lock file beside the catalog cannot be made.
    pub fn begin_run(&self, what: &str) -> Result<Run, CatalogError> {
        let name = format!("{:032x}", u128::from_be_bytes(random()?));
        let path = self.runs().join(&name);
        let lock = File::create_new(&path).and_then(|mut file| {
            file.lock()?;
            writeln!(file, "{what}")?;
            Ok(file)
        });
        let lock = lock.map_err(|source| CatalogError::Io { path: path.clone(), source })?;
        Ok(Run { name, path, _lock: lock })
    }
}

impl Run {
    /// Returns what the journal knows the run by.
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // A file that stays is found unlocked and removed by whoever meets a claim of this run.
        drop(fs::remove_file(&self.path));
    }
}

/// Which runs are alive, looked up once per run.
#[derive(Debug)]
pub(super) struct Living {
    runs: PathBuf,
    known: HashMap<String, bool>,
}

impl Living {
    pub(super) fn new(catalog: &Catalog) -> Self {
        Self { runs: catalog.runs(), known: HashMap::new() }
    }

    /// Whether the run that holds something is alive; none is not.
    pub(super) fn holds(&mut self, run: Option<&str>) -> Result<bool, CatalogError> {
        let Some(run) = run else { return Ok(false) };
        if let Some(alive) = self.known.get(run) {
            return Ok(*alive);
        }
        if run.len() != 32 || !run.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(CatalogError::damaged(format!("{run:?} is no run")));
        }
        let path = self.runs.join(run);
        let alive =
            is_locked(&path).map_err(|source| CatalogError::Io { path: path.clone(), source })?;
        if !alive {
            drop(fs::remove_file(&path));
        }
        self.known.insert(run.to_owned(), alive);
        Ok(alive)
    }
}

fn is_locked(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match file.try_lock() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Returns random bytes.
pub(super) fn random() -> Result<[u8; 16], CatalogError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| CatalogError::Random)?;
    Ok(bytes)
}
