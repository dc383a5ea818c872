//! `retrieval-policy get|set` and `capacity list|purchase`.

use crate::sandbox::Sandbox;

#[test]
fn the_data_retrieval_policy_is_told_and_set() {
    let sandbox = Sandbox::new();
    sandbox.ok(["vault", "create", "v"]);
    let policy = |sandbox: &Sandbox| {
        let policy = sandbox.json(["retrieval-policy", "get"]);
        (policy["strategy"].as_str().unwrap().to_owned(), policy["bytes_per_hour"].as_u64())
    };
    assert_eq!(policy(&sandbox), ("none".to_owned(), None));
    sandbox.ok(["-n", "retrieval-policy", "set", "10GiB"]).says("10GiB an hour");
    assert_eq!(policy(&sandbox), ("none".to_owned(), None));
    sandbox.ok(["retrieval-policy", "set", "10GiB"]);
    assert_eq!(policy(&sandbox), ("bytes-per-hour".to_owned(), Some(10 << 30)));
    sandbox.ok(["retrieval-policy", "set", "embedded:", "free-tier"]);
    assert_eq!(policy(&sandbox), ("free-tier".to_owned(), None));
    assert_eq!(sandbox.json(["retrieval-policy", "get", "embedded:"])["strategy"], "free-tier");
    sandbox.ok(["retrieval-policy", "set", "none", "--target", "embedded"]);
    assert_eq!(policy(&sandbox), ("none".to_owned(), None));
    sandbox.fails(2, ["retrieval-policy", "set", "lots"]).says("free-tier");
    sandbox.fails(2, ["retrieval-policy", "set"]).says("LIMIT");
}

#[test]
fn a_retrieval_that_the_policy_forbids_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.write("a", "more than one byte an hour");
    sandbox.ok(["upload", "--create", "v", "a"]);
    sandbox.ok(["retrieval-policy", "set", "1"]);
    sandbox.fails(1, ["job", "start", "v", "--archive-id", &archive(&sandbox)]).says("policy");
    sandbox.ok(["retrieval-policy", "set", "none"]);
    sandbox.ok(["job", "start", "v", "--archive-id", &archive(&sandbox)]);
}

fn archive(sandbox: &Sandbox) -> String {
    sandbox.list("v")[0]["archive_id"].as_str().unwrap().to_owned()
}

#[test]
fn capacity_is_bought_after_asking_and_listed() {
    let sandbox = Sandbox::new();
    sandbox.ok(["vault", "create", "v"]);
    assert_eq!(sandbox.json(["capacity", "list"]), serde_json::json!([]));
    sandbox.ok(["-n", "capacity", "purchase"]).says("would buy").says("costs nothing: embedded");
    sandbox.fails(2, ["capacity", "purchase"]).says("costs nothing here").says("--yes");
    assert_eq!(sandbox.json(["capacity", "list"]), serde_json::json!([]));
    let bought = sandbox.json(["capacity", "purchase", "embedded:", "--yes"]);
    assert!(bought["expires"].as_str() > bought["start"].as_str(), "{bought}");
    assert_eq!(sandbox.json(["capacity", "list", "embedded:"]), serde_json::json!([bought]));
    sandbox.ok(["capacity", "purchase", "--yes"]);
    sandbox.fails(1, ["capacity", "purchase", "--yes"]).says("2");
}
