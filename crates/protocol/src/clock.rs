//! How time is injected: a trait, and a clock for tests. Nothing here reads a clock.

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::timestamp::Timestamp;

/// Tells the time of day in UTC, and how much time passes.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Returns the current time, with the resolution of [`Timestamp`] (milliseconds). Whoever administers the machine can
    /// set it, forward and back.
    fn now(&self) -> Timestamp;

    /// Returns the time since some moment that stays the same while this process runs, at times of sleep included. Nobody
    /// can set it, so differences between two readings tell what has really passed.
    fn boot(&self) -> Duration;
}

/// A clock that stands still until it is told to advance.
#[derive(Debug)]
pub struct ManualClock {
    wall_millis: AtomicI64,
    boot_millis: AtomicU64,
}

impl ManualClock {
    /// Starts the clock at `start`.
    #[must_use]
    pub fn new(start: Timestamp) -> Self {
        Self { wall_millis: AtomicI64::new(start.unix_millis()), boot_millis: AtomicU64::new(0) }
    }

    /// Lets the time `step` pass, rounded down to milliseconds.
    pub fn advance(&self, step: Duration) {
        let millis = i64::try_from(step.as_millis()).unwrap_or(i64::MAX);
        self.wall_millis.fetch_add(millis, Ordering::SeqCst);
        self.boot_millis.fetch_add(millis.unsigned_abs(), Ordering::SeqCst);
    }

    /// Sets the time of day, as an administrator may, while no time passes.
    pub fn set(&self, now: Timestamp) {
        self.wall_millis.store(now.unix_millis(), Ordering::SeqCst);
    }

    /// Moves the time of day by so many milliseconds, forward or back, while no time passes.
    pub fn jump(&self, millis: i64) {
        self.wall_millis.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_millis(self.wall_millis.load(Ordering::SeqCst))
    }

    fn boot(&self) -> Duration {
        Duration::from_millis(self.boot_millis.load(Ordering::SeqCst))
    }
}
