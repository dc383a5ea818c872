//! The embedded target: the engine in this process. No HTTP, no signature, no second hash: the engine's leaves are the
//! upload's tree hash, and what it reads has been verified against them.

mod administration;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use icefield_client::{
    administration::Administration,
    target::{
        Archived, Body, Limits, ListedPart, NewArchive, Output, PartMark, StoredPart, Target,
        TargetError,
    },
};
use icefield_engine::{
    Access, Caller, Engine, EngineError, JobListFilter, RequestedRange, Resource, Settings,
};
use icefield_protocol::{
    AccountId, ArchiveId, ByteRange, ErrorCode, JobDescription, JobId, JobRequest, Operation, Page,
    PartDescription, PartSize, UploadDescription, UploadId, VaultDescription, VaultName,
};
use icefield_store::{Identity, Store, StoreError};
use icefield_treehash::TreeHash;

/// The smallest size of parts that is chosen unasked.
const USUAL_PART_BYTES: u64 = 32 << 20;

/// A store on this machine, used as its first account.
#[derive(Debug)]
pub(crate) struct Embedded {
    engine: Engine,
    account: AccountId,
    identity: String,
    path: PathBuf,
}

impl Embedded {
    /// Puts the engine on the opened store in `path`.
    pub(crate) async fn open(store: Store, path: PathBuf) -> anyhow::Result<Self> {
        let identity = identity(store.identity());
        let mut settings = Settings::embedded();
        // Its owner alone begins jobs, perhaps one each minute.
        settings.inventory_jobs_per_vault = settings.jobs_per_vault;
        // What policies name must be what they named when the store was served.
        if let Some(region) = &store.identity().region {
            settings.region = region.clone();
        }
        let engine = Engine::open(store, settings).await?;
        let account = engine.account().clone();
        Ok(Self { engine, account, identity, path })
    }

    /// The store's folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Asks as the account's root, which the policies of its vaults bind, too.
    async fn access(
        &self,
        operation: Operation,
        vault: &VaultName,
        archive: Option<&ArchiveId>,
    ) -> Result<Access, TargetError> {
        let resource = Resource { account: &self.account, vault: Some(vault), archive };
        self.authorize(operation, resource).await
    }

    async fn authorize(
        &self,
        operation: Operation,
        resource: Resource<'_>,
    ) -> Result<Access, TargetError> {
        let caller = Caller::root(self.account.clone());
        self.engine.authorize(&caller, operation, resource).await.map_err(refused)
    }

    /// Leaves the store clean and gives it free.
    pub(crate) async fn close(&self) -> anyhow::Result<()> {
        self.engine.housekeeping().await?;
        self.engine.close().await;
        Ok(())
    }
}

/// What the catalog knows a store by.
pub(crate) fn identity(store: &Identity) -> String {
    format!("store:{}", store.store_id)
}

/// What the engine's refusal means for a client.
fn refused(error: EngineError) -> TargetError {
    match error {
        EngineError::Store(StoreError::Full { path }) => TargetError::Full {
            what: format!(
                "no space left for {}: free some space, then run the same command again (what was stored stays)",
                path.display()
            ),
        },
        EngineError::Store(StoreError::Damaged(damage)) => {
            TargetError::Damaged { what: damage.to_string() }
        }
        EngineError::UsedToken(_) => TargetError::UsedToken,
        error @ EngineError::Damaged { .. } => TargetError::Damaged { what: error.to_string() },
        error => match error.code() {
            ErrorCode::ServiceUnavailable => TargetError::Failed(Box::new(error)),
            code => TargetError::Service { code, message: error.to_string() },
        },
    }
}

#[async_trait]
impl Target for Embedded {
    fn identity(&self) -> &str {
        &self.identity
    }

    fn describe(&self) -> String {
        format!("embedded store {}", self.path.display())
    }

    fn keeps_tokens(&self) -> bool {
        true
    }

    /// An inventory is made of what the store has at that moment.
    fn inventory_lag(&self) -> Duration {
        Duration::ZERO
    }

    /// No line breaks on the way: larger parts cost fewer files and syncs.
    fn limits(&self) -> Limits {
        Limits { usual_part_bytes: USUAL_PART_BYTES, ..Limits::of_vaults() }
    }

    fn administration(&self) -> Option<&dyn Administration> {
        Some(self)
    }

    async fn create_vault(&self, vault: &VaultName) -> Result<(), TargetError> {
        let access = self.access(Operation::CreateVault, vault, None).await?;
        self.engine.create_vault(&access).await.map(drop).map_err(refused)
    }

    async fn describe_vault(&self, vault: &VaultName) -> Result<VaultDescription, TargetError> {
        let access = self.access(Operation::DescribeVault, vault, None).await?;
        self.engine.describe_vault(&access).await.map_err(refused)
    }

    async fn list_vaults(
        &self,
        marker: Option<&str>,
    ) -> Result<Page<VaultDescription>, TargetError> {
        let access = self.account_access(Operation::ListVaults).await?;
        self.engine.list_vaults(&access, marker, None).await.map_err(refused)
    }

    async fn delete_vault(&self, vault: &VaultName) -> Result<(), TargetError> {
        let access = self.access(Operation::DeleteVault, vault, None).await?;
        self.engine.delete_vault(&access).await.map_err(refused)
    }

    async fn upload_archive(
        &self,
        vault: &VaultName,
        new: &NewArchive,
        body: &Body,
    ) -> Result<Archived, TargetError> {
        let access = self.access(Operation::UploadArchive, vault, None).await?;
        let new = icefield_engine::NewArchive {
            description: new.description.clone(),
            token: Some(new.token),
            size: body.size(),
            linear: false,
        };
        let mut chunks = body.send();
        let mut receiving = self.engine.receive_archive(&access, new).await.map_err(refused)?;
        while let Some(chunk) = chunks.next().await {
            receiving.write(chunk.map_err(TargetError::Source)?).await.map_err(refused)?;
        }
        let stored = receiving.commit(None).await.map_err(refused)?;
        Ok(Archived { archive: stored.id, tree_hash: stored.tree_hash })
    }

    async fn delete_archive(
        &self,
        vault: &VaultName,
        archive: &ArchiveId,
    ) -> Result<(), TargetError> {
        let access = self.access(Operation::DeleteArchive, vault, Some(archive)).await?;
        self.engine.delete_archive(&access, archive).await.map_err(refused)
    }

    async fn initiate_upload(
        &self,
        vault: &VaultName,
        part_size: PartSize,
        new: &NewArchive,
    ) -> Result<UploadId, TargetError> {
        let access = self.access(Operation::InitiateMultipartUpload, vault, None).await?;
        let description = new.description.clone();
        self.engine
            .initiate_upload(&access, part_size, description, Some(new.token))
            .await
            .map_err(refused)
    }

    async fn upload_part(
        &self,
        vault: &VaultName,
        upload: &UploadId,
        range: ByteRange,
        body: &Body,
    ) -> Result<StoredPart, TargetError> {
        let access = self.access(Operation::UploadMultipartPart, vault, None).await?;
        let mut receiving =
            self.engine.receive_part(&access, upload, range, false).await.map_err(refused)?;
        let mut chunks = body.send();
        while let Some(chunk) = chunks.next().await {
            receiving.write(chunk.map_err(TargetError::Source)?).await.map_err(refused)?;
        }
        let tree_hash = receiving.commit(None).await.map_err(refused)?;
        Ok(StoredPart { tree_hash, mark: PartMark::TreeHash(tree_hash) })
    }

    async fn list_parts(
        &self,
        vault: &VaultName,
        upload: &UploadId,
        marker: Option<&str>,
    ) -> Result<Page<ListedPart>, TargetError> {
        let access = self.access(Operation::ListParts, vault, None).await?;
        let (_, page) =
            self.engine.list_parts(&access, upload, marker, None).await.map_err(refused)?;
        let listed = |part: PartDescription| ListedPart {
            range: part.range,
            mark: PartMark::TreeHash(part.tree_hash),
        };
        Ok(Page { items: page.items.into_iter().map(listed).collect(), marker: page.marker })
    }

    async fn complete_upload(
        &self,
        vault: &VaultName,
        upload: &UploadId,
        size: u64,
        tree_hash: TreeHash,
    ) -> Result<ArchiveId, TargetError> {
        let access = self.access(Operation::CompleteMultipartUpload, vault, None).await?;
        self.engine.complete_upload(&access, upload, size, tree_hash).await.map_err(refused)
    }

    async fn abort_upload(&self, vault: &VaultName, upload: &UploadId) -> Result<(), TargetError> {
        let access = self.access(Operation::AbortMultipartUpload, vault, None).await?;
        self.engine.abort_upload(&access, upload).await.map_err(refused)
    }

    async fn list_uploads(
        &self,
        vault: &VaultName,
        marker: Option<&str>,
    ) -> Result<Page<UploadDescription>, TargetError> {
        let access = self.access(Operation::ListMultipartUploads, vault, None).await?;
        self.engine.list_uploads(&access, marker, None).await.map_err(refused)
    }

    async fn initiate_job(
        &self,
        vault: &VaultName,
        request: &JobRequest,
    ) -> Result<JobId, TargetError> {
        let access = self.access(Operation::InitiateJob, vault, request.archive()).await?;
        self.engine.initiate_job(&access, request).await.map_err(refused)
    }

    async fn describe_job(
        &self,
        vault: &VaultName,
        job: &JobId,
    ) -> Result<JobDescription, TargetError> {
        let access = self.access(Operation::DescribeJob, vault, None).await?;
        // Nobody else runs this store's jobs, so whoever asks for one runs those that are due.
        self.engine.run_due_jobs().await.map_err(refused)?;
        self.engine.describe_job(&access, job).await.map_err(refused)
    }

    async fn list_jobs(
        &self,
        vault: &VaultName,
        marker: Option<&str>,
    ) -> Result<Page<JobDescription>, TargetError> {
        let access = self.access(Operation::ListJobs, vault, None).await?;
        self.engine.run_due_jobs().await.map_err(refused)?;
        let filter = JobListFilter::default();
        self.engine.list_jobs(&access, filter, marker, None).await.map_err(refused)
    }

    async fn job_output(
        &self,
        vault: &VaultName,
        job: &JobId,
        range: Option<ByteRange>,
    ) -> Result<Output, TargetError> {
        let access = self.access(Operation::GetJobOutput, vault, None).await?;
        let range = range.map(|range| RequestedRange::FromTo(range.first, range.last));
        let output = self.engine.job_output(&access, job, range).await.map_err(refused)?;
        let chunks = stream::unfold(output.reader, |mut reader| async move {
            let chunk = reader.next().await?;
            Some((chunk.map_err(refused), reader))
        });
        Ok(Output { total: output.total, tree_hash: output.tree_hash, chunks: Box::pin(chunks) })
    }

    async fn wait(&self, _: &VaultName, _: &JobId) -> Result<(), TargetError> {
        self.engine.run_due_jobs().await.map(drop).map_err(refused)
    }
}
