//! How many bytes a second does hashing take in, by size, against the library in the same run?
//!
//! `Hasher` works on the calling thread, a pool on as many threads as it says. Rows of one run may be compared with each
//! other, not with those of another machine or day.

mod baseline;

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::slice;
use std::thread::available_parallelism;
use std::time::Duration;

use baseline::{PARTS, Pooled, aws_lc, both_by, by_hasher, data, tree_by};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use icefield_treehash::LEAF_SIZE;

const SIZES: [usize; 6] = [4 << 10, 64 << 10, LEAF_SIZE, 4 << 20, 16 << 20, 64 << 20];

fn one_stream(criterion: &mut Criterion) {
    let whole = data(64 << 20);
    let workers = available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let pool = Pooled::new(workers);
    for linear in [false, true] {
        let mut group =
            criterion.benchmark_group(if linear { "tree and linear hash" } else { "tree hash" });
        for size in SIZES {
            let bytes = whole.slice(..size);
            group.throughput(Throughput::Bytes(size as u64));
            group.bench_function(BenchmarkId::new("Hasher", size), |bencher| {
                bencher.iter(|| by_hasher(black_box(&bytes), linear));
            });
            group.bench_function(BenchmarkId::new(format!("pool of {workers}"), size), |bencher| {
                bencher.iter(|| pool.hash(slice::from_ref(&bytes), linear));
            });
            group.bench_function(BenchmarkId::new("library", size), |bencher| {
                if linear {
                    bencher.iter(|| both_by(aws_lc, black_box(&bytes)));
                } else {
                    bencher.iter(|| tree_by(aws_lc, black_box(&bytes)));
                }
            });
        }
        group.finish();
    }
}

fn parts(criterion: &mut Criterion) {
    let whole = data(128 << 20);
    let one_worker = Pooled::new(NonZeroUsize::MIN);
    let mut group = criterion.benchmark_group("tree and linear hash of 16 parts");
    for size in [LEAF_SIZE, 2 << 20, 4 << 20, 8 << 20] {
        let parts: Vec<_> = (0..PARTS).map(|n| whole.slice(n * size..(n + 1) * size)).collect();
        group.throughput(Throughput::Bytes((PARTS * size) as u64));
        group.bench_function(BenchmarkId::new("pool of 1", size), |bencher| {
            bencher.iter(|| one_worker.hash(black_box(&parts), true));
        });
        group.bench_function(BenchmarkId::new("library", size), |bencher| {
            bencher.iter(|| {
                parts.iter().map(|part| both_by(aws_lc, black_box(part))).collect::<Vec<_>>()
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = hashing;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = one_stream, parts
}
criterion_main!(hashing);
