//! When a request is sent again, and how long after.
//!
//! Three bounds hold at once. A single request has a number of attempts. The whole target has a *patience*: as long as
//! the service has answered lately a line that breaks is waited for, for a quarter of an hour; one that has never
//! answered is given up after a few attempts, because then a name or an address is wrong. And it has a *budget*: every
//! repeat takes from it and every success gives back, so that a service that fails most requests is asked slowly.
//!
//! Whoever waits is told why, once the pauses are long enough to be noticed.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use crate::events::{Event, Events};

/// How often, and how long between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts at one request, at least 1.
    pub attempts: u32,
    /// Attempts as long as the service has never answered.
    pub first_attempts: u32,
    /// Pause before the second attempt at most; each later one is up to twice as long.
    pub first_pause: Duration,
    /// No pause is longer, unless the service asks for one.
    pub longest_pause: Duration,
    /// How long after the last success a request is given up, if it was tried as often as `first_attempts`.
    pub patience: Duration,
    /// Repeats that may be ahead of successes before every repeat waits for the longest pause.
    pub budget: u32,
}

impl RetryPolicy {
    /// What holds unless something else is asked for.
    pub const DEFAULT: Self = Self {
        attempts: 100,
        first_attempts: 5,
        first_pause: Duration::from_millis(100),
        longest_pause: Duration::from_secs(60),
        patience: Duration::from_mins(15),
        budget: 200,
    };
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Longest pause that a service's own word is taken for.
const LONGEST_ASKED_PAUSE: Duration = Duration::from_mins(5);

/// Pauses from this length on are told, but not oftener than every [`TOLD_EVERY`].
const TOLD_PAUSE: Duration = Duration::from_secs(2);

const TOLD_EVERY: Duration = Duration::from_mins(1);

/// What the requests to one service share.
#[derive(Debug)]
pub(crate) struct Retry {
    policy: RetryPolicy,
    events: Arc<dyn Events>,
    shared: Mutex<Shared>,
}

#[derive(Debug)]
struct Shared {
    budget: u32,
    last_success: Option<Instant>,
    last_told: Option<Instant>,
}

/// The attempts at one request.
#[derive(Debug)]
pub(crate) struct Attempts<'a> {
    retry: &'a Retry,
    made: u32,
    pause: Duration,
}

impl Retry {
    pub(crate) fn new(policy: RetryPolicy, events: Arc<dyn Events>) -> Self {
        let shared = Shared { budget: policy.budget, last_success: None, last_told: None };
        Self { policy, events, shared: Mutex::new(shared) }
    }

    pub(crate) fn begin(&self) -> Attempts<'_> {
        Attempts { retry: self, made: 0, pause: self.policy.first_pause }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempts<'_> {
    /// Notes that the service has done something for us.
    pub(crate) fn succeeded(&mut self) {
        self.made = 0;
        self.pause = self.retry.policy.first_pause;
        let mut shared = self.retry.shared();
        shared.budget = (shared.budget + 1).min(self.retry.policy.budget);
        shared.last_success = Some(Instant::now());
    }

    /// Waits until the request may be sent again; false when it is given up. `asked` is what the service asks for, `why`
    /// tells what went wrong.
    pub(crate) async fn again(
        &mut self,
        asked: Option<Duration>,
        why: impl FnOnce() -> String,
    ) -> bool {
        let policy = &self.retry.policy;
        self.made += 1;
        let (pause, is_told) = {
            let mut shared = self.retry.shared();
            let is_patient = match shared.last_success {
                Some(at) => self.made < policy.first_attempts || at.elapsed() < policy.patience,
                None => self.made < policy.first_attempts,
            };
            if !is_patient || self.made >= policy.attempts {
                return false;
            }
            let is_poor = shared.budget == 0;
            shared.budget = shared.budget.saturating_sub(1);
            let pause = if is_poor { policy.longest_pause } else { jittered(self.pause) };
            let pause = asked.map_or(pause, |asked| pause.max(asked.min(LONGEST_ASKED_PAUSE)));
            let is_due = shared.last_told.is_none_or(|told| told.elapsed() >= TOLD_EVERY);
            let is_told = pause >= TOLD_PAUSE && is_due;
            if is_told {
                shared.last_told = Some(Instant::now());
            }
            (pause, is_told)
        };
        if is_told {
            let note = format!("{}; trying again in {} s", why(), pause.as_secs());
            self.retry.events.event(Event::Note(note));
        }
        self.pause = (self.pause * 2).min(policy.longest_pause);
        wait(pause).await;
        true
    }
}

/// Returns between half of a pause and all of it, so that many do not come back at the same moment.
fn jittered(pause: Duration) -> Duration {
    let mut random = [0; 4];
    // Without random bytes everybody comes back together, which is no reason to fail.
    getrandom::fill(&mut random).ok();
    pause.mul_f64(0.5 + f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX) / 2.0)
}

#[expect(clippy::disallowed_methods, reason = "the named retry policy is what may wait")]
async fn wait(pause: Duration) {
    sleep(pause).await;
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, Mutex},
        time::Duration,
    };

    use tokio::time::Instant;

    use super::{Retry, RetryPolicy};
    use crate::events::{Event, Events, Silent};

    #[derive(Debug, Default)]
    struct Told(Mutex<Vec<Event>>);

    impl Events for Told {
        fn event(&self, event: Event) {
            self.0.lock().unwrap().push(event);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_told_why_and_not_at_every_attempt() {
        let told = Arc::new(Told::default());
        let retry = Retry::new(RetryPolicy::default(), Arc::<Told>::clone(&told));
        retry.begin().succeeded();
        let mut attempts = retry.begin();
        for _ in 0..3 {
            assert!(attempts.again(None, || unreachable!("nobody notices so short a pause")).await);
        }
        let start = Instant::now();
        while start.elapsed() < Duration::from_mins(5) {
            attempts.again(None, || "the line is dead".to_owned()).await;
        }
        let told = told.0.lock().unwrap();
        assert!((3..=6).contains(&told.len()), "{told:?}");
        let is_telling = |event: &Event| matches!(event, Event::Note(note) if note.starts_with("the line is dead; trying again in "));
        assert!(told.iter().all(is_telling), "{told:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_never_answered_is_given_up_soon() {
        let retry = Retry::new(RetryPolicy::default(), Arc::new(Silent));
        let (mut attempts, mut again, start) = (retry.begin(), 0, Instant::now());
        while attempts.again(None, String::new).await {
            again += 1;
        }
        assert_eq!(again, 4);
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_that_breaks_is_waited_for_and_not_for_ever() {
        let retry = Retry::new(RetryPolicy::default(), Arc::new(Silent));
        retry.begin().succeeded();
        let (mut attempts, start) = (retry.begin(), Instant::now());
        while attempts.again(None, String::new).await {}
        let waited = start.elapsed();
        assert!((15 * 60..17 * 60).contains(&waited.as_secs()), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_service_may_ask_for_a_longer_pause_within_reason() {
        let retry = Retry::new(RetryPolicy::default(), Arc::new(Silent));
        let start = Instant::now();
        assert!(retry.begin().again(Some(Duration::from_secs(7)), String::new).await);
        assert_eq!(start.elapsed().as_secs(), 7);
        assert!(retry.begin().again(Some(Duration::from_hours(7)), String::new).await);
        assert_eq!(start.elapsed().as_secs(), 7 + 5 * 60);
    }

    #[tokio::test(start_paused = true)]
    async fn who_repeats_more_than_succeeds_is_slowed_down() {
        let retry =
            Retry::new(RetryPolicy { budget: 2, ..RetryPolicy::default() }, Arc::new(Silent));
        let pause = async || {
            let start = Instant::now();
            assert!(retry.begin().again(None, String::new).await);
            start.elapsed()
        };
        assert!(pause().await < Duration::from_secs(1));
        assert!(pause().await < Duration::from_secs(1));
        assert_eq!(pause().await, Duration::from_secs(60));
        retry.begin().succeeded();
        assert!(pause().await < Duration::from_secs(1));
    }
}
