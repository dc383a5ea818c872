//! `delete` and the questions before destruction.

use crate::sandbox::Sandbox;

fn archived() -> Sandbox {
    let sandbox = Sandbox::new();
    for name in ["a", "b", "c"] {
        sandbox.write(&format!("tree/{name}"), name);
    }
    sandbox.ok(["upload", "--create", "v", "tree"]);
    sandbox.write("tree/a", "a second version");
    sandbox.ok(["upload", "v", "tree"]);
    sandbox
}

#[test]
fn a_pattern_deletes_all_versions_of_what_matches() {
    let sandbox = archived();
    let (before, _) = sandbox.holds("v");
    sandbox.ok(["delete", "v", "tree/a", "--yes"]).says("tree/a");
    assert_eq!(sandbox.holds("v").0, before - 2);
    let listed = sandbox.listed_paths(["list", "v", "--versions"]);
    assert!(!listed.contains(&"tree/a".to_owned()), "{listed:?}");
    assert!(listed.contains(&"tree/b".to_owned()), "{listed:?}");
    sandbox.check_store();
    // What was deleted stays deleted when the ledger is made again, and is not found again by a refresh.
    sandbox.lose_ledger();
    sandbox.ok(["store", "rebuild", "--yes"]);
    assert_eq!(sandbox.holds("v").0, before - 2);
    sandbox.ok(["inventory", "refresh", "v"]);
    assert!(!sandbox.listed_paths(["list", "v"]).contains(&"tree/a".to_owned()));
}

#[test]
fn an_id_deletes_one_archive() {
    let sandbox = archived();
    let (before, _) = sandbox.holds("v");
    let id = sandbox.json(["list", "v", "tree/a"])[0]["archive_id"].as_str().unwrap().to_owned();
    sandbox.ok(["delete", "v", "--archive-id", &id, "--yes"]);
    assert_eq!(sandbox.holds("v").0, before - 1);
    assert_eq!(
        sandbox.ok(["retrieve", "v", "tree/a", "--to", "-"]).stdout,
        b"a",
        "the older version is the newest now"
    );
    let foreign = format!("-{}", &id[1..]);
    let run = sandbox.run(["delete", "v", "--archive-id", &foreign, "--yes"]);
    assert!(matches!(run.code, Some(1 | 3)), "{run}");
}

#[test]
fn without_a_terminal_destruction_is_refused_unless_yes_is_said() {
    let sandbox = archived();
    let held = sandbox.holds("v");
    for arguments in [&["delete", "v", "tree/a"][..], &["vault", "purge", "v"]] {
        sandbox.fails(2, arguments).says("--yes");
        assert_eq!(sandbox.holds("v"), held);
    }
}

#[test]
fn a_dry_run_destroys_nothing() {
    let sandbox = archived();
    let held = sandbox.holds("v");
    for arguments in [
        &["-n", "delete", "v", "tree/a"][..],
        &["-n", "vault", "purge", "v"],
        &["-n", "store", "rebuild"],
        &["-n", "delete", "v", "tree/a", "--yes"],
    ] {
        sandbox.ok(arguments);
        assert_eq!(sandbox.holds("v"), held, "{arguments:?}");
    }
}

#[test]
fn a_file_that_was_deleted_from_the_vault_is_uploaded_again() {
    let sandbox = archived();
    sandbox.ok(["delete", "v", "tree/b", "--yes"]);
    let run = sandbox.ok(["upload", "v", "tree", "--output", "json"]);
    let uploaded: Vec<_> =
        run.json().as_array().unwrap().iter().map(|record| record["path"].clone()).collect();
    assert!(uploaded.contains(&"tree/b".into()), "{run}");
}
