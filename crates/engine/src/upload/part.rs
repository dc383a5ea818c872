//! Parts: received like archives, each into a payload file of its own, in any order and at the same time.

use bytes::Bytes;
use icefield_protocol::{
    ByteRange, Operation, Page, PartDescription, UploadDescription, UploadId, limits,
};
use icefield_store::{
    entry::UploadNumber,
    ledger::{PartRow, UploadRow},
};
use icefield_treehash::{Hashed, LinearHash, TreeHash};

use super::locks::to_the_end;
use crate::{
    access::Access,
    body::{Declared, StagedFile, Storing, check},
    engine::Engine,
    error::EngineError,
    page::{page_limit, page_of, read_marker},
};

/// A part whose bytes are coming. Dropping it leaves the upload as it was.
#[derive(Debug)]
pub struct ReceivingPart {
    part: Part,
    storing: Storing,
}

/// A part whose bytes have come completely. Dropping it leaves the upload as it was.
#[derive(Debug)]
pub struct HashedPart {
    part: Part,
    hashed: Hashed,
    file: StagedFile,
}

#[derive(Debug)]
struct Part {
    engine: Engine,
    upload: UploadNumber,
    id: UploadId,
    index: u32,
}

impl Engine {
    /// Begins to receive the part at `range`, in place of the one that begins there, if any.
    ///
    /// # Errors
    ///
    /// `VaultNotFound`; `UploadNotFound`; `InvalidContentRange` when it does not begin at a multiple of the part size,
    /// is longer, or lies beyond 10,000 parts. A short part is taken anywhere; only Complete knows which is the last.
    pub async fn receive_part(
        &self,
        access: &Access,
        id: &UploadId,
        range: ByteRange,
        linear: bool,
    ) -> Result<ReceivingPart, EngineError> {
        let vault = self.vault(access, Operation::UploadMultipartPart).await?;
        let upload = self.upload_number(&vault, id)?;
        let row = self.upload_in_progress(upload, id).await?;
        let index = part_index(&row, range).ok_or(EngineError::InvalidContentRange(range))?;
        let part = Part { engine: self.clone(), upload, id: id.clone(), index };
        let storing = Storing::begin(self, Declared::Part(range), linear).await?;
        Ok(ReceivingPart { part, storing })
    }

    /// Describes an upload in progress and lists the parts that came completely, by range; the marker is the offset of
    /// the first part of the next page.
    ///
    /// # Errors
    ///
    /// `VaultNotFound`; `UploadNotFound`; `InvalidLimit` of zero; `InvalidMarker` when it is not an offset of a part.
    pub async fn list_parts(
        &self,
        access: &Access,
        id: &UploadId,
        marker: Option<&str>,
        limit: Option<u64>,
    ) -> Result<(UploadDescription, Page<PartDescription>), EngineError> {
        let vault = self.vault(access, Operation::ListParts).await?;
        let upload = self.upload_number(&vault, id)?;
        let row = self.upload_in_progress(upload, id).await?;
        let limit = page_limit(limit, limits::LIST_LIMIT)?;
        let part_size = row.part_size.bytes();
        let from = read_marker(marker, |text| index_at(part_size, text.parse().ok()?))?;
        let rows = self.store().ledger().parts(upload, from.unwrap_or(0), limit + 1).await?;
        let page = page_of(
            rows,
            limit,
            |part| Ok((u64::from(part.index) * part_size).to_string()),
            |part| {
                let first = u64::from(part.index) * part_size;
                let range = ByteRange { first, last: first + part.extent.size - 1 };
                Ok(Some(PartDescription { range, tree_hash: part.extent.tree_hash }))
            },
        )?;
        Ok((self.upload_description(&vault, row)?, page))
    }
}

/// Returns which part `range` is, if it can be one.
fn part_index(upload: &UploadRow, range: ByteRange) -> Option<u32> {
    let part_size = upload.part_size.bytes();
    (range.len() <= part_size).then(|| index_at(part_size, range.first)).flatten()
}

fn index_at(part_size: u64, offset: u64) -> Option<u32> {
    let index = offset / part_size;
    let fits = offset.is_multiple_of(part_size) && index < limits::MAX_PARTS;
    fits.then(|| u32::try_from(index).expect("below the most parts"))
}

impl ReceivingPart {
    /// Takes the next bytes, in buffers of any length; best 1 MiB each.
    ///
    /// Not cancel safe: a part whose `write` was dropped midway cannot be committed.
    ///
    /// # Errors
    ///
    /// `ContentRangeMismatch` when more comes than the range says.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), EngineError> {
        self.storing.write(bytes).await
    }

    /// Ends the bytes and returns their hashes, before the upload is changed.
    ///
    /// # Errors
    ///
    /// `ContentRangeMismatch` when less came than the range says.
    pub async fn finish(self) -> Result<HashedPart, EngineError> {
        let Self { part, storing } = self;
        let (hashed, file) = storing.finish().await?;
        Ok(HashedPart { part, hashed, file })
    }

    /// Ends the bytes and makes them a part of the upload: [`finish`](Self::finish), then [`HashedPart::commit`].
    ///
    /// # Errors
    ///
    /// Those of both.
    pub async fn commit(self, expected: Option<TreeHash>) -> Result<TreeHash, EngineError> {
        self.finish().await?.commit(expected).await
    }
}

impl HashedPart {
    /// Returns the linear hash of the bytes that came, if it was wanted.
    #[must_use]
    pub const fn linear(&self) -> Option<LinearHash> {
        self.hashed.linear
    }

    /// Makes the bytes a part of the upload and returns their tree hash; durable on return. Of several parts at the
    /// same offset the one that is committed last stays.
    ///
    /// # Errors
    ///
    /// `ChecksumMismatch` when they have another tree hash than `expected`; `UploadNotFound` when the upload has ended
    /// meanwhile. Either leaves the upload as it was.
    pub async fn commit(self, expected: Option<TreeHash>) -> Result<TreeHash, EngineError> {
        let Self { part: Part { engine, upload, id, index }, hashed, file } = self;
        check(expected, hashed.tree)?;
        let (extent, name) = file.finish(&hashed).await?;
        to_the_end(async move {
            let _parts_only = engine.inner.uploads.add(upload).await;
            // Time has passed since the first byte: the upload may have ended or expired.
            engine.upload_in_progress(upload, &id).await?;
            let part = PartRow { index, extent };
            let taken = engine.store().ledger().put_part(upload, part, engine.now()).await?;
            name.release().await?;
            if taken { Ok(hashed.tree) } else { Err(EngineError::UploadNotFound(id)) }
        })
        .await
    }
}
