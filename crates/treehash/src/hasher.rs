//! One stream on one thread: both hashes in one read of the data.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};

use crate::hash::{LinearHash, TreeHash};
use crate::leaf::LEAF_SIZE;

/// What to compute beside the tree hash, which is always computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles {
    /// Also compute the linear SHA-256, as a signed request body needs it.
    pub linear: bool,
}

/// The result of hashing a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashed {
    /// Length of the stream in bytes.
    pub size: u64,
    /// Tree hash of the whole stream.
    pub tree: TreeHash,
    /// Linear hash, when [`Roles::linear`] asked for it.
    pub linear: Option<LinearHash>,
    /// The leaves in order; an empty stream has one, the hash of the empty string.
    pub leaves: Vec<TreeHash>,
}

impl Hashed {
    /// Makes the result from what a stream has counted. Without leaves the stream was empty.
    pub(crate) fn new(size: u64, mut leaves: Vec<TreeHash>, linear: Option<LinearHash>) -> Self {
        if leaves.is_empty() {
            leaves.push(TreeHash::of_leaf(b""));
        }
        Self { size, tree: TreeHash::combine(leaves.iter().copied()), linear, leaves }
    }
}

/// Hashes one stream on the calling thread, in chunks of any length.
///
/// The two SHA-256 states advance together over pieces that stay in the first-level cache.
pub struct Hasher {
    size: u64,
    leaf: Context,
    leaf_filled: usize,
    leaves: Vec<TreeHash>,
    linear: Option<Context>,
}

/// Length of the pieces over which both states advance in turn: small enough to be read from memory once.
const STRIDE: usize = 16 << 10;

impl Hasher {
    /// Begins an empty stream.
    #[must_use]
    pub fn new(roles: Roles) -> Self {
        Self {
            size: 0,
            leaf: Context::new(&SHA256),
            leaf_filled: 0,
            leaves: Vec::new(),
            linear: roles.linear.then(|| Context::new(&SHA256)),
        }
    }

    /// Adds the next bytes of the stream.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let length = bytes.len().min(LEAF_SIZE - self.leaf_filled).min(STRIDE);
            let (piece, rest) = bytes.split_at(length);
            self.leaf.update(piece);
            if let Some(linear) = &mut self.linear {
                linear.update(piece);
            }
            self.size += piece.len() as u64;
            self.leaf_filled += piece.len();
            if self.leaf_filled == LEAF_SIZE {
                self.end_leaf();
            }
            bytes = rest;
        }
    }

    /// Ends the stream.
    #[must_use]
    pub fn finish(mut self) -> Hashed {
        if self.leaf_filled > 0 {
            self.end_leaf();
        }
        let linear = self.linear.map(|context| LinearHash::from_bytes(ended(context)));
        Hashed::new(self.size, self.leaves, linear)
    }

    fn end_leaf(&mut self) {
        let leaf = std::mem::replace(&mut self.leaf, Context::new(&SHA256));
        self.leaves.push(TreeHash::from_bytes(ended(leaf)));
        self.leaf_filled = 0;
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher")
            .field("size", &self.size)
            .field("linear", &self.linear.is_some())
            .finish_non_exhaustive()
    }
}

/// Returns the digest of a SHA-256 context.
pub(crate) fn ended(context: Context) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}
