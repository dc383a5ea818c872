//! Any chunking through any hasher gives what the recursive definition gives.

use std::num::NonZeroUsize;

use bytes::Bytes;
use icefield_treehash::{HashPool, Hashed, Hasher, LEAF_SIZE, LinearHash, Roles, TreeHash};
use proptest::collection::vec;
use proptest::prelude::Strategy;
use proptest::test_runner::Config;
use proptest::{prop_assert_eq, prop_oneof, proptest};
use tokio::runtime::Builder;

/// The definition by recursion: the left child holds the largest power of two of leaves that leaves something over.
fn by_definition(bytes: &[u8]) -> TreeHash {
    if bytes.len() <= LEAF_SIZE {
        return TreeHash::of_leaf(bytes);
    }
    let leaves = bytes.len().div_ceil(LEAF_SIZE);
    let (left, right) = bytes.split_at(leaves.next_power_of_two() / 2 * LEAF_SIZE);
    let pair = [*by_definition(left).as_bytes(), *by_definition(right).as_bytes()].concat();
    TreeHash::from_bytes(*LinearHash::of(&pair).as_bytes())
}

fn expected(bytes: &[u8], roles: Roles) -> Hashed {
    let leaves = match bytes.len() {
        0 => vec![TreeHash::of_leaf(b"")],
        _ => bytes.chunks(LEAF_SIZE).map(TreeHash::of_leaf).collect(),
    };
    Hashed {
        size: bytes.len() as u64,
        tree: by_definition(bytes),
        linear: roles.linear.then(|| LinearHash::of(bytes)),
        leaves,
    }
}

/// Lengths of chunks: tiny, odd, exactly a leaf, next to a leaf, several leaves.
fn chunks() -> impl Strategy<Value = Vec<usize>> {
    let length = prop_oneof![
        0..100_usize,
        0..200_000_usize,
        (LEAF_SIZE - 2)..(LEAF_SIZE + 3),
        LEAF_SIZE..=LEAF_SIZE,
        0..3 * LEAF_SIZE,
    ];
    vec(length, 0..7)
}

fn data(length: usize, seed: u8) -> Bytes {
    (0..length).map(|i| (i.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0] ^ seed).collect()
}

proptest! {
    #![proptest_config(Config::with_cases(24))]

    #[test]
    fn a_hasher_gives_the_definition_for_any_chunks(lengths in chunks(), linear: bool, seed: u8) {
        let bytes = data(lengths.iter().sum(), seed);
        let mut hasher = Hasher::new(Roles { linear });
        let mut at = 0;
        for length in lengths {
            hasher.update(&bytes[at..at + length]);
            at += length;
        }
        prop_assert_eq!(hasher.finish(), expected(&bytes, Roles { linear }));
    }

    #[test]
    fn a_pool_gives_the_definition_for_any_chunks(lengths in chunks(), linear: bool, seed: u8, workers in 1..4_usize) {
        let bytes = data(lengths.iter().sum(), seed);
        let pool = HashPool::new(NonZeroUsize::new(workers).unwrap());
        let found = Builder::new_current_thread().build().unwrap().block_on(async {
            let mut stream = pool.start(Roles { linear });
            let mut at = 0;
            for length in &lengths {
                stream.submit(bytes.slice(at..at + length)).await;
                at += length;
            }
            stream.finish().await
        });
        prop_assert_eq!(found, expected(&bytes, Roles { linear }));
    }
}
