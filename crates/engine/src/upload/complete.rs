//! Completing an upload: parts become an archive without a byte being read.

use bytes::Bytes;
use icefield_protocol::{ArchiveId, Operation, UploadId};
use icefield_store::{
    ArchiveEntry, Content, Extent,
    entry::{ArchiveNumber, UploadNumber},
    ledger::{UploadRow, UploadState, VaultRow},
};
use icefield_treehash::TreeHash;

use super::locks::to_the_end;
use crate::{access::Access, engine::Engine, error::EngineError};

/// Parts read from the ledger at a time.
const PARTS_PAGE: usize = 1000;

impl Engine {
    /// Makes an archive of the parts of an upload and returns its ID; durable on return.
    ///
    /// A repeat is answered with the same ID while the end of the upload is remembered, also when the archive was deleted
    /// since (with a token, until the archive is forgotten). One that comes while the first
    /// is under way waits for it; two archives never come of one upload.
    ///
    /// # Errors
    ///
    /// `VaultNotFound`; `UploadNotFound`; then, in this order, `MissingContent` for a gap, a short part in the middle or
    /// no part at all, `InvalidArchiveSize`, `InvalidTreeHash`. They leave the upload in progress with its parts.
    pub async fn complete_upload(
        &self,
        access: &Access,
        id: &UploadId,
        size: u64,
        tree_hash: TreeHash,
    ) -> Result<ArchiveId, EngineError> {
        let vault = self.vault(access, Operation::CompleteMultipartUpload).await?;
        let number = self.upload_number(&vault, id)?;
        let (engine, id) = (self.clone(), id.clone());
        to_the_end(async move {
            let _nobody_else = engine.inner.uploads.change(number).await;
            engine.complete(vault, number, &id, size, tree_hash).await
        })
        .await
    }

    async fn complete(
        &self,
        vault: VaultRow,
        number: UploadNumber,
        id: &UploadId,
        size: u64,
        tree_hash: TreeHash,
    ) -> Result<ArchiveId, EngineError> {
        let row = self.upload(number, id).await?;
        match row.state {
            UploadState::InProgress => {}
            UploadState::Aborted => return Err(EngineError::UploadNotFound(id.clone())),
            UploadState::Completed(archive) => {
                return self.completed_before(&row, archive, size, tree_hash).await;
            }
        }
        let extents = self.whole_parts(&row).await?;
        if extents.iter().map(|extent| extent.size).sum::<u64>() != size {
            return Err(EngineError::InvalidArchiveSize(size));
        }
        if TreeHash::combine(extents.iter().map(|extent| extent.tree_hash)) != tree_hash {
            return Err(EngineError::InvalidTreeHash(tree_hash));
        }
        let vault = self.settle_inventory(vault).await?;
        let archive = ArchiveNumber(self.store().next_number());
        // The archive's ID has the seal of its upload, so that the ID can be told as long as the upload is remembered.
        let entry = ArchiveEntry {
            vault: vault.number,
            number: archive,
            id: self.ids().archive(&row.seal, vault.number, archive)?,
            seal: row.seal,
            description: row.description,
            created: self.now(),
            aged: Some(self.compliance_time()),
            size,
            tree_hash,
            token: row.token,
            upload: Some(number),
            content: Content::Extents(extents),
        };
        Ok(self.commit_archive(&vault, entry, Bytes::new()).await?.id)
    }

    /// Returns the parts in order, if they are whole from the beginning on.
    async fn whole_parts(&self, row: &UploadRow) -> Result<Vec<Extent>, EngineError> {
        let part_size = row.part_size.bytes();
        let mut extents: Vec<Extent> = Vec::new();
        let mut next = 0;
        loop {
            let page = self.store().ledger().parts(row.number, next, PARTS_PAGE).await?;
            for part in &page {
                // Whatever comes next must begin exactly where a full part has ended.
                let end =
                    extents.last().map_or(0, |last| u64::from(next - 1) * part_size + last.size);
                if part.index != next || end != u64::from(next) * part_size {
                    return Err(EngineError::MissingContent(end));
                }
                extents.push(part.extent);
                next += 1;
            }
            if page.len() < PARTS_PAGE {
                break;
            }
        }
        if extents.is_empty() { Err(EngineError::MissingContent(0)) } else { Ok(extents) }
    }

    /// Answers a repeat. The archive may have been deleted and forgotten since; its ID stays the answer.
    async fn completed_before(
        &self,
        upload: &UploadRow,
        archive: ArchiveNumber,
        size: u64,
        tree_hash: TreeHash,
    ) -> Result<ArchiveId, EngineError> {
        match self.store().ledger().archive(archive).await? {
            Some(row) if row.size != size => Err(EngineError::InvalidArchiveSize(size)),
            Some(row) if row.tree_hash != tree_hash => Err(EngineError::InvalidTreeHash(tree_hash)),
            Some(row) => self.archive_id(&row),
            None => match upload.token {
                // Perhaps the token had made that archive without this upload; then its seal is forgotten, too.
                Some(token) => Err(EngineError::UsedToken(token)),
                None => self.ids().archive(&upload.seal, upload.vault, archive),
            },
        }
    }
}
