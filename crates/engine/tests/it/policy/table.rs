//! The table: groups of cases that share their policies.

use std::collections::BTreeMap;

use icefield_protocol::{AccountId, Operation};
use serde::Deserialize;
use serde_json::{Value, json};

const FILES: &[(&str, &str)] = &[
    ("guide", include_str!("cases/guide.json")),
    ("principals", include_str!("cases/principals.json")),
    ("actions", include_str!("cases/actions.json")),
    ("conditions", include_str!("cases/conditions.json")),
    ("variables", include_str!("cases/variables.json")),
    ("decisions", include_str!("cases/decisions.json")),
];

/// Cases about the same policies, or about one condition.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    about: String,
    #[serde(default)]
    identity: BTreeMap<String, Value>,
    access: Option<Value>,
    lock: Option<Value>,
    /// Instead of policies: tried in a statement that allows, and in one that denies what another allows.
    condition: Option<Value>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default = "anna")]
    principal: String,
    #[serde(default = "delete_archive")]
    action: String,
    #[serde(default = "the_vault")]
    resource: String,
    #[serde(default)]
    keys: BTreeMap<String, Values>,
    /// `allow` or `deny`.
    expect: Option<String>,
    /// What decides: `POLICY[INDEX]`, or the reason in words.
    by: Option<String>,
    /// Whether the group's condition holds.
    holds: Option<bool>,
    /// Why iam-rs decides otherwise.
    iam_rs: Option<String>,
    /// Why moto decides otherwise.
    moto: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    One(String),
    Many(Vec<String>),
}

fn anna() -> String {
    "012345678901:user/anna".to_owned()
}

fn delete_archive() -> String {
    "DeleteArchive".to_owned()
}

fn the_vault() -> String {
    super::vault().to_string()
}

/// Who asks.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) account: AccountId,
    pub(super) user: Option<String>,
}

/// A case with everything it needs.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    pub(super) name: String,
    pub(super) identity: BTreeMap<String, String>,
    pub(super) access: Option<String>,
    pub(super) lock: Option<String>,
    pub(super) caller: Caller,
    pub(super) action: Operation,
    pub(super) resource: String,
    pub(super) keys: Vec<(String, Vec<String>)>,
    pub(super) allowed: bool,
    pub(super) by: String,
    pub(super) iam_rs: Option<String>,
    pub(super) moto: Option<String>,
}

fn groups() -> Vec<Group> {
    let read = |(name, text): &(&str, &str)| -> Vec<Group> {
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{name}.json: {error}"))
    };
    FILES.iter().flat_map(read).collect()
}

/// How many cases there are; a case about a condition is one, though it is tried twice.
pub(super) fn case_count() -> usize {
    groups().iter().map(|group| group.cases.len()).sum()
}

/// All cases.
pub(super) fn scenarios() -> Vec<Scenario> {
    groups().into_iter().flat_map(scenarios_of).collect()
}

fn scenarios_of(group: Group) -> Vec<Scenario> {
    let Group { about, identity, access, lock, condition, cases } = group;
    let text = |value: &Value| value.to_string();
    let policies: BTreeMap<_, _> =
        identity.iter().map(|(name, policy)| (name.clone(), text(policy))).collect();
    let mut scenarios = Vec::new();
    for case in cases {
        let name = format!("{about}: {}", case.name);
        if let Some(condition) = &condition {
            let holds = case.holds.unwrap_or_else(|| panic!("{name}: holds or not?"));
            for (effect, policy, allowed, by) in tried(condition, holds) {
                let identity = BTreeMap::from([("p".to_owned(), text(&policy))]);
                let mut one = scenario(&case, format!("{name} ({effect})"), allowed, by);
                one.identity = identity;
                scenarios.push(one);
            }
        } else {
            let allowed = match case.expect.as_deref() {
                Some("allow") => true,
                Some("deny") => false,
                other => panic!("{name}: expects {other:?}"),
            };
            let by = case.by.clone().unwrap_or_else(|| panic!("{name}: by what?"));
            let mut one = scenario(&case, name, allowed, &by);
            one.identity.clone_from(&policies);
            one.access = access.as_ref().map(text);
            one.lock = lock.as_ref().map(text);
            scenarios.push(one);
        }
    }
    scenarios
}

/// A condition in a statement that allows, and in one that denies, and what they make of it.
fn tried(condition: &Value, holds: bool) -> [(&'static str, Value, bool, &'static str); 2] {
    let statement = |effect| json!({"Effect": effect, "Action": "glacier:*", "Resource": "*", "Condition": condition});
    let all = json!({"Effect": "Allow", "Action": "glacier:*", "Resource": "*"});
    let policy = |statements: Value| json!({"Version": "2012-10-17", "Statement": statements});
    let allow = policy(json!([statement("Allow")]));
    let deny = policy(json!([all, statement("Deny")]));
    if holds {
        [("allow", allow, true, "p[0]"), ("deny", deny, false, "p[1]")]
    } else {
        [("allow", allow, false, "nothing allows"), ("deny", deny, true, "p[0]")]
    }
}

fn scenario(case: &Case, name: String, allowed: bool, by: &str) -> Scenario {
    let (account, rest) = case.principal.split_once(':').unwrap();
    let user = match rest {
        "root" => None,
        user => Some(user.strip_prefix("user/").unwrap().to_owned()),
    };
    let values = |values: &Values| match values {
        Values::One(value) => vec![value.clone()],
        Values::Many(values) => values.clone(),
    };
    Scenario {
        name,
        identity: BTreeMap::new(),
        access: None,
        lock: None,
        caller: Caller { account: account.parse().unwrap(), user },
        action: case.action.parse().unwrap(),
        resource: case.resource.clone(),
        keys: case.keys.iter().map(|(name, value)| (name.clone(), values(value))).collect(),
        allowed,
        by: by.to_owned(),
        iam_rs: case.iam_rs.clone(),
        moto: case.moto.clone(),
    }
}
