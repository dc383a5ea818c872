//! JSON as it was written: an object keeps its fields in order, and the same name twice.
//!
//! `serde_json::Value` silently keeps the last of two equal names, and so would hide half of a rule.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::error::{Place, PolicyError};

/// A JSON value. Nesting is bounded by `serde_json`'s limit of 128 levels, size by the length of a policy.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Null,
    Bool(bool),
    /// As decimal text.
    Number(String),
    Text(String),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

impl Node {
    /// Reads a document.
    pub(super) fn parse(text: &str) -> Result<Self, PolicyError> {
        serde_json::from_str(text)
            .map_err(|error| Place::document().error(format!("not JSON: {error}")))
    }

    /// What this is, in JSON's words.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }

    /// The fields of an object with at least one field, each once.
    pub(super) fn fields(&self, place: &Place) -> Result<&[(String, Self)], PolicyError> {
        let Self::Object(fields) = self else {
            return Err(place.error(format!("is {} instead of an object", self.kind())));
        };
        if fields.is_empty() {
            return Err(place.error("is empty"));
        }
        for (index, (name, _)) in fields.iter().enumerate() {
            if fields[..index].iter().any(|(earlier, _)| earlier == name) {
                return Err(place.error(format!("has {name:?} twice")));
            }
        }
        Ok(fields)
    }

    /// A single value, or the values of a list with at least one, each with its place.
    pub(super) fn items(&self, place: &Place) -> Result<Vec<(Place, &Self)>, PolicyError> {
        match self {
            Self::List(items) if items.is_empty() => Err(place.error("is empty")),
            Self::List(items) => {
                Ok(items.iter().enumerate().map(|(i, item)| (place.item(i), item)).collect())
            }
            single => Ok(vec![(place.clone(), single)]),
        }
    }

    /// A text.
    pub(super) fn text(&self, place: &Place) -> Result<&str, PolicyError> {
        match self {
            Self::Text(text) => Ok(text),
            other => Err(place.error(format!("is {} instead of a text", other.kind()))),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Number(value.to_string()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Number(value.to_string()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Number(value.to_string()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = access.next_entry()? {
            fields.push(field);
        }
        Ok(Node::Object(fields))
    }
}
