//! Opaque identifiers that services hand out, and the token that a client hands in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::limits::MAX_ID_BYTES;
use crate::text::{checked_text, serde_as_text};

/// The text cannot be an identifier of the service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {what}: it has {form}")]
pub struct InvalidId {
    /// What it should have been, with its article.
    what: &'static str,
    /// What such an identifier looks like.
    form: &'static str,
    /// The text as it came.
    text: String,
}

/// Longest identifier of any service: the key of an S3 object has 1,024 bytes, and an upload is known by its key and its
/// own identifier.
const MAX_FOREIGN_ID_BYTES: usize = 2048;

/// Checks what the vault API hands out.
fn check_opaque(what: &'static str, text: &str) -> Result<(), InvalidId> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if (1..=MAX_ID_BYTES).contains(&text.len()) && text.bytes().all(legal) {
        Ok(())
    } else {
        let form = "1 to 255 characters of A-Z, a-z, 0-9, `_` and `-`";
        Err(InvalidId { what, form, text: text.to_owned() })
    }
}

/// Checks what any service may hand out.
fn check_any(what: &'static str, text: &str) -> Result<(), InvalidId> {
    let is_padded = text.starts_with(' ') || text.ends_with(' ');
    if (1..=MAX_FOREIGN_ID_BYTES).contains(&text.len())
        && !text.chars().any(char::is_control)
        && !is_padded
    {
        Ok(())
    } else {
        let form = "1 to 2,048 bytes, no control characters, and no blank at its ends";
        Err(InvalidId { what, form, text: text.to_owned() })
    }
}

/// Defines an opaque identifier. Lengths differ between services, so only the characters and a bound are checked.
macro_rules! opaque_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks the form of the identifier; what it names is known to its service only.
            ///
            /// # Errors
            ///
            /// When it is empty, too long, or has characters that no such identifier has.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                Self::check(text)?;
                Ok(Self(text.to_owned()))
            }

            fn check(text: &str) -> Result<(), InvalidId> {
                $check($what, text)
            }
        }

        checked_text!($name, InvalidId);
    };
}

opaque_id!(
    /// The identifier of an archive: 138 characters at Glacier and icefield, the key of the object at S3. May begin with
    /// `-`.
    ArchiveId,
    "an archive ID",
    check_any
);
opaque_id!(
    /// The identifier of a multipart upload.
    UploadId,
    "an upload ID",
    check_any
);
opaque_id!(
    /// The identifier of a job.
    JobId,
    "a job ID",
    check_any
);
opaque_id!(
    /// The identifier of a vault lock: 24 characters at Glacier and icefield.
    LockId,
    "a lock ID",
    check_opaque
);
opaque_id!(
    /// The identifier of a unit of provisioned capacity: 24 characters at Glacier and icefield.
    CapacityId,
    "a capacity ID",
    check_opaque
);

/// Adds the narrower check for identifiers that the vault API itself hands out.
macro_rules! issued_id {
    ($name:ident, $what:literal) => {
        impl $name {
            /// Checks the form that the vault API's own identifiers have: what else comes to a server was never one.
            ///
            /// # Errors
            ///
            /// When it is empty, longer than 255 characters, or has others than A-Z, a-z, 0-9, `_` and `-`.
            pub fn parse_issued(text: &str) -> Result<Self, InvalidId> {
                check_opaque($what, text)?;
                Ok(Self(text.to_owned()))
            }
        }
    };
}

issued_id!(ArchiveId, "an archive ID");
issued_id!(UploadId, "an upload ID");
issued_id!(JobId, "a job ID");

/// A client's own name for one put, so that a repeat is answered with the first result.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UploadToken([u8; 16]);

/// The text is not an upload token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an upload token: a token has 32 hex digits")]
pub struct InvalidUploadToken(pub String);

impl UploadToken {
    /// Returns the token with these bytes; they should be random.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for UploadToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for UploadToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UploadToken({self})")
    }
}

impl FromStr for UploadToken {
    type Err = InvalidUploadToken;

    fn from_str(text: &str) -> Result<Self, InvalidUploadToken> {
        let refused = || InvalidUploadToken(text.to_owned());
        // `from_str_radix` alone would also take a sign.
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(refused());
        }
        let number = u128::from_str_radix(text, 16).map_err(|_| refused())?;
        Ok(Self(number.to_be_bytes()))
    }
}

serde_as_text!(UploadToken);

#[cfg(test)]
mod tests {
    use super::{ArchiveId, JobId, UploadId, UploadToken};

    #[test]
    fn ids_of_any_length_and_with_a_leading_hyphen_pass() {
        let live = "NkbByEejwEggmBz2fTHgJrg0XBoDfjP4q6iu87-TjhqG6eGoOY9Z8i1_AUyUsuhPAdTqLHy8pTl5nfCFJmDl2yEZONi5L26Omw12vcs01MNGntHEQL8MBfGlqrEXAMPLEArchiveId";
        for good in ["-", "-abc", "x", live, &"y".repeat(255)] {
            assert_eq!(ArchiveId::parse(good).unwrap().to_string(), good);
        }
        for bad in ["", "a b", "a/b", "../x", "a\0", "é", &"y".repeat(256)] {
            assert!(ArchiveId::parse_issued(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn keys_of_objects_are_archive_ids_that_no_vault_hands_out() {
        for good in ["deep/masters/a b.mov", "films/é.mov@2024-05-01T12:00:00Z", &"y".repeat(1024)]
        {
            assert_eq!(ArchiveId::parse(good).unwrap().to_string(), good);
            assert!(ArchiveId::parse_issued(good).is_err(), "{good:?} was accepted");
        }
        for bad in ["", " a", "a ", "a\nb", "a\0", &"y".repeat(2049)] {
            assert!(ArchiveId::parse(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn the_error_says_which_id_was_meant() {
        assert!(UploadId::parse("").unwrap_err().to_string().contains("an upload ID"));
        assert!(
            serde_json::from_str::<JobId>("\"a\\tb\"")
                .unwrap_err()
                .to_string()
                .contains("a job ID")
        );
    }

    #[test]
    fn tokens_are_written_as_hex_and_read_back() {
        let token =
            UploadToken::from_bytes([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255]);
        let text = "000102030405060708090a0b0c0d0eff";
        assert_eq!(token.to_string(), text);
        assert_eq!(text.to_uppercase().parse::<UploadToken>().unwrap(), token);
        assert_eq!(serde_json::from_str::<UploadToken>(&format!("{text:?}")).unwrap(), token);
        for bad in
            ["", "00", "+00102030405060708090a0b0c0d0eff", "g00102030405060708090a0b0c0d0eff"]
        {
            assert!(bad.parse::<UploadToken>().is_err(), "{bad:?} was accepted");
        }
    }
}
