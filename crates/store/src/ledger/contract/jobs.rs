//! Jobs: rows, lists, ends, expiry.

use icefield_protocol::{InventoryFormat, JobStatus, Tier, Timestamp};

use super::fixtures::{
    V, account, apply_one, archive_job, at, described, extent, inventory_job, name, stage, staged,
    vault_deleted, with_vault,
};
use crate::{
    entry::{ArchiveNumber, Entry, JobNumber, VaultNumber},
    ledger::{InventoryOutput, JobEnd, JobFilter, JobKind, JobRow, Ledger},
};

async fn with_jobs(ledger: &dyn Ledger, numbers: impl IntoIterator<Item = u64>) {
    with_vault(ledger).await;
    for number in numbers {
        ledger.create_job(archive_job(number, 2)).await.unwrap();
    }
}

async fn job(ledger: &dyn Ledger, number: u64) -> Option<JobRow> {
    ledger.job(JobNumber(number)).await.unwrap()
}

fn failed(reason: &str) -> JobEnd {
    JobEnd::Failed(reason.to_owned())
}

pub(super) async fn jobs_keep_everything_that_was_recorded(ledger: &dyn Ledger) {
    let of_archive = JobRow {
        kind: JobKind::Archive {
            archive: ArchiveNumber(5),
            range: (1 << 20, (40 << 40) - 1),
            range_given: true,
            tier: Tier::Bulk,
        },
        description: described("lights, filter B"),
        sns_topic: Some("arn:aws:sns:us-west-2:012345678901:ready".to_owned()),
        created: at(1),
        due: at(3),
        ..archive_job(7, 5)
    };
    let of_inventory = JobRow {
        kind: JobKind::Inventory {
            format: InventoryFormat::Csv,
            writes: 12,
            date: at(4),
            start: Some(at(-9)),
            end: Some(at(9)),
            limit: Some(1000),
            after: Some(ArchiveNumber(77)),
        },
        ..archive_job(8, 0)
    };
    for row in [of_archive, of_inventory, inventory_job(9, 0), archive_job(10, 0)] {
        ledger.create_job(row.clone()).await.unwrap();
        assert_eq!(ledger.job(row.number).await.unwrap(), Some(row));
    }
    assert_eq!(job(ledger, 99).await, None);
}

pub(super) async fn jobs_are_listed_by_number_and_filtered(ledger: &dyn Ledger) {
    with_jobs(ledger, 10..15).await;
    let elsewhere = JobRow { vault: VaultNumber(2), ..archive_job(15, 2) };
    ledger.create_job(elsewhere).await.unwrap();
    assert!(ledger.end_job(JobNumber(11), failed("x"), at(1), Vec::new()).await.unwrap());
    assert!(
        ledger.end_job(JobNumber(13), JobEnd::Succeeded(None), at(1), Vec::new()).await.unwrap()
    );
    let list = async |completed, status, from: Option<u64>, limit| {
        let filter = JobFilter { completed, status };
        let rows = ledger.jobs(V, filter, from.map(JobNumber), limit).await.unwrap();
        rows.iter().map(|row| row.number.0).collect::<Vec<_>>()
    };
    assert_eq!(list(None, None, None, 99).await, [10, 11, 12, 13, 14]);
    assert_eq!(list(None, None, Some(12), 2).await, [12, 13]);
    assert_eq!(list(Some(true), None, None, 99).await, [11, 13]);
    assert_eq!(list(Some(false), None, Some(11), 99).await, [12, 14]);
    assert_eq!(list(None, Some(JobStatus::Failed), None, 99).await, [11]);
    assert_eq!(list(None, Some(JobStatus::Succeeded), None, 99).await, [13]);
    assert_eq!(list(None, Some(JobStatus::InProgress), None, 1).await, [10]);
    assert_eq!(list(Some(true), Some(JobStatus::InProgress), None, 99).await, Vec::<u64>::new());
}

pub(super) async fn jobs_are_counted_up_to_a_limit(ledger: &dyn Ledger) {
    let count = async |most| {
        let all = ledger.count_jobs(V, most).await.unwrap();
        (all, ledger.count_inventory_jobs(V, most).await.unwrap())
    };
    assert_eq!(count(9).await, (0, 0));
    with_jobs(ledger, 10..14).await;
    for number in [14, 15, 16] {
        ledger.create_job(inventory_job(number, number)).await.unwrap();
    }
    for row in [archive_job(17, 2), inventory_job(18, 0)] {
        ledger.create_job(JobRow { vault: VaultNumber(2), ..row }).await.unwrap();
    }
    assert_eq!(count(99).await, (7, 3));
    assert_eq!(count(2).await, (2, 2));
    assert_eq!(count(5).await, (5, 3));
    assert!(ledger.end_job(JobNumber(14), failed("x"), at(1), Vec::new()).await.unwrap());
    assert_eq!(count(99).await, (7, 3), "an ended job counts until it expires");
    ledger.expire_jobs(at(2)).await.unwrap();
    assert_eq!(count(99).await, (6, 2));
}

pub(super) async fn due_jobs_come_oldest_first(ledger: &dyn Ledger) {
    assert_eq!(ledger.next_due().await.unwrap(), None);
    for (number, due) in [(10, 30), (11, 10), (12, 20), (13, 10), (14, 5)] {
        let vault = VaultNumber(number % 2);
        ledger.create_job(JobRow { vault, due: at(due), ..archive_job(number, 2) }).await.unwrap();
    }
    assert!(
        ledger.end_job(JobNumber(14), JobEnd::Succeeded(None), at(6), Vec::new()).await.unwrap()
    );
    let due = async |now: Timestamp, limit| {
        let rows = ledger.due_jobs(now, limit).await.unwrap();
        rows.iter().map(|row| row.number.0).collect::<Vec<_>>()
    };
    assert_eq!(due(at(9), 9).await, Vec::<u64>::new());
    assert_eq!(due(at(10), 9).await, [11, 13]);
    assert_eq!(due(at(99), 9).await, [11, 13, 12, 10]);
    assert_eq!(due(at(99), 3).await, [11, 13, 12]);
    assert_eq!(ledger.next_due().await.unwrap(), Some(at(10)));
}

pub(super) async fn a_job_ends_once(ledger: &dyn Ledger) {
    with_jobs(ledger, [10, 11]).await;
    assert!(
        ledger
            .end_job(JobNumber(10), failed("the archive is damaged"), at(4), Vec::new())
            .await
            .unwrap()
    );
    let expected = JobRow {
        status: JobStatus::Failed,
        message: Some("the archive is damaged".to_owned()),
        completed: Some(at(4)),
        ..archive_job(10, 2)
    };
    assert_eq!(job(ledger, 10).await, Some(expected.clone()));
    assert!(
        !ledger.end_job(JobNumber(10), JobEnd::Succeeded(None), at(5), Vec::new()).await.unwrap()
    );
    assert_eq!(job(ledger, 10).await, Some(expected));
    assert!(
        !ledger.end_job(JobNumber(99), JobEnd::Succeeded(None), at(5), Vec::new()).await.unwrap()
    );
    assert!(
        ledger.end_job(JobNumber(11), JobEnd::Succeeded(None), at(6), Vec::new()).await.unwrap()
    );
    let succeeded = job(ledger, 11).await.unwrap();
    assert_eq!((succeeded.status, succeeded.message), (JobStatus::Succeeded, None));
}

pub(super) async fn an_output_is_a_jobs_own_until_the_job_expires(ledger: &dyn Ledger) {
    with_vault(ledger).await;
    stage(ledger, &[1, 2]).await;
    for number in [10, 11, 12] {
        ledger.create_job(inventory_job(number, 0)).await.unwrap();
    }
    let output = |file| InventoryOutput { extent: extent(file), next: Some(ArchiveNumber(file)) };
    let succeeded = |file| JobEnd::Succeeded(Some(output(file)));
    assert!(ledger.end_job(JobNumber(10), succeeded(1), at(4), Vec::new()).await.unwrap());
    assert_eq!(job(ledger, 10).await.unwrap().output, Some(output(1)));
    assert_eq!(staged(ledger).await, [2]);
    assert!(!ledger.end_job(JobNumber(10), succeeded(2), at(5), Vec::new()).await.unwrap());
    assert_eq!(job(ledger, 10).await.unwrap().output, Some(output(1)));
    assert_eq!(staged(ledger).await, [2]);
    assert!(ledger.end_job(JobNumber(11), failed("x"), at(5), Vec::new()).await.unwrap());
    assert_eq!(ledger.expire_jobs(at(4)).await.unwrap(), 0);
    assert_eq!(ledger.expire_jobs(at(5)).await.unwrap(), 1);
    assert_eq!(staged(ledger).await, [1, 2]);
    assert_eq!(ledger.expire_jobs(at(99)).await.unwrap(), 1);
    assert_eq!(job(ledger, 11).await, None);
    assert!(job(ledger, 12).await.is_some(), "a running job does not expire");
}

pub(super) async fn a_load_counts_standard_retrievals_of_the_accounts_archives(
    ledger: &dyn Ledger,
) {
    with_vault(ledger).await;
    let elsewhere = VaultNumber(2);
    let of_other = Entry::VaultCreated {
        vault: elsewhere,
        account: account(2),
        name: name("v"),
        created: at(0),
    };
    apply_one(ledger, of_other).await;
    let load = async |hours, since| {
        let load = ledger.retrieval_load(&account(1), hours, at(since)).await.unwrap();
        (load.running_bytes_per_hour, load.bytes_since)
    };
    assert_eq!(load(4, 0).await, (0, 0));
    let retrieval = |number, range, tier| JobRow {
        kind: JobKind::Archive { archive: ArchiveNumber(5), range, range_given: true, tier },
        created: at(i64::try_from(number).unwrap()),
        ..archive_job(number, 5)
    };
    let rows = [
        retrieval(10, (0, 0), Tier::Standard),
        retrieval(11, (1 << 20, (5 << 20) - 1), Tier::Standard),
        retrieval(12, (0, 9), Tier::Bulk),
        retrieval(13, (0, 9), Tier::Expedited),
        JobRow { vault: elsewhere, ..retrieval(14, (0, 99), Tier::Standard) },
        JobRow { created: at(15), ..inventory_job(15, 0) },
        retrieval(16, (0, 4), Tier::Standard),
    ];
    for row in rows {
        ledger.create_job(row).await.unwrap();
    }
    assert_eq!(load(4, 0).await, (1 + (1 << 20) + 2, 1 + (4 << 20) + 5), "each is rounded up");
    assert_eq!(load(1, 11).await, (1 + (4 << 20) + 5, (4 << 20) + 5), "from the moment on");
    assert_eq!(load(4, 17).await, (1 + (1 << 20) + 2, 0));
    let end = JobEnd::Succeeded(None);
    assert!(ledger.end_job(JobNumber(11), end, at(20), Vec::new()).await.unwrap());
    assert_eq!(load(4, 11).await, (3, (4 << 20) + 5), "an ended job still was initiated");
    let other = ledger.retrieval_load(&account(2), 4, at(0)).await.unwrap();
    assert_eq!((other.running_bytes_per_hour, other.bytes_since), (25, 100));
    apply_one(ledger, vault_deleted(V, 0)).await;
    assert_eq!(load(4, 0).await, (0, 0));
}
