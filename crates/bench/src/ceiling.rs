//! What the machine itself can do: the limits that a server is measured against.

use std::{
    fs::{File, OpenOptions, remove_file},
    io::Write as _,
    num::NonZeroUsize,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    thread::{available_parallelism, scope},
    time::Instant,
};

use anyhow::{Result, anyhow};
use bytes::Bytes;
use icefield_treehash::{Blocks, HashPool, LEAF_SIZE, Roles};
use rustix::fs::OFlags;
use tokio::{runtime::Builder, task::JoinSet};

/// What is hashed at least, so that it takes a time that can be measured.
const HASH_BYTES: usize = 256 << 20;

/// How often hashing is measured: it takes moments, and what disturbs one of them is no limit.
const HASH_ROUNDS: usize = 3;

/// Returns how many bytes a second all cores hash in so many streams at once of that length, for both hashes or the tree
/// hash.
pub(crate) fn hash(payload: &Bytes, streams: usize, linear: bool) -> Result<f64> {
    let pool = HashPool::new(available_parallelism().unwrap_or(NonZeroUsize::MIN));
    let runtime = Builder::new_current_thread().build()?;
    let mut best = 0.0_f64;
    for _ in 0..HASH_ROUNDS {
        best = best.max(runtime.block_on(hash_once(&pool, payload, streams, linear))?);
    }
    Ok(best)
}

async fn hash_once(pool: &HashPool, payload: &Bytes, streams: usize, linear: bool) -> Result<f64> {
    let begin = Instant::now();
    let mut running = JoinSet::new();
    let each = HASH_BYTES.div_ceil(streams * payload.len());
    for _ in 0..streams {
        let (pool, bytes) = (pool.clone(), payload.clone());
        running.spawn(async move {
            for _ in 0..each {
                let mut stream = pool.start(Roles { linear });
                stream.submit(bytes.clone()).await;
                stream.finish().await;
            }
        });
    }
    while let Some(ended) = running.join_next().await {
        ended?;
    }
    Ok((each * streams * payload.len()) as f64 / begin.elapsed().as_secs_f64())
}

/// Returns how many bytes a second the disk of `folder` takes in as many files of that length at once, each synced at
/// its end: the better of the ways past the system's memory and through it.
pub(crate) fn disk(folder: &Path, len: usize, files: usize, rounds: usize) -> Result<f64> {
    let through = write(folder, len, files, rounds, OFlags::empty())?;
    // Where the file system has no way past, that is no limit.
    let past = write(folder, len, files, rounds, OFlags::DIRECT).unwrap_or(0.0);
    Ok(through.max(past))
}

fn write(folder: &Path, len: usize, files: usize, rounds: usize, flags: OFlags) -> Result<f64> {
    let begin = Instant::now();
    let ended: Result<Vec<()>> = scope(|scope| {
        let running: Vec<_> = (0..files)
            .map(|number| {
                let path = folder.join(format!("ceiling-{number}"));
                scope.spawn(move || {
                    // At an address that disks can be given.
                    let block = Blocks::default().filled(LEAF_SIZE, |buffer| {
                        buffer.fill(0x5a);
                        Ok::<_, anyhow::Error>(())
                    })?;
                    for _ in 0..rounds {
                        let mut file = open(&path, flags)?;
                        for _ in 0..len / LEAF_SIZE {
                            file.write_all(&block)?;
                        }
                        file.sync_data()?;
                        remove_file(&path)?;
                    }
                    Ok(())
                })
            })
            .collect();
        let joined = running.into_iter();
        joined.map(|thread| thread.join().unwrap_or_else(|_| Err(anyhow!("panicked")))).collect()
    });
    ended?;
    Ok((len * files * rounds) as f64 / begin.elapsed().as_secs_f64())
}

fn open(path: &Path, flags: OFlags) -> Result<File> {
    let flags = flags.bits().cast_signed();
    Ok(OpenOptions::new().write(true).create_new(true).custom_flags(flags).open(path)?)
}
