//! How much an upload is and how long it takes, to be said before it begins.

use std::time::Duration;

use icefield_protocol::Timestamp;

use super::plan::Plan;

/// What is to be sent, summed up file by file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Workload {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bodies that the bytes go in: the parts of large files, and small files whole.
    pub parts: u64,
    /// Requests: the parts, and the beginning and the end of each upload that has some.
    pub requests: u64,
}

impl Workload {
    /// Adds a file of `size` bytes that is sent as planned.
    pub fn add(&mut self, size: u64, plan: &Plan) {
        let parts = plan.bodies();
        let around = if matches!(plan, Plan::Multipart(_)) { 2 } else { 0 };
        self.files += 1;
        self.bytes = self.bytes.saturating_add(size);
        self.parts += parts;
        self.requests += parts + around;
    }
}

/// A rate of transfer, above nothing.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Rate(f64);

impl Rate {
    /// Returns this many bytes a second; none if that is no positive number.
    pub fn bytes_per_second(rate: f64) -> Option<Self> {
        (rate.is_finite() && rate > 0.0).then_some(Self(rate))
    }

    /// Returns this many megabits (10^6 bits) a second; none if that is no positive number.
    pub fn mbit_per_second(rate: f64) -> Option<Self> {
        Self::bytes_per_second(rate * 1e6 / 8.0)
    }

    /// Returns the rate in megabits (10^6 bits) a second.
    pub fn mbit(self) -> f64 {
        self.0 * 8.0 / 1e6
    }

    /// Returns how long `bytes` take that begin to move now, in whole seconds, and when they are there; none beyond all
    /// time.
    pub fn estimate(self, bytes: u64, now: Timestamp) -> Option<Estimate> {
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let seconds = (bytes as f64 / self.0).ceil();
        let duration = Duration::try_from_secs_f64(seconds).ok()?;
        Some(Estimate { duration, finish: now.saturating_add(duration) })
    }
}

/// How long something takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// That long.
    pub duration: Duration,
    /// Until then.
    pub finish: Timestamp,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use icefield_protocol::{PartSize, Timestamp};

    use super::{Rate, Workload};
    use crate::{target::Limits, transfer::plan::plan};

    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    /// A file of 15.78 GiB at 11.33, from 01:22:01 to 04:32:11: what gt_upload_large said. Its Mbps are of 2^20 bits.
    #[test]
    fn the_estimates_of_gt_upload_large_are_reached_in_its_own_megabits() {
        let start = Timestamp::parse("2015-07-05T01:22:01Z").unwrap();
        let size = GIB * 1578 / 100;
        let theirs = Rate::mbit_per_second(11.33 * 1.048_576).unwrap().estimate(size, start);
        let theirs = theirs.unwrap();
        assert_eq!(theirs.duration, Duration::from_secs(3 * 3600 + 10 * 60 + 10), "3.17 hours");
        assert_eq!(theirs.finish, Timestamp::parse("2015-07-05T04:32:11Z").unwrap());
        // 26.66 GiB at 11.37: 5.336 hours.
        let other = Rate::mbit_per_second(11.37 * 1.048_576).unwrap();
        let other = other.estimate(GIB * 2666 / 100, start).unwrap();
        assert_eq!(other.duration.as_secs(), 19_209);
        // A megabit of 10^6 bits is less, so the same number takes longer.
        let ours = Rate::mbit_per_second(11.33).unwrap().estimate(size, start).unwrap();
        assert_eq!(ours.duration.as_secs(), 11_964);
    }

    #[test]
    fn a_rate_is_a_positive_number() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Rate::mbit_per_second(rate), None);
        }
        let crawl = Rate::bytes_per_second(f64::MIN_POSITIVE).unwrap();
        assert_eq!(crawl.estimate(u64::MAX, Timestamp::from_unix_millis(0)), None);
        let rate = Rate::bytes_per_second(1_250_000.0).unwrap();
        assert!((rate.mbit() - 10.0).abs() < 1e-9);
    }

    #[test]
    fn large_files_are_counted_in_parts_and_small_ones_whole() {
        let mut work = Workload::default();
        let wish = Some(PartSize::new(128 * MIB).unwrap());
        for size in [1, 128 * MIB, GIB + 1] {
            work.add(size, &plan(size, wish, Limits::of_vaults()).unwrap());
        }
        // 128 MiB go in one part, for more than 64 MiB are not sent in one request; then nine parts.
        let expected =
            Workload { files: 3, bytes: GIB + 128 * MIB + 2, parts: 11, requests: 1 + 3 + 11 };
        assert_eq!(work, expected);
    }
}
