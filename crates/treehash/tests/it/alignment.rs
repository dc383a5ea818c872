//! The alignment rule against the definition: a range is aligned when its tree hash is a node of the archive's tree.

use std::collections::BTreeSet;

use icefield_treehash::LEAF_SIZE_BYTES;
use icefield_treehash::range::{is_leaf_aligned, is_tree_aligned, tree_aligned_around};

/// The leaf ranges (end exclusive) under every node of a tree, built level by level as the definition says.
fn nodes(leaves: u64) -> BTreeSet<(u64, u64)> {
    let mut level: Vec<(u64, u64)> = (0..leaves).map(|leaf| (leaf, leaf + 1)).collect();
    let mut nodes: BTreeSet<_> = level.iter().copied().collect();
    while level.len() > 1 {
        level = level.chunks(2).map(|pair| (pair[0].0, pair[pair.len() - 1].1)).collect();
        nodes.extend(&level);
    }
    nodes
}

#[test]
fn tree_alignment_equals_the_definition_up_to_24_leaves() {
    for leaves in 1..=24 {
        let nodes = nodes(leaves);
        for size in [
            leaves * LEAF_SIZE_BYTES,
            leaves * LEAF_SIZE_BYTES - 1,
            (leaves - 1) * LEAF_SIZE_BYTES + 1,
        ] {
            for begin in 0..leaves {
                for end in begin + 1..=leaves {
                    let (first, last) =
                        (begin * LEAF_SIZE_BYTES, (end * LEAF_SIZE_BYTES).min(size) - 1);
                    assert!(is_leaf_aligned(size, first, last));
                    let aligned = is_tree_aligned(size, first, last);
                    assert_eq!(aligned, nodes.contains(&(begin, end)), "{first}-{last} of {size}");
                }
            }
        }
    }
}

#[test]
fn the_range_around_another_is_the_smallest_node_that_holds_it() {
    for leaves in 1..=24 {
        let nodes = nodes(leaves);
        let size = leaves * LEAF_SIZE_BYTES - 5;
        for begin in 0..leaves {
            for end in begin + 1..=leaves {
                let holds = |node: &&(u64, u64)| node.0 <= begin && end <= node.1;
                let smallest = nodes.iter().filter(holds).min_by_key(|node| node.1 - node.0);
                let smallest = *smallest.expect("the root holds all");
                let ends = |begin: u64, end: u64| {
                    (begin * LEAF_SIZE_BYTES, (end * LEAF_SIZE_BYTES).min(size) - 1)
                };
                let ((first, last), expected) = (ends(begin, end), ends(smallest.0, smallest.1));
                assert_eq!(tree_aligned_around(size, first, last), expected, "{first}-{last}");
                // Neither need its ends lie between leaves.
                let within = (first + 1).min(last);
                assert_eq!(tree_aligned_around(size, within, last), expected, "{within}-{last}");
            }
        }
    }
}

#[test]
fn ranges_off_the_leaves_or_outside_the_archive_are_not_aligned() {
    let size = 2 * LEAF_SIZE_BYTES + 7;
    for (first, last) in [
        (1, LEAF_SIZE_BYTES - 1),
        (0, LEAF_SIZE_BYTES),
        (0, LEAF_SIZE_BYTES - 2),
        (2 * LEAF_SIZE_BYTES, size),
        (0, size),
        (3 * LEAF_SIZE_BYTES, 4 * LEAF_SIZE_BYTES - 1),
        (LEAF_SIZE_BYTES, LEAF_SIZE_BYTES - 1),
        (0, u64::MAX),
        (u64::MAX, u64::MAX),
    ] {
        assert!(!is_leaf_aligned(size, first, last), "{first}-{last}");
        assert!(!is_tree_aligned(size, first, last), "{first}-{last}");
    }
    assert!(!is_leaf_aligned(0, 0, 0), "nothing has no range");
}

#[test]
fn the_largest_archive_does_not_overflow() {
    let size = 10_000 * (4 << 30);
    assert!(is_tree_aligned(size, 0, size - 1));
    assert!(is_tree_aligned(u64::MAX, 0, u64::MAX - 1));
    assert_eq!(tree_aligned_around(u64::MAX, 1, u64::MAX - 1), (0, u64::MAX - 1));
    assert_eq!(tree_aligned_around(u64::MAX, u64::MAX - 1, u64::MAX - 1).1, u64::MAX - 1);
}
