//! Users of an account, each with permissions of its own.

use serde::{Deserialize, Serialize};

use crate::text::checked_text;

/// Longest name of a user.
const MAX_NAME_BYTES: usize = 64;

/// The name of a user, unique in an account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserName(String);

/// The text is not the name of a user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not the name of a user: a name has 1 to 64 characters of a-z, A-Z, 0-9 and `+ = , . @ _ -`"
)]
pub struct InvalidUserName(pub String);

impl UserName {
    /// Checks a name as IAM has it ("CreateUser", IAM API reference).
    ///
    /// # Errors
    ///
    /// When the rule is broken; the error names it.
    pub fn parse(text: &str) -> Result<Self, InvalidUserName> {
        Self::check(text)?;
        Ok(Self(text.to_owned()))
    }

    fn check(text: &str) -> Result<(), InvalidUserName> {
        let legal = |byte: u8| {
            byte.is_ascii_alphanumeric()
                || matches!(byte, b'+' | b'=' | b',' | b'.' | b'@' | b'_' | b'-')
        };
        if (1..=MAX_NAME_BYTES).contains(&text.len()) && text.bytes().all(legal) {
            Ok(())
        } else {
            Err(InvalidUserName(text.to_owned()))
        }
    }
}

checked_text!(UserName, InvalidUserName);
