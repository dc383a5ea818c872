//! `vault create|list|describe|delete|purge`.

use crate::{
    large_inventory::write_inventory,
    sandbox::{OVERHEAD, Sandbox},
    trees::MIB,
};

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

#[test]
fn a_purge_of_a_vault_that_is_gone_already_tells_so_and_forgets_it() {
    let sandbox = Sandbox::new();
    sandbox.write("a", "content");
    sandbox.ok(["upload", "--create", "v", "a"]);
    let catalog = sandbox.read(sandbox.catalog());
    sandbox.ok(["vault", "purge", "v", "--yes"]);
    // As after a purge that was killed between the vault's end and its own.
    sandbox.lose_catalog();
    std::fs::write(sandbox.catalog(), catalog).unwrap();
    assert_eq!(sandbox.list("v").len(), 1);
    sandbox.ok(["-n", "vault", "purge", "v"]).says("not in embedded store");
    sandbox.ok(["vault", "purge", "v", "--yes"]).says("deleted by somebody else");
    sandbox.fails(1, ["vault", "purge", "v", "--yes"]).says("no vault `v`");
}

#[test]
fn a_purge_of_20_000_catalog_rows_takes_little_memory() {
    purges_what_is_gone(20_000);
}

#[test]
#[ignore = "long"]
fn a_purge_of_1_000_000_catalog_rows_takes_less_than_128_mib() {
    purges_what_is_gone(1_000_000);
}

/// Purges a vault of whose archives the catalog knows many, which somebody else has deleted.
fn purges_what_is_gone(archives: u64) {
    const LIMIT: u64 = 128 * MIB;
    let sandbox = Sandbox::new();
    sandbox.ok(["vault", "create", "v"]);
    write_inventory(&sandbox.path("vault.json"), archives);
    sandbox.ok(["inventory", "import", "v", "vault.json"]);
    let (run, usage) = sandbox.start(["vault", "purge", "v", "--yes"]).finish_with_usage();
    run.ended(0);
    eprintln!("purge of {archives} rows: {} MiB", usage.peak_memory / MIB);
    assert!(usage.peak_memory < LIMIT, "{usage:?}");
    assert_eq!(sandbox.json(["vault", "list"]).as_array().unwrap().len(), 0);
}
