//! What holds for all policies.

use icefield_engine::policy::{
    ContextKeys, Policy, PolicyKind, PolicySet, PrincipalRef, Question, decide,
};
use icefield_protocol::{AccountId, Operation};
use proptest::prelude::{Just, Strategy, any, prop, prop_oneof};
use proptest::{prop_assert, proptest};
use serde_json::{Value, json};

use super::vault;

fn statement(effects: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let principal = prop::sample::select(vec![
        json!("*"),
        json!({"AWS": "012345678901"}),
        json!({"AWS": ["arn:aws:iam::012345678901:user/anna", "arn:aws:iam::999999999999:root"]}),
    ]);
    let action =
        prop::sample::select(vec!["glacier:*", "glacier:Delete*", "glacier:UploadArchive"]);
    let condition = prop_oneof![
        Just(Value::Null),
        (0..4_u8).prop_map(|age| json!({"NumericLessThan": {"glacier:ArchiveAgeInDays": age}})),
        Just(json!({"StringNotEquals": {"aws:Referer": "${aws:username}"}})),
        Just(json!({"ForAllValues:StringLike": {"aws:TagKeys": ["a*", "b"]}})),
    ];
    let effect = prop::sample::select(effects);
    (effect, principal, action, condition).prop_map(|(effect, principal, action, condition)| {
        let mut one =
            json!({"Effect": effect, "Principal": principal, "Action": action, "Resource": "*"});
        if !condition.is_null() {
            one["Condition"] = condition;
        }
        one
    })
}

fn statements(effects: &'static [&'static str]) -> impl Strategy<Value = Vec<Value>> {
    prop::collection::vec(statement(effects), 0..4)
}

/// The three places where policies stand: a user's, the vault's access policy, its lock policy.
type Policies = [Vec<Value>; 3];

fn policies(effects: &'static [&'static str]) -> impl Strategy<Value = Policies> {
    [statements(effects), statements(effects), statements(effects)]
}

/// Who asks, for what, and with which keys.
fn question()
-> impl Strategy<Value = (Option<&'static str>, bool, Operation, Option<u8>, Vec<&'static str>)> {
    (
        prop::option::of(prop::sample::select(vec!["anna", "otto"])),
        any::<bool>(),
        prop::sample::select(Operation::ALL),
        prop::option::of(0..5_u8),
        prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 0..3),
    )
}

fn allowed(
    policies: &Policies,
    (user, own, action, age, tags): &(
        Option<&'static str>,
        bool,
        Operation,
        Option<u8>,
        Vec<&'static str>,
    ),
) -> bool {
    let parse = |statements: &Vec<Value>, kind: PolicyKind| {
        let mut statements = statements.clone();
        if statements.is_empty() {
            return None;
        }
        if kind == PolicyKind::Identity {
            for statement in &mut statements {
                statement.as_object_mut().unwrap().remove("Principal");
            }
        }
        let text = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
        Some(Policy::parse(&text, kind).unwrap())
    };
    let identity = parse(&policies[0], PolicyKind::Identity);
    let access = parse(&policies[1], PolicyKind::VaultAccess(vault()));
    let lock = parse(&policies[2], PolicyKind::VaultLock(vault()));
    let owner = vault().account;
    let foreign: AccountId = "999999999999".parse().unwrap();
    let principal = PrincipalRef { account: if *own { &owner } else { &foreign }, user: *user };
    let mut keys =
        ContextKeys::of_principal(&principal).with_many("aws:TagKeys", tags.iter().copied());
    if let Some(age) = age {
        keys = keys.with("glacier:ArchiveAgeInDays", age.to_string());
    }
    let resource = vault().to_string();
    let question =
        Question { principal, action: *action, resource: &resource, owner: &owner, keys: &keys };
    let set = PolicySet {
        identity: identity.iter().map(|policy| ("p", policy)).collect(),
        access: access.as_ref(),
        lock: lock.as_ref(),
        lock_keys: None,
    };
    decide(&question, &set).allowed
}

/// Puts statements in, before or after those that are there.
fn joined(policies: &Policies, more: &Policies, before: bool) -> Policies {
    std::array::from_fn(|place| {
        let (first, second) = if before {
            (&more[place], &policies[place])
        } else {
            (&policies[place], &more[place])
        };
        [first.clone(), second.clone()].concat()
    })
}

const BOTH: &[&str] = &["Allow", "Deny"];

proptest! {
    #[test]
    fn more_denials_never_allow_more(
        policies in policies(BOTH), more in policies(&["Deny"]), before: bool, asked in question()
    ) {
        let after = allowed(&joined(&policies, &more, before), &asked);
        prop_assert!(!after || allowed(&policies, &asked));
    }

    #[test]
    fn more_permissions_never_deny_more_and_never_undo_a_denial(
        policies in policies(BOTH), more in policies(&["Allow"]), before: bool, asked in question()
    ) {
        let after = allowed(&joined(&policies, &more, before), &asked);
        prop_assert!(after || !allowed(&policies, &asked));
        // With everything allowed everywhere, what is still refused is refused by a denial.
        let all = json!({"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"});
        let everything: Policies = std::array::from_fn(|_| vec![all.clone()]);
        if !allowed(&joined(&policies, &everything, !before), &asked) {
            prop_assert!(!after);
        }
    }

    #[test]
    fn any_json_is_a_policy_or_refused_without_a_panic(value in json_value(), lock: bool) {
        let kind = || if lock { PolicyKind::VaultLock(vault()) } else { PolicyKind::Identity };
        drop(Policy::parse(&value.to_string(), kind()));
        let statement = json!({"Version": "2012-10-17", "Statement": value}).to_string();
        drop(Policy::parse(&statement, kind()));
    }

    #[test]
    fn any_text_is_a_policy_or_refused_without_a_panic(text: String) {
        drop(Policy::parse(&text, PolicyKind::Identity));
    }
}

/// JSON made of the words of policies.
fn json_value() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        prop::sample::select(vec![
            "Allow",
            "Deny",
            "*",
            "glacier:*",
            "arn:",
            "arn:aws:glacier:*",
            "${",
            "${aws:username}",
            "true",
            "1",
            "192.0.2.0/24",
            "2026-01-01",
            "012345678901",
            "arn:aws:iam::012345678901:user/",
            "\u{130}:\u{df}"
        ])
        .prop_map(str::to_owned),
        any::<String>(),
    ];
    let name = prop_oneof![
        prop::sample::select(vec![
            "Version",
            "Id",
            "Statement",
            "Sid",
            "Effect",
            "Principal",
            "NotPrincipal",
            "Action",
            "NotAction",
            "Resource",
            "NotResource",
            "Condition",
            "AWS",
            "StringLike",
            "DateLessThan",
            "NumericEquals",
            "ForAnyValue:ArnLikeIfExists",
            "IpAddress",
            "BinaryEquals",
            "Null",
            "aws:SourceIp",
            "aws:TagKeys"
        ])
        .prop_map(str::to_owned),
        any::<String>(),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        word.prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name.clone(), inner, 0..9)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}
