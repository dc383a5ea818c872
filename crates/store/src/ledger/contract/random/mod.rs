//! Random sequences of calls: backends side by side, files that are never lost, and the log replayed.
//!
//! A step is made of small numbers that are turned into a call on what exists by then, so that most calls meet
//! something: the same name, the same token, an upload in any state. After every step each backend must tell the same;
//! what they tell is in [`told`].

mod told;

use std::{collections::BTreeSet, sync::Arc};

use proptest::{bool::weighted, collection::vec, prelude::*, test_runner::TestCaseResult};

use super::fixtures::{
    account, archive_job, at, delivery, document, document_name, extent, filed, hash,
    inventory_job, name, part, payload, place, seal, small, token, upload_row,
};
use crate::{
    entry::{
        ArchiveEntry, ArchiveNumber, Content, DeliveryNumber, DocumentEntry, Entry, JobNumber,
        Outcome, PayloadId, UploadNumber, VaultNumber,
    },
    ledger::{
        DeliveryRow, InventoryOutput, JobEnd, JobRow, Ledger, MemoryLedger, SqliteLedger,
        UploadRow, VaultRow,
    },
    payload::{LogPosition, RecordPlace},
};

const DOCUMENTS: [&str; 4] = ["clock", "user/1/a", "user/1/b", "user/2/a"];

/// One call; the numbers choose among what there is, modulo its count.
#[derive(Debug, Clone)]
enum Step {
    /// Several entries in one call.
    Apply(Vec<Put>),
    CreateUpload {
        vault: usize,
        token: Option<u8>,
    },
    PutPart {
        upload: usize,
        index: u32,
        fresh: bool,
    },
    AbortUpload(usize),
    ExpireUploads {
        idle_seconds: i64,
        ended_seconds: i64,
    },
    CreateJob {
        vault: usize,
        archive: Option<usize>,
        writes: u64,
    },
    EndJob {
        job: usize,
        succeeded: bool,
        messages: u64,
    },
    Enqueue(u64),
    UpdateDelivery {
        delivery: usize,
        seconds: i64,
        dead: bool,
    },
    RemoveDelivery(usize),
    ExpireDeliveries(i64),
    ExpireJobs {
        seconds: i64,
    },
    TakeInventory {
        vault: usize,
        seconds: i64,
    },
    Stage,
    Unstage(usize),
    Purge(usize),
}

/// One entry of the log.
#[derive(Debug, Clone)]
enum Put {
    Vault { account: u64, name: usize },
    NoVault { vault: usize, stale: bool },
    Archive { vault: usize, token: Option<u8>, files: usize },
    Completed { upload: usize, token: Option<u8>, leave_out: usize, replace: bool },
    NoArchive { vault: usize, archive: usize },
    Document { name: usize, vault: Option<usize>, stale: bool, remove: bool },
    Again(usize),
}

fn puts() -> impl Strategy<Value = Put> {
    let token = || proptest::option::weighted(0.3, 0..4_u8);
    prop_oneof![
        2 => (1..3_u64, 0..3_usize).prop_map(|(account, name)| Put::Vault { account, name }),
        1 => (any::<usize>(), any::<bool>()).prop_map(|(vault, stale)| Put::NoVault { vault, stale }),
        6 => (any::<usize>(), token(), 0..4_usize)
            .prop_map(|(vault, token, files)| Put::Archive { vault, token, files }),
        5 => (any::<usize>(), token(), 0..3_usize, any::<bool>()).prop_map(
            |(upload, token, leave_out, replace)| Put::Completed { upload, token, leave_out, replace }
        ),
        5 => (any::<usize>(), any::<usize>())
            .prop_map(|(vault, archive)| Put::NoArchive { vault, archive }),
        5 => (0..DOCUMENTS.len(), proptest::option::of(any::<usize>()), weighted(0.2), weighted(0.2))
            .prop_map(|(name, vault, stale, remove)| Put::Document { name, vault, stale, remove }),
        1 => any::<usize>().prop_map(Put::Again),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    let token = || proptest::option::weighted(0.3, 0..4_u8);
    prop_oneof![
        8 => vec(puts(), 1..4).prop_map(Step::Apply),
        3 => (any::<usize>(), token()).prop_map(|(vault, token)| Step::CreateUpload { vault, token }),
        8 => (any::<usize>(), 0..4_u32, any::<bool>())
            .prop_map(|(upload, index, fresh)| Step::PutPart { upload, index, fresh }),
        1 => any::<usize>().prop_map(Step::AbortUpload),
        1 => (0..40_i64, 0..40_i64).prop_map(|(idle_seconds, ended_seconds)| Step::ExpireUploads {
            idle_seconds,
            ended_seconds
        }),
        3 => (any::<usize>(), proptest::option::of(any::<usize>()), any::<u64>())
            .prop_map(|(vault, archive, writes)| Step::CreateJob { vault, archive, writes }),
        3 => (any::<usize>(), any::<bool>(), 0..3_u64)
            .prop_map(|(job, succeeded, messages)| Step::EndJob { job, succeeded, messages }),
        1 => (0..3_u64).prop_map(Step::Enqueue),
        2 => (any::<usize>(), 0..9_i64, weighted(0.3)).prop_map(|(delivery, seconds, dead)| {
            Step::UpdateDelivery { delivery, seconds, dead }
        }),
        1 => any::<usize>().prop_map(Step::RemoveDelivery),
        1 => (0..9_i64).prop_map(Step::ExpireDeliveries),
        1 => (0..30_i64).prop_map(|seconds| Step::ExpireJobs { seconds }),
        2 => (any::<usize>(), 0..9_i64)
            .prop_map(|(vault, seconds)| Step::TakeInventory { vault, seconds }),
        1 => Just(Step::Stage),
        1 => any::<usize>().prop_map(Step::Unstage),
        2 => (0..5_usize).prop_map(Step::Purge),
    ]
}

/// The answer of a call, whatever it was.
#[derive(Debug, PartialEq)]
enum Answer {
    Outcomes(Vec<Outcome>),
    Upload(UploadRow),
    Vault(Option<VaultRow>),
    Text(String),
}

/// Turns steps into calls on all ledgers.
struct Driver {
    ledgers: Vec<Arc<dyn Ledger>>,
    /// Numbers of every kind, in the order of their use.
    next_number: u64,
    next_file: u64,
    seconds: i64,
    vaults: Vec<VaultNumber>,
    archives: Vec<ArchiveNumber>,
    uploads: Vec<UploadNumber>,
    jobs: Vec<JobNumber>,
    deliveries: Vec<DeliveryNumber>,
    log: Vec<(Entry, RecordPlace)>,
    outcomes: Vec<Outcome>,
    /// Files that were ever named to a ledger and not forgotten by `unstage`.
    files: BTreeSet<PayloadId>,
}

fn pick<T: Copy>(list: &[T], choice: usize) -> Option<T> {
    list.get(choice.checked_rem(list.len())?).copied()
}

impl Driver {
    fn over(ledgers: Vec<Arc<dyn Ledger>>) -> Self {
        Self {
            ledgers,
            next_number: 1,
            next_file: 1,
            seconds: 0,
            vaults: Vec::new(),
            archives: Vec::new(),
            uploads: Vec::new(),
            jobs: Vec::new(),
            deliveries: Vec::new(),
            log: Vec::new(),
            outcomes: Vec::new(),
            files: BTreeSet::new(),
        }
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// Stages a new file everywhere.
    async fn file(&mut self) -> u64 {
        self.next_file += 1;
        self.files.insert(payload(self.next_file));
        for ledger in &self.ledgers {
            ledger.stage(vec![payload(self.next_file)]).await.unwrap();
        }
        self.next_file
    }

    /// The same call on every ledger; the answers must be equal.
    async fn ask(
        &self,
        call: impl AsyncFn(&dyn Ledger) -> Answer,
    ) -> Result<Answer, TestCaseError> {
        let first = call(&*self.ledgers[0]).await;
        for ledger in &self.ledgers[1..] {
            let other = call(&**ledger).await;
            prop_assert_eq!(&first, &other);
        }
        Ok(first)
    }

    async fn step(&mut self, step: Step) -> TestCaseResult {
        self.seconds += 1;
        let now = at(self.seconds);
        let unknown = VaultNumber(9_999);
        match step {
            Step::Apply(puts) => return self.apply(puts).await,
            Step::CreateUpload { vault, token: token_number } => {
                let row = UploadRow {
                    vault: pick(&self.vaults, vault).unwrap_or(unknown),
                    token: token_number.map(token),
                    created: now,
                    touched: now,
                    ..upload_row(self.number())
                };
                self.uploads.push(row.number);
                self.ask(async |ledger| {
                    Answer::Upload(ledger.create_upload(row.clone()).await.unwrap())
                })
                .await?;
            }
            Step::PutPart { upload, index, fresh } => {
                let Some(upload) = pick(&self.uploads, upload) else { return Ok(()) };
                let earlier = self.ledgers[0].parts(upload, index, 1).await.unwrap();
                let same = earlier.first().filter(|part| part.index == index && !fresh);
                let row = match same {
                    Some(same) => *same,
                    None => part(index, self.file().await),
                };
                self.ask(async |ledger| text(ledger.put_part(upload, row, now).await)).await?;
            }
            Step::AbortUpload(upload) => {
                let upload = pick(&self.uploads, upload).unwrap_or(UploadNumber(9_999));
                self.ask(async |ledger| text(ledger.abort_upload(upload, now).await)).await?;
            }
            Step::ExpireUploads { idle_seconds, ended_seconds } => {
                let idle = at(self.seconds - idle_seconds);
                let ended = at(self.seconds - ended_seconds);
                self.ask(async |ledger| text(ledger.expire_uploads(idle, ended).await)).await?;
            }
            Step::CreateJob { vault, archive, writes } => {
                let vault = pick(&self.vaults, vault).unwrap_or(unknown);
                let number = self.number();
                let row = match archive {
                    Some(choice) => {
                        archive_job(number, pick(&self.archives, choice).map_or(0, |n| n.0))
                    }
                    None => inventory_job(number, writes % 12),
                };
                let row = JobRow { vault, created: now, due: at(self.seconds + 3), ..row };
                self.jobs.push(row.number);
                self.ask(async |ledger| text(ledger.create_job(row.clone()).await)).await?;
            }
            Step::EndJob { job, succeeded, messages } => {
                let Some(job) = pick(&self.jobs, job) else { return Ok(()) };
                let end = if succeeded {
                    let extent = extent(self.file().await);
                    JobEnd::Succeeded(Some(InventoryOutput { extent, next: None }))
                } else {
                    JobEnd::Failed("no".to_owned())
                };
                let rows = self.messages(messages);
                self.ask(async |ledger| {
                    text(ledger.end_job(job, end.clone(), now, rows.clone()).await)
                })
                .await?;
            }
            Step::Enqueue(messages) => {
                let rows = self.messages(messages);
                self.ask(async |ledger| text(ledger.enqueue(rows.clone()).await)).await?;
            }
            Step::UpdateDelivery { delivery: choice, seconds, dead } => {
                let number = pick(&self.deliveries, choice).map_or(9_999, |number| number.0);
                let next = at(self.seconds + seconds);
                let row = DeliveryRow { next, dead, attempts: 1, ..delivery(number) };
                self.ask(async |ledger| text(ledger.update_delivery(row.clone()).await)).await?;
            }
            Step::RemoveDelivery(choice) => {
                let Some(number) = pick(&self.deliveries, choice) else { return Ok(()) };
                self.ask(async |ledger| text(ledger.remove_delivery(number).await)).await?;
            }
            Step::ExpireDeliveries(seconds) => {
                let before = at(self.seconds - seconds);
                self.ask(async |ledger| text(ledger.expire_deliveries(before).await)).await?;
            }
            Step::ExpireJobs { seconds } => {
                let before = at(self.seconds - seconds);
                self.ask(async |ledger| text(ledger.expire_jobs(before).await)).await?;
            }
            Step::TakeInventory { vault, seconds } => {
                let vault = pick(&self.vaults, vault).unwrap_or(unknown);
                let interval = u64::try_from(seconds).unwrap() * 1000;
                self.ask(async |ledger| {
                    Answer::Vault(ledger.take_inventory(vault, now, interval).await.unwrap())
                })
                .await?;
            }
            Step::Stage => {
                self.file().await;
            }
            Step::Unstage(choice) => {
                let staged = self.ledgers[0].staged(None, 99).await.unwrap();
                let Some(id) = pick(&staged, choice) else { return Ok(()) };
                self.files.remove(&id);
                self.ask(async |ledger| text(ledger.unstage(vec![id]).await)).await?;
            }
            Step::Purge(limit) => {
                self.ask(async |ledger| text(ledger.purge(limit).await)).await?;
            }
        }
        Ok(())
    }

    async fn apply(&mut self, puts: Vec<Put>) -> TestCaseResult {
        let mut records = Vec::new();
        for put in puts {
            let Some(entry) = self.entry(put).await else { continue };
            let record = (entry, place((self.log.len() + records.len()) as u64));
            records.push(record);
        }
        let mark = LogPosition { pack: 1, offset: (self.log.len() + records.len()) as u64 };
        let answer = self
            .ask(async |ledger| {
                Answer::Outcomes(ledger.apply(records.clone(), mark).await.unwrap())
            })
            .await?;
        let Answer::Outcomes(outcomes) = answer else { unreachable!("apply answers outcomes") };
        prop_assert_eq!(outcomes.len(), records.len());
        for ((entry, _), outcome) in records.iter().zip(&outcomes) {
            if let Entry::ArchiveCreated(ArchiveEntry {
                content: Content::Extents(extents), ..
            }) = entry
                && matches!(outcome, Outcome::Done { .. })
            {
                self.files.extend(extents.iter().map(|extent| extent.payload));
            }
        }
        self.outcomes.extend(outcomes);
        self.log.extend(records);
        Ok(())
    }

    async fn entry(&mut self, put: Put) -> Option<Entry> {
        let created = at(self.seconds);
        let unknown = VaultNumber(9_999);
        match put {
            Put::Vault { account: owner, name: choice } => {
                let vault = VaultNumber(self.number());
                self.vaults.push(vault);
                let name = name(["a", "b", "c"][choice]);
                Some(Entry::VaultCreated { vault, account: account(owner), name, created })
            }
            Put::NoVault { vault, stale } => {
                let vault = pick(&self.vaults, vault).unwrap_or(unknown);
                let row = self.ledgers[0].vault_by_number(vault).await.unwrap();
                let writes = row.map_or(0, |row| row.writes) + u64::from(stale);
                Some(Entry::VaultDeleted { vault, writes, deleted: created })
            }
            Put::Archive { vault, token: token_number, files } => {
                let vault = pick(&self.vaults, vault).unwrap_or(unknown);
                let mut numbers = Vec::new();
                for _ in 0..files {
                    numbers.push(self.file().await);
                }
                let entry = self.archive(&numbers);
                let token = token_number.map(token);
                Some(Entry::ArchiveCreated(ArchiveEntry { vault, token, created, ..entry }))
            }
            Put::Completed { upload, token: token_number, leave_out, replace } => {
                let upload = pick(&self.uploads, upload)?;
                let row = self.ledgers[0].upload(upload).await.unwrap()?;
                let parts = self.ledgers[0].parts(upload, 0, 99).await.unwrap();
                let taken = parts.len().saturating_sub(leave_out);
                let mut extents: Vec<_> = parts[..taken].iter().map(|part| part.extent).collect();
                if replace && let Some(last) = extents.last_mut() {
                    *last = extent(self.file().await);
                }
                let number = ArchiveNumber(self.number());
                self.archives.push(number);
                let content = match extents.as_slice() {
                    [] => Content::Here,
                    _ => Content::Extents(extents.clone()),
                };
                let one = if let [only] = extents.as_slice() { Some(only.tree_hash) } else { None };
                Some(Entry::ArchiveCreated(ArchiveEntry {
                    vault: row.vault,
                    number,
                    seal: seal(number.0),
                    created,
                    size: extents.iter().map(|extent| extent.size).sum(),
                    tree_hash: one.unwrap_or(hash(number.0)),
                    token: token_number.map(token),
                    upload: Some(upload),
                    content,
                    ..small(1)
                }))
            }
            Put::NoArchive { vault, archive } => {
                let number = pick(&self.archives, archive)?;
                let row = self.ledgers[0].archive(number).await.unwrap();
                let vault = row.map(|row| row.vault).or_else(|| pick(&self.vaults, vault));
                let vault = vault.unwrap_or(unknown);
                Some(Entry::ArchiveDeleted { vault, number, deleted: created })
            }
            Put::Document { name, vault, stale, remove } => {
                let name = document_name(DOCUMENTS[name]);
                let found = self.ledgers[0].document(&name).await.unwrap().map(|row| row.version);
                let after = if stale { found.map_or(Some(1), |_| None) } else { found };
                let entry = document(name.as_str(), after, self.number());
                let vault = vault.map(|choice| pick(&self.vaults, choice).unwrap_or(unknown));
                let value = entry.value.filter(|_| !remove);
                Some(Entry::Document(DocumentEntry { vault, value, at: created, ..entry }))
            }
            // A second put of the same token or upload, as a client repeats it: another number.
            Put::Again(choice) => {
                let (earlier, _) = self.log.get(choice.checked_rem(self.log.len())?)?.clone();
                let Entry::ArchiveCreated(earlier) = earlier else { return None };
                if earlier.token.is_none() && earlier.upload.is_none() {
                    return None;
                }
                let number = ArchiveNumber(self.number());
                self.archives.push(number);
                Some(Entry::ArchiveCreated(ArchiveEntry { number, created, ..earlier }))
            }
        }
    }

    fn messages(&mut self, count: u64) -> Vec<DeliveryRow> {
        let numbers: Vec<u64> = (0..count).map(|_| self.number()).collect();
        self.deliveries.extend(numbers.iter().copied().map(DeliveryNumber));
        let next = at(self.seconds + 2);
        numbers.into_iter().map(|number| DeliveryRow { next, ..delivery(number) }).collect()
    }

    fn archive(&mut self, files: &[u64]) -> ArchiveEntry {
        let number = self.number();
        self.archives.push(ArchiveNumber(number));
        if files.is_empty() { small(number) } else { filed(number, files) }
    }
}

fn text<T: std::fmt::Debug>(answer: Result<T, crate::StoreError>) -> Answer {
    Answer::Text(format!("{:?}", answer.unwrap()))
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn all_backends_tell_the_same_after_any_calls(steps in vec(steps(), 1..60)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        block_on(async {
            let memory: Arc<dyn Ledger> = Arc::new(MemoryLedger::new());
            let sqlite = Arc::new(SqliteLedger::open(&path, true, None).unwrap());
            let mut driver = Driver::over(vec![memory, Arc::clone(&sqlite) as Arc<dyn Ledger>]);
            for step in steps {
                driver.step(step).await?;
                let expected = driver.told(&*driver.ledgers[0]).await;
                prop_assert_eq!(driver.told(&*sqlite).await, expected);
            }
            prop_assert_eq!(sqlite.integrity_check().await.unwrap(), Vec::<String>::new());
            sqlite.close().await.unwrap();
            let reopened = SqliteLedger::open(&path, false, None).unwrap();
            let expected = driver.told(&*driver.ledgers[0]).await;
            prop_assert_eq!(driver.told(&reopened).await, expected);
            Ok(())
        })?;
    }
}

proptest! {
    #[test]
    fn no_file_is_lost_or_in_two_places_and_the_log_tells_it_all_again(
        steps in vec(steps(), 1..80),
        lost in vec(any::<usize>(), 1..4),
    ) {
        block_on(async {
            let mut driver = Driver::over(vec![Arc::new(MemoryLedger::new())]);
            for step in steps {
                driver.step(step).await?;
                let told = driver.told(&*driver.ledgers[0]).await;
                driver.check_files(&told)?;
            }
            let told = driver.told(&*driver.ledgers[0]).await;
            driver.check_replay(&told).await?;
            driver.check_damaged_replay(&lost).await
        })?;
    }
}
