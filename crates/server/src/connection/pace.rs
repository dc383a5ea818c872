//! How fast the other side has to be while it is waited for.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Measures progress: no pause longer than `stall`, and at least `bytes` in every `window` of waiting.
///
/// Only time spent waiting counts, so whoever is kept waiting by us loses nothing.
#[derive(Debug)]
pub(crate) struct Pace {
    stall: Duration,
    bytes: u64,
    window: Duration,
    /// Waited in this window before the wait that is on.
    waited: Duration,
    /// Moved in this window.
    moved: u64,
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Pace {
    pub(crate) const fn new(stall: Duration, bytes: u64, window: Duration) -> Self {
        Self { stall, bytes, window, waited: Duration::ZERO, moved: 0, since: None, timer: None }
    }

    /// Notes that the other side has done its part, with `bytes` of progress.
    pub(crate) fn moved(&mut self, bytes: usize) {
        if let Some(since) = self.since.take() {
            self.waited += since.elapsed();
        }
        self.moved += bytes as u64;
        if self.moved >= self.bytes {
            self.moved = 0;
            self.waited = Duration::ZERO;
        }
    }

    /// Waits on; ready when the other side has been too slow.
    pub(crate) fn poll_too_slow(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.since.is_none() {
            let now = Instant::now();
            self.since = Some(now);
            let deadline = now + self.stall.min(self.window.saturating_sub(self.waited));
            match &mut self.timer {
                Some(timer) => timer.as_mut().reset(deadline),
                None => self.timer = Some(Box::pin(sleep_until(deadline))),
            }
        }
        match &mut self.timer {
            Some(timer) => {
                ready!(timer.as_mut().poll(cx));
                Poll::Ready(())
            }
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::timeout;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Lets `step` pass in waiting; whether that was too slow.
    async fn wait(pace: &mut Pace, step: Duration) -> bool {
        timeout(step, poll_fn(|cx| pace.poll_too_slow(cx))).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_is_too_long_after_the_stall_limit() {
        let mut pace = Pace::new(5 * SECOND, 10, 60 * SECOND);
        assert!(!wait(&mut pace, 4 * SECOND).await);
        assert!(wait(&mut pace, 2 * SECOND).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_byte_now_and_then_is_too_slow_after_the_window() {
        let mut pace = Pace::new(5 * SECOND, 10, 9 * SECOND);
        for _ in 0..2 {
            assert!(!wait(&mut pace, 4 * SECOND).await);
            pace.moved(1);
        }
        assert!(wait(&mut pace, 2 * SECOND).await);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_keeps_the_rate_may_go_on_for_ever() {
        let mut pace = Pace::new(5 * SECOND, 10, 9 * SECOND);
        for _ in 0..100 {
            assert!(!wait(&mut pace, 4 * SECOND).await);
            pace.moved(5);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn time_that_is_not_spent_waiting_does_not_count() {
        let mut pace = Pace::new(5 * SECOND, 10, 9 * SECOND);
        assert!(!wait(&mut pace, 4 * SECOND).await);
        pace.moved(1);
        tokio::time::advance(600 * SECOND).await;
        assert!(!wait(&mut pace, 4 * SECOND).await);
    }
}
