//! When a delivery that failed is tried again, and when it is given up.

use std::time::Duration;

/// Longest time between two attempts.
const LONGEST: Duration = Duration::from_hours(1);

/// The policy of retries.
///
/// The wait doubles from `first` to one hour. Of each wait the second half is spread by the number of the delivery, so that
/// what failed at once does not come back at once. Attempts are counted, not hours: what was due while the server was
/// down has all its attempts still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backoff {
    /// The wait after the first failure.
    pub(crate) first: Duration,
    /// Attempts in all, at least one.
    pub(crate) attempts: u32,
}

impl Backoff {
    /// Returns how long to wait after `failed` attempts of a delivery; `None` when it is given up.
    pub(crate) fn wait(&self, failed: u32, delivery: u64) -> Option<Duration> {
        if failed >= self.attempts {
            return None;
        }
        let doubled = 2_u32.saturating_pow(failed.saturating_sub(1));
        let whole = self.first.saturating_mul(doubled).min(LONGEST);
        let half = whole / 2;
        Some(half + half.mul_f64(spread(delivery ^ u64::from(failed) << 32)))
    }
}

/// A number from 0 to 1 that looks random, and is the same every time (the finalizer of SplitMix64).
fn spread(seed: u64) -> f64 {
    let mut bits = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    let [high, low, ..] = (bits ^ bits >> 31).to_be_bytes();
    f64::from(u16::from_be_bytes([high, low])) / f64::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Backoff = Backoff { first: Duration::from_secs(10), attempts: 32 };

    #[test]
    fn waits_double_up_to_an_hour_and_are_spread() {
        for (failed, seconds) in
            [(1, 10), (2, 20), (3, 40), (9, 2560), (10, 3600), (11, 3600), (31, 3600)]
        {
            let whole = Duration::from_secs(seconds);
            let waits: Vec<_> = (0..100).filter_map(|number| POLICY.wait(failed, number)).collect();
            assert_eq!(waits.len(), 100);
            assert!(waits.iter().all(|wait| (whole / 2..=whole).contains(wait)), "{failed}");
            let (least, most) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
            assert!(*most - *least > whole / 4, "{failed}: not spread");
        }
    }

    #[test]
    fn it_is_given_up_after_about_a_day() {
        assert_eq!(POLICY.wait(32, 1), None);
        assert_eq!(POLICY.wait(u32::MAX, 1), None);
        let all: Duration = (1..32).filter_map(|failed| POLICY.wait(failed, 7)).sum();
        assert!((12..=25).contains(&(all.as_secs() / 3600)), "{all:?}");
        let patient = Backoff { first: Duration::MAX, attempts: u32::MAX };
        assert!(patient.wait(4_000_000_000, 1).unwrap() <= LONGEST, "nothing overflows");
    }
}
