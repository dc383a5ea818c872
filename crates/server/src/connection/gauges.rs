//! What the connections are doing, as numbers for the metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts of one server's connections. Clones share the numbers, which start at zero.
#[derive(Debug, Clone, Default)]
pub struct Gauges(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    open: AtomicU64,
    accepted: AtomicU64,
    refused: AtomicU64,
    shed: AtomicU64,
    bytes: AtomicU64,
}

impl Gauges {
    /// Returns the number of connections open now.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.0.open.load(Relaxed)
    }

    /// Returns the number of connections accepted since the start.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.0.accepted.load(Relaxed)
    }

    /// Returns the number of failed accepts, failed handshakes, and requests refused before any service saw them.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Relaxed)
    }

    /// Returns the number of idle connections closed to make room for others.
    #[must_use]
    pub fn sheds(&self) -> u64 {
        self.0.shed.load(Relaxed)
    }

    /// Returns the bytes of request bodies held now.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.bytes.load(Relaxed)
    }

    pub(crate) fn refuse(&self) {
        self.0.refused.fetch_add(1, Relaxed);
    }

    pub(crate) fn shed(&self) {
        self.0.shed.fetch_add(1, Relaxed);
    }

    /// Counts a connection as open until the returned value is dropped.
    pub(crate) fn accept(&self) -> Open {
        self.0.accepted.fetch_add(1, Relaxed);
        self.0.open.fetch_add(1, Relaxed);
        Open(self.clone())
    }

    pub(crate) fn hold(&self, bytes: usize) {
        self.0.bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(crate) fn let_go(&self, bytes: usize) {
        self.0.bytes.fetch_sub(bytes as u64, Relaxed);
    }
}

/// One open connection.
#[derive(Debug)]
pub(crate) struct Open(Gauges);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.0.open.fetch_sub(1, Relaxed);
    }
}
