//! The scrub in the background: a step, its results into counters and log, and a pause that keeps it to its rate.

use std::{
    num::NonZeroU64,
    sync::{
        Arc,
        atomic::{
            AtomicI64, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::Duration,
};

use icefield_protocol::Timestamp;
use icefield_store::{check::Problem, scrub::Scrub};
use tokio::time::timeout;

use super::{
    exposition::Exposition,
    names::{SCRUB_AGE, SCRUB_BYTES, SCRUB_OPEN, SCRUB_PROBLEMS, SCRUB_ROUND_BYTES, SCRUB_ROUNDS},
};
use crate::background::Background;

/// Steps in a second, as far as a step may be that small.
const STEPS_PER_SECOND: u64 = 4;
/// What a step reads at least and at most: a MiB of a file is read as a whole.
const STEP_BYTES: (u64, u64) = (1 << 20, 64 << 20);
/// Rest between two rounds, so that a small store is not read without end.
const REST: Duration = Duration::from_hours(1);
/// How long to leave a store alone that has just failed.
pub(super) const AFTER_FAILURE: Duration = Duration::from_mins(1);
/// Problems of one step that are logged one by one; the rest is counted.
const MAX_LOGGED: usize = 100;

/// How the scrub goes. Clones share the numbers.
#[derive(Debug, Clone)]
pub(crate) struct ScrubCounters(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    bytes: AtomicU64,
    problems: AtomicU64,
    round_bytes: AtomicU64,
    round_problems: AtomicU64,
    last_problems: AtomicU64,
    rounds: AtomicU64,
    /// When the last round ended, or the service began, in milliseconds.
    finished: AtomicI64,
}

impl ScrubCounters {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self(Arc::new(Counts {
            bytes: AtomicU64::default(),
            problems: AtomicU64::default(),
            round_bytes: AtomicU64::default(),
            round_problems: AtomicU64::default(),
            last_problems: AtomicU64::default(),
            rounds: AtomicU64::default(),
            finished: AtomicI64::new(now.unix_millis()),
        }))
    }

    pub(crate) fn write(&self, now: Timestamp, to: &mut Exposition) {
        let counts = &*self.0;
        let finished = Timestamp::from_unix_millis(counts.finished.load(SeqCst));
        let open = counts.last_problems.load(SeqCst).max(counts.round_problems.load(SeqCst));
        to.number(&SCRUB_BYTES, counts.bytes.load(Relaxed));
        to.number(&SCRUB_PROBLEMS, counts.problems.load(Relaxed));
        to.number(&SCRUB_OPEN, open);
        to.number(&SCRUB_ROUND_BYTES, counts.round_bytes.load(Relaxed));
        to.number(&SCRUB_ROUNDS, counts.rounds.load(SeqCst));
        to.number(&SCRUB_AGE, now.saturating_since(finished).as_secs_f64());
    }
}

/// Verifies the store round after round, at most `rate` bytes in a second, until the end.
pub(crate) async fn scrub(work: Background, rate: NonZeroU64, counters: ScrubCounters) {
    let store = work.engine.store().clone();
    let mut scrub = Scrub::new(&store);
    let budget = budget(rate);
    loop {
        let step = work.stop.run_until_cancelled(scrub.step(budget)).await;
        let Some(step) = step else { return };
        let pause = match work.noted("scrubbing", step.map_err(Into::into)) {
            None => AFTER_FAILURE,
            Some(step) => {
                let counts = &*counters.0;
                let found = step.problems.len() as u64;
                step.problems.iter().take(MAX_LOGGED).for_each(tell);
                counts.bytes.fetch_add(step.bytes, Relaxed);
                counts.round_bytes.store(step.round_bytes, Relaxed);
                counts.problems.fetch_add(found, Relaxed);
                let problems = counts.round_problems.fetch_add(found, SeqCst) + found;
                if step.finished_round {
                    counts.last_problems.store(problems, SeqCst);
                    counts.round_problems.store(0, SeqCst);
                    counts.finished.store(store.clock().now().unix_millis(), SeqCst);
                    counts.rounds.fetch_add(1, SeqCst);
                    tracing::info!(bytes = step.round_bytes, problems, "a scrub is finished");
                    REST
                } else {
                    pause(step.bytes, rate)
                }
            }
        };
        if timeout(pause, work.stop.cancelled()).await.is_ok() {
            return;
        }
    }
}

/// What a step reads.
pub(super) fn budget(rate: NonZeroU64) -> u64 {
    (rate.get() / STEPS_PER_SECOND).clamp(STEP_BYTES.0, STEP_BYTES.1)
}

/// How long reading so much may take. What it did take is not subtracted, so the rate is a bound.
pub(super) fn pause(bytes: u64, rate: NonZeroU64) -> Duration {
    let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate.get());
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

fn tell(problem: &Problem) {
    let archive = problem.archive.as_ref();
    tracing::error!(
        place = problem.damage.place,
        mib = problem.damage.leaf,
        what = problem.damage.what,
        vault_number = archive.map(|archive| archive.vault.0),
        archive = archive.map(|archive| archive.id.as_str()),
        "damage found: this is not as it was stored",
    );
}

#[cfg(test)]
mod tests {
    use std::{num::NonZeroU64, time::Duration};

    use super::pause;

    #[test]
    fn the_rate_is_kept_by_pauses() {
        let rate = NonZeroU64::new(20 << 20).unwrap();
        assert_eq!(pause(5 << 20, rate), Duration::from_millis(250));
        assert_eq!(pause(0, rate), Duration::ZERO);
        assert_eq!(pause(u64::MAX, NonZeroU64::MIN), Duration::from_nanos(u64::MAX));
    }
}
