//! Multipart uploads: initiated, fed with parts in any order, completed or aborted ("Working with Multipart Uploads").
//!
//! An upload that is aborted, completed or idle for too long is gone for its callers at the moment the clock says so,
//! whether or not housekeeping has been there. Its end is remembered for a while, so that a repeated Complete or Abort
//! gets the first answer.

mod complete;
mod locks;
mod part;

use icefield_protocol::{
    Description, Operation, Page, PartSize, Timestamp, UploadDescription, UploadId, UploadToken,
    limits,
};
use icefield_store::{
    entry::UploadNumber,
    ledger::{UploadRow, UploadState, VaultRow},
};

use crate::{
    access::Access,
    engine::Engine,
    error::EngineError,
    page::{page_limit, page_of, read_marker},
};

pub(crate) use locks::to_the_end;

pub(crate) use locks::UploadLocks;
pub use part::{HashedPart, ReceivingPart};

impl Engine {
    /// Begins a multipart upload; a token that has begun one before is answered with that one.
    ///
    /// # Errors
    ///
    /// `VaultNotFound`; `UsedToken` when the token's archive was deleted since; `UploadLimit`.
    pub async fn initiate_upload(
        &self,
        access: &Access,
        part_size: PartSize,
        description: Option<Description>,
        token: Option<UploadToken>,
    ) -> Result<UploadId, EngineError> {
        let vault = self.vault(access, Operation::InitiateMultipartUpload).await?;
        if let Some(token) = token {
            self.first_of(&vault, token).await?;
        }
        self.check_upload_limit(&vault, token).await?;
        let now = self.now();
        let row = UploadRow {
            number: UploadNumber(self.store().next_number()),
            vault: vault.number,
            seal: self.ids().new_seal()?,
            description,
            part_size,
            token,
            created: now,
            touched: now,
            state: UploadState::InProgress,
        };
        let ledger = self.store().ledger();
        let mut known = ledger.create_upload(row.clone()).await?;
        if !self.is_remembered(&known, now) {
            // One of the same token that nobody may know any more.
            self.forget_uploads().await?;
            known = ledger.create_upload(row).await?;
        }
        if let (UploadState::Completed(archive), Some(token)) = (known.state, token)
            && ledger.archive(archive).await?.is_none()
        {
            // Deleted and forgotten.
            return Err(EngineError::UsedToken(token));
        }
        self.still_in_its_vault(access, &known).await?;
        self.upload_id(&known)
    }

    /// Refuses one upload more than a vault may have in progress; requests that come at the same moment may each be the last
    /// that is let through. An upload that is begun again is no new one.
    async fn check_upload_limit(
        &self,
        vault: &VaultRow,
        token: Option<UploadToken>,
    ) -> Result<(), EngineError> {
        let (ledger, limit) = (self.store().ledger(), self.settings().uploads_per_vault);
        if ledger.count_uploads(vault.number, limit).await? < limit {
            return Ok(());
        }
        if let Some(token) = token
            && ledger.upload_by_token(vault.number, token).await?.is_some()
        {
            return Ok(());
        }
        Err(EngineError::UploadLimit(limit))
    }

    /// Takes a new upload back whose vault was deleted meanwhile, perhaps before the upload was there to go with it.
    async fn still_in_its_vault(
        &self,
        access: &Access,
        upload: &UploadRow,
    ) -> Result<(), EngineError> {
        let vault = self.vault(access, Operation::InitiateMultipartUpload).await;
        if let Err(EngineError::VaultNotFound(_)) = vault {
            self.store().ledger().abort_upload(upload.number, self.now()).await?;
        }
        vault.map(drop)
    }

    /// Lists uploads in progress in the order of their creation; the marker is the ID of the first of the next page.
    ///
    /// # Errors
    ///
    /// `VaultNotFound`; `InvalidLimit` of zero; `InvalidMarker` when it is not an upload ID of this vault.
    pub async fn list_uploads(
        &self,
        access: &Access,
        marker: Option<&str>,
        limit: Option<u64>,
    ) -> Result<Page<UploadDescription>, EngineError> {
        let vault = self.vault(access, Operation::ListMultipartUploads).await?;
        let limit = page_limit(limit, limits::LIST_LIMIT)?;
        let from = read_marker(marker, |text| {
            let opened = self.ids().open_upload(text)?;
            (opened.vault == vault.number).then_some(opened.number)
        })?;
        let now = self.now();
        let rows = self.store().ledger().uploads(vault.number, from, limit + 1).await?;
        page_of(
            rows,
            limit,
            |row| self.upload_id(row).map(String::from),
            |row| {
                let known = self.is_remembered(&row, now);
                known.then(|| self.upload_description(&vault, row)).transpose()
            },
        )
    }

    /// Discards an upload with its parts; one that was aborted a short time ago is fine.
    ///
    /// # Errors
    ///
    /// `VaultNotFound`; `UploadNotFound`, also for a completed upload.
    pub async fn abort_upload(&self, access: &Access, id: &UploadId) -> Result<(), EngineError> {
        let vault = self.vault(access, Operation::AbortMultipartUpload).await?;
        let number = self.upload_number(&vault, id)?;
        let (engine, id) = (self.clone(), id.clone());
        to_the_end(async move {
            let _nobody_else = engine.inner.uploads.change(number).await;
            engine.abort(number, id).await
        })
        .await
    }

    async fn abort(&self, number: UploadNumber, id: UploadId) -> Result<(), EngineError> {
        let row = self.upload(number, &id).await?;
        let before = match row.state {
            UploadState::InProgress => {
                self.store().ledger().abort_upload(number, self.now()).await?
            }
            ended @ (UploadState::Aborted | UploadState::Completed(_)) => Some(ended),
        };
        match before {
            Some(UploadState::InProgress | UploadState::Aborted) => Ok(()),
            Some(UploadState::Completed(_)) | None => Err(EngineError::UploadNotFound(id)),
        }
    }

    /// Reads the number from an upload ID; the ID of another vault is as unknown as a forged one.
    fn upload_number(&self, vault: &VaultRow, id: &UploadId) -> Result<UploadNumber, EngineError> {
        let opened = self.ids().open_upload(id.as_str());
        let ours = opened.filter(|opened| opened.vault == vault.number);
        ours.map(|opened| opened.number).ok_or_else(|| EngineError::UploadNotFound(id.clone()))
    }

    /// Finds an upload that is still remembered.
    async fn upload(&self, number: UploadNumber, id: &UploadId) -> Result<UploadRow, EngineError> {
        let row = self.store().ledger().upload(number).await?;
        let now = self.now();
        match row {
            Some(row) if self.is_remembered(&row, now) && self.upload_id(&row)? == *id => Ok(row),
            Some(_) | None => Err(EngineError::UploadNotFound(id.clone())),
        }
    }

    /// Finds an upload that takes parts.
    async fn upload_in_progress(
        &self,
        number: UploadNumber,
        id: &UploadId,
    ) -> Result<UploadRow, EngineError> {
        let row = self.upload(number, id).await?;
        match row.state {
            UploadState::InProgress => Ok(row),
            UploadState::Completed(_) | UploadState::Aborted => {
                Err(EngineError::UploadNotFound(id.clone()))
            }
        }
    }

    fn is_remembered(&self, row: &UploadRow, now: Timestamp) -> bool {
        let kept_for = match row.state {
            UploadState::InProgress => self.settings().upload_expiry,
            UploadState::Completed(_) | UploadState::Aborted => self.settings().tombstone,
        };
        now < row.touched.saturating_add(kept_for)
    }

    fn upload_id(&self, row: &UploadRow) -> Result<UploadId, EngineError> {
        self.ids().upload(&row.seal, row.vault, row.number)
    }

    fn upload_description(
        &self,
        vault: &VaultRow,
        row: UploadRow,
    ) -> Result<UploadDescription, EngineError> {
        Ok(UploadDescription {
            upload_id: self.upload_id(&row)?,
            description: row.description,
            creation_date: row.created,
            part_size: row.part_size,
            vault_arn: self.arn_of(vault),
        })
    }
}
