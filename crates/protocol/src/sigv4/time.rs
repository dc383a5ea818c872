//! When a request was signed, and whether that is close enough to now.

use std::fmt;
use std::time::Duration;

use super::{RequestHead, SigV4Error};
use crate::Timestamp;

/// The time that a request was signed at, in whole seconds, written `20120525T002453Z`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestTime {
    text: [u8; 16],
    timestamp: Timestamp,
}

impl RequestTime {
    /// Reads `20120525T002453Z`; nothing else is a time to a signature.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text: [u8; 16] = text.as_bytes().try_into().ok()?;
        let legal = |(index, byte): (usize, &u8)| match index {
            8 => *byte == b'T',
            15 => *byte == b'Z',
            _ => byte.is_ascii_digit(),
        };
        if !text.iter().enumerate().all(legal) {
            return None;
        }
        let basic = str::from_utf8(&text).ok()?;
        let [year, month, day] = [&basic[..4], &basic[4..6], &basic[6..8]];
        let [hour, minute, second] = [&basic[9..11], &basic[11..13], &basic[13..15]];
        let extended = format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z");
        Some(Self { text, timestamp: Timestamp::parse(&extended).ok()? })
    }

    /// Returns the second that `timestamp` lies in.
    #[must_use]
    pub fn of(timestamp: Timestamp) -> Self {
        let mut basic = timestamp.to_seconds_string();
        basic.retain(|character| !matches!(character, '-' | ':'));
        Self::parse(&basic).expect("a year has four digits, so a second has 16 characters")
    }

    /// Returns the text as signed.
    #[must_use]
    pub fn text(&self) -> &str {
        str::from_utf8(&self.text).expect("digits are ASCII")
    }

    /// Returns the point in time.
    #[must_use]
    pub const fn timestamp(self) -> Timestamp {
        self.timestamp
    }

    /// Returns the day, `20120525`, as a credential scope names it.
    #[must_use]
    pub fn date(&self) -> &str {
        &self.text()[..8]
    }
}

impl fmt::Display for RequestTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text())
    }
}

impl fmt::Debug for RequestTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestTime({self})")
    }
}

/// Returns the time that the request says it was signed at.
///
/// That is `x-amz-date`, or where there is none a `Date` in the same form ("Common Request Headers").
///
/// # Errors
///
/// When there is neither, when the header is sent twice, and when it has another form. A `Date` as HTTP writes it counts
/// only beside `x-amz-date`, where it is ignored.
pub fn request_time(head: &RequestHead<'_>) -> Result<RequestTime, SigV4Error> {
    let name = if head.values("x-amz-date").next().is_some() { "x-amz-date" } else { "date" };
    let mut values = head.values(name);
    let value = values.next().ok_or(SigV4Error::DateMissing)?;
    if values.next().is_some() {
        return Err(SigV4Error::Malformed("the date is given twice"));
    }
    str::from_utf8(value)
        .ok()
        .and_then(RequestTime::parse)
        .ok_or(SigV4Error::Malformed("the date does not have the form `20120525T002453Z`"))
}

/// Checks that a request was signed at most `window` before or after `now`, in whole seconds.
///
/// # Errors
///
/// [`SigV4Error::Expired`] or [`SigV4Error::Early`].
pub fn check_skew(time: RequestTime, now: Timestamp, window: Duration) -> Result<(), SigV4Error> {
    let now = RequestTime::of(now);
    let window_millis = i64::try_from(window.as_secs()).unwrap_or(i64::MAX).saturating_mul(1000);
    let shifted = |by: i64| {
        let millis = now.timestamp.unix_millis().saturating_add(by);
        RequestTime::of(Timestamp::from_unix_millis(millis))
    };
    let (earliest, latest) = (shifted(-window_millis), shifted(window_millis));
    if time < earliest {
        Err(SigV4Error::Expired { time, earliest, now, window })
    } else if time > latest {
        Err(SigV4Error::Early { time, latest, now, window })
    } else {
        Ok(())
    }
}
