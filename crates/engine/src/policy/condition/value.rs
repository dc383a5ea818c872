//! The values that operators compare: numbers, dates, booleans, bytes, networks.

use std::cmp::Ordering;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use icefield_protocol::Timestamp;

/// A decimal number of any size, compared exactly: a float would make large neighbours equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    negative: bool,
    /// Without leading zeros.
    whole: String,
    /// Without trailing zeros.
    fraction: String,
}

impl Decimal {
    /// Reads an optional sign, digits, and an optional fraction.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (minus, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let are_digits =
            |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !are_digits(whole) || !are_digits(fraction) {
            return None;
        }
        let whole = whole.trim_start_matches('0').to_owned();
        let fraction = fraction.trim_end_matches('0').to_owned();
        // There is one zero.
        let negative = minus && !(whole.is_empty() && fraction.is_empty());
        Some(Self { negative, whole, fraction })
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let size = |one: &Self, two: &Self| {
            (one.whole.len(), &one.whole, &one.fraction).cmp(&(
                two.whole.len(),
                &two.whole,
                &two.fraction,
            ))
        };
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => size(self, other),
            (true, true) => size(other, self),
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Reads a date as milliseconds since 1970: ISO 8601 down to the day, minute or second, or whole seconds since 1970.
///
/// Four digits alone could be a year or seconds; they are neither.
pub(super) fn instant(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.len() != 4 && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse::<i64>().ok()?.checked_mul(1000);
    }
    let full = if text.len() == 10 {
        format!("{text}T00:00:00Z")
    } else {
        // Seconds may be left out: `2013-06-30T12:00Z`.
        match (text.get(..16), text.get(16..)) {
            (Some(minutes), Some(zone)) if !zone.starts_with(':') => format!("{minutes}:00{zone}"),
            _ => text.to_owned(),
        }
    };
    Timestamp::parse(&full).ok().map(Timestamp::unix_millis)
}

/// Reads `true` or `false` in any case.
pub(super) fn truth(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// Reads base64.
pub(super) fn bytes(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// An IPv4 or IPv6 network; a single address is one of full length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    address: IpAddr,
    prefix_bits: u32,
}

impl Network {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = match prefix {
            None => longest,
            Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().ok().filter(|bits| *bits <= longest)?
            }
            Some(_) => return None,
        };
        Some(Self { address, prefix_bits })
    }

    /// Whether the address is in the network. An IPv4 address in IPv6's clothes is an IPv4 address.
    pub(super) fn contains(self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differing = u32::from(network) ^ u32::from(address);
                differing.leading_zeros() >= self.prefix_bits
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differing = u128::from(network) ^ u128::from(address);
                differing.leading_zeros() >= self.prefix_bits
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Decimal, Network, instant};

    #[test]
    fn numbers_are_compared_exactly() {
        let number = |text| Decimal::parse(text).unwrap();
        let ascending =
            ["-10", "-9.5", "-0.1", "0", "0.09", "0.1", "1", "9", "10", "365", "365.25"];
        for pair in ascending.windows(2) {
            assert!(number(pair[0]) < number(pair[1]), "{pair:?}");
        }
        assert!(number("9007199254740992") < number("9007199254740993"));
        for (one, same) in [("0", "-0.0"), ("007", "7"), ("+1.50", "1.5")] {
            assert_eq!(number(one), number(same));
        }
        for bad in ["", "-", "1e3", ".5", "5.", "1.2.3", " 1", "abc", "0x10", "٣", "--1"] {
            assert!(Decimal::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn dates_are_iso_or_seconds() {
        for same in [
            "1372550400",
            "2013-06-30",
            "2013-06-30T00:00Z",
            "2013-06-30T00:00:00Z",
            "2013-06-30T02:00+02:00",
            "2013-06-30T00:00:00.000Z",
        ] {
            assert_eq!(instant(same), Some(1_372_550_400_000), "{same}");
        }
        for bad in [
            "",
            "-",
            "2013",
            "2013-06",
            "2013-13-01",
            "tomorrow",
            "99999999999999999999",
            "2013-06-3é",
        ] {
            assert_eq!(instant(bad), None, "{bad}");
        }
        assert_eq!(instant("-1"), Some(-1000));
    }

    #[test]
    fn networks_contain_their_addresses() {
        let holds = |network: &str, address: &str| {
            Network::parse(network).unwrap().contains(address.parse().unwrap())
        };
        assert!(holds("203.0.113.0/24", "203.0.113.255"));
        assert!(!holds("203.0.113.0/24", "203.0.114.0"));
        assert!(holds("203.0.113.77/24", "203.0.113.1"));
        assert!(holds("0.0.0.0/0", "255.255.255.255"));
        assert!(holds("203.0.113.7", "::ffff:203.0.113.7"));
        assert!(!holds("0.0.0.0/0", "2001:db8::1"));
        assert!(holds("2001:db8::/33", "2001:db8:7fff::1"));
        assert!(!holds("2001:db8::/33", "2001:db8:8000::1"));
        assert!(holds("::/0", "2001:db8::1"));
        for bad in
            ["", "203.0.113.0/33", "203.0.113.0/", "203.0.113.0/+8", "203.0.113/24", "::/129", "x"]
        {
            assert!(Network::parse(bad).is_none(), "{bad}");
        }
    }
}
