//! When a request is sent again: only when it did not get through and the target says that it may be repeated.

use std::time::Duration;

use crate::target::TargetError;

/// How often, and how long between. The embedded store never asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Requests in all, at least 1.
    pub attempts: u32,
    /// Pause before the second attempt; each later one is twice as long.
    pub first_pause: Duration,
    /// No pause is longer.
    pub longest_pause: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 8,
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(60),
        }
    }
}

impl RetryPolicy {
    /// Calls until the answer is not a retryable failure of transport, or the attempts are used up.
    ///
    /// # Errors
    ///
    /// The last answer.
    pub async fn run<T, F>(&self, mut call: impl FnMut() -> F + Send) -> Result<T, TargetError>
    where
        F: Future<Output = Result<T, TargetError>> + Send,
    {
        let mut pause = self.first_pause;
        for _ in 1..self.attempts {
            match call().await {
                Err(TargetError::Transport { retryable: true, what }) => {
                    tracing::debug!(what, ?pause, "request did not get through, trying again");
                }
                answer => return answer,
            }
            wait(pause).await;
            pause = (pause * 2).min(self.longest_pause);
        }
        call().await
    }
}

#[expect(clippy::disallowed_methods, reason = "the named retry policy is what may wait")]
async fn wait(pause: Duration) {
    tokio::time::sleep(pause).await;
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU32, Ordering},
        time::Duration,
    };

    use super::RetryPolicy;
    use crate::target::TargetError;

    const POLICY: RetryPolicy =
        RetryPolicy { attempts: 3, first_pause: Duration::ZERO, longest_pause: Duration::ZERO };

    async fn calls_until(retryable: bool) -> u32 {
        let calls = AtomicU32::new(0);
        let answer = POLICY
            .run(|| {
                calls.fetch_add(1, Ordering::Relaxed);
                async move {
                    Err::<(), _>(TargetError::Transport { what: "reset".to_owned(), retryable })
                }
            })
            .await;
        assert!(matches!(answer, Err(TargetError::Transport { .. })));
        calls.into_inner()
    }

    #[tokio::test]
    async fn only_what_may_be_repeated_is_repeated_and_not_for_ever() {
        assert_eq!(calls_until(true).await, 3);
        assert_eq!(calls_until(false).await, 1);
    }
}
