//! The vault API as a target: each call is one operation, in the file of its noun.

use std::{num::NonZeroUsize, time::Duration};

use async_trait::async_trait;
use http::Method;
use icefield_protocol::{
    ArchiveId, ByteRange, JobDescription, JobId, JobRequest, Page, PartSize, TreeHash,
    UploadDescription, UploadId, VaultDescription, VaultName,
};

use super::{VaultApi, answers::VaultList, request::Request};
use crate::{
    administration::Administration,
    body::Body,
    target::{
        Archived, Billing, ListedPart, NewArchive, Output, StorageClass, StoredPart, Target,
        TargetError,
    },
};

#[async_trait]
impl Target for VaultApi {
    fn identity(&self) -> &str {
        self.known.get().map_or(&self.stranger, |known| &known.identity)
    }

    fn describe(&self) -> String {
        let account = self.known.get().map(|known| format!(", account {}", known.place.account));
        let account = account.unwrap_or_default();
        if self.is_amazon {
            format!("Amazon Glacier in {} ({}{account})", self.region, self.endpoint)
        } else {
            format!("{} (region {}{account})", self.endpoint, self.region)
        }
    }

    fn keeps_tokens(&self) -> bool {
        Self::keeps_tokens(self)
    }

    fn inventory_lag(&self) -> Duration {
        self.lag()
    }

    fn billing(&self) -> Billing {
        if self.is_amazon || self.is_billed {
            Billing::Aws { region: self.region.clone(), class: StorageClass::Vault }
        } else {
            Billing::Free
        }
    }

    fn bodies_at_once(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.lanes.most()).unwrap_or(NonZeroUsize::MIN)
    }

    fn limit_bodies(&self, at_once: NonZeroUsize) {
        self.lanes.fix(at_once);
    }

    fn administration(&self) -> Option<&dyn Administration> {
        Some(self)
    }

    async fn create_vault(&self, vault: &VaultName) -> Result<(), TargetError> {
        self.call(Request::vault(Method::PUT, vault, "")).await.map(drop)
    }

    async fn describe_vault(&self, vault: &VaultName) -> Result<VaultDescription, TargetError> {
        self.ask(Request::vault(Method::GET, vault, "")).await
    }

    async fn list_vaults(
        &self,
        marker: Option<&str>,
    ) -> Result<Page<VaultDescription>, TargetError> {
        let request = Request::account(Method::GET, "/vaults").marker(marker);
        let list: VaultList = self.ask(request).await?;
        Ok(Page { items: list.vault_list, marker: list.marker })
    }

    async fn delete_vault(&self, vault: &VaultName) -> Result<(), TargetError> {
        self.call(Request::vault(Method::DELETE, vault, "")).await.map(drop)
    }

    async fn upload_archive(
        &self,
        vault: &VaultName,
        new: &NewArchive,
        body: &Body,
    ) -> Result<Archived, TargetError> {
        self.put(vault, new, body).await
    }

    async fn delete_archive(
        &self,
        vault: &VaultName,
        archive: &ArchiveId,
    ) -> Result<(), TargetError> {
        let request = Request::vault(Method::DELETE, vault, &format!("/archives/{archive}"));
        self.call(request).await.map(drop)
    }

    async fn initiate_upload(
        &self,
        vault: &VaultName,
        part_size: PartSize,
        new: &NewArchive,
    ) -> Result<UploadId, TargetError> {
        self.begin(vault, part_size, new).await
    }

    async fn upload_part(
        &self,
        vault: &VaultName,
        upload: &UploadId,
        range: ByteRange,
        body: &Body,
    ) -> Result<StoredPart, TargetError> {
        self.part(vault, upload, range, body).await
    }

    async fn list_parts(
        &self,
        vault: &VaultName,
        upload: &UploadId,
        marker: Option<&str>,
    ) -> Result<Page<ListedPart>, TargetError> {
        self.parts(vault, upload, marker).await
    }

    async fn complete_upload(
        &self,
        vault: &VaultName,
        upload: &UploadId,
        size: u64,
        tree_hash: TreeHash,
    ) -> Result<ArchiveId, TargetError> {
        self.complete(vault, upload, size, tree_hash).await
    }

    async fn abort_upload(&self, vault: &VaultName, upload: &UploadId) -> Result<(), TargetError> {
        let path = format!("/multipart-uploads/{upload}");
        self.call(Request::vault(Method::DELETE, vault, &path)).await.map(drop)
    }

    async fn list_uploads(
        &self,
        vault: &VaultName,
        marker: Option<&str>,
    ) -> Result<Page<UploadDescription>, TargetError> {
        self.uploads(vault, marker).await
    }

    async fn initiate_job(
        &self,
        vault: &VaultName,
        request: &JobRequest,
    ) -> Result<JobId, TargetError> {
        self.start_job(vault, request).await
    }

    async fn describe_job(
        &self,
        vault: &VaultName,
        job: &JobId,
    ) -> Result<JobDescription, TargetError> {
        self.job(vault, job).await
    }

    async fn list_jobs(
        &self,
        vault: &VaultName,
        marker: Option<&str>,
    ) -> Result<Page<JobDescription>, TargetError> {
        self.jobs(vault, marker).await
    }

    async fn job_output(
        &self,
        vault: &VaultName,
        job: &JobId,
        range: Option<ByteRange>,
    ) -> Result<Output, TargetError> {
        self.output(vault, job, range).await
    }

    async fn wait(&self, vault: &VaultName, _: &JobId) -> Result<(), TargetError> {
        self.look_later(vault).await;
        Ok(())
    }
}
