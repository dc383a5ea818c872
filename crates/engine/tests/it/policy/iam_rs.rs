//! The crate iam-rs on the same table, and on policies made at random within what it gets right.
//!
//! It evaluates single policies; how several make one decision is repeated here in its simplest form.

use std::collections::BTreeMap;

use iam_rs::{
    Arn, Context, ContextValue, Decision, IAMPolicy, IAMRequest, PolicyEvaluator, Principal,
    PrincipalId,
};
use icefield_engine::policy::PrincipalRef;
use icefield_protocol::Operation;
use proptest::prelude::{Just, Strategy, any, prop, prop_oneof};
use proptest::{prop_assert_eq, proptest};
use serde_json::{Value, json};

use super::table::{Caller, Scenario, scenarios};
use super::{decision, vault};

/// What iam-rs makes of a case, or why it makes nothing of it.
fn allowed(scenario: &Scenario) -> Result<bool, String> {
    let Caller { account, user } = &scenario.caller;
    let principal = PrincipalRef { account, user: user.as_deref() };
    let request = request(scenario, &principal)?;
    let evaluate = |text: &String| {
        let mut document: Value = serde_json::from_str(text).unwrap();
        // It wants the version to be said; without one a document is of the old version.
        let fields = document.as_object_mut().unwrap();
        fields.entry("Version").or_insert_with(|| json!("2008-10-17"));
        let policy =
            IAMPolicy::from_json(&document.to_string()).map_err(|error| error.to_string())?;
        let result = PolicyEvaluator::with_policies(vec![policy]).evaluate(&request);
        result.map(|result| result.decision).map_err(|error| error.to_string())
    };
    let all = |texts: Vec<&String>| texts.into_iter().map(evaluate).collect::<Result<Vec<_>, _>>();
    let identity = all(scenario.identity.values().collect())?;
    let access = all(scenario.access.iter().collect())?;
    let lock = all(scenario.lock.iter().collect())?;

    let own = *account == vault().account;
    let root = user.is_none();
    let repairs = scenario.action.as_str().ends_with("VaultAccessPolicy");
    let access_denies = access.contains(&Decision::Deny) && !(own && root && repairs);
    if identity.contains(&Decision::Deny) || access_denies || lock.contains(&Decision::Deny) {
        return Ok(false);
    }
    let mine = root || identity.contains(&Decision::Allow);
    let vaults = access.contains(&Decision::Allow) || lock.contains(&Decision::Allow);
    Ok(if own { mine || vaults } else { mine && vaults })
}

fn request(scenario: &Scenario, principal: &PrincipalRef<'_>) -> Result<IAMRequest, String> {
    let kind = if principal.user.is_some() { "User" } else { "Account" };
    let mut keys = vec![
        ("aws:PrincipalArn".to_owned(), vec![principal.arn()]),
        ("aws:PrincipalAccount".to_owned(), vec![principal.account.to_string()]),
        ("aws:PrincipalIsAWSService".to_owned(), vec!["false".to_owned()]),
        ("aws:PrincipalType".to_owned(), vec![kind.to_owned()]),
    ];
    keys.extend(principal.user.map(|user| ("aws:username".to_owned(), vec![user.to_owned()])));
    // It knows one value or list under each name, and of two names that differ in case it finds either.
    for (name, values) in &scenario.keys {
        match keys.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            Some((_, known)) => known.extend(values.iter().cloned()),
            None => keys.push((name.clone(), values.clone())),
        }
    }
    let mut context = Context::new();
    for (name, values) in keys {
        let value = typed(&name, &values);
        context.insert(name, value);
    }
    let whom = Principal::Aws(PrincipalId::String(principal.arn()));
    let resource = Arn::parse(&scenario.resource).map_err(|error| error.to_string())?;
    Ok(IAMRequest::new_with_context(whom, scenario.action.action(), resource, context))
}

/// A value in the type that iam-rs wants for the key.
fn typed(name: &str, values: &[String]) -> ContextValue {
    let flags = ["aws:SecureTransport", "aws:MultiFactorAuthPresent", "aws:PrincipalIsAWSService"];
    match values {
        [value] if flags.contains(&name) && ["true", "false"].contains(&value.as_str()) => {
            ContextValue::Boolean(value == "true")
        }
        [value] => ContextValue::String(value.clone()),
        values => ContextValue::StringList(values.to_vec()),
    }
}

#[test]
fn iam_rs_agrees_with_every_case_that_does_not_say_why_it_differs() {
    // Both trials of a condition belong to one case: it differs when one of them does.
    let mut cases: BTreeMap<String, (Option<String>, Vec<String>)> = BTreeMap::new();
    for scenario in scenarios() {
        let name = scenario.name.trim_end_matches(" (allow)").trim_end_matches(" (deny)");
        let differences = &mut cases.entry(name.to_owned()).or_default();
        differences.0 = scenario.iam_rs.clone();
        match allowed(&scenario) {
            Ok(theirs) if theirs == scenario.allowed => {}
            Ok(theirs) => differences.1.push(format!("{}: iam-rs says {theirs}", scenario.name)),
            Err(error) => differences.1.push(format!("{}: iam-rs fails: {error}", scenario.name)),
        }
    }
    super::assert_explained("iam_rs", cases);
}

/// A condition that both evaluators understand alike.
fn condition() -> impl Strategy<Value = Value> {
    let number = 0..6_u32;
    let word = prop::sample::select(vec!["a", "b", "ab", "a*", "*b", "?", "c"]);
    prop_oneof![
        Just(json!({})),
        (prop::sample::select(NUMERIC.to_vec()), any::<bool>(), number).prop_map(
            |(operator, if_exists, number)| {
                let suffix = if if_exists { "IfExists" } else { "" };
                json!({format!("{operator}{suffix}"): {"glacier:ArchiveAgeInDays": number.to_string()}})
            }
        ),
        (prop::sample::select(TEXT.to_vec()), any::<bool>(), prop::collection::vec(word, 1..3))
            .prop_map(|(operator, if_exists, words)| {
                let suffix = if if_exists { "IfExists" } else { "" };
                json!({format!("{operator}{suffix}"): {"glacier:ResourceTag/t": words}})
            }),
        any::<bool>().prop_map(|flag| json!({"Bool": {"aws:SecureTransport": flag.to_string()}})),
        any::<bool>().prop_map(|flag| json!({"Null": {"glacier:ResourceTag/t": flag.to_string()}})),
        (0..3_u8, 0..33_u32)
            .prop_map(|(last, bits)| json!({"NotIpAddress": {"aws:SourceIp": format!("192.0.2.{last}/{bits}")}})),
    ]
}

const NUMERIC: &[&str] = &[
    "NumericEquals",
    "NumericNotEquals",
    "NumericLessThan",
    "NumericLessThanEquals",
    "NumericGreaterThan",
    "NumericGreaterThanEquals",
];
const TEXT: &[&str] = &["StringEquals", "StringNotEquals", "StringLike", "StringNotLike"];

fn statement() -> impl Strategy<Value = Value> {
    let action = prop::sample::select(vec![
        "glacier:*",
        "glacier:Delete*",
        "glacier:deletearchive",
        "glacier:*Archive",
        "glacier:Upload?rchive",
        "s3:*",
        "*",
    ]);
    let resource = prop::sample::select(vec![
        "*",
        "arn:aws:glacier:us-west-2:012345678901:vaults/photos",
        "arn:aws:glacier:us-west-2:012345678901:vaults/ph*",
        "arn:aws:glacier:us-west-2:012345678901:vaults/films",
        "arn:aws:glacier:*:*:vaults/?hotos",
    ]);
    (any::<bool>(), any::<bool>(), any::<bool>(), action, resource, condition()).prop_map(
        |(deny, not_action, not_resource, action, resource, condition)| {
            let mut statement = json!({"Effect": if deny { "Deny" } else { "Allow" }});
            statement[if not_action { "NotAction" } else { "Action" }] = json!([action]);
            statement[if not_resource { "NotResource" } else { "Resource" }] = json!(resource);
            if condition != json!({}) {
                statement["Condition"] = condition;
            }
            statement
        },
    )
}

fn scenario() -> impl Strategy<Value = Scenario> {
    let policy = prop::collection::vec(statement(), 1..4).prop_map(|statements| {
        json!({"Version": "2012-10-17", "Statement": statements}).to_string()
    });
    let policies = prop::collection::vec(policy, 1..3);
    let age = prop::option::of(0..6_u32);
    let tag = prop::option::of(prop::sample::select(vec!["a", "b", "ab", "a*", "", "c"]));
    let action = prop::sample::select(vec![
        Operation::DeleteArchive,
        Operation::UploadArchive,
        Operation::DeleteVault,
    ]);
    (policies, age, tag, any::<bool>(), 0..4_u8, action).prop_map(
        |(policies, age, tag, secure, last, action)| {
            let mut keys = vec![
                ("aws:SecureTransport".to_owned(), vec![secure.to_string()]),
                ("aws:SourceIp".to_owned(), vec![format!("192.0.2.{last}")]),
            ];
            keys.extend(
                age.map(|age| ("glacier:ArchiveAgeInDays".to_owned(), vec![age.to_string()])),
            );
            keys.extend(tag.map(|tag| ("glacier:ResourceTag/t".to_owned(), vec![tag.to_owned()])));
            Scenario {
                name: "random".to_owned(),
                identity: policies
                    .into_iter()
                    .enumerate()
                    .map(|(index, policy)| (format!("p{index}"), policy))
                    .collect(),
                access: None,
                lock: None,
                caller: Caller { account: vault().account, user: Some("anna".to_owned()) },
                action,
                resource: vault().to_string(),
                keys,
                allowed: false,
                by: String::new(),
                iam_rs: None,
                moto: None,
            }
        },
    )
}

proptest! {
    #[test]
    fn iam_rs_agrees_on_random_policies_of_users(scenario in scenario()) {
        prop_assert_eq!(Ok(decision(&scenario).allowed), allowed(&scenario), "{:?}", scenario.identity);
    }
}
