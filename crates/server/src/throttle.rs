//! How many requests an account may make, when somebody wants to limit that.
//!
//! One bucket per account holds up to two seconds' worth of requests and fills at the rate; a request takes one out.
//! Only accounts whose credentials were checked have a bucket, so their number is that of the accounts.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use icefield_protocol::{AccountId, ErrorCode};

use crate::error::ApiError;

/// Seconds' worth of requests that may come at once.
const BURST_SECONDS: u128 = 2;

#[derive(Debug)]
pub(crate) struct Throttle {
    per_second: NonZeroU32,
    buckets: Mutex<HashMap<AccountId, Bucket>>,
}

/// What is left, in thousandths of a request: what a millisecond adds is then a whole number.
#[derive(Debug)]
struct Bucket {
    left: u128,
    at: Duration,
}

impl Throttle {
    pub(crate) fn new(per_second: NonZeroU32) -> Self {
        Self { per_second, buckets: Mutex::default() }
    }

    /// Lets a request pass at time `now`, counted from any beginning.
    ///
    /// # Errors
    ///
    /// `Throttling`, with the service's own text.
    pub(crate) fn pass(&self, account: &AccountId, now: Duration) -> Result<(), ApiError> {
        let rate = u128::from(self.per_second.get());
        let full = rate * BURST_SECONDS * 1000;
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket =
            buckets.entry(account.clone()).or_insert_with(|| Bucket { left: full, at: now });
        let passed = now.saturating_sub(bucket.at).as_millis();
        bucket.left = full.min(bucket.left + passed * rate);
        bucket.at = bucket.at.max(now);
        match bucket.left.checked_sub(1000) {
            Some(left) => {
                bucket.left = left;
                Ok(())
            }
            None => Err(ApiError::new(ErrorCode::Throttling, "Rate exceeded")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{num::NonZeroU32, time::Duration};

    use icefield_protocol::AccountId;

    use super::Throttle;

    #[test]
    fn an_account_has_two_seconds_at_once_and_then_its_rate() {
        let throttle = Throttle::new(NonZeroU32::new(3).unwrap());
        let [one, other] =
            ["000000000001", "000000000002"].map(|text| AccountId::parse(text).unwrap());
        let passed = |account, millis| {
            let now = Duration::from_millis(millis);
            (0..20).take_while(|_| throttle.pass(account, now).is_ok()).count()
        };
        assert_eq!(passed(&one, 0), 6);
        assert_eq!(passed(&other, 0), 6, "accounts do not share");
        assert_eq!(passed(&one, 300), 0);
        assert_eq!(passed(&one, 400), 1);
        assert_eq!(passed(&one, 10_000), 6);
        assert_eq!(passed(&one, 9_000), 0, "a clock that goes back gives nothing");
    }
}
