//! `duplicates`, and the twins that `inventory refresh` names.

use serde_json::Value;

use crate::sandbox::Sandbox;

/// `large` twice, `small` under three paths, one of them in two versions, and something that is there once.
fn archived() -> Sandbox {
    let sandbox = Sandbox::new();
    for (name, content) in [
        ("tree/large 1", "large".repeat(1000)),
        ("tree/large 2", "large".repeat(1000)),
        ("tree/small", "small".to_owned()),
        ("tree/copies/of small", "small".to_owned()),
        ("tree/only", "once!".to_owned()),
        ("tree/empty 1", String::new()),
        ("tree/empty 2", String::new()),
    ] {
        sandbox.write(name, content);
    }
    sandbox.ok(["upload", "--create", "v", "tree"]);
    sandbox.ok(["upload", "v", "tree/small", "--prefix", "tree", "--force"]);
    sandbox
}

fn text<'a>(record: &'a Value, field: &str) -> &'a str {
    record[field].as_str().unwrap_or_else(|| panic!("no {field}: {record}"))
}

#[test]
fn what_is_stored_twice_is_named_with_what_it_wastes() {
    let sandbox = archived();
    let run = sandbox
        .ok(["duplicates", "v", "--output", "json"])
        .says("icefield delete v --archive-id ID");
    let run = run.says("3 archives could go");
    let told: Vec<_> = run
        .json()
        .as_array()
        .unwrap()
        .iter()
        .map(|record| {
            let number = |field: &str| record[field].as_u64().unwrap();
            let path = text(record, "path").to_owned();
            (number("group"), path, number("copies"), number("wasted"), record["version"] == true)
        })
        .collect();
    let row = |group, path: &str, copies, wasted, version| {
        (group, path.to_owned(), copies, wasted, version)
    };
    assert_eq!(
        told,
        [
            row(1, "tree/large 1", 2, 5000, false),
            row(1, "tree/large 2", 2, 5000, false),
            row(2, "tree/copies/of small", 3, 10, false),
            row(2, "tree/small", 3, 10, true),
            row(2, "tree/small", 3, 10, true),
        ]
    );
}

#[test]
fn a_pattern_chooses_contents_and_all_their_archives_are_told() {
    let sandbox = archived();
    let paths = |pattern: &str| sandbox.listed_paths(["duplicates", "v", pattern]);
    assert_eq!(paths("*large 1"), ["tree/large 1", "tree/large 2"]);
    assert_eq!(paths("copies"), ["tree/copies/of small", "tree/small", "tree/small"]);
    assert_eq!(paths("*only"), [] as [&str; 0]);
    sandbox.ok(["duplicates", "v", "*only"]).says("nothing of what matches is stored twice");
}

#[test]
fn every_form_of_output_has_every_row() {
    let sandbox = archived();
    let lines = |form| sandbox.ok(["duplicates", "v", "--output", form]).text().lines().count();
    assert_eq!(["table", "csv", "jsonl"].map(lines), [6, 6, 5]);
    let table = sandbox.ok(["duplicates", "v"]);
    assert!(table.text().contains("version") && table.text().contains("4.9KiB"), "{table}");
}

#[test]
fn deleting_one_as_the_hint_says_leaves_the_other() {
    let sandbox = archived();
    let record = &sandbox.json(["duplicates", "v", "*large*"])[0];
    sandbox.ok(["delete", "v", "--archive-id", text(record, "archive_id"), "--yes"]);
    assert_eq!(sandbox.json(["duplicates", "v", "*large*"]), Value::Array(Vec::new()));
    assert_eq!(sandbox.listed_paths(["list", "v", "*large*"]), ["tree/large 2"]);
}

#[test]
fn a_vault_without_duplicates_and_one_that_is_not_known_are_told_apart() {
    let sandbox = Sandbox::new();
    sandbox.write("a", "a");
    sandbox.ok(["upload", "--create", "v", "a"]);
    sandbox.ok(["duplicates", "v"]).says("nothing is stored twice");
    sandbox.lose_catalog();
    sandbox.fails(1, ["duplicates", "v"]).says("inventory refresh v");
    sandbox.fails(1, ["duplicates", "w"]).says("there is no vault `w`");
}

/// The answer to an upload was lost, and the file was sent again: what somebody else has sent looks the same.
#[test]
fn a_refresh_names_an_archive_that_was_not_uploaded_from_here() {
    let sandbox = archived();
    sandbox.ok(["inventory", "refresh", "v"]);
    let before = sandbox.json(["inventory", "refresh", "v"]);
    assert_eq!(before["twins"], 0, "what was sent twice on purpose is none");
    let elsewhere = Sandbox::new().with_store(sandbox.store().to_owned());
    elsewhere.write("tree/only", "once!");
    let sent = elsewhere.json(["upload", "v", "tree"]);
    for _ in 0..2 {
        let run = sandbox.ok(["inventory", "refresh", "v", "--output", "json"]);
        let run = run.says("tree/only").says(text(&sent[0], "archive_id"));
        assert_eq!(run.says("icefield duplicates v").json()["twins"], 1);
    }
    sandbox.ok(["delete", "v", "--archive-id", text(&sent[0], "archive_id"), "--yes"]);
    assert_eq!(sandbox.json(["inventory", "refresh", "v"])["twins"], 0);
}
