//! Money, exactly: whole billionths of a dollar, never a floating-point number.

use std::{fmt, iter::Sum, str::FromStr};

use serde::{Deserialize, Deserializer, de};

/// Billionths in a dollar.
const NANOS: u64 = 1_000_000_000;

/// Billionths in the last digit that people are shown of amounts below a dollar, and of others.
const SHOWN_SMALL: u64 = 100_000;
const SHOWN: u64 = 10_000_000;

/// An amount of US dollars, at least nothing.
///
/// Displayed for people it is rounded up, to cents or below a dollar to hundredths of a cent, so that what is shown is
/// enough; the alternate form (`{:#}`) is exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Usd(u64);

/// The text is not an amount of money.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an amount of dollars such as 12.50")]
pub struct InvalidUsd(pub String);

impl Usd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Returns this many billionths of a dollar.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Returns the amount in billionths of a dollar.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// Returns both together; sums beyond 18 billion dollars stay there.
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Returns what `quantity` costs at this price for each `per`, rounded up to a billionth of a dollar.
    pub fn times(self, quantity: u128, per: u128) -> Self {
        let nanos = u128::from(self.0).saturating_mul(quantity).div_ceil(per);
        Self(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl Sum for Usd {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Self::saturating_add)
    }
}

impl FromStr for Usd {
    type Err = InvalidUsd;

    /// Reads `12.50` or `$12.50`, with at most nine digits after the point.
    fn from_str(text: &str) -> Result<Self, InvalidUsd> {
        const DIGITS: usize = 9;
        let read = || {
            let number = text.strip_prefix('$').unwrap_or(text);
            let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
            let is_digits =
                |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            if !is_digits(whole) || !is_digits(part) || part.len() > DIGITS {
                return None;
            }
            let whole: u64 = whole.parse().ok()?;
            let part: u64 = format!("{part:0<DIGITS$}").parse().ok()?;
            whole.checked_mul(NANOS)?.checked_add(part).map(Self)
        };
        read().ok_or_else(|| InvalidUsd(text.to_owned()))
    }
}

impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = match self.0 {
            _ if f.alternate() => 1,
            nanos if nanos < NANOS => SHOWN_SMALL,
            _ => SHOWN,
        };
        let nanos = self.0.checked_next_multiple_of(shown).unwrap_or(self.0);
        let digits = format!("{:09}", nanos % NANOS);
        let (cents, more) = digits.split_at(2);
        write!(f, "${}.{cents}{}", grouped(nanos / NANOS), more.trim_end_matches('0'))
    }
}

/// Writes `1234567` as `1,234,567`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

impl<'de> Deserialize<'de> for Usd {
    /// Reads a number as it was written: `0.0036` is exactly that.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Usd;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an amount of dollars such as 0.0036")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Usd, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Usd, E> {
                // The shortest text that reads as the same number: the digits that were written.
                self.visit_str(&number.to_string())
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Usd, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::Usd;

    fn usd(text: &str) -> Usd {
        text.parse().unwrap()
    }

    #[test]
    fn amounts_are_read_exactly() {
        assert_eq!(usd("0.000000001").nanos(), 1);
        assert_eq!(usd("$12.5").nanos(), 12_500_000_000);
        assert_eq!(usd("3"), usd("3.000"));
        for text in ["", "$", "1.", ".5", "-1", "+1", "1e3", "1.0000000001", "99999999999", "1,5"] {
            assert!(text.parse::<Usd>().is_err(), "{text}");
        }
    }

    #[test]
    fn people_see_amounts_rounded_up_so_that_what_they_see_is_enough() {
        let shown = |text: &str| usd(text).to_string();
        assert_eq!(shown("0"), "$0.00");
        assert_eq!(shown("0.0123"), "$0.0123");
        assert_eq!(shown("0.01230001"), "$0.0124");
        assert_eq!(shown("0.000000001"), "$0.0001");
        assert_eq!(shown("0.99999"), "$1.00");
        assert_eq!(shown("1.771"), "$1.78");
        assert_eq!(shown("151774"), "$151,774.00");
        assert_eq!(format!("{:#}", usd("0.00099")), "$0.00099");
        assert_eq!(format!("{:#}", usd("10")), "$10.00");
    }

    #[test]
    fn a_product_is_rounded_once_and_never_overflows() {
        assert_eq!(usd("0.05").times(15_000_000, 1000), usd("750"));
        assert_eq!(usd("0.000000001").times(1, 1000).nanos(), 1);
        assert_eq!(usd("1000").times(u128::MAX, 1).nanos(), u64::MAX);
        assert_eq!([usd("0.1"), usd("0.2")].into_iter().sum::<Usd>(), usd("0.3"));
    }

    #[test]
    fn numbers_in_a_file_are_taken_as_they_are_written() {
        #[derive(serde::Deserialize)]
        struct Row {
            price: Vec<Usd>,
        }
        let row: Row = toml::from_str("price = [0.00099, 10, \"0.3\", 0.1093]").unwrap();
        assert_eq!(row.price, ["0.00099", "10", "0.3", "0.1093"].map(usd));
        assert!(toml::from_str::<Row>("price = [-1]").is_err());
        assert!(toml::from_str::<Row>("price = [nan]").is_err());
    }
}
