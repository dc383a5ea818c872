//! SHA-NI: the instructions for one message, with two hashes interleaved.
//!
//! A round waits four cycles for the one before it, and one can begin every three or so: two hashes in turn hide most of
//! the waiting. More than two gain nothing. Two hashes of the same blocks share the message schedule.

use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_blend_epi16, _mm_loadu_si128, _mm_set_epi8,
    _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32, _mm_shuffle_epi8,
    _mm_shuffle_epi32, _mm_storeu_si128,
};

use super::super::kernels::Streams;
use super::super::{Block, ROUND_CONSTANTS, State, sixteen_times};
use super::fetch_ahead;

/// Returns the kernels, where the processor has SHA-NI.
pub(super) fn detected() -> Option<&'static dyn Streams> {
    let has = is_x86_feature_detected!("sha")
        && is_x86_feature_detected!("ssse3")
        && is_x86_feature_detected!("sse4.1");
    has.then_some(&ShaNi(()))
}

struct ShaNi(());

impl Streams for ShaNi {
    fn name(&self) -> &'static str {
        "SHA-NI"
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
#[target_feature(enable = "sha,sse4.1,ssse3")]
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
            fetch_ahead(blocks, index);
            *words = load_message(&blocks[index]);
        }
        macro_rules! four_rounds {
            ($four:literal) => {
                let mut summed = [load_words(&ROUND_CONSTANTS.as_chunks().0[$four]); M];
                for (sum, words) in summed.iter_mut().zip(&mut words) {
                    if $four >= 4 {
                        let [w0, w1] = [words[$four % 4], words[($four + 1) % 4]];
                        let [w2, w3] = [words[($four + 2) % 4], words[($four + 3) % 4]];
                        words[$four % 4] = schedule(w0, w1, w2, w3);
                    }
                    *sum = _mm_add_epi32(*sum, words[$four % 4]);
                }
                for (s, halves) in halves.iter_mut().enumerate() {
                    let [abef, cdgh] = *halves;
                    let low = summed[s % M];
                    let middle = _mm_sha256rnds2_epu32(cdgh, abef, low);
                    let high = _mm_shuffle_epi32(low, 0x0e);
                    *halves = [_mm_sha256rnds2_epu32(abef, middle, high), middle];
                }
            };
        }
        sixteen_times!(four_rounds);
        for (halves, before) in halves.iter_mut().zip(before) {
            for (half, before) in halves.iter_mut().zip(before) {
                *half = _mm_add_epi32(*half, before);
            }
        }
    }
    for (state, halves) in states.into_iter().zip(halves) {
        *state = join(halves);
    }
}

/// Returns the four words of the message schedule that follow.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn schedule(w0: __m128i, w1: __m128i, w2: __m128i, w3: __m128i) -> __m128i {
    let partial = _mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), _mm_alignr_epi8(w3, w2, 4));
    _mm_sha256msg2_epu32(partial, w3)
}

/// Splits a state into the halves `ABEF` and `CDGH` that the instructions work on, `F` and `H` lowest.
#[inline]
#[target_feature(enable = "sse4.1,ssse3")]
fn split(state: &State) -> [__m128i; 2] {
    let (halves, _) = state.0.as_chunks();
    let badc = _mm_shuffle_epi32(load_words(&halves[0]), 0xb1);
    let hgfe = _mm_shuffle_epi32(load_words(&halves[1]), 0x1b);
    [_mm_alignr_epi8(badc, hgfe, 8), _mm_blend_epi16(hgfe, badc, 0xf0)]
}

/// The reverse of [`split`].
#[inline]
#[target_feature(enable = "sse4.1,ssse3")]
fn join([abef, cdgh]: [__m128i; 2]) -> State {
    let feba = _mm_shuffle_epi32(abef, 0x1b);
    let dchg = _mm_shuffle_epi32(cdgh, 0xb1);
    let mut state = [0; 8];
    let (halves, _) = state.as_chunks_mut();
    store_words(&mut halves[0], _mm_blend_epi16(feba, dchg, 0xf0));
    store_words(&mut halves[1], _mm_alignr_epi8(dchg, feba, 8));
    State(state)
}

/// Loads a block as big-endian words.
#[inline]
#[target_feature(enable = "ssse3")]
fn load_message(block: &Block) -> [__m128i; 4] {
    let big_endian = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
    let mut words = [load_words(&[0; 4]); 4];
    for (word, quarter) in words.iter_mut().zip(block.as_chunks::<16>().0) {
        // SAFETY: reads these 16 bytes, of any alignment.
        let bytes = unsafe { _mm_loadu_si128(quarter.as_ptr().cast()) };
        *word = _mm_shuffle_epi8(bytes, big_endian);
    }
    words
}

#[inline]
#[target_feature(enable = "sse2")]
fn load_words(words: &[u32; 4]) -> __m128i {
    // SAFETY: reads these 16 bytes, of any alignment.
    unsafe { _mm_loadu_si128(words.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "sse2")]
fn store_words(words: &mut [u32; 4], register: __m128i) {
    // SAFETY: writes these 16 bytes, of any alignment.
    unsafe { _mm_storeu_si128(words.as_mut_ptr().cast(), register) }
}
