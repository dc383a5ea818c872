//! An answer, and what a case may expect of it.

use icefield_protocol::{ErrorCode, Operation};
use serde_json::Value;

use crate::http::RawAnswer;
use crate::outcome::{Failed, shortened};

/// An answer that has passed every central [rule](crate::rules).
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The operation that was asked for, if it was one.
    pub(crate) operation: Option<Operation>,
    /// As it came.
    pub(crate) raw: RawAnswer,
}

impl Answer {
    /// Fails unless the status is this one.
    pub(crate) fn status(self, wanted: u16) -> Result<Self, Failed> {
        if self.raw.status == wanted {
            return Ok(self);
        }
        Err(Failed::new(format!("expected status {wanted}, came {}", self.summary())))
    }

    /// Fails unless it is this refusal, with its code's status.
    pub(crate) fn refused(self, wanted: ErrorCode) -> Result<Self, Failed> {
        self.refused_by(&[wanted])
    }

    /// Fails unless it is one of these refusals: where the documentation leaves a choice.
    pub(crate) fn refused_by(self, wanted: &[ErrorCode]) -> Result<Self, Failed> {
        let fits = |code: &ErrorCode| {
            self.raw.status == code.status() && self.member("code") == code.as_str()
        };
        if wanted.iter().any(fits) {
            return Ok(self);
        }
        let names: Vec<_> = wanted.iter().map(|code| code.as_str()).collect();
        Err(Failed::new(format!("expected {}, came {}", names.join(" or "), self.summary())))
    }

    /// Fails unless the message of the error is this one.
    pub(crate) fn says(self, wanted: &str) -> Result<Self, Failed> {
        let message = self.member("message");
        if message == wanted {
            return Ok(self);
        }
        Err(Failed::new(format!("expected the message {wanted:?}, came {message:?}")))
    }

    /// Returns a header that must be there.
    pub(crate) fn header(&self, name: &str) -> Result<String, Failed> {
        let missing = || Failed::new(format!("the header {name} is missing: {}", self.summary()));
        self.find(name).map(str::to_owned).ok_or_else(missing)
    }

    /// Fails if the header is there.
    pub(crate) fn lacks(self, name: &str) -> Result<Self, Failed> {
        match self.find(name) {
            None => Ok(self),
            Some(value) => Err(Failed::new(format!("unexpected header {name}: {value}"))),
        }
    }

    /// Returns the body as JSON.
    pub(crate) fn json(&self) -> Result<Value, Failed> {
        let no_json = |error| Failed::new(format!("no JSON ({error}): {}", self.summary()));
        serde_json::from_slice(&self.raw.body).map_err(no_json)
    }

    /// Returns the body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.raw.body).into_owned()
    }

    pub(crate) fn find(&self, name: &str) -> Option<&str> {
        let mut fields = self.raw.headers.iter();
        fields.find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// A member of an error's body, or nothing.
    pub(crate) fn member(&self, name: &str) -> String {
        let body: Value = serde_json::from_slice(&self.raw.body).unwrap_or_default();
        body[name].as_str().unwrap_or_default().to_owned()
    }

    /// Status, headers and the beginning of the body, on one line.
    pub(crate) fn summary(&self) -> String {
        summary(&self.raw)
    }
}

pub(crate) fn summary(raw: &RawAnswer) -> String {
    let fields: Vec<_> =
        raw.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let body = shortened(&String::from_utf8_lossy(&raw.body));
    format!("{} [{}] {body}", raw.status, fields.join("; "))
}
