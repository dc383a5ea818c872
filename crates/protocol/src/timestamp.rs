//! Points in time as the wire writes them: UTC, milliseconds.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use time::format_description::BorrowedFormatItem;
use time::macros::{datetime, format_description};
use time::{Month, OffsetDateTime, PrimitiveDateTime, UtcOffset};

use crate::text::serde_as_text;

/// A point in time in UTC, in whole milliseconds of the years 0 to 9999: what four digits of a year can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// The text is not a date.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a date of the form `2013-03-20T17:03:43Z`")]
pub struct InvalidTimestamp(pub String);

const MIN_UNIX_MILLIS: i64 = datetime!(0000-01-01 00:00 UTC).unix_timestamp() * 1000;
const MAX_UNIX_MILLIS: i64 = datetime!(9999-12-31 23:59:59 UTC).unix_timestamp() * 1000 + 999;

const MILLIS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
const SECONDS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
const LENIENT: &[BorrowedFormatItem<'_>] = format_description!(
    version = 2,
    "[year]-[month]-[day]T[hour]:[minute]:[second][optional [.[subsecond digits:1+]]]"
);

impl Timestamp {
    /// The beginning of 1970.
    pub const UNIX_EPOCH: Self = Self(0);

    /// Returns the point `millis` milliseconds after the Unix epoch; years beyond 0 to 9999 become the nearest one.
    #[must_use]
    pub const fn from_unix_millis(millis: i64) -> Self {
        if millis < MIN_UNIX_MILLIS {
            Self(MIN_UNIX_MILLIS)
        } else if millis > MAX_UNIX_MILLIS {
            Self(MAX_UNIX_MILLIS)
        } else {
            Self(millis)
        }
    }

    /// Returns the milliseconds since the Unix epoch.
    #[must_use]
    pub const fn unix_millis(self) -> i64 {
        self.0
    }

    /// Returns `2013-03-20T17:03:43.221Z`: the form of all JSON answers, always with three digits.
    #[must_use]
    pub fn to_millis_string(self) -> String {
        self.written(MILLIS)
    }

    /// Returns `2013-03-20T17:03:43Z`, truncated: the form inside inventories.
    #[must_use]
    pub fn to_seconds_string(self) -> String {
        self.written(SECONDS)
    }

    /// Reads a date with seconds.
    ///
    /// As clients send them: a fraction may follow (truncated to milliseconds), then `Z`, `UTC`, `+hh:mm`, `+hhmm` or
    /// nothing, which is read as UTC.
    ///
    /// # Errors
    ///
    /// On any other form, and on a day or time that does not exist.
    pub fn parse(text: &str) -> Result<Self, InvalidTimestamp> {
        parse_lenient(text).ok_or_else(|| InvalidTimestamp(text.to_owned()))
    }

    /// Returns the point `duration` later, at most the end of the year 9999.
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self::from_unix_millis(self.0.saturating_add(millis))
    }

    /// Returns the time passed since `earlier`, or zero when that is later.
    #[must_use]
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Returns the beginning of the day in UTC.
    #[must_use]
    pub const fn start_of_day(self) -> Self {
        Self(self.0 - self.0.rem_euclid(24 * 60 * 60 * 1000))
    }

    /// Returns how many days the month has.
    #[must_use]
    pub fn days_in_month(self) -> u8 {
        let date = self.date();
        date.month().length(date.year())
    }

    /// Returns the same day and time of the next month, clamped to its last day: 31 January becomes 28 or 29 February.
    #[must_use]
    pub fn next_month(self) -> Self {
        let date = self.date();
        let month = date.month().next();
        let year = date.year() + i32::from(month == Month::January);
        let day = date.day().min(month.length(year));
        // The last month there is has no next one.
        let next = time::Date::from_calendar_date(year, month, day);
        next.map_or(Self(MAX_UNIX_MILLIS), |next| {
            let moved = (next - date).whole_milliseconds();
            Self::from_unix_millis(self.0.saturating_add(i64::try_from(moved).unwrap_or(i64::MAX)))
        })
    }

    fn date(self) -> time::Date {
        OffsetDateTime::from_unix_timestamp(self.0.div_euclid(1000))
            .expect("the years 0 to 9999 have a calendar")
            .date()
    }

    fn written(self, format: &[BorrowedFormatItem<'_>]) -> String {
        let nanos = i128::from(self.0) * 1_000_000;
        OffsetDateTime::from_unix_timestamp_nanos(nanos)
            .ok()
            .and_then(|date| date.format(format).ok())
            .expect("the years 0 to 9999 can be written")
    }
}

fn parse_lenient(text: &str) -> Option<Timestamp> {
    let (local, offset) = split_zone(text.trim())?;
    let date = PrimitiveDateTime::parse(local, LENIENT).ok()?.assume_offset(offset);
    let millis = i64::try_from(date.unix_timestamp_nanos().div_euclid(1_000_000)).ok()?;
    (MIN_UNIX_MILLIS..=MAX_UNIX_MILLIS).contains(&millis).then_some(Timestamp(millis))
}

/// Separates the zone from a date: `Z`, `UTC`, `+hh:mm`, `+hhmm`, or none.
fn split_zone(text: &str) -> Option<(&str, UtcOffset)> {
    if let Some(local) = text.strip_suffix('Z').or_else(|| text.strip_suffix("UTC")) {
        return Some((local, UtcOffset::UTC));
    }
    // A sign after the `T` belongs to the zone; the hyphens before it to the date.
    let clock = text.find('T')?;
    let Some(sign) = text[clock..].find(['+', '-']).map(|at| clock + at) else {
        return Some((text, UtcOffset::UTC));
    };
    let (local, zone) = text.split_at(sign);
    let digits = zone[1..].replacen(':', "", 1);
    if digits.len() != 4 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes) = (digits[..2].parse::<i8>().ok()?, digits[2..].parse::<i8>().ok()?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    Some((local, UtcOffset::from_hms(sign * hours, sign * minutes, 0).ok()?))
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.to_millis_string())
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        Self::parse(text)
    }
}

serde_as_text!(Timestamp);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::{prop_assert_eq, proptest};

    use super::{MAX_UNIX_MILLIS, MIN_UNIX_MILLIS, Timestamp};

    const SAMPLE: Timestamp = Timestamp::from_unix_millis(1_363_799_023_221);

    #[test]
    fn dates_are_written_with_three_digits_or_none() {
        assert_eq!(SAMPLE.to_millis_string(), "2013-03-20T17:03:43.221Z");
        assert_eq!(SAMPLE.to_seconds_string(), "2013-03-20T17:03:43Z");
        assert_eq!(Timestamp::UNIX_EPOCH.to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp::from_unix_millis(-1).to_seconds_string(), "1969-12-31T23:59:59Z");
    }

    #[test]
    fn every_form_that_clients_send_is_read() {
        let whole = Timestamp::from_unix_millis(1_363_799_023_000);
        for text in [
            "2013-03-20T17:03:43Z",
            "2013-03-20T17:03:43UTC",
            "2013-03-20T17:03:43",
            "2013-03-20T19:03:43+02:00",
            "2013-03-20T19:03:43+0200",
            "2013-03-20T11:33:43-05:30",
        ] {
            assert_eq!(Timestamp::parse(text), Ok(whole), "{text}");
        }
        for text in [
            "2013-03-20T17:03:43.221Z",
            "2013-03-20T17:03:43.221987+0000",
            "2013-03-20T17:03:43.221",
        ] {
            assert_eq!(Timestamp::parse(text), Ok(SAMPLE), "{text}");
        }
        assert_eq!(Timestamp::parse("1969-12-31T23:59:59.9999Z").unwrap().unix_millis(), -1);
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for bad in [
            "",
            "now",
            "2013-03-20",
            "2013-03-20T17:03Z",
            "2013-02-30T17:03:43Z",
            "2013-03-20T25:03:43Z",
            "2013-03-20T17:03:43.Z",
            "2013-03-20T17:03:43+2",
            "2013-03-20T17:03:43+24:00",
            "2013-03-20T17:03:43+é0",
            "2013-03-20 17:03:43Z",
            "0000-01-01T00:00:00+01:00",
        ] {
            assert!(Timestamp::parse(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn arithmetic_stops_at_the_ends() {
        assert_eq!(
            SAMPLE.saturating_add(Duration::from_millis(779)).unix_millis(),
            1_363_799_024_000
        );
        assert_eq!(
            SAMPLE.saturating_add(Duration::MAX).to_seconds_string(),
            "9999-12-31T23:59:59Z"
        );
        assert_eq!(
            Timestamp::from_unix_millis(i64::MIN).to_seconds_string(),
            "0000-01-01T00:00:00Z"
        );
        assert_eq!(SAMPLE.saturating_since(Timestamp::UNIX_EPOCH).as_millis(), 1_363_799_023_221);
        assert_eq!(Timestamp::UNIX_EPOCH.saturating_since(SAMPLE), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(millis in MIN_UNIX_MILLIS..=MAX_UNIX_MILLIS) {
            let one = Timestamp::from_unix_millis(millis);
            prop_assert_eq!(one.to_millis_string().parse(), Ok(one));
            let second = Timestamp::from_unix_millis(millis.div_euclid(1000) * 1000);
            prop_assert_eq!(one.to_seconds_string().parse(), Ok(second));
        }

        #[test]
        fn any_text_is_read_or_refused_without_a_panic(text: String) {
            drop(Timestamp::parse(&text));
            drop(Timestamp::parse(&format!("2013-03-20T17:03:43{text}")));
        }
    }

    #[test]
    fn months_follow_each_other_by_the_calendar() {
        for (date, next, days) in [
            ("2017-08-31T10:20:30.456Z", "2017-09-30T10:20:30.456Z", 31),
            ("2017-01-31T00:00:00.000Z", "2017-02-28T00:00:00.000Z", 31),
            ("2020-01-30T23:59:59.999Z", "2020-02-29T23:59:59.999Z", 31),
            ("2019-12-15T01:02:03.000Z", "2020-01-15T01:02:03.000Z", 31),
            ("2020-02-10T00:00:00.000Z", "2020-03-10T00:00:00.000Z", 29),
        ] {
            let date = Timestamp::parse(date).unwrap();
            assert_eq!(
                (date.next_month().to_string().as_str(), date.days_in_month()),
                (next, days)
            );
        }
        let date = Timestamp::parse("2017-08-31T10:20:30.456Z").unwrap();
        assert_eq!(date.start_of_day().to_string(), "2017-08-31T00:00:00.000Z");
        let before = Timestamp::parse("1969-12-31T10:20:30.456Z").unwrap();
        assert_eq!(before.start_of_day().to_string(), "1969-12-31T00:00:00.000Z");
    }
}
