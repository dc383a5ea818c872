//! One stream on one thread: both hashes in one read of the data.

use std::fmt;
use std::mem;

use crate::hash::{LinearHash, TreeHash};
use crate::leaf::{LEAF_SIZE, LEAF_SIZE_BYTES};
use crate::sha256::{BLOCK_SIZE, Block, MAX_LANES, State, kernels};

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
/// The bytes are read once: both hashes advance in one pass, and whole leaves in a long chunk go to the kernels several at
/// a time where the tree hash alone is wanted. Up to the end of its first leaf a stream has but one hash.
pub struct Hasher {
    size: u64,
    /// The hash of the leaf that is not complete.
    leaf: State,
    /// The linear hash, when it is wanted; behind until the first leaf ends, where it is that of the leaf.
    linear: Option<State>,
    /// The block that is not complete, from the start.
    partial: Block,
    leaves: Vec<TreeHash>,
}

impl Hasher {
    /// Begins an empty stream.
    #[must_use]
    pub fn new(roles: Roles) -> Self {
        Self {
            size: 0,
            leaf: State::INITIAL,
            linear: roles.linear.then_some(State::INITIAL),
            partial: [0; BLOCK_SIZE],
            leaves: Vec::new(),
        }
    }

    /// Adds the next bytes of the stream.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let filled = self.filled(LEAF_SIZE);
            bytes = if self.linear.is_none() && filled == 0 && bytes.len() >= LEAF_SIZE {
                self.add_leaves(bytes)
            } else {
                let (piece, rest) = bytes.split_at(bytes.len().min(LEAF_SIZE - filled));
                self.add(piece);
                rest
            };
        }
    }

    /// Ends the stream.
    #[must_use]
    pub fn finish(mut self) -> Hashed {
        let rest = self.filled(BLOCK_SIZE);
        if self.filled(LEAF_SIZE) > 0 {
            self.end_leaf(rest);
        }
        let hashed = Hashed::new(self.size, self.leaves, None);
        let linear = self.linear.map(|state| match *hashed.leaves {
            [leaf] => LinearHash::of_single_leaf(leaf),
            _ => LinearHash::from_bytes(kernels().ended(state, &self.partial[..rest], self.size)),
        });
        Hashed { linear, ..hashed }
    }

    /// Takes up the whole leaves that `bytes` begin with, and returns what follows.
    fn add_leaves<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let (whole, rest) = bytes.as_chunks::<LEAF_SIZE>();
        for batch in whole.chunks(MAX_LANES) {
            let batch: Vec<&[u8]> = batch.iter().map(<[u8; LEAF_SIZE]>::as_slice).collect();
            self.leaves.extend(kernels().digests(&batch).into_iter().map(TreeHash::from_bytes));
        }
        self.size += (bytes.len() - rest.len()) as u64;
        rest
    }

    /// Takes up bytes of one leaf.
    fn add(&mut self, piece: &[u8]) {
        let filled = self.filled(BLOCK_SIZE);
        let (head, body) = piece.split_at(piece.len().min((BLOCK_SIZE - filled) % BLOCK_SIZE));
        let (blocks, rest) = body.as_chunks();
        self.partial[filled..filled + head.len()].copy_from_slice(head);
        if filled > 0 && filled + head.len() == BLOCK_SIZE {
            self.advance(&[self.partial]);
        }
        self.advance(blocks);
        if !rest.is_empty() {
            self.partial[..rest.len()].copy_from_slice(rest);
        }
        self.size += piece.len() as u64;
        if self.filled(LEAF_SIZE) == 0 {
            self.end_leaf(0);
        }
    }

    fn advance(&mut self, blocks: &[Block]) {
        match &mut self.linear {
            Some(linear) if !self.leaves.is_empty() => {
                kernels().twin([&mut self.leaf, linear], blocks);
            }
            _ => kernels().one(&mut self.leaf, blocks),
        }
    }

    fn end_leaf(&mut self, rest: usize) {
        if self.leaves.is_empty() {
            self.linear = self.linear.and(Some(self.leaf));
        }
        let leaf = mem::replace(&mut self.leaf, State::INITIAL);
        let length = self.size - self.leaves.len() as u64 * LEAF_SIZE_BYTES;
        let digest = kernels().ended(leaf, &self.partial[..rest], length);
        self.leaves.push(TreeHash::from_bytes(digest));
    }

    /// Returns how much of the last leaf or block is there, 0 when it is whole.
    fn filled(&self, unit: usize) -> usize {
        usize::try_from(self.size % unit as u64).expect("less than a leaf")
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
