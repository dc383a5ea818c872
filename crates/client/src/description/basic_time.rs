//! Times as other programs write them into descriptions: ISO 8601 in its basic form, `20190103T124510Z`.

use time::{Date, Month, PrimitiveDateTime, Time};

use crate::catalog::FileTime;

/// Reads a time. Separators may stand between the digits and a fraction after them; a leap second is the next one.
pub(super) fn parse(text: &str) -> Option<FileTime> {
    let compact: String =
        text.chars().filter(|c| !matches!(c, '-' | ':') && !c.is_whitespace()).collect();
    let (date, time) = compact.split_once(['T', 't'])?;
    let time = time.strip_suffix(['Z', 'z'])?;
    let time = time.split(['.', ',']).next()?;
    let digits = |text: &str, count: usize| {
        text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !digits(date, 8) || !digits(time, 6) {
        return None;
    }
    let two = |text: &str, at: usize| text[at..at + 2].parse::<u8>().ok();
    let month = Month::try_from(two(date, 4)?).ok()?;
    let date = Date::from_calendar_date(date[..4].parse().ok()?, month, two(date, 6)?).ok()?;
    let second = two(time, 4)?;
    let leap = if matches!(second, 60 | 61) { second - 59 } else { 0 };
    let time = Time::from_hms(two(time, 0)?, two(time, 2)?, second - leap).ok()?;
    let seconds = PrimitiveDateTime::new(date, time).assume_utc().unix_timestamp();
    Some(FileTime { seconds: seconds + i64::from(leap), nanos: 0 })
}

/// Writes a time in whole seconds; none beyond the years 1000 to 9999.
pub(super) fn format(time: FileTime) -> Option<String> {
    let text = FileTime { nanos: 0, ..time }.to_rfc3339()?;
    let is_in_range = text.len() == "2019-01-03T12:45:10Z".len() && !text.starts_with('0');
    is_in_range.then(|| text.replace(['-', ':'], ""))
}

#[cfg(test)]
mod tests {
    use proptest::{prop_assert_eq, proptest};

    use super::{format, parse};
    use crate::catalog::FileTime;

    #[test]
    fn times_are_read_as_programs_write_them() {
        for (text, rfc3339) in [
            ("20190103T124510Z", "2019-01-03T12:45:10Z"),
            (" 2019-01-03T12:45:10z ", "2019-01-03T12:45:10Z"),
            ("20190103T124510.123Z", "2019-01-03T12:45:10Z"),
            ("19160229T235960Z", "1916-03-01T00:00:00Z"),
        ] {
            assert_eq!(parse(text).unwrap().to_rfc3339().unwrap(), rfc3339, "{text}");
        }
        for text in
            ["", "T", "20190103T124510", "20191303T124510Z", "20190103124510Z", "2019é103T124510Z"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn years_beyond_four_digits_are_not_written() {
        let year = |year: i64| format(FileTime { seconds: (year - 1970) * 31_556_952, nanos: 0 });
        assert_eq!([year(900), year(12_000)], [None, None]);
        assert!(year(1100).unwrap().starts_with("1100") || year(1100).unwrap().starts_with("1099"));
    }

    proptest! {
        #[test]
        fn every_time_that_is_written_is_read_back(seconds in -30_000_000_000_i64..250_000_000_000) {
            let time = FileTime { seconds, nanos: 0 };
            prop_assert_eq!(parse(&format(time).unwrap()), Some(time));
        }
    }
}
