//! The two kinds of hash as types, so that one is never taken for the other.
//!
//! Both are 32 bytes, written as 64 lower-case hex digits; input in upper case is accepted, as services and scripts
//! differ there.

use std::fmt;
use std::str::FromStr;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::sha256::sha256;

const HASH_LEN: usize = 32;
const HEX_LEN: usize = 2 * HASH_LEN;

/// A Glacier SHA-256 tree hash: of an archive, a part, an aligned range, or a single leaf.
///
/// Every node of the tree is the tree hash of the bytes below it, so all of them have this type.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreeHash([u8; HASH_LEN]);

/// A plain SHA-256 over bytes in order, as signatures and `x-amz-content-sha256` use it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinearHash([u8; HASH_LEN]);

impl LinearHash {
    /// Returns the SHA-256 of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha256(bytes))
    }

    /// Returns the linear hash of data that is one leaf, given its tree hash.
    ///
    /// For data of at most 1 MiB both hashes are the same digest, so it need not be computed twice. Meaningless for
    /// the tree hash of anything longer; the caller knows the length.
    #[must_use]
    pub fn of_single_leaf(leaf: TreeHash) -> Self {
        Self(leaf.0)
    }
}

/// The text is not a hash of 64 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseHashError {
    /// The text has another length.
    #[error("a SHA-256 hash has 64 hex digits, not {0} characters")]
    Length(usize),
    /// A byte, counted from 0, is not a hex digit.
    #[error("a SHA-256 hash has 64 hex digits, but byte {0} is not one")]
    Digit(usize),
}

fn parse_hex(text: &str) -> Result<[u8; HASH_LEN], ParseHashError> {
    let digits = text.as_bytes();
    if digits.len() != HEX_LEN {
        return Err(ParseHashError::Length(text.chars().count()));
    }
    let mut out = [0; HASH_LEN];
    for (index, (byte, pair)) in out.iter_mut().zip(digits.chunks_exact(2)).enumerate() {
        let high = nibble(pair[0]).ok_or(ParseHashError::Digit(2 * index))?;
        let low = nibble(pair[1]).ok_or(ParseHashError::Digit(2 * index + 1))?;
        *byte = high << 4 | low;
    }
    Ok(out)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// The hex digits of a hash, without an allocation.
struct Hex([u8; HEX_LEN]);

impl Hex {
    fn of(bytes: &[u8; HASH_LEN]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut out = [0; HEX_LEN];
        for (pair, byte) in out.chunks_exact_mut(2).zip(bytes) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        Self(out)
    }

    fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("hex digits are ASCII")
    }
}

/// The traits that both kinds share: bytes in and out, text, serde.
macro_rules! hash_traits {
    ($name:ident) => {
        impl $name {
            /// Returns the hash with these raw bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; HASH_LEN]) -> Self {
                Self(bytes)
            }

            /// Returns the raw bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; HASH_LEN] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(Hex::of(&self.0).as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = ParseHashError;

            fn from_str(text: &str) -> Result<Self, ParseHashError> {
                parse_hex(text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(Hex::of(&self.0).as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(HexVisitor).map(Self)
            }
        }
    };
}

hash_traits!(TreeHash);
hash_traits!(LinearHash);

struct HexVisitor;

impl Visitor<'_> for HexVisitor {
    type Value = [u8; HASH_LEN];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("64 hex digits")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        parse_hex(text).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::{LinearHash, ParseHashError, TreeHash};

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn hex_is_lower_case_and_read_in_both_cases() {
        let hash = LinearHash::of(b"");
        assert_eq!(hash.to_string(), EMPTY);
        assert_eq!(EMPTY.to_uppercase().parse(), Ok(hash));
        assert_eq!(format!("{hash:?}"), format!("LinearHash({EMPTY})"));
    }

    #[test]
    fn text_that_is_no_hash_is_refused_with_the_reason() {
        assert_eq!("".parse::<TreeHash>(), Err(ParseHashError::Length(0)));
        assert_eq!("é".repeat(32).parse::<TreeHash>(), Err(ParseHashError::Digit(0)));
        assert_eq!(format!("{EMPTY}0").parse::<TreeHash>(), Err(ParseHashError::Length(65)));
        assert_eq!(EMPTY.replace("855", "8g5").parse::<TreeHash>(), Err(ParseHashError::Digit(62)));
    }

    #[test]
    fn serde_uses_the_hex_text() {
        let hash = TreeHash::of_leaf(b"");
        let json = serde_json::to_string(&hash).unwrap();
        assert_eq!(json, format!("\"{EMPTY}\""));
        assert_eq!(serde_json::from_str::<TreeHash>(&json).unwrap(), hash);
        assert!(serde_json::from_str::<TreeHash>("\"e3\"").is_err());
        assert!(serde_json::from_str::<TreeHash>("7").is_err());
    }
}
