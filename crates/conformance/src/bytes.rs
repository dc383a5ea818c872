//! Bytes to store, and their hashes.

use icefield_treehash::{Hasher, LinearHash, Roles};

/// One MiB.
pub(crate) const MIB: usize = 1 << 20;

/// Returns `length` bytes that differ from MiB to MiB and from seed to seed.
pub(crate) fn bytes(seed: u32, length: usize) -> Vec<u8> {
    let mut state = u64::from(seed) << 32 | 0x9e37_79b9;
    let mut out = Vec::with_capacity(length + 8);
    while out.len() < length {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        out.extend_from_slice(&(state >> 16).to_le_bytes());
    }
    out.truncate(length);
    out
}

/// Returns the linear hash as headers have it.
pub(crate) fn linear(bytes: &[u8]) -> String {
    LinearHash::of(bytes).to_string()
}

/// Returns the tree hash as headers have it.
pub(crate) fn tree(bytes: &[u8]) -> String {
    let mut hasher = Hasher::new(Roles { linear: false });
    hasher.update(bytes);
    hasher.finish().tree.to_string()
}
