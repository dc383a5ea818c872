//! Random bytes for names that must never repeat and keys that must never be guessed.

/// Returns random bytes from the system's generator.
pub(crate) fn random<const LEN: usize>() -> [u8; LEN] {
    let mut bytes = [0; LEN];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system's random source never fails once seeded");
    bytes
}
