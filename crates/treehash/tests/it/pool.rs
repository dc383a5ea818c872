//! What a pool promises beside right hashes: no deadlock, clean cancelling, no copy, threads that end.

use std::future::Future as _;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use icefield_treehash::{HashPool, Hasher, LEAF_SIZE, Roles, TreeHash};

const BOTH: Roles = Roles { linear: true };

fn pool(workers: usize) -> HashPool {
    HashPool::new(NonZeroUsize::new(workers).unwrap())
}

fn data(length: usize, seed: u8) -> Bytes {
    (0..length).map(|i| (i >> 7).to_le_bytes()[0] ^ seed).collect()
}

/// 100 streams, each with a part of a leaf in hand, want more than the budget of 64 MiB at once.
#[tokio::test]
async fn many_streams_with_incomplete_leaves_share_the_budget_without_a_deadlock() {
    let pool = pool(2);
    let bytes = data(2 * LEAF_SIZE - 10, 3);
    let mut hasher = Hasher::new(BOTH);
    hasher.update(&bytes);
    let expected = hasher.finish();

    let mut streams: Vec<_> = (0..100).map(|_| pool.start(BOTH)).collect();
    for piece in [0..700_000, 700_000..1_400_000, 1_400_000..bytes.len()] {
        for stream in &mut streams {
            stream.submit(bytes.slice(piece.clone())).await;
        }
    }
    for stream in streams {
        assert_eq!(stream.finish().await, expected);
    }
}

/// As many as fill the lanes, of different lengths, beside streams of leaves alone.
#[tokio::test]
async fn streams_with_and_without_a_linear_hash_share_the_workers() {
    for workers in [1, 2, 3] {
        let pool = pool(workers);
        let bytes = data(4 * LEAF_SIZE, 7);
        let streams = (0..20_usize).map(|n| {
            let (roles, bytes) = (Roles { linear: n % 5 > 0 }, bytes.slice(n..n * 200_001));
            let mut stream = pool.start(roles);
            tokio::spawn(async move {
                stream.submit(bytes.clone()).await;
                (stream.finish().await, roles, bytes)
            })
        });
        // All are begun before one is waited for.
        let streams: Vec<_> = streams.collect();
        for stream in streams {
            let (hashed, roles, bytes) = stream.await.unwrap();
            let mut hasher = Hasher::new(roles);
            hasher.update(&bytes);
            assert_eq!(hashed, hasher.finish());
        }
    }
}

#[tokio::test]
async fn one_buffer_larger_than_the_budget_passes() {
    let pool = pool(2);
    let bytes = data(70 * LEAF_SIZE, 5);
    let mut stream = pool.start(BOTH);
    stream.submit(bytes.clone()).await;
    let hashed = stream.finish().await;
    assert_eq!(hashed.leaves.len(), 70);
    let mut hasher = Hasher::new(BOTH);
    hasher.update(&bytes);
    assert_eq!(hashed, hasher.finish());
}

/// A `submit` that is dropped while it waits for the budget must neither lose nor repeat bytes.
#[tokio::test]
async fn a_dropped_submit_loses_nothing() {
    let pool = pool(1);
    // More leaves than the budget holds, and more than tokio lets one poll acquire.
    let bytes = Bytes::from(vec![7; 150 * LEAF_SIZE + 1]);
    let mut stream = pool.start(BOTH);
    {
        let mut submit = pin!(stream.submit(bytes.clone()));
        let polled = submit.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(polled, Poll::Pending, "150 MiB are not accepted at once");
    }
    let mut hasher = Hasher::new(BOTH);
    hasher.update(&bytes);
    assert_eq!(stream.finish().await, hasher.finish());
}

#[tokio::test]
async fn dropped_streams_give_their_share_back() {
    let pool = pool(1);
    for _ in 0..8 {
        let mut stream = pool.start(BOTH);
        stream.submit(data(32 * LEAF_SIZE, 9)).await;
        drop(stream);
    }
    let mut whole_budget = pool.start(BOTH);
    whole_budget.submit(data(64 * LEAF_SIZE, 9)).await;
    assert_eq!(whole_budget.finish().await.leaves.len(), 64);
}

#[tokio::test]
async fn a_single_leaf_is_hashed_inline_or_by_a_worker() {
    let pool = pool(2);
    for length in [0, 1, 64 << 10, (64 << 10) + 1, LEAF_SIZE - 1, LEAF_SIZE] {
        let bytes = data(length, 1);
        assert_eq!(pool.leaves(vec![bytes.clone()]).await, [TreeHash::of_leaf(&bytes)]);
    }
}

/// Counts how many of its buffers are alive, so that a kept or leaked one is seen.
struct Counted(Vec<u8>, Arc<AtomicUsize>);

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn every_buffer_is_freed_when_the_pool_has_ended() {
    let alive = Arc::new(AtomicUsize::new(0));
    let pool = pool(2);
    let mut finished = pool.start(BOTH);
    let mut dropped = pool.start(BOTH);
    for _ in 0..20 {
        for stream in [&mut finished, &mut dropped] {
            alive.fetch_add(1, Ordering::SeqCst);
            stream.submit(Bytes::from_owner(Counted(vec![1; LEAF_SIZE], Arc::clone(&alive)))).await;
        }
    }
    drop(dropped);
    drop(finished.finish().await);
    drop(pool);
    assert_eq!(alive.load(Ordering::SeqCst), 0);
}
