//! How time is injected: a trait, and a clock for tests. Nothing here reads a clock.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::timestamp::Timestamp;

/// Tells the time of day in UTC.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Returns the current time, with the resolution of [`Timestamp`] (milliseconds).
    fn now(&self) -> Timestamp;
}

/// A clock that stands still until it is told to advance.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// Starts the clock at `start`.
    #[must_use]
    pub fn new(start: Timestamp) -> Self {
        Self(AtomicI64::new(start.unix_millis()))
    }

    /// Moves the clock forward by `step`, rounded down to milliseconds.
    pub fn advance(&self, step: Duration) {
        self.0.fetch_add(i64::try_from(step.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_millis(self.0.load(Ordering::SeqCst))
    }
}
