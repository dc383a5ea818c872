//! The mark, the order of entries, and numbers.

use super::fixtures::{
    V, apply, apply_one, archive_deleted, archive_job, at, delivery, document, put_document, small,
    upload_row, vault_created, vault_deleted, with_vault,
};
use crate::{
    entry::{ArchiveEntry, ArchiveNumber, Entry, JobNumber, Outcome, UploadNumber, VaultNumber},
    ledger::{JobEnd, Ledger},
    payload::LogPosition,
};

pub(super) async fn the_mark_moves_with_the_entries_and_also_without_any(ledger: &dyn Ledger) {
    assert_eq!(ledger.mark().await.unwrap(), LogPosition::default());
    with_vault(ledger).await;
    assert_eq!(ledger.mark().await.unwrap(), LogPosition { pack: 0, offset: 500 });
    let refused = apply_one(ledger, vault_created(VaultNumber(2), "v")).await;
    assert_eq!(refused, Outcome::VaultExists(V));
    assert_eq!(ledger.mark().await.unwrap(), LogPosition { pack: 0, offset: 1000 });
    let next = LogPosition { pack: 7, offset: 12 };
    assert_eq!(ledger.apply(Vec::new(), next).await.unwrap(), []);
    assert_eq!(ledger.mark().await.unwrap(), next);
}

pub(super) async fn entries_of_one_call_are_applied_in_order(ledger: &dyn Ledger) {
    let outcomes = apply(
        ledger,
        vec![
            Entry::ArchiveCreated(small(5)),
            vault_created(V, "v"),
            Entry::ArchiveCreated(small(6)),
            archive_deleted(6),
            archive_deleted(6),
            vault_deleted(V, 1),
            vault_deleted(V, 2),
            vault_deleted(V, 2),
        ],
    );
    assert_eq!(
        outcomes.await,
        [
            Outcome::VaultGone,
            Outcome::Done { writes: 0 },
            Outcome::Done { writes: 1 },
            Outcome::Done { writes: 2 },
            Outcome::ArchiveGone,
            Outcome::VaultChanged,
            Outcome::Done { writes: 2 },
            Outcome::VaultGone,
        ]
    );
}

pub(super) async fn numbers_of_every_kind_count_for_the_highest(ledger: &dyn Ledger) {
    assert_eq!(ledger.highest_number().await.unwrap(), 0);
    with_vault(ledger).await;
    assert_eq!(ledger.highest_number().await.unwrap(), 1);
    ledger.create_upload(upload_row(9)).await.unwrap();
    assert_eq!(ledger.highest_number().await.unwrap(), 9);
    ledger.create_job(archive_job(11, 1)).await.unwrap();
    assert_eq!(ledger.highest_number().await.unwrap(), 11);
    apply_one(ledger, Entry::ArchiveCreated(small(10))).await;
    assert_eq!(ledger.highest_number().await.unwrap(), 11);
    let of_upload = ArchiveEntry { upload: Some(UploadNumber(20)), ..small(12) };
    apply_one(ledger, Entry::ArchiveCreated(of_upload)).await;
    assert_eq!(ledger.highest_number().await.unwrap(), 20);
    let refused = ArchiveEntry { vault: VaultNumber(77), ..small(30) };
    apply_one(ledger, Entry::ArchiveCreated(refused)).await;
    assert_eq!(ledger.highest_number().await.unwrap(), 77);
    let unknown = Entry::ArchiveDeleted { vault: V, number: ArchiveNumber(80), deleted: at(1) };
    apply_one(ledger, unknown).await;
    assert_eq!(ledger.highest_number().await.unwrap(), 80);
    put_document(ledger, "clock", None, 81).await;
    assert_eq!(ledger.highest_number().await.unwrap(), 81);
    apply_one(ledger, Entry::Document(document("clock", None, 82))).await;
    assert_eq!(ledger.highest_number().await.unwrap(), 82, "a refused version was used, too");
    ledger.enqueue(vec![delivery(83)]).await.unwrap();
    assert_eq!(ledger.highest_number().await.unwrap(), 83);
    let deliveries = vec![delivery(84)];
    assert!(
        ledger.end_job(JobNumber(11), JobEnd::Succeeded(None), at(9), deliveries).await.unwrap()
    );
    assert_eq!(ledger.highest_number().await.unwrap(), 84);
}
