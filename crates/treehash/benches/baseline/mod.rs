//! What the library alone would do, and the streams that both ways are measured with.

use std::num::NonZeroUsize;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use icefield_treehash::{HashPool, Hashed, Hasher, LEAF_SIZE, LinearHash, Roles, TreeHash};
use tokio::runtime::{Builder, Runtime};

/// Parts that arrive at the same time.
pub(crate) const PARTS: usize = 16;

/// SHA-256, as some library has it.
pub(crate) type Sha256 = fn(&[u8]) -> [u8; 32];

/// As the library has it that the kernels are measured against.
pub(crate) fn aws_lc(bytes: &[u8]) -> [u8; 32] {
    digest(&SHA256, bytes).as_ref().try_into().expect("a SHA-256 has 32 bytes")
}

/// The tree hash with one pass.
pub(crate) fn tree_by(sha256: Sha256, bytes: &[u8]) -> TreeHash {
    TreeHash::combine(bytes.chunks(LEAF_SIZE).map(|leaf| TreeHash::from_bytes(sha256(leaf))))
}

/// Both hashes with two passes, or one for a stream of one leaf.
pub(crate) fn both_by(sha256: Sha256, bytes: &[u8]) -> (TreeHash, LinearHash) {
    let tree = tree_by(sha256, bytes);
    if bytes.len() <= LEAF_SIZE {
        return (tree, LinearHash::of_single_leaf(tree));
    }
    (tree, LinearHash::from_bytes(sha256(bytes)))
}

/// One stream on the calling thread.
pub(crate) fn by_hasher(bytes: &[u8], linear: bool) -> Hashed {
    let mut hasher = Hasher::new(Roles { linear });
    hasher.update(bytes);
    hasher.finish()
}

/// Streams through a pool, a leaf of each in turn, as connections bring them.
pub(crate) struct Pooled {
    runtime: Runtime,
    pool: HashPool,
}

impl Pooled {
    pub(crate) fn new(workers: NonZeroUsize) -> Self {
        let runtime = Builder::new_current_thread().build().expect("a runtime is built");
        Self { runtime, pool: HashPool::new(workers) }
    }

    pub(crate) fn hash(&self, streams: &[Bytes], linear: bool) -> Vec<Hashed> {
        self.runtime.block_on(async {
            let tasks = streams.iter().map(|bytes| {
                let mut stream = self.pool.start(Roles { linear });
                let bytes = bytes.clone();
                tokio::spawn(async move {
                    for begin in (0..bytes.len()).step_by(LEAF_SIZE) {
                        stream.submit(bytes.slice(begin..bytes.len().min(begin + LEAF_SIZE))).await;
                        tokio::task::yield_now().await;
                    }
                    stream.finish().await
                })
            });
            // All are begun before one is waited for.
            let tasks: Vec<_> = tasks.collect();
            let mut hashed = Vec::with_capacity(tasks.len());
            for task in tasks {
                hashed.push(task.await.expect("hashing does not panic"));
            }
            hashed
        })
    }
}

/// Bytes that differ from leaf to leaf, in memory of their own.
pub(crate) fn data(size: usize) -> Bytes {
    (0..size).map(|i| (i * 31 + (i >> 8) * 17 + (i >> 20) * 7).to_le_bytes()[0]).collect()
}
