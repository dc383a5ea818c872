//! An engine whose every call is made as the root of the account.

use std::ops::Deref;

use icefield_engine::{
    Access, Caller, Engine, EngineError, JobListFilter, JobOutput, NewArchive, Receiving,
    ReceivingPart, RequestedRange, Resource,
};
use icefield_protocol::{
    AccountId, ArchiveId, ByteRange, Description, JobDescription, JobId, JobRequest, Operation,
    Page, PartDescription, PartSize, UploadDescription, UploadId, UploadToken, VaultDescription,
    VaultName,
};
use icefield_treehash::TreeHash;

#[derive(Debug, Clone)]
pub(crate) struct AsRoot(pub(crate) Engine);

impl Deref for AsRoot {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.0
    }
}

impl AsRoot {
    pub(crate) async fn access(
        &self,
        operation: Operation,
        resource: Resource<'_>,
    ) -> Result<Access, EngineError> {
        let caller = Caller::root(resource.account.clone());
        self.0.authorize(&caller, operation, resource).await
    }

    pub(crate) async fn list_vaults(
        &self,
        account: &AccountId,
        marker: Option<&str>,
        limit: Option<u64>,
    ) -> Result<Page<VaultDescription>, EngineError> {
        let access = self.access(Operation::ListVaults, Resource::account(account)).await?;
        self.0.list_vaults(&access, marker, limit).await
    }

    pub(crate) async fn delete_archive(
        &self,
        account: &AccountId,
        vault: &VaultName,
        archive: &ArchiveId,
    ) -> Result<(), EngineError> {
        let resource = Resource { account, vault: Some(vault), archive: Some(archive) };
        let access = self.access(Operation::DeleteArchive, resource).await?;
        self.0.delete_archive(&access, archive).await
    }

    pub(crate) async fn initiate_job(
        &self,
        account: &AccountId,
        vault: &VaultName,
        request: &JobRequest,
    ) -> Result<JobId, EngineError> {
        let resource = Resource { account, vault: Some(vault), archive: request.archive() };
        let access = self.access(Operation::InitiateJob, resource).await?;
        self.0.initiate_job(&access, request).await
    }

    pub(crate) async fn create_vault(
        &self,
        account: &AccountId,
        vault: &VaultName,
    ) -> Result<(), EngineError> {
        let access = self.access(Operation::CreateVault, Resource::vault(account, vault)).await?;
        self.0.create_vault(&access).await
    }

    pub(crate) async fn describe_vault(
        &self,
        account: &AccountId,
        vault: &VaultName,
    ) -> Result<VaultDescription, EngineError> {
        let access = self.access(Operation::DescribeVault, Resource::vault(account, vault)).await?;
        self.0.describe_vault(&access).await
    }

    pub(crate) async fn delete_vault(
        &self,
        account: &AccountId,
        vault: &VaultName,
    ) -> Result<(), EngineError> {
        let access = self.access(Operation::DeleteVault, Resource::vault(account, vault)).await?;
        self.0.delete_vault(&access).await
    }

    pub(crate) async fn receive_archive(
        &self,
        account: &AccountId,
        vault: &VaultName,
        new: NewArchive,
    ) -> Result<Receiving, EngineError> {
        let access = self.access(Operation::UploadArchive, Resource::vault(account, vault)).await?;
        self.0.receive_archive(&access, new).await
    }

    pub(crate) async fn initiate_upload(
        &self,
        account: &AccountId,
        vault: &VaultName,
        part_size: PartSize,
        description: Option<Description>,
        token: Option<UploadToken>,
    ) -> Result<UploadId, EngineError> {
        let access = self
            .access(Operation::InitiateMultipartUpload, Resource::vault(account, vault))
            .await?;
        self.0.initiate_upload(&access, part_size, description, token).await
    }

    pub(crate) async fn receive_part(
        &self,
        account: &AccountId,
        vault: &VaultName,
        id: &UploadId,
        range: ByteRange,
        linear: bool,
    ) -> Result<ReceivingPart, EngineError> {
        let access =
            self.access(Operation::UploadMultipartPart, Resource::vault(account, vault)).await?;
        self.0.receive_part(&access, id, range, linear).await
    }

    pub(crate) async fn list_parts(
        &self,
        account: &AccountId,
        vault: &VaultName,
        id: &UploadId,
        marker: Option<&str>,
        limit: Option<u64>,
    ) -> Result<(UploadDescription, Page<PartDescription>), EngineError> {
        let access = self.access(Operation::ListParts, Resource::vault(account, vault)).await?;
        self.0.list_parts(&access, id, marker, limit).await
    }

    pub(crate) async fn complete_upload(
        &self,
        account: &AccountId,
        vault: &VaultName,
        id: &UploadId,
        size: u64,
        tree_hash: TreeHash,
    ) -> Result<ArchiveId, EngineError> {
        let access = self
            .access(Operation::CompleteMultipartUpload, Resource::vault(account, vault))
            .await?;
        self.0.complete_upload(&access, id, size, tree_hash).await
    }

    pub(crate) async fn abort_upload(
        &self,
        account: &AccountId,
        vault: &VaultName,
        id: &UploadId,
    ) -> Result<(), EngineError> {
        let access =
            self.access(Operation::AbortMultipartUpload, Resource::vault(account, vault)).await?;
        self.0.abort_upload(&access, id).await
    }

    pub(crate) async fn list_uploads(
        &self,
        account: &AccountId,
        vault: &VaultName,
        marker: Option<&str>,
        limit: Option<u64>,
    ) -> Result<Page<UploadDescription>, EngineError> {
        let access =
            self.access(Operation::ListMultipartUploads, Resource::vault(account, vault)).await?;
        self.0.list_uploads(&access, marker, limit).await
    }

    pub(crate) async fn describe_job(
        &self,
        account: &AccountId,
        vault: &VaultName,
        id: &JobId,
    ) -> Result<JobDescription, EngineError> {
        let access = self.access(Operation::DescribeJob, Resource::vault(account, vault)).await?;
        self.0.describe_job(&access, id).await
    }

    pub(crate) async fn list_jobs(
        &self,
        account: &AccountId,
        vault: &VaultName,
        filter: JobListFilter,
        marker: Option<&str>,
        limit: Option<u64>,
    ) -> Result<Page<JobDescription>, EngineError> {
        let access = self.access(Operation::ListJobs, Resource::vault(account, vault)).await?;
        self.0.list_jobs(&access, filter, marker, limit).await
    }

    pub(crate) async fn job_output(
        &self,
        account: &AccountId,
        vault: &VaultName,
        id: &JobId,
        range: Option<RequestedRange>,
    ) -> Result<JobOutput, EngineError> {
        let access = self.access(Operation::GetJobOutput, Resource::vault(account, vault)).await?;
        self.0.job_output(&access, id, range).await
    }
}
