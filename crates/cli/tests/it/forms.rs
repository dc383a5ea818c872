//! Forms of the data: table, JSON, JSON lines, CSV; data on standard output, everything else on standard error.

use serde_json::Value;

use crate::{
    sandbox::{Run, Sandbox},
    trees::noise,
};

/// Four files, one of them in parts, one empty, in a sandbox with the vault `v`.
fn tree() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("tree/a,\"b\"", "alpha");
    sandbox.write("tree/empty", "");
    sandbox.write("tree/large", noise(3 << 20, 1));
    sandbox.write("tree/sub/c", "gamma");
    sandbox.ok(["vault", "create", "v"]);
    sandbox
}

fn rows(run: &Run) -> Vec<csv::StringRecord> {
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).from_reader(run.stdout.as_slice());
    reader.records().map(Result::unwrap).collect()
}

fn of_path<'a>(records: &'a [Value], path: &str) -> &'a Value {
    records
        .iter()
        .find(|record| record["path"] == path)
        .unwrap_or_else(|| panic!("no {path} in {records:?}"))
}

#[test]
fn an_uploaded_file_has_the_promised_fields() {
    let sandbox = tree();
    let run = sandbox.ok(["upload", "v", "tree", "--part-size", "1MiB", "--output", "json"]);
    let records = run.json().as_array().unwrap().clone();
    let large = of_path(&records, "tree/large");
    for field in [
        "path",
        "vault",
        "archive_id",
        "size",
        "tree_hash",
        "parts",
        "started",
        "finished",
        "seconds",
        "mbit_per_s",
    ] {
        assert!(large.get(field).is_some(), "no {field} in {large}");
    }
    assert_eq!(large["vault"], "v");
    assert_eq!(large["size"], 3 << 20);
    assert_eq!(large["parts"], 3);
    assert_eq!(large["archive_id"].as_str().unwrap().len(), 138);
    assert!(large["started"].as_str().unwrap().ends_with('Z'), "{large}");
    // The tree hash of what fits in one MiB is its SHA-256.
    let hash = "8ed3f6ad685b959ead7022518e1af76cd816f8e8ec7ccdda1ed4018e8f2223f8";
    assert_eq!(of_path(&records, "tree/a,\"b\"")["tree_hash"], hash);
}

#[test]
fn json_lines_have_the_same_records_as_json() {
    let sandbox = tree();
    let run = sandbox.ok(["upload", "v", "tree", "--output", "jsonl"]);
    assert!(run.json_lines().len() >= 3, "{run}");
    let as_json = sandbox.list("v");
    assert_eq!(sandbox.ok(["list", "v", "--output", "jsonl"]).json_lines(), as_json);
}

#[test]
fn csv_has_a_header_and_quotes_what_needs_it() {
    let sandbox = tree();
    let run = sandbox.ok(["upload", "v", "tree", "--output", "csv"]);
    let records = rows(&run);
    assert_eq!(&records[0][0], "path", "{run}");
    assert!(records.iter().any(|record| &record[0] == "tree/a,\"b\""), "{run}");
    let listed = rows(&sandbox.ok(["list", "v", "--output", "csv"]));
    assert_eq!(listed.len(), 1 + sandbox.list("v").len());
}

#[test]
fn the_table_is_for_people() {
    let sandbox = tree();
    sandbox.ok(["upload", "v", "tree"]);
    let run = sandbox.ok(["list", "v"]);
    for text in ["PATH", "SIZE", "tree/large", "3MiB"] {
        assert!(run.text().contains(text), "`{text}` is not in\n{run}");
    }
    assert!(!run.text().contains('\u{1b}'), "escape sequences without a terminal\n{run}");
}

#[test]
fn a_listed_archive_has_the_promised_fields() {
    let sandbox = tree();
    crate::trees::set_mtime(&sandbox.path("tree/sub/c"), 1_714_564_800, 500_000_000);
    sandbox.ok(["upload", "v", "tree"]);
    let listed = sandbox.list("v");
    let record = of_path(&listed, "tree/sub/c");
    for field in ["path", "archive_id", "size", "tree_hash", "modified", "uploaded", "description"]
    {
        assert!(record.get(field).is_some(), "no {field} in {record}");
    }
    assert_eq!(record["modified"], "2024-05-01T12:00:00.5Z");
    let description: Value = serde_json::from_str(record["description"].as_str().unwrap()).unwrap();
    assert_eq!(description["icefield"], 1);
    assert_eq!(description["path"], "tree/sub/c");
    assert_eq!(of_path(&listed, "tree/empty")["archive_id"], Value::Null);
}

#[test]
fn a_retrieved_file_has_the_promised_fields() {
    let sandbox = tree();
    sandbox.ok(["upload", "v", "tree"]);
    let retrieve = ["retrieve", "v", "--to", "back", "--output", "json"];
    let records = sandbox.ok(retrieve).json().as_array().unwrap().clone();
    let large = of_path(&records, "tree/large");
    for field in ["path", "archive_id", "job_id", "size", "tree_hash", "status"] {
        assert!(large.get(field).is_some(), "no {field} in {large}");
    }
    assert_eq!(large["status"], "retrieved");
    let again = sandbox.ok(retrieve).json().as_array().unwrap().clone();
    assert_eq!(of_path(&again, "tree/large")["status"], "skipped");
    sandbox.write("back/tree/large", "something else");
    let refused = sandbox.fails(3, retrieve).json().as_array().unwrap().clone();
    assert_eq!(of_path(&refused, "tree/large")["status"], "failed");
}

#[test]
fn a_path_that_is_not_utf8_is_also_given_in_base64() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.path(OsStr::from_bytes(b"caf\xe9")), "x").unwrap();
    let mut command = sandbox.command(["upload", "--create", "v"]);
    command.arg(OsStr::from_bytes(b"caf\xe9"));
    crate::process::Watched::start(command).finish().ended(0);
    let record = &sandbox.list("v")[0];
    assert_eq!(record["path"], "caf\u{fffd}");
    assert_eq!(record["path_base64"], "Y2Fm6Q==");
}

#[test]
fn quiet_says_nothing_but_the_data() {
    let sandbox = tree();
    let run = sandbox.ok(["-q", "upload", "v", "tree"]);
    assert_eq!(run.stderr, "", "{run}");
    let run = sandbox.ok(["retrieve", "v", "--to", "back", "--quiet"]);
    assert_eq!(run.stderr, "", "{run}");
}

#[test]
fn an_empty_answer_is_empty_in_every_form() {
    let sandbox = Sandbox::new();
    sandbox.ok(["vault", "create", "v"]);
    for command in [&["uploads", "list", "v"][..], &["job", "list", "v"]] {
        assert_eq!(sandbox.ok([command, &["--output", "json"]].concat()).text(), "[]\n");
        assert_eq!(sandbox.ok([command, &["--output", "jsonl"]].concat()).text(), "");
        assert_eq!(sandbox.ok([command, &["--output", "table"]].concat()).text(), "");
    }
}

#[test]
fn global_options_stand_before_or_after_the_vault() {
    let sandbox = tree();
    sandbox.ok(["upload", "v", "tree"]);
    let expected = sandbox.list("v");
    for arguments in [
        ["--output", "jsonl", "list", "v"],
        ["list", "--output", "jsonl", "v"],
        ["list", "v", "--output", "jsonl"],
    ] {
        assert_eq!(sandbox.ok(arguments).json_lines(), expected);
    }
    sandbox.ok(["upload", "tree", "--force", "v"].map(|word| {
        if word == "tree" {
            "v"
        } else if word == "v" {
            "tree"
        } else {
            word
        }
    }));
}

#[test]
fn the_log_file_tells_what_happened() {
    let sandbox = tree();
    sandbox.ok(["upload", "v", "tree", "--log-file", "log"]);
    let log = String::from_utf8(sandbox.read("log")).unwrap();
    assert!(log.contains("tree/large"), "{log}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let sandbox = Sandbox::new();
    crate::trees::many(&sandbox.path("tree"), 500);
    sandbox.ok(["upload", "--create", "v", "tree"]);
    let script =
        format!("{} list v --output jsonl | head -n 1", crate::sandbox::binary().display());
    let mut shell = sandbox.prepare("bash");
    shell.args(["-o", "pipefail", "-c", &script]);
    let run = crate::process::Watched::start(shell).finish().ended(0);
    assert_eq!(run.stderr, "");
}
