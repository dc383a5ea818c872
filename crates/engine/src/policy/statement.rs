//! One statement, checked: whom, what, where, and under which conditions.

use icefield_protocol::Operation;

use super::condition::Condition;
use super::decide::Question;
use super::pattern::Pattern;
use super::principal::Principals;
use super::resource::covers;

/// What a statement does when it applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Allow,
    Deny,
}

/// A statement.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    pub(super) sid: Option<String>,
    pub(super) effect: Effect,
    /// `None` in identity policies: whoever they are attached to.
    pub(super) principals: Option<Principals>,
    /// What `Action` names, or `NotAction` leaves.
    pub(super) operations: Vec<Operation>,
    pub(super) resources: Resources,
    pub(super) conditions: Vec<Condition>,
}

/// The `Resource` or `NotResource` of a statement.
#[derive(Clone, Debug)]
pub(super) enum Resources {
    These(Vec<Pattern>),
    AllBut(Vec<Pattern>),
}

impl Statement {
    /// Whether the statement is about what is asked.
    pub(super) fn applies(&self, question: &Question<'_>) -> bool {
        self.operations.contains(&question.action)
            && self.principals.as_ref().is_none_or(|whom| whom.include(&question.principal))
            && self.resources.include(question, self.effect)
            && self.conditions.iter().all(|one| one.holds(question.keys, self.effect))
    }
}

impl Resources {
    fn include(&self, question: &Question<'_>, effect: Effect) -> bool {
        let covered = |pattern: &Pattern| {
            pattern.resolve(question.keys).map(|tokens| covers(&tokens, question.resource))
        };
        match self {
            Self::These(patterns) => patterns.iter().any(|one| covered(one) == Some(true)),
            // What a variable without a value would have excepted is not known: then only a denial applies.
            Self::AllBut(patterns) => {
                patterns.iter().all(|one| covered(one).map_or(effect == Effect::Deny, |is| !is))
            }
        }
    }
}
