//! `vault create|list|describe|delete|purge`.

use crate::sandbox::{OVERHEAD, Sandbox};

#[test]
fn vaults_are_made_once_and_listed_in_order() {
    let sandbox = Sandbox::new();
    for name in ["beta", "alpha", "beta", "g.a-m_ma"] {
        sandbox.ok(["vault", "create", name]);
    }
    let vaults = sandbox.json(["vault", "list"]);
    let names: Vec<_> =
        vaults.as_array().unwrap().iter().map(|vault| vault["vault"].as_str().unwrap()).collect();
    assert_eq!(names, ["alpha", "beta", "g.a-m_ma"]);
    assert_eq!(sandbox.json(["vault", "list", "embedded:"]), vaults);
    let described = sandbox.json(["vault", "describe", "alpha"]);
    assert_eq!(described, vaults[0]);
    assert!(described["arn"].as_str().unwrap().ends_with(":vaults/alpha"), "{described}");
    assert_eq!(described["archives"], 0);
}

#[test]
fn more_vaults_than_a_page_holds_are_all_listed() {
    let sandbox = Sandbox::new();
    for number in 0..25 {
        sandbox.ok(["vault", "create", &format!("v{number:02}")]);
    }
    assert_eq!(sandbox.json(["vault", "list"]).as_array().unwrap().len(), 25);
}

#[test]
fn a_vault_counts_what_it_holds() {
    let sandbox = Sandbox::new();
    sandbox.write("a", "12345");
    sandbox.write("b", "123");
    sandbox.ok(["upload", "--create", "v", "a", "b"]);
    assert_eq!(sandbox.holds("v"), (2, 8 + 2 * OVERHEAD));
}

#[test]
fn only_an_empty_vault_is_deleted_and_purge_empties_it() {
    let sandbox = Sandbox::new();
    sandbox.write("a", "content");
    sandbox.ok(["upload", "--create", "v", "a"]);
    sandbox.fails(1, ["vault", "delete", "v", "--yes"]).says("vault purge v");
    assert_eq!(sandbox.holds("v").0, 1);
    sandbox.ok(["vault", "purge", "v", "--yes"]);
    sandbox.fails(1, ["vault", "describe", "v"]).says("no vault `v`");
    sandbox.ok(["vault", "create", "w"]);
    sandbox.ok(["vault", "delete", "w", "--yes"]);
    assert_eq!(sandbox.json(["vault", "list"]).as_array().unwrap().len(), 0);
    sandbox.check_store();
}

#[test]
fn a_vault_made_again_knows_nothing_of_the_old_one() {
    let sandbox = Sandbox::new();
    sandbox.write("a", "content");
    sandbox.ok(["upload", "--create", "v", "a"]);
    sandbox.ok(["vault", "purge", "v", "--yes"]);
    sandbox.ok(["vault", "create", "v"]);
    assert_eq!(sandbox.list("v").len(), 0);
    sandbox.ok(["upload", "v", "a"]);
    assert_eq!(sandbox.holds("v").0, 1);
    sandbox.ok(["retrieve", "v", "--to", "back"]);
    assert_eq!(sandbox.read("back/a"), b"content");
}

#[test]
fn a_purge_that_was_killed_goes_on() {
    let sandbox = Sandbox::new();
    crate::trees::many(&sandbox.path("tree"), 400);
    sandbox.ok(["upload", "--create", "v", "tree"]);
    let packs = sandbox.store().join("packs");
    let before = crate::trees::bytes_on_disk(&packs);
    let mut purge = sandbox.start(["vault", "purge", "v", "--yes"]);
    purge.until(|| crate::trees::bytes_on_disk(&packs) > before + 8192);
    purge.kill();
    let run = sandbox.run(["vault", "purge", "v", "--yes"]);
    // If it had ended just before it was to be killed, the vault is gone already.
    assert!(run.code == Some(0) || run.stderr.contains("no vault"), "{run}");
    assert_eq!(sandbox.json(["vault", "list"]).as_array().unwrap().len(), 0);
    sandbox.check_store();
}
