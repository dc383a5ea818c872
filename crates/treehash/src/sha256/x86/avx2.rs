//! AVX2: eight messages, one in each 32-bit lane.

use std::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_and_si256, _mm256_loadu_si256, _mm256_or_si256,
    _mm256_permute2x128_si256, _mm256_set_epi8, _mm256_set1_epi32, _mm256_shuffle_epi8,
    _mm256_slli_epi32, _mm256_srli_epi32, _mm256_storeu_si256, _mm256_unpackhi_epi32,
    _mm256_unpackhi_epi64, _mm256_unpacklo_epi32, _mm256_unpacklo_epi64, _mm256_xor_si256,
};

use super::super::kernels::{Columns, Lanes, MAX_LANES};
use super::super::{Block, ROUND_CONSTANTS, sixteen_times};
use super::rounds::lanes;

/// Returns the kernels, where the processor has AVX2.
pub(super) fn detected() -> Option<&'static dyn Lanes> {
    is_x86_feature_detected!("avx2").then_some(&Avx2(()))
}

struct Avx2(());

impl Lanes for Avx2 {
    fn name(&self) -> &'static str {
        "AVX2"
    }

    fn width(&self) -> usize {
        8
    }

    fn single(&self, states: &mut Columns, blocks: &[&[Block]; MAX_LANES]) {
        // SAFETY: a value of this type exists only where the feature was detected.
        unsafe { advance([states], blocks) }
    }

    fn twin(&self, states: [&mut Columns; 2], blocks: &[&[Block]; MAX_LANES]) {
        // SAFETY: as above.
        unsafe { advance(states, blocks) }
    }
}

lanes!(__m256i, 8, "avx2");

#[inline]
#[target_feature(enable = "avx2")]
fn rotate<const BITS: i32>(word: __m256i) -> __m256i {
    const { assert!(0 < BITS && BITS < 32, "a rotation of a word") };
    // The count of the left shift cannot be computed from `BITS` where a constant is needed.
    let left = match BITS {
        2 => _mm256_slli_epi32(word, 30),
        6 => _mm256_slli_epi32(word, 26),
        7 => _mm256_slli_epi32(word, 25),
        11 => _mm256_slli_epi32(word, 21),
        13 => _mm256_slli_epi32(word, 19),
        17 => _mm256_slli_epi32(word, 15),
        18 => _mm256_slli_epi32(word, 14),
        19 => _mm256_slli_epi32(word, 13),
        22 => _mm256_slli_epi32(word, 10),
        25 => _mm256_slli_epi32(word, 7),
        _ => unreachable!("SHA-256 has no such rotation"),
    };
    _mm256_or_si256(_mm256_srli_epi32::<BITS>(word), left)
}

#[inline]
#[target_feature(enable = "avx2")]
fn shift<const BITS: i32>(word: __m256i) -> __m256i {
    _mm256_srli_epi32::<BITS>(word)
}

#[inline]
#[target_feature(enable = "avx2")]
fn add(a: __m256i, b: __m256i) -> __m256i {
    _mm256_add_epi32(a, b)
}

#[inline]
#[target_feature(enable = "avx2")]
fn xor(a: __m256i, b: __m256i, c: __m256i) -> __m256i {
    _mm256_xor_si256(_mm256_xor_si256(a, b), c)
}

#[inline]
#[target_feature(enable = "avx2")]
fn choose(e: __m256i, f: __m256i, g: __m256i) -> __m256i {
    _mm256_xor_si256(g, _mm256_and_si256(e, _mm256_xor_si256(f, g)))
}

#[inline]
#[target_feature(enable = "avx2")]
fn majority(a: __m256i, b: __m256i, c: __m256i) -> __m256i {
    _mm256_xor_si256(b, _mm256_and_si256(_mm256_xor_si256(a, b), _mm256_xor_si256(b, c)))
}

#[inline]
#[target_feature(enable = "avx2")]
fn splat(constant: u32) -> __m256i {
    _mm256_set1_epi32(constant.cast_signed())
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_state(columns: &Columns) -> [__m256i; 8] {
    let mut state = [splat(0); 8];
    for (word, row) in state.iter_mut().zip(&columns.0) {
        // SAFETY: reads the first 32 of the 64 bytes of the row, of any alignment.
        *word = unsafe { _mm256_loadu_si256(row.as_ptr().cast()) };
    }
    state
}

#[inline]
#[target_feature(enable = "avx2")]
fn store_state(columns: &mut Columns, state: [__m256i; 8]) {
    for (row, word) in columns.0.iter_mut().zip(state) {
        // SAFETY: writes the first 32 of the 64 bytes of the row, of any alignment.
        unsafe { _mm256_storeu_si256(row.as_mut_ptr().cast(), word) };
    }
}

/// Loads a block of every message: word `w` of all of them into register `w`.
#[inline]
#[target_feature(enable = "avx2")]
fn load_message(messages: &[&[Block]; 8], index: usize) -> [__m256i; 16] {
    let big_endian = _mm256_set_epi8(
        12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3, //
        12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3,
    );
    let mut words = [splat(0); 16];
    for (half, words) in words.as_chunks_mut().0.iter_mut().enumerate() {
        let mut rows = [splat(0); 8];
        for (register, message) in rows.iter_mut().zip(messages) {
            let half: &[u8; 32] = &message[index].as_chunks().0[half];
            // SAFETY: reads these 32 bytes, of any alignment.
            let bytes = unsafe { _mm256_loadu_si256(half.as_ptr().cast()) };
            *register = _mm256_shuffle_epi8(bytes, big_endian);
        }
        *words = transpose(rows);
    }
    words
}

/// Turns eight words of a message per register into a word of every message per register.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose(rows: [__m256i; 8]) -> [__m256i; 8] {
    let mut pairs = rows;
    for i in 0..4 {
        pairs[2 * i] = _mm256_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
        pairs[2 * i + 1] = _mm256_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
    }
    // After this step register 4i + k has, in its half h, word 4h + k of the messages 4i to 4i + 3.
    let mut fours = pairs;
    for i in 0..2 {
        for half in 0..2 {
            let (low, high) = (pairs[4 * i + half], pairs[4 * i + 2 + half]);
            fours[4 * i + 2 * half] = _mm256_unpacklo_epi64(low, high);
            fours[4 * i + 2 * half + 1] = _mm256_unpackhi_epi64(low, high);
        }
    }
    let mut words = fours;
    for k in 0..4 {
        words[k] = _mm256_permute2x128_si256(fours[k], fours[4 + k], 0x20);
        words[4 + k] = _mm256_permute2x128_si256(fours[k], fours[4 + k], 0x31);
    }
    words
}
