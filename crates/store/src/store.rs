//! The store: payload, log and ledger as one thing.

use std::{
    fmt,
    num::NonZeroUsize,
    path::PathBuf,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread::available_parallelism,
};

use bytes::Bytes;
use icefield_protocol::Region;
use icefield_treehash::HashPool;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use crate::{
    clock::Clock,
    committer::Committer,
    entry::{Entry, Outcome, PayloadId},
    error::StoreError,
    identity::{IdKeys, Identity},
    ledger::{Ledger, LedgerStat, MemoryLedger, SqliteLedger},
    lock::Lock,
    payload::{
        Payload, RecordPlace,
        disk::fenced::{Disk, blocking},
        memory::MemoryPayload,
    },
    random::random,
    recovery::catch_up,
    reservation::Reservations,
};

/// Payload ids that are staged ahead in one transaction.
const RESERVE_AHEAD: usize = 64;
/// Payload files that a sweep removes at a time.
const SWEEP_PAGE: usize = 1024;

/// An open store; clones are the same store.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    parts: Parts,
    /// The identity with its region, if that was set since the store was opened.
    served: OnceLock<Identity>,
    /// Held while that is written.
    serving: AsyncMutex<()>,
    writable: bool,
    committer: Committer,
    reservations: Arc<Reservations>,
    /// Staged, not handed out yet.
    ahead: AsyncMutex<Vec<PayloadId>>,
    last_number: AtomicU64,
    /// Held by who rewrites a pack.
    compacting: Arc<AsyncMutex<()>>,
    /// How many wait for that to whom it is to be left.
    compaction_awaited: AtomicUsize,
    closed: AtomicBool,
    lock: Mutex<Option<Arc<Lock>>>,
}

/// What a store is put together from.
pub(crate) struct Parts {
    pub(crate) payload: Arc<dyn Payload>,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) identity: Identity,
    pub(crate) keys: IdKeys,
    pub(crate) hashing: HashPool,
    pub(crate) clock: Arc<dyn Clock>,
    /// The folder; none in memory.
    pub(crate) home: Option<Home>,
}

/// The folder of a store on a disk.
pub(crate) struct Home {
    pub(crate) disk: Arc<Disk>,
    pub(crate) lock: Option<Lock>,
    /// The ledger once more, for what only a database can be asked.
    pub(crate) database: Option<Arc<SqliteLedger>>,
}

/// Nobody else rewrites a pack, and no other process owns the folder, until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    _lock: Option<Arc<Lock>>,
    _one_at_a_time: OwnedMutexGuard<()>,
}

/// Counts one who waits.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Counts and sizes for `store stat`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreStat {
    /// Who the store is.
    pub identity: Identity,
    /// What the ledger counts.
    pub ledger: LedgerStat,
    /// Bytes of the log.
    pub pack_bytes: u64,
    /// Bytes of payload files and their hashes.
    pub file_bytes: u64,
}

impl Store {
    /// Makes a new store that lives as long as the process.
    ///
    /// # Errors
    ///
    /// None of its own; those of opening, which in memory do not occur.
    pub async fn in_memory(clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let now = clock.now();
        Self::start(Parts {
            payload: Arc::new(MemoryPayload::new()),
            ledger: Arc::new(MemoryLedger::new()),
            identity: Identity::generate(now),
            keys: IdKeys::generate(now),
            hashing: hash_pool(),
            clock,
            home: None,
        })
        .await
    }

    /// Brings the ledger up to the log, sweeps, and begins to take commits.
    pub(crate) async fn start(parts: Parts) -> Result<Self, StoreError> {
        catch_up(&*parts.payload, &*parts.ledger, true).await?;
        let store = Self::over(parts, true).await?;
        store.sweep().await?;
        Ok(store)
    }

    /// Takes the store as it is: nothing of it is changed, and changes are refused with `Closed`.
    pub(crate) async fn look_at(parts: Parts) -> Result<Self, StoreError> {
        let store = Self::over(parts, false).await?;
        store.inner.committer.close().await;
        Ok(store)
    }

    async fn over(mut parts: Parts, writable: bool) -> Result<Self, StoreError> {
        let last_number = parts.ledger.highest_number().await?;
        let lock = parts.home.as_mut().and_then(|home| home.lock.take()).map(Arc::new);
        let reservations = Arc::new(Reservations::default());
        let committer = Committer::start(
            Arc::clone(&parts.payload),
            Arc::clone(&parts.ledger),
            Arc::clone(&reservations),
            lock.clone(),
        );
        Ok(Self {
            inner: Arc::new(Inner {
                parts,
                served: OnceLock::new(),
                serving: AsyncMutex::new(()),
                writable,
                committer,
                reservations,
                ahead: AsyncMutex::new(Vec::new()),
                last_number: AtomicU64::new(last_number),
                compacting: Arc::default(),
                compaction_awaited: AtomicUsize::new(0),
                closed: AtomicBool::new(false),
                lock: Mutex::new(lock),
            }),
        })
    }

    /// Finishes what was handed in, takes nothing more, and lets the folder go. Other clones answer `Closed` to commits.
    pub async fn close(self) {
        self.inner.closed.store(true, Ordering::SeqCst);
        self.inner.committer.close().await;
        let unused = std::mem::take(&mut *self.inner.ahead.lock().await);
        if !unused.is_empty()
            && let Err(error) = self.ledger().unstage(unused).await
        {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "reserved names are left to the next sweep");
        }
        if let Some(database) = self.database()
            && let Err(error) = database.close().await
        {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "the ledger's last commits stay in its write-ahead log");
        }
        drop(self.inner.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// The bytes.
    pub fn payload(&self) -> &Arc<dyn Payload> {
        &self.inner.parts.payload
    }

    /// The facts. Changes of vaults and archives go through [`Self::commit`].
    pub fn ledger(&self) -> &Arc<dyn Ledger> {
        &self.inner.parts.ledger
    }

    /// Who the store is.
    pub fn identity(&self) -> &Identity {
        self.inner.served.get().unwrap_or(&self.inner.parts.identity)
    }

    /// Makes this the region that the store answers for, unless it has one already. Durable on return.
    ///
    /// # Errors
    ///
    /// `RegionDiffers` when it answers for another one.
    pub async fn set_region(&self, asked: Region) -> Result<(), StoreError> {
        if !self.is_writable() {
            return Err(StoreError::Closed);
        }
        let _one_at_a_time = self.inner.serving.lock().await;
        if let Some(stored) = self.identity().region.clone() {
            return if stored == asked {
                Ok(())
            } else {
                Err(StoreError::RegionDiffers { stored, asked })
            };
        }
        let served = Identity { region: Some(asked), ..self.identity().clone() };
        if let Some(disk) = self.disk().cloned() {
            let served = served.clone();
            blocking(move || served.write(&disk)).await?;
        }
        self.inner.served.get_or_init(|| served);
        Ok(())
    }

    /// The keys that seal IDs.
    pub fn id_keys(&self) -> &IdKeys {
        &self.inner.parts.keys
    }

    /// The threads that hash.
    pub fn hashing(&self) -> &HashPool {
        &self.inner.parts.hashing
    }

    /// The time.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.parts.clock
    }

    /// The store's folder; `None` in memory.
    pub fn dir(&self) -> Option<PathBuf> {
        self.disk().map(|disk| disk.volume().root().to_owned())
    }

    /// Whether a sync has failed: then nothing more is stored by this process.
    pub fn is_fenced(&self) -> bool {
        self.disk().is_some_and(|disk| disk.writable().is_err())
    }

    pub(crate) fn disk(&self) -> Option<&Arc<Disk>> {
        self.inner.parts.home.as_ref().map(|home| &home.disk)
    }

    /// Waits until nobody rewrites a pack, and returns what has to be kept as long as one is written: others wait for it, and
    /// the folder is this process's. Who gives way waits without being in anybody's way.
    pub(crate) async fn hold_for_compaction(&self, gives_way: bool) -> Result<Held, StoreError> {
        let waiting = (!gives_way).then(|| Waiting::new(&self.inner.compaction_awaited));
        let one_at_a_time = Arc::clone(&self.inner.compacting).lock_owned().await;
        drop(waiting);
        let lock = self.inner.lock.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let is_open = self.is_writable() && !self.inner.closed.load(Ordering::SeqCst);
        if is_open {
            Ok(Held { _lock: lock, _one_at_a_time: one_at_a_time })
        } else {
            Err(StoreError::Closed)
        }
    }

    /// Whether somebody waits to whom who gives way is to leave the rewriting of packs.
    pub(crate) fn is_compaction_awaited(&self) -> bool {
        self.inner.compaction_awaited.load(Ordering::SeqCst) > 0
    }

    fn database(&self) -> Option<&SqliteLedger> {
        self.inner.parts.home.as_ref().and_then(|home| home.database.as_deref())
    }

    /// False for a store that is only looked at.
    pub(crate) fn is_writable(&self) -> bool {
        self.inner.writable
    }

    pub(crate) fn has_database(&self) -> bool {
        self.database().is_some()
    }

    /// What a database says that is wrong with itself.
    pub(crate) async fn check_ledger(&self) -> Result<Vec<String>, StoreError> {
        match self.database() {
            Some(database) => database.integrity_check().await,
            None => Ok(Vec::new()),
        }
    }

    /// Returns a number that no vault, archive, upload, job, message or version of a document of this store has, greater than
    /// all before it.
    pub fn next_number(&self) -> u64 {
        let millis = u64::try_from(self.clock().now().unix_millis()).unwrap_or(0);
        let micros = millis.saturating_mul(1000);
        let next = |last: u64| (last + 1).max(micros);
        match self
            .inner
            .last_number
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |last| Some(next(last)))
        {
            Ok(last) | Err(last) => next(last),
        }
    }

    /// Returns an id for a new payload file. Until it is committed or given back to [`Self::release`], no sweep removes its
    /// file; after a crash the sweep at the next opening does, unless something came to own it.
    pub async fn reserve(&self) -> Result<PayloadId, StoreError> {
        if !self.is_writable() {
            return Err(StoreError::Closed);
        }
        let mut ahead = self.inner.ahead.lock().await;
        if let Some(id) = ahead.pop() {
            return Ok(id);
        }
        let ids: Vec<PayloadId> =
            (0..RESERVE_AHEAD).map(|_| PayloadId::from_bytes(random())).collect();
        self.inner.reservations.reserve(&ids);
        let staged = self.ledger().stage(ids.clone()).await;
        if let Err(error) = staged {
            self.inner.reservations.release(&ids);
            return Err(error);
        }
        *ahead = ids;
        ahead.pop().ok_or(StoreError::Closed)
    }

    /// Says that the caller is done with these ids, whether the ledger took them over (as parts or outputs) or not. Files that
    /// nothing owns are removed. [`Self::commit`] does this for the extents of an archive by itself.
    pub async fn release(&self, ids: Vec<PayloadId>) -> Result<(), StoreError> {
        self.inner.reservations.release(&ids);
        self.discard(ids).await
    }

    /// Commits an entry: durable in the log, applied to the ledger, then answered. `body` holds the bytes of an archive whose
    /// content is in its record, and is empty otherwise. Dropping the future does not stop a commit that has begun.
    ///
    /// # Errors
    ///
    /// After an error the entry may still come to be, but only whole; after `Full` more may be tried later, after `Fenced`
    /// nothing more is stored by this process. After `UnfitDocument` nothing was tried.
    pub async fn commit(
        &self,
        entry: Entry,
        body: Bytes,
    ) -> Result<(Outcome, RecordPlace), StoreError> {
        if let Entry::Document(document) = &entry {
            document.check()?;
        }
        self.inner.committer.commit(entry, body).await
    }

    /// Removes the payload files that nothing owns and nobody is using.
    pub async fn sweep(&self) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let ids = self.ledger().staged(after, SWEEP_PAGE).await?;
            let Some(last) = ids.last() else { return Ok(()) };
            after = Some(*last);
            self.discard(ids).await?;
        }
    }

    /// Removes those of the files that are garbage.
    ///
    /// First who uses them, then what the ledger says of the rest: an id that nobody uses can only come into use by a commit
    /// that has taken it out of staging by now, and never again once it is unused and still staged. In the other order, a
    /// commit in between makes a file look unused that was staged a moment ago and is an archive's now.
    async fn discard(&self, ids: Vec<PayloadId>) -> Result<(), StoreError> {
        if !self.is_writable() {
            return Err(StoreError::Closed);
        }
        let unused = self.inner.reservations.unused(ids);
        if unused.is_empty() {
            return Ok(());
        }
        let garbage = self.ledger().garbage(unused).await?;
        if garbage.is_empty() {
            return Ok(());
        }
        self.payload().remove(&garbage).await?;
        self.ledger().unstage(garbage).await
    }

    /// Counts and sizes.
    pub async fn stat(&self) -> Result<StoreStat, StoreError> {
        let (pack_bytes, file_bytes) = self.payload().used_bytes().await?;
        let ledger = self.ledger().stat().await?;
        Ok(StoreStat { identity: self.identity().clone(), ledger, pack_bytes, file_bytes })
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("store_id", &self.identity().store_id)
            .field("dir", &self.dir())
            .finish_non_exhaustive()
    }
}

/// Whether an id waits for a sweep, or for its use.
pub(crate) async fn is_staged(ledger: &dyn Ledger, id: PayloadId) -> Result<bool, StoreError> {
    let before = u128::from_be_bytes(*id.as_bytes()).checked_sub(1);
    let before = before.map(|before| PayloadId::from_bytes(before.to_be_bytes()));
    Ok(ledger.staged(before, 1).await?.first() == Some(&id))
}

/// As many hashing threads as there are cores.
pub(crate) fn hash_pool() -> HashPool {
    HashPool::new(available_parallelism().unwrap_or(NonZeroUsize::MIN))
}
