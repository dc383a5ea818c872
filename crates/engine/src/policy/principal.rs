//! Who asks, and whom a statement means.

use icefield_protocol::AccountId;

use super::error::{Place, PolicyError};
use super::json::Node;

/// Who asks: the root of an account, or a user of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrincipalRef<'a> {
    /// The account.
    pub account: &'a AccountId,
    /// The user; `None` is the account's root.
    pub user: Option<&'a str>,
}

impl PrincipalRef<'_> {
    /// Returns `arn:aws:iam::ACCOUNT:root` or `arn:aws:iam::ACCOUNT:user/NAME`.
    #[must_use]
    pub fn arn(&self) -> String {
        match self.user {
            Some(user) => format!("arn:aws:iam::{}:user/{user}", self.account),
            None => format!("arn:aws:iam::{}:root", self.account),
        }
    }
}

/// One entry of `Principal` or `NotPrincipal`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Everyone,
    Account(AccountId),
    /// A user, or a role or session, which nobody is here.
    Arn(String),
}

/// The `Principal` or `NotPrincipal` of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Principals {
    These(Vec<Entry>),
    AllBut(Vec<Entry>),
}

impl Principals {
    pub(super) fn parse(node: &Node, place: &Place) -> Result<Self, PolicyError> {
        Ok(Self::These(parse_entries(node, place)?))
    }

    pub(super) fn parse_not(node: &Node, place: &Place) -> Result<Self, PolicyError> {
        let entries = parse_entries(node, place)?;
        if entries.contains(&Entry::Everyone) {
            return Err(place.error("leaves nobody that the statement is about"));
        }
        Ok(Self::AllBut(entries))
    }

    /// Whether the statement is about this caller.
    ///
    /// An account in `Principal` means its root and all its users. In `NotPrincipal` it excepts the root alone: the
    /// example of "AWS JSON policy elements: NotPrincipal" lists an account beside one of its users to except just him.
    pub(super) fn include(&self, principal: &PrincipalRef<'_>) -> bool {
        let named = |entry: &Entry, users_too: bool| match entry {
            Entry::Everyone => true,
            Entry::Account(account) => {
                account == principal.account && (users_too || principal.user.is_none())
            }
            Entry::Arn(arn) => *arn == principal.arn(),
        };
        match self {
            Self::These(entries) => entries.iter().any(|entry| named(entry, true)),
            Self::AllBut(entries) => !entries.iter().any(|entry| named(entry, false)),
        }
    }
}

fn parse_entries(node: &Node, place: &Place) -> Result<Vec<Entry>, PolicyError> {
    if let Node::Text(text) = node {
        return if text == "*" {
            Ok(vec![Entry::Everyone])
        } else {
            Err(place
                .error(format!("{text:?} is not a principal: write \"*\" or {{\"AWS\": ...}}")))
        };
    }
    let mut entries = Vec::new();
    for (name, value) in node.fields(place)? {
        let place = place.field(name);
        match name.as_str() {
            "AWS" => {
                for (place, item) in value.items(&place)? {
                    entries.push(parse_entry(item.text(&place)?, &place)?);
                }
            }
            "Service" | "Federated" | "CanonicalUser" => {
                return Err(
                    place.error("no such principal can call this service; only \"AWS\" can")
                );
            }
            _ => return Err(place.error("unknown kind of principal")),
        }
    }
    Ok(entries)
}

fn parse_entry(text: &str, place: &Place) -> Result<Entry, PolicyError> {
    if text == "*" {
        return Ok(Entry::Everyone);
    }
    if let Ok(account) = AccountId::parse(text) {
        return Ok(Entry::Account(account));
    }
    let wrong = |why: &str| place.error(format!("{text:?} is not a principal: {why}"));
    if text.contains(['*', '?']) {
        return Err(wrong("a principal has no wildcards, except \"*\" for everyone"));
    }
    let segments: Vec<&str> = text.splitn(6, ':').collect();
    let ["arn", "aws", service @ ("iam" | "sts"), "", account, resource] = segments[..] else {
        return Err(wrong("write an account or an ARN such as arn:aws:iam::ACCOUNT:user/NAME"));
    };
    let account = AccountId::parse(account).map_err(|error| wrong(&error.to_string()))?;
    let named = |kind: &str| resource.strip_prefix(kind).is_some_and(|name| !name.is_empty());
    match service {
        "iam" if resource == "root" => Ok(Entry::Account(account)),
        "iam" if named("user/") || named("role/") => Ok(Entry::Arn(text.to_owned())),
        "sts" if named("assumed-role/") || named("federated-user/") => {
            Ok(Entry::Arn(text.to_owned()))
        }
        _ => Err(wrong("it is no root, user, role or session")),
    }
}
