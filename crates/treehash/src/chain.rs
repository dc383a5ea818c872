//! The linear hash of a stream, leaf by leaf: where the bytes of a leaf are hashed for both roles in one pass.

use crate::hash::{LinearHash, TreeHash};
use crate::leaf::LEAF_SIZE;
use crate::sha256::{BLOCK_SIZE, Ending, Job, State, kernels};

/// A linear hash that has taken up some leaves.
///
/// Up to the end of the first leaf it is the same hash as that of the leaf, which is therefore hashed once.
pub(crate) struct Chain {
    state: State,
    size: u64,
    /// What the last leaf leaves over; less than a block, from the start.
    rest: [u8; BLOCK_SIZE],
}

impl Default for Chain {
    fn default() -> Self {
        Self { state: State::INITIAL, size: 0, rest: [0; BLOCK_SIZE] }
    }
}

impl Chain {
    /// Returns the linear hash of what was taken up.
    pub(crate) fn finish(&self) -> LinearHash {
        LinearHash::from_bytes(kernels().ended(self.state, self.rest(), self.size))
    }

    /// Whether nothing was taken up.
    pub(crate) const fn is_empty(&self) -> bool {
        self.size == 0
    }

    fn rest(&self) -> &[u8] {
        &self.rest[..rest_len(self.size)]
    }

    fn end_link(&mut self, state: State, leaf: &[u8]) {
        self.state = state;
        self.size += leaf.len() as u64;
        let (_, rest) = leaf.as_chunks::<BLOCK_SIZE>();
        self.rest[..rest.len()].copy_from_slice(rest);
    }
}

/// The next leaf of a chain.
pub(crate) struct Link<'a> {
    pub(crate) chain: &'a mut Chain,
    /// A whole leaf, or the last and shorter one.
    pub(crate) leaf: &'a [u8],
    /// Whether the hash of the leaf is wanted too.
    pub(crate) hash_leaf: bool,
}

/// Makes every chain take up its leaf, and returns the hashes of the leaves where they are wanted.
///
/// Chains of different streams advance in lanes, when there are enough.
pub(crate) fn advance(links: &mut [Link<'_>]) -> Vec<Option<TreeHash>> {
    let (mut both, mut alone) = (Vec::new(), Vec::new());
    for link in links.iter() {
        debug_assert_eq!(rest_len(link.chain.size), 0, "only the last leaf ends within a block");
        debug_assert!(link.leaf.len() <= LEAF_SIZE, "a link is one leaf");
        let (blocks, _) = link.leaf.as_chunks();
        if link.has_two_hashes() {
            both.push(Job { states: [State::INITIAL, link.chain.state], blocks });
        } else {
            alone.push(Job { states: [link.chain.state], blocks });
        }
    }
    kernels().advance(&mut both);
    kernels().advance(&mut alone);

    let mut both = both.iter().map(|job| job.states);
    let mut alone = alone.iter().map(|job| job.states);
    let mut leaves = Vec::new();
    for link in links.iter_mut() {
        let advanced = if link.has_two_hashes() {
            both.next()
        } else {
            alone.next().map(|[state]| [state; 2])
        };
        let [leaf, linear] = advanced.expect("every link has a job");
        if link.hash_leaf {
            let (_, rest) = link.leaf.as_chunks::<BLOCK_SIZE>();
            leaves.push((leaf, Ending::new(rest, link.leaf.len() as u64)));
        }
        link.chain.end_link(linear, link.leaf);
    }
    let mut leaves = kernels().ended_all(leaves.into_iter()).into_iter().map(TreeHash::from_bytes);
    links.iter().map(|link| if link.hash_leaf { leaves.next() } else { None }).collect()
}

impl Link<'_> {
    /// Whether leaf and chain are different hashes, and both have to advance.
    fn has_two_hashes(&self) -> bool {
        self.hash_leaf && self.chain.size > 0
    }
}

fn rest_len(size: u64) -> usize {
    usize::try_from(size % BLOCK_SIZE as u64).expect("less than a block")
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::test_runner::Config;
    use proptest::{prop_assert_eq, proptest};

    use super::{Chain, Link, advance};
    use crate::{LEAF_SIZE, LinearHash, TreeHash};

    proptest! {
        #![proptest_config(Config::with_cases(16))]

        /// Streams of up to three leaves, of which the last may be short, begin at different turns.
        #[test]
        fn chains_that_come_and_go_give_both_hashes(
            streams in vec((0..4_usize, 0..3 * LEAF_SIZE, proptest::bool::weighted(0.8)), 1..20),
        ) {
            let bytes: Vec<u8> = (0..3 * LEAF_SIZE + 20).map(|i| (i * 31 + (i >> 8) * 17).to_le_bytes()[0]).collect();
            let mut chains: Vec<_> = streams.iter().enumerate().map(|(n, &(begin, length, hash_leaf))| {
                (begin, bytes[n..n + length].chunks(LEAF_SIZE), Chain::default(), hash_leaf)
            }).collect();
            for turn in 0..7 {
                let mut links: Vec<_> = chains.iter_mut().filter(|(begin, ..)| *begin <= turn)
                    .filter_map(|(_, leaves, chain, hash_leaf)| {
                        Some(Link { leaf: leaves.next()?, chain, hash_leaf: *hash_leaf })
                    }).collect();
                let hashes = advance(&mut links);
                for (link, hash) in links.iter().zip(hashes) {
                    prop_assert_eq!(hash, link.hash_leaf.then(|| TreeHash::of_leaf(link.leaf)));
                }
            }
            for (n, ((_, leaves, chain, _), (_, length, _))) in chains.into_iter().zip(&streams).enumerate() {
                prop_assert_eq!(leaves.len(), 0);
                prop_assert_eq!(chain.finish(), LinearHash::of(&bytes[n..n + length]));
            }
        }
    }
}
