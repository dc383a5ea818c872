//! Which byte ranges of an archive are nodes of its tree.
//!
//! A retrieval range must begin and end at leaves ("Range retrievals"); a checksum can be given only for a range whose
//! tree hash is a node of the archive's own tree. Ends are inclusive everywhere.

use crate::leaf::LEAF_SIZE_BYTES;

/// Returns whether `first..=last` lies inside `size` bytes, begins at a multiple of 1 MiB, and ends before such a
/// multiple or with the last byte.
#[must_use]
pub fn is_leaf_aligned(size: u64, first: u64, last: u64) -> bool {
    first <= last
        && last < size
        && first.is_multiple_of(LEAF_SIZE_BYTES)
        // `last < size`, so adding one cannot overflow.
        && ((last + 1).is_multiple_of(LEAF_SIZE_BYTES) || last + 1 == size)
}

/// Returns the smallest range around `first..=last` of `size` bytes whose tree hash is a node of the tree.
///
/// That is at most all of it: a range across the middle lies in no smaller node.
///
/// # Panics
///
/// When the range is empty or not within the bytes.
#[must_use]
pub fn tree_aligned_around(size: u64, first: u64, last: u64) -> (u64, u64) {
    assert!(first <= last && last < size, "{first}-{last} is no range of {size} bytes");
    let (begin, end) = (first / LEAF_SIZE_BYTES, last / LEAF_SIZE_BYTES);
    // Both leaves lie in the same block of 2^k once the bits above k are equal.
    let level = u64::BITS - (begin ^ end).leading_zeros();
    let Some(block) = LEAF_SIZE_BYTES.checked_mul(1 << level) else { return (0, size - 1) };
    let begin = first / block * block;
    (begin, begin.saturating_add(block).min(size) - 1)
}

/// Returns whether the tree hash of `first..=last` is a node of the tree of `size` bytes.
///
/// That is so for a full block of 2^k leaves that starts at a multiple of 2^k, and for the tail of the archive that
/// starts at such a multiple. The developer guide's own formula leaves the tail out.
#[must_use]
pub fn is_tree_aligned(size: u64, first: u64, last: u64) -> bool {
    if !is_leaf_aligned(size, first, last) {
        return false;
    }
    let total = size.div_ceil(LEAF_SIZE_BYTES);
    let begin = first / LEAF_SIZE_BYTES;
    let end = last / LEAF_SIZE_BYTES + 1;
    let block = (end - begin).next_power_of_two();
    begin.is_multiple_of(block) && end == (begin + block).min(total)
}
