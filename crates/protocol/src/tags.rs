//! Tags of vaults ("Tagging Amazon S3 Glacier Resources").

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::limits::{MAX_TAG_KEY_CHARS, MAX_TAG_VALUE_CHARS};
use crate::text::checked_text;

/// The key of a tag; case-sensitive.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TagKey(String);

/// The value of a tag; may be empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TagValue(String);

/// Tags by key.
pub type Tags = BTreeMap<TagKey, TagValue>;

/// The text cannot be part of a tag.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTag {
    /// As a key.
    #[error(
        "{0:?} is not a tag key: a key has 1 to 128 letters, digits, spaces and characters of `_ . / = + - @`, and does not begin with `aws:`"
    )]
    Key(String),
    /// As a value.
    #[error(
        "{0:?} is not a tag value: a value has at most 255 letters, digits, spaces and characters of `_ . / = + - @`"
    )]
    Value(String),
}

fn is_legal(char: char) -> bool {
    char.is_alphanumeric() || matches!(char, ' ' | '_' | '.' | '/' | '=' | '+' | '-' | '@')
}

impl TagKey {
    /// Checks a key.
    ///
    /// # Errors
    ///
    /// When the rule is broken; the error names it. `:` is legal only for the service's own keys, which nobody may set.
    pub fn parse(text: &str) -> Result<Self, InvalidTag> {
        Self::check(text)?;
        Ok(Self(text.to_owned()))
    }

    fn check(text: &str) -> Result<(), InvalidTag> {
        let fits = (1..=MAX_TAG_KEY_CHARS).contains(&text.chars().count());
        if fits && text.chars().all(is_legal) {
            Ok(())
        } else {
            Err(InvalidTag::Key(text.to_owned()))
        }
    }
}

impl TagValue {
    /// Checks a value.
    ///
    /// # Errors
    ///
    /// When the rule is broken; the error names it.
    pub fn parse(text: &str) -> Result<Self, InvalidTag> {
        Self::check(text)?;
        Ok(Self(text.to_owned()))
    }

    fn check(text: &str) -> Result<(), InvalidTag> {
        let fits = text.chars().count() <= MAX_TAG_VALUE_CHARS;
        if fits && text.chars().all(is_legal) {
            Ok(())
        } else {
            Err(InvalidTag::Value(text.to_owned()))
        }
    }
}

checked_text!(TagKey, InvalidTag);
checked_text!(TagValue, InvalidTag);

#[cfg(test)]
mod tests {
    use super::{TagKey, TagValue};

    #[test]
    fn keys_and_values_have_their_rules() {
        for key in ["a", "Ключ 1", "_./=+-@", "AWS", &"k".repeat(128)] {
            assert!(TagKey::parse(key).is_ok(), "{key}");
        }
        for key in ["", "aws:own", "a:b", "tab\t", "a,b", &"k".repeat(129)] {
            assert!(TagKey::parse(key).is_err(), "{key}");
        }
        assert!(TagValue::parse("").is_ok());
        assert!(TagValue::parse(&"ü".repeat(255)).is_ok());
        for value in ["a:b", "new\nline", &"v".repeat(256)] {
            assert!(TagValue::parse(value).is_err(), "{value}");
        }
    }
}
