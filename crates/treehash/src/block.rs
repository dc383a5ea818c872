//! Buffers of one leaf each that are used again.
//!
//! The kernel clears every page that a process has not had before, which costs as much as hashing the page: so what a
//! transfer has done with is kept for the next leaf. Their addresses are those that disks can be given, so a leaf can go
//! from its buffer to the disk past the system's memory.

use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf as _, Bytes};

use crate::leaf::LEAF_SIZE;

/// What the addresses of blocks are multiples of, in bytes: the sectors of all disks, and the pages of most machines.
pub const BLOCK_ALIGNMENT: usize = 4096;

/// Free blocks that are kept at rest.
const MAX_IDLE: usize = 8;

/// What is filled with at most so many bytes gets a buffer of its own length: of a block, it would waste most.
const SHORT_BYTES: usize = 64 << 10;

/// A place to take blocks from; clones share what is free. It does not limit how many are in use, and keeps what was in
/// use for a second or so after the last of it was: transfers give back and take again many at a time.
#[derive(Clone, Default)]
pub struct Blocks {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    free: Vec<Vec<u8>>,
    in_use: usize,
}

impl Blocks {
    /// Takes an empty block.
    #[must_use]
    pub fn take(&self) -> Block {
        let mut state = self.state();
        state.in_use += 1;
        let room = state.free.pop();
        drop(state);
        let room = room.unwrap_or_else(|| vec![0; LEAF_SIZE + BLOCK_ALIGNMENT]);
        let begin = room.as_ptr().align_offset(BLOCK_ALIGNMENT);
        // Without a way to align it is a buffer like any other.
        let begin = if begin < BLOCK_ALIGNMENT { begin } else { 0 };
        Block { room, begin, len: 0, home: self.clone() }
    }

    /// Takes a block and has `length` bytes of it filled, at most [`LEAF_SIZE`]; they may hold anything before. For a
    /// few bytes it is a buffer of that length that is not used again.
    ///
    /// # Errors
    ///
    /// That of `fill`; the block is free again then.
    ///
    /// # Panics
    ///
    /// When `length` is more than a leaf.
    pub fn filled<E>(
        &self,
        length: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<Bytes, E> {
        assert!(length <= LEAF_SIZE, "a block has the length of a leaf");
        if length <= SHORT_BYTES {
            let mut buffer = vec![0; length];
            fill(&mut buffer)?;
            return Ok(buffer.into());
        }
        let mut block = self.take();
        let begin = block.begin;
        fill(&mut block.room[begin..begin + length])?;
        block.len = length;
        Ok(block.freeze())
    }

    /// Whether there is nothing in use, and nothing to trim.
    pub(crate) fn are_at_rest(&self) -> bool {
        let state = self.state();
        state.in_use == 0 && state.free.len() <= MAX_IDLE
    }

    /// Gives free blocks back to the system, but for as many as are in use, or a few.
    pub(crate) fn trim(&self) {
        let mut state = self.state();
        let kept = state.in_use.max(MAX_IDLE).min(state.free.len());
        let surplus = state.free.split_off(kept);
        drop(state);
        drop(surplus);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic under this lock leaves a list of buffers all the same.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        let free = state.free.len();
        f.debug_struct("Blocks").field("free", &free).field("in_use", &state.in_use).finish()
    }
}

/// A buffer for one leaf, filled from its begin on.
pub struct Block {
    room: Vec<u8>,
    begin: usize,
    len: usize,
    home: Blocks,
}

impl Block {
    /// Moves bytes from the front of `bytes` to the end of the block, as many as fit.
    pub fn fill_from(&mut self, bytes: &mut Bytes) {
        let count = bytes.len().min(LEAF_SIZE - self.len);
        let at = self.begin + self.len;
        self.room[at..at + count].copy_from_slice(&bytes[..count]);
        self.len += count;
        bytes.advance(count);
    }

    /// Whether it holds a whole leaf.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.len == LEAF_SIZE
    }

    /// Returns what it holds. The buffer is free again when the last clone or piece of it is dropped.
    #[must_use]
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        &self.room[self.begin..self.begin + self.len]
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let mut state = self.home.state();
        state.in_use -= 1;
        state.free.push(mem::take(&mut self.room));
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Block").field("len", &self.len).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{BLOCK_ALIGNMENT, Blocks, Bytes, LEAF_SIZE, MAX_IDLE, SHORT_BYTES};

    const LONG: usize = SHORT_BYTES + 1;

    #[test]
    fn a_block_comes_back_when_the_last_of_its_bytes_is_dropped() {
        let blocks = Blocks::default();
        let filled = |length, byte| {
            let fill = |buffer: &mut [u8]| {
                buffer.fill(byte);
                Ok::<_, ()>(())
            };
            blocks.filled(length, fill).unwrap()
        };
        let mut first = filled(LEAF_SIZE, 1);
        let address = first.as_ptr();
        assert_eq!(address.align_offset(BLOCK_ALIGNMENT), 0);
        let rest = first.split_off(4);
        drop(first);
        assert_eq!(blocks.state().free.len(), 0);
        assert_eq!(rest, [1; LEAF_SIZE - 4][..]);
        drop(rest);
        let second = filled(LONG, 2);
        assert_eq!((second.as_ptr(), &second[..]), (address, &[2; LONG][..]));

        let free = || blocks.state().free.len();
        let mut many: Vec<_> = (0..4 * MAX_IDLE).map(|_| filled(LONG, 3)).collect();
        drop((second, many.split_off(MAX_IDLE + 1)));
        assert_eq!(free(), 3 * MAX_IDLE, "all that were in use");
        blocks.trim();
        assert_eq!(free(), MAX_IDLE + 1, "as many as are in use");
        assert!(!blocks.are_at_rest());
        drop(many);
        blocks.trim();
        assert_eq!(free(), MAX_IDLE, "what is at rest keeps a few");
        assert!(blocks.are_at_rest());
    }

    #[test]
    fn a_few_bytes_take_no_block() {
        let blocks = Blocks::default();
        let fill = |buffer: &mut [u8]| {
            buffer.fill(1);
            Ok::<_, ()>(())
        };
        let bytes = blocks.filled(SHORT_BYTES, fill).unwrap();
        assert_eq!(bytes, [1; SHORT_BYTES][..]);
        drop(bytes);
        assert_eq!(blocks.state().free.len(), 0);
    }

    #[test]
    fn what_could_not_be_filled_is_no_bytes() {
        let blocks = Blocks::default();
        assert_eq!(blocks.filled(LONG, |_| Err("why")), Err("why"));
        assert_eq!(blocks.state().free.len(), 1);
    }

    #[test]
    fn a_block_takes_a_leaf_and_no_more() {
        let bytes: Vec<u8> = (0..LEAF_SIZE + 10).map(|n| n.to_le_bytes()[1]).collect();
        let mut rest = Bytes::from(bytes.clone());
        let mut block = Blocks::default().take();
        block.fill_from(&mut rest.split_to(5));
        assert!(!block.is_full());
        block.fill_from(&mut rest);
        assert!(block.is_full());
        block.fill_from(&mut rest);
        assert_eq!(rest, bytes[LEAF_SIZE..]);
        assert_eq!(block.freeze(), bytes[..LEAF_SIZE]);
    }
}
