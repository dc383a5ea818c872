//! AVX-512: sixteen messages, one in each 32-bit lane.

use std::arch::x86_64::{
    __m512i, _mm_set_epi8, _mm512_add_epi32, _mm512_broadcast_i32x4, _mm512_loadu_si512,
    _mm512_ror_epi32, _mm512_set1_epi32, _mm512_shuffle_epi8, _mm512_shuffle_i32x4,
    _mm512_srli_epi32, _mm512_storeu_si512, _mm512_ternarylogic_epi32, _mm512_unpackhi_epi32,
    _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};

use super::super::kernels::{Columns, Lanes, MAX_LANES};
use super::super::{Block, ROUND_CONSTANTS, sixteen_times};
use super::fetch_ahead;
use super::rounds::lanes;

/// Returns the kernels, where the processor has AVX-512 F and BW.
pub(super) fn detected() -> Option<&'static dyn Lanes> {
    let has = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
    has.then_some(&Avx512(()))
}

struct Avx512(());

impl Lanes for Avx512 {
    fn name(&self) -> &'static str {
        "AVX-512"
    }

    fn width(&self) -> usize {
        16
    }

    fn single(&self, states: &mut Columns, blocks: &[&[Block]; MAX_LANES]) {
        // SAFETY: a value of this type exists only where the features were detected.
        unsafe { advance([states], blocks) }
    }

    fn twin(&self, states: [&mut Columns; 2], blocks: &[&[Block]; MAX_LANES]) {
        // SAFETY: as above.
        unsafe { advance(states, blocks) }
    }
}

lanes!(__m512i, 16, "avx512f,avx512bw");

#[inline]
#[target_feature(enable = "avx512f")]
fn rotate<const BITS: i32>(word: __m512i) -> __m512i {
    _mm512_ror_epi32::<BITS>(word)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn shift<const BITS: u32>(word: __m512i) -> __m512i {
    _mm512_srli_epi32::<BITS>(word)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn add(a: __m512i, b: __m512i) -> __m512i {
    _mm512_add_epi32(a, b)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn xor(a: __m512i, b: __m512i, c: __m512i) -> __m512i {
    _mm512_ternarylogic_epi32(a, b, c, 0x96)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn choose(e: __m512i, f: __m512i, g: __m512i) -> __m512i {
    _mm512_ternarylogic_epi32(e, f, g, 0xca)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn majority(a: __m512i, b: __m512i, c: __m512i) -> __m512i {
    _mm512_ternarylogic_epi32(a, b, c, 0xe8)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn splat(constant: u32) -> __m512i {
    _mm512_set1_epi32(constant.cast_signed())
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_state(columns: &Columns) -> [__m512i; 8] {
    let mut state = [splat(0); 8];
    for (word, row) in state.iter_mut().zip(&columns.0) {
        // SAFETY: reads the 64 bytes of the row, of any alignment.
        *word = unsafe { _mm512_loadu_si512(row.as_ptr().cast()) };
    }
    state
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store_state(columns: &mut Columns, state: [__m512i; 8]) {
    for (row, word) in columns.0.iter_mut().zip(state) {
        // SAFETY: writes the 64 bytes of the row, of any alignment.
        unsafe { _mm512_storeu_si512(row.as_mut_ptr().cast(), word) };
    }
}

/// Loads a block of every message: word `w` of all of them into register `w`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load_message(messages: &[&[Block]; 16], index: usize) -> [__m512i; 16] {
    let big_endian =
        _mm512_broadcast_i32x4(_mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3));
    let mut blocks = [splat(0); 16];
    for (register, message) in blocks.iter_mut().zip(messages) {
        fetch_ahead(message, index);
        // SAFETY: reads the 64 bytes of the block, of any alignment.
        let bytes = unsafe { _mm512_loadu_si512(message[index].as_ptr().cast()) };
        *register = _mm512_shuffle_epi8(bytes, big_endian);
    }
    transpose(blocks)
}

/// Turns a block per register into a word of every block per register.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose(blocks: [__m512i; 16]) -> [__m512i; 16] {
    let mut pairs = blocks;
    for i in 0..8 {
        pairs[2 * i] = _mm512_unpacklo_epi32(blocks[2 * i], blocks[2 * i + 1]);
        pairs[2 * i + 1] = _mm512_unpackhi_epi32(blocks[2 * i], blocks[2 * i + 1]);
    }
    // After this step register 4i + k has, in its quarter q, word 4q + k of the blocks 4i to 4i + 3.
    let mut fours = pairs;
    for i in 0..4 {
        for half in 0..2 {
            let (low, high) = (pairs[4 * i + half], pairs[4 * i + 2 + half]);
            fours[4 * i + 2 * half] = _mm512_unpacklo_epi64(low, high);
            fours[4 * i + 2 * half + 1] = _mm512_unpackhi_epi64(low, high);
        }
    }
    // What is left is a transposition of quarters.
    let mut words = fours;
    for k in 0..4 {
        let [q0, q1, q2, q3] = [fours[k], fours[4 + k], fours[8 + k], fours[12 + k]];
        let even = [_mm512_shuffle_i32x4(q0, q1, 0x88), _mm512_shuffle_i32x4(q2, q3, 0x88)];
        let odd = [_mm512_shuffle_i32x4(q0, q1, 0xdd), _mm512_shuffle_i32x4(q2, q3, 0xdd)];
        words[k] = _mm512_shuffle_i32x4(even[0], even[1], 0x88);
        words[4 + k] = _mm512_shuffle_i32x4(odd[0], odd[1], 0x88);
        words[8 + k] = _mm512_shuffle_i32x4(even[0], even[1], 0xdd);
        words[12 + k] = _mm512_shuffle_i32x4(odd[0], odd[1], 0xdd);
    }
    words
}
