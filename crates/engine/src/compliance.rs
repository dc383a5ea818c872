//! The compliance clock: by what the age of archives is told to policies, whatever the system's clock says.
//!
//! It begins as the wall clock when the store is made, and then goes with the time that really passes while the store is
//! open, which nobody can set. For the time that the store was closed it has only the wall clock's word. So it catches up
//! slowly, by a week in a year of running, and no setting of the wall clock brings it further; it is never set back.
//! Retention ends late rather than early: a store that is seldom open lets its archives age only while it is.
//!
//! What it shows is recorded now and then. A process that is killed loses the time since; then archives made in that time
//! are younger than they are, never older.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use icefield_protocol::{Clock, Timestamp};
use icefield_store::entry::DocumentName;
use serde::{Deserialize, Serialize};

use crate::{
    documents::{self, Change},
    engine::Engine,
    error::EngineError,
};

/// How much may be lost to a process that is killed.
const RECORD_EVERY: Duration = Duration::from_mins(10);
/// What a clean end records at least: less is not worth a record of its own.
const RECORD_AT_END: Duration = Duration::from_mins(1);
/// By how much it catches up: this many days ...
const CATCH_UP_DAYS: u128 = 7;
/// ... in so many.
const YEAR_DAYS: u128 = 365;
const NANOS_PER_MILLI: i128 = 1_000_000;

/// What is recorded of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockDocument {
    time: Timestamp,
}

#[derive(Debug)]
pub(crate) struct ComplianceClock(Mutex<Hands>);

/// How it stood when it was read last.
#[derive(Debug, Clone, Copy)]
struct Hands {
    /// Nanoseconds since 1970, so that nothing is lost however often it is read.
    nanos: i128,
    /// The time since boot at that moment.
    boot: Duration,
    /// What the store has on record.
    recorded: Timestamp,
}

impl ComplianceClock {
    fn starting_at(time: Timestamp, clock: &dyn Clock) -> Self {
        let nanos = nanos_of(time);
        Self(Mutex::new(Hands { nanos, boot: clock.boot(), recorded: time }))
    }

    /// Lets it go on to this moment and reads it; also what was recorded last.
    fn read(&self, clock: &dyn Clock) -> (Timestamp, Timestamp) {
        let mut hands = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hands.advance(clock.boot(), clock.now());
        (hands.time(), hands.recorded)
    }

    fn recorded(&self, time: Timestamp) {
        let mut hands = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hands.recorded = hands.recorded.max(time);
    }
}

impl Hands {
    fn advance(&mut self, boot: Duration, wall: Timestamp) {
        let passed = boot.saturating_sub(self.boot).as_nanos();
        let extra = passed * CATCH_UP_DAYS / YEAR_DAYS;
        let now = self.nanos + signed(passed);
        let behind = (nanos_of(wall) - now).max(0);
        self.nanos = now + behind.min(signed(extra));
        self.boot = self.boot.max(boot);
    }

    fn time(&self) -> Timestamp {
        let millis = self.nanos.div_euclid(NANOS_PER_MILLI);
        Timestamp::from_unix_millis(i64::try_from(millis).unwrap_or(i64::MAX))
    }
}

fn nanos_of(time: Timestamp) -> i128 {
    i128::from(time.unix_millis()) * NANOS_PER_MILLI
}

fn signed(nanos: u128) -> i128 {
    i128::try_from(nanos).unwrap_or(0)
}

fn document() -> Result<DocumentName, EngineError> {
    documents::name("clock")
}

impl Engine {
    /// Takes up the clock where the store has it.
    pub(crate) async fn start_compliance_clock(
        store: &icefield_store::Store,
    ) -> Result<ComplianceClock, EngineError> {
        let row = store.ledger().document(&document()?).await?;
        let time = match row {
            Some(row) => documents::read::<ClockDocument>(row.value)?.time,
            None => store.identity().created,
        };
        Ok(ComplianceClock::starting_at(time, &**store.clock()))
    }

    /// Returns the time on the compliance clock, by which archives age.
    #[must_use]
    pub fn compliance_time(&self) -> Timestamp {
        self.inner.compliance.read(&**self.store().clock()).0
    }

    /// Lets the compliance clock go on and records it about every ten minutes; best called every minute.
    ///
    /// # Errors
    ///
    /// When the store fails; the next call tries again.
    pub async fn tick(&self) -> Result<(), EngineError> {
        self.record_compliance_time(RECORD_EVERY).await
    }

    /// Records what is to be known when the store is opened again, then closes the store. Other clones of the engine and the
    /// store fail from then on.
    pub async fn close(&self) {
        if let Err(error) = self.record_compliance_time(RECORD_AT_END).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "the compliance clock goes on from what was recorded before");
        }
        self.store().clone().close().await;
    }

    async fn record_compliance_time(&self, at_least: Duration) -> Result<(), EngineError> {
        let (time, recorded) = self.inner.compliance.read(&**self.store().clock());
        if time.saturating_since(recorded) < at_least {
            return Ok(());
        }
        let newer = |found: Option<ClockDocument>| {
            let change = match found {
                Some(found) if found.time >= time => Change::Keep,
                _ => Change::Set(ClockDocument { time }),
            };
            Ok((change, ()))
        };
        self.change(&document()?, None, newer).await?;
        self.inner.compliance.recorded(time);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use icefield_protocol::{Clock as _, ManualClock, Timestamp};

    use super::ComplianceClock;

    const START: Timestamp = Timestamp::from_unix_millis(1_767_225_600_500);
    const DAY: Duration = Duration::from_hours(24);
    const YEAR: i64 = 365 * 24 * 3_600_000;

    fn clocks() -> (ComplianceClock, ManualClock) {
        let wall = ManualClock::new(START);
        (ComplianceClock::starting_at(START, &wall), wall)
    }

    /// How far it has come, in milliseconds.
    fn gone(clock: &ComplianceClock, wall: &ManualClock) -> i64 {
        clock.read(wall).0.unix_millis() - START.unix_millis()
    }

    #[test]
    fn it_goes_with_the_time_that_passes() {
        let (clock, wall) = clocks();
        for step in [1, 999, 60_000, 86_400_000] {
            wall.advance(Duration::from_millis(step));
            assert_eq!(clock.read(&wall).0, wall.now());
        }
    }

    #[test]
    fn no_jump_of_the_wall_clock_moves_it() {
        for jump in [-10 * YEAR, -YEAR, -1, 1, YEAR, 10 * YEAR] {
            let (clock, wall) = clocks();
            wall.jump(jump);
            assert_eq!(gone(&clock, &wall), 0, "{jump}");
            wall.jump(-jump);
            assert_eq!(gone(&clock, &wall), 0, "{jump}");
        }
    }

    #[test]
    fn behind_the_wall_clock_it_gains_a_week_a_year_and_no_more() {
        let (clock, wall) = clocks();
        wall.jump(10 * YEAR);
        wall.advance(365 * DAY);
        assert_eq!(gone(&clock, &wall), YEAR + 7 * 86_400_000);
    }

    #[test]
    fn it_catches_up_as_far_as_the_wall_clock_and_then_keeps_pace() {
        let (clock, wall) = clocks();
        wall.jump(3_600_000);
        wall.advance(30 * DAY);
        assert_eq!(clock.read(&wall).0, wall.now());
        wall.advance(30 * DAY);
        assert_eq!(clock.read(&wall).0, wall.now());
    }

    #[test]
    fn ahead_of_the_wall_clock_it_goes_with_the_time_that_passes() {
        let (clock, wall) = clocks();
        wall.jump(-10 * YEAR);
        wall.advance(DAY);
        assert_eq!(gone(&clock, &wall), 86_400_000);
    }

    #[test]
    fn reading_it_often_gains_and_loses_nothing() {
        let (often, wall) = clocks();
        let once = ComplianceClock::starting_at(START, &wall);
        wall.jump(YEAR);
        for _ in 0..365_000 {
            wall.advance(Duration::from_millis(1));
            often.read(&wall);
        }
        // 365 seconds, and 7 that were caught up.
        assert_eq!(gone(&once, &wall), 372_000);
        assert!((371_999..=372_000).contains(&gone(&often, &wall)));
    }
}
