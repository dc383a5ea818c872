//! The names of condition operators.

use std::cmp::Ordering;

/// An operator, taken apart: `ForAllValues:` + test + `IfExists`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Operator {
    /// How the many values of a key are taken together.
    pub(super) set: Option<Set>,
    pub(super) test: Test,
    /// Whether the test is for the opposite.
    pub(super) negated: bool,
    /// Whether an absent key meets the condition.
    pub(super) if_exists: bool,
}

/// How the values of a many-valued key are taken together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Set {
    /// `ForAllValues:` each of them fits; so do none at all.
    All,
    /// `ForAnyValue:` at least one fits.
    Any,
}

/// What is compared, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Test {
    Text,
    TextIgnoringCase,
    TextLike,
    /// `ArnEquals` and `ArnLike` behave alike.
    Arn,
    Number(Relation),
    Date(Relation),
    Bool,
    Binary,
    Ip,
    Null,
}

/// How the request's value stands to the policy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Relation {
    pub(super) const fn is(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

impl Operator {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (set, rest) = match text.split_once(':') {
            Some(("ForAllValues", rest)) => (Some(Set::All), rest),
            Some(("ForAnyValue", rest)) => (Some(Set::Any), rest),
            _ => (None, text),
        };
        let (name, if_exists) = match rest.strip_suffix("IfExists") {
            Some(name) => (name, true),
            None => (rest, false),
        };
        let (test, negated) =
            test(name).ok_or_else(|| format!("{text:?} is not a condition operator"))?;
        if test == Test::Null && (set.is_some() || if_exists) {
            return Err("Null stands alone: it asks itself whether the key exists".to_owned());
        }
        Ok(Self { set, test, negated, if_exists })
    }
}

fn test(name: &str) -> Option<(Test, bool)> {
    Some(match name {
        "StringEquals" => (Test::Text, false),
        "StringNotEquals" => (Test::Text, true),
        "StringEqualsIgnoreCase" => (Test::TextIgnoringCase, false),
        "StringNotEqualsIgnoreCase" => (Test::TextIgnoringCase, true),
        "StringLike" => (Test::TextLike, false),
        "StringNotLike" => (Test::TextLike, true),
        "ArnEquals" | "ArnLike" => (Test::Arn, false),
        "ArnNotEquals" | "ArnNotLike" => (Test::Arn, true),
        "Bool" => (Test::Bool, false),
        "BinaryEquals" => (Test::Binary, false),
        "IpAddress" => (Test::Ip, false),
        "NotIpAddress" => (Test::Ip, true),
        "Null" => (Test::Null, false),
        _ => {
            let (kind, (relation, negated)) = match name.strip_prefix("Numeric") {
                Some(rest) => (Test::Number as fn(Relation) -> Test, relation(rest)?),
                None => (Test::Date as fn(Relation) -> Test, relation(name.strip_prefix("Date")?)?),
            };
            (kind(relation), negated)
        }
    })
}

fn relation(name: &str) -> Option<(Relation, bool)> {
    Some(match name {
        "Equals" => (Relation::Equal, false),
        "NotEquals" => (Relation::Equal, true),
        "LessThan" => (Relation::Less, false),
        "LessThanEquals" => (Relation::LessOrEqual, false),
        "GreaterThan" => (Relation::Greater, false),
        "GreaterThanEquals" => (Relation::GreaterOrEqual, false),
        _ => return None,
    })
}
