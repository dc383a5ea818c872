//! Staged payload ids and counts.

use super::fixtures::{
    MIB, V, at, create, delete, delivery, extent, filed, inventory_job, payload, put_document,
    put_parts, small, stage, staged, upload_row, with_vault,
};
use crate::{
    entry::JobNumber,
    ledger::{DeliveryRow, InventoryOutput, JobEnd, Ledger, LedgerStat, UploadState},
};

pub(super) async fn staged_ids_are_listed_in_byte_order_until_they_are_forgotten(
    ledger: &dyn Ledger,
) {
    stage(ledger, &[5, 300, 1, 70_000, 5]).await;
    stage(ledger, &[1]).await;
    assert_eq!(staged(ledger).await, [1, 5, 300, 70_000]);
    let page = ledger.staged(Some(payload(1)), 2).await.unwrap();
    assert_eq!(page, [payload(5), payload(300)]);
    let after_unknown = ledger.staged(Some(payload(299)), 1).await.unwrap();
    assert_eq!(after_unknown, [payload(300)]);
    ledger.unstage(vec![payload(5), payload(6)]).await.unwrap();
    assert_eq!(staged(ledger).await, [1, 300, 70_000]);
    ledger.stage(Vec::new()).await.unwrap();
    assert_eq!(ledger.staged(Some(payload(70_000)), 9).await.unwrap(), []);
}

/// A sweep trusted the list of staged ids alone: a ledger in which an id was staged that an archive had lost the archive.
pub(super) async fn garbage_is_staged_and_nobodys(ledger: &dyn Ledger) {
    with_vault(ledger).await;
    stage(ledger, &[1, 2, 3, 4, 5, 10]).await;
    create(ledger, filed(2, &[1])).await;
    create(ledger, filed(3, &[2, 3])).await;
    ledger.create_upload(upload_row(20)).await.unwrap();
    put_parts(ledger, 20, &[4]).await;
    ledger.create_job(inventory_job(30, 1)).await.unwrap();
    let output = Some(InventoryOutput { extent: extent(10), next: None });
    assert!(
        ledger.end_job(JobNumber(30), JobEnd::Succeeded(output), at(6), Vec::new()).await.unwrap()
    );
    let all: Vec<_> = [1, 2, 3, 4, 5, 6, 10].map(payload).into();
    assert_eq!(ledger.garbage(all.clone()).await.unwrap(), [payload(5)]);
    stage(ledger, &[1, 2, 3, 4, 6, 10]).await;
    assert_eq!(ledger.garbage(all).await.unwrap(), [payload(5), payload(6)]);
    assert_eq!(ledger.garbage(vec![payload(1)]).await.unwrap(), []);
}

pub(super) async fn counts_tell_what_there_is(ledger: &dyn Ledger) {
    assert_eq!(ledger.stat().await.unwrap(), LedgerStat::default());
    with_vault(ledger).await;
    stage(ledger, &[1, 2, 9, 10]).await;
    create(ledger, filed(2, &[1])).await;
    create(ledger, small(3)).await;
    create(ledger, small(4)).await;
    delete(ledger, 3).await;
    ledger.purge(9).await.unwrap();
    ledger.create_upload(upload_row(20)).await.unwrap();
    put_parts(ledger, 20, &[2]).await;
    ledger.create_upload(upload_row(21)).await.unwrap();
    let before = ledger.abort_upload(upload_row(21).number, at(5)).await.unwrap();
    assert_eq!(before, Some(UploadState::InProgress));
    ledger.create_job(inventory_job(30, 1)).await.unwrap();
    let output = Some(InventoryOutput { extent: extent(10), next: None });
    assert!(
        ledger.end_job(JobNumber(30), JobEnd::Succeeded(output), at(6), Vec::new()).await.unwrap()
    );
    for version in [40, 41] {
        put_document(ledger, &format!("user/{version}"), None, version).await;
    }
    let dead = DeliveryRow { dead: true, ..delivery(51) };
    ledger.enqueue(vec![delivery(50), dead, delivery(52)]).await.unwrap();
    let expected = LedgerStat {
        vaults: 1,
        archives: 2,
        bytes: MIB + 7,
        uploads: 1,
        jobs: 1,
        jobs_in_progress: 0,
        staged: 1,
        dead_bytes: 7,
        documents: 2,
        deliveries: 2,
        dead_deliveries: 1,
    };
    assert_eq!(ledger.stat().await.unwrap(), expected);
    assert_eq!(ledger.vault_by_number(V).await.unwrap().unwrap().archives, 2);
}
