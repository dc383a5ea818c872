//! Does every byte still read as it was stored? The store verified in the background, a little at a time.
//!
//! ```text
//! round   identity and keys ──> records of the log, each before the payload files of its archive
//!                           ──> parts of unfinished uploads and outputs of jobs, vault by vault
//! ```
//!
//! A round takes in what was in the log when it began, so it ends however much is written meanwhile. What is read was
//! forgotten by the system before, so that it comes from the medium, and is forgotten again, so that it takes no
//! memory from those who use the store. Files that are removed while the scrub comes to them are no damage: of a
//! file that cannot be read the ledger is asked once more whether somebody owns it.
//!
//! Memory does not depend on the number of archives, but for 8 bytes for each vault; files are listed for one archive, one
//! upload or one page of jobs at a time.

use std::{collections::VecDeque, pin::pin, sync::Arc};

use futures_util::StreamExt;
use icefield_treehash::LEAF_SIZE_BYTES;

use crate::{
    check::{
        CheckReport, HitArchive, Problem, check_packs, dropped_alive, files::read_leaves,
        names::check_identity, read_record,
    },
    entry::{
        ArchiveEntry, ArchiveNumber, Entry, Extent, JobNumber, PayloadId, UploadNumber, VaultNumber,
    },
    error::StoreError,
    ledger::JobFilter,
    payload::{Cached, LogPosition, PayloadReader, RecordPlace, Replayed, disk::fenced::blocking},
    store::Store,
};

/// Bytes of the log that are forgotten at a time.
const COLD_BYTES: u64 = 8 << 20;
/// What anything costs of the budget at least, so that a step ends where nothing can be read.
const LEAST_COST_BYTES: u64 = 4096;
/// Rows asked for at a time.
const PAGE: usize = 1000;

/// What a step did.
#[derive(Debug, Default)]
pub struct ScrubStep {
    /// Bytes that were read and verified.
    pub bytes: u64,
    /// What is not as it was stored, at most 10,000 of it; further rounds find it again.
    pub problems: Vec<Problem>,
    /// Whether everything has been verified since the round began; the next step begins a new one.
    pub finished_round: bool,
    /// Bytes verified since the round began.
    pub round_bytes: u64,
}

/// Verifies a store, round after round. Where it is, it knows in memory only.
#[derive(Debug)]
pub struct Scrub {
    store: Store,
    round: Option<Round>,
}

impl Scrub {
    /// Returns a scrub at the beginning of its first round.
    pub fn new(store: &Store) -> Self {
        Self { store: store.clone(), round: None }
    }

    /// Verifies the next records and files: at least something, and about `budget_bytes`, beyond them by a record, or a MiB
    /// of a file, at most. Dropping the future leaves what it was at to the next round.
    ///
    /// # Errors
    ///
    /// When the ledger does not answer, or the store is closed. Whatever is wrong with what is stored is in the step.
    pub async fn step(&mut self, budget_bytes: u64) -> Result<ScrubStep, StoreError> {
        let mut report = CheckReport::default();
        if self.round.is_none() {
            self.round = Some(Round::begin(&self.store, &mut report).await?);
        }
        let round = self.round.as_mut().ok_or(StoreError::Closed)?;
        round.forget(&self.store).await?;
        let mut spent = 0;
        let mut finished_round = false;
        while !finished_round {
            let before = report.checked.bytes;
            let budget = budget_bytes.saturating_sub(spent);
            finished_round = !round.go_on(&self.store, budget, &mut report).await?;
            spent += (report.checked.bytes - before).max(LEAST_COST_BYTES);
            if spent >= budget_bytes {
                break;
            }
        }
        round.forget(&self.store).await?;
        let bytes = report.checked.bytes;
        round.bytes += bytes;
        let round_bytes = round.bytes;
        if finished_round {
            self.round = None;
        }
        Ok(ScrubStep { bytes, problems: report.problems, finished_round, round_bytes })
    }
}

/// Where a round is: what was listed and not yet verified, the innermost first.
#[derive(Debug)]
struct Round {
    open: Option<Open>,
    files: VecDeque<Owned>,
    records: VecDeque<Replayed>,
    uploads: VecDeque<UploadNumber>,
    /// Where the next page of a vault begins, until all of it is listed.
    vault: Option<InVault>,
    /// Those that the log tells of.
    vaults: Vec<VaultNumber>,
    /// Where the next page of the log begins, until all of it is listed.
    next: Option<LogPosition>,
    /// The end of the log when the round began.
    end: LogPosition,
    /// What was forgotten of the log ahead of the records in it.
    cold: Option<RecordPlace>,
    bytes: u64,
}

/// A place in the lists of a vault: uploads come first, then jobs.
#[derive(Debug, Clone, Copy)]
enum InVault {
    Uploads(VaultNumber, Option<UploadNumber>),
    Jobs(VaultNumber, Option<JobNumber>),
}

/// A payload file and who has it.
#[derive(Debug)]
struct Owned {
    extent: Extent,
    owner: Owner,
}

#[derive(Debug)]
enum Owner {
    Archive(ArchiveNumber, Arc<HitArchive>),
    Part(UploadNumber, u32),
    Output(JobNumber),
}

/// A payload file being read.
#[derive(Debug)]
struct Open {
    file: Owned,
    reader: Box<dyn PayloadReader>,
    next_leaf: u64,
}

impl Round {
    async fn begin(store: &Store, report: &mut CheckReport) -> Result<Self, StoreError> {
        if let Some(disk) = store.disk().cloned() {
            let checked = blocking(move || {
                let mut report = CheckReport::default();
                check_identity(&disk, &mut report)?;
                Ok(report)
            });
            report.problems.extend(checked.await?.problems);
        }
        check_packs(store, true, report).await?;
        Ok(Self {
            open: None,
            files: VecDeque::new(),
            records: VecDeque::new(),
            uploads: VecDeque::new(),
            vault: None,
            vaults: Vec::new(),
            next: Some(LogPosition::default()),
            end: store.ledger().mark().await?,
            cold: None,
            bytes: 0,
        })
    }

    /// Verifies or lists the next thing; false when there is none.
    async fn go_on(
        &mut self,
        store: &Store,
        budget_bytes: u64,
        report: &mut CheckReport,
    ) -> Result<bool, StoreError> {
        if let Some(open) = &mut self.open {
            if open.go_on(store, budget_bytes, report).await? {
                store.payload().forget_cached(Cached::File(open.file.extent.payload)).await?;
                self.open = None;
            }
        } else if let Some(file) = self.files.pop_front() {
            self.open = file.open(store, report).await?;
        } else if let Some(item) = self.records.pop_front() {
            match item {
                Replayed::Damaged(damage) => report.problem(damage, None),
                Replayed::Record(entry, place) => {
                    self.record(store, &entry, place, report).await?;
                }
            }
        } else if let Some(next) = self.next {
            self.list_records(store, next, report).await?;
        } else if let Some(upload) = self.uploads.pop_front() {
            self.list_parts(store, upload).await?;
        } else if let Some(place) = self.vault.take() {
            self.vault = self.list_vault(store, place).await?;
        } else if let Some(vault) = self.vaults.pop() {
            self.vault = Some(InVault::Uploads(vault, None));
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// Lets go of what the system keeps of the log and of the open file.
    async fn forget(&mut self, store: &Store) -> Result<(), StoreError> {
        if let Some(cold) = self.cold.take() {
            store.payload().forget_cached(Cached::Log(cold)).await?;
        }
        if let Some(open) = &self.open {
            store.payload().forget_cached(Cached::File(open.file.extent.payload)).await?;
        }
        Ok(())
    }

    async fn record(
        &mut self,
        store: &Store,
        entry: &Entry,
        place: RecordPlace,
        report: &mut CheckReport,
    ) -> Result<(), StoreError> {
        let end = |place: RecordPlace| place.at.offset + place.length;
        let is_cold = |cold: RecordPlace| cold.at.pack == place.at.pack && end(place) <= end(cold);
        if !self.cold.is_some_and(is_cold) {
            let ahead = RecordPlace { length: place.length.max(COLD_BYTES), ..place };
            for range in self.cold.replace(ahead).into_iter().chain([ahead]) {
                store.payload().forget_cached(Cached::Log(range)).await?;
            }
        }
        let is_whole = read_record(store, entry, place, report).await?;
        if !is_whole
            && let Entry::ArchiveCreated(archive) = entry
            && let Some(row) = store.ledger().archive(archive.number).await?
            && row.deleted_write.is_none()
        {
            report.problem(dropped_alive(place), Some(HitArchive::from(archive)));
        }
        match entry {
            Entry::VaultCreated { vault, .. } => self.vaults.push(*vault),
            Entry::ArchiveCreated(archive) => self.list_files(store, archive).await?,
            Entry::VaultDeleted { .. } | Entry::ArchiveDeleted { .. } | Entry::Document(_) => {}
        }
        Ok(())
    }

    /// Lists a page of the log. Where one cannot be read at all, the next pack is gone on with.
    async fn list_records(
        &mut self,
        store: &Store,
        from: LogPosition,
        report: &mut CheckReport,
    ) -> Result<(), StoreError> {
        let next = match store.payload().replay(from, false).await {
            Ok(page) => {
                self.records = page.items.into();
                (!page.last).then_some(page.next)
            }
            Err(error) => {
                report.failed("packs", error, None)?;
                Some(LogPosition { pack: from.pack.max(1) + 1, offset: 0 })
            }
        };
        self.next = next.filter(|next| *next < self.end);
        self.records.retain(|item| match item {
            Replayed::Record(_, place) => place.at < self.end,
            Replayed::Damaged(_) => true,
        });
        Ok(())
    }

    /// The files of an archive, unless it was refused or purged.
    async fn list_files(
        &mut self,
        store: &Store,
        archive: &ArchiveEntry,
    ) -> Result<(), StoreError> {
        let number = archive.number;
        if archive.extents().is_empty() || store.ledger().archive(number).await?.is_none() {
            return Ok(());
        }
        let hit = Arc::new(HitArchive::from(archive));
        self.files.extend(archive.extents().iter().map(|extent| Owned {
            extent: *extent,
            owner: Owner::Archive(number, Arc::clone(&hit)),
        }));
        Ok(())
    }

    /// A page of the unfinished uploads of a vault, or of the outputs of its jobs. Returns where the next one begins.
    async fn list_vault(
        &mut self,
        store: &Store,
        place: InVault,
    ) -> Result<Option<InVault>, StoreError> {
        match place {
            InVault::Uploads(vault, from) => {
                let page = store.ledger().uploads(vault, from, PAGE).await?;
                self.uploads.extend(page.iter().map(|upload| upload.number));
                let Some(last) = page.last() else { return Ok(Some(InVault::Jobs(vault, None))) };
                Ok(Some(InVault::Uploads(vault, Some(UploadNumber(last.number.0 + 1)))))
            }
            InVault::Jobs(vault, from) => {
                let page = store.ledger().jobs(vault, JobFilter::default(), from, PAGE).await?;
                self.files.extend(page.iter().filter_map(|job| {
                    let output = job.output.as_ref()?;
                    Some(Owned { extent: output.extent, owner: Owner::Output(job.number) })
                }));
                let Some(last) = page.last() else { return Ok(None) };
                Ok(Some(InVault::Jobs(vault, Some(JobNumber(last.number.0 + 1)))))
            }
        }
    }

    async fn list_parts(&mut self, store: &Store, upload: UploadNumber) -> Result<(), StoreError> {
        let mut from = 0;
        loop {
            let page = store.ledger().parts(upload, from, PAGE).await?;
            self.files.extend(
                page.iter().map(|part| Owned {
                    extent: part.extent,
                    owner: Owner::Part(upload, part.index),
                }),
            );
            let Some(last) = page.last() else { return Ok(()) };
            from = last.index + 1;
        }
    }
}

impl Owned {
    async fn open(
        self,
        store: &Store,
        report: &mut CheckReport,
    ) -> Result<Option<Open>, StoreError> {
        let Extent { payload, size, tree_hash } = self.extent;
        store.payload().forget_cached(Cached::File(payload)).await?;
        match store.payload().open(payload, size, tree_hash).await {
            Ok(reader) => Ok(Some(Open { file: self, reader, next_leaf: 0 })),
            Err(error) => self.failed(store, error, report).await.map(|()| None),
        }
    }

    /// Takes an error of reading as a problem, if the file is still somebody's.
    async fn failed(
        &self,
        store: &Store,
        error: StoreError,
        report: &mut CheckReport,
    ) -> Result<(), StoreError> {
        if !self.owner.has(store, self.extent.payload).await? {
            return Ok(());
        }
        let hit = match &self.owner {
            Owner::Archive(_, hit) => Some(HitArchive::clone(hit)),
            Owner::Part(..) | Owner::Output(_) => None,
        };
        report.failed("payload", error, hit)
    }
}

impl Owner {
    async fn has(&self, store: &Store, payload: PayloadId) -> Result<bool, StoreError> {
        let ledger = store.ledger();
        Ok(match self {
            Self::Archive(number, _) => ledger.archive(*number).await?.is_some(),
            Self::Part(upload, index) => {
                let parts = ledger.parts(*upload, *index, 1).await?;
                parts.iter().any(|part| part.index == *index && part.extent.payload == payload)
            }
            Self::Output(number) => {
                let output = ledger.job(*number).await?.and_then(|job| job.output);
                output.is_some_and(|output| output.extent.payload == payload)
            }
        })
    }
}

impl Open {
    /// Verifies the next MiB within the budget, at least one; true at the end.
    async fn go_on(
        &mut self,
        store: &Store,
        budget_bytes: u64,
        report: &mut CheckReport,
    ) -> Result<bool, StoreError> {
        let all = self.reader.leaves().len() as u64;
        let end = (self.next_leaf + budget_bytes.div_ceil(LEAF_SIZE_BYTES).max(1)).min(all);
        let mut leaves = pin!(read_leaves(&*self.reader, self.next_leaf..end));
        while let Some(leaf) = leaves.next().await {
            self.next_leaf += 1;
            match leaf {
                Ok(bytes) => report.checked.bytes += bytes,
                Err(error) => self.file.failed(store, error, report).await?,
            }
        }
        report.checked.files += u64::from(end == all);
        Ok(end == all)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use icefield_protocol::{JobStatus, Timestamp};

    use super::{PAGE, Scrub};
    use crate::{
        check::check,
        crash_tests::{Told, open, workload},
        ledger::{
            InventoryOutput, JobRow, Ledger, MemoryLedger,
            contract::fixtures::{extent, inventory_job, upload_row},
        },
        payload::{contract::pattern, disk::simulated::SimulatedVolume},
        store::Store,
    };

    async fn problems_of_a_round(store: &Store) -> Vec<String> {
        let mut scrub = Scrub::new(store);
        let mut found = Vec::new();
        loop {
            let step = scrub.step(100_000).await.unwrap();
            found.extend(step.problems.into_iter().map(|problem| problem.damage.place));
            if step.finished_round {
                return found;
            }
        }
    }

    /// A disk loses bits while the system still answers from its memory.
    #[tokio::test]
    async fn damage_of_the_medium_is_found_although_the_system_remembers_the_bytes() {
        let (volume, ledger) = (SimulatedVolume::new(), Arc::new(MemoryLedger::new()));
        let store = open(&volume, &ledger).await.unwrap();
        workload(&store, &mut Told::default()).await.unwrap();
        assert_eq!(problems_of_a_round(&store).await, [""; 0]);
        for path in volume.paths() {
            if path.starts_with("packs/") || path.starts_with("payload/") {
                volume.rot(&path, volume.len_of(&path) / 2);
                let report = check(&store, &mut |_| {}).await.unwrap();
                assert!(report.problems.is_empty(), "{path}: not remembered by the system");
                assert_eq!(problems_of_a_round(&store).await, [path.as_str()]);
                let len = volume.len_of(&path);
                volume.change(&path, |bytes| bytes[len / 2] ^= 1);
                assert_eq!(problems_of_a_round(&store).await, [""; 0]);
            }
        }
    }

    /// Others may read a file while the scrub rests in the middle of it.
    #[tokio::test]
    async fn damage_of_the_medium_between_two_steps_is_found_by_the_second() {
        let (volume, ledger) = (SimulatedVolume::new(), Arc::new(MemoryLedger::new()));
        let store = open(&volume, &ledger).await.unwrap();
        workload(&store, &mut Told::default()).await.unwrap();
        let bytes = pattern((2 << 20) + 5, 9);
        Told::default().put_file(&store, 1, 99, bytes.len()).await.unwrap();
        let is_its = |path: &String| volume.len_of(path) == bytes.len();
        let path = volume.paths().into_iter().find(is_its).unwrap();
        let mut scrub = Scrub::new(&store);
        while scrub.step(1).await.unwrap().bytes != 1 << 20 {}
        volume.rot(&path, 2 << 20);
        let mut found = Vec::new();
        loop {
            let step = scrub.step(1).await.unwrap();
            found.extend(step.problems.into_iter().map(|problem| problem.damage.place));
            if step.finished_round {
                break;
            }
        }
        assert_eq!(found, [path]);
    }

    /// Whoever may begin jobs and uploads must not be able to take the memory.
    #[tokio::test]
    async fn jobs_and_uploads_of_a_vault_are_listed_a_page_at_a_time() {
        let (volume, ledger) = (SimulatedVolume::new(), Arc::new(MemoryLedger::new()));
        let store = open(&volume, &ledger).await.unwrap();
        workload(&store, &mut Told::default()).await.unwrap();
        let many = 1000..1000 + 2 * PAGE as u64 + 1;
        for number in many.clone() {
            ledger.create_upload(upload_row(number)).await.unwrap();
            ledger.create_job(with_lost_output(number + 10_000)).await.unwrap();
        }
        let mut scrub = Scrub::new(&store);
        let mut lost = 0;
        loop {
            let step = scrub.step(1).await.unwrap();
            lost += step.problems.len();
            let Some(round) = &scrub.round else { break };
            assert!(round.files.len() <= PAGE && round.uploads.len() <= PAGE);
        }
        assert_eq!(lost, many.count(), "each output is looked at");
    }

    /// A job whose output is nowhere.
    fn with_lost_output(number: u64) -> JobRow {
        let output = InventoryOutput { extent: extent(number), next: None };
        let (status, completed) = (JobStatus::Succeeded, Some(Timestamp::UNIX_EPOCH));
        JobRow { output: Some(output), status, completed, ..inventory_job(number, 0) }
    }
}
