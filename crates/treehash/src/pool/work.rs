//! The workers' side: what is queued, and who takes it.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::progress::{Due, Leaf, LeafJob, Link, Progress, lock};
use crate::block::Blocks;
use crate::chain::{self, Chain};
use crate::hash::TreeHash;
use crate::leaf::leaves;
use crate::sha256::{MAX_LANES, kernels};

/// Chains that a worker takes at once where they are too few for lanes of their own.
const PAIR: usize = 2;

/// How long a worker has nothing to do before it gives buffers back to the system.
const REST: Duration = Duration::from_secs(1);

/// What the workers share.
pub(super) struct Queue {
    workers: NonZeroUsize,
    work: Mutex<Work>,
    available: Condvar,
    blocks: Blocks,
}

#[derive(Default)]
struct Work {
    /// Leaves of streams without a linear chain.
    leaves: VecDeque<LeafJob>,
    /// Streams whose linear chain has links; each at most once.
    chains: VecDeque<Arc<Progress>>,
    /// Streams whose chain does not keep up; each at most once.
    behind: VecDeque<Arc<Progress>>,
    /// Chains and leaves take turns while there are both.
    leaves_next: bool,
    /// Callers that can only go on when leaves are done. Without any, leaves wait for each other.
    hurried: usize,
    /// Workers that wait for work.
    idle: usize,
    stopping: bool,
}

enum Turn {
    Chains(Vec<Arc<Progress>>),
    Leaves(Vec<LeafJob>),
    Help(Arc<Progress>),
}

impl Queue {
    pub(super) fn new(workers: NonZeroUsize) -> Self {
        Self {
            workers,
            work: Mutex::new(Work::default()),
            available: Condvar::new(),
            blocks: Blocks::default(),
        }
    }

    pub(super) const fn blocks(&self) -> &Blocks {
        &self.blocks
    }

    /// Queues the leaf `index` of a stream, with `linear` as a link of the chain. Leaves come in order.
    pub(super) fn push(
        &self,
        progress: &Arc<Progress>,
        index: usize,
        leaf: Arc<Leaf>,
        linear: bool,
    ) {
        if linear {
            let due = progress.push_link(index, leaf);
            self.schedule([(progress, due)]);
        } else {
            progress.expect_leaf();
            let job = LeafJob { index, leaf, progress: Arc::clone(progress) };
            let mut work = lock(&self.work);
            work.leaves.push_back(job);
            if work.wants_leaves() {
                self.available.notify_one();
            }
        }
    }

    /// Keeps leaves from waiting for more of them, until what is returned is dropped.
    pub(super) fn hurry(&self) -> Hurry<'_> {
        let mut work = lock(&self.work);
        work.hurried += 1;
        if work.wants_leaves() {
            self.available.notify_all();
        }
        Hurry { queue: self }
    }

    /// Lets go of leaves of streams that nobody waits for any more.
    pub(super) fn forget_cancelled(&self) {
        lock(&self.work).leaves.retain(|job| !job.progress.is_cancelled());
    }

    fn schedule<'a>(&self, streams: impl IntoIterator<Item = (&'a Arc<Progress>, Due)>) {
        let mut work = lock(&self.work);
        for (progress, due) in streams {
            if due.chain {
                work.chains.push_back(Arc::clone(progress));
                self.available.notify_one();
            }
            if due.help {
                work.behind.push_back(Arc::clone(progress));
                self.available.notify_one();
            }
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
                Turn::Chains(streams) => self.advance_chains(&streams),
                Turn::Leaves(jobs) => hash_leaves(jobs),
                Turn::Help(progress) => hash_leaves(progress.help()),
            }
        }
    }

    fn next(&self) -> Option<Turn> {
        let mut work = lock(&self.work);
        loop {
            if work.stopping {
                return None;
            }
            if let Some(turn) = work.take(self.workers) {
                return Some(turn);
            }
            work.idle += 1;
            if self.blocks.are_at_rest() {
                work = self.available.wait(work).unwrap_or_else(PoisonError::into_inner);
            } else {
                let waited = self.available.wait_timeout(work, REST);
                let (woken, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                work = woken;
                if timeout.timed_out() {
                    drop(work);
                    self.blocks.trim();
                    work = lock(&self.work);
                }
            }
            work.idle -= 1;
        }
    }

    /// Takes up one link of every chain, together in one call. A pair takes up as many as have leaves for the lanes.
    fn advance_chains(&self, streams: &[Arc<Progress>]) {
        let most = if streams.len() == PAIR { MAX_LANES / PAIR } else { 1 };
        let mut taken: Vec<_> = streams
            .iter()
            .filter_map(|progress| {
                let (chain, links) = progress.take_links(most)?;
                Some(Taken { progress, chain, links })
            })
            .collect();
        hash_in_lanes(&mut taken);
        for round in 0..most {
            let mut links = Vec::new();
            let mut hashes = Vec::new();
            for Taken { chain, links: own, .. } in &mut taken {
                if let Some(Link { leaf, hash_leaf, hash, .. }) = own.get_mut(round) {
                    links.push(chain::Link { chain, leaf: &leaf.bytes, hash_leaf: *hash_leaf });
                    hashes.push(hash);
                }
            }
            for (hash, made) in hashes.into_iter().zip(chain::advance(&mut links)) {
                *hash = made.or(*hash);
            }
        }
        let done = taken
            .into_iter()
            .map(|Taken { progress, chain, links }| (progress, progress.links_done(chain, links)));
        let done: Vec<_> = done.collect();
        self.schedule(done);
    }
}

/// Somebody waits for leaves.
pub(super) struct Hurry<'a> {
    queue: &'a Queue,
}

impl Drop for Hurry<'_> {
    fn drop(&mut self) {
        lock(&self.queue.work).hurried -= 1;
    }
}

/// A chain in a worker's hand.
struct Taken<'a> {
    progress: &'a Arc<Progress>,
    chain: Chain,
    links: Vec<Link>,
}

/// Makes the hashes of all leaves that are wanted at once, if they are enough for the lanes.
///
/// What is first in its chain is left out: it is the same hash as that of the chain.
fn hash_in_lanes(taken: &mut [Taken<'_>]) {
    let mut wanted: Vec<_> = taken
        .iter_mut()
        .flat_map(|Taken { chain, links, .. }| links.iter_mut().skip(usize::from(chain.is_empty())))
        .filter(|link| link.hash_leaf)
        .collect();
    if !kernels().has_lanes(wanted.len()) {
        return;
    }
    let mut hashes = vec![TreeHash::from_bytes([0; 32]); wanted.len()];
    let batch: Vec<&[u8]> = wanted.iter().map(|link| link.leaf.bytes.as_ref()).collect();
    leaves(&batch, &mut hashes);
    for (link, hash) in wanted.iter_mut().zip(hashes) {
        (link.hash_leaf, link.hash) = (false, Some(hash));
    }
}

impl Work {
    /// Whether there are leaves to be taken now: where lanes make many cost far less than each alone, few of them wait
    /// for more as long as nobody waits for them.
    fn wants_leaves(&self) -> bool {
        let enough = if kernels().has_lanes(MAX_LANES) { MAX_LANES } else { 1 };
        self.leaves.len() >= enough || (self.hurried > 0 && !self.leaves.is_empty())
    }

    fn take(&mut self, workers: NonZeroUsize) -> Option<Turn> {
        let wants_leaves = self.wants_leaves();
        let chains_next = !wants_leaves || !self.leaves_next;
        if chains_next && !self.chains.is_empty() {
            self.leaves_next = true;
            // One alone is sooner done, and frees its share of the budget sooner, unless lanes make up for that: of many
            // for both hashes, of two for those of the leaves.
            let share = fair_share(self.chains.len(), workers);
            let count = match share {
                share if kernels().has_lanes_for_twins(share) => share,
                share if kernels().has_lanes(MAX_LANES) => {
                    // Nobody waits for the second one.
                    if self.idle == 0 { self.chains.len().min(PAIR) } else { share.min(PAIR) }
                }
                _ => 1,
            };
            return Some(Turn::Chains(self.chains.drain(..count).collect()));
        }
        if wants_leaves {
            self.leaves_next = false;
            // In lanes one worker is faster than several without, and the others are free for what else there is.
            let share = match self.leaves.len().min(MAX_LANES) {
                many if kernels().has_lanes(many) => many,
                _ => fair_share(self.leaves.len(), workers),
            };
            return Some(Turn::Leaves(self.leaves.drain(..share).collect()));
        }
        self.behind.pop_front().map(Turn::Help)
    }
}

/// Divides a short queue, so that all workers are at it at once; no more than a kernel takes.
fn fair_share(length: usize, workers: NonZeroUsize) -> usize {
    length.div_ceil(workers.get()).min(MAX_LANES)
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

#[cfg(test)]
mod tests {
    use super::{
        Arc, Leaf, MAX_LANES, NonZeroUsize, Progress, Queue, Turn, hash_leaves, kernels, lock,
    };
    use crate::pool::progress::HELP_LEAVES;
    use crate::{LEAF_SIZE, LinearHash, TreeHash};
    use bytes::Bytes;
    use tokio::sync::Semaphore;

    /// A leaf at its place, each with bytes of its own.
    fn leaf(index: usize) -> Bytes {
        Bytes::from(vec![index.to_le_bytes()[0]; LEAF_SIZE])
    }

    fn push(queue: &Queue, progress: &Arc<Progress>, index: usize, linear: bool) {
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        queue.push(progress, index, Arc::new(Leaf::new(leaf(index), permit)), linear);
    }

    fn take(queue: &Queue) -> Option<Turn> {
        lock(&queue.work).take(queue.workers)
    }

    #[tokio::test]
    async fn a_chain_that_falls_behind_is_helped_from_its_end() {
        let queue = Queue::new(NonZeroUsize::MIN);
        let progress = Arc::default();
        for index in 0..HELP_LEAVES {
            push(&queue, &progress, index, true);
        }
        let Some(Turn::Chains(chain)) = take(&queue) else { panic!("the chain goes first") };
        let Some(Turn::Help(behind)) = take(&queue) else { panic!("it is behind") };
        let jobs = behind.help();
        let taken: Vec<_> = jobs.iter().map(|job| job.index).collect();
        assert_eq!(taken, (HELP_LEAVES / 2..HELP_LEAVES).rev().collect::<Vec<_>>());
        hash_leaves(jobs);

        queue.advance_chains(&chain);
        while let Some(turn) = take(&queue) {
            match turn {
                Turn::Chains(chain) => queue.advance_chains(&chain),
                Turn::Help(behind) => hash_leaves(behind.help()),
                Turn::Leaves(_) => panic!("every leaf has a link"),
            }
        }
        let (leaves, chain) = progress.ended(HELP_LEAVES).await;
        let bytes: Vec<_> = (0..HELP_LEAVES).map(leaf).collect();
        assert_eq!(leaves, bytes.iter().map(|leaf| TreeHash::of_leaf(leaf)).collect::<Vec<_>>());
        assert_eq!(chain.finish(), LinearHash::of(&bytes.concat()));
    }

    #[test]
    fn chains_and_leaves_take_turns() {
        let queue = Queue::new(NonZeroUsize::MIN);
        for _ in 0..3 {
            push(&queue, &Arc::default(), 0, true);
        }
        push(&queue, &Arc::default(), 0, false);
        let _hurry = queue.hurry();
        assert!(matches!(take(&queue), Some(Turn::Chains(_))));
        assert!(matches!(take(&queue), Some(Turn::Leaves(_))));
        // One or two, as the machine has lanes.
        while let Some(turn) = take(&queue) {
            assert!(matches!(turn, Turn::Chains(_)));
        }
    }

    #[test]
    fn few_leaves_wait_for_the_lanes_until_somebody_waits_for_them() {
        let queue = Queue::new(NonZeroUsize::MIN);
        let progress = Arc::default();
        let leaves = |turn| match turn {
            Some(Turn::Leaves(jobs)) => jobs.len(),
            Some(_) => panic!("there are no chains"),
            None => 0,
        };
        push(&queue, &progress, 0, false);
        let few = leaves(take(&queue));
        assert_eq!(few, usize::from(!kernels().has_lanes(MAX_LANES)));
        for index in 1..=MAX_LANES {
            push(&queue, &progress, index, false);
        }
        let mut taken = few;
        while taken < MAX_LANES {
            taken += leaves(take(&queue));
        }
        push(&queue, &progress, MAX_LANES + 1, false);
        let hurry = queue.hurry();
        while taken < MAX_LANES + 2 {
            taken += leaves(take(&queue));
        }
        drop(hurry);
        assert_eq!(lock(&queue.work).hurried, 0);
    }

    #[test]
    fn leaves_of_a_cancelled_stream_do_not_wait() {
        let queue = Queue::new(NonZeroUsize::MIN);
        let [first, second] = <[Arc<Progress>; 2]>::default();
        push(&queue, &first, 0, false);
        push(&queue, &second, 0, false);
        first.cancel();
        queue.forget_cancelled();
        assert_eq!(lock(&queue.work).leaves.len(), 1);
    }

    /// Of two streams with many leaves each, taken together as one worker does that is alone.
    #[tokio::test]
    async fn a_pair_of_chains_gives_both_hashes_of_each() {
        let queue = Queue::new(NonZeroUsize::MIN);
        let streams: [Arc<Progress>; 2] = Default::default();
        let counts = [13, 6];
        for (progress, count) in streams.iter().zip(counts) {
            for index in 0..count {
                push(&queue, progress, index, true);
            }
        }
        while let Some(turn) = take(&queue) {
            match turn {
                Turn::Chains(chains) => queue.advance_chains(&chains),
                Turn::Help(behind) => hash_leaves(behind.help()),
                Turn::Leaves(_) => panic!("every leaf has a link"),
            }
        }
        for (progress, count) in streams.iter().zip(counts) {
            let (leaves, chain) = progress.ended(count).await;
            let bytes: Vec<_> = (0..count).map(leaf).collect();
            let expected: Vec<_> = bytes.iter().map(|leaf| TreeHash::of_leaf(leaf)).collect();
            assert_eq!(leaves, expected);
            assert_eq!(chain.finish(), LinearHash::of(&bytes.concat()));
        }
    }

    #[test]
    fn a_cancelled_chain_lets_its_leaves_go() {
        let queue = Queue::new(NonZeroUsize::MIN);
        let progress = Arc::default();
        for index in 0..3 {
            push(&queue, &progress, index, true);
        }
        progress.cancel();
        let Some(Turn::Chains(chain)) = take(&queue) else { panic!("the chain was queued") };
        queue.advance_chains(&chain);
        assert_eq!(progress.waiting_links(), 0);
        assert!(take(&queue).is_none());
    }
}
