//! The workers' side: what is queued, who takes it, and how a stream learns that it is done.

use std::collections::VecDeque;
use std::mem;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use tokio::sync::{Notify, OwnedSemaphorePermit};

use crate::hash::TreeHash;
use crate::leaf::leaves;

/// Leaves handed to the kernel in one call at most.
const BATCH_LEAVES: usize = 16;

/// The bytes of a queued leaf with their share of the budget, which is free again when both roles are done.
pub(super) struct Leaf {
    bytes: Bytes,
    _permit: OwnedSemaphorePermit,
}

impl Leaf {
    pub(super) fn new(bytes: Bytes, permit: OwnedSemaphorePermit) -> Self {
        Self { bytes, _permit: permit }
    }
}

struct LeafJob {
    index: usize,
    leaf: Arc<Leaf>,
    progress: Arc<Progress>,
}

/// What the workers have done for one stream.
#[derive(Default)]
pub(super) struct Progress {
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
    pub(super) async fn ended(&self, queued: usize) -> (Vec<TreeHash>, Option<Context>) {
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

    /// Tells the workers that nobody waits for this stream any more.
    pub(super) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
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
pub(super) struct Queue {
    workers: NonZeroUsize,
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
    pub(super) fn new(workers: NonZeroUsize) -> Self {
        Self { workers, work: Mutex::new(Work::default()), available: Condvar::new() }
    }

    /// Queues the leaf `index` of a stream, and with `linear` its link of the chain. Leaves come in order.
    pub(super) fn push(
        &self,
        progress: &Arc<Progress>,
        index: usize,
        leaf: Arc<Leaf>,
        linear: bool,
    ) {
        let link = linear.then(|| Arc::clone(&leaf));
        let chain_due = lock(&progress.state).expect_leaf(link);
        let mut work = lock(&self.work);
        work.chains.extend(chain_due.then(|| Arc::clone(progress)));
        work.leaves.push_back(LeafJob { index, leaf, progress: Arc::clone(progress) });
        drop(work);
        self.available.notify_one();
        if chain_due {
            self.available.notify_one();
        }
    }

    /// Makes the workers end; what is still queued is dropped.
    pub(super) fn stop(&self) {
        lock(&self.work).stopping = true;
        self.available.notify_all();
    }

    /// Works until the pool is dropped.
    pub(super) fn serve(&self) {
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
                let share = work.leaves.len().div_ceil(self.workers.get()).min(BATCH_LEAVES);
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
