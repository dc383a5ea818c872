//! The decision: all policies that have a say, in the order of "Policy evaluation logic".

use std::fmt;

use icefield_protocol::{AccountId, Operation};

use super::keys::ContextKeys;
use super::parse::Policy;
use super::principal::PrincipalRef;
use super::statement::Effect;

/// What somebody asks to do.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Who asks.
    pub principal: PrincipalRef<'a>,
    /// To do what.
    pub action: Operation,
    /// On what: an ARN, or `*` for what is about no resource.
    pub resource: &'a str,
    /// The account that owns the resource.
    pub owner: &'a AccountId,
    /// What else is known about the request.
    pub keys: &'a ContextKeys,
}

/// The policies that have a say.
#[derive(Clone, Debug, Default)]
pub struct PolicySet<'a> {
    /// The caller's own, each with its name.
    pub identity: Vec<(&'a str, &'a Policy)>,
    /// The vault's access policy.
    pub access: Option<&'a Policy>,
    /// The vault's lock policy, in progress or locked.
    pub lock: Option<&'a Policy>,
    /// The same request as the lock policy may see it, too: by a clock that nobody can set.
    pub lock_keys: Option<&'a ContextKeys>,
}

/// Yes or no, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether it is allowed.
    pub allowed: bool,
    /// What decided.
    pub by: Reason,
}

/// What decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The owner's root, which needs no permission.
    Root,
    /// This statement allows. For a caller of another account it is the vault's; the caller's own account allows too.
    Allow(StatementRef),
    /// This statement denies.
    Deny(StatementRef),
    /// No statement applies.
    NothingAllows,
    /// The vault allows a caller of another account whose own policies do not.
    NoIdentityAllow,
    /// The caller's own account allows, but the vault is another account's and does not.
    NoVaultAllow,
}

/// A statement of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementRef {
    /// The policy: `vault lock policy`, `vault access policy`, or `user policy "NAME"`.
    pub policy: String,
    /// Its place in the policy, from 0.
    pub index: usize,
    /// Its name.
    pub sid: Option<String>,
}

/// Decides. Where a request can be understood in several ways (see [`ContextKeys`]), a denial applies if it does in any of
/// them, and a permission only if it does in all.
///
/// 1. A matching `Deny` in any policy refuses, whoever asks. The lock policy is looked at first, as the one that cannot
///    be changed. One exception keeps owners from locking themselves out: the access policy cannot deny the owner's
///    root the three operations on the access policy itself. The lock policy can.
/// 2. The owner's root needs no more.
/// 3. A caller of the owner's account needs one `Allow` anywhere.
/// 4. A caller of another account needs one in its own account, whose root has it by itself, and one of the vault.
#[must_use]
pub fn decide(question: &Question<'_>, set: &PolicySet<'_>) -> Decision {
    let readings = Readings::of(question, set);
    if let Some(deny) = denial(question, set, &readings) {
        return Decision { allowed: false, by: Reason::Deny(deny) };
    }
    let root = question.principal.user.is_none();
    let own = question.principal.account == question.owner;
    if root && own {
        return Decision { allowed: true, by: Reason::Root };
    }
    let identity = set.identity.iter().find_map(|(name, policy)| {
        find(policy, Effect::Allow, question, &readings.usual, || user_policy(name))
    });
    let vault = [(set.access, ACCESS, &readings.usual[..]), (set.lock, LOCK, &readings.of_lock)];
    let vault = vault.into_iter().find_map(|(policy, name, readings)| {
        find(policy?, Effect::Allow, question, readings, || name.to_owned())
    });
    let (allowed, by) = match (identity, vault) {
        (Some(allow), _) | (None, Some(allow)) if own => (true, Reason::Allow(allow)),
        (Some(_), Some(allow)) => (true, Reason::Allow(allow)),
        (None, Some(allow)) if root => (true, Reason::Allow(allow)),
        (None, Some(_)) => (false, Reason::NoIdentityAllow),
        (Some(_), None) => (false, Reason::NoVaultAllow),
        (None, None) if root => (false, Reason::NoVaultAllow),
        (None, None) => (false, Reason::NothingAllows),
    };
    Decision { allowed, by }
}

const LOCK: &str = "vault lock policy";
const ACCESS: &str = "vault access policy";

fn user_policy(name: &str) -> String {
    format!("user policy {name:?}")
}

/// The first statement that denies.
fn denial(
    question: &Question<'_>,
    set: &PolicySet<'_>,
    readings: &Readings<'_>,
) -> Option<StatementRef> {
    let access = set.access.filter(|_| !is_way_back_in(question));
    let vault = [(set.lock, LOCK, &readings.of_lock[..]), (access, ACCESS, &readings.usual)];
    let vault = vault.into_iter().find_map(|(policy, name, readings)| {
        find(policy?, Effect::Deny, question, readings, || name.to_owned())
    });
    vault.or_else(|| {
        set.identity.iter().find_map(|(name, policy)| {
            find(policy, Effect::Deny, question, &readings.usual, || user_policy(name))
        })
    })
}

/// The request as the policies see it, and as the lock policy sees it: there by two clocks.
struct Readings<'a> {
    usual: [&'a ContextKeys; 1],
    of_lock: [&'a ContextKeys; 2],
}

impl<'a> Readings<'a> {
    fn of(question: &Question<'a>, set: &PolicySet<'a>) -> Self {
        let keys = question.keys;
        Self { usual: [keys], of_lock: [keys, set.lock_keys.unwrap_or(keys)] }
    }
}

/// Whether the owner's root asks for what repairs an access policy that denies everyone everything.
fn is_way_back_in(question: &Question<'_>) -> bool {
    question.principal.user.is_none()
        && question.principal.account == question.owner
        && matches!(
            question.action,
            Operation::GetVaultAccessPolicy
                | Operation::SetVaultAccessPolicy
                | Operation::DeleteVaultAccessPolicy
        )
}

/// The first statement with the effect that applies.
fn find(
    policy: &Policy,
    effect: Effect,
    question: &Question<'_>,
    readings: &[&ContextKeys],
    name: impl FnOnce() -> String,
) -> Option<StatementRef> {
    let applies = |statement: &super::statement::Statement| {
        let mut read =
            readings.iter().map(|keys| statement.applies(&Question { keys, ..*question }));
        statement.effect == effect
            && match effect {
                Effect::Deny => read.any(|applies| applies),
                Effect::Allow => read.all(|applies| applies),
            }
    };
    let index = policy.statements.iter().position(applies)?;
    Some(StatementRef { policy: name(), index, sid: policy.statements[index].sid.clone() })
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.by {
            Reason::Root => {
                f.write_str("allowed: the owner's root needs no permission, and nothing denies it")
            }
            Reason::Allow(statement) => write!(f, "allowed by {statement}"),
            Reason::Deny(statement) => write!(f, "denied by {statement}"),
            Reason::NothingAllows => f.write_str("denied: no statement allows it"),
            Reason::NoIdentityAllow => f.write_str(
                "denied: the vault of another account allows it, but no policy of the caller does",
            ),
            Reason::NoVaultAllow => f.write_str(
                "denied: the vault belongs to another account, and no policy of the vault allows it",
            ),
        }
    }
}

impl fmt::Display for StatementRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Statement[{}]", self.index)?;
        if let Some(sid) = self.sid.as_deref().filter(|sid| !sid.is_empty()) {
            write!(f, " {sid:?}")?;
        }
        write!(f, " of the {}", self.policy)
    }
}
