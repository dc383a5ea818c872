//! How delivering goes, for whoever measures. What waits and what was given up is counted by the ledger
//! (`LedgerStat::deliveries`, `LedgerStat::dead_deliveries`).

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// Counts since the server was started. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct NotifyCounters(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    delivered: AtomicU64,
    failed: AtomicU64,
    given_up: AtomicU64,
}

impl NotifyCounters {
    /// Messages that a destination has received.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        self.0.delivered.load(Relaxed)
    }

    /// Attempts that failed, of each message.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.0.failed.load(Relaxed)
    }

    /// Messages that were given up after their last attempt.
    #[must_use]
    pub fn given_up(&self) -> u64 {
        self.0.given_up.load(Relaxed)
    }

    pub(super) fn count_delivered(&self) {
        self.0.delivered.fetch_add(1, Relaxed);
    }

    pub(super) fn count_failed(&self, given_up: bool) {
        self.0.failed.fetch_add(1, Relaxed);
        if given_up {
            self.0.given_up.fetch_add(1, Relaxed);
        }
    }
}
