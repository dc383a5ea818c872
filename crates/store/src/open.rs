//! Opening a store's folder, and making a new one.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::{
    clock::{Clock, SystemClock},
    durable,
    error::StoreError,
    identity::{IdKeys, Identity},
    layout::{IDENTITY_FILE, KEYS_FILE, LEDGER_FILE, NEW_LEDGER_FILE, SCRATCH_FILE},
    ledger::{Ledger, SqliteLedger, remove_database},
    lock::{Holder, Lock},
    payload::{
        Payload,
        disk::{
            DiskPayload, PACK_BYTES,
            fenced::{Disk, blocking, damaged},
            volume::Folder,
        },
    },
    store::{Home, Parts, Store, hash_pool},
};

/// What is wrong with a log without records beside payload files.
pub(crate) const NO_RECORDS: &str =
    "no records, although there are payload files: put the packs back from a backup";

/// How to open a store.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// Make a new store where there is none.
    pub create: bool,
    /// Bring the ledger up to the log, cut off a torn end of it and remove files that nothing uses. Without this the store
    /// is looked at as it is, and takes no changes.
    pub repair: bool,
    /// How long to wait for another process to let the store go.
    pub lock_wait: Duration,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Name of the program, told to whoever waits for the store.
    pub program: String,
    /// Where the program can be reached, told to the same.
    pub address: Option<String>,
    /// Of a rebuild only: put a ledger in place whose documents may be older than they were, because records of the log are
    /// lost and there is no ledger that knows them.
    pub accept_older_settings: bool,
    /// A pack is sealed at the first batch beyond this length in bytes; at most 2 GiB.
    pub pack_bytes: u64,
}

impl Default for OpenOptions {
    /// An existing store, waiting 30 seconds, by the system's clock.
    fn default() -> Self {
        Self {
            create: false,
            repair: true,
            lock_wait: Duration::from_secs(30),
            clock: Arc::new(SystemClock),
            program: "icefield".to_owned(),
            address: None,
            accept_older_settings: false,
            pack_bytes: PACK_BYTES,
        }
    }
}

impl Store {
    /// Opens the store in `dir`: takes its lock, brings the ledger up to the log, removes what a crash left (unless
    /// `options` say otherwise).
    ///
    /// # Errors
    ///
    /// `NotAStore` where there is none (and none is to be made, or other files are in the way), `InUse` when another process
    /// keeps it, `NewerFormat`, `LedgerMissing`, and `Damaged` for identity, keys,
    /// the ledger of another store, packs that are missing beside payload files, or what the ledger has not seen of the log.
    pub async fn open(dir: &Path, options: OpenOptions) -> Result<Self, StoreError> {
        let mut home = enter(dir, &options).await?;
        let (disk, now) = (Arc::clone(&home.disk), options.clock.now());
        let (identity, keys) = blocking(move || identify(&disk, now)).await?;
        let hashing = hash_pool();
        let payload = DiskPayload::new(Arc::clone(&home.disk), hashing.clone(), options.pack_bytes);
        let path = dir.join(LEDGER_FILE);
        // An empty one is what a crash left that came before its tables.
        let create = path.metadata().is_ok_and(|ledger| ledger.len() == 0) || !path.exists();
        if create {
            refuse_a_new_ledger(dir, &payload).await?;
        }
        let store_id = identity.store_id.clone();
        let opened = blocking(move || SqliteLedger::open(&path, create, Some(&store_id)));
        let database = Arc::new(opened.await?);
        home.database = Some(Arc::clone(&database));
        let ledger: Arc<dyn Ledger> = database;
        let payload: Arc<dyn Payload> = Arc::new(payload);
        let (clock, repair) = (options.clock, options.repair);
        let home = Some(home);
        let parts = Parts { payload, ledger, identity, keys, hashing, clock, home };
        if repair { Self::start(parts).await } else { Self::look_at(parts).await }
    }
}

/// Checks that `dir` is, or may become, a store, and takes its lock.
pub(crate) async fn enter(dir: &Path, options: &OpenOptions) -> Result<Home, StoreError> {
    let (path, create) = (dir.to_owned(), options.create);
    blocking(move || prepare(&path, create)).await?;
    let (program, address) = (options.program.as_str(), options.address.as_deref());
    let holder = Holder { program, address, since: options.clock.now() };
    let lock = Lock::take(dir, options.lock_wait, &holder).await?;
    let path = dir.to_owned();
    blocking(move || remove_leftovers(&path)).await?;
    let disk = Arc::new(Disk::new(Arc::new(Folder::new(dir))));
    Ok(Home { disk, lock: Some(lock), database: None })
}

/// Refuses to make a ledger where there was one: with it, everything would seem to be gone.
async fn refuse_a_new_ledger(dir: &Path, payload: &DiskPayload) -> Result<(), StoreError> {
    match payload.used_bytes().await? {
        (0, 0) => Ok(()),
        (0, _) => Err(damaged("packs", NO_RECORDS)),
        _ => Err(StoreError::LedgerMissing { path: dir.to_owned() }),
    }
}

fn prepare(dir: &Path, create: bool) -> Result<(), StoreError> {
    let not_a_store =
        |what: &str| Err(StoreError::NotAStore { path: dir.to_owned(), what: what.to_owned() });
    let failed = |error| StoreError::io("opening", dir, error);
    if dir.join(IDENTITY_FILE).try_exists().map_err(failed)? {
        return Ok(());
    }
    if !create {
        return not_a_store(if dir.exists() {
            "it has no store.json"
        } else {
            "there is no such folder"
        });
    }
    match other_file(dir) {
        Ok(None) => {}
        Ok(Some(_)) => return not_a_store("there are other files in it, name an empty folder"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    durable::create_dir_all(dir).map_err(|error| StoreError::io("creating", dir, error))
}

/// Removes what interrupted publishing, rebuilds and checks left. Only the holder of the lock may.
fn remove_leftovers(dir: &Path) -> Result<(), StoreError> {
    for name in ["store.json.new", "keys.json.new", NEW_LEDGER_FILE, SCRATCH_FILE] {
        remove_database(&dir.join(name))?;
    }
    Ok(())
}

/// A file that the making of a store, interrupted, does not leave.
fn other_file(dir: &Path) -> io::Result<Option<PathBuf>> {
    let ours = ["lock", "packs", "payload", KEYS_FILE, "keys.json.new", "store.json.new"];
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if !ours.iter().any(|name| entry.file_name() == *name) {
            return Ok(Some(entry.path()));
        }
    }
    Ok(None)
}

/// Reads who the store is, or makes it up: the identity is written last, so that a store without one is not begun.
pub(crate) fn identify(
    disk: &Disk,
    now: icefield_protocol::Timestamp,
) -> Result<(Identity, IdKeys), StoreError> {
    if let Some(identity) = Identity::read(disk)? {
        let keys = IdKeys::read(disk)?.ok_or_else(|| damaged(KEYS_FILE, "missing file"))?;
        return Ok((identity, keys));
    }
    DiskPayload::create_layout(disk)?;
    let keys = IdKeys::generate(now);
    keys.write(disk)?;
    let identity = Identity::generate(now);
    identity.write(disk)?;
    Ok((identity, keys))
}
