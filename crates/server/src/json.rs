//! The JSON bodies of requests.
//!
//! What kind of body it is called does not matter: old clients name none or a wrong one. Unknown members are ignored and
//! a member that is null is absent, as in the guide's own samples. A body is parsed once, so that what was decided about
//! it is what is done with it.

use icefield_protocol::ErrorCode;
use serde_json::{Map, Value};

use crate::error::ApiError;

/// The object in the body of a request; no body at all is an object without members.
#[derive(Debug, Clone, Default)]
pub(crate) struct Object(Map<String, Value>);

impl Object {
    /// Reads a body.
    ///
    /// # Errors
    ///
    /// `Serialization` when it is not a JSON object.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, ApiError> {
        if body.is_empty() {
            return Ok(Self::default());
        }
        let parsed: Result<Map<String, Value>, _> = serde_json::from_slice(body);
        parsed.map(Self).map_err(|_| {
            ApiError::new(ErrorCode::Serialization, "The request body is not a JSON object.")
        })
    }

    /// Returns a member that is there and not null.
    pub(crate) fn member(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// Returns a member that must be there.
    pub(crate) fn required(&self, name: &str) -> Result<&Value, ApiError> {
        self.member(name).ok_or_else(|| ApiError::missing(name))
    }

    /// Returns a text.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, ApiError> {
        match self.member(name) {
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(invalid(name, other)),
            None => Ok(None),
        }
    }

    /// Returns a text that must be there.
    pub(crate) fn required_text(&self, name: &str) -> Result<&str, ApiError> {
        self.text(name)?.ok_or_else(|| ApiError::missing(name))
    }

    /// Returns an object inside.
    pub(crate) fn object(&self, name: &str) -> Result<Option<Self>, ApiError> {
        match self.member(name) {
            Some(Value::Object(members)) => Ok(Some(Self(members.clone()))),
            Some(other) => Err(invalid(name, other)),
            None => Ok(None),
        }
    }

    /// Returns the members.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

/// A member has a wrong value, or one of a wrong kind.
pub(crate) fn invalid(name: &str, value: &Value) -> ApiError {
    let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    ApiError::invalid(format!("Invalid {name}: {value}"))
}
