//! Archives in parts.
//!
//! Parts are numbered from 1, and every one but the last has the size that the upload's identifier tells. A completion
//! names each part with its entity tag and, where the service lists it, its SHA-256, and the size of the whole.

use std::{
    collections::HashMap,
    sync::{MutexGuard, PoisonError, atomic::Ordering::Relaxed},
};

use aws_sdk_s3::{
    error::SdkError,
    operation::complete_multipart_upload::CompleteMultipartUploadOutput,
    primitives::DateTime,
    types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, Part, Tag, Tagging},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use icefield_protocol::{
    ArchiveId, ByteRange, ErrorCode, LinearHash, Page, PartSize, Timestamp, TreeHash,
    UploadDescription, UploadId, UploadToken, VaultName,
};
use tokio::sync::OnceCell;

use super::{
    S3, class_header,
    error::{is_not_implemented, is_taken, service_error},
    ids::Upload,
    is_passing,
    metadata::{Metadata, TREE_HASH_TAG},
    object::timestamp,
    put::{Seat, id},
    send::Outgoing,
};
use crate::target::{Body, ListedPart, NewArchive, PartMark, StoredPart, TargetError};

/// Uploads of a page; of each, one request more tells the size of its parts.
const UPLOADS_OF_A_PAGE: i32 = 50;

/// Requests about uploads of a page at a time.
const UPLOADS_AT_ONCE: usize = 8;

impl S3 {
    /// Begins an upload. One that was completed with the same token is found: it has no parts, and is complete.
    pub(super) async fn begin(
        &self,
        vault: &VaultName,
        part_size: PartSize,
        new: &NewArchive,
    ) -> Result<UploadId, TargetError> {
        let (key, tell_path) = match self.seat(vault, new).await? {
            Seat::Taken { key, .. } => return Upload { id: String::new(), part_size, key }.id(),
            Seat::Free { key, tell_path } => (key, tell_path),
        };
        let request = self
            .client
            .create_multipart_upload()
            .bucket(&self.settings.bucket)
            .key(&key)
            .set_metadata(Some(Metadata::write(new, new.tree_hash, tell_path)?))
            .set_storage_class(class_header(self.settings.class))
            .checksum_algorithm(ChecksumAlgorithm::Sha256);
        let begun = request.send().await.map_err(|error| service_error(&self.at(&key), error))?;
        let id = begun.upload_id().unwrap_or_default().to_owned();
        let upload = Upload { id, part_size, key }.id()?;
        if new.tree_hash.is_none() {
            self.untold().insert(upload.clone(), None);
        }
        Ok(upload)
    }

    /// Stores a part; `outgoing` is kept between repeats, so that its bytes are hashed once.
    pub(super) async fn put_part(
        &self,
        vault: &VaultName,
        upload: &UploadId,
        range: ByteRange,
        body: &Body,
        outgoing: &OnceCell<Outgoing>,
    ) -> Result<StoredPart, TargetError> {
        let upload = self.known(vault, upload)?;
        if !range.first.is_multiple_of(upload.part_size.bytes()) || range.len() != body.size() {
            return Err(invalid(format!("{range} is no part of the upload of {}", upload.key)));
        }
        let number = i32::try_from(range.first / upload.part_size.bytes() + 1)
            .map_err(|_| invalid(format!("{range} is beyond the last part that there can be")))?;
        let outgoing = outgoing.get_or_try_init(|| Outgoing::of(body, &self.hashing)).await?;
        let request = self
            .client
            .upload_part()
            .bucket(&self.settings.bucket)
            .key(&upload.key)
            .upload_id(&upload.id)
            .part_number(number)
            .content_length(outgoing.content_length())
            .checksum_sha256(outgoing.checksum())
            .body(outgoing.stream());
        let stored = request.customize().interceptor(outgoing.signed()).send().await;
        let stored = stored
            .map_err(|error| outgoing.or_source(service_error(&self.at(&upload.key), error)))?;
        Ok(StoredPart { tree_hash: outgoing.tree_hash, mark: mark(stored.e_tag()) })
    }

    /// Lists parts.
    pub(super) async fn page_of_parts(
        &self,
        vault: &VaultName,
        upload: &UploadId,
        marker: Option<&str>,
    ) -> Result<Page<ListedPart>, TargetError> {
        let upload = self.known(vault, upload)?;
        let (parts, marker) = self.parts_from(&upload, marker.map(str::to_owned)).await?;
        let listed = |part: &Part| {
            let first = upload.offset(number_of(part)?);
            let size = u64::try_from(part.size()?).ok().filter(|size| *size > 0)?;
            let range = ByteRange { first, last: first + size - 1 };
            Some(ListedPart { range, mark: mark(part.e_tag()) })
        };
        Ok(Page { items: parts.iter().filter_map(listed).collect(), marker })
    }

    /// Makes an archive of the parts.
    ///
    /// Whatever says that it may have been done already, the lost answer of an earlier attempt among it, is looked up.
    pub(super) async fn complete(
        &self,
        vault: &VaultName,
        upload_id: &UploadId,
        size: u64,
        tree_hash: TreeHash,
    ) -> Result<ArchiveId, TargetError> {
        let upload = self.inside(vault, upload_id)?;
        let refused = match self.all_parts(&upload).await {
            Ok(parts) => {
                let checksum = checksum_of(&parts);
                self.note_checksum(upload_id, checksum.as_ref());
                self.complete_of(&upload, size, parts).await.err().map(|error| (error, checksum))
            }
            Err(error) => Some((error.into(), self.noted_checksum(upload_id))),
        };
        if let Some((Refused { error, is_open }, checksum)) = refused
            && (!is_open
                || !self.is_there(&upload.key, size, tree_hash, checksum.as_deref()).await?)
        {
            return Err(error);
        }
        if self.untold().remove(upload_id).is_some() {
            self.tell_tree_hash(&upload.key, tree_hash).await;
        }
        id(upload.key)
    }

    /// Asks for the completion of an upload that has these parts.
    async fn complete_of(
        &self,
        upload: &Upload,
        size: u64,
        parts: Vec<Part>,
    ) -> Result<(), Refused> {
        let at = self.at(&upload.key);
        let there: u64 = parts.iter().filter_map(|part| u64::try_from(part.size()?).ok()).sum();
        if there != size {
            let error = invalid(format!(
                "{at}: the parts that were received have {there} bytes, not {size}"
            ));
            return Err(Refused { error, is_open: false });
        }
        match self.ask_to_complete(upload, size, parts).await {
            Ok(_) => Ok(()),
            Err(error) if is_taken(&error) => {
                let error = invalid(format!("{at}: another archive was stored there meanwhile"));
                Err(Refused { error, is_open: true })
            }
            Err(error) => Err(service_error(&at, error).into()),
        }
    }

    fn untold(&self) -> MutexGuard<'_, HashMap<UploadId, Option<String>>> {
        self.untold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers what an upload whose tree hash nobody can ask for will be known by.
    fn note_checksum(&self, upload: &UploadId, checksum: Option<&String>) {
        if let Some(noted) = self.untold().get_mut(upload) {
            *noted = checksum.cloned();
        }
    }

    fn noted_checksum(&self, upload: &UploadId) -> Option<String> {
        self.untold().get(upload).cloned().flatten()
    }

    /// Tells the archive of an upload that is not listed any more.
    pub(super) async fn completed(
        &self,
        vault: &VaultName,
        upload: &UploadId,
        token: UploadToken,
        size: u64,
        tree_hash: TreeHash,
    ) -> Result<Option<ArchiveId>, TargetError> {
        let upload = self.inside(vault, upload)?;
        let Some(found) = self.with_token(&upload.key, token).await? else { return Ok(None) };
        let is_same = found.size == size
            && self.tree_hash(&upload.key, &found).await?.is_none_or(|told| told == tree_hash);
        if is_same { id(upload.key).map(Some) } else { Ok(None) }
    }

    /// Discards an upload.
    pub(super) async fn abort(
        &self,
        vault: &VaultName,
        upload_id: &UploadId,
    ) -> Result<(), TargetError> {
        let upload = self.known(vault, upload_id)?;
        self.untold().remove(upload_id);
        let request = self
            .client
            .abort_multipart_upload()
            .bucket(&self.settings.bucket)
            .key(&upload.key)
            .upload_id(&upload.id);
        request.send().await.map(drop).map_err(|error| service_error(&self.at(&upload.key), error))
    }

    /// Lists uploads. Their descriptions are not told before they are complete, and the size of their parts is that of the
    /// largest part: the next power of two where that was the last one.
    pub(super) async fn page_of_uploads(
        &self,
        vault: &VaultName,
        marker: Option<&str>,
    ) -> Result<Page<UploadDescription>, TargetError> {
        let prefix = self.keys.vault(vault);
        let after = marker.and_then(|marker| marker.split_once('\n'));
        let request = self
            .client
            .list_multipart_uploads()
            .bucket(&self.settings.bucket)
            .prefix(&prefix)
            .max_uploads(UPLOADS_OF_A_PAGE)
            .set_upload_id_marker(after.map(|(id, _)| id.to_owned()))
            .set_key_marker(after.map(|(_, key)| key.to_owned()));
        let page = request.send().await;
        let page = page.map_err(|error| service_error(&self.at(&prefix), error))?;
        let found = page.uploads().iter().filter_map(|upload| {
            let key = upload.key().filter(|key| self.keys.inside(vault, key).is_ok())?;
            Some((key.to_owned(), upload.upload_id()?.to_owned(), upload.initiated().copied()))
        });
        let found: Vec<_> = found.collect();
        let items = stream::iter(found)
            .map(|(key, id, begun)| self.described(vault, key, id, begun))
            .buffered(UPLOADS_AT_ONCE)
            .try_filter_map(async |upload| Ok(upload))
            .try_collect()
            .await?;
        let next = page.is_truncated().unwrap_or(false).then(|| {
            let id = page.next_upload_id_marker().unwrap_or_default();
            format!("{id}\n{}", page.next_key_marker().unwrap_or_default())
        });
        Ok(Page { items, marker: next })
    }

    async fn described(
        &self,
        vault: &VaultName,
        key: String,
        id: String,
        begun: Option<DateTime>,
    ) -> Result<Option<UploadDescription>, TargetError> {
        let smallest = PartSize::new(super::SMALLEST_PART_BYTES).expect("8 MiB is a part size");
        let mut upload = Upload { id, part_size: smallest, key };
        let parts = match self.parts_from(&upload, None).await {
            Ok((parts, _)) => parts,
            // It has ended meanwhile.
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        let largest = parts.iter().filter_map(|part| u64::try_from(part.size()?).ok()).max();
        let size = largest.and_then(u64::checked_next_power_of_two);
        if let Some(size) = size.and_then(|size| PartSize::new(size).ok()) {
            upload.part_size = size;
        }
        Ok(Some(UploadDescription {
            description: None,
            creation_date: begun.as_ref().and_then(timestamp).unwrap_or(Timestamp::UNIX_EPOCH),
            upload_id: upload.id()?,
            part_size: upload.part_size,
            vault_arn: self.arn(vault),
        }))
    }

    async fn ask_to_complete(
        &self,
        upload: &Upload,
        size: u64,
        parts: Vec<Part>,
    ) -> Result<
        CompleteMultipartUploadOutput,
        SdkError<aws_sdk_s3::operation::complete_multipart_upload::CompleteMultipartUploadError>,
    > {
        let named = |part: Part| {
            CompletedPart::builder()
                .set_part_number(part.part_number)
                .set_e_tag(part.e_tag)
                .set_checksum_sha256(part.checksum_sha256)
                .build()
        };
        let parts: Vec<_> = parts.into_iter().map(named).collect();
        loop {
            let condition = self.if_none_match();
            let request = self
                .client
                .complete_multipart_upload()
                .bucket(&self.settings.bucket)
                .key(&upload.key)
                .upload_id(&upload.id)
                .mpu_object_size(i64::try_from(size).unwrap_or(i64::MAX))
                .set_if_none_match(condition.clone())
                .multipart_upload(
                    CompletedMultipartUpload::builder().set_parts(Some(parts.clone())).build(),
                );
            match request.send().await {
                Err(error) if condition.is_some() && is_not_implemented(&error) => {
                    self.conditional.store(false, Relaxed);
                }
                answer => return answer,
            }
        }
    }

    /// Whether the object at a key is the archive that an upload was to become.
    async fn is_there(
        &self,
        key: &str,
        size: u64,
        tree_hash: TreeHash,
        checksum: Option<&str>,
    ) -> Result<bool, TargetError> {
        let Some(found) = self.head(key).await?.filter(|found| found.size == size) else {
            return Ok(false);
        };
        if checksum.is_some() && found.checksum.as_deref() == checksum {
            return Ok(true);
        }
        Ok(self.tree_hash(key, &found).await? == Some(tree_hash))
    }

    /// Notes the tree hash of what was a stream. It is stored either way, so this is not worth failing for.
    async fn tell_tree_hash(&self, key: &str, tree_hash: TreeHash) {
        let tag = Tag::builder().key(TREE_HASH_TAG).value(tree_hash.to_string()).build();
        let tags = tag.and_then(|tag| Tagging::builder().tag_set(tag).build());
        let Ok(tags) = tags else { return };
        let request =
            self.client.put_object_tagging().bucket(&self.settings.bucket).key(key).tagging(tags);
        if let Err(error) = request.send().await
            && self.tagging.swap(false, Relaxed)
        {
            tracing::warn!(
                "the tree hash of what was a stream cannot be noted at the service, so that only the catalog has it: {}",
                service_error(&self.at(key), error)
            );
        }
    }

    /// Lists all parts.
    async fn all_parts(&self, upload: &Upload) -> Result<Vec<Part>, TargetError> {
        if upload.id.is_empty() {
            return Err(self.no_upload(upload));
        }
        let mut all = Vec::new();
        let mut marker = None;
        loop {
            let (parts, next) = self.parts_from(upload, marker).await?;
            all.extend(parts);
            marker = next;
            if marker.is_none() {
                return Ok(all);
            }
        }
    }

    async fn parts_from(
        &self,
        upload: &Upload,
        marker: Option<String>,
    ) -> Result<(Vec<Part>, Option<String>), TargetError> {
        let request = self
            .client
            .list_parts()
            .bucket(&self.settings.bucket)
            .key(&upload.key)
            .upload_id(&upload.id)
            .set_part_number_marker(marker);
        let page =
            request.send().await.map_err(|error| service_error(&self.at(&upload.key), error))?;
        let next = page.is_truncated().unwrap_or(false);
        let next = page.next_part_number_marker().filter(|_| next).map(str::to_owned);
        let mut parts = page.parts.unwrap_or_default();
        parts.sort_by_key(|part| part.part_number);
        Ok((parts, next))
    }

    /// Reads the identifier of an upload of this vault.
    fn inside(&self, vault: &VaultName, upload: &UploadId) -> Result<Upload, TargetError> {
        let upload = Upload::parse(upload)?;
        self.keys.inside(vault, &upload.key)?;
        Ok(upload)
    }

    /// The same of an upload that the service may still have.
    fn known(&self, vault: &VaultName, upload: &UploadId) -> Result<Upload, TargetError> {
        let upload = self.inside(vault, upload)?;
        if upload.id.is_empty() { Err(self.no_upload(&upload)) } else { Ok(upload) }
    }

    fn no_upload(&self, upload: &Upload) -> TargetError {
        TargetError::Service {
            code: ErrorCode::ResourceNotFound,
            message: format!("{}: its upload was completed before", self.at(&upload.key)),
        }
    }
}

/// What tells a part from another one of the same number.
fn mark(etag: Option<&str>) -> PartMark {
    PartMark::Etag(etag.unwrap_or_default().trim_matches('"').to_owned())
}

fn number_of(part: &Part) -> Option<u64> {
    part.part_number().and_then(|number| u64::try_from(number).ok())
}

/// The checksum that the service gives the whole: of the parts' checksums one after another, and their number.
fn checksum_of(parts: &[Part]) -> Option<String> {
    let mut all = Vec::with_capacity(parts.len() * 32);
    for part in parts {
        all.extend(STANDARD.decode(part.checksum_sha256()?).ok()?);
    }
    Some(format!("{}-{}", STANDARD.encode(LinearHash::of(&all).as_bytes()), parts.len()))
}

/// Why an upload was not completed.
struct Refused {
    error: TargetError,
    /// Whether it may have been nevertheless: by an earlier attempt, whose answer was lost.
    is_open: bool,
}

impl From<TargetError> for Refused {
    fn from(error: TargetError) -> Self {
        let is_open = error.is_not_found() || is_passing(&error);
        Self { error, is_open }
    }
}

fn invalid(message: String) -> TargetError {
    TargetError::Service { code: ErrorCode::InvalidParameterValue, message }
}
