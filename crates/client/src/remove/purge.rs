//! Deletes everything in a vault, and the vault.
//!
//! ```text
//! uploads in progress > what the catalog knows > the vault?  ── no, it holds something ──> an inventory > what it lists
//!                                                    ^                                                        |
//!                                                    +──── pauses, until the service counts it as empty ──────+
//! ```
//!
//! A service counts a vault by its last inventory, which may be a day old, so a vault that is empty can be deleted only
//! after the next one. Whatever stops a purge in between, the same call goes on: what was deleted is gone from the catalog,
//! and noted there for the inventories that list it still. Archives go through in batches, so memory does not depend on
//! their number.

use std::{collections::HashSet, convert::Infallible, fs::File, io, time::Duration};

use futures_util::{StreamExt as _, stream};
use icefield_protocol::{
    ArchiveId, ErrorCode, InventoryError, InventoryFormat, InventoryHead, InventoryItem,
    InventoryParameters, JobDescription, JobId, JobRequest, JobStatus, Timestamp, VaultDescription,
    read_csv, read_json,
};
use tokio::{
    sync::mpsc::{self, Sender},
    task::JoinError,
};

use super::{AT_ONCE, PlannedDelete, RemoveContext, RemoveError};
use crate::{
    catalog::{Catalog, CatalogError, Life},
    events::Event,
    inventory::is_whole_inventory,
    retrieval::{blocking, chain},
    target::TargetError,
};

/// Archives that are deleted between two notes in the catalog.
const BATCH: usize = 256;

/// Batches that are read of an inventory before they are deleted.
const BATCHES_WAITING: usize = 2;

/// Archives that are named when they could not be deleted; more are only counted.
const MOST_NAMED: u64 = 1000;

/// Inventories that are read. Somebody who goes on writing to the vault would keep a purge busy for ever.
const MOST_INVENTORIES: usize = 8;

/// First pause before the service is asked again; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_mins(1);

/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

/// How long a service that makes an inventory about every day is waited for.
const LONGEST_WAIT: Duration = Duration::from_hours(72);

/// What a purge has deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PurgeReport {
    /// Archives that are gone now.
    pub deleted: u64,
    /// Their bytes, as far as known.
    pub bytes: u64,
    /// Archives that could not be deleted; each was named in a warning, the first thousand of them.
    pub failed: u64,
}

/// What became of a purge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purged {
    /// The vault and all in it are gone.
    Done(PurgeReport),
    /// Somebody else has deleted the vault meanwhile, and the catalog has forgotten it.
    Gone(PurgeReport),
    /// What could be deleted so far is; run it again later.
    NotReady {
        /// What was deleted.
        report: PurgeReport,
        /// What it waits for.
        waits_for: String,
    },
    /// Archives are left that could not be deleted, for example under a vault lock.
    Left(PurgeReport),
}

/// Deletes everything in a vault, and the vault: uploads in progress, archives the catalog knows, archives an inventory
/// lists, the vault itself, and what the catalog knows of it.
///
/// With `no_wait` it returns [`Purged::NotReady`] where it would wait, for an inventory job or for the service to count
/// the vault as empty; without, it waits up to three days for the latter. Interrupted, the same call goes on.
///
/// # Errors
///
/// When the target or the catalog fails for all; what was deleted until then stays so.
pub async fn purge(context: &RemoveContext, no_wait: bool) -> Result<Purged, RemoveError> {
    let mut purge = Purge { context, no_wait, report: PurgeReport::default() };
    let ended = purge.run().await;
    let report = purge.report;
    match ended {
        Ok(()) => {
            purge.on_catalog(|catalog, vault| catalog.forget_vault(vault)).await?;
            Ok(Purged::Done(report))
        }
        Err(Stop::Gone) => {
            purge.on_catalog(|catalog, vault| catalog.forget_vault(vault)).await?;
            Ok(Purged::Gone(report))
        }
        Err(Stop::NotReady(waits_for)) => Ok(Purged::NotReady { report, waits_for }),
        Err(Stop::Left) => Ok(Purged::Left(report)),
        Err(Stop::Failed(error)) => Err(error),
    }
}

/// Why a purge ends before the vault is deleted.
enum Stop {
    /// There is no such vault any more.
    Gone,
    /// It has to wait for this.
    NotReady(String),
    /// Archives could not be deleted.
    Left,
    Failed(RemoveError),
}

impl<E: Into<RemoveError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

struct Purge<'a> {
    context: &'a RemoveContext,
    no_wait: bool,
    report: PurgeReport,
}

impl Purge<'_> {
    async fn run(&mut self) -> Result<(), Stop> {
        self.meet().await?;
        self.abort_uploads().await?;
        self.delete_known().await?;
        let Err(mut why) = self.delete_vault().await? else { return Ok(()) };
        // Something is left that the catalog does not know, or the service has not noticed yet.
        self.refuse_failures()?;
        let mut inventories = 0;
        let mut pauses = Pauses::default();
        loop {
            let may_list = inventories < MOST_INVENTORIES && self.is_worth_listing().await?;
            if may_list && self.delete_listed().await? {
                inventories += 1;
            } else {
                self.pause(&mut pauses, &why).await?;
            }
            match self.delete_vault().await? {
                Ok(()) => return Ok(()),
                Err(refusal) => why = refusal,
            }
        }
    }

    /// Looks at the vault; if it was made again since the catalog has heard of it, what the catalog knows is of no use.
    async fn meet(&self) -> Result<(), Stop> {
        let created = self.describe().await?.creation_date;
        match self.on_catalog(move |catalog, vault| catalog.meet_vault(vault, created)).await? {
            Life::Same => {}
            Life::New { gone } => self.context.events.event(Event::Warning {
                path: None,
                message: format!(
                    "the vault `{}` was deleted and made again on {created}: {gone} entries of the one before count as gone",
                    self.context.vault_name
                ),
            }),
        }
        Ok(())
    }

    async fn describe(&self) -> Result<VaultDescription, Stop> {
        let RemoveContext { target, vault_name, .. } = self.context;
        match target.describe_vault(vault_name).await {
            Ok(described) => Ok(described),
            Err(error) if error.is_not_found() => Err(Stop::Gone),
            Err(error) => Err(error.into()),
        }
    }

    /// What was found; `None` when it does not exist though the vault does.
    async fn found<T>(&self, answer: Result<T, TargetError>) -> Result<Option<T>, Stop> {
        match answer {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.is_not_found() => self.describe().await.map(|_| None),
            Err(error) => Err(error.into()),
        }
    }

    async fn abort_uploads(&self) -> Result<(), Stop> {
        let RemoveContext { target, vault_name, .. } = self.context;
        let mut marker = None;
        loop {
            let page = target.list_uploads(vault_name, marker.as_deref()).await;
            let Some(page) = self.found(page).await? else { return Ok(()) };
            for upload in page.items {
                self.found(target.abort_upload(vault_name, &upload.upload_id).await).await?;
            }
            marker = page.marker;
            if marker.is_none() {
                return Ok(());
            }
        }
    }

    /// Deletes what the catalog knows.
    async fn delete_known(&mut self) -> Result<(), Stop> {
        let (archives, bytes) =
            self.on_catalog(|catalog, vault| catalog.archives_and_bytes(vault)).await?;
        self.context.events.event(Event::Planned { files: archives, bytes });
        let mut after = 0;
        loop {
            let batch = self
                .on_catalog(move |catalog, vault| catalog.archives_after(vault, after, BATCH))
                .await?;
            let Some(last) = batch.last() else { break };
            after = last.number;
            let mut seen = HashSet::new();
            let planned = batch.into_iter().filter(|known| seen.insert(known.archive.clone()));
            let planned = planned.map(|known| PlannedDelete {
                archive: known.archive,
                path: Some(known.path),
                size: known.size,
                uploaded: None,
            });
            self.delete(planned.collect()).await?;
        }
        let manifests = self.on_catalog(|catalog, vault| catalog.manifests(vault)).await?;
        for some in manifests.chunks(BATCH) {
            self.delete(some.iter().cloned().map(PlannedDelete::from).collect()).await?;
        }
        Ok(())
    }

    /// Deletes a batch of archives at the target, then in the catalog.
    async fn delete(&mut self, batch: Vec<PlannedDelete>) -> Result<(), Stop> {
        let RemoveContext { target, vault_name, events, .. } = self.context;
        let tried = batch.len();
        let mut deletes = stream::iter(batch)
            .map(|planned| async move {
                let deleted = target.delete_archive(vault_name, &planned.archive).await;
                (planned, deleted)
            })
            .buffer_unordered(AT_ONCE.get());
        let (mut gone, mut missing, mut stop) = (Vec::new(), 0, None);
        while let Some((planned, deleted)) = deletes.next().await {
            match deleted {
                Ok(()) => {
                    let bytes = planned.size.unwrap_or(0);
                    self.report.deleted += 1;
                    self.report.bytes = self.report.bytes.saturating_add(bytes);
                    events.event(Event::Moved { bytes, resumed: false });
                    if let Some(path) = planned.path {
                        events.event(Event::FileDone { path, skipped: false });
                    }
                    gone.push(planned.archive);
                }
                Err(error) if error.is_not_found() => {
                    missing += 1;
                    gone.push(planned.archive);
                }
                Err(error @ TargetError::Service { .. }) => {
                    self.report.failed += 1;
                    if self.report.failed <= MOST_NAMED {
                        let archive = planned.archive;
                        let message = format!("{archive} was not deleted: {}", chain(&error));
                        events.event(Event::Warning { path: planned.path, message });
                    }
                }
                // What fails for one fails for all.
                Err(error) => {
                    stop = Some(error);
                    break;
                }
            }
        }
        drop(deletes);
        let now = self.context.clock.now();
        self.on_catalog(move |catalog, vault| catalog.purged(vault, &gone, now)).await?;
        if let Some(error) = stop {
            return Err(error.into());
        }
        if missing == tried {
            // Perhaps because the vault is.
            self.describe().await?;
        }
        Ok(())
    }

    fn refuse_failures(&self) -> Result<(), Stop> {
        if self.report.failed > 0 { Err(Stop::Left) } else { Ok(()) }
    }

    /// Deletes the vault; answers why not when the service says that it is not empty, or was written to recently.
    async fn delete_vault(&self) -> Result<Result<(), String>, Stop> {
        match self.context.target.delete_vault(&self.context.vault_name).await {
            Ok(()) => Ok(Ok(())),
            Err(error) if error.is_not_found() => Ok(Ok(())),
            Err(TargetError::Service { code: ErrorCode::InvalidParameterValue, message }) => {
                Ok(Err(message))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Whether an inventory could tell of something that nobody has tried to delete.
    async fn is_worth_listing(&self) -> Result<bool, Stop> {
        let RemoveContext { target, vault_name, .. } = self.context;
        let noted = self.on_catalog(|catalog, vault| catalog.inventory_job(vault)).await?;
        let Some((job, true)) = noted else { return Ok(true) };
        // One was read, and everything in it is deleted.
        let vault = self.describe().await?;
        if vault.number_of_archives == 0 {
            return Ok(false);
        }
        if target.inventory_lag().is_zero() {
            return Ok(true);
        }
        let Some(job) = self.found(target.describe_job(vault_name, &job).await).await? else {
            return Ok(true);
        };
        // What the service counts by an inventory from before the deletions says nothing.
        let last = self.on_catalog(|catalog, vault| catalog.last_purged(vault)).await?;
        Ok(vault.last_inventory_date >= last.max(Some(job.creation_date)))
    }

    /// Deletes what an inventory lists; answers whether there was one. There is none of a vault that was never written to.
    async fn delete_listed(&mut self) -> Result<bool, Stop> {
        let Some(job) = self.inventory_job().await? else { return Ok(false) };
        let Some(job) = self.finished(&job).await? else { return Ok(false) };
        let file = self.inventory(&job.job_id).await?;
        let parameters = job.inventory_retrieval_parameters.as_ref();
        let is_csv = parameters.is_some_and(|found| found.format == InventoryFormat::Csv);
        let (file, date) = blocking(move || date_of(file, is_csv)).await?;
        // What was deleted after that may be listed all the same.
        let lag = self.context.target.inventory_lag();
        let since = date.map(|date| earlier(date, lag));
        let (sender, mut batches) = mpsc::channel(BATCHES_WAITING);
        let reading = tokio::task::spawn_blocking(move || read(file, is_csv, &sender));
        while let Some(batch) = batches.recv().await {
            let left = self
                .on_catalog(move |catalog, vault| catalog.not_purged(vault, batch, since))
                .await?;
            let planned = left.into_iter().map(|(archive, size)| PlannedDelete {
                archive,
                path: None,
                size: Some(size),
                uploaded: None,
            });
            self.delete(planned.collect()).await?;
        }
        reading.await.map_err(stopped)??;
        // What could not be deleted is to be tried again.
        self.refuse_failures()?;
        let job = job.job_id;
        self.on_catalog(move |catalog, vault| catalog.note_inventory_job(vault, &job, true))
            .await?;
        Ok(true)
    }

    /// The inventory job to read: the one begun before, a usable one of somebody else, or a new one. None when the service
    /// has no inventory of the vault.
    async fn inventory_job(&self) -> Result<Option<JobId>, Stop> {
        let RemoveContext { target, vault_name, .. } = self.context;
        let noted = self.on_catalog(|catalog, vault| catalog.inventory_job(vault)).await?;
        let read = match noted {
            Some((job, false)) => {
                let job = self.found(target.describe_job(vault_name, &job).await).await?;
                match job {
                    Some(job) if job.status_code != JobStatus::Failed => {
                        return Ok(Some(job.job_id));
                    }
                    Some(_) | None => None,
                }
            }
            Some((job, true)) => Some(job),
            None => None,
        };
        // After one that was read, only a new one tells more.
        let mut job = if read.is_none() { self.others_job().await? } else { None };
        if job.is_none() {
            let parameters = InventoryParameters::default();
            let request = JobRequest::Inventory { parameters, description: None, sns_topic: None };
            job = self.found(target.initiate_job(vault_name, &request).await).await?;
        }
        if let Some(job) = job.clone() {
            self.on_catalog(move |catalog, vault| catalog.note_inventory_job(vault, &job, false))
                .await?;
        }
        Ok(job)
    }

    /// Finds an inventory job of the whole vault that somebody else has started. Where inventories are always current, a
    /// finished one is only older than a new one.
    async fn others_job(&self) -> Result<Option<JobId>, Stop> {
        let RemoveContext { target, vault_name, .. } = self.context;
        let is_slow = !target.inventory_lag().is_zero();
        let will_do = |job: &JobDescription| match job.status_code {
            JobStatus::InProgress => true,
            JobStatus::Succeeded => is_slow,
            JobStatus::Failed => false,
        };
        let mut newest = None;
        let mut marker = None;
        loop {
            let page = target.list_jobs(vault_name, marker.as_deref()).await;
            let Some(page) = self.found(page).await? else { return Ok(None) };
            let usable =
                page.items.into_iter().filter(|job| is_whole_inventory(job) && will_do(job));
            newest = usable.map(|job| (job.creation_date, job.job_id)).chain(newest).max();
            marker = page.marker;
            if marker.is_none() {
                return Ok(newest.map(|(_, job)| job));
            }
        }
    }

    /// Waits until the job has succeeded; `None` when it is not remembered any more.
    async fn finished(&self, job: &JobId) -> Result<Option<JobDescription>, Stop> {
        let RemoveContext { target, vault_name, events, .. } = self.context;
        let mut is_told = false;
        loop {
            let described = self.found(target.describe_job(vault_name, job).await).await?;
            let Some(described) = described else { return Ok(None) };
            match described.status_code {
                JobStatus::Succeeded => return Ok(Some(described)),
                JobStatus::Failed => {
                    let why = described.status_message;
                    let why = why.unwrap_or_else(|| "the inventory job failed".to_owned());
                    return Err(RemoveError::Inventory(io::Error::other(why)).into());
                }
                JobStatus::InProgress => {}
            }
            let waits_for = format!("the inventory job {job}, which lists what is in the vault");
            if self.no_wait {
                return Err(Stop::NotReady(waits_for));
            }
            if !is_told {
                events.event(Event::Note(format!("waiting for {waits_for}")));
                is_told = true;
            }
            target.wait(vault_name, job).await?;
        }
    }

    /// Fetches an inventory into a temporary file: to delete takes longer than outputs are kept.
    async fn inventory(&self, job: &JobId) -> Result<File, Stop> {
        use io::{Seek as _, Write as _};
        let mut output =
            self.context.target.job_output(&self.context.vault_name, job, None).await?;
        let mut file = tempfile::tempfile().map_err(RemoveError::Inventory)?;
        while let Some(chunk) = output.chunks.next().await {
            let chunk = chunk?;
            let (back, written) = blocking(move || {
                let written = file.write_all(&chunk);
                (file, written)
            })
            .await;
            file = back;
            written.map_err(RemoveError::Inventory)?;
        }
        file.rewind().map_err(RemoveError::Inventory)?;
        Ok(file)
    }

    /// Waits for the service to count the vault as empty.
    async fn pause(&self, pauses: &mut Pauses, why: &str) -> Result<(), Stop> {
        let inventory = match self.describe().await?.last_inventory_date {
            Some(date) => format!("the last is of {date}"),
            None => "there is none yet".to_owned(),
        };
        let waits_for = format!(
            "the service's next inventory ({inventory}; one comes about every day), because it says: {why}"
        );
        let Some(pause) = pauses.next().filter(|_| !self.no_wait) else {
            return Err(Stop::NotReady(waits_for));
        };
        let again = self.context.clock.now().saturating_add(pause);
        let again = Timestamp::from_unix_millis(again.unix_millis() / 1000 * 1000);
        self.context.events.event(Event::Note(format!(
            "everything that is known is deleted; waiting for {waits_for}. Trying again at {again}"
        )));
        wait(pause).await;
        Ok(())
    }

    /// Runs a call of the catalog where it may block.
    async fn on_catalog<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Catalog, crate::catalog::VaultRef) -> Result<T, CatalogError>
        + Send
        + 'static,
    ) -> Result<T, CatalogError> {
        let (catalog, vault) = (self.context.catalog.clone(), self.context.vault);
        blocking(move || call(&catalog, vault)).await
    }
}

/// The pauses of a purge: twice as long each time, up to a limit, and not for ever.
#[derive(Debug, Default)]
struct Pauses {
    last: Option<Duration>,
    waited: Duration,
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = self.last.map_or(FIRST_PAUSE, |last| (last * 2).min(LONGEST_PAUSE));
        self.last = Some(pause);
        self.waited += pause;
        (self.waited <= LONGEST_WAIT).then_some(pause)
    }
}

#[expect(clippy::disallowed_methods, reason = "the pauses have named limits, above")]
async fn wait(pause: Duration) {
    tokio::time::sleep(pause).await;
}

/// The date of an inventory, which a CSV does not tell, and the file at its beginning again. Blocks.
fn date_of(mut file: File, is_csv: bool) -> Result<(File, Option<Timestamp>), RemoveError> {
    use io::Seek as _;
    let head = each_of(&file, is_csv, &mut |_| Ok(()))?;
    file.rewind().map_err(RemoveError::Inventory)?;
    Ok((file, head.date))
}

fn earlier(date: Timestamp, by: Duration) -> Timestamp {
    let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_unix_millis(date.unix_millis().saturating_sub(by))
}

/// Reads an inventory and hands its archives over in batches. Blocks while nobody takes them.
fn read(file: File, is_csv: bool, to: &Sender<Vec<(ArchiveId, u64)>>) -> Result<(), RemoveError> {
    let mut batch = Vec::with_capacity(BATCH);
    each_of(&file, is_csv, &mut |item: InventoryItem| {
        batch.push((item.archive_id, item.size));
        if batch.len() == BATCH {
            // Nobody takes it when deleting had to stop, which is told there.
            to.blocking_send(std::mem::replace(&mut batch, Vec::with_capacity(BATCH))).ok();
        }
        Ok(())
    })?;
    to.blocking_send(batch).ok();
    Ok(())
}

fn each_of(
    file: &File,
    is_csv: bool,
    each: &mut dyn FnMut(InventoryItem) -> Result<(), Infallible>,
) -> Result<InventoryHead, RemoveError> {
    let file = io::BufReader::new(file);
    let read = if is_csv { read_csv(file, each) } else { read_json(file, each) };
    read.map_err(|error| {
        RemoveError::Inventory(match error {
            InventoryError::Read { source, .. } => source,
            error => io::Error::other(error.to_string()),
        })
    })
}

fn stopped(error: JoinError) -> RemoveError {
    RemoveError::Inventory(io::Error::other(error))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{LONGEST_PAUSE, LONGEST_WAIT, Pauses};

    #[test]
    fn pauses_grow_to_a_limit_and_end() {
        let pauses: Vec<Duration> = Pauses::default().collect();
        assert_eq!(pauses[..3], [1, 2, 4].map(Duration::from_mins));
        assert!(pauses.iter().all(|pause| *pause <= LONGEST_PAUSE));
        let waited: Duration = pauses.iter().sum();
        assert!(waited <= LONGEST_WAIT && waited + LONGEST_PAUSE > LONGEST_WAIT, "{waited:?}");
    }
}
