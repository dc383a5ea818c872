//! All that a store holds, as text: to see whether anything is another than before.

use std::fmt::Debug;

use icefield_engine::Engine;
use icefield_store::{
    Ledger,
    ledger::{ArchiveQuery, JobFilter, LedgerStat, VaultRow},
};

/// More than there is of anything.
const ALL: usize = 1_000_000;

/// Returns a line for each thing in the store.
pub(super) async fn state(engine: &Engine) -> Vec<String> {
    let ledger = engine.store().ledger();
    let mut lines = Vec::new();
    add(&mut lines, "end of the log", [ledger.mark().await.unwrap()]);
    // Names of payloads are reserved in advance, many at once: they are no payloads.
    let counts = LedgerStat { staged: 0, ..ledger.stat().await.unwrap() };
    add(&mut lines, "counts", [counts]);
    add(&mut lines, "document", ledger.documents("", None, ALL).await.unwrap());
    add(&mut lines, "next delivery", [ledger.next_delivery().await.unwrap()]);
    add(&mut lines, "dead delivery", ledger.dead_deliveries(None, ALL).await.unwrap());
    for account in engine.accounts().await.unwrap() {
        for vault in ledger.vaults(&account.account, None, ALL).await.unwrap() {
            add_vault(&mut lines, ledger.as_ref(), &vault).await;
        }
        add(&mut lines, "account", [account]);
    }
    lines
}

async fn add_vault(lines: &mut Vec<String>, ledger: &dyn Ledger, vault: &VaultRow) {
    let query = ArchiveQuery {
        vault: vault.number,
        writes: vault.writes,
        after: None,
        start: None,
        end: None,
        limit: ALL,
    };
    add(lines, "vault", [vault]);
    add(lines, "archive", ledger.archives(query).await.unwrap());
    let filter = JobFilter::default();
    add(lines, "job", ledger.jobs(vault.number, filter, None, ALL).await.unwrap());
    for upload in ledger.uploads(vault.number, None, ALL).await.unwrap() {
        add(lines, "part", ledger.parts(upload.number, 0, ALL).await.unwrap());
        add(lines, "upload", [upload]);
    }
}

fn add(lines: &mut Vec<String>, what: &str, things: impl IntoIterator<Item = impl Debug>) {
    lines.extend(things.into_iter().map(|thing| format!("{what}: {thing:?}")));
}

/// Fails with the lines that differ.
#[track_caller]
pub(super) fn assert_unchanged(before: &[String], after: &[String], since: &str) {
    if before == after {
        return;
    }
    let gone: Vec<_> = before.iter().filter(|line| !after.contains(line)).collect();
    let new: Vec<_> = after.iter().filter(|line| !before.contains(line)).collect();
    panic!("{since}: these are gone {gone:#?}\nand these are new {new:#?}");
}
