//! Spreading jobs over time: in any hour at most so many bytes are asked for, as services charge for the peak.
//!
//! What was asked for is read from the target's list of jobs first, so the limit holds over several runs too.

use std::{collections::VecDeque, time::Duration};

use icefield_protocol::Timestamp;

use crate::catalog::total;

const HOUR: Duration = Duration::from_secs(3600);

/// Bytes asked for within the last hour, and how many may be.
#[derive(Debug)]
pub(crate) struct Pace {
    bytes_per_hour: Option<u64>,
    /// When and how many, the oldest first.
    asked: VecDeque<(Timestamp, u64)>,
    /// How long nothing is asked for after the service has refused to take more.
    refused_pause: Duration,
    /// Nothing is asked for before.
    held_until: Option<Timestamp>,
}

impl Pace {
    /// Begins with what was asked for before.
    pub(crate) fn new(
        bytes_per_hour: Option<u64>,
        refused_pause: Duration,
        mut asked: Vec<(Timestamp, u64)>,
    ) -> Self {
        asked.sort_unstable();
        Self { bytes_per_hour, asked: asked.into(), refused_pause, held_until: None }
    }

    /// Asks for nothing for a while: the service has refused to take more.
    pub(crate) fn hold(&mut self, now: Timestamp) {
        self.held_until = Some(now.saturating_add(self.refused_pause));
    }

    /// Returns whether `bytes` more may be asked for now, and counts them if so.
    ///
    /// What is larger than the limit alone goes when nothing else was asked for within the hour.
    pub(crate) fn take(&mut self, bytes: u64, now: Timestamp) -> bool {
        if self.held_until.is_some_and(|until| now < until) {
            return false;
        }
        let Some(limit) = self.bytes_per_hour else { return true };
        while self.asked.front().is_some_and(|(when, _)| now.saturating_since(*when) >= HOUR) {
            self.asked.pop_front();
        }
        let within = total(self.asked.iter().map(|(_, bytes)| *bytes));
        let may = within == 0 || within.saturating_add(bytes) <= limit;
        if may {
            self.asked.push_back((now, bytes));
        }
        may
    }

    /// Returns how long to wait until something may be asked for again.
    pub(crate) fn pause(&self, now: Timestamp) -> Duration {
        if let Some(until) = self.held_until.filter(|until| now < *until) {
            return until.saturating_since(now);
        }
        let oldest = self.asked.front().map(|(when, _)| when.saturating_add(HOUR));
        oldest.map_or(Duration::ZERO, |due| due.saturating_since(now))
    }
}

/// Waits for the next instalment.
#[expect(clippy::disallowed_methods, reason = "the pace that the user asked for is what waits")]
pub(crate) async fn wait(pause: Duration) {
    // The clock of the process and the wall clock may disagree by a little.
    tokio::time::sleep(pause.max(Duration::from_millis(10))).await;
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use icefield_protocol::Timestamp;

    use super::Pace;

    const TEN_MINUTES: Duration = Duration::from_mins(10);

    fn minute(minutes: u64) -> Timestamp {
        Timestamp::UNIX_EPOCH.saturating_add(Duration::from_secs(60 * minutes))
    }

    #[test]
    fn no_hour_sees_more_than_the_limit() {
        let mut pace = Pace::new(Some(100), TEN_MINUTES, vec![(minute(10), 60)]);
        assert!(pace.take(40, minute(20)));
        assert!(!pace.take(1, minute(30)));
        assert_eq!(pace.pause(minute(30)), Duration::from_secs(60 * 40));
        assert!(pace.take(60, minute(70)), "the first 60 are an hour old");
        assert!(!pace.take(1, minute(79)));
        assert!(pace.take(40, minute(80)));
    }

    #[test]
    fn what_exceeds_the_limit_alone_goes_alone() {
        let mut pace = Pace::new(Some(100), TEN_MINUTES, Vec::new());
        assert!(pace.take(1000, minute(0)));
        assert!(!pace.take(1, minute(59)));
        assert!(pace.take(1000, minute(60)));
    }

    #[test]
    fn after_a_refusal_nothing_is_asked_for_a_while() {
        let mut pace = Pace::new(None, TEN_MINUTES, Vec::new());
        pace.hold(minute(5));
        assert!(!pace.take(1, minute(14)));
        assert_eq!(pace.pause(minute(14)), Duration::from_mins(1));
        assert!(pace.take(1, minute(15)));
    }

    #[test]
    fn without_a_limit_all_goes_at_once() {
        let mut pace = Pace::new(None, TEN_MINUTES, vec![(minute(0), u64::MAX)]);
        assert!(pace.take(u64::MAX, minute(0)));
    }
}
