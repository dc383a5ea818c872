//! The document's grammar ("Grammar of the IAM JSON policy language"), without leniency.

use icefield_protocol::limits::MAX_POLICY_BYTES;
use icefield_protocol::{Operation, VaultArn};

use super::condition::{self, Condition};
use super::error::{Place, PolicyError};
use super::json::Node;
use super::pattern::{Case, Pattern, Syntax, Token, matches};
use super::principal::Principals;
use super::resource::{covers, split};
use super::statement::{Effect, Resources, Statement};

/// What a policy is attached to, which decides what may stand in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyKind {
    /// A user: no `Principal`; actions and keys of other services may stand there, and mean nothing here.
    Identity,
    /// A vault's access policy: every statement has a principal and can be about this vault.
    VaultAccess(VaultArn),
    /// A vault's lock policy: as an access policy.
    VaultLock(VaultArn),
}

impl PolicyKind {
    pub(super) const fn vault(&self) -> Option<&VaultArn> {
        match self {
            Self::Identity => None,
            Self::VaultAccess(vault) | Self::VaultLock(vault) => Some(vault),
        }
    }
}

/// A policy that was parsed and checked.
#[derive(Clone, Debug)]
pub struct Policy {
    pub(super) statements: Vec<Statement>,
}

impl Policy {
    /// Reads a policy.
    ///
    /// # Errors
    ///
    /// When it is longer than 20,480 bytes, is not JSON, has an element, operator or value that is not understood, has
    /// a name twice, leaves out or repeats what a statement needs once, or, for a vault, can never be about that vault.
    pub fn parse(text: &str, kind: PolicyKind) -> Result<Self, PolicyError> {
        let place = Place::document();
        if text.len() > MAX_POLICY_BYTES {
            return Err(place.error(format!(
                "has {} bytes, more than the {MAX_POLICY_BYTES} allowed",
                text.len()
            )));
        }
        let document = Node::parse(text)?;
        let fields = document.fields(&place)?;
        only(fields, &["Version", "Id", "Statement"], &place)?;
        if let Some(id) = field(fields, "Id") {
            id.text(&place.field("Id"))?;
        }
        let reader = Reader { variables: has_variables(fields, &place)?, kind };
        let statements =
            field(fields, "Statement").ok_or_else(|| place.error("has no Statement"))?;
        Ok(Self { statements: reader.statements(statements, &place.field("Statement"))? })
    }
}

/// Whether the document's version has policy variables. Without a version it is the old one.
fn has_variables(fields: &[(String, Node)], place: &Place) -> Result<bool, PolicyError> {
    let Some(version) = field(fields, "Version") else { return Ok(false) };
    let place = place.field("Version");
    match version.text(&place)? {
        "2012-10-17" => Ok(true),
        "2008-10-17" => Ok(false),
        other => Err(place
            .error(format!("{other:?} is not a version: write \"2012-10-17\" or \"2008-10-17\""))),
    }
}

/// Reads statements, knowing what the document as a whole is.
struct Reader {
    variables: bool,
    kind: PolicyKind,
}

impl Reader {
    fn statements(&self, node: &Node, place: &Place) -> Result<Vec<Statement>, PolicyError> {
        let mut statements: Vec<Statement> = Vec::new();
        for (place, item) in node.items(place)? {
            let statement = self.statement(item, &place)?;
            let sid = statement.sid.as_deref().filter(|sid| !sid.is_empty());
            if sid.is_some() && statements.iter().any(|other| other.sid.as_deref() == sid) {
                return Err(place.field("Sid").error("another statement has the same Sid"));
            }
            statements.push(statement);
        }
        Ok(statements)
    }

    fn statement(&self, node: &Node, place: &Place) -> Result<Statement, PolicyError> {
        let fields = node.fields(place)?;
        only(fields, ELEMENTS, place)?;
        let effect = effect(fields, place)?;
        let sid = match field(fields, "Sid") {
            Some(sid) => Some(sid.text(&place.field("Sid"))?.to_owned()),
            None => None,
        };
        Ok(Statement {
            sid,
            effect,
            principals: self.principals(fields, effect, place)?,
            operations: self.operations(fields, place)?,
            resources: self.resources(fields, place)?,
            conditions: self.conditions(fields, place)?,
        })
    }

    fn principals(
        &self,
        fields: &[(String, Node)],
        effect: Effect,
        place: &Place,
    ) -> Result<Option<Principals>, PolicyError> {
        if self.kind == PolicyKind::Identity {
            return match fields.iter().find(|(name, _)| name.ends_with("Principal")) {
                Some((name, _)) => Err(place.field(name).error(
                    "has no place in the policy of a user: the principal is whoever it is attached to",
                )),
                None => Ok(None),
            };
        }
        let (not, node, place) = one_of(fields, "Principal", "NotPrincipal", place)?;
        if not && effect == Effect::Allow {
            return Err(place.error("goes with Deny only: with Allow it would admit everyone else"));
        }
        let parse = if not { Principals::parse_not } else { Principals::parse };
        parse(node, &place).map(Some)
    }

    fn operations(
        &self,
        fields: &[(String, Node)],
        place: &Place,
    ) -> Result<Vec<Operation>, PolicyError> {
        let (not, node, place) = one_of(fields, "Action", "NotAction", place)?;
        let mut patterns = Vec::new();
        for (place, item) in node.items(&place)? {
            patterns.push(self.action(item.text(&place)?, &place)?);
        }
        let named = |operation: &Operation| {
            let action = operation.action();
            patterns.iter().any(|one| matches(one.tokens(), action, Case::Ignored))
        };
        let operations: Vec<_> =
            Operation::ALL.iter().copied().filter(|operation| named(operation) != not).collect();
        if operations.is_empty() && self.kind != PolicyKind::Identity {
            return Err(place.error("leaves no action of the service"));
        }
        Ok(operations)
    }

    fn action(&self, text: &str, place: &Place) -> Result<Pattern, PolicyError> {
        let wrong = |why: &str| place.error(format!("{text:?} is not an action: {why}"));
        let pattern = Pattern::parse(text, Syntax { wildcards: true, variables: false })
            .map_err(|why| wrong(&why))?;
        if text == "*" {
            return Ok(pattern);
        }
        let (service, name) =
            text.split_once(':').ok_or_else(|| wrong("write SERVICE:ACTION or \"*\""))?;
        let legal = |c: char| c.is_ascii_alphanumeric();
        if service.is_empty() || !service.chars().all(|c| legal(c) || c == '-') {
            return Err(wrong("a service has letters, digits and hyphens, and no wildcards"));
        }
        if name.is_empty() || !name.chars().all(|c| legal(c) || matches!(c, '*' | '?')) {
            return Err(wrong("the name of an action has letters, digits, * and ?"));
        }
        if !service.eq_ignore_ascii_case("glacier") {
            return match self.kind {
                PolicyKind::Identity => Ok(pattern),
                _ => Err(wrong("a vault's policy is about actions of glacier only")),
            };
        }
        let exists =
            |operation: &Operation| matches(pattern.tokens(), operation.action(), Case::Ignored);
        if !Operation::ALL.iter().any(exists) {
            return Err(wrong("the service has none that it matches"));
        }
        Ok(pattern)
    }

    fn resources(
        &self,
        fields: &[(String, Node)],
        place: &Place,
    ) -> Result<Resources, PolicyError> {
        let (not, node, place) = one_of(fields, "Resource", "NotResource", place)?;
        let vault = self.kind.vault().map(ToString::to_string);
        let mut patterns = Vec::new();
        for (place, item) in node.items(&place)? {
            let text = item.text(&place)?;
            let pattern = self.resource(text, &place)?;
            if let Some(vault) = vault.as_deref() {
                can_be(vault, &pattern, not)
                    .map_err(|why| place.error(format!("{text:?} {why} this vault, {vault}")))?;
            }
            patterns.push(pattern);
        }
        Ok(if not { Resources::AllBut(patterns) } else { Resources::These(patterns) })
    }

    fn resource(&self, text: &str, place: &Place) -> Result<Pattern, PolicyError> {
        let wrong = |why: &str| place.error(format!("{text:?} is not a resource: {why}"));
        if text != "*" && !text.starts_with("arn:") {
            return Err(wrong("write an ARN or \"*\""));
        }
        let pattern = Pattern::parse(text, Syntax { wildcards: true, variables: self.variables })
            .map_err(|why| wrong(&why))?;
        let segments = split(pattern.tokens());
        let variable = |token: &Token| matches!(token, Token::Variable { .. });
        if segments.iter().take(5).any(|segment| segment.iter().any(variable)) {
            return Err(wrong("policy variables may stand after the fifth colon only"));
        }
        condition::check_variables(&pattern, &self.kind).map_err(|why| wrong(&why))?;
        Ok(pattern)
    }

    fn conditions(
        &self,
        fields: &[(String, Node)],
        place: &Place,
    ) -> Result<Vec<Condition>, PolicyError> {
        let Some(node) = field(fields, "Condition") else { return Ok(Vec::new()) };
        let place = place.field("Condition");
        let mut conditions = Vec::new();
        for (operator, keys) in node.fields(&place)? {
            let place = place.field(operator);
            for (key, values) in keys.fields(&place)? {
                let place = place.field(key);
                let values = values.items(&place)?;
                conditions.push(Condition::parse(
                    operator,
                    key,
                    &values,
                    self.variables,
                    &self.kind,
                    &place,
                )?);
            }
        }
        Ok(conditions)
    }
}

/// Refuses a resource with which the statement could never be about the vault, whatever the variables in it are.
fn can_be(vault: &str, pattern: &Pattern, not: bool) -> Result<(), &'static str> {
    match not {
        false if !covers(&pattern.widest(), vault) => Err("is never"),
        true if covers(pattern.tokens(), vault) => Err("always excepts"),
        _ => Ok(()),
    }
}

const ELEMENTS: &[&str] = &[
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
];

fn effect(fields: &[(String, Node)], place: &Place) -> Result<Effect, PolicyError> {
    let node = field(fields, "Effect").ok_or_else(|| place.error("has no Effect"))?;
    let place = place.field("Effect");
    match node.text(&place)? {
        "Allow" => Ok(Effect::Allow),
        "Deny" => Ok(Effect::Deny),
        other => Err(place.error(format!("{other:?} is neither \"Allow\" nor \"Deny\""))),
    }
}

fn field<'a>(fields: &'a [(String, Node)], name: &str) -> Option<&'a Node> {
    fields.iter().find(|(known, _)| known == name).map(|(_, node)| node)
}

/// Refuses elements that are not in the list.
fn only(fields: &[(String, Node)], known: &[&str], place: &Place) -> Result<(), PolicyError> {
    match fields.iter().find(|(name, _)| !known.contains(&name.as_str())) {
        Some((name, _)) => Err(place.error(format!("unknown element {name:?}"))),
        None => Ok(()),
    }
}

/// The element that must be there under exactly one of two names, and whether it is the negated one.
fn one_of<'a>(
    fields: &'a [(String, Node)],
    plain: &str,
    negated: &str,
    place: &Place,
) -> Result<(bool, &'a Node, Place), PolicyError> {
    match (field(fields, plain), field(fields, negated)) {
        (Some(node), None) => Ok((false, node, place.field(plain))),
        (None, Some(node)) => Ok((true, node, place.field(negated))),
        (Some(_), Some(_)) => Err(place.error(format!("has both {plain} and {negated}"))),
        (None, None) => Err(place.error(format!("has no {plain}"))),
    }
}
