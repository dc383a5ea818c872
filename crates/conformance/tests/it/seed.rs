//! The seed of what is random about a test: printed, and given again in `ICEFIELD_TEST_SEED`.

use std::{
    env,
    hash::{BuildHasher as _, RandomState},
};

use icefield_conformance::Random;

/// Returns the seed that the environment gives, else another one each time, and says which.
#[expect(clippy::disallowed_methods, reason = "a failed run is repeated with its seed")]
pub(crate) fn seed() -> u64 {
    let given = env::var("ICEFIELD_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| RandomState::new().hash_one(()));
    eprintln!("seed: ICEFIELD_TEST_SEED={seed}");
    seed
}

/// The same, with the sequence that begins with it.
pub(crate) fn random() -> (u64, Random) {
    let seed = seed();
    (seed, Random::new(seed))
}
