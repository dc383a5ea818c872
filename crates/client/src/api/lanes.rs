//! How many bodies are sent at a time: as many as make it faster, and fewer when the line or the service complains.
//!
//! Too many large bodies on a thin line starve each other until the service ends them with 408. So trouble halves the
//! number, and one more is tried when the last one has raised the rate.

use std::{
    num::NonZeroUsize,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::{sync::Notify, time::Instant};

/// A rate counts as higher when it is by this factor.
const HIGHER: f64 = 1.05;

/// The lanes.
#[derive(Debug)]
pub(super) struct Lanes {
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Debug)]
struct State {
    open: usize,
    limit: usize,
    /// No limit is higher.
    most: usize,
    /// Since the limit was changed last.
    since: Instant,
    bytes: u64,
    bodies: usize,
    /// Bytes per second under the limit before.
    before: f64,
}

/// One body's lane.
#[derive(Debug)]
pub(super) struct Lane<'a>(&'a Lanes);

impl Lanes {
    pub(super) fn new(first: NonZeroUsize, most: NonZeroUsize) -> Self {
        let state = State {
            open: 0,
            limit: first.get(),
            most: most.get(),
            since: Instant::now(),
            bytes: 0,
            bodies: 0,
            before: 0.0,
        };
        Self { state: Mutex::new(state), freed: Notify::new() }
    }

    /// The most there can be.
    pub(super) fn most(&self) -> usize {
        self.state().most
    }

    /// Opens as many as somebody asks for, and never more.
    pub(super) fn fix(&self, lanes: NonZeroUsize) {
        let mut state = self.state();
        (state.limit, state.most) = (lanes.get(), lanes.get());
        self.freed.notify_waiters();
    }

    /// Waits for a lane.
    pub(super) async fn acquire(&self) -> Lane<'_> {
        loop {
            let freed = self.freed.notified();
            {
                let mut state = self.state();
                if state.open < state.limit {
                    state.open += 1;
                    return Lane(self);
                }
            }
            freed.await;
        }
    }

    /// Notes a body that was sent.
    pub(super) fn sent(&self, bytes: u64) {
        let mut state = self.state();
        state.bytes += bytes;
        state.bodies += 1;
        if state.bodies < state.limit * 2 || state.limit >= state.most {
            return;
        }
        let seconds = state.since.elapsed().as_secs_f64().max(f64::EPSILON);
        #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
        let rate = state.bytes as f64 / seconds;
        if rate > state.before * HIGHER {
            state.before = rate;
            state.limit += 1;
            self.freed.notify_waiters();
        }
        state.restart();
    }

    /// Notes that the service, or the line, could not cope.
    pub(super) fn troubled(&self) {
        let mut state = self.state();
        // What was on its way when the limit was halved says nothing about the new one.
        if state.bodies >= state.limit || state.before > 0.0 || state.since.elapsed().as_secs() > 0
        {
            state.limit = (state.limit / 2).max(1);
            state.before = 0.0;
            state.restart();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn restart(&mut self) {
        self.since = Instant::now();
        self.bytes = 0;
        self.bodies = 0;
    }
}

impl Drop for Lane<'_> {
    fn drop(&mut self) {
        self.0.state().open -= 1;
        // Each waiter looks for itself: the limit may be below what is open.
        self.0.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::{num::NonZeroUsize, time::Duration};

    use futures_util::FutureExt as _;

    use super::Lanes;

    fn lanes(first: usize, most: usize) -> Lanes {
        Lanes::new(NonZeroUsize::new(first).unwrap(), NonZeroUsize::new(most).unwrap())
    }

    fn limit(lanes: &Lanes) -> usize {
        lanes.state().limit
    }

    #[tokio::test(start_paused = true)]
    async fn lanes_are_added_as_long_as_that_helps() {
        let lanes = lanes(2, 4);
        for (seconds, expected) in [(8, 3), (5, 4)] {
            tokio::time::advance(Duration::from_secs(seconds)).await;
            for _ in 0..limit(&lanes) * 2 {
                lanes.sent(1 << 20);
            }
            assert_eq!(limit(&lanes), expected);
        }
        let slower = self::lanes(2, 4);
        for seconds in [4, 40] {
            tokio::time::advance(Duration::from_secs(seconds)).await;
            for _ in 0..limit(&slower) * 2 {
                slower.sent(1 << 20);
            }
        }
        assert_eq!(limit(&slower), 3, "the third lane did not help, so there is no fourth");
    }

    #[tokio::test(start_paused = true)]
    async fn trouble_halves_the_lanes_once_for_all_that_were_on_their_way() {
        let lanes = lanes(8, 8);
        tokio::time::advance(Duration::from_secs(10)).await;
        for _ in 0..8 {
            lanes.troubled();
        }
        assert_eq!(limit(&lanes), 4);
        tokio::time::advance(Duration::from_secs(10)).await;
        for _ in 0..8 {
            lanes.troubled();
            tokio::time::advance(Duration::from_secs(10)).await;
        }
        assert_eq!(limit(&lanes), 1);
    }

    #[tokio::test]
    async fn no_more_are_open_than_allowed_and_each_end_lets_one_in() {
        let lanes = lanes(1, 1);
        let first = lanes.acquire().await;
        let second = lanes.acquire();
        tokio::pin!(second);
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        assert!(second.now_or_never().is_some());
    }
}
