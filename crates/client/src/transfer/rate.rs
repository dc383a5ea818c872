//! Limiting the rate of a run: one number, or rclone's timetable of numbers.
//!
//! [`RateLimit`] is what was asked for; [`Throttle`] makes the chunks of all bodies wait in line for it. A chunk takes
//! its turn before it is handed on, so the rate holds over any second or two, whatever the number of files and parts.

use std::{str::FromStr, sync::Mutex, time::Duration};

use icefield_protocol::Timestamp;
use time::{UtcOffset, Weekday};
use tokio::time::{Instant, sleep_until};

/// Bytes per second, always the same or by the time of the week.
///
/// Written `10M`, or as a timetable `08:00,512K 19:00,10M 23:00,off`, each entry with a weekday in front if it is meant
/// for that day only (`Sat-08:00,off`). Sizes are bytes with `K`, `M`, `G`, `T` (powers of 1,024; `MiB` and the like are
/// read too); `off` is no limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimit {
    /// From which minute of the week (Monday 00:00 is 0) which rate holds; in order, the last holds over the week's end.
    slots: Vec<(u16, Option<u64>)>,
}

/// The text is not a rate limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a rate: write bytes per second like `10M`, or a timetable like `08:00,512K 19:00,10M 23:00,off`"
)]
pub struct InvalidRate(String);

const MINUTES_PER_DAY: u16 = 24 * 60;

impl RateLimit {
    /// Returns the rate that holds at a time in a place, in bytes per second; `None` is no limit.
    pub fn at(&self, now: Timestamp, offset: UtcOffset) -> Option<u64> {
        let seconds = now.unix_millis().div_euclid(1000);
        let local = time::OffsetDateTime::from_unix_timestamp(seconds).ok()?.to_offset(offset);
        let minute = u16::from(local.weekday().number_days_from_monday()) * MINUTES_PER_DAY
            + u16::from(local.hour()) * 60
            + u16::from(local.minute());
        let slot = self.slots.iter().rev().find(|(from, _)| *from <= minute);
        slot.or(self.slots.last()).and_then(|(_, rate)| *rate)
    }
}

impl FromStr for RateLimit {
    type Err = InvalidRate;

    fn from_str(text: &str) -> Result<Self, InvalidRate> {
        let refused = || InvalidRate(text.to_owned());
        if let Some(rate) = parse_rate(text.trim()) {
            return Ok(Self { slots: vec![(0, rate)] });
        }
        let mut slots = Vec::new();
        for entry in text.split_whitespace() {
            let (when, rate) = entry.split_once(',').ok_or_else(refused)?;
            let rate = parse_rate(rate).ok_or_else(refused)?;
            let (days, clock) = match when.split_once('-') {
                Some((day, clock)) => {
                    let day = parse_weekday(day).ok_or_else(refused)?;
                    (day..=day, clock)
                }
                None => (0..=6, when),
            };
            let minute = parse_clock(clock).ok_or_else(refused)?;
            slots.extend(days.map(|day| (day * MINUTES_PER_DAY + minute, rate)));
        }
        if slots.is_empty() {
            return Err(refused());
        }
        // Stable: of two entries for one minute the later one holds.
        slots.sort_by_key(|(from, _)| *from);
        Ok(Self { slots })
    }
}

/// Returns `Some(None)` for `off`.
fn parse_rate(text: &str) -> Option<Option<u64>> {
    if text.eq_ignore_ascii_case("off") {
        return Some(None);
    }
    let digits_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits_end);
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "ki" | "kib" => 10,
        "m" | "mi" | "mib" => 20,
        "g" | "gi" | "gib" => 30,
        "t" | "ti" | "tib" => 40,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let thousandths: u64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    let unit = 1u64 << shift;
    let rate = whole.parse::<u64>().ok()?.checked_mul(unit)? + thousandths * unit / 1000;
    // Nothing would ever move at zero.
    (rate > 0).then_some(Some(rate))
}

fn parse_weekday(text: &str) -> Option<u16> {
    let days = [
        Weekday::Monday,
        Weekday::Tuesday,
        Weekday::Wednesday,
        Weekday::Thursday,
        Weekday::Friday,
        Weekday::Saturday,
        Weekday::Sunday,
    ];
    let named = |day: &Weekday| {
        let name = day.to_string();
        name.eq_ignore_ascii_case(text) || name[..3].eq_ignore_ascii_case(text)
    };
    let day = days.iter().find(|day| named(day))?;
    Some(u16::from(day.number_days_from_monday()))
}

fn parse_clock(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str, below: u16| {
        let digits = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten().filter(|number: &u16| *number < below)
    };
    Some(number(hour, 24)? * 60 + number(minute, 60)?)
}

/// Spaces the chunks of a run so that a [`RateLimit`] holds.
#[derive(Debug)]
pub struct Throttle {
    limit: RateLimit,
    offset: UtcOffset,
    /// When the next chunk may go.
    next: Mutex<Option<Instant>>,
}

impl Throttle {
    /// Begins with nothing owed; `offset` is the local time of the timetable.
    pub fn new(limit: RateLimit, offset: UtcOffset) -> Self {
        Self { limit, offset, next: Mutex::new(None) }
    }

    /// Waits for the turn of `bytes` bytes. Dropping the call gives its turn away.
    pub async fn take(&self, bytes: u64, now: Timestamp) {
        let Some(rate) = self.limit.at(now, self.offset) else { return };
        let cost = Duration::from_nanos(
            u64::try_from(u128::from(bytes) * 1_000_000_000 / u128::from(rate)).unwrap_or(u64::MAX),
        );
        let turn = {
            let mut next = self.next.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let instant = Instant::now();
            let turn = next.map_or(instant, |next| next.max(instant));
            *next = turn.checked_add(cost);
            turn
        };
        // The one place of a transfer that waits by time: a rate is bytes per time.
        sleep_until(turn).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use icefield_protocol::Timestamp;
    use time::UtcOffset;
    use tokio::time::Instant;

    use super::{RateLimit, Throttle};

    fn at(limit: &str, time: &str) -> Option<u64> {
        let limit: RateLimit = limit.parse().unwrap();
        limit.at(Timestamp::parse(time).unwrap(), UtcOffset::UTC)
    }

    #[test]
    fn one_number_holds_always() {
        assert_eq!(at("10M", "2024-01-01T00:00:00Z"), Some(10 << 20));
        assert_eq!(at("1.5KiB", "2024-01-01T00:00:00Z"), Some(1536));
        assert_eq!(at("700", "2024-01-01T00:00:00Z"), Some(700));
        assert_eq!(at("off", "2024-01-01T00:00:00Z"), None);
    }

    #[test]
    fn a_timetable_holds_by_the_hour_and_over_midnight() {
        let table = "08:00,512K 19:00,10M 23:00,off";
        assert_eq!(at(table, "2024-01-01T07:59:59Z"), None, "since 23:00 of the day before");
        assert_eq!(at(table, "2024-01-01T08:00:00Z"), Some(512 << 10));
        assert_eq!(at(table, "2024-01-01T19:30:00Z"), Some(10 << 20));
        assert_eq!(at(table, "2024-01-07T23:30:00Z"), None);
    }

    #[test]
    fn an_entry_for_a_weekday_goes_before_the_everyday_one_when_it_comes_later() {
        let table = "08:00,1M Sat-08:00,off Sunday-20:00,2M";
        assert_eq!(at(table, "2024-01-05T09:00:00Z"), Some(1 << 20), "a Friday");
        assert_eq!(at(table, "2024-01-06T09:00:00Z"), None, "a Saturday");
        assert_eq!(at(table, "2024-01-08T07:00:00Z"), Some(2 << 20), "before 8 on Monday");
    }

    #[test]
    fn local_time_decides() {
        let limit: RateLimit = "08:00,1M 20:00,off".parse().unwrap();
        let offset = UtcOffset::from_hms(2, 0, 0).unwrap();
        assert_eq!(
            limit.at(Timestamp::parse("2024-01-01T06:30:00Z").unwrap(), offset),
            Some(1 << 20)
        );
    }

    #[test]
    fn what_is_no_rate_is_refused() {
        for bad in ["", "0", "fast", "10X", "08:00", "25:00,1M", "8:60,1M", "Xyz-08:00,1M", "1.é"]
        {
            assert!(bad.parse::<RateLimit>().is_err(), "{bad:?} was accepted");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn chunks_of_all_bodies_share_the_rate() {
        let throttle = Throttle::new("1M".parse().unwrap(), UtcOffset::UTC);
        let start = Instant::now();
        for _ in 0..5 {
            throttle.take(1 << 20, Timestamp::UNIX_EPOCH).await;
        }
        let taken = start.elapsed();
        assert!(
            (Duration::from_secs(4)..Duration::from_millis(4100)).contains(&taken),
            "{taken:?}"
        );
    }
}
