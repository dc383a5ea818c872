//! SHA-256 and the Glacier tree hash.
//!
//! The tree hash of n bytes is built from the SHA-256 of every 1 MiB piece (a *leaf*), paired level by level; a node
//! without a partner moves up unchanged ("Computing Checksums" in the Amazon Glacier developer guide). So leaves are
//! independent of each other and can be hashed in parallel, while the linear SHA-256 that a signed request also needs
//! is one serial chain.
//!
//! * [`Hasher`] is the synchronous convenience: one thread, one stream, one read of the data.
//! * [`HashPool`] is the service for transfers: many streams share a few threads and one byte budget.
//! * [`Blocks`] are buffers for leaves, used again and again.
//! * [`leaves`] is the kernel under both: many independent pieces in one call.
//! * [`range`] says which byte ranges are nodes of the tree.

mod block;
mod chain;
mod hash;
mod hasher;
mod leaf;
mod pool;
pub mod range;
mod sha256;

pub use block::{BLOCK_ALIGNMENT, Block, Blocks};
pub use hash::{LinearHash, ParseHashError, TreeHash};
pub use hasher::{Hashed, Hasher, Roles};
pub use leaf::{LEAF_SIZE, LEAF_SIZE_BYTES, leaves};
pub use pool::{HashPool, HashStream};

/// Returns the names of the kernels that hash on this machine, for people to read.
#[must_use]
pub fn kernel_names() -> String {
    format!("{:?}", sha256::kernels())
}
