//! Policies: a table of cases in `cases/*.json`, derived by hand from IAM's documentation, and two evaluators by other
//! hands that go through the same table. Where those differ, the case says why, and a difference that nobody explained
//! fails as much as an explanation that has no difference.

mod iam_rs;
mod moto;
mod properties;
mod refusals;
mod table;

use icefield_engine::policy::{
    ContextKeys, Decision, Policy, PolicyKind, PolicySet, PrincipalRef, Question, Reason,
    StatementRef, decide,
};
use icefield_protocol::{AccountId, VaultArn};

use table::{Caller, Scenario};

/// The vault of the table.
fn vault() -> VaultArn {
    "arn:aws:glacier:us-west-2:012345678901:vaults/photos".parse().unwrap()
}

fn keys(scenario: &Scenario, principal: &PrincipalRef<'_>) -> ContextKeys {
    let known = ContextKeys::of_principal(principal);
    scenario.keys.iter().fold(known, |keys, (name, values)| keys.with_many(name, values.iter()))
}

/// What this crate decides.
fn decision(scenario: &Scenario) -> Decision {
    let parse = |text: &String, kind| {
        Policy::parse(text, kind).unwrap_or_else(|error| panic!("{}: {error}", scenario.name))
    };
    let identity: Vec<_> = (scenario.identity.iter())
        .map(|(name, text)| (name.as_str(), parse(text, PolicyKind::Identity)))
        .collect();
    let access = scenario.access.as_ref().map(|text| parse(text, PolicyKind::VaultAccess(vault())));
    let lock = scenario.lock.as_ref().map(|text| parse(text, PolicyKind::VaultLock(vault())));
    let Caller { account, user } = &scenario.caller;
    let principal = PrincipalRef { account, user: user.as_deref() };
    let keys = keys(scenario, &principal);
    let owner: AccountId = vault().account;
    let question = Question {
        principal,
        action: scenario.action,
        resource: &scenario.resource,
        owner: &owner,
        keys: &keys,
    };
    let identity = identity.iter().map(|(name, policy)| (*name, policy)).collect();
    decide(
        &question,
        &PolicySet { identity, access: access.as_ref(), lock: lock.as_ref(), lock_keys: None },
    )
}

/// Says who decided as the table does.
fn by(reason: &Reason) -> String {
    let statement = |one: &StatementRef| {
        let name = match one.policy.as_str() {
            "vault lock policy" => "lock",
            "vault access policy" => "access",
            other => other.strip_prefix("user policy ").unwrap_or(other).trim_matches('"'),
        };
        format!("{name}[{}]", one.index)
    };
    match reason {
        Reason::Root => "root".to_owned(),
        Reason::Allow(one) | Reason::Deny(one) => statement(one),
        Reason::NothingAllows => "nothing allows".to_owned(),
        Reason::NoIdentityAllow => "no identity allow".to_owned(),
        Reason::NoVaultAllow => "no vault allow".to_owned(),
    }
}

#[test]
fn every_case_of_the_table_is_decided_as_it_says_and_by_the_statement_it_says() {
    let mut wrong = Vec::new();
    for scenario in table::scenarios() {
        let decision = decision(&scenario);
        if (decision.allowed, by(&decision.by)) != (scenario.allowed, scenario.by.clone()) {
            wrong.push(format!("{}: {decision}, expected {}", scenario.name, scenario.by));
        }
    }
    assert!(wrong.is_empty(), "{} cases went wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_table_has_at_least_300_cases_with_different_names() {
    let mut names: Vec<_> = table::scenarios().into_iter().map(|scenario| scenario.name).collect();
    assert!(table::case_count() >= 300, "{}", table::case_count());
    names.sort();
    let before = names.len();
    names.dedup();
    assert_eq!(names.len(), before, "two cases have the same name");
}

#[test]
fn a_decision_says_in_words_what_made_it() {
    let said = |name: &str| {
        let found = table::scenarios().into_iter().find(|scenario| scenario.name == name);
        decision(&found.unwrap_or_else(|| panic!("no case {name:?}"))).to_string()
    };
    let lock = "a lock that keeps archives for a year, with the key's two spellings";
    assert_eq!(
        said(&format!("{lock}: root may not delete a young archive")),
        "denied by Statement[0] \"deny-based-on-archive-age\" of the vault lock policy"
    );
    assert_eq!(
        said(&format!("{lock}: root may delete an old archive")),
        "allowed: the owner's root needs no permission, and nothing denies it"
    );
    assert_eq!(
        said("identity policies of the guide's kind: the job may be started"),
        "allowed by Statement[0] of the user policy \"retrieve\""
    );
}

/// Fails for a case that differs without an explanation, and for an explanation without a difference.
fn assert_explained(
    who: &str,
    cases: std::collections::BTreeMap<String, (Option<String>, Vec<String>)>,
) {
    let mut wrong = Vec::new();
    for (name, (explanation, differences)) in cases {
        match explanation {
            None => wrong.extend(differences),
            Some(_) if differences.is_empty() => {
                wrong.push(format!("{name}: says why {who} differs, and it does not"));
            }
            Some(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}
