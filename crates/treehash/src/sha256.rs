//! SHA-256 over whole blocks: many messages at once where the machine can.
//!
//! A [`State`] is a hash in progress that stands at a border between blocks. [`Kernels`] advances states over blocks:
//! a few messages in registers of their own, many in the lanes of wide registers, and two hashes of the same bytes (a
//! leaf and the linear hash it is part of) in one pass, which also shares the message schedule. Which kernels a
//! machine has is found out once, at the first hash, and each of them has to pass a [self-test](selftest) first.
//!
//! Everything here is safe code; what needs `unsafe` is in one module per architecture, and [`portable`] has the one
//! call into the library.

#[cfg(target_arch = "aarch64")]
#[expect(unsafe_code, reason = "loads into registers, and calls of what was detected")]
mod aarch64;
mod advance;
mod kernels;
#[expect(unsafe_code, reason = "one call of a C function")]
mod portable;
mod selftest;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "loads into registers, and calls of what was detected")]
mod x86;

pub(crate) use advance::Job;
pub(crate) use kernels::{MAX_LANES, kernels};

/// Length of a block in bytes.
pub(crate) const BLOCK_SIZE: usize = 64;

/// What SHA-256 takes up at a time.
pub(crate) type Block = [u8; BLOCK_SIZE];

/// A hash after some whole blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State([u32; 8]);

impl State {
    /// The hash before the first block (FIPS 180-4, 5.3.3).
    pub(crate) const INITIAL: Self = Self([
        0x6a09_e667,
        0xbb67_ae85,
        0x3c6e_f372,
        0xa54f_f53a,
        0x510e_527f,
        0x9b05_688c,
        0x1f83_d9ab,
        0x5be0_cd19,
    ]);

    /// Returns the digest, once the [`Ending`] is taken up.
    pub(crate) fn digest(self) -> [u8; 32] {
        let mut digest = [0; 32];
        for (bytes, word) in digest.as_chunks_mut().0.iter_mut().zip(self.0) {
            *bytes = word.to_be_bytes();
        }
        digest
    }
}

/// The last one or two blocks of a message: what is left of it, and the padding (FIPS 180-4, 5.1.1).
pub(crate) struct Ending {
    blocks: [Block; 2],
    count: usize,
}

impl Ending {
    /// Makes the ending of a message of `length_bytes`, of which only `rest`, less than a block, is not taken up.
    pub(crate) fn new(rest: &[u8], length_bytes: u64) -> Self {
        let mut blocks = [[0; BLOCK_SIZE]; 2];
        blocks[0][..rest.len()].copy_from_slice(rest);
        blocks[0][rest.len()] = 0x80;
        let count = if rest.len() < BLOCK_SIZE - 8 { 1 } else { 2 };
        let length_bits = length_bytes << 3;
        blocks[count - 1][BLOCK_SIZE - 8..].copy_from_slice(&length_bits.to_be_bytes());
        Self { blocks, count }
    }

    pub(crate) fn blocks(&self) -> &[Block] {
        &self.blocks[..self.count]
    }
}

/// Returns the SHA-256 of `bytes`.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let (blocks, rest) = bytes.as_chunks();
    let mut state = State::INITIAL;
    kernels().one(&mut state, blocks);
    kernels().ended(state, rest, bytes.len() as u64)
}

/// FIPS 180-4, 4.2.2.
#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
const ROUND_CONSTANTS: [u32; 64] = [
    0x428a_2f98,
    0x7137_4491,
    0xb5c0_fbcf,
    0xe9b5_dba5,
    0x3956_c25b,
    0x59f1_11f1,
    0x923f_82a4,
    0xab1c_5ed5,
    0xd807_aa98,
    0x1283_5b01,
    0x2431_85be,
    0x550c_7dc3,
    0x72be_5d74,
    0x80de_b1fe,
    0x9bdc_06a7,
    0xc19b_f174,
    0xe49b_69c1,
    0xefbe_4786,
    0x0fc1_9dc6,
    0x240c_a1cc,
    0x2de9_2c6f,
    0x4a74_84aa,
    0x5cb0_a9dc,
    0x76f9_88da,
    0x983e_5152,
    0xa831_c66d,
    0xb003_27c8,
    0xbf59_7fc7,
    0xc6e0_0bf3,
    0xd5a7_9147,
    0x06ca_6351,
    0x1429_2967,
    0x27b7_0a85,
    0x2e1b_2138,
    0x4d2c_6dfc,
    0x5338_0d13,
    0x650a_7354,
    0x766a_0abb,
    0x81c2_c92e,
    0x9272_2c85,
    0xa2bf_e8a1,
    0xa81a_664b,
    0xc24b_8b70,
    0xc76c_51a3,
    0xd192_e819,
    0xd699_0624,
    0xf40e_3585,
    0x106a_a070,
    0x19a4_c116,
    0x1e37_6c08,
    0x2748_774c,
    0x34b0_bcb5,
    0x391c_0cb3,
    0x4ed8_aa4a,
    0x5b9c_ca4f,
    0x682e_6ff3,
    0x748f_82ee,
    0x78a5_636f,
    0x84c8_7814,
    0x8cc7_0208,
    0x90be_fffa,
    0xa450_6ceb,
    0xbef9_a3f7,
    0xc671_78f2,
];

/// Invokes `$step` with the numbers from 0 to 15. The compiler would not unroll a loop as long as this, and without that
/// the words could not stay in registers.
#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
macro_rules! sixteen_times {
    ($step:ident) => {
        $step!(0);
        $step!(1);
        $step!(2);
        $step!(3);
        $step!(4);
        $step!(5);
        $step!(6);
        $step!(7);
        $step!(8);
        $step!(9);
        $step!(10);
        $step!(11);
        $step!(12);
        $step!(13);
        $step!(14);
        $step!(15);
    };
}

#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
use sixteen_times;
