//! moto's evaluator on the cases that it can be asked: a user of the owner's account, with policies of its own.
//!
//! It runs in the Python that `ICEFIELD_PYTHON` names, which `cargo xtask test` installs. moto fakes AWS for tests and
//! has no conditions but `StringEquals`, no `NotResource` and no case in actions; it is a second opinion on the rest.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::json;

use super::table::{Scenario, scenarios};
use super::vault;

/// Tests run in the folder of their crate.
const SCRIPT: &str = "tests/it/policy/moto_differential.py";

/// Whether moto can be asked at all.
fn is_for_moto(scenario: &Scenario) -> bool {
    scenario.access.is_none()
        && scenario.lock.is_none()
        && scenario.caller.user.is_some()
        && scenario.caller.account == vault().account
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the test runner says where the Python is")]
fn moto_agrees_with_every_case_that_does_not_say_why_it_differs() {
    let Some(python) = std::env::var_os("ICEFIELD_PYTHON") else {
        println!(
            "skipped: ICEFIELD_PYTHON names no Python with moto; `cargo xtask test` installs one"
        );
        return;
    };
    let asked: Vec<Scenario> = scenarios().into_iter().filter(is_for_moto).collect();
    let answers = ask(&python, &asked);
    assert_eq!(answers.len(), asked.len());
    let mut cases: BTreeMap<String, (Option<String>, Vec<String>)> = BTreeMap::new();
    for (scenario, answer) in asked.iter().zip(answers) {
        let name = scenario.name.trim_end_matches(" (allow)").trim_end_matches(" (deny)");
        let differences = cases.entry(name.to_owned()).or_default();
        differences.0 = scenario.moto.clone();
        if answer != if scenario.allowed { "allow" } else { "deny" } {
            differences.1.push(format!("{}: moto says {answer}", scenario.name));
        }
    }
    super::assert_explained("moto", cases);
}

/// One line of JSON for each case, one line with the answer back.
fn ask(python: &std::ffi::OsStr, asked: &[Scenario]) -> Vec<String> {
    let mut child = Command::new(python)
        .args(["-B", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("ICEFIELD_PYTHON runs");
    let mut lines = String::new();
    for scenario in asked {
        let keys: BTreeMap<_, _> =
            scenario.keys.iter().map(|(name, values)| (name, &values[0])).collect();
        let policies: Vec<&String> = scenario.identity.values().collect();
        let line = json!({"policies": policies, "action": scenario.action.action(), "resource": scenario.resource, "keys": keys});
        lines.push_str(&format!("{line}\n"));
    }
    // The script reads everything before it answers, so neither side waits for the other.
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{SCRIPT} failed");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}
