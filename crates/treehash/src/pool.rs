//! The hashing service: many streams, few threads, one byte budget.
//!
//! A [`HashStream`] cuts what is submitted into leaves (slices of the caller's buffer where it can) and queues each
//! one as soon as the budget has room for it. Workers take leaves of any stream, several at once, for the kernel; the
//! linear hash of a stream is a queue of its own that one worker at a time advances, in order.
//!
//! # Why it cannot deadlock
//!
//! A share of the budget is only ever held by a *queued leaf*, and a queued leaf needs nothing but a worker to be
//! finished: workers never wait for the budget, for a stream, or for each other's leaves. What a stream keeps back (an
//! incomplete leaf, or its first leaf until it is known whether more follows) holds no share; that floor of at most
//! one leaf per stream is memory outside the budget. Waiting streams are served first come, first served.

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use aws_lc_rs::digest::{Context, SHA256};
use bytes::{Buf as _, Bytes, BytesMut};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::hash::{LinearHash, TreeHash};
use crate::hasher::{Hashed, Roles, ended};
use crate::leaf::{LEAF_SIZE, leaves};

/// Bytes of all streams that may be queued or being hashed at any time.
const BUDGET_BYTES: usize = 64 << 20;

/// Leaves handed to the kernel in one call at most.
const BATCH_LEAVES: usize = 16;

/// A stream that ends at or below this length is hashed by its caller: handing it over would cost more.
const INLINE_MAX_BYTES: usize = 64 << 10;

/// A shared service that hashes streams on its own threads, within a byte budget.
///
/// Clones share threads and budget. The threads end when the last clone and the last stream are dropped; that drop
/// waits for them, at most for the leaves they have in hand.
#[derive(Clone)]
pub struct HashPool {
    inner: Arc<Inner>,
}

impl HashPool {
    /// Starts `workers` threads.
    ///
    /// # Panics
    ///
    /// When the operating system refuses a thread, as [`std::thread::spawn`] does.
    #[must_use]
    pub fn new(workers: NonZeroUsize) -> Self {
        let queue = Arc::new(Queue {
            workers: workers.get(),
            work: Mutex::new(Work::default()),
            available: Condvar::new(),
        });
        let threads = (0..workers.get())
            .map(|number| {
                let queue = Arc::clone(&queue);
                Builder::new()
                    .name(format!("hash-{number}"))
                    .spawn(move || queue.serve())
                    .expect("a hashing thread starts")
            })
            .collect();
        let budget = Arc::new(Semaphore::new(BUDGET_BYTES));
        Self { inner: Arc::new(Inner { queue, budget, threads }) }
    }

    /// Begins an empty stream.
    #[must_use]
    pub fn start(&self, roles: Roles) -> HashStream {
        HashStream {
            pool: self.clone(),
            roles,
            size: 0,
            queued: 0,
            whole: VecDeque::new(),
            tail: Tail::default(),
            progress: Arc::new(Progress::default()),
        }
    }

    /// Returns the hash of one leaf of at most [`LEAF_SIZE`] bytes, for the verification of what was read.
    pub async fn leaf(&self, bytes: Bytes) -> TreeHash {
        let mut stream = self.start(Roles { linear: false });
        stream.submit(bytes).await;
        stream.finish().await.tree
    }
}

impl fmt::Debug for HashPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HashPool")
            .field("workers", &self.inner.queue.workers)
            .field("free_bytes", &self.inner.budget.available_permits())
            .finish_non_exhaustive()
    }
}

struct Inner {
    queue: Arc<Queue>,
    budget: Arc<Semaphore>,
    threads: Vec<JoinHandle<()>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Streams hold the pool, so whatever is still queued belongs to streams that nobody waits for.
        lock(&self.queue.work).stopping = true;
        self.queue.available.notify_all();
        for thread in self.threads.drain(..) {
            // A worker that panicked has already said so; there is nobody left to tell.
            drop(thread.join());
        }
    }
}

/// One stream of a [`HashPool`].
///
/// Dropping it unfinished cancels what is queued; its share of the budget is freed without being hashed.
pub struct HashStream {
    pool: HashPool,
    roles: Roles,
    size: u64,
    /// Leaves handed to the workers.
    queued: usize,
    /// Whole leaves that wait for the budget.
    whole: VecDeque<Bytes>,
    /// The leaf that is not yet complete.
    tail: Tail,
    progress: Arc<Progress>,
}

impl HashStream {
    /// Adds the next bytes; returns once the budget has accepted every leaf that is now complete.
    ///
    /// Buffers of any length may be mixed. A leaf that lies in one buffer is hashed where it lies; one that spans
    /// buffers is copied together first.
    ///
    /// Cancel safe: when the future is dropped the bytes are kept, and the next call queues them.
    pub async fn submit(&mut self, bytes: Bytes) {
        self.size += bytes.len() as u64;
        self.whole.extend(self.tail.cut(bytes));
        while self.may_queue() {
            self.queue_next(self.roles.linear).await;
        }
    }

    /// Ends the stream and returns its hashes.
    pub async fn finish(mut self) -> Hashed {
        let tail = mem::take(&mut self.tail).into_bytes();
        if self.queued == 0 && self.whole.is_empty() && tail.len() <= INLINE_MAX_BYTES {
            let leaf = TreeHash::of_leaf(&tail);
            return self.hashed(vec![leaf], None);
        }
        if !tail.is_empty() {
            self.whole.push_back(tail);
        }
        // A stream of one leaf has one digest for both roles.
        let linear = self.roles.linear && self.queued + self.whole.len() > 1;
        while !self.whole.is_empty() {
            self.queue_next(linear).await;
        }
        let (leaves, chain) = self.progress.ended(self.queued).await;
        self.hashed(leaves, chain.filter(|_| linear))
    }

    fn hashed(&self, leaves: Vec<TreeHash>, chain: Option<Context>) -> Hashed {
        let linear = self.roles.linear.then(|| match chain {
            Some(context) => LinearHash::from_bytes(ended(context)),
            None => LinearHash::of_single_leaf(leaves[0]),
        });
        Hashed::new(self.size, leaves, linear)
    }

    /// The first leaf waits until more follows, because one leaf alone needs no linear chain.
    fn may_queue(&self) -> bool {
        let only_leaf = self.queued == 0 && self.whole.len() == 1 && self.tail.is_empty();
        let kept_back = self.roles.linear && only_leaf;
        !self.whole.is_empty() && !kept_back
    }

    async fn queue_next(&mut self, linear: bool) {
        let Some(leaf) = self.whole.front() else { return };
        let length = u32::try_from(leaf.len()).expect("a leaf is 1 MiB at most");
        let permit = Arc::clone(&self.pool.inner.budget)
            .acquire_many_owned(length)
            .await
            .expect("the budget is never closed");
        // From here on nothing waits, so a dropped future leaves the leaf either here or queued.
        let Some(bytes) = self.whole.pop_front() else { return };
        let leaf = Arc::new(Leaf { bytes, _permit: permit });
        let index = self.queued;
        self.queued += 1;
        let chain = linear.then(|| Arc::clone(&leaf));
        let chain_due = lock(&self.progress.state).expect_leaf(chain);
        self.pool
            .inner
            .queue
            .push(LeafJob { index, leaf, progress: Arc::clone(&self.progress) }, chain_due);
    }
}

impl Drop for HashStream {
    fn drop(&mut self) {
        self.progress.cancelled.store(true, Ordering::Relaxed);
    }
}

impl fmt::Debug for HashStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HashStream")
            .field("roles", &self.roles)
            .field("size", &self.size)
            .field("queued", &self.queued)
            .finish_non_exhaustive()
    }
}

/// The bytes of an incomplete leaf: one buffer as it came, or several copied together.
#[derive(Default)]
enum Tail {
    #[default]
    Empty,
    AsCame(Bytes),
    Copied(BytesMut),
}

impl Tail {
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn len(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::AsCame(bytes) => bytes.len(),
            Self::Copied(bytes) => bytes.len(),
        }
    }

    /// Takes `bytes` up and returns the leaves that are now complete.
    fn cut(&mut self, mut bytes: Bytes) -> Vec<Bytes> {
        let mut whole = Vec::new();
        while self.len() + bytes.len() >= LEAF_SIZE {
            self.append(bytes.split_to(LEAF_SIZE - self.len()));
            whole.push(mem::take(self).into_bytes());
        }
        self.append(bytes);
        whole
    }

    fn append(&mut self, bytes: Bytes) {
        if !bytes.has_remaining() {
            return;
        }
        *self = match mem::take(self) {
            Self::Empty => Self::AsCame(bytes),
            Self::AsCame(first) => {
                let mut copied = BytesMut::with_capacity(first.len() + bytes.len());
                copied.extend_from_slice(&first);
                copied.extend_from_slice(&bytes);
                Self::Copied(copied)
            }
            Self::Copied(mut copied) => {
                copied.extend_from_slice(&bytes);
                Self::Copied(copied)
            }
        };
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Self::Empty => Bytes::new(),
            Self::AsCame(bytes) => bytes,
            Self::Copied(bytes) => bytes.freeze(),
        }
    }
}

/// The bytes of a queued leaf with their share of the budget, which is free again when both roles are done.
struct Leaf {
    bytes: Bytes,
    _permit: OwnedSemaphorePermit,
}

struct LeafJob {
    index: usize,
    leaf: Arc<Leaf>,
    progress: Arc<Progress>,
}

/// What the workers have done for one stream.
#[derive(Default)]
struct Progress {
    state: Mutex<State>,
    /// Told whenever nothing is pending.
    idle: Notify,
    cancelled: AtomicBool,
}

struct State {
    leaves: Vec<TreeHash>,
    /// Leaf hashes and links of the linear chain still to be done.
    pending: usize,
    /// `None` while a worker has it.
    chain: Option<Context>,
    /// Leaves that the linear chain still has to take up, in order.
    links: VecDeque<Arc<Leaf>>,
    /// Whether the chain is queued or in a worker's hand.
    chain_scheduled: bool,
}

impl Default for State {
    fn default() -> Self {
        Self {
            leaves: Vec::new(),
            pending: 0,
            chain: Some(Context::new(&SHA256)),
            links: VecDeque::new(),
            chain_scheduled: false,
        }
    }
}

impl State {
    /// Makes room for the next leaf, and for its link; returns whether the chain has to be queued.
    fn expect_leaf(&mut self, link: Option<Arc<Leaf>>) -> bool {
        self.leaves.push(TreeHash::from_bytes([0; 32]));
        self.pending += 1;
        let Some(link) = link else { return false };
        self.pending += 1;
        self.links.push_back(link);
        !mem::replace(&mut self.chain_scheduled, true)
    }
}

impl Progress {
    /// Waits until `queued` leaves are done and returns them with the linear chain.
    async fn ended(&self, queued: usize) -> (Vec<TreeHash>, Option<Context>) {
        loop {
            // Created before the check, so a notification in between is not lost.
            let idle = self.idle.notified();
            {
                let mut state = lock(&self.state);
                if state.pending == 0 {
                    debug_assert_eq!(state.leaves.len(), queued, "every queued leaf has its place");
                    return (mem::take(&mut state.leaves), state.chain.take());
                }
            }
            idle.await;
        }
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    fn leaf_done(&self, index: usize, hash: TreeHash) {
        let mut state = lock(&self.state);
        state.leaves[index] = hash;
        self.one_done(&mut state);
    }

    /// Takes up one link of the chain; returns whether more wait.
    fn advance_chain(&self) -> bool {
        let (mut chain, link) = {
            let mut state = lock(&self.state);
            let (Some(link), Some(chain)) = (state.links.pop_front(), state.chain.take()) else {
                state.chain_scheduled = false;
                return false;
            };
            (chain, link)
        };
        if !self.is_cancelled() {
            chain.update(&link.bytes);
        }
        drop(link);
        let mut state = lock(&self.state);
        state.chain = Some(chain);
        state.chain_scheduled = !state.links.is_empty();
        self.one_done(&mut state);
        state.chain_scheduled
    }

    fn one_done(&self, state: &mut State) {
        state.pending -= 1;
        if state.pending == 0 {
            self.idle.notify_one();
        }
    }
}

/// What the workers share.
struct Queue {
    workers: usize,
    work: Mutex<Work>,
    available: Condvar,
}

#[derive(Default)]
struct Work {
    leaves: VecDeque<LeafJob>,
    /// Streams whose linear chain has links; each at most once.
    chains: VecDeque<Arc<Progress>>,
    stopping: bool,
}

enum Turn {
    Chain(Arc<Progress>),
    Leaves(Vec<LeafJob>),
}

impl Queue {
    fn push(&self, job: LeafJob, chain_due: bool) {
        let chain = chain_due.then(|| Arc::clone(&job.progress));
        let mut work = lock(&self.work);
        work.chains.extend(chain);
        work.leaves.push_back(job);
        drop(work);
        self.available.notify_one();
        if chain_due {
            self.available.notify_one();
        }
    }

    /// Works until the pool is dropped.
    fn serve(&self) {
        while let Some(turn) = self.next() {
            match turn {
                Turn::Chain(progress) => {
                    if progress.advance_chain() {
                        lock(&self.work).chains.push_back(progress);
                        // This worker may take another chain first, so a sleeping one is offered this one.
                        self.available.notify_one();
                    }
                }
                Turn::Leaves(jobs) => hash_leaves(jobs),
            }
        }
    }

    /// Chains go first, as they are serial and everything else can overtake them. They cannot starve the leaves: a
    /// chain has no more links than the budget has queued leaves, and those are freed only when both are done.
    fn next(&self) -> Option<Turn> {
        let mut work = lock(&self.work);
        loop {
            if work.stopping {
                return None;
            }
            if let Some(progress) = work.chains.pop_front() {
                return Some(Turn::Chain(progress));
            }
            if !work.leaves.is_empty() {
                // A fair share, so that a short queue is still hashed by all workers at once.
                let share = work.leaves.len().div_ceil(self.workers).min(BATCH_LEAVES);
                return Some(Turn::Leaves(work.leaves.drain(..share).collect()));
            }
            work = self.available.wait(work).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn hash_leaves(mut jobs: Vec<LeafJob>) {
    jobs.retain(|job| !job.progress.is_cancelled());
    let batch: Vec<&[u8]> = jobs.iter().map(|job| job.leaf.bytes.as_ref()).collect();
    let mut hashes = vec![TreeHash::from_bytes([0; 32]); batch.len()];
    leaves(&batch, &mut hashes);
    for (LeafJob { index, leaf, progress }, hash) in jobs.into_iter().zip(hashes) {
        drop(leaf);
        progress.leaf_done(index, hash);
    }
}

/// No invariant can be broken by a panic under these locks: every critical section is a few assignments.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
