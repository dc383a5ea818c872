//! Byte ranges, inclusive at both ends as everywhere on this wire, in their spellings.
//!
//! * `0-4194303`: the range of a part or a retrieval.
//! * `bytes 0-4194303/*` or `/8388608`: the `Content-Range` of a part or of an answer.
//! * `bytes=0-4194303`: the `Range` of a download, resolved against the size of the output.

use std::fmt;
use std::str::FromStr;

use crate::text::serde_as_text;

/// A range of at least one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteRange {
    /// Offset of the first byte.
    pub first: u64,
    /// Offset of the last byte; not before `first`.
    pub last: u64,
}

/// The text or the pair of numbers is not a range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRange {
    /// The ends are in the wrong order, or the length does not fit 64 bits.
    #[error(
        "the range {first}-{last} is not a range: its end lies before its start or it is too long"
    )]
    Ends {
        /// The first byte.
        first: u64,
        /// The last byte.
        last: u64,
    },
    /// The text has another form.
    #[error("{text:?} is not a range of the form `{form}`")]
    Form {
        /// The text as it came.
        text: String,
        /// What was expected.
        form: &'static str,
    },
    /// Several ranges in one header.
    #[error("{0:?} has several ranges, but only one can be answered")]
    Several(String),
    /// The range begins at or after the end of the data.
    #[error("the range {text:?} lies outside the {total} bytes there are")]
    Outside {
        /// The text as it came.
        text: String,
        /// Length of the data in bytes.
        total: u64,
    },
}

const PLAIN_FORM: &str = "FIRST-LAST";
const CONTENT_RANGE_FORM: &str = "bytes FIRST-LAST/*";
const HEADER_FORM: &str = "bytes=FIRST-LAST";

impl ByteRange {
    /// Checks a range from `first` to `last`, both included.
    ///
    /// # Errors
    ///
    /// When `last` lies before `first`, or the length does not fit 64 bits.
    pub fn new(first: u64, last: u64) -> Result<Self, InvalidRange> {
        match last.checked_sub(first) {
            Some(distance) if distance < u64::MAX => Ok(Self { first, last }),
            _ => Err(InvalidRange::Ends { first, last }),
        }
    }

    /// Returns the range of the whole of `total` bytes, or `None` of nothing.
    #[must_use]
    pub fn whole(total: u64) -> Option<Self> {
        total.checked_sub(1).map(|last| Self { first: 0, last })
    }

    /// Returns the number of bytes, never 0.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a range is never empty")]
    pub const fn len(&self) -> u64 {
        self.last - self.first + 1
    }

    /// Reads `FIRST-LAST`.
    ///
    /// # Errors
    ///
    /// On any other form, and on ends in the wrong order.
    pub fn parse(text: &str) -> Result<Self, InvalidRange> {
        Self::parse_as(text, text, PLAIN_FORM)
    }

    /// Reads `bytes FIRST-LAST/*` or `bytes FIRST-LAST/TOTAL`; the total is not used.
    ///
    /// # Errors
    ///
    /// On any other form (also `bytes=`), on ends in the wrong order, and on a range that its own total does not hold.
    pub fn parse_content_range(text: &str) -> Result<Self, InvalidRange> {
        Self::parse_content_range_and_total(text).map(|(range, _)| range)
    }

    /// Reads `bytes FIRST-LAST/TOTAL`, with `None` as the total of `*`.
    ///
    /// # Errors
    ///
    /// As [`parse_content_range`](Self::parse_content_range).
    pub fn parse_content_range_and_total(text: &str) -> Result<(Self, Option<u64>), InvalidRange> {
        let refused = || form(text, CONTENT_RANGE_FORM);
        let (unit, rest) = text.trim().split_once(' ').ok_or_else(refused)?;
        let (ends, total) = rest.trim_start().split_once('/').ok_or_else(refused)?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return Err(refused());
        }
        let range = Self::parse_as(ends, text, CONTENT_RANGE_FORM)?;
        if total == "*" {
            return Ok((range, None));
        }
        let total = number(total).ok_or_else(refused)?;
        if range.last >= total {
            return Err(InvalidRange::Outside { text: text.to_owned(), total });
        }
        Ok((range, Some(total)))
    }

    /// Reads the value of a `Range` header and resolves it against `total` bytes.
    ///
    /// An end beyond the data is clamped, `bytes=N-` goes to the end, `bytes=-N` means the last N bytes (RFC 2616).
    ///
    /// # Errors
    ///
    /// On several ranges, on ends in the wrong order, and on a range that has no byte of the data.
    pub fn parse_header(text: &str, total: u64) -> Result<Self, InvalidRange> {
        let refused = || form(text, HEADER_FORM);
        let outside = || InvalidRange::Outside { text: text.to_owned(), total };
        let (unit, ends) = text.trim().split_once('=').ok_or_else(refused)?;
        if !unit.trim_end().eq_ignore_ascii_case("bytes") {
            return Err(refused());
        }
        if ends.contains(',') {
            return Err(InvalidRange::Several(text.to_owned()));
        }
        let (first, last) = ends.split_once('-').ok_or_else(refused)?;
        let (first, last) = (first.trim(), last.trim());
        let end = total.checked_sub(1).ok_or_else(outside)?;
        let range = if first.is_empty() {
            let length = number(last).ok_or_else(refused)?;
            Self::new(total - length.min(total), end)
        } else {
            let first = number(first).ok_or_else(refused)?;
            let last = if last.is_empty() { u64::MAX } else { number(last).ok_or_else(refused)? };
            if last < first {
                return Err(InvalidRange::Ends { first, last });
            }
            Self::new(first, last.min(end))
        };
        range.map_err(|_| outside())
    }

    /// Returns the value of a `Range` header that asks for this range.
    #[must_use]
    pub fn to_header(&self) -> String {
        format!("bytes={self}")
    }

    /// Returns the value of the `Content-Range` header of a part: `bytes FIRST-LAST/*`.
    #[must_use]
    pub fn to_content_range(&self) -> String {
        format!("bytes {self}/*")
    }

    fn parse_as(ends: &str, text: &str, expected: &'static str) -> Result<Self, InvalidRange> {
        let refused = || form(text, expected);
        let (first, last) = ends.split_once('-').ok_or_else(refused)?;
        Self::new(number(first).ok_or_else(refused)?, number(last).ok_or_else(refused)?)
    }
}

fn form(text: &str, form: &'static str) -> InvalidRange {
    InvalidRange::Form { text: text.to_owned(), form }
}

/// Reads digits only: `u64::from_str` would take a sign too.
fn number(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl FromStr for ByteRange {
    type Err = InvalidRange;

    fn from_str(text: &str) -> Result<Self, InvalidRange> {
        Self::parse(text)
    }
}

serde_as_text!(ByteRange);

#[cfg(test)]
mod tests {
    use proptest::{prop_assert_eq, proptest};

    use super::{ByteRange, InvalidRange};

    fn range(first: u64, last: u64) -> ByteRange {
        ByteRange::new(first, last).unwrap()
    }

    #[test]
    fn ends_are_inclusive_and_in_order() {
        assert_eq!(range(0, 0).len(), 1);
        assert_eq!(range(5, 9).to_string(), "5-9");
        assert!(ByteRange::new(1, 0).is_err());
        assert!(ByteRange::new(0, u64::MAX).is_err(), "its length would not fit");
        assert_eq!(range(1, u64::MAX).len(), u64::MAX);
        assert_eq!(ByteRange::whole(0), None);
        assert_eq!(ByteRange::whole(3), Some(range(0, 2)));
    }

    #[test]
    fn plain_ranges_have_two_numbers() {
        assert_eq!(ByteRange::parse("0-4194303"), Ok(range(0, 4_194_303)));
        for bad in [
            "",
            "-",
            "1-",
            "-1",
            "2-1",
            "+1-2",
            "1-+2",
            " 1-2",
            "1-2-3",
            "a-b",
            "0-99999999999999999999",
        ] {
            assert!(ByteRange::parse(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn content_ranges_have_a_star_or_a_total() {
        assert_eq!(ByteRange::parse_content_range("bytes 0-1048575/*"), Ok(range(0, 1_048_575)));
        assert_eq!(
            ByteRange::parse_content_range("bytes 1048576-2097151/2097152"),
            Ok(range(1 << 20, (2 << 20) - 1))
        );
        assert_eq!(
            ByteRange::parse_content_range_and_total("bytes 0-1/8"),
            Ok((range(0, 1), Some(8)))
        );
        for bad in [
            "bytes 909994937-909994936/*",
            "bytes=0-1/*",
            "bytes 0-1",
            "0-1/*",
            "bytes 0-1/x",
            "bytes 0-8/8",
        ] {
            assert!(ByteRange::parse_content_range(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn range_headers_are_resolved_against_the_output() {
        let total = 5 << 20;
        let resolved = |text| ByteRange::parse_header(text, total);
        assert_eq!(resolved("bytes=0-1048575"), Ok(range(0, 1_048_575)));
        assert_eq!(
            resolved("bytes=4194304-8388607"),
            Ok(range(4_194_304, total - 1)),
            "the end is clamped"
        );
        assert_eq!(resolved("bytes=1-"), Ok(range(1, total - 1)));
        assert_eq!(resolved("bytes=-1"), Ok(range(total - 1, total - 1)));
        assert_eq!(resolved("bytes=-99999999"), Ok(range(0, total - 1)));
        assert_eq!(resolved("Bytes=0-0"), Ok(range(0, 0)));
    }

    #[test]
    fn range_headers_that_cannot_be_answered_are_refused() {
        let resolved = |text| ByteRange::parse_header(text, 10);
        assert!(matches!(resolved("bytes=0-1,3-4"), Err(InvalidRange::Several(_))));
        assert!(matches!(resolved("bytes=10-11"), Err(InvalidRange::Outside { total: 10, .. })));
        assert!(matches!(resolved("bytes=10-"), Err(InvalidRange::Outside { .. })));
        assert!(matches!(resolved("bytes=-0"), Err(InvalidRange::Outside { .. })));
        assert!(matches!(resolved("bytes=5-4"), Err(InvalidRange::Ends { .. })));
        assert!(matches!(
            ByteRange::parse_header("bytes=0-", 0),
            Err(InvalidRange::Outside { .. })
        ));
        for bad in ["", "bytes", "bytes=", "bytes=-", "bytes=a-b", "items=0-1", "bytes 0-1"] {
            assert!(matches!(resolved(bad), Err(InvalidRange::Form { .. })), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn every_spelling_is_read_back(first in 0..u64::MAX / 2, more in 0..u64::MAX / 2) {
            let one = range(first, first + more);
            prop_assert_eq!(ByteRange::parse(&one.to_string()), Ok(one));
            prop_assert_eq!(ByteRange::parse_content_range(&one.to_content_range()), Ok(one));
            prop_assert_eq!(ByteRange::parse_header(&one.to_header(), u64::MAX), Ok(one));
        }
    }
}
