//! What the ledgers tell after each step, and what must be true of it.

use std::collections::{BTreeMap, BTreeSet};

use icefield_protocol::{JobStatus, Timestamp};
use proptest::{prelude::*, test_runner::TestCaseResult};

use super::{DOCUMENTS, Driver};
use crate::{
    document::DocumentRow,
    entry::{ArchiveNumber, Entry, JobNumber, PayloadId},
    ledger::{
        ArchiveQuery, ArchiveRow, DeliveryRow, JobFilter, JobRow, Ledger, LedgerStat, MemoryLedger,
        PartRow, RetrievalLoad, UploadRow, UploadState, VaultRow,
        contract::fixtures::{account, at, document_name, everything, name, token},
    },
    payload::{DeadBody, LogPosition},
};

/// Everything that the reading calls tell.
#[derive(Debug, PartialEq)]
pub(super) struct Told {
    mark: LogPosition,
    highest: u64,
    vaults: Vec<VaultRow>,
    vault_pages: Vec<VaultRow>,
    archives: Vec<(ArchiveRow, Vec<PayloadId>)>,
    lists: Vec<Vec<u64>>,
    by_token: Vec<Option<ArchiveNumber>>,
    uploads: Vec<(UploadRow, Vec<PartRow>)>,
    upload_lists: Vec<Vec<UploadRow>>,
    jobs: Vec<JobRow>,
    job_lists: Vec<Vec<JobNumber>>,
    counts: Vec<[usize; 3]>,
    due: Vec<JobNumber>,
    next_due: Option<i64>,
    loads: Vec<RetrievalLoad>,
    documents: Vec<DocumentRow>,
    document_page: Vec<DocumentRow>,
    due_deliveries: Vec<DeliveryRow>,
    next_delivery: Option<Timestamp>,
    dead_deliveries: Vec<DeliveryRow>,
    staged: Vec<PayloadId>,
    stat: LedgerStat,
    dead: Vec<DeadBody>,
}

impl Driver {
    pub(super) async fn told(&self, ledger: &dyn Ledger) -> Told {
        let mut told = Told {
            mark: ledger.mark().await.unwrap(),
            highest: ledger.highest_number().await.unwrap(),
            vaults: Vec::new(),
            vault_pages: Vec::new(),
            archives: Vec::new(),
            lists: Vec::new(),
            by_token: Vec::new(),
            uploads: Vec::new(),
            upload_lists: Vec::new(),
            jobs: Vec::new(),
            job_lists: Vec::new(),
            counts: Vec::new(),
            due: numbers(ledger.due_jobs(at(self.seconds), 5).await.unwrap()),
            next_due: ledger.next_due().await.unwrap().map(|due| due.unix_millis()),
            loads: Vec::new(),
            documents: ledger.documents("", None, 99).await.unwrap(),
            document_page: ledger
                .documents("user/1/", Some(&document_name(DOCUMENTS[1])), 2)
                .await
                .unwrap(),
            due_deliveries: ledger.due_deliveries(at(self.seconds), 5).await.unwrap(),
            next_delivery: ledger.next_delivery().await.unwrap(),
            dead_deliveries: ledger.dead_deliveries(None, 5).await.unwrap(),
            staged: ledger.staged(None, usize::MAX).await.unwrap(),
            stat: ledger.stat().await.unwrap(),
            dead: Vec::new(),
        };
        for (pack, _) in ledger.dead_packs().await.unwrap() {
            let from = LogPosition { pack, offset: 0 };
            told.dead.extend(ledger.dead_bodies(from, usize::MAX).await.unwrap());
        }
        for owner in [1, 2] {
            let since = at(self.seconds - 9);
            told.loads.push(ledger.retrieval_load(&account(owner), 4, since).await.unwrap());
            told.vault_pages
                .extend(ledger.vaults(&account(owner), Some(&name("b")), 2).await.unwrap());
        }
        for vault in &self.vaults {
            told.vaults.extend(ledger.vault_by_number(*vault).await.unwrap());
            for writes in [1, 4, u64::MAX] {
                let query = ArchiveQuery { writes, ..everything(*vault) };
                let rows = ledger.archives(query).await.unwrap();
                told.lists.push(rows.iter().map(|row| row.number.0).collect());
            }
            for n in 0..4 {
                let row = ledger.archive_by_token(*vault, token(n)).await.unwrap();
                told.by_token.push(row.map(|row| row.number));
            }
            told.upload_lists.push(ledger.uploads(*vault, None, 99).await.unwrap());
            told.counts.push([
                ledger.count_jobs(*vault, 3).await.unwrap(),
                ledger.count_inventory_jobs(*vault, 3).await.unwrap(),
                ledger.count_uploads(*vault, 3).await.unwrap(),
            ]);
            for completed in [None, Some(true), Some(false)] {
                let status = completed.and_then(|ended| ended.then_some(JobStatus::Succeeded));
                let filter = JobFilter { completed, status };
                let rows = ledger.jobs(*vault, filter, None, 99).await.unwrap();
                told.job_lists.push(numbers(rows));
            }
        }
        for number in &self.archives {
            if let Some(row) = ledger.archive(*number).await.unwrap() {
                let extents = ledger.extents(*number).await.unwrap();
                told.archives.push((row, extents.iter().map(|extent| extent.payload).collect()));
            }
        }
        for number in &self.uploads {
            let parts = ledger.parts(*number, 0, 99).await.unwrap();
            if let Some(row) = ledger.upload(*number).await.unwrap() {
                told.uploads.push((row, parts));
            }
        }
        for number in &self.jobs {
            told.jobs.extend(ledger.job(*number).await.unwrap());
        }
        told
    }

    /// Every file is in exactly one place: staged, a part, an archive's own, or a job's output.
    pub(super) fn check_files(&self, told: &Told) -> TestCaseResult {
        let mut uses: BTreeMap<PayloadId, u32> = BTreeMap::new();
        let parts = told.uploads.iter().flat_map(|(upload, parts)| {
            let own = upload.state == UploadState::InProgress;
            parts.iter().filter(move |_| own).map(|part| part.extent.payload)
        });
        let of_archives = told.archives.iter().flat_map(|(_, files)| files.iter().copied());
        let outputs =
            told.jobs.iter().filter_map(|job| job.output.map(|output| output.extent.payload));
        let staged = told.staged.iter().copied();
        for id in parts.chain(of_archives).chain(outputs).chain(staged) {
            *uses.entry(id).or_default() += 1;
        }
        for (id, count) in &uses {
            prop_assert_eq!(*count, 1, "{} is in {} places", id, count);
        }
        for id in &self.files {
            prop_assert!(uses.contains_key(id), "{id} is lost");
        }
        Ok(())
    }

    /// The log replayed into an empty ledger gives the same outcomes, vaults, documents, archives and files.
    pub(super) async fn check_replay(&self, told: &Told) -> TestCaseResult {
        let replayed = MemoryLedger::new();
        let outcomes = replayed.apply(self.log.clone(), told.mark).await.unwrap();
        prop_assert_eq!(&outcomes, &self.outcomes);
        let again = self.told(&replayed).await;
        let without_inventory = |rows: &[VaultRow]| -> Vec<_> {
            rows.iter().map(|row| VaultRow { inventory: None, ..row.clone() }).collect()
        };
        prop_assert_eq!(without_inventory(&again.vaults), without_inventory(&told.vaults));
        prop_assert_eq!(again.mark, told.mark);
        prop_assert_eq!(&again.documents, &told.documents);
        // What was purged since is still there after a replay, and nothing else.
        let mut found = again.archives.into_iter();
        for archive in &told.archives {
            let same = found.by_ref().find(|(row, _)| row.number == archive.0.number);
            prop_assert_eq!(same.as_ref(), Some(archive));
        }
        let live = again.lists.iter().skip(2).step_by(3);
        prop_assert!(live.eq(told.lists.iter().skip(2).step_by(3)));
        Ok(())
    }

    /// A log of which records were lost stages only the files of archives that it says were deleted.
    pub(super) async fn check_damaged_replay(&self, lost: &[usize]) -> TestCaseResult {
        let mut log = self.log.clone();
        for lost in lost {
            if let Some(lost) = lost.checked_rem(log.len()) {
                log.remove(lost);
            }
        }
        let replayed = MemoryLedger::new();
        replayed.apply(log.clone(), LogPosition::default()).await.unwrap();
        replayed.purge(usize::MAX).await.unwrap();
        let deleted = |number| {
            log.iter().any(|(entry, _)| {
                matches!(entry, Entry::ArchiveDeleted { number: deleted, .. } if *deleted == number)
            })
        };
        let mut files = BTreeSet::new();
        for (entry, _) in &log {
            if let Entry::ArchiveCreated(archive) = entry
                && deleted(archive.number)
            {
                files.extend(archive.extents().iter().map(|extent| extent.payload));
            }
        }
        for id in replayed.staged(None, usize::MAX).await.unwrap() {
            prop_assert!(files.contains(&id), "{id} would be removed");
        }
        Ok(())
    }
}

fn numbers(rows: Vec<JobRow>) -> Vec<JobNumber> {
    rows.into_iter().map(|row| row.number).collect()
}
