//! A target in memory that counts what is asked of it and fails as told.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use icefield_protocol::{
    ArchiveId, ByteRange, ErrorCode, InventoryItem, JobAction, JobDescription, JobId, JobRequest,
    JobStatus, JsonInventoryWriter, Page, PartSize, Timestamp, TreeHash, UploadDescription,
    UploadId, VaultDescription, VaultName,
};
use icefield_treehash::{Hasher, Roles, range::is_tree_aligned};
use tokio::sync::Notify;

use crate::target::{
    Archived, Body, ListedPart, NewArchive, Output, StoredPart, Target, TargetError,
};

#[derive(Debug, Default)]
pub(crate) struct Shelf {
    state: Mutex<State>,
    /// Told when the call that was to be the last one is reached; it never returns.
    pub(crate) stopped: Notify,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) archives: BTreeMap<ArchiveId, Bytes>,
    pub(crate) jobs: BTreeMap<JobId, JobDescription>,
    next_job: u64,
    /// Archives of which the MiB with this number is damaged.
    pub(crate) damaged: HashMap<ArchiveId, u64>,
    /// Outputs carry no tree hash: the client has to compute it.
    pub(crate) hashes_hidden: bool,
    /// Jobs stay in progress until `wait`.
    pub(crate) slow: bool,
    /// The vault is not listed as empty yet.
    pub(crate) recently_written: bool,
    /// Jobs that were started.
    pub(crate) initiated: u64,
    /// Outputs that were read to their end.
    pub(crate) read: Vec<(JobId, Option<ByteRange>)>,
    /// How many calls more are answered.
    pub(crate) calls_left: Option<u64>,
    pub(crate) uploads: HashSet<UploadId>,
    pub(crate) vault_gone: bool,
    /// When the vault was made.
    pub(crate) created: i64,
    /// An archive that the first inventory has missed.
    pub(crate) inventory_without: Option<ArchiveId>,
    /// How long inventories lag.
    pub(crate) lag: Duration,
    /// What the service counts and lists by, where it does not look at the archives themselves.
    pub(crate) inventory: Option<OldInventory>,
    /// Archives that nobody may delete.
    pub(crate) locked: HashSet<ArchiveId>,
    /// Archives that were asked to be deleted, in order.
    pub(crate) deletes: Vec<ArchiveId>,
    /// There is no vault any more once so many archives were deleted.
    pub(crate) lost_after: Option<usize>,
}

/// An inventory that the service has made some time ago.
#[derive(Debug)]
pub(crate) struct OldInventory {
    pub(crate) date: Timestamp,
    pub(crate) archives: BTreeMap<ArchiveId, Bytes>,
    /// How often the vault is asked to be deleted until the service makes a new one.
    pub(crate) asked_until_new: u64,
}

impl State {
    fn check_vault(&self) -> Result<(), TargetError> {
        match self.lost_after {
            Some(deletes) if self.deletes.len() >= deletes => {
                Err(refused(ErrorCode::ResourceNotFound, "Vault not found: v"))
            }
            _ => Ok(()),
        }
    }
}

pub(crate) fn tree_hash(bytes: &[u8]) -> TreeHash {
    let mut hasher = Hasher::new(Roles { linear: false });
    hasher.update(bytes);
    hasher.finish().tree
}

impl Shelf {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn put(&self, name: &str, bytes: impl Into<Bytes>) -> ArchiveId {
        let id = ArchiveId::parse(name).unwrap();
        self.state().archives.insert(id.clone(), bytes.into());
        id
    }

    async fn call(&self) {
        let reached = match &mut self.state().calls_left {
            None => false,
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
        };
        if reached {
            self.stopped.notify_one();
            std::future::pending::<()>().await;
        }
    }

    fn inventory(&self, job: &JobId) -> Bytes {
        let first = job.as_str() == "job-0001";
        let arn = "arn:aws:glacier:us-west-2:012345678901:vaults/v".parse().unwrap();
        let state = self.state();
        let date = state.inventory.as_ref().map_or(Timestamp::UNIX_EPOCH, |old| old.date);
        let mut writer = JsonInventoryWriter::new(Vec::new(), &arn, date).unwrap();
        let listed = state.inventory.as_ref().map_or(&state.archives, |old| &old.archives);
        for (id, bytes) in listed {
            if first && state.inventory_without.as_ref() == Some(id) {
                continue;
            }
            let item = InventoryItem {
                archive_id: id.clone(),
                description: String::new(),
                created: Timestamp::UNIX_EPOCH,
                size: bytes.len() as u64,
                tree_hash: Some(tree_hash(bytes)),
            };
            writer.item(&item).unwrap();
        }
        writer.finish().unwrap().into()
    }
}

fn refused(code: ErrorCode, message: &str) -> TargetError {
    TargetError::Service { code, message: message.to_owned() }
}

fn slice(bytes: &Bytes, range: ByteRange) -> Bytes {
    bytes.slice(usize::try_from(range.first).unwrap()..=usize::try_from(range.last).unwrap())
}

#[async_trait]
impl Target for Arc<Shelf> {
    fn identity(&self) -> &str {
        "shelf"
    }

    fn describe(&self) -> String {
        "a shelf in memory".to_owned()
    }

    fn keeps_tokens(&self) -> bool {
        true
    }

    fn inventory_lag(&self) -> Duration {
        self.state().lag
    }

    async fn create_vault(&self, _: &VaultName) -> Result<(), TargetError> {
        unimplemented!("retrievals make no vault")
    }

    async fn describe_vault(&self, _: &VaultName) -> Result<VaultDescription, TargetError> {
        let state = self.state();
        state.check_vault()?;
        let inventory = state.inventory.as_ref();
        let counted = inventory.map_or(&state.archives, |old| &old.archives);
        Ok(VaultDescription {
            creation_date: Timestamp::from_unix_millis(state.created),
            last_inventory_date: inventory.map(|old| old.date),
            number_of_archives: counted.len() as u64,
            size_in_bytes: 0,
            vault_arn: "arn:aws:glacier:us-west-2:012345678901:vaults/v".parse().unwrap(),
            vault_name: VaultName::parse("v").unwrap(),
        })
    }

    async fn list_vaults(&self, _: Option<&str>) -> Result<Page<VaultDescription>, TargetError> {
        unimplemented!("retrievals list no vaults")
    }

    async fn delete_vault(&self, _: &VaultName) -> Result<(), TargetError> {
        let mut state = self.state();
        state.check_vault()?;
        let State { inventory, archives, .. } = &mut *state;
        let mut counts_as_empty = archives.is_empty();
        if let Some(old) = inventory {
            counts_as_empty &= old.archives.is_empty();
            old.asked_until_new = old.asked_until_new.saturating_sub(1);
            if old.asked_until_new == 0 {
                old.archives.clone_from(archives);
                old.date = old.date.saturating_add(Duration::from_hours(24));
            }
        }
        if state.recently_written || !counts_as_empty {
            let message = "Vault not empty or recently written to: v";
            return Err(refused(ErrorCode::InvalidParameterValue, message));
        }
        state.vault_gone = true;
        Ok(())
    }

    async fn upload_archive(
        &self,
        _: &VaultName,
        _: &NewArchive,
        _: &Body,
    ) -> Result<Archived, TargetError> {
        unimplemented!("retrievals upload nothing")
    }

    async fn delete_archive(&self, _: &VaultName, archive: &ArchiveId) -> Result<(), TargetError> {
        self.call().await;
        let mut state = self.state();
        state.check_vault()?;
        state.deletes.push(archive.clone());
        if state.locked.contains(archive) {
            return Err(refused(ErrorCode::AccessDenied, "a lock forbids it"));
        }
        state.archives.remove(archive);
        Ok(())
    }

    async fn initiate_upload(
        &self,
        _: &VaultName,
        _: PartSize,
        _: &NewArchive,
    ) -> Result<UploadId, TargetError> {
        unimplemented!("retrievals upload nothing")
    }

    async fn upload_part(
        &self,
        _: &VaultName,
        _: &UploadId,
        _: ByteRange,
        _: &Body,
    ) -> Result<StoredPart, TargetError> {
        unimplemented!("retrievals upload nothing")
    }

    async fn list_parts(
        &self,
        _: &VaultName,
        _: &UploadId,
        _: Option<&str>,
    ) -> Result<Page<ListedPart>, TargetError> {
        unimplemented!("retrievals upload nothing")
    }

    async fn complete_upload(
        &self,
        _: &VaultName,
        _: &UploadId,
        _: u64,
        _: TreeHash,
    ) -> Result<ArchiveId, TargetError> {
        unimplemented!("retrievals upload nothing")
    }

    async fn abort_upload(&self, _: &VaultName, upload: &UploadId) -> Result<(), TargetError> {
        self.state().uploads.remove(upload);
        Ok(())
    }

    async fn list_uploads(
        &self,
        _: &VaultName,
        _: Option<&str>,
    ) -> Result<Page<UploadDescription>, TargetError> {
        let state = self.state();
        state.check_vault()?;
        let items = state.uploads.iter().map(|upload| UploadDescription {
            description: None,
            creation_date: Timestamp::UNIX_EPOCH,
            upload_id: upload.clone(),
            part_size: PartSize::new(1 << 20).unwrap(),
            vault_arn: "arn:aws:glacier:us-west-2:012345678901:vaults/v".parse().unwrap(),
        });
        Ok(Page { items: items.collect(), marker: None })
    }

    async fn initiate_job(
        &self,
        _: &VaultName,
        request: &JobRequest,
    ) -> Result<JobId, TargetError> {
        self.call().await;
        let mut state = self.state();
        state.initiated += 1;
        state.next_job += 1;
        let id = JobId::parse(&format!("job-{:04}", state.next_job)).unwrap();
        let status_code = if state.slow { JobStatus::InProgress } else { JobStatus::Succeeded };
        let mut job = JobDescription {
            action: JobAction::InventoryRetrieval,
            archive_id: None,
            archive_tree_hash: None,
            archive_size_in_bytes: None,
            completed: false,
            completion_date: None,
            creation_date: Timestamp::UNIX_EPOCH,
            inventory_retrieval_parameters: None,
            inventory_size_in_bytes: None,
            description: None,
            job_id: id.clone(),
            job_output_path: None,
            output_location: None,
            select_parameters: None,
            next_inventory_retrieval_marker: None,
            retrieval_byte_range: None,
            tree_hash: None,
            sns_topic: None,
            status_code,
            status_message: None,
            tier: None,
            vault_arn: "arn:aws:glacier:us-west-2:012345678901:vaults/v".parse().unwrap(),
        };
        match request {
            JobRequest::Archive { archive, range, tier, description, .. } => {
                let missing = || refused(ErrorCode::ResourceNotFound, "no such archive");
                let bytes = state.archives.get(archive).ok_or_else(missing)?.clone();
                let whole = ByteRange::whole(bytes.len() as u64).unwrap();
                let range = range.unwrap_or(whole);
                let aligned = is_tree_aligned(whole.len(), range.first, range.last);
                job.action = JobAction::ArchiveRetrieval;
                job.archive_id = Some(archive.clone());
                job.archive_tree_hash = Some(tree_hash(&bytes));
                job.archive_size_in_bytes = Some(whole.len());
                job.retrieval_byte_range = Some(range);
                job.tree_hash = aligned.then(|| tree_hash(&slice(&bytes, range)));
                job.tier = Some(*tier);
                job.description.clone_from(description);
            }
            JobRequest::Inventory { parameters, .. } => {
                job.inventory_retrieval_parameters = Some(parameters.clone());
            }
        }
        state.jobs.insert(id.clone(), job);
        Ok(id)
    }

    async fn describe_job(
        &self,
        _: &VaultName,
        job: &JobId,
    ) -> Result<JobDescription, TargetError> {
        self.call().await;
        let missing = || refused(ErrorCode::ResourceNotFound, "no such job");
        self.state().jobs.get(job).cloned().ok_or_else(missing)
    }

    async fn list_jobs(
        &self,
        _: &VaultName,
        _: Option<&str>,
    ) -> Result<Page<JobDescription>, TargetError> {
        self.call().await;
        Ok(Page { items: self.state().jobs.values().cloned().collect(), marker: None })
    }

    async fn job_output(
        &self,
        vault: &VaultName,
        job: &JobId,
        range: Option<ByteRange>,
    ) -> Result<Output, TargetError> {
        let described = self.describe_job(vault, job).await?;
        let (output, first_mib, damaged) = match &described.archive_id {
            None => (self.inventory(job), 0, None),
            Some(archive) => {
                let state = self.state();
                let bytes = state.archives.get(archive).cloned();
                let bytes =
                    bytes.ok_or_else(|| refused(ErrorCode::ResourceNotFound, "no archive"))?;
                let stored = described.retrieval_byte_range.unwrap();
                let damaged = state.damaged.get(archive).copied();
                (slice(&bytes, stored), stored.first >> 20, damaged)
            }
        };
        let total = output.len() as u64;
        let asked = range.unwrap_or(ByteRange::whole(total).unwrap());
        let bytes = slice(&output, ByteRange { last: asked.last.min(total - 1), ..asked });
        let tree_hash = (!self.state().hashes_hidden).then(|| tree_hash(&bytes));
        let chunks: Vec<_> = bytes.chunks(1 << 20).map(Bytes::copy_from_slice).collect();
        let first_mib = first_mib + (asked.first >> 20);
        let shelf = Self::clone(self);
        let job = job.clone();
        let count = chunks.len();
        let chunks = stream::iter(chunks.into_iter().enumerate()).then(move |(index, chunk)| {
            let (shelf, job) = (Self::clone(&shelf), job.clone());
            async move {
                shelf.call().await;
                if damaged == Some(first_mib + index as u64) {
                    let what = format!("MiB {} of the archive", first_mib + index as u64);
                    return Err(TargetError::Damaged { what });
                }
                if index + 1 == count {
                    shelf.state().read.push((job, range));
                }
                Ok(chunk)
            }
        });
        Ok(Output { total, tree_hash, chunks: Box::pin(chunks) })
    }

    async fn wait(&self, _: &VaultName, _: &JobId) -> Result<(), TargetError> {
        self.call().await;
        for job in self.state().jobs.values_mut() {
            job.status_code = JobStatus::Succeeded;
        }
        Ok(())
    }
}
