//! Bytes that have arrived and wait to be sent: a part of a stream, or of an archive on its way from another target.
//!
//! They are needed twice, to be hashed and to be sent, and come once. Short ones stay in memory; longer ones go into a
//! temporary file without a name, which vanishes with the process.

use std::{
    fs::File,
    io::{self, Write as _},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::stream;
use icefield_treehash::Blocks;
use tokio::sync::mpsc;

use crate::{
    body::{Body, Chunks},
    local,
};

/// More bytes than this go into a file.
const MEMORY_MAX_BYTES: u64 = 32 << 20;

/// Length of the chunks that are read back.
const CHUNK_BYTES: u64 = 1 << 20;

/// Chunks read back ahead of the target.
const READ_AHEAD: usize = 2;

/// Bytes that can be sent any number of times.
#[derive(Debug, Clone, Default)]
pub struct Spooled {
    chunks: Vec<Bytes>,
    file: Option<Arc<File>>,
    size: u64,
}

impl Spooled {
    /// Adds bytes. Blocking once there are many.
    ///
    /// # Errors
    ///
    /// When the temporary file fails, for example because its volume is full.
    pub fn push(&mut self, bytes: Bytes) -> io::Result<()> {
        self.size += bytes.len() as u64;
        if let Some(mut file) = self.file.as_deref() {
            return file.write_all(&bytes);
        }
        self.chunks.push(bytes);
        if self.size > MEMORY_MAX_BYTES {
            let mut file = tempfile::tempfile()?;
            for chunk in self.chunks.drain(..) {
                file.write_all(&chunk)?;
            }
            self.file = Some(Arc::new(file));
        }
        Ok(())
    }

    /// Returns how many they are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether adding more may block.
    pub fn is_in_memory(&self) -> bool {
        self.file.is_none() && self.size < MEMORY_MAX_BYTES / 2
    }

    /// Returns them as a body.
    pub fn body(&self) -> Body {
        match &self.file {
            None => Body::of(self.chunks.clone()),
            Some(file) => {
                let (file, size) = (Arc::clone(file), self.size);
                Body::new(size, move || read_back(Arc::clone(&file), size))
            }
        }
    }
}

fn read_back(file: Arc<File>, size: u64) -> Chunks {
    let (sender, mut receiver) = mpsc::channel(READ_AHEAD);
    // It ends with the chunks, or at the first one after they were dropped.
    drop(tokio::task::spawn_blocking(move || {
        let (mut offset, blocks) = (0, Blocks::default());
        while offset < size {
            let length = CHUNK_BYTES.min(size - offset);
            let read = |buffer: &mut [u8]| local::read_exact_at(&file, buffer, offset);
            let read = blocks.filled(usize::try_from(length).expect("a chunk fits"), read);
            let failed = read.is_err();
            if sender.blocking_send(read).is_err() || failed {
                return;
            }
            offset += length;
        }
    }));
    Box::pin(stream::poll_fn(move |context| receiver.poll_recv(context)))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::StreamExt as _;

    use super::{MEMORY_MAX_BYTES, Spooled};

    #[tokio::test]
    async fn what_is_too_much_for_memory_comes_back_from_a_file() {
        for mib in [0, 3, 32, 33, 40_u8] {
            let mut spooled = Spooled::default();
            for n in 0..mib {
                spooled.push(Bytes::from(vec![n; 1 << 20])).unwrap();
            }
            let is_in_file = u64::from(mib) << 20 > MEMORY_MAX_BYTES;
            assert_eq!(spooled.file.is_some(), is_in_file, "{mib}");
            let body = spooled.body();
            for _ in 0..2 {
                let mut next = 0;
                let mut chunks = body.read();
                while let Some(chunk) = chunks.next().await {
                    let chunk = chunk.unwrap();
                    assert!(chunk.iter().all(|byte| *byte == next), "chunk {next} of {mib}");
                    next += 1;
                }
                assert_eq!((next, body.size()), (mib, u64::from(mib) << 20));
            }
        }
    }
}
