//! Conditions: an operator, a key, and the values it is compared with.

mod operator;
mod value;

use operator::{Operator, Relation, Set, Test};
use value::{Decimal, Network, bytes, instant, truth};

use super::error::{Place, PolicyError};
use super::json::Node;
use super::keys::{ContextKeys, is_known};
use super::parse::PolicyKind;
use super::pattern::{Case, Pattern, Syntax, Token, matches};
use super::resource::{arn_matches, split};
use super::statement::Effect;

/// One key under one operator. A statement applies when all of its conditions hold.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    key: String,
    operator: Operator,
    wanted: Wanted,
}

/// The values in the policy, ready to be compared.
#[derive(Clone, Debug)]
enum Wanted {
    Text(Case, Vec<Pattern>),
    Arn(Vec<Pattern>),
    Number(Relation, Vec<Decimal>),
    Date(Relation, Vec<i64>),
    Bool(Vec<bool>),
    Binary(Vec<Vec<u8>>),
    Ip(Vec<Network>),
    Null(Vec<bool>),
}

impl Condition {
    pub(super) fn parse(
        operator: &str,
        key: &str,
        values: &[(Place, &Node)],
        variables: bool,
        kind: &PolicyKind,
        place: &Place,
    ) -> Result<Self, PolicyError> {
        let operator = Operator::parse(operator).map_err(|why| place.error(why))?;
        check_key(key, kind).map_err(|why| place.error(why))?;
        let wanted = Wanted::parse(operator.test, values, &|text, wildcards| {
            let pattern = Pattern::parse(text, Syntax { wildcards, variables })?;
            check_variables(&pattern, kind)?;
            Ok(pattern)
        })?;
        Ok(Self { key: key.to_owned(), operator, wanted })
    }

    /// Whether the request meets the condition ("IAM JSON policy elements: Condition operators"). Where the key can be
    /// understood in several ways, that of a denial holds in any of them, that of a permission only in all.
    pub(super) fn holds(&self, keys: &ContextKeys, effect: Effect) -> bool {
        let mut readings = keys.readings(&self.key).into_iter();
        match effect {
            Effect::Deny => readings.any(|values| self.is_met_by(values, keys, effect)),
            Effect::Allow => readings.all(|values| self.is_met_by(values, keys, effect)),
        }
    }

    fn is_met_by(&self, values: &[String], keys: &ContextKeys, effect: Effect) -> bool {
        if let Wanted::Null(wanted) = &self.wanted {
            return wanted.contains(&values.is_empty());
        }
        let negated = self.operator.negated;
        // What a variable without a value would have ruled out is not known: then nothing may be allowed by it.
        if negated && effect == Effect::Allow && self.wanted.is_unresolved(keys) {
            return false;
        }
        let fits = |value: &String| self.wanted.includes(value, keys) != negated;
        // For a set operator, nothing but empty texts is nothing at all.
        let absent = match self.operator.set {
            None => values.is_empty(),
            Some(_) => values.iter().all(String::is_empty),
        };
        match self.operator.set {
            _ if absent && self.operator.if_exists => true,
            Some(Set::All) => absent || values.iter().all(fits),
            Some(Set::Any) => !absent && values.iter().any(fits),
            // Without a set operator a negated test is the opposite of the plain one, for absent and for many values too.
            None => values.iter().any(|value| self.wanted.includes(value, keys)) != negated,
        }
    }
}

/// Compiles the text of a value, with or without wildcards.
type Compile<'a> = &'a dyn Fn(&str, bool) -> Result<Pattern, String>;

impl Wanted {
    fn parse(
        test: Test,
        values: &[(Place, &Node)],
        compile: Compile<'_>,
    ) -> Result<Self, PolicyError> {
        let text = |case, wildcards| {
            each(values, |text| compile(text, wildcards)).map(|texts| Self::Text(case, texts))
        };
        match test {
            Test::Text => text(Case::Sensitive, false),
            Test::TextIgnoringCase => text(Case::Ignored, false),
            Test::TextLike => text(Case::Sensitive, true),
            Test::Arn => each(values, |text| arn(compile(text, true)?, text)).map(Self::Arn),
            Test::Number(relation) => {
                let number = |text: &str| Decimal::parse(text).ok_or_else(|| no(text, "a number"));
                each(values, number).map(|numbers| Self::Number(relation, numbers))
            }
            Test::Date(relation) => {
                let what = "a date such as 2013-06-30T00:00:00Z, nor seconds since 1970";
                let date = |text: &str| instant(text).ok_or_else(|| no(text, what));
                each(values, date).map(|dates| Self::Date(relation, dates))
            }
            Test::Bool => each(values, truth_or_why).map(Self::Bool),
            Test::Null => each(values, truth_or_why).map(Self::Null),
            Test::Binary => {
                let binary = |text: &str| bytes(text).ok_or_else(|| no(text, "base64"));
                each(values, binary).map(Self::Binary)
            }
            Test::Ip => {
                let what = "an address or a network such as 203.0.113.0/24 or 2001:db8::/32";
                let network = |text: &str| Network::parse(text).ok_or_else(|| no(text, what));
                each(values, network).map(Self::Ip)
            }
        }
    }

    /// Whether the request's value is among the wanted ones, in the sense of the operator without its `Not`.
    fn includes(&self, value: &str, keys: &ContextKeys) -> bool {
        let resolved = |patterns: &[Pattern], test: &dyn Fn(&[Token]) -> bool| {
            patterns.iter().any(|one| one.resolve(keys).is_some_and(|tokens| test(&tokens)))
        };
        match self {
            Self::Text(case, patterns) => {
                resolved(patterns, &|tokens| matches(tokens, value, *case))
            }
            Self::Arn(patterns) => resolved(patterns, &|tokens| arn_matches(tokens, value)),
            Self::Number(relation, wanted) => Decimal::parse(value)
                .is_some_and(|value| wanted.iter().any(|one| relation.is(value.cmp(one)))),
            Self::Date(relation, wanted) => instant(value)
                .is_some_and(|value| wanted.iter().any(|one| relation.is(value.cmp(one)))),
            Self::Bool(wanted) => truth(value).is_some_and(|value| wanted.contains(&value)),
            Self::Binary(wanted) => bytes(value).is_some_and(|value| wanted.contains(&value)),
            Self::Ip(wanted) => value
                .parse()
                .is_ok_and(|address| wanted.iter().any(|network| network.contains(address))),
            Self::Null(_) => false,
        }
    }

    /// Whether a variable in it has neither a value nor a default.
    fn is_unresolved(&self, keys: &ContextKeys) -> bool {
        match self {
            Self::Text(_, patterns) | Self::Arn(patterns) => {
                patterns.iter().any(|one| one.resolve(keys).is_none())
            }
            _ => false,
        }
    }
}

/// Reads each value as text: numbers and booleans count as what they are written as.
fn each<T>(
    values: &[(Place, &Node)],
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, PolicyError> {
    let one = |(place, node): &(Place, &Node)| {
        let result = match node {
            Node::Text(text) | Node::Number(text) => read(text),
            Node::Bool(value) => read(if *value { "true" } else { "false" }),
            Node::Null | Node::List(_) | Node::Object(_) => {
                Err(format!("is {} instead of a value", node.kind()))
            }
        };
        result.map_err(|why| place.error(why))
    };
    values.iter().map(one).collect()
}

fn no(text: &str, what: &str) -> String {
    format!("{text:?} is not {what}")
}

fn truth_or_why(text: &str) -> Result<bool, String> {
    truth(text).ok_or_else(|| no(text, "true or false"))
}

/// An ARN has six segments, unless a variable may bring some.
fn arn(pattern: Pattern, text: &str) -> Result<Pattern, String> {
    let whole = split(pattern.tokens()).len() == 6;
    if whole || pattern.variables().next().is_some() {
        Ok(pattern)
    } else {
        Err(no(text, "an ARN of six segments, in each of which may be wildcards"))
    }
}

fn check_key(name: &str, kind: &PolicyKind) -> Result<(), String> {
    let well_formed = name.split_once(':').is_some_and(|(prefix, key)| {
        !prefix.is_empty() && !key.is_empty() && !name.contains(['*', '?', '$', '{', '}'])
    });
    // In the policy of a user, keys of other services belong to statements about other services.
    let prefix = name.split(':').next().unwrap_or_default().to_ascii_lowercase();
    let foreign = *kind == PolicyKind::Identity && !matches!(prefix.as_str(), "aws" | "glacier");
    if well_formed && (foreign || is_known(name)) {
        Ok(())
    } else {
        Err(format!("{name:?} is not a condition key of this service"))
    }
}

/// Refuses variables that no request can have a value for.
pub(super) fn check_variables(pattern: &Pattern, kind: &PolicyKind) -> Result<(), String> {
    pattern.variables().try_for_each(|name| check_key(name, kind))
}
