//! What a server does without being asked: run jobs that are due, remove what has expired, keep the compliance clock.
//!
//! Waiting is for real time, deciding by the injected clock: a clock that jumps is noticed within [`POLL`].

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use icefield_engine::{Engine, EngineError};
use icefield_store::StoreError;
use tokio::{sync::Notify, time::timeout};
use tokio_util::sync::CancellationToken;

/// Longest time between two looks at the jobs; other servers of the same store may have initiated some.
const POLL: Duration = Duration::from_secs(5);

/// How long to leave a store alone that has just failed.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// How often the compliance clock is advanced.
const TICK: Duration = Duration::from_mins(1);

/// Wakes whoever runs the jobs.
#[derive(Debug, Clone, Default)]
pub(crate) struct JobBell(Arc<Notify>);

impl JobBell {
    /// Says that a job was initiated; it may be due at once.
    pub(crate) fn ring(&self) {
        self.0.notify_one();
    }
}

/// What all the work shares.
#[derive(Debug, Clone)]
pub(crate) struct Background {
    pub(crate) engine: Engine,
    /// Asks for an end.
    pub(crate) stop: CancellationToken,
    /// Cancelled when nothing can be stored any more.
    pub(crate) broken: CancellationToken,
    /// Counts what went wrong.
    pub(crate) failures: Arc<AtomicU64>,
}

impl Background {
    /// Runs jobs when they are due, until the end.
    pub(crate) async fn run_jobs(self, bell: JobBell) {
        while !self.stop.is_cancelled() {
            let ended = self.engine.run_due_jobs().await;
            let next = self.engine.next_due().await;
            let now = self.engine.store().clock().now();
            let wait = match (self.noted("running jobs", ended), self.noted("finding jobs", next)) {
                (Some(_), Some(Some(due))) => due.saturating_since(now).min(POLL),
                (Some(_), Some(None)) => POLL,
                _ => AFTER_FAILURE,
            };
            let woken = async {
                tokio::select! {
                    () = bell.0.notified() => {}
                    () = self.stop.cancelled() => {}
                }
            };
            // Either way it is time to look again.
            let _elapsed = timeout(wait, woken).await;
        }
    }

    /// Removes what has expired, every `interval` until the end.
    pub(crate) async fn keep_house(self, interval: Duration) {
        while timeout(interval, self.stop.cancelled()).await.is_err() {
            self.noted("housekeeping", self.engine.housekeeping().await);
        }
    }

    /// Keeps the compliance clock, until the end.
    pub(crate) async fn tick(self) {
        while timeout(TICK, self.stop.cancelled()).await.is_err() {
            self.noted("recording the compliance clock", self.engine.tick().await);
        }
    }

    /// Returns what there is, or says that it failed.
    pub(crate) fn noted<T>(
        &self,
        doing: &'static str,
        result: Result<T, EngineError>,
    ) -> Option<T> {
        let error = match result {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        self.failures.fetch_add(1, Ordering::Relaxed);
        if matches!(error, EngineError::Store(StoreError::Fenced)) {
            self.broken.cancel();
        }
        tracing::error!(error = &error as &dyn std::error::Error, doing, "background work failed");
        None
    }
}
