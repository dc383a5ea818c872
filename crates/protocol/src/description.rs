//! The free text that goes with an archive or a job.

use std::fmt;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use crate::limits::MAX_DESCRIPTION_BYTES;

/// The description of an archive or a job: printable ASCII, never empty.
///
/// An absent description is `Option::None`, so there is only one way to have none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Description(String);

/// The text cannot be a description.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDescription {
    /// Too many bytes.
    #[error("a description has at most 1024 bytes, this one has {0}")]
    TooLong(usize),
    /// A character outside printable ASCII.
    #[error(
        "a description has only printable ASCII characters (space to `~`), but character {position} is {character:?}"
    )]
    Character {
        /// Position among the characters, counted from 1.
        position: usize,
        /// The first character that is not allowed.
        character: char,
    },
    /// Empty, where a description that exists is read.
    #[error("a description that exists is not empty")]
    Empty,
}

impl Description {
    /// Checks a description; surrounding white space is removed and an empty text is none.
    ///
    /// # Errors
    ///
    /// When what remains is longer than 1,024 bytes or has a character outside 0x20 to 0x7E
    /// ("Upload Archive (POST archive)").
    pub fn parse(text: &str) -> Result<Option<Self>, InvalidDescription> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(None);
        }
        Self::check(text)?;
        Ok(Some(Self(text.to_owned())))
    }

    fn check(text: &str) -> Result<(), InvalidDescription> {
        if text.is_empty() {
            return Err(InvalidDescription::Empty);
        }
        if text.len() > MAX_DESCRIPTION_BYTES {
            return Err(InvalidDescription::TooLong(text.len()));
        }
        let illegal =
            text.chars().enumerate().find(|(_, character)| !matches!(character, ' '..='~'));
        match illegal {
            Some((index, character)) => {
                Err(InvalidDescription::Character { position: index + 1, character })
            }
            None => Ok(()),
        }
    }
}

impl Description {
    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl From<Description> for String {
    fn from(description: Description) -> Self {
        description.0
    }
}

impl TryFrom<String> for Description {
    type Error = InvalidDescription;

    /// Takes exactly this text, as a service or a store tells it: nothing is trimmed, and the empty text is refused.
    fn try_from(text: String) -> Result<Self, InvalidDescription> {
        Self::check(&text)?;
        Ok(Self(text))
    }
}

/// Reads the member of an answer: null, and from some services the empty text, mean none.
pub(crate) fn none_if_empty<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Description>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.filter(|text| !text.is_empty());
    text.map(Description::try_from).transpose().map_err(Error::custom)
}

#[cfg(test)]
mod tests {
    use super::{Description, InvalidDescription};

    fn parsed(text: &str) -> Option<String> {
        Description::parse(text).unwrap().map(String::from)
    }

    #[test]
    fn white_space_around_goes_and_inside_stays() {
        assert_eq!(parsed("  two  spaces \"q\" \t"), Some("two  spaces \"q\"".to_owned()));
        assert_eq!(parsed(""), None);
        assert_eq!(parsed(" \r\n "), None);
        let longest = "x".repeat(1024);
        assert_eq!(parsed(&format!(" {longest} ")), Some(longest));
    }

    #[test]
    fn the_error_names_the_length_or_the_first_bad_character() {
        assert_eq!(Description::parse(&"x".repeat(1025)), Err(InvalidDescription::TooLong(1025)));
        assert_eq!(
            Description::parse("fr\u{e9}\u{e8}"),
            Err(InvalidDescription::Character { position: 3, character: '\u{e9}' })
        );
        assert_eq!(
            Description::parse("a\tb").unwrap_err().to_string(),
            "a description has only printable ASCII characters (space to `~`), but character 2 is '\\t'"
        );
        assert!(Description::parse("a\u{7f}").is_err());
    }

    #[test]
    fn serde_takes_the_text_verbatim_or_not_at_all() {
        assert_eq!(serde_json::from_str::<Description>("\"a b\"").unwrap().as_str(), "a b");
        assert_eq!(serde_json::from_str::<Description>("\" a\"").unwrap().as_str(), " a");
        assert!(serde_json::from_str::<Description>("\"\u{e9}\"").is_err());
        assert!(serde_json::from_str::<Description>("\"\"").is_err());
    }
}
