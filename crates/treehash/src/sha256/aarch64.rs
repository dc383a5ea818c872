//! aarch64: the SHA-2 instructions for one message, with two hashes interleaved to hide their latency.
//!
//! # Safety
//!
//! The kernel is a function with target features, sound to call only where the processor has these. It is reached
//! through a type whose only value is private to this module and handed out after the processor has been asked. Beside
//! these calls only loads and stores between arrays and registers are unsafe.

use std::arch::aarch64::{
    uint32x4_t, vaddq_u32, vld1q_u8, vld1q_u32, vreinterpretq_u32_u8, vrev32q_u8, vsha256h2q_u32,
    vsha256hq_u32, vsha256su0q_u32, vsha256su1q_u32, vst1q_u32,
};
use std::arch::is_aarch64_feature_detected;

use super::kernels::{Kernels, Streams};
use super::{Block, ROUND_CONSTANTS, State, sixteen_times};

/// Returns what this machine can run.
pub(super) fn candidates() -> Vec<Kernels> {
    let has = is_aarch64_feature_detected!("neon") && is_aarch64_feature_detected!("sha2");
    has.then_some(Kernels { streams: &Sha2(()), wide: None }).into_iter().collect()
}

struct Sha2(());

impl Streams for Sha2 {
    fn name(&self) -> &'static str {
        "SHA-2"
    }

    fn one(&self, state: &mut State, blocks: &[Block]) {
        // SAFETY: a value of this type exists only where the features were detected.
        unsafe { advance([state], [blocks]) }
    }

    fn two(&self, states: [&mut State; 2], blocks: [&[Block]; 2]) {
        // SAFETY: as above.
        unsafe { advance(states, blocks) }
    }

    fn twin_is_shared(&self) -> bool {
        true
    }

    fn twin(&self, states: [&mut State; 2], blocks: &[Block]) {
        // SAFETY: as above.
        unsafe { advance(states, [blocks]) }
    }
}

/// Advances `S` hashes by the blocks of the shortest of `M` messages: each of its own, or all of the same.
///
/// Registers stay out of closures: what calls a closure lacks the target features, and would not be inlined.
#[target_feature(enable = "neon,sha2")]
fn advance<const S: usize, const M: usize>(states: [&mut State; S], messages: [&[Block]; M]) {
    const { assert!(M == S || M == 1, "every hash has a message") };
    let count = messages.map(<[Block]>::len).into_iter().min().unwrap_or(0);
    let messages = messages.map(|blocks| &blocks[..count]);
    let mut halves = [[load_words(&[0; 4]); 2]; S];
    for (halves, state) in halves.iter_mut().zip(&states) {
        *halves = split(state);
    }
    for index in 0..count {
        let before = halves;
        let mut words = [[load_words(&[0; 4]); 4]; M];
        for (words, blocks) in words.iter_mut().zip(messages) {
            *words = load_message(&blocks[index]);
        }
        macro_rules! four_rounds {
            ($four:literal) => {
                let mut summed = [load_words(&ROUND_CONSTANTS.as_chunks().0[$four]); M];
                for (sum, words) in summed.iter_mut().zip(&mut words) {
                    if $four >= 4 {
                        let [w0, w1] = [words[$four % 4], words[($four + 1) % 4]];
                        let [w2, w3] = [words[($four + 2) % 4], words[($four + 3) % 4]];
                        words[$four % 4] = vsha256su1q_u32(vsha256su0q_u32(w0, w1), w2, w3);
                    }
                    *sum = vaddq_u32(*sum, words[$four % 4]);
                }
                for (s, halves) in halves.iter_mut().enumerate() {
                    let [abcd, efgh] = *halves;
                    let word = summed[s % M];
                    *halves = [vsha256hq_u32(abcd, efgh, word), vsha256h2q_u32(efgh, abcd, word)];
                }
            };
        }
        sixteen_times!(four_rounds);
        for (halves, before) in halves.iter_mut().zip(before) {
            for (half, before) in halves.iter_mut().zip(before) {
                *half = vaddq_u32(*half, before);
            }
        }
    }
    for (state, halves) in states.into_iter().zip(halves) {
        *state = join(halves);
    }
}

/// Splits a state into the halves `ABCD` and `EFGH`.
#[inline]
#[target_feature(enable = "neon")]
fn split(state: &State) -> [uint32x4_t; 2] {
    let (halves, _) = state.0.as_chunks();
    [load_words(&halves[0]), load_words(&halves[1])]
}

/// The reverse of [`split`].
#[inline]
#[target_feature(enable = "neon")]
fn join(halves: [uint32x4_t; 2]) -> State {
    let mut state = [0; 8];
    for (words, half) in state.as_chunks_mut::<4>().0.iter_mut().zip(halves) {
        // SAFETY: writes these 16 bytes.
        unsafe { vst1q_u32(words.as_mut_ptr(), half) };
    }
    State(state)
}

/// Loads a block as big-endian words.
#[inline]
#[target_feature(enable = "neon")]
fn load_message(block: &Block) -> [uint32x4_t; 4] {
    let mut words = [load_words(&[0; 4]); 4];
    for (word, quarter) in words.iter_mut().zip(block.as_chunks::<16>().0) {
        // SAFETY: reads these 16 bytes.
        let bytes = unsafe { vld1q_u8(quarter.as_ptr()) };
        *word = vreinterpretq_u32_u8(vrev32q_u8(bytes));
    }
    words
}

#[inline]
#[target_feature(enable = "neon")]
fn load_words(words: &[u32; 4]) -> uint32x4_t {
    // SAFETY: reads these 16 bytes.
    unsafe { vld1q_u32(words.as_ptr()) }
}
