//! What a kernel has to get right before it is used: a wrong digest would go into signatures and be kept for decades.

use super::advance::Job;
use super::kernels::{Kernels, MAX_LANES};
use super::{Block, State};

/// Enough that there are messages left when all lanes are taken: a pair, and one alone.
const MESSAGES: usize = MAX_LANES + 3;

/// SHA-256 of the digests of all messages, each followed by the digest of [`PREFIX`] and the message; computed with
/// Python's `hashlib`.
const EXPECTED: [u8; 32] = [
    0xc6, 0xa1, 0x73, 0x26, 0x35, 0x64, 0x45, 0x9d, 0x84, 0x4a, 0x2d, 0xab, 0xe4, 0xd4, 0x23, 0xd4,
    0x2e, 0xcf, 0xd8, 0xdb, 0xf1, 0x31, 0x6b, 0x23, 0xa9, 0x65, 0x0f, 0xa6, 0xba, 0xaa, 0x8e, 0xd5,
];

const PREFIX: Block = [0x5a; 64];

/// Returns whether all kernels give the right digests: alone, in pairs, in lanes, and two hashes at once.
pub(super) fn passes(kernels: &Kernels) -> bool {
    let messages: Vec<Vec<u8>> = (0..MESSAGES).map(message).collect();
    let pieces: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    let digests = kernels.digests(&pieces);

    let mut prefixed = State::INITIAL;
    kernels.one(&mut prefixed, &[PREFIX]);
    let mut twins: Vec<_> = pieces
        .iter()
        .map(|piece| Job { states: [State::INITIAL, prefixed], blocks: piece.as_chunks().0 })
        .collect();
    kernels.advance(&mut twins);

    let mut all = Vec::new();
    for ((piece, digest), twin) in pieces.iter().zip(digests).zip(twins) {
        let (_, rest) = piece.as_chunks::<64>();
        let length = piece.len() as u64;
        let [alone, prefixed] = twin.states;
        if kernels.ended(alone, rest, length) != digest {
            return false;
        }
        all.extend(digest);
        all.extend(kernels.ended(prefixed, rest, length + PREFIX.len() as u64));
    }
    let (blocks, rest) = all.as_chunks();
    let mut state = State::INITIAL;
    kernels.one(&mut state, blocks);
    kernels.ended(state, rest, all.len() as u64) == EXPECTED
}

/// Up to 17 blocks and a rest, different in every message and every place.
fn message(number: usize) -> Vec<u8> {
    (0..61 * number).map(|at| (number * 31 + at * 7 + (at >> 8)).to_le_bytes()[0]).collect()
}
