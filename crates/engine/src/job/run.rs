//! Running jobs that are due. Archives are on disks already, so there is nothing to fetch; inventories are written.

use icefield_protocol::Timestamp;
use icefield_store::ledger::{JobEnd, JobKind, JobRow};

use crate::{body::Reserved, engine::Engine, error::EngineError, inventory::Selection};

/// Jobs taken from the ledger at a time.
const JOBS_PAGE: usize = 100;

/// Why a job fails whose archive was deleted before it was done.
const ARCHIVE_DELETED: &str = "The archive was deleted.";

impl Engine {
    /// Ends all jobs that are due by now, oldest first, and returns how many. Waits for a run that is under way.
    ///
    /// # Errors
    ///
    /// When the store fails; the job that met it stays in progress, those before it have ended.
    pub async fn run_due_jobs(&self) -> Result<u64, EngineError> {
        let _one_at_a_time = self.inner.running.lock().await;
        let mut ended = 0;
        loop {
            let jobs = self.store().ledger().due_jobs(self.now(), JOBS_PAGE).await?;
            for job in &jobs {
                let (end, name) = self.run(job).await?;
                let at = self.now();
                let deliveries = self.deliveries(job, &end, at).await?;
                if self.store().ledger().end_job(job.number, end, at, deliveries).await? {
                    ended += 1;
                    self.inner.outbox.notify_one();
                }
                if let Some(name) = name {
                    name.release().await?;
                }
            }
            if jobs.len() < JOBS_PAGE {
                return Ok(ended);
            }
        }
    }

    /// Returns when the next job becomes due, if any is in progress.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn next_due(&self) -> Result<Option<Timestamp>, EngineError> {
        Ok(self.store().ledger().next_due().await?)
    }

    /// Does the work of a job. The name is that of its output, to be kept until the job has ended.
    async fn run(&self, job: &JobRow) -> Result<(JobEnd, Option<Reserved>), EngineError> {
        match job.kind {
            JobKind::Archive { archive, .. } => {
                let row = self.store().ledger().archive(archive).await?;
                let exists = row.is_some_and(|row| row.deleted_write.is_none());
                let failed = || JobEnd::Failed(ARCHIVE_DELETED.to_owned());
                Ok((if exists { JobEnd::Succeeded(None) } else { failed() }, None))
            }
            JobKind::Inventory { format, writes, date, start, end, limit, after } => {
                let selection =
                    Selection { vault: job.vault, writes, date, start, end, limit, after };
                let (output, name) = self.write_inventory(selection, format).await?;
                Ok((JobEnd::Succeeded(Some(output)), Some(name)))
            }
        }
    }
}
