//! Leaves and the pairing step: the two operations everything else is made of.

use crate::hash::TreeHash;
use crate::sha256::{kernels, sha256};

/// Length of a leaf in bytes (1 MiB), for in-memory lengths.
pub const LEAF_SIZE: usize = 1 << 20;

/// Length of a leaf in bytes (1 MiB), for offsets and sizes of archives.
pub const LEAF_SIZE_BYTES: u64 = 1 << 20;

impl TreeHash {
    /// Returns the hash of one leaf.
    ///
    /// # Panics
    ///
    /// In debug builds, when `bytes` is longer than [`LEAF_SIZE`] and therefore not one leaf.
    #[must_use]
    pub fn of_leaf(bytes: &[u8]) -> Self {
        debug_assert!(bytes.len() <= LEAF_SIZE, "{} bytes are more than one leaf", bytes.len());
        Self::from_bytes(sha256(bytes))
    }

    /// Combines hashes in order, from the pairing step on.
    ///
    /// The items are leaves, or the tree hashes of parts of one size (a power of two of leaves; the last part may be
    /// shorter): both give the tree hash of the whole. No item at all gives the SHA-256 of the empty string.
    /// Memory is one hash per level, whatever the number of items.
    #[must_use]
    pub fn combine(nodes: impl IntoIterator<Item = Self>) -> Self {
        // Complete subtrees from left to right, each lower than the one before it.
        let mut subtrees: Vec<(u32, Self)> = Vec::new();
        for node in nodes {
            let mut top = (0, node);
            while let Some(&(level, left)) = subtrees.last()
                && level == top.0
            {
                subtrees.pop();
                top = (level + 1, parent(left, top.1));
            }
            subtrees.push(top);
        }
        // A node without a partner moves up unchanged until it meets its left neighbour, so the right edge folds last.
        let folded = subtrees.into_iter().map(|(_, node)| node).rev();
        folded.reduce(|right, left| parent(left, right)).unwrap_or_else(|| Self::of_leaf(b""))
    }
}

/// Hashes independent pieces of at most [`LEAF_SIZE`] bytes: `out[i]` becomes the hash of `batch[i]`.
///
/// Callers hand in as many pieces as they have, of any lengths: kernels work on up to sixteen of them at once.
///
/// # Panics
///
/// When the two slices differ in length.
pub fn leaves(batch: &[&[u8]], out: &mut [TreeHash]) {
    assert_eq!(batch.len(), out.len(), "every piece needs a place for its hash");
    for (hash, digest) in out.iter_mut().zip(kernels().digests(batch)) {
        *hash = TreeHash::from_bytes(digest);
    }
}

fn parent(left: TreeHash, right: TreeHash) -> TreeHash {
    let mut pair = [0; 64];
    pair[..32].copy_from_slice(left.as_bytes());
    pair[32..].copy_from_slice(right.as_bytes());
    TreeHash::from_bytes(sha256(&pair))
}

#[cfg(test)]
mod tests {
    use proptest::{prop_assert_eq, proptest};

    use super::{TreeHash, leaves, parent};

    /// The definition, level by level, as the developer guide words it.
    fn by_levels(mut level: Vec<TreeHash>) -> TreeHash {
        while level.len() > 1 {
            level = level
                .chunks(2)
                .map(|pair| if let [left, right] = *pair { parent(left, right) } else { pair[0] })
                .collect();
        }
        level[0]
    }

    #[test]
    fn combining_nothing_gives_the_hash_of_the_empty_string() {
        assert_eq!(TreeHash::combine([]), TreeHash::of_leaf(b""));
    }

    #[test]
    #[should_panic(expected = "every piece needs a place")]
    fn leaves_refuses_slices_of_different_lengths() {
        leaves(&[b"a"], &mut []);
    }

    proptest! {
        #[test]
        fn combine_equals_the_definition(count in 1_u32..300) {
            let nodes: Vec<_> = (0..count).map(|n| TreeHash::of_leaf(&n.to_le_bytes())).collect();
            prop_assert_eq!(TreeHash::combine(nodes.iter().copied()), by_levels(nodes));
        }

        #[test]
        fn combining_parts_equals_combining_their_leaves(count in 1_u32..300, log_part in 0_u32..9) {
            let nodes: Vec<_> = (0..count).map(|n| TreeHash::of_leaf(&n.to_le_bytes())).collect();
            let parts = nodes.chunks(1 << log_part).map(|part| TreeHash::combine(part.iter().copied()));
            prop_assert_eq!(TreeHash::combine(parts), TreeHash::combine(nodes.iter().copied()));
        }

        #[test]
        fn leaves_keeps_the_order_of_the_batch(pieces: Vec<Vec<u8>>) {
            let batch: Vec<_> = pieces.iter().map(Vec::as_slice).collect();
            let mut out = vec![TreeHash::from_bytes([0; 32]); batch.len()];
            leaves(&batch, &mut out);
            let expected: Vec<_> = batch.iter().map(|piece| TreeHash::of_leaf(piece)).collect();
            prop_assert_eq!(out, expected);
        }
    }
}
