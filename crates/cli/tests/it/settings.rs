//! What is set for a vault beside its archives: `vault tag|untag|tags`, `vault policy`, `vault lock`, `vault notify`.

use crate::sandbox::Sandbox;

const TOPIC: &str = "arn:aws:sns:us-east-1:012345678901:ready";

/// A vault `v`.
fn vault() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.ok(["vault", "create", "v"]);
    sandbox
}

/// A policy by which nobody may delete archives, for whom it is said.
fn no_deletes(principal: &str) -> String {
    format!(
        "{{\"Version\": \"2012-10-17\", \"Statement\": [{{\"Effect\": \"Deny\", \"Principal\": {principal}, \"Action\": \"glacier:DeleteArchive\", \"Resource\": \"*\"}}]}}"
    )
}

fn tags(sandbox: &Sandbox) -> Vec<(String, String)> {
    let tags = sandbox.json(["vault", "tags", "v"]);
    tags.as_array().unwrap().iter().map(|tag| (text(&tag["key"]), text(&tag["value"]))).collect()
}

fn text(value: &serde_json::Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

#[test]
fn tags_are_given_replaced_listed_and_taken() {
    let sandbox = vault();
    assert_eq!(tags(&sandbox), []);
    sandbox.ok(["vault", "tag", "v", "owner=anna", "kept until=2031=ever", "empty="]);
    sandbox.ok(["vault", "tag", "v", "owner=bert"]);
    let expected = [("empty", ""), ("kept until", "2031=ever"), ("owner", "bert")];
    assert_eq!(tags(&sandbox), expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    let csv = sandbox.ok(["vault", "tags", "v", "--output", "csv"]);
    assert!(csv.text().starts_with("key,value\nempty,\n"), "{csv}");
    sandbox.ok(["vault", "untag", "v", "owner", "empty", "never there"]);
    assert_eq!(tags(&sandbox), [("kept until".to_owned(), "2031=ever".to_owned())]);
}

#[test]
fn more_tags_than_a_request_has_go_in_several_and_the_vaults_limit_is_named() {
    let sandbox = vault();
    let many: Vec<_> = (0..50).map(|number| format!("k{number:02}=v")).collect();
    sandbox.ok(["vault", "tag", "v"].into_iter().chain(many.iter().map(String::as_str)));
    assert_eq!(tags(&sandbox).len(), 50);
    sandbox.fails(1, ["vault", "tag", "v", "one more=v"]).says("50");
    let keys: Vec<_> = many.iter().map(|tag| &tag[..3]).collect();
    sandbox.ok(["vault", "untag", "v"].into_iter().chain(keys));
    assert_eq!(tags(&sandbox), []);
}

#[test]
fn what_is_no_tag_is_refused_before_anything_is_sent() {
    let sandbox = vault();
    sandbox.fails(2, ["vault", "tag", "v", "a=1", "no value"]).says("KEY=VALUE");
    sandbox.fails(2, ["vault", "tag", "v", "a=1", "aws:x=1"]).says("aws:");
    sandbox.fails(2, ["vault", "tag", "v", "a=1", "a=2"]).says("twice");
    sandbox.fails(2, ["vault", "tag", "v"]).says("KEY=VALUE");
    sandbox.fails(2, ["vault", "untag", "v"]).says("KEY");
    sandbox.ok(["-n", "vault", "tag", "v", "a=1"]).says("would give the vault v 1 tag");
    assert_eq!(tags(&sandbox), []);
}

#[test]
fn an_access_policy_is_set_shown_as_it_was_and_removed() {
    let sandbox = vault();
    sandbox.fails(1, ["vault", "policy", "get", "v"]).says("no access policy").says("policy set v");
    let policy = no_deletes("\"*\"");
    sandbox.write("policy.json", &policy);
    sandbox.ok(["vault", "policy", "set", "v", "policy.json"]);
    let shown = sandbox.ok(["vault", "policy", "get", "v"]);
    assert_eq!(shown.text(), format!("{policy}\n"));
    let record = sandbox.json(["vault", "policy", "get", "v"]);
    assert_eq!((record["vault"].as_str(), record["policy"].as_str()), (Some("v"), Some(&*policy)));
    sandbox.ok(["-n", "vault", "policy", "remove", "v"]);
    // What was shown can be set again.
    sandbox.run_with_input(&shown.stdout, ["vault", "policy", "set", "v", "-"]).ended(0);
    sandbox.ok(["vault", "policy", "remove", "v"]);
    sandbox.ok(["vault", "policy", "remove", "v"]);
    sandbox.fails(1, ["vault", "policy", "get", "v"]);
}

#[test]
fn an_access_policy_binds_the_commands() {
    let sandbox = vault();
    sandbox.write("a", "content");
    sandbox.write("policy.json", no_deletes("\"*\""));
    sandbox.ok(["upload", "v", "a"]);
    sandbox.ok(["vault", "policy", "set", "v", "policy.json"]);
    sandbox.fails(1, ["delete", "v", "a", "--yes"]).says("a");
    assert_eq!(sandbox.holds("v").0, 1);
    sandbox.ok(["vault", "policy", "remove", "v"]);
    sandbox.ok(["delete", "v", "a", "--yes"]);
}

#[test]
fn what_is_wrong_with_a_policy_is_said_with_its_place() {
    let sandbox = vault();
    sandbox.write("typo.json", no_deletes("\"*\"").replace("Deny", "Dent"));
    sandbox.write("broken.json", "{\"Statement\": [\n}");
    sandbox.write("long.json", format!("{{\"Id\": \"{}\"}}", "x".repeat(20_480)));
    for group in [&["vault", "policy", "set"], &["vault", "lock", "start"]] {
        let with = |file| [&group[..], &["v", file]].concat();
        sandbox.fails(1, with("typo.json")).says("Statement[0].Effect").says("Dent");
        sandbox.fails(1, [&["-n"], &with("typo.json")[..]].concat()).says("Statement[0].Effect");
        sandbox.fails(1, with("broken.json")).says("not JSON").says("line 2");
        sandbox.fails(1, with("long.json")).says("20480 bytes");
        sandbox.fails(1, with("missing.json")).says("missing.json");
    }
    sandbox.fails(1, ["vault", "policy", "get", "v"]);
    sandbox.fails(1, ["vault", "lock", "show", "v"]);
}

#[test]
fn a_lock_is_started_shown_taken_back_and_made_final() {
    let sandbox = vault();
    sandbox.write("lock.json", no_deletes("\"*\""));
    sandbox.fails(1, ["vault", "lock", "show", "v"]).says("no lock policy");
    sandbox.ok(["-n", "vault", "lock", "start", "v", "lock.json"]).says("24 hours");
    sandbox.fails(1, ["vault", "lock", "complete", "v", "x", "--yes"]).says("no lock to complete");

    let run = sandbox.ok(["vault", "lock", "start", "v", "lock.json", "--output", "json"]);
    let started = run.json();
    let id = started["lock_id"].as_str().unwrap().to_owned();
    let run = run.says(&format!("vault lock complete v {id}")).says("cannot be undone");
    run.says(started["expires"].as_str().unwrap()).says("vault lock abort v");
    let shown = sandbox.json(["vault", "lock", "show", "v"]);
    assert_eq!(shown["state"], "in-progress");
    assert_eq!(shown["expires"], started["expires"]);
    assert_eq!(shown["policy"], no_deletes("\"*\""));

    sandbox.fails(1, ["vault", "lock", "start", "v", "lock.json"]).says("vault lock show v");
    sandbox.ok(["vault", "lock", "abort", "v"]);
    sandbox.ok(["vault", "lock", "abort", "v"]);
    sandbox.fails(1, ["vault", "lock", "show", "v"]);

    let again = sandbox.json(["vault", "lock", "start", "v", "lock.json"]);
    sandbox.fails(1, ["vault", "lock", "complete", "v", &id, "--yes"]).says("vault lock abort v");
    let id = again["lock_id"].as_str().unwrap();
    sandbox.fails(2, ["vault", "lock", "complete", "v", id]).says("cannot be undone").says("--yes");
    sandbox.ok(["-n", "vault", "lock", "complete", "v", id]).says("cannot be undone");
    assert_eq!(sandbox.json(["vault", "lock", "show", "v"])["state"], "in-progress");
    sandbox.ok(["vault", "lock", "complete", "v", id, "--yes"]);
    // It is so already, so nobody is asked.
    sandbox.ok(["vault", "lock", "complete", "v", id]);
    let shown = sandbox.json(["vault", "lock", "show", "v"]);
    assert_eq!(
        (shown["state"].as_str(), &shown["expires"]),
        (Some("locked"), &serde_json::Value::Null)
    );
    sandbox.fails(1, ["vault", "lock", "abort", "v"]).says("completed");
}

#[test]
fn what_a_lock_forbids_is_named_by_a_purge() {
    let sandbox = vault();
    for name in ["a", "b"] {
        sandbox.write(name, name);
    }
    sandbox.write("lock.json", no_deletes("\"*\""));
    sandbox.ok(["upload", "v", "a", "b"]);
    sandbox.ok(["vault", "lock", "start", "v", "lock.json"]);
    let run = sandbox.fails(1, ["vault", "purge", "v", "--yes"]).says("vault lock show v");
    run.says("warning: a:").says("warning: b:").says("2 archives could not be deleted");
    assert_eq!(sandbox.holds("v").0, 2);
    sandbox.ok(["vault", "lock", "abort", "v"]);
    sandbox.ok(["vault", "purge", "v", "--yes"]);
}

#[test]
fn a_lock_id_may_begin_with_a_dash() {
    let sandbox = vault();
    sandbox.write("lock.json", no_deletes("\"*\""));
    sandbox.ok(["vault", "lock", "start", "v", "lock.json"]);
    let run = sandbox.fails(1, ["vault", "lock", "complete", "v", "-EXAMPLE-lock-ID", "--yes"]);
    run.says("-EXAMPLE-lock-ID");
}

#[test]
fn notifications_are_set_shown_and_removed() {
    let sandbox = vault();
    sandbox.fails(1, ["vault", "notify", "get", "v"]).says("tells nobody").says("notify set v");
    sandbox.ok(["vault", "notify", "set", "v", "--topic", TOPIC]);
    let told = sandbox.json(["vault", "notify", "get", "v"]);
    assert_eq!(told["topic"], TOPIC);
    assert_eq!(told["events"], serde_json::json!(["archive", "inventory"]));
    sandbox.ok(["vault", "notify", "set", "v", "--topic", TOPIC, "--event", "inventory"]);
    let told = sandbox.json(["vault", "notify", "get", "v"]);
    assert_eq!(told["events"], serde_json::json!(["inventory"]));
    sandbox.fails(2, ["vault", "notify", "set", "v", "--topic", "arn:ready"]).says("arn:aws:sns");
    sandbox.fails(2, ["vault", "notify", "set", "v", "--topic", "a b"]).says("name of a topic");
    sandbox.fails(2, ["vault", "notify", "set", "v", "--topic", TOPIC, "--event", "delete"]);
    sandbox.fails(2, ["vault", "notify", "set", "v"]).says("--topic");
    // A name is one of the vault's own account and region.
    sandbox.ok(["vault", "notify", "set", "v", "--topic", "ready"]);
    let told = sandbox.json(["vault", "notify", "get", "v"]);
    let arn = text(&sandbox.json(["vault", "describe", "v"])["arn"]);
    let place = arn.strip_prefix("arn:aws:glacier:").and_then(|arn| arn.strip_suffix(":vaults/v"));
    assert_eq!(text(&told["topic"]), format!("arn:aws:sns:{}:ready", place.unwrap()));
    sandbox.ok(["vault", "notify", "remove", "v"]);
    sandbox.ok(["vault", "notify", "remove", "v"]);
    sandbox.fails(1, ["vault", "notify", "get", "v"]);
}

#[test]
fn a_vault_that_does_not_exist_is_named_with_its_nearest() {
    let sandbox = Sandbox::new();
    sandbox.ok(["vault", "create", "frames"]);
    sandbox.write("policy.json", no_deletes("\"*\""));
    for command in [
        &["vault", "tag", "frame", "a=1"][..],
        &["vault", "untag", "frame", "a"],
        &["vault", "tags", "frame"],
        &["vault", "policy", "get", "frame"],
        &["vault", "policy", "set", "frame", "policy.json"],
        &["vault", "policy", "remove", "frame"],
        &["vault", "lock", "start", "frame", "policy.json"],
        &["vault", "lock", "complete", "frame", "x", "--yes"],
        &["vault", "lock", "abort", "frame"],
        &["vault", "lock", "show", "frame"],
        &["vault", "notify", "get", "frame"],
        &["vault", "notify", "set", "frame", "--topic", TOPIC],
        &["vault", "notify", "remove", "frame"],
    ] {
        for dry in [&[][..], &["-n"]] {
            let run = sandbox.fails(1, [dry, command].concat());
            run.says("no vault `frame`").says("did you mean `frames`");
        }
    }
}
