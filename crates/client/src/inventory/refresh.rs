//! Brings the catalog up to date with a vault: inventory job, reconciliation, manifests.
//!
//! A job that was started and not yet read is taken up again, by the next run too. At a service whose inventories take
//! hours a finished job that somebody else has started will do; where inventories are always current a new one is
//! better. The output is parsed while it arrives, on a thread that may block.

use std::{
    io::{self, BufReader, Read},
    time::Duration,
};

use bytes::{Buf as _, Bytes};
use futures_util::StreamExt as _;
use icefield_protocol::{
    ArchiveId, InventoryFormat, InventoryParameters, JobAction, JobDescription, JobId, JobRequest,
    JobStatus, Tier, Timestamp, VaultName, read_csv, read_json,
};
use tokio::{
    sync::mpsc,
    task::{JoinError, spawn_blocking},
};

use super::{
    Refusals,
    reconcile::{ReconcileError, Reconciliation, RefreshReport, apply_manifest, reconcile},
};
use crate::{
    catalog::{Catalog, CatalogError, RetrievalKey, VaultRef},
    events::{Event, Events},
    life::{MeetError, meet},
    target::{Output, Target, TargetError},
};

/// Age of a finished job that will still do.
const RECENT: Duration = Duration::from_hours(24);
/// Chunks between the network and the parser.
const MAX_CHUNKS_WAITING: usize = 4;

/// How to refresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefreshOptions {
    /// Return at once when a job is not ready.
    pub no_wait: bool,
    /// Tier of the jobs that retrieve manifests.
    pub tier: Tier,
}

impl Default for RefreshOptions {
    fn default() -> Self {
        Self { no_wait: false, tier: Tier::Standard }
    }
}

/// Refreshing failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RefreshError {
    /// The inventory is not ready, and waiting was not wanted. The next refresh takes the job up.
    #[error("the inventory job {job} is not ready yet; run this again later")]
    NotReady {
        /// The job.
        job: JobId,
    },
    /// A job failed at the service.
    #[error("the job {job} failed: {message}")]
    JobFailed {
        /// The job.
        job: JobId,
        /// What the service says about it.
        message: String,
    },
    /// The target failed.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The inventory or a manifest could not be read, or the catalog failed.
    #[error(transparent)]
    Reconcile(#[from] ReconcileError),
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The work on the catalog's thread was stopped.
    #[error("the work on the catalog was stopped")]
    Stopped(#[from] JoinError),
}

impl From<MeetError> for RefreshError {
    fn from(error: MeetError) -> Self {
        match error {
            MeetError::Target(error) => error.into(),
            MeetError::Catalog(error) => error.into(),
        }
    }
}

/// Brings the catalog up to date with a vault.
///
/// Manifests that are not ready under `no_wait`, or whose retrieval failed (a warning says so), stay in the report's
/// `manifests`; the next refresh goes on with them. Cancel safe: what was added is kept, nothing is marked as gone before
/// the inventory was read to its end.
///
/// # Errors
///
/// [`RefreshError::NotReady`] under `no_wait`; else when target or catalog fail.
pub async fn refresh(
    target: &dyn Target,
    catalog: &Catalog,
    vault_name: &VaultName,
    events: &dyn Events,
    now: &(dyn Fn() -> Timestamp + Send + Sync),
    options: &RefreshOptions,
) -> Result<RefreshReport, RefreshError> {
    let (identity, name) = (target.identity().to_owned(), vault_name.clone());
    let vault = on_catalog(catalog, move |catalog| catalog.vault(&identity, &name)).await?;
    let refresh = Refresh { target, catalog, name: vault_name, vault, events, now, options };
    let date = now();
    let described = meet(target, catalog, vault_name, vault, events).await?;
    let job = match refresh.find_or_start().await {
        // Of a vault that was never written to no service has an inventory.
        Err(RefreshError::Target(error))
            if error.is_not_found()
                && described.is_some_and(|described| described.number_of_archives == 0) =>
        {
            return refresh.reconcile_empty(date).await;
        }
        job => job?,
    };
    let finished = refresh.finished(&job).await?;
    let job = finished.ok_or(RefreshError::NotReady { job })?;
    let mut report = refresh.reconcile(&job).await?;
    refresh.apply_manifests(&mut report).await?;
    Ok(report)
}

struct Refresh<'a> {
    target: &'a dyn Target,
    catalog: &'a Catalog,
    name: &'a VaultName,
    vault: VaultRef,
    events: &'a dyn Events,
    now: &'a (dyn Fn() -> Timestamp + Send + Sync),
    options: &'a RefreshOptions,
}

impl Refresh<'_> {
    /// Returns an inventory job: the one begun before, a usable one of somebody else, or a new one.
    async fn find_or_start(&self) -> Result<JobId, RefreshError> {
        let vault = self.vault;
        let noted = on_catalog(self.catalog, move |catalog| catalog.inventory_job(vault)).await?;
        let read = match noted {
            Some((job, false)) => match self.target.describe_job(self.name, &job).await {
                Ok(found) if self.is_usable(&found) => return Ok(job),
                Ok(_) => None,
                Err(error) if error.is_not_found() => None,
                Err(error) => return Err(error.into()),
            },
            Some((job, true)) => Some(job),
            None => None,
        };
        let job = match self.find(read).await? {
            Some(job) => job,
            None => {
                let parameters = InventoryParameters::default();
                let request =
                    JobRequest::Inventory { parameters, description: None, sns_topic: None };
                self.target.initiate_job(self.name, &request).await?
            }
        };
        let noted = job.clone();
        on_catalog(self.catalog, move |catalog| catalog.note_inventory_job(vault, &noted, false))
            .await?;
        Ok(job)
    }

    /// Whether a job runs or has succeeded lately.
    fn is_usable(&self, job: &JobDescription) -> bool {
        let now = (self.now)();
        match job.status_code {
            JobStatus::InProgress => true,
            JobStatus::Failed => false,
            JobStatus::Succeeded => {
                job.completion_date.is_some_and(|at| now.saturating_since(at) < RECENT)
            }
        }
    }

    /// Finds a running job, or a finished one where inventories take hours; not the one that was `read` last.
    async fn find(&self, read: Option<JobId>) -> Result<Option<JobId>, RefreshError> {
        // Where inventories are always current, a finished one is only older than a new one.
        let will_do = |job: &JobDescription| {
            self.is_usable(job)
                && (job.status_code == JobStatus::InProgress
                    || !self.target.inventory_lag().is_zero())
        };
        let mut marker = None;
        loop {
            let page = self.target.list_jobs(self.name, marker.as_deref()).await?;
            let mut jobs = page.items.into_iter();
            let found = jobs.find(|job| {
                is_whole_inventory(job) && Some(&job.job_id) != read.as_ref() && will_do(job)
            });
            marker = page.marker;
            if found.is_some() || marker.is_none() {
                return Ok(found.map(|job| job.job_id));
            }
        }
    }

    /// Waits until a job has succeeded; none when it has not and waiting is not wanted.
    async fn finished(&self, job: &JobId) -> Result<Option<JobDescription>, RefreshError> {
        let mut told = false;
        loop {
            let found = self.target.describe_job(self.name, job).await?;
            match found.status_code {
                JobStatus::Succeeded => return Ok(Some(found)),
                JobStatus::Failed => {
                    let message = found.status_message.unwrap_or_default();
                    return Err(RefreshError::JobFailed { job: job.clone(), message });
                }
                JobStatus::InProgress if self.options.no_wait => return Ok(None),
                JobStatus::InProgress => {}
            }
            if !told {
                let what = match found.action {
                    JobAction::InventoryRetrieval => "inventory",
                    JobAction::ArchiveRetrieval => "manifest",
                };
                self.events.event(Event::Note(format!("waiting for the {what} job {job}")));
                told = true;
            }
            self.target.wait(self.name, job).await?;
        }
    }

    async fn reconcile(&self, job: &JobDescription) -> Result<RefreshReport, RefreshError> {
        let output = self.target.job_output(self.name, &job.job_id, None).await?;
        let (catalog, vault, date) = (self.catalog.clone(), self.vault, job.creation_date);
        let lag = self.target.inventory_lag();
        let parameters = job.inventory_retrieval_parameters.as_ref();
        let csv = parameters.is_some_and(|found| found.format == InventoryFormat::Csv);
        let report = through_thread(output, move |reader| {
            reconcile(&catalog, vault, date, lag, |each| {
                if csv { read_csv(reader, each) } else { read_json(reader, each) }
            })
        })
        .await?;
        let job = job.job_id.clone();
        on_catalog(self.catalog, move |catalog| catalog.note_inventory_job(vault, &job, true))
            .await?;
        Ok(report)
    }

    async fn reconcile_empty(&self, date: Timestamp) -> Result<RefreshReport, RefreshError> {
        let (vault, lag) = (self.vault, self.target.inventory_lag());
        let finish =
            move |catalog: &Catalog| Reconciliation::begin(catalog, vault)?.finish(date, lag);
        on_catalog(self.catalog, finish).await
    }

    /// Retrieves and applies the manifests of the report; those that are not applied stay in it.
    async fn apply_manifests(&self, report: &mut RefreshReport) -> Result<(), RefreshError> {
        let mut jobs = Vec::new();
        for (archive, _) in &report.manifests {
            jobs.push(self.manifest_job(archive).await);
        }
        let mut left = Vec::new();
        for ((archive, size), job) in std::mem::take(&mut report.manifests).into_iter().zip(jobs) {
            let applied = match job {
                Ok(job) => self.apply_manifest(&archive, &job).await,
                Err(error) => Err(error),
            };
            match applied {
                Ok(Some(refused)) => {
                    refused.first.into_iter().for_each(|refusal| report.refused.add(refusal));
                }
                Ok(None) => left.push((archive, size)),
                Err(error) => {
                    let message =
                        format!("the manifest {archive} could not be applied: {}", chain(&error));
                    self.events.event(Event::Warning { path: None, message });
                    left.push((archive, size));
                }
            }
        }
        report.manifests = left;
        Ok(())
    }

    async fn manifest_job(&self, archive: &ArchiveId) -> Result<JobId, RefreshError> {
        let vault = self.vault;
        let key = RetrievalKey { archive: archive.clone(), range: None };
        let wanted = key.clone();
        let noted =
            on_catalog(self.catalog, move |catalog| catalog.job_for(vault, &wanted)).await?;
        if let Some((job, _)) = noted {
            match self.target.describe_job(self.name, &job).await {
                Ok(found) if found.status_code != JobStatus::Failed => return Ok(job),
                Ok(_) => {}
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error.into()),
            }
        }
        let (tier, started) = (self.options.tier, (self.now)());
        let archive = archive.clone();
        let request =
            JobRequest::Archive { archive, range: None, tier, description: None, sns_topic: None };
        let job = self.target.initiate_job(self.name, &request).await?;
        let noted = job.clone();
        on_catalog(self.catalog, move |catalog| {
            catalog.remember_job(vault, &key, &noted, tier, started)
        })
        .await?;
        Ok(job)
    }

    /// Applies a manifest; none when its job is not ready and waiting is not wanted.
    async fn apply_manifest(
        &self,
        archive: &ArchiveId,
        job: &JobId,
    ) -> Result<Option<Refusals>, RefreshError> {
        if self.finished(job).await?.is_none() {
            return Ok(None);
        }
        let output = self.target.job_output(self.name, job, None).await?;
        let (catalog, vault, archive) = (self.catalog.clone(), self.vault, archive.clone());
        let apply = move |reader| apply_manifest(&catalog, vault, &archive, reader);
        through_thread(output, apply).await.map(Some)
    }
}

/// Whether a job lists all of a vault.
pub(crate) fn is_whole_inventory(job: &JobDescription) -> bool {
    let whole = job.inventory_retrieval_parameters.as_ref().is_none_or(|found| {
        found.start_date.is_none()
            && found.end_date.is_none()
            && found.limit.is_none()
            && found.marker.is_none()
    });
    job.action == JobAction::InventoryRetrieval && whole
}

/// Runs a call of the catalog where it may block.
async fn on_catalog<T: Send + 'static>(
    catalog: &Catalog,
    call: impl FnOnce(&Catalog) -> Result<T, CatalogError> + Send + 'static,
) -> Result<T, RefreshError> {
    let catalog = catalog.clone();
    Ok(spawn_blocking(move || call(&catalog)).await??)
}

/// Gives the bytes of `output` to `work` on a thread that may block.
async fn through_thread<T: Send + 'static>(
    mut output: Output,
    work: impl FnOnce(BufReader<Arriving>) -> Result<T, ReconcileError> + Send + 'static,
) -> Result<T, RefreshError> {
    let (sender, receiver) = mpsc::channel(MAX_CHUNKS_WAITING);
    let arriving = Arriving { receiver, chunk: Bytes::new(), ended: false };
    let worker = spawn_blocking(move || work(BufReader::new(arriving)));
    let mut failure = None;
    loop {
        let part = match output.chunks.next().await {
            Some(Ok(chunk)) => Part::Chunk(chunk),
            Some(Err(error)) => {
                failure = Some(error);
                break;
            }
            None => Part::End,
        };
        let last = matches!(part, Part::End);
        // The worker stops listening when it has failed, and says why itself.
        if sender.send(part).await.is_err() || last {
            break;
        }
    }
    drop(sender);
    let result = worker.await?;
    match failure {
        Some(error) => Err(error.into()),
        None => Ok(result?),
    }
}

/// What the network hands to the parser. The end is told: a sender that vanished is no end.
enum Part {
    Chunk(Bytes),
    End,
}

/// Bytes on their way, for a reader that blocks.
struct Arriving {
    receiver: mpsc::Receiver<Part>,
    chunk: Bytes,
    ended: bool,
}

impl Read for Arriving {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() && !self.ended {
            match self.receiver.blocking_recv() {
                Some(Part::Chunk(chunk)) => self.chunk = chunk,
                Some(Part::End) => self.ended = true,
                None => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it was cut off")),
            }
        }
        let length = buffer.len().min(self.chunk.len());
        self.chunk.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
