//! The one clock, injected everywhere.
//!
//! Nothing below the command line asks the system for the time, so hours of retrieval pass in no time under test.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use icefield_protocol::Timestamp;
pub use icefield_protocol::{Clock, ManualClock};
use rustix::time::{ClockId, clock_gettime};

/// The system's wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Timestamp::from_unix_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }

    fn boot(&self) -> Duration {
        let boot = clock_gettime(ClockId::Boottime);
        // It counts from zero, so neither half is negative.
        let nanos = u32::try_from(boot.tv_nsec).unwrap_or(0);
        Duration::new(u64::try_from(boot.tv_sec).unwrap_or(0), nanos)
    }
}
