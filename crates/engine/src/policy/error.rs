//! What is wrong with a policy, and where.

use std::fmt;

/// A policy is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct PolicyError {
    /// Where in the document, such as `Statement[1].Condition.NumericLessThan`; statements count from 0.
    pub place: String,
    /// What is wrong there.
    pub problem: String,
}

/// A place in a document, built on the way down.
#[derive(Clone, Debug)]
pub(super) struct Place(String);

impl Place {
    /// The document itself.
    pub(super) fn document() -> Self {
        Self(String::new())
    }

    pub(super) fn field(&self, name: &str) -> Self {
        Self(if self.0.is_empty() { name.to_owned() } else { format!("{}.{name}", self.0) })
    }

    pub(super) fn item(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    pub(super) fn error(&self, problem: impl Into<String>) -> PolicyError {
        PolicyError { place: self.to_string(), problem: problem.into() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "policy" } else { &self.0 })
    }
}
