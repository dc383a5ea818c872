//! How a case ends.

use std::fmt::{self, Debug};

use crate::http::NoAnswer;

/// What a case found wrong.
#[derive(Clone, Debug)]
pub struct Failed(String);

/// The end of a case that was run.
pub(crate) type Outcome = Result<(), Failed>;

impl Failed {
    /// Returns a failure with this text.
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<NoAnswer> for Failed {
    fn from(reason: NoAnswer) -> Self {
        Self(reason.to_string())
    }
}

/// Fails unless both are the same.
pub(crate) fn same<A: Debug + PartialEq<B>, B: Debug>(what: &str, came: A, wanted: B) -> Outcome {
    if came == wanted {
        return Ok(());
    }
    Err(Failed(format!("{what}: expected {}, came {}", shown(&wanted), shown(&came))))
}

/// Fails unless it holds.
pub(crate) fn holds(what: &str, condition: bool) -> Outcome {
    if condition { Ok(()) } else { Err(Failed(what.to_owned())) }
}

/// Longest text of a value in a failure.
const MAX_SHOWN_CHARS: usize = 400;

pub(crate) fn shown(value: &impl Debug) -> String {
    shortened(&format!("{value:?}"))
}

pub(crate) fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(MAX_SHOWN_CHARS).collect();
    if short.len() < text.len() {
        short.push_str("...");
    }
    short
}
