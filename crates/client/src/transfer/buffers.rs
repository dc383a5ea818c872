//! Buffers that are used again: the kernel clears every new one, which costs as much as reading into it.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

/// Free buffers that are kept, as many as are in use by a few bodies.
const MAX_FREE: usize = 32;

/// Buffers of about one length. Clones share what is free.
#[derive(Debug, Clone, Default)]
pub(super) struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

impl Buffers {
    /// Takes a buffer of `length` bytes, which may hold anything, and has it filled.
    pub(super) fn filled<E>(
        &self,
        length: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<Bytes, E> {
        let mut buffer = self.free().pop().unwrap_or_default();
        buffer.resize(length, 0);
        fill(&mut buffer)?;
        Ok(Bytes::from_owner(Filled { buffer, home: self.clone() }))
    }

    fn free(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Goes back when the last of its bytes is dropped.
struct Filled {
    buffer: Vec<u8>,
    home: Buffers,
}

impl AsRef<[u8]> for Filled {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        let mut free = self.home.free();
        if free.len() < MAX_FREE {
            free.push(mem::take(&mut self.buffer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Buffers, MAX_FREE};

    #[test]
    fn a_buffer_comes_back_when_the_last_of_its_bytes_is_dropped() {
        let buffers = Buffers::default();
        let filled = |length, byte| {
            let fill = |buffer: &mut [u8]| {
                buffer.fill(byte);
                Ok::<_, ()>(())
            };
            buffers.filled(length, fill).unwrap()
        };
        let mut first = filled(10, 1);
        let rest = first.split_off(4);
        drop(first);
        assert_eq!(buffers.free().len(), 0);
        assert_eq!(rest, [1; 6][..]);
        let address = rest.as_ptr() as usize - 4;
        drop(rest);
        let second = filled(7, 2);
        assert_eq!((second.as_ptr() as usize, &second[..]), (address, &[2; 7][..]));

        let many: Vec<_> = (0..=MAX_FREE).map(|_| filled(1, 3)).collect();
        drop((second, many));
        assert_eq!(buffers.free().len(), MAX_FREE);
    }

    #[test]
    fn what_could_not_be_filled_is_no_bytes() {
        assert_eq!(Buffers::default().filled(1, |_| Err("why")), Err("why"));
    }
}
