//! What is done for one stream: its leaves in their places, its chain, and what of it has to be queued.

use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, OwnedSemaphorePermit};

use crate::chain::Chain;
use crate::hash::TreeHash;
use crate::sha256::{MAX_LANES, kernels};

/// Leaves that wait behind a chain, from which on other workers take some of them over: many where a leaf costs less in
/// one pass with the chain.
pub(super) const HELP_LEAVES: usize = 8;
const HELP_LEAVES_UNSHARED: usize = 2;

/// The bytes of a queued leaf with their share of the budget, which is free again when both roles are done.
pub(super) struct Leaf {
    pub(super) bytes: Bytes,
    _permit: OwnedSemaphorePermit,
}

impl Leaf {
    pub(super) fn new(bytes: Bytes, permit: OwnedSemaphorePermit) -> Self {
        Self { bytes, _permit: permit }
    }
}

/// A leaf of which the hash is wanted, without a link.
pub(super) struct LeafJob {
    pub(super) index: usize,
    pub(super) leaf: Arc<Leaf>,
    pub(super) progress: Arc<Progress>,
}

/// A leaf that the linear chain of its stream has to take up.
pub(super) struct Link {
    pub(super) index: usize,
    pub(super) leaf: Arc<Leaf>,
    /// Whether the hash of the leaf is made with it; else another worker has taken that over.
    pub(super) hash_leaf: bool,
    /// The hash of the leaf, once it is made.
    pub(super) hash: Option<TreeHash>,
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
    chain: Option<Chain>,
    /// Leaves that the linear chain still has to take up, in order.
    links: VecDeque<Link>,
    /// Whether the chain is queued or in a worker's hand.
    chain_scheduled: bool,
    /// Whether the stream is queued for help.
    help_scheduled: bool,
}

impl Default for State {
    fn default() -> Self {
        Self {
            leaves: Vec::new(),
            pending: 0,
            chain: Some(Chain::default()),
            links: VecDeque::new(),
            chain_scheduled: false,
            help_scheduled: false,
        }
    }
}

/// What has to be queued for a stream.
pub(super) struct Due {
    pub(super) chain: bool,
    pub(super) help: bool,
}

impl State {
    /// Makes room for the next leaf.
    fn expect_leaf(&mut self) {
        self.leaves.push(TreeHash::from_bytes([0; 32]));
        self.pending += 1;
    }

    fn push_link(&mut self, link: Link) -> Due {
        self.pending += 1;
        self.links.push_back(link);
        self.schedule()
    }

    /// Says what has to be queued now, and takes it for queued.
    fn schedule(&mut self) -> Due {
        let chain = !self.links.is_empty() && !mem::replace(&mut self.chain_scheduled, true);
        let waiting = self.links.iter().filter(|link| link.hash_leaf).count();
        let enough = if kernels().twin_is_shared() { HELP_LEAVES } else { HELP_LEAVES_UNSHARED };
        let help = waiting >= enough && !mem::replace(&mut self.help_scheduled, true);
        Due { chain, help }
    }
}

impl Progress {
    /// Makes room for the next leaf, which is hashed for itself.
    pub(super) fn expect_leaf(&self) {
        lock(&self.state).expect_leaf();
    }

    /// Makes room for the next leaf, and has the chain take it up.
    pub(super) fn push_link(&self, index: usize, leaf: Arc<Leaf>) -> Due {
        let mut state = lock(&self.state);
        state.expect_leaf();
        state.push_link(Link { index, leaf, hash_leaf: true, hash: None })
    }

    /// How many leaves the chain still has to take up.
    #[cfg(test)]
    pub(super) fn waiting_links(&self) -> usize {
        lock(&self.state).links.len()
    }

    /// Waits until `queued` leaves are done and returns them with the linear chain.
    pub(super) async fn ended(&self, queued: usize) -> (Vec<TreeHash>, Chain) {
        loop {
            // Created before the check, so a notification in between is not lost.
            let idle = self.idle.notified();
            {
                let mut state = lock(&self.state);
                if state.pending == 0 {
                    debug_assert_eq!(state.leaves.len(), queued, "every queued leaf has its place");
                    let chain =
                        state.chain.take().expect("no worker has it while nothing is pending");
                    return (mem::take(&mut state.leaves), chain);
                }
            }
            idle.await;
        }
    }

    /// Tells the workers that nobody waits for this stream any more.
    pub(super) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    pub(super) fn leaf_done(&self, index: usize, hash: TreeHash) {
        let mut state = lock(&self.state);
        state.leaves[index] = hash;
        self.done(&mut state, 1);
    }

    /// Hands out the chain with its next links, `most` of them, unless nobody waits for it any more.
    pub(super) fn take_links(&self, most: usize) -> Option<(Chain, Vec<Link>)> {
        let mut state = lock(&self.state);
        if self.is_cancelled() {
            state.links.clear();
        }
        let count = state.links.len().min(most);
        state.chain_scheduled = count > 0;
        if count == 0 {
            return None;
        }
        let links = state.links.drain(..count).collect();
        Some((state.chain.take()?, links))
    }

    /// Takes the chain back, after these links.
    pub(super) fn links_done(&self, chain: Chain, links: Vec<Link>) -> Due {
        let mut state = lock(&self.state);
        state.chain = Some(chain);
        state.chain_scheduled = false;
        let mut done = links.len();
        for Link { index, leaf, hash, .. } in links {
            if let Some(hash) = hash {
                state.leaves[index] = hash;
                done += 1;
            }
            // Its share of the budget is free before the stream is told.
            drop(leaf);
        }
        self.done(&mut state, done);
        state.schedule()
    }

    /// Takes over the last half of the leaves that wait behind the chain, so that the two do not meet soon.
    pub(super) fn help(self: &Arc<Self>) -> Vec<LeafJob> {
        let mut state = lock(&self.state);
        state.help_scheduled = false;
        let waiting = state.links.iter_mut().filter(|link| link.hash_leaf);
        let waiting: Vec<_> = waiting.collect();
        let count = (waiting.len() / 2).min(MAX_LANES);
        let taken = waiting.into_iter().rev().take(count);
        taken
            .map(|link| {
                link.hash_leaf = false;
                LeafJob {
                    index: link.index,
                    leaf: Arc::clone(&link.leaf),
                    progress: Arc::clone(self),
                }
            })
            .collect()
    }

    fn done(&self, state: &mut State, count: usize) {
        state.pending -= count;
        if state.pending == 0 {
            self.idle.notify_one();
        }
    }
}

/// No invariant can be broken by a panic under these locks: every critical section is a few assignments.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
