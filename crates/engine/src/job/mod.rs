//! Retrieval jobs: initiated, run when they are due, readable for a while ("Initiate Job (POST jobs)").

mod deliveries;
mod left;
mod output;
mod read;
mod run;

use icefield_protocol::{
    ArchiveId, ByteRange, InventoryParameters, JobAction, JobDescription, JobId, JobRequest,
    JobStatus, Operation, Page, Tier, Timestamp, limits,
};
use icefield_store::{
    entry::JobNumber,
    ledger::{ArchiveRow, JobFilter, JobKind, JobRow, VaultRow},
};
use icefield_treehash::{TreeHash, range::is_leaf_aligned, range::is_tree_aligned};

use tokio::sync::MutexGuard;

use crate::{
    access::Access,
    engine::Engine,
    error::EngineError,
    id::InventoryMarker,
    page::{page_limit, page_of, read_marker},
};

pub(crate) use deliveries::message_id;
pub(crate) use left::JobsLeft;
pub use output::{JobOutput, RequestedRange};
pub use read::OutputReader;

/// Texts of the service.
const IN_PROGRESS: &str = "Operation in progress.";
const SUCCEEDED: &str = "Succeeded";

impl Engine {
    /// Starts a retrieval job. Each call is a new job; none can be cancelled.
    ///
    /// # Errors
    ///
    /// `VaultNotFound`. Of an archive: `ArchiveNotFound`, also when it was deleted; `ForeignArchive`;
    /// `InvalidRetrievalRange` unless the range lies inside and is aligned to MiB. Of an inventory:
    /// `InvalidInventoryDates`; `InvalidLimit`; `InvalidMarker`; `NoInventory`. Then `PolicyEnforced` and
    /// `InsufficientCapacity`, then `JobLimit` and `InventoryJobLimit`.
    pub async fn initiate_job(
        &self,
        access: &Access,
        request: &JobRequest,
    ) -> Result<JobId, EngineError> {
        let vault = self.vault(access, Operation::InitiateJob).await?;
        access.is_about(request.archive())?;
        let (kind, delay, description, sns_topic) = match request {
            JobRequest::Archive { archive, range, tier, description, sns_topic } => {
                let kind = self.archive_job(&vault, archive, *range, *tier).await?;
                (kind, self.settings().retrieval_delay.of(*tier), description, sns_topic)
            }
            JobRequest::Inventory { parameters, description, sns_topic } => {
                let kind = self.inventory_job(&vault, parameters).await?;
                (kind, self.settings().retrieval_delay.standard, description, sns_topic)
            }
        };
        let now = self.now();
        let _counted = self.allow_job(access, &kind, now).await?;
        self.take_job(&vault, &kind).await?;
        let row = JobRow {
            number: JobNumber(self.store().next_number()),
            vault: vault.number,
            seal: self.ids().new_seal()?,
            kind,
            description: description.clone(),
            sns_topic: sns_topic.clone(),
            created: now,
            due: now.saturating_add(delay),
            status: JobStatus::InProgress,
            message: None,
            completed: None,
            output: None,
        };
        let id = self.job_id(&row)?;
        self.store().ledger().create_job(row).await?;
        Ok(id)
    }

    /// Describes a job.
    ///
    /// # Errors
    ///
    /// `VaultNotFound`; `JobNotFound`, also for an expired job.
    pub async fn describe_job(
        &self,
        access: &Access,
        id: &JobId,
    ) -> Result<JobDescription, EngineError> {
        let vault = self.vault(access, Operation::DescribeJob).await?;
        let row = self.job(&vault, id).await?;
        self.job_description(&vault, row).await
    }

    /// Lists jobs in the order of their initiation; the marker is the ID of the first of the next page.
    ///
    /// # Errors
    ///
    /// `VaultNotFound`; `InvalidLimit` of zero; `InvalidMarker` when it is not a job ID of this vault.
    pub async fn list_jobs(
        &self,
        access: &Access,
        filter: JobFilter,
        marker: Option<&str>,
        limit: Option<u64>,
    ) -> Result<Page<JobDescription>, EngineError> {
        let vault = self.vault(access, Operation::ListJobs).await?;
        let limit = page_limit(limit, limits::LIST_LIMIT)?;
        let from = read_marker(marker, |text| {
            let opened = self.ids().open_job(text)?;
            (opened.vault == vault.number).then_some(opened.number)
        })?;
        let now = self.now();
        let rows = self.store().ledger().jobs(vault.number, filter, from, limit + 1).await?;
        let Page { items, marker } = page_of(
            rows,
            limit,
            |row| self.job_id(row).map(String::from),
            |row| Ok(self.is_alive(&row, now).then_some(row)),
        )?;
        let mut described = Vec::with_capacity(items.len());
        for row in items {
            described.push(self.job_description(&vault, row).await?);
        }
        Ok(Page { items: described, marker })
    }

    /// Refuses what the account's retrieval policy, or its want of capacity, does not let through.
    async fn allow_job(
        &self,
        access: &Access,
        kind: &JobKind,
        now: Timestamp,
    ) -> Result<Option<MutexGuard<'_, ()>>, EngineError> {
        let owner = access.account();
        match kind {
            JobKind::Archive { tier: Tier::Standard, range: (first, last), .. } => {
                self.allow_retrieval(owner, last - first + 1, now).await
            }
            JobKind::Archive { tier: Tier::Expedited, .. } => {
                self.allow_expedited(owner).await.map(|()| None)
            }
            JobKind::Archive { tier: Tier::Bulk, .. } | JobKind::Inventory { .. } => Ok(None),
        }
    }

    async fn archive_job(
        &self,
        vault: &VaultRow,
        id: &ArchiveId,
        range: Option<ByteRange>,
        tier: Tier,
    ) -> Result<JobKind, EngineError> {
        let archive = self.archive(vault, id).await?;
        let archive = archive.ok_or_else(|| EngineError::ArchiveNotFound(id.clone()))?;
        if let Some(range) = range
            && !is_leaf_aligned(archive.size, range.first, range.last)
        {
            return Err(EngineError::InvalidRetrievalRange(range));
        }
        Ok(JobKind::Archive {
            archive: archive.number,
            range: range.map_or((0, archive.size - 1), |range| (range.first, range.last)),
            range_given: range.is_some(),
            tier,
        })
    }

    async fn inventory_job(
        &self,
        vault: &VaultRow,
        parameters: &InventoryParameters,
    ) -> Result<JobKind, EngineError> {
        let &InventoryParameters { start_date: start, end_date: end, limit, format, .. } =
            parameters;
        if let (Some(start), Some(end)) = (start, end)
            && start > end
        {
            return Err(EngineError::InvalidInventoryDates { start, end });
        }
        if limit == Some(0) {
            return Err(EngineError::InvalidLimit(0));
        }
        let marker = read_marker(parameters.marker.as_deref(), |text| {
            self.ids().open_marker(text).filter(|marker| marker.vault == vault.number)
        })?;
        // A marker goes on in the snapshot that it comes from, whatever has been taken since.
        let (writes, date) = match marker {
            Some(marker) => (marker.writes, marker.date),
            None => {
                let row = self.with_inventory(vault.clone()).await?;
                let inventory = row.inventory;
                let inventory =
                    inventory.ok_or_else(|| EngineError::NoInventory(self.arn_of(vault)))?;
                (inventory.writes, inventory.date)
            }
        };
        let after = marker.map(|marker| marker.after);
        Ok(JobKind::Inventory { format, writes, date, start, end, limit, after })
    }

    /// Finds a job of the vault that has not expired.
    async fn job(&self, vault: &VaultRow, id: &JobId) -> Result<JobRow, EngineError> {
        let not_found = || EngineError::JobNotFound(id.clone());
        let opened = self.ids().open_job(id.as_str()).ok_or_else(not_found)?;
        if opened.vault != vault.number {
            return Err(not_found());
        }
        let row = self.store().ledger().job(opened.number).await?;
        let now = self.now();
        row.filter(|row| row.seal == opened.seal && self.is_alive(row, now)).ok_or_else(not_found)
    }

    fn is_alive(&self, row: &JobRow, now: Timestamp) -> bool {
        let lifetime = self.settings().job_lifetime;
        row.completed.is_none_or(|ended| now < ended.saturating_add(lifetime))
    }

    fn job_id(&self, row: &JobRow) -> Result<JobId, EngineError> {
        self.ids().job(&row.seal, row.vault, row.number)
    }

    async fn job_description(
        &self,
        vault: &VaultRow,
        row: JobRow,
    ) -> Result<JobDescription, EngineError> {
        let mut job = JobDescription {
            action: JobAction::InventoryRetrieval,
            archive_id: None,
            archive_tree_hash: None,
            archive_size_in_bytes: None,
            completed: row.status != JobStatus::InProgress,
            completion_date: row.completed,
            creation_date: row.created,
            inventory_retrieval_parameters: None,
            inventory_size_in_bytes: None,
            description: row.description.clone(),
            job_id: self.job_id(&row)?,
            job_output_path: None,
            output_location: None,
            select_parameters: None,
            next_inventory_retrieval_marker: None,
            retrieval_byte_range: None,
            tree_hash: None,
            sns_topic: row.sns_topic.clone(),
            status_code: row.status,
            status_message: Some(match row.status {
                JobStatus::InProgress => IN_PROGRESS.to_owned(),
                JobStatus::Succeeded => SUCCEEDED.to_owned(),
                JobStatus::Failed => row.message.clone().unwrap_or_default(),
            }),
            tier: None,
            vault_arn: self.arn_of(vault),
        };
        match row.kind {
            JobKind::Archive { archive, range: (first, last), range_given, tier } => {
                let range = ByteRange { first, last };
                job.action = JobAction::ArchiveRetrieval;
                job.retrieval_byte_range = Some(range);
                job.tier = Some(tier);
                // The ledger keeps the row while the job lives.
                if let Some(archive) = self.store().ledger().archive(archive).await? {
                    job.archive_id = Some(self.archive_id(&archive)?);
                    job.archive_tree_hash = Some(archive.tree_hash);
                    job.archive_size_in_bytes = Some(archive.size);
                    job.tree_hash =
                        self.described_hash(&archive, range, range_given, job.completed).await?;
                }
            }
            JobKind::Inventory { .. } => self.describe_inventory(&row, &mut job)?,
        }
        Ok(job)
    }

    /// The tree hash of a job's range, where it has one. The guide hides that of an explicit range over everything
    /// until the job has ended ("Describe Job (GET JobID)").
    async fn described_hash(
        &self,
        archive: &ArchiveRow,
        range: ByteRange,
        range_given: bool,
        completed: bool,
    ) -> Result<Option<TreeHash>, EngineError> {
        if range.len() == archive.size {
            return Ok((completed || !range_given).then_some(archive.tree_hash));
        }
        if !is_tree_aligned(archive.size, range.first, range.last) {
            return Ok(None);
        }
        match self.stored_bytes(archive).await?.tree_hash(self, range).await {
            Ok(hash) => Ok(Some(hash)),
            Err(EngineError::Damaged { what, leaf, source }) => {
                // Who reads the output is told; a list of jobs must not fail for one of them.
                tracing::warn!(what, leaf, %source, "no tree hash of a range");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn describe_inventory(
        &self,
        row: &JobRow,
        job: &mut JobDescription,
    ) -> Result<(), EngineError> {
        let JobKind::Inventory { format, writes, date, start, end, limit, after } = row.kind else {
            return Ok(());
        };
        let marker = |after: Option<_>| {
            after
                .map(|after| {
                    let marker = InventoryMarker { vault: row.vault, writes, date, after };
                    self.ids().marker(row.seal.key, &marker)
                })
                .transpose()
        };
        // In progress the marker is the request's, afterwards the one to go on with.
        let shown = match row.status {
            JobStatus::Succeeded => {
                job.next_inventory_retrieval_marker =
                    marker(row.output.and_then(|output| output.next))?;
                job.next_inventory_retrieval_marker.clone()
            }
            JobStatus::InProgress | JobStatus::Failed => marker(after)?,
        };
        job.inventory_size_in_bytes = row.output.map(|output| output.extent.size);
        job.inventory_retrieval_parameters = Some(InventoryParameters {
            end_date: end,
            format,
            limit,
            marker: shown,
            start_date: start,
        });
        Ok(())
    }
}
