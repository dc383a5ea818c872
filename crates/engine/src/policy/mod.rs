//! Who may do what: policies in IAM's language, parsed strictly and evaluated without a store and without a clock.
//!
//! ```text
//! text ── json ──> Node ── parse ──> Policy ──┐
//! request ──> Question with ContextKeys ──────┴── decide ──> Decision, with the statement that made it
//! ```
//!
//! Parsing decides everything that can be decided once: which operations a statement is about, which numbers, dates and
//! networks its conditions compare with, whether its resource can be the vault at all. What is not understood is refused
//! there, with its place in the document: a retention rule that is stored and never enforced is worse than an error.
//! Evaluation cannot fail. Where IAM leaves a case open, the answer is the one that denies.
//!
//! Text is matched by `pattern` without regular expressions, so no policy and no request can make matching explode.

mod condition;
mod decide;
mod error;
mod json;
mod keys;
mod parse;
mod pattern;
mod principal;
mod resource;
mod statement;

pub use decide::{Decision, PolicySet, Question, Reason, StatementRef, decide};
pub use error::PolicyError;
pub use keys::{ContextKeys, key};
pub use parse::{Policy, PolicyKind};
pub use principal::PrincipalRef;
