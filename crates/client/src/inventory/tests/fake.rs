//! A target that has only jobs; each is ready after a number of waits.

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;
use icefield_protocol::{
    ArchiveId, ByteRange, ErrorCode, JobAction, JobDescription, JobId, JobRequest, JobStatus, Page,
    PartSize, TreeHash, UploadDescription, UploadId, VaultDescription, VaultName,
};

use super::day;
use crate::target::{
    Archived, Body, ListedPart, NewArchive, Output, StoredPart, Target, TargetError,
};

#[derive(Debug, Default)]
pub(super) struct Fake {
    pub(super) foreign: bool,
    /// What the next inventory will say.
    pub(super) inventory: Mutex<Vec<u8>>,
    pub(super) archives: BTreeMap<ArchiveId, Vec<u8>>,
    /// Waits until a new job is ready.
    pub(super) waits: usize,
    /// Whether an output breaks off after half of its bytes.
    pub(super) breaks_off: Mutex<bool>,
    pub(super) jobs: Mutex<Vec<Job>>,
    /// There is no inventory of such a vault.
    pub(super) never_written: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) description: JobDescription,
    pub(super) output: Vec<u8>,
    pub(super) waits: usize,
}

impl Fake {
    /// Starts a job, as somebody else would.
    pub(super) fn start(&self, request: &JobRequest) -> JobId {
        let mut jobs = self.jobs.lock().unwrap();
        let job_id = JobId::parse(&format!("job-{}", jobs.len())).unwrap();
        let (action, archive_id, parameters, output) = match request {
            JobRequest::Inventory { parameters, .. } => {
                let output = self.inventory.lock().unwrap().clone();
                (JobAction::InventoryRetrieval, None, Some(parameters.clone()), output)
            }
            JobRequest::Archive { archive, .. } => {
                let output = self.archives[archive].clone();
                (JobAction::ArchiveRetrieval, Some(archive.clone()), None, output)
            }
        };
        let description = JobDescription {
            action,
            archive_id,
            archive_tree_hash: None,
            archive_size_in_bytes: None,
            completed: false,
            completion_date: None,
            creation_date: day(100),
            inventory_retrieval_parameters: parameters,
            inventory_size_in_bytes: None,
            description: None,
            job_id: job_id.clone(),
            job_output_path: None,
            output_location: None,
            select_parameters: None,
            next_inventory_retrieval_marker: None,
            retrieval_byte_range: None,
            tree_hash: None,
            sns_topic: None,
            status_code: JobStatus::InProgress,
            status_message: None,
            tier: None,
            vault_arn: "arn:aws:glacier:us-east-1:012345678901:vaults/photos".parse().unwrap(),
        };
        let mut job = Job { description, output, waits: self.waits };
        job.settle();
        jobs.push(job);
        job_id
    }

    pub(super) fn started(&self) -> usize {
        self.jobs.lock().unwrap().len()
    }

    fn with<T>(&self, id: &JobId, act: impl FnOnce(&mut Job) -> T) -> Result<T, TargetError> {
        let mut jobs = self.jobs.lock().unwrap();
        let job = jobs.iter_mut().find(|job| job.description.job_id == *id);
        job.map(act).ok_or_else(|| TargetError::Service {
            code: ErrorCode::ResourceNotFound,
            message: format!("the job {id} was not found"),
        })
    }
}

impl Job {
    fn settle(&mut self) {
        if self.waits == 0 && self.description.status_code == JobStatus::InProgress {
            self.description.status_code = JobStatus::Succeeded;
            self.description.completed = true;
            self.description.completion_date = Some(day(100));
        }
    }
}

#[async_trait]
impl Target for Fake {
    fn identity(&self) -> &str {
        "store"
    }

    fn describe(&self) -> String {
        "fake".to_owned()
    }

    fn keeps_tokens(&self) -> bool {
        !self.foreign
    }

    fn inventory_lag(&self) -> Duration {
        if self.foreign { Duration::from_hours(72) } else { Duration::ZERO }
    }

    async fn initiate_job(
        &self,
        _: &VaultName,
        request: &JobRequest,
    ) -> Result<JobId, TargetError> {
        if self.never_written {
            let message = "there is no inventory yet".to_owned();
            return Err(TargetError::Service { code: ErrorCode::ResourceNotFound, message });
        }
        Ok(self.start(request))
    }

    async fn describe_job(
        &self,
        _: &VaultName,
        job: &JobId,
    ) -> Result<JobDescription, TargetError> {
        self.with(job, |job| job.description.clone())
    }

    /// One job per page.
    async fn list_jobs(
        &self,
        _: &VaultName,
        marker: Option<&str>,
    ) -> Result<Page<JobDescription>, TargetError> {
        let at: usize = marker.map_or(0, |marker| marker.parse().unwrap());
        let jobs = self.jobs.lock().unwrap();
        let items = jobs.get(at).map(|job| job.description.clone()).into_iter().collect();
        Ok(Page { items, marker: (at + 1 < jobs.len()).then(|| (at + 1).to_string()) })
    }

    async fn job_output(
        &self,
        _: &VaultName,
        job: &JobId,
        _: Option<ByteRange>,
    ) -> Result<Output, TargetError> {
        let breaks_off = *self.breaks_off.lock().unwrap();
        self.with(job, |job| {
            assert_eq!(job.description.status_code, JobStatus::Succeeded);
            let kept = if breaks_off { job.output.len() / 2 } else { job.output.len() };
            let mut chunks: Vec<Result<Bytes, TargetError>> = job.output[..kept]
                .chunks(100)
                .map(|chunk| Ok(Bytes::copy_from_slice(chunk)))
                .collect();
            if breaks_off {
                chunks.push(Err(TargetError::Damaged { what: "MiB 0".to_owned() }));
            }
            let total = job.output.len() as u64;
            Output { total, tree_hash: None, chunks: Box::pin(stream::iter(chunks)) }
        })
    }

    async fn wait(&self, _: &VaultName, job: &JobId) -> Result<(), TargetError> {
        self.with(job, |job| {
            job.waits = job.waits.saturating_sub(1);
            job.settle();
        })
    }

    async fn create_vault(&self, _: &VaultName) -> Result<(), TargetError> {
        unimplemented!()
    }

    async fn describe_vault(&self, _: &VaultName) -> Result<VaultDescription, TargetError> {
        Ok(VaultDescription {
            creation_date: day(0),
            last_inventory_date: None,
            // More than any test has, or none.
            number_of_archives: if self.never_written { 0 } else { 1000 },
            size_in_bytes: 0,
            vault_arn: "arn:aws:glacier:us-east-1:012345678901:vaults/photos".parse().unwrap(),
            vault_name: VaultName::parse("photos").unwrap(),
        })
    }

    async fn list_vaults(&self, _: Option<&str>) -> Result<Page<VaultDescription>, TargetError> {
        unimplemented!()
    }

    async fn delete_vault(&self, _: &VaultName) -> Result<(), TargetError> {
        unimplemented!()
    }

    async fn upload_archive(
        &self,
        _: &VaultName,
        _: &NewArchive,
        _: &Body,
    ) -> Result<Archived, TargetError> {
        unimplemented!()
    }

    async fn delete_archive(&self, _: &VaultName, _: &ArchiveId) -> Result<(), TargetError> {
        unimplemented!()
    }

    async fn initiate_upload(
        &self,
        _: &VaultName,
        _: PartSize,
        _: &NewArchive,
    ) -> Result<UploadId, TargetError> {
        unimplemented!()
    }

    async fn upload_part(
        &self,
        _: &VaultName,
        _: &UploadId,
        _: ByteRange,
        _: &Body,
    ) -> Result<StoredPart, TargetError> {
        unimplemented!()
    }

    async fn list_parts(
        &self,
        _: &VaultName,
        _: &UploadId,
        _: Option<&str>,
    ) -> Result<Page<ListedPart>, TargetError> {
        unimplemented!()
    }

    async fn complete_upload(
        &self,
        _: &VaultName,
        _: &UploadId,
        _: u64,
        _: TreeHash,
    ) -> Result<ArchiveId, TargetError> {
        unimplemented!()
    }

    async fn abort_upload(&self, _: &VaultName, _: &UploadId) -> Result<(), TargetError> {
        unimplemented!()
    }

    async fn list_uploads(
        &self,
        _: &VaultName,
        _: Option<&str>,
    ) -> Result<Page<UploadDescription>, TargetError> {
        unimplemented!()
    }
}
