//! Archives on their way in: puts, and uploads in parts.

use http::Method;
use icefield_protocol::{
    ArchiveId, ByteRange, ErrorCode, Page, PartSize, Timestamp, TreeHash, UploadDescription,
    UploadId, VaultName,
};

use super::{
    VaultApi,
    answers::{PartList, UploadList},
    call::{Answer, MAX_LOST_ANSWERS},
    output::tree_hash,
    payload::Payload,
    request::{Repeat, Request},
};
use crate::{
    body::Body,
    target::{Archived, ListedPart, NewArchive, PartMark, StoredPart, TargetError},
};

/// By how much the service's clock may be behind ours.
pub(super) const SKEW_MILLIS: i64 = 5 * 60 * 1000;

impl VaultApi {
    pub(super) async fn hashed<'a>(&self, body: &'a Body) -> Result<Payload<'a>, TargetError> {
        Payload::new(body, &self.hashing, &self.budget).await
    }

    /// Adds what tells the service which archive it is, and that a repeat is the same one.
    fn told<'a>(&self, request: Request<'a>, new: &NewArchive) -> Request<'a> {
        let request = match &new.description {
            Some(description) => request.header("x-amz-archive-description", description),
            None => request,
        };
        // Amazon gets no header that it does not know.
        if self.is_amazon { request } else { request.header("x-icefield-upload-token", new.token) }
    }

    pub(super) async fn put(
        &self,
        vault: &VaultName,
        new: &NewArchive,
        body: &Body,
    ) -> Result<Archived, TargetError> {
        let payload = self.hashed(body).await?;
        // Without tokens a lost answer may leave a twin, which the next inventory names.
        let request = self.told(Request::vault(Method::POST, vault, "/archives"), new);
        let answer = self.call(request.payload(&payload)).await.map_err(used_token)?;
        let archive = archive_of(&answer, payload.tree)?;
        Ok(Archived { archive, tree_hash: payload.tree })
    }

    pub(super) async fn begin(
        &self,
        vault: &VaultName,
        part_size: PartSize,
        new: &NewArchive,
    ) -> Result<UploadId, TargetError> {
        let begun = self.clock.now();
        let repeat = if self.keeps_tokens() { Repeat::Same } else { Repeat::Another };
        let request = self
            .told(Request::vault(Method::POST, vault, "/multipart-uploads"), new)
            .header("x-amz-part-size", part_size.bytes())
            .repeat(repeat);
        for _ in 0..MAX_LOST_ANSWERS {
            match self.try_call(&request).await {
                Ok(answer) => {
                    let upload: UploadId = answer.header("x-amz-multipart-upload-id")?;
                    self.give_out(&upload);
                    return Ok(upload);
                }
                Err(failed) if failed.is_undone() || repeat == Repeat::Same => {
                    return Err(used_token(self.failed(failed)));
                }
                Err(_) => {
                    if let Some(upload) = self.lost_upload(vault, part_size, new, begun).await? {
                        return Ok(upload);
                    }
                }
            }
        }
        Err(self.silent())
    }

    /// Finds the upload that an initiation with a lost answer has begun.
    async fn lost_upload(
        &self,
        vault: &VaultName,
        part_size: PartSize,
        new: &NewArchive,
        begun: Timestamp,
    ) -> Result<Option<UploadId>, TargetError> {
        let since = begun.unix_millis() - SKEW_MILLIS;
        let mut marker: Option<String> = None;
        loop {
            let page = self.uploads(vault, marker.as_deref()).await?;
            for upload in page.items {
                let is_like = upload.description == new.description
                    && upload.part_size == part_size
                    && upload.creation_date.unix_millis() >= since;
                if is_like && self.give_out(&upload.upload_id) {
                    return Ok(Some(upload.upload_id));
                }
            }
            marker = page.marker;
            if marker.is_none() {
                return Ok(None);
            }
        }
    }

    /// Notes that an upload belongs to a caller; false when it belonged to one already.
    fn give_out(&self, upload: &UploadId) -> bool {
        if self.keeps_tokens() {
            return true;
        }
        let mut found = self.found.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        found.insert(upload.clone())
    }

    pub(super) async fn part(
        &self,
        vault: &VaultName,
        upload: &UploadId,
        range: ByteRange,
        body: &Body,
    ) -> Result<StoredPart, TargetError> {
        let payload = self.hashed(body).await?;
        let request = Request::vault(Method::PUT, vault, &format!("/multipart-uploads/{upload}"))
            .header("content-range", range.to_content_range())
            .payload(&payload);
        check(&self.call(request).await?, payload.tree)?;
        Ok(StoredPart { tree_hash: payload.tree, mark: PartMark::TreeHash(payload.tree) })
    }

    pub(super) async fn parts(
        &self,
        vault: &VaultName,
        upload: &UploadId,
        marker: Option<&str>,
    ) -> Result<Page<ListedPart>, TargetError> {
        let path = format!("/multipart-uploads/{upload}");
        let list: PartList =
            self.ask(Request::vault(Method::GET, vault, &path).marker(marker)).await?;
        let listed = |part: icefield_protocol::PartDescription| ListedPart {
            range: part.range,
            mark: PartMark::TreeHash(part.tree_hash),
        };
        Ok(Page { items: list.parts.into_iter().map(listed).collect(), marker: list.marker })
    }

    pub(super) async fn uploads(
        &self,
        vault: &VaultName,
        marker: Option<&str>,
    ) -> Result<Page<UploadDescription>, TargetError> {
        let request = Request::vault(Method::GET, vault, "/multipart-uploads").marker(marker);
        let list: UploadList = self.ask(request).await?;
        Ok(Page { items: list.uploads_list, marker: list.marker })
    }

    pub(super) async fn complete(
        &self,
        vault: &VaultName,
        upload: &UploadId,
        size: u64,
        tree_hash: TreeHash,
    ) -> Result<ArchiveId, TargetError> {
        let repeat = if self.keeps_tokens() { Repeat::Same } else { Repeat::Another };
        let request = Request::vault(Method::POST, vault, &format!("/multipart-uploads/{upload}"))
            .header("x-amz-archive-size", size)
            .header("x-amz-sha256-tree-hash", tree_hash)
            .repeat(repeat);
        for _ in 0..MAX_LOST_ANSWERS {
            match self.try_call(&request).await {
                Ok(answer) => return archive_of(&answer, tree_hash),
                Err(failed) if failed.is_undone() || repeat == Repeat::Same => {
                    return Err(self.failed(failed));
                }
                // An upload that can no longer be listed is an archive now.
                Err(_) => match self.parts(vault, upload, None).await {
                    Ok(_) => {}
                    Err(error) if error.is_not_found() => return Err(TargetError::CompletedUnseen),
                    Err(error) => return Err(error),
                },
            }
        }
        Err(self.silent())
    }
}

fn archive_of(answer: &Answer, sent: TreeHash) -> Result<ArchiveId, TargetError> {
    check(answer, sent)?;
    answer.header("x-amz-archive-id")
}

/// Compares what was sent with what the service says that it has.
fn check(answer: &Answer, sent: TreeHash) -> Result<(), TargetError> {
    match tree_hash(&answer.headers)? {
        Some(stored) if stored != sent => Err(TargetError::Damaged {
            what: format!("the service has stored tree hash {stored}, {sent} was sent"),
        }),
        // Not every service tells it.
        _ => Ok(()),
    }
}

/// An icefield server says that a token's archive was deleted since.
fn used_token(error: TargetError) -> TargetError {
    match error {
        TargetError::Service { code: ErrorCode::InvalidParameterValue, message }
            if message.contains("deleted since") =>
        {
            TargetError::UsedToken
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use icefield_protocol::TreeHash;

    use super::{Answer, archive_of};
    use crate::target::TargetError;

    #[test]
    fn a_service_that_has_stored_something_else_is_not_believed() {
        let (sent, other) = (TreeHash::of_leaf(b"sent"), TreeHash::of_leaf(b"other"));
        let told = |tree_hash: Option<String>| {
            let mut headers = HeaderMap::new();
            headers.insert("x-amz-archive-id", "a".repeat(138).parse().unwrap());
            if let Some(tree_hash) = tree_hash {
                headers.insert("x-amz-sha256-tree-hash", tree_hash.parse().unwrap());
            }
            archive_of(&Answer { headers, body: Vec::new() }, sent)
        };
        assert!(told(None).is_ok() && told(Some(sent.to_string())).is_ok());
        let damaged = told(Some(other.to_string())).unwrap_err();
        assert!(matches!(damaged, TargetError::Damaged { .. }), "{damaged}");
        assert!(told(Some("no hash".to_owned())).is_err());
    }
}
