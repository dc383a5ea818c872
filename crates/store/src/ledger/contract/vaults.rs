//! Vaults: names, deletion, lists.

use super::fixtures::{
    V, account, apply, apply_one, archive, archive_job, at, create, dead_bytes, delete, extent,
    filed, inventory_job, name, put_parts, small, stage, staged, token, upload_row, vault,
    vault_created, vault_deleted, with_vault,
};
use crate::{
    entry::{ArchiveEntry, Entry, JobNumber, Outcome, UploadNumber, VaultNumber},
    ledger::{InventoryOutput, JobEnd, JobFilter, Ledger, VaultRow},
};

pub(super) async fn a_vault_needs_a_free_name_in_its_account(ledger: &dyn Ledger) {
    with_vault(ledger).await;
    let of_other = Entry::VaultCreated {
        vault: VaultNumber(3),
        account: account(2),
        name: name("v"),
        created: at(3),
    };
    let outcomes = apply(
        ledger,
        vec![vault_created(VaultNumber(2), "v"), of_other, vault_created(VaultNumber(4), "V")],
    );
    let done = Outcome::Done { writes: 0 };
    assert_eq!(outcomes.await, [Outcome::VaultExists(V), done, done]);
    let expected = VaultRow {
        number: VaultNumber(3),
        account: account(2),
        name: name("v"),
        created: at(3),
        writes: 0,
        archives: 0,
        bytes: 0,
        inventory: None,
    };
    assert_eq!(ledger.vault(&account(2), &name("v")).await.unwrap(), Some(expected.clone()));
    assert_eq!(ledger.vault_by_number(VaultNumber(3)).await.unwrap(), Some(expected));
    assert_eq!(ledger.vault_by_number(VaultNumber(2)).await.unwrap(), None);
    assert_eq!(ledger.vault(&account(2), &name("V")).await.unwrap(), None);
}

pub(super) async fn a_vault_is_deleted_only_when_it_is_empty_and_not_written_to_since(
    ledger: &dyn Ledger,
) {
    with_vault(ledger).await;
    create(ledger, small(2)).await;
    assert_eq!(apply_one(ledger, vault_deleted(V, 1)).await, Outcome::VaultChanged);
    delete(ledger, 2).await;
    assert_eq!(apply_one(ledger, vault_deleted(V, 1)).await, Outcome::VaultChanged);
    assert_eq!(apply_one(ledger, vault_deleted(V, 2)).await, Outcome::Done { writes: 2 });
    assert_eq!(ledger.vault_by_number(V).await.unwrap(), None);
    assert_eq!(apply_one(ledger, vault_deleted(V, 2)).await, Outcome::VaultGone);
}

pub(super) async fn the_name_of_a_deleted_vault_is_free_again(ledger: &dyn Ledger) {
    with_vault(ledger).await;
    let again = VaultNumber(8);
    let outcomes = apply(ledger, vec![vault_deleted(V, 0), vault_created(again, "v")]).await;
    assert_eq!(outcomes, [Outcome::Done { writes: 0 }; 2]);
    let found = ledger.vault(&account(1), &name("v")).await.unwrap().unwrap();
    assert_eq!((found.number, found.writes), (again, 0));
}

pub(super) async fn deleting_a_vault_discards_what_is_left_of_it(ledger: &dyn Ledger) {
    with_vault(ledger).await;
    stage(ledger, &[1, 2, 3, 4, 9]).await;
    create(ledger, small(10)).await;
    create(ledger, ArchiveEntry { token: Some(token(1)), ..filed(11, &[1]) }).await;
    create(ledger, filed(12, &[2, 3])).await;
    for number in [10, 11, 12] {
        delete(ledger, number).await;
    }
    ledger.create_upload(upload_row(20)).await.unwrap();
    put_parts(ledger, 20, &[5, 6]).await;
    ledger.create_job(archive_job(30, 11)).await.unwrap();
    ledger.create_job(inventory_job(31, 3)).await.unwrap();
    let output = Some(InventoryOutput { extent: extent(4), next: None });
    assert!(
        ledger.end_job(JobNumber(31), JobEnd::Succeeded(output), at(40), Vec::new()).await.unwrap()
    );
    assert_eq!(staged(ledger).await, [9]);

    assert_eq!(vault(ledger).await.writes, 6);
    assert_eq!(apply_one(ledger, vault_deleted(V, 6)).await, Outcome::Done { writes: 6 });
    assert_eq!(staged(ledger).await, [1, 2, 3, 4, 5, 6, 9]);
    assert_eq!(dead_bytes(ledger).await, 7);
    for number in [10, 11, 12] {
        assert_eq!(archive(ledger, number).await, None);
    }
    assert_eq!(ledger.archive_by_token(V, token(1)).await.unwrap(), None);
    assert_eq!(ledger.upload(UploadNumber(20)).await.unwrap(), None);
    assert_eq!(ledger.parts(UploadNumber(20), 0, 9).await.unwrap(), []);
    assert_eq!(ledger.jobs(V, JobFilter::default(), None, 9).await.unwrap(), []);
    let stat = ledger.stat().await.unwrap();
    assert_eq!((stat.vaults, stat.archives, stat.uploads, stat.jobs), (0, 0, 0, 0));
}

pub(super) async fn vaults_are_listed_by_bytes_of_their_names(ledger: &dyn Ledger) {
    let names = ["b", "a", "Z", "_", "-", "aa", "a.b"];
    let entries = (1..).zip(names).map(|(n, text)| vault_created(VaultNumber(n), text));
    apply(ledger, entries.collect()).await;
    let other = Entry::VaultCreated {
        vault: VaultNumber(90),
        account: account(2),
        name: name("a"),
        created: at(0),
    };
    apply_one(ledger, other).await;
    let list = async |from: Option<&str>, limit| {
        let from = from.map(name);
        let rows = ledger.vaults(&account(1), from.as_ref(), limit).await.unwrap();
        rows.iter().map(|row| row.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(list(None, 99).await, ["-", "Z", "_", "a", "a.b", "aa", "b"]);
    assert_eq!(list(Some("a"), 2).await, ["a", "a.b"]);
    assert_eq!(list(Some("ZZ"), 2).await, ["_", "a"]);
    assert_eq!(list(Some("c"), 2).await, Vec::<String>::new());
    assert_eq!(list(None, 0).await, Vec::<String>::new());
    assert_eq!(ledger.vaults(&account(3), None, 9).await.unwrap(), []);
}
