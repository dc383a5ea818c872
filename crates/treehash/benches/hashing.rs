//! How many bytes a second does hashing take in, by size of the stream and by what is wanted?
//!
//! Each row is the best of several rounds, because other work on the machine can only slow a round down. Rows of one run
//! may be compared with each other, not with those of another machine or day.

use std::{
    hint::black_box,
    io::Write as _,
    num::NonZeroUsize,
    thread::available_parallelism,
    time::{Duration, Instant},
};

use bytes::Bytes;
use icefield_treehash::{HashPool, Hasher, LEAF_SIZE, Roles};

/// Rounds of each row.
const ROUNDS: usize = 5;
/// Bytes that each round takes in, in as many streams as that makes.
const ROUND_BYTES: usize = 256 << 20;

fn main() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let workers = available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let pool = HashPool::new(workers);
    let mut out = std::io::stdout().lock();
    writeln!(out, "{:>10}  {:>28}  {:>10}", "stream", "what", "MB/s")?;
    for size in [4 << 10, 64 << 10, LEAF_SIZE, 64 << 20] {
        let data = Bytes::from(vec![0x5a; size]);
        for (linear, wanted) in [(false, "tree hash"), (true, "tree and linear hash")] {
            let alone = best(size, || {
                let mut hasher = Hasher::new(Roles { linear });
                hasher.update(&data);
                black_box(hasher.finish());
            });
            writeln!(out, "{size:>10}  {wanted:>28}  {alone:>10}")?;
            let pooled = best(size, || {
                let hashed = runtime.block_on(async {
                    let mut stream = pool.start(Roles { linear });
                    for leaf in (0..size).step_by(LEAF_SIZE) {
                        stream.submit(data.slice(leaf..size.min(leaf + LEAF_SIZE))).await;
                    }
                    stream.finish().await
                });
                black_box(hashed);
            });
            let wanted = format!("{wanted}, pool of {workers}");
            writeln!(out, "{size:>10}  {wanted:>28}  {pooled:>10}")?;
        }
    }
    Ok(())
}

/// Megabytes (10^6) a second of the best round.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn best(size: usize, mut hash: impl FnMut()) -> u128 {
    let streams = ROUND_BYTES / size;
    let round = || {
        let begin = Instant::now();
        for _ in 0..streams {
            hash();
        }
        begin.elapsed()
    };
    let fastest = std::iter::repeat_with(round).take(ROUNDS).min().unwrap_or(Duration::MAX);
    (streams * size) as u128 / fastest.as_micros().max(1)
}
