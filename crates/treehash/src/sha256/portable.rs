//! The library's block function: what is used where nothing better is, and what everything else is compared with.

use super::kernels::Streams;
use super::{Block, State};

/// `aws-lc`, one message at a time.
pub(super) struct Portable;

impl Streams for Portable {
    fn name(&self) -> &'static str {
        "aws-lc"
    }

    fn one(&self, state: &mut State, blocks: &[Block]) {
        if blocks.is_empty() {
            return;
        }
        aws_lc_rs::init();
        // SAFETY: the state is eight words, which the function reads and writes, and `blocks` is as many blocks of 64
        // bytes as it is told, which it only reads; it keeps neither. The library has been initialised.
        unsafe {
            aws_lc_sys::SHA256_TransformBlocks(
                state.0.as_mut_ptr(),
                blocks.as_ptr().cast(),
                blocks.len(),
            );
        }
    }
}
