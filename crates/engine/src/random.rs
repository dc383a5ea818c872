//! Random bytes of the system.

use aws_lc_rs::rand;

use crate::error::EngineError;

/// Returns random bytes that nobody can guess.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], EngineError> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| EngineError::NoRandomness)?;
    Ok(bytes)
}
