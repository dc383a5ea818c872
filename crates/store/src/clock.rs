//! The one clock, injected everywhere.
//!
//! Nothing below the command line asks the system for the time, so hours of retrieval pass in no time under test.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use icefield_protocol::Timestamp;
pub use icefield_protocol::{Clock, ManualClock};

/// The system's wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Timestamp::from_unix_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }
}
