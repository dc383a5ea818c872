//! The hashing service: many streams, few threads, one byte budget.
//!
//! A [`HashStream`] cuts what is submitted into leaves (slices of the caller's buffer where it can) and queues each one
//! as soon as the budget has room for it. Without a linear hash, workers take leaves of any stream, several at once,
//! for the lanes of the kernel: few leaves wait for more of them, until a stream ends or the budget runs out. With one,
//! the leaves of a stream are a queue of their own, the *chain*, that one worker at a time advances, in order: it makes
//! both hashes of a leaf in one pass, and those of as many streams as fit into the lanes together. Only when a chain
//! falls behind do idle workers take over the leaves at its end, and leave to it the linear hash alone.
//!
//! # Why it cannot deadlock
//!
//! A share of the budget is only ever held by a *queued leaf*, and a queued leaf needs nothing but a worker to be
//! finished: workers never wait for the budget, for a stream, or for each other's leaves, and leaves wait for more of them
//! only while no caller waits for the end of a stream or for the budget. Chains and leaves without one take turns, so
//! neither waits for the other to run out. What a stream keeps back (an incomplete leaf) holds no share;
//! that floor of less than one leaf per stream is memory outside the budget. Waiting streams are served first come,
//! first served.

mod progress;
mod stream;
mod work;

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::block::Blocks;
use crate::hash::TreeHash;
use crate::hasher::Roles;

pub use stream::HashStream;
use work::Queue;

/// Bytes of all streams that may be queued or being hashed at any time.
const BUDGET_BYTES: usize = 64 << 20;

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
        let queue = Arc::new(Queue::new(workers));
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
        HashStream::new(self.clone(), roles)
    }

    /// Buffers for what is to be hashed here.
    #[must_use]
    pub fn blocks(&self) -> &Blocks {
        self.inner.queue.blocks()
    }

    /// Returns the hashes of leaves that follow each other, each of 1 MiB but for the last, which may be shorter: for the
    /// verification of what was read.
    pub async fn leaves(&self, batch: Vec<Bytes>) -> Vec<TreeHash> {
        let mut stream = self.start(Roles { linear: false });
        let count = batch.len();
        for leaf in batch {
            stream.submit(leaf).await;
        }
        let mut leaves = stream.finish().await.leaves;
        // Nothing has the hash of nothing.
        leaves.truncate(count);
        leaves
    }
}

impl fmt::Debug for HashPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HashPool")
            .field("workers", &self.inner.threads.len())
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
        self.queue.stop();
        for thread in self.threads.drain(..) {
            // A worker that panicked has already said so; there is nobody left to tell.
            drop(thread.join());
        }
    }
}
