//! Jobs: restores, of which S3 tells the state by the object, and inventories, which are ready at once.

use std::time::Duration;

use aws_sdk_s3::types::{self, GlacierJobParameters, RestoreRequest, StorageClass};
use icefield_protocol::{
    ArchiveId, ErrorCode, InventoryParameters, JobAction, JobDescription, JobId, JobRequest,
    JobStatus, Tier, Timestamp, VaultName,
};

use super::{
    S3,
    error::{code_of, service_error},
    ids::Job,
    object::{Found, State},
    output::expired,
};
use crate::target::TargetError;

/// Shortest pause between two looks at a job.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

/// Longest pause between two looks at a job.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// A pause is that part of the time that the job has taken so far.
const PAUSE_FRACTION: u32 = 8;

impl S3 {
    /// Begins to restore an object, or notes that it needs none.
    pub(super) async fn start_job(
        &self,
        vault: &VaultName,
        request: &JobRequest,
    ) -> Result<JobId, TargetError> {
        let at = self.clock.now();
        match request {
            JobRequest::Inventory { parameters, .. } => {
                if *parameters != InventoryParameters::default() {
                    return Err(TargetError::Unsupported {
                        what: "S3 has no inventories of a part of a vault, or as CSV: ask for the whole as JSON"
                            .to_owned(),
                    });
                }
                self.look_at_vault(vault).await?;
                Job::Inventory { at }.id()
            }
            JobRequest::Archive { archive, range, tier, .. } => {
                let key = self.keys.of(vault, archive)?;
                let found = self.present(key).await?;
                if !matches!(found.state, State::Readable) {
                    self.restore(key, &found, *tier).await?;
                }
                Job::Archive { at, tier: *tier, range: *range, key: key.to_owned() }.id()
            }
        }
    }

    /// Asks for an object to be restored. That it is being restored already is as good.
    async fn restore(&self, key: &str, found: &Found, tier: Tier) -> Result<(), TargetError> {
        if found.class == Some(StorageClass::DeepArchive) && tier == Tier::Expedited {
            return Err(TargetError::Service {
                code: ErrorCode::InvalidParameterValue,
                message: format!(
                    "{}: S3 Glacier Deep Archive has no expedited retrieval: use the tier standard (12 hours) or bulk \
                     (48 hours)",
                    self.at(key)
                ),
            });
        }
        let tier = match tier {
            Tier::Expedited => types::Tier::Expedited,
            Tier::Standard => types::Tier::Standard,
            Tier::Bulk => types::Tier::Bulk,
        };
        let parameters = GlacierJobParameters::builder().tier(tier).build();
        let parameters = parameters.map_err(|error| TargetError::Failed(Box::new(error)))?;
        // An object of Intelligent-Tiering comes back to stay.
        let is_tiered = found.class == Some(StorageClass::IntelligentTiering);
        let days = (!is_tiered).then(|| i32::from(self.settings.restore_days.get()));
        let restore =
            RestoreRequest::builder().set_days(days).glacier_job_parameters(parameters).build();
        let request = self
            .client
            .restore_object()
            .bucket(&self.settings.bucket)
            .key(key)
            .restore_request(restore);
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) if code_of(&error) == Some("RestoreAlreadyInProgress") => Ok(()),
            Err(error) => Err(service_error(&self.at(key), error)),
        }
    }

    /// Tells how far a job is. A restored copy that has expired is a job that is gone.
    pub(super) async fn look_at_job(
        &self,
        vault: &VaultName,
        job_id: &JobId,
    ) -> Result<JobDescription, TargetError> {
        let job = Job::parse(job_id)?;
        let blank = self.blank(vault, job_id, job.at());
        let Job::Archive { at, tier, range, key } = job else {
            return Ok(JobDescription {
                completed: true,
                completion_date: Some(job.at()),
                inventory_retrieval_parameters: Some(InventoryParameters::default()),
                status_code: JobStatus::Succeeded,
                ..blank
            });
        };
        let found = self.present(self.keys.inside(vault, &key)?).await?;
        let (status_code, status_message) = match &found.state {
            State::Readable => (JobStatus::Succeeded, "It can be read at any time.".to_owned()),
            State::Restoring => (JobStatus::InProgress, "It is being restored.".to_owned()),
            State::Restored(Some(until)) => {
                (JobStatus::Succeeded, format!("It can be read until {until}."))
            }
            State::Restored(None) => (JobStatus::Succeeded, "It is restored.".to_owned()),
            State::Cold => return Err(expired(&self.at(&key))),
        };
        let tree_hash = self.tree_hash(&key, &found).await?;
        let is_whole = range.is_none_or(|range| range.first == 0 && range.len() >= found.size);
        Ok(JobDescription {
            action: JobAction::ArchiveRetrieval,
            archive_tree_hash: tree_hash,
            archive_size_in_bytes: Some(found.size),
            completed: status_code == JobStatus::Succeeded,
            completion_date: matches!(found.state, State::Readable).then_some(at),
            retrieval_byte_range: range,
            tree_hash: tree_hash.filter(|_| is_whole),
            status_code,
            status_message: Some(status_message),
            tier: Some(tier),
            archive_id: Some(
                ArchiveId::try_from(key).map_err(|error| TargetError::Failed(Box::new(error)))?,
            ),
            ..blank
        })
    }

    /// An inventory job with nothing known of it.
    fn blank(&self, vault: &VaultName, job: &JobId, at: Timestamp) -> JobDescription {
        JobDescription {
            action: JobAction::InventoryRetrieval,
            archive_id: None,
            archive_tree_hash: None,
            archive_size_in_bytes: None,
            completed: false,
            completion_date: None,
            creation_date: at,
            inventory_retrieval_parameters: None,
            inventory_size_in_bytes: None,
            description: None,
            job_id: job.clone(),
            job_output_path: None,
            next_inventory_retrieval_marker: None,
            output_location: None,
            retrieval_byte_range: None,
            select_parameters: None,
            tree_hash: None,
            sns_topic: None,
            status_code: JobStatus::InProgress,
            status_message: None,
            tier: None,
            vault_arn: self.arn(vault),
        }
    }

    /// Looks at an object that must be there.
    async fn present(&self, key: &str) -> Result<Found, TargetError> {
        self.head(key).await?.ok_or_else(|| TargetError::Service {
            code: ErrorCode::ResourceNotFound,
            message: format!("{}: there is no such archive", self.at(key)),
        })
    }

    /// Waits for a part of the time that the job has taken so far: hours are looked at every five minutes.
    #[expect(
        clippy::disallowed_methods,
        reason = "the polling of a service that tells nobody is what waits"
    )]
    pub(super) async fn wait_for(&self, job: &JobId) -> Result<(), TargetError> {
        let Job::Archive { at, .. } = Job::parse(job)? else { return Ok(()) };
        let age = self.clock.now().saturating_since(at);
        tokio::time::sleep((age / PAUSE_FRACTION).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)).await;
        Ok(())
    }
}
