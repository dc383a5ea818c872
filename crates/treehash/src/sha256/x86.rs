//! x86-64: SHA-NI for a message or two, AVX-512 and AVX2 for many.
//!
//! # Safety
//!
//! The kernels are functions with target features, sound to call only where the processor has these. Each is reached
//! through a type whose only value is private to its module and handed out by `detected`, after the processor has been
//! asked. Beside these calls only loads and stores between arrays and registers are unsafe, and a hint to the processor.
//!
//! No kernel mixes SHA-NI with wide registers: its instructions have the old encoding, which was measured to be
//! a hundred times as slow while the upper halves of registers are in use.

mod avx2;
mod avx512;
mod rounds;
mod sha_ni;

use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

use super::kernels::{Kernels, Lanes, Streams, Wide};
use super::portable::Portable;
use super::{BLOCK_SIZE, Block};

/// How far ahead of its use a block is asked for: a page. What the processor fetches by itself ends with the page, and to find
/// the next one takes long, too.
const BLOCKS_AHEAD: usize = 4096 / BLOCK_SIZE;

/// Returns what this machine can run, the fastest first.
pub(super) fn candidates() -> Vec<Kernels> {
    let mut candidates = Vec::new();
    if let Some(streams) = sha_ni::detected() {
        // Two messages through SHA-NI are faster than the eight lanes of AVX2.
        candidates.extend(avx512::detected().map(|lanes| beside_sha_ni(streams, lanes)));
        candidates.push(Kernels { streams, wide: None });
    }
    candidates
        .extend([avx512::detected(), avx2::detected()].into_iter().flatten().map(beside_library));
    candidates
}

/// Asks for the block that is to be hashed a page later than this one.
#[inline]
fn fetch_ahead(message: &[Block], index: usize) {
    let ahead = message.as_ptr().wrapping_add(index + BLOCKS_AHEAD);
    // SAFETY: a hint, for any address; every processor of this architecture has it.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(ahead.cast()) };
}

fn beside_sha_ni(streams: &'static dyn Streams, lanes: &'static dyn Lanes) -> Kernels {
    Kernels { streams, wide: Some(Wide { lanes, fewest_single: 10, fewest_twin: 8 }) }
}

/// The library without SHA-NI is slow enough for a few lanes to be faster.
fn beside_library(lanes: &'static dyn Lanes) -> Kernels {
    Kernels { streams: &Portable, wide: Some(Wide { lanes, fewest_single: 3, fewest_twin: 3 }) }
}
