//! The caller's side: cutting a stream into leaves, and waiting for the budget and for the end.

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::HashPool;
use super::progress::{Leaf, Progress};
use crate::chain::Chain;
use crate::hash::{LinearHash, TreeHash};
use crate::hasher::{Hashed, Roles};
use crate::leaf::LEAF_SIZE;

/// A stream that ends at or below this length is hashed by its caller: handing it over would cost more.
const INLINE_MAX_BYTES: usize = 64 << 10;

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
    pub(super) fn new(pool: HashPool, roles: Roles) -> Self {
        Self {
            pool,
            roles,
            size: 0,
            queued: 0,
            whole: VecDeque::new(),
            tail: Tail::default(),
            progress: Arc::new(Progress::default()),
        }
    }

    /// Adds the next bytes; returns once the budget has accepted every leaf that is now complete.
    ///
    /// Buffers of any length may be mixed. A leaf that lies in one buffer is hashed where it lies; one that spans
    /// buffers is copied together first.
    ///
    /// Cancel safe: when the future is dropped the bytes are kept, and the next call queues them.
    pub async fn submit(&mut self, bytes: Bytes) {
        self.size += bytes.len() as u64;
        self.whole.extend(self.tail.cut(bytes));
        while !self.whole.is_empty() {
            self.queue_next().await;
        }
    }

    /// Ends the stream and returns its hashes.
    pub async fn finish(mut self) -> Hashed {
        let tail = mem::take(&mut self.tail).into_bytes();
        if self.queued == 0 && self.whole.is_empty() && tail.len() <= INLINE_MAX_BYTES {
            return self.hashed(vec![TreeHash::of_leaf(&tail)], &Chain::default());
        }
        if !tail.is_empty() {
            self.whole.push_back(tail);
        }
        while !self.whole.is_empty() {
            self.queue_next().await;
        }
        // Those of a chain do not wait anyhow.
        let hurry = (!self.roles.linear).then(|| self.pool.inner.queue.hurry());
        let (leaves, chain) = self.progress.ended(self.queued).await;
        drop(hurry);
        self.queued = 0;
        self.hashed(leaves, &chain)
    }

    fn hashed(&self, leaves: Vec<TreeHash>, chain: &Chain) -> Hashed {
        let linear = self.roles.linear.then(|| match *leaves {
            // A stream of one leaf has one digest for both roles.
            [leaf] => LinearHash::of_single_leaf(leaf),
            _ => chain.finish(),
        });
        Hashed::new(self.size, leaves, linear)
    }

    async fn queue_next(&mut self) {
        let Some(leaf) = self.whole.front() else { return };
        let length = u32::try_from(leaf.len()).expect("a leaf is 1 MiB at most");
        let budget = &self.pool.inner.budget;
        let permit = if let Ok(permit) = Arc::clone(budget).try_acquire_many_owned(length) {
            permit
        } else {
            let _hurry = self.pool.inner.queue.hurry();
            let permit = Arc::clone(budget).acquire_many_owned(length).await;
            permit.expect("the budget is never closed")
        };
        // From here on nothing waits, so a dropped future leaves the leaf either here or queued.
        let Some(bytes) = self.whole.pop_front() else { return };
        let leaf = Arc::new(Leaf::new(bytes, permit));
        self.pool.inner.queue.push(&self.progress, self.queued, leaf, self.roles.linear);
        self.queued += 1;
    }
}

impl Drop for HashStream {
    fn drop(&mut self) {
        self.progress.cancel();
        if !self.roles.linear && self.queued > 0 {
            self.pool.inner.queue.forget_cancelled();
        }
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
        if bytes.is_empty() {
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
