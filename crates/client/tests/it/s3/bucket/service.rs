//! What the bucket answers to S3's requests.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::stream;
use icefield_protocol::LinearHash;
use s3s::dto::*;
use s3s::{S3 as Service, S3Request, S3Response, S3Result, s3_error};

use super::{Begun, Bucket, Restored, Stored};

/// Where the service keeps its bucket.
pub(super) struct Handle(pub(super) Arc<Bucket>);

#[async_trait::async_trait]
impl Service for Handle {
    async fn put_object(
        &self,
        request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let input = request.input;
        self.0.asked("put_object", &input.bucket)?;
        self.0.check_condition(&input.key, input.if_none_match.as_ref())?;
        let received = self.0.receive(input.body, input.checksum_sha256).await?;
        self.0.check_condition(&input.key, input.if_none_match.as_ref())?;
        let object = Stored {
            metadata: input.metadata.unwrap_or_default(),
            class: input.storage_class.map(|class| class.as_str().to_owned()),
            ..received
        };
        let e_tag = etag(&object);
        self.0.objects().insert(input.key, object);
        self.0.answer("put_object", PutObjectOutput { e_tag, ..Default::default() })
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = request.input;
        self.0.asked("head_object", &input.bucket)?;
        let objects = self.0.objects();
        let object = objects.get(&input.key).ok_or_else(|| s3_error!(NoSuchKey))?;
        Ok(S3Response::new(HeadObjectOutput {
            content_length: size(object),
            e_tag: etag(object),
            last_modified: Some(modified()),
            metadata: Some(object.metadata.clone()),
            storage_class: object.class.clone().map(StorageClass::from),
            restore: object.restore_header(),
            checksum_sha256: object.checksum.clone(),
            ..Default::default()
        }))
    }

    async fn get_object(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let input = request.input;
        self.0.asked("get_object", &input.bucket)?;
        let object = self.0.objects().get(&input.key).cloned();
        let object = object.ok_or_else(|| s3_error!(NoSuchKey, "no such key"))?;
        if object.is_cold() && object.restore != Restored::Yes {
            return Err(s3_error!(InvalidObjectState, "it is not restored"));
        }
        let whole = object.bytes.len() as u64;
        let range = match &input.range {
            Some(range) => range.check(whole).map_err(|_| s3_error!(InvalidRange))?,
            None => 0..whole,
        };
        let at = |offset: u64| usize::try_from(offset).unwrap();
        let mut bytes = object.bytes.slice(at(range.start)..at(range.end));
        let length = bytes.len();
        let breaks =
            self.0.breaks.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok();
        let end = if breaks {
            bytes.truncate(length / 2);
            vec![Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))]
        } else {
            Vec::new()
        };
        let pieces: Vec<Bytes> = bytes.chunks(64 << 10).map(Bytes::copy_from_slice).collect();
        let chunks = stream::iter(pieces.into_iter().map(Ok).chain(end));
        Ok(S3Response::new(GetObjectOutput {
            body: Some(StreamingBlob::wrap(chunks)),
            content_length: Some(i64::try_from(length).unwrap()),
            content_range: input
                .range
                .map(|_| format!("bytes {}-{}/{whole}", range.start, range.end - 1)),
            e_tag: etag(&object),
            ..Default::default()
        }))
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        self.0.asked("delete_object", &request.input.bucket)?;
        self.0.objects().remove(&request.input.key);
        self.0.answer("delete_object", DeleteObjectOutput::default())
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        self.0.asked("list_objects_v2", &input.bucket)?;
        let prefix = input.prefix.unwrap_or_default();
        let most = usize::try_from(input.max_keys.unwrap_or(1000)).unwrap();
        let after = input.continuation_token.unwrap_or_default();
        let (mut contents, mut common) = (Vec::new(), Vec::<String>::new());
        let mut last = None;
        for (key, object) in self.0.objects().range(prefix.clone()..) {
            let Some(rest) = key.strip_prefix(&prefix) else { break };
            let folder = input.delimiter.as_deref().and_then(|delimiter| {
                rest.find(delimiter).map(|end| format!("{prefix}{}", &rest[..=end]))
            });
            let name = folder.as_ref().unwrap_or(key);
            if *name <= after || common.last() == Some(name) {
                continue;
            }
            if contents.len() + common.len() == most {
                let next_continuation_token = last;
                return Ok(S3Response::new(listing(contents, common, next_continuation_token)));
            }
            last = Some(name.clone());
            match folder {
                Some(folder) => common.push(folder),
                None => contents.push(Object {
                    key: Some(key.clone()),
                    size: size(object),
                    last_modified: Some(modified()),
                    e_tag: etag(object),
                    ..Default::default()
                }),
            }
        }
        Ok(S3Response::new(listing(contents, common, None)))
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let input = request.input;
        self.0.asked("create_multipart_upload", &input.bucket)?;
        let upload_id = format!("2~{}", self.0.next());
        let object = Stored {
            metadata: input.metadata.unwrap_or_default(),
            class: input.storage_class.map(|class| class.as_str().to_owned()),
            ..Stored::default()
        };
        let begun = Begun { object, key: input.key.clone(), parts: BTreeMap::new() };
        self.0.uploads().insert(upload_id.clone(), begun);
        let output = CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(upload_id),
            ..Default::default()
        };
        self.0.answer("create_multipart_upload", output)
    }

    async fn upload_part(
        &self,
        request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let input = request.input;
        self.0.asked("upload_part", &input.bucket)?;
        if !self.0.uploads().contains_key(&input.upload_id) {
            return Err(s3_error!(NoSuchUpload, "no such upload"));
        }
        let part = self.0.receive(input.body, input.checksum_sha256).await?;
        let output = UploadPartOutput { e_tag: etag(&part), ..Default::default() };
        if let Some(begun) = self.0.uploads().get_mut(&input.upload_id) {
            begun.parts.insert(input.part_number, part);
        }
        self.0.answer("upload_part", output)
    }

    async fn list_parts(
        &self,
        request: S3Request<ListPartsInput>,
    ) -> S3Result<S3Response<ListPartsOutput>> {
        /// Few, so that lists have several pages.
        const MOST: usize = 2;
        let input = request.input;
        self.0.asked("list_parts", &input.bucket)?;
        let uploads = self.0.uploads();
        let begun = uploads.get(&input.upload_id);
        let begun = begun.ok_or_else(|| s3_error!(NoSuchUpload, "no such upload"))?;
        let after = input.part_number_marker.unwrap_or(0);
        let listed = |(number, part): (&i32, &Stored)| Part {
            part_number: Some(*number),
            size: size(part),
            e_tag: etag(part),
            checksum_sha256: part.checksum.clone(),
            ..Default::default()
        };
        let parts: Vec<Part> = begun.parts.range(after + 1..).take(MOST).map(listed).collect();
        let last = parts.last().and_then(|part| part.part_number);
        let is_truncated = last.is_some_and(|last| begun.parts.range(last + 1..).next().is_some());
        Ok(S3Response::new(ListPartsOutput {
            next_part_number_marker: last.filter(|_| is_truncated),
            is_truncated: Some(is_truncated),
            parts: Some(parts),
            ..Default::default()
        }))
    }

    async fn list_multipart_uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        let input = request.input;
        self.0.asked("list_multipart_uploads", &input.bucket)?;
        let prefix = input.prefix.unwrap_or_default();
        let after = input.key_marker.zip(input.upload_id_marker);
        let mut all: Vec<_> = self
            .0
            .uploads()
            .iter()
            .map(|(id, begun)| (begun.key.clone(), id.clone()))
            .filter(|(key, _)| key.starts_with(&prefix))
            .filter(|one| after.as_ref().is_none_or(|after| one > after))
            .collect();
        all.sort();
        let most = usize::try_from(input.max_uploads.unwrap_or(1000)).unwrap();
        let is_truncated = all.len() > most;
        all.truncate(most);
        let last = all.last().cloned().filter(|_| is_truncated);
        let listed = |(key, id)| MultipartUpload {
            key: Some(key),
            upload_id: Some(id),
            initiated: Some(modified()),
            ..Default::default()
        };
        Ok(S3Response::new(ListMultipartUploadsOutput {
            next_key_marker: last.clone().map(|(key, _)| key),
            next_upload_id_marker: last.map(|(_, id)| id),
            is_truncated: Some(is_truncated),
            uploads: Some(all.into_iter().map(listed).collect()),
            ..Default::default()
        }))
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        /// Smallest part but the last.
        const SMALLEST: u64 = 5 << 20;
        let input = request.input;
        self.0.asked("complete_multipart_upload", &input.bucket)?;
        if !self.0.uploads().contains_key(&input.upload_id) {
            return Err(s3_error!(NoSuchUpload, "no such upload"));
        }
        self.0.check_condition(&input.key, input.if_none_match.as_ref())?;
        let named = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
        let mut uploads = self.0.uploads();
        let begun = &uploads[&input.upload_id];
        let (mut bytes, mut size, mut checksums) = (Vec::new(), 0, Vec::new());
        for (index, part) in named.iter().enumerate() {
            let number = part.part_number.unwrap_or(0);
            let stored = begun.parts.get(&number).ok_or_else(|| s3_error!(InvalidPart))?;
            if part.e_tag != etag(stored) || part.checksum_sha256 != stored.checksum {
                return Err(s3_error!(InvalidPart, "part {number} is another one"));
            }
            if stored.size < SMALLEST && index + 1 < named.len() {
                return Err(s3_error!(EntityTooSmall));
            }
            bytes.push(stored.bytes.clone());
            size += stored.size;
            checksums.extend(STANDARD.decode(stored.checksum.as_ref().unwrap()).unwrap());
        }
        if input.mpu_object_size != Some(i64::try_from(size).unwrap()) {
            return Err(s3_error!(InvalidRequest, "the size is another one"));
        }
        let of_parts = STANDARD.encode(LinearHash::of(&checksums).as_bytes());
        let object = Stored {
            bytes: bytes.concat().into(),
            size,
            checksum: Some(format!("{of_parts}-{}", named.len())),
            etag: self.0.next(),
            ..begun.object.clone()
        };
        self.0.objects().insert(input.key.clone(), object);
        uploads.remove(&input.upload_id);
        drop(uploads);
        let output = CompleteMultipartUploadOutput { key: Some(input.key), ..Default::default() };
        self.0.answer("complete_multipart_upload", output)
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        self.0.asked("abort_multipart_upload", &request.input.bucket)?;
        let begun = self.0.uploads().remove(&request.input.upload_id);
        begun.ok_or_else(|| s3_error!(NoSuchUpload, "no such upload"))?;
        self.0.answer("abort_multipart_upload", AbortMultipartUploadOutput::default())
    }

    async fn restore_object(
        &self,
        request: S3Request<RestoreObjectInput>,
    ) -> S3Result<S3Response<RestoreObjectOutput>> {
        let input = request.input;
        self.0.asked("restore_object", &input.bucket)?;
        let days = input.restore_request.and_then(|request| request.days);
        if days.is_none() {
            return Err(s3_error!(MalformedXML, "for how many days?"));
        }
        let mut objects = self.0.objects();
        let object = objects.get_mut(&input.key).ok_or_else(|| s3_error!(NoSuchKey))?;
        if !object.is_cold() {
            return Err(s3_error!(InvalidObjectState, "it need not be restored"));
        }
        match object.restore {
            Restored::Ongoing => return Err(s3_error!(RestoreAlreadyInProgress, "wait")),
            Restored::No => object.restore = Restored::Ongoing,
            Restored::Yes => {}
        }
        drop(objects);
        self.0.answer("restore_object", RestoreObjectOutput::default())
    }

    async fn put_object_tagging(
        &self,
        request: S3Request<PutObjectTaggingInput>,
    ) -> S3Result<S3Response<PutObjectTaggingOutput>> {
        let input = request.input;
        self.0.asked("put_object_tagging", &input.bucket)?;
        if self.0.has_no_tags.load(Relaxed) {
            return Err(s3_error!(NotImplemented, "no tags here"));
        }
        let mut objects = self.0.objects();
        let object = objects.get_mut(&input.key).ok_or_else(|| s3_error!(NoSuchKey))?;
        let pair = |tag: Tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default());
        object.tags = input.tagging.tag_set.into_iter().map(pair).collect();
        Ok(S3Response::new(PutObjectTaggingOutput::default()))
    }

    async fn get_object_tagging(
        &self,
        request: S3Request<GetObjectTaggingInput>,
    ) -> S3Result<S3Response<GetObjectTaggingOutput>> {
        let input = request.input;
        self.0.asked("get_object_tagging", &input.bucket)?;
        if self.0.has_no_tags.load(Relaxed) {
            return Err(s3_error!(NotImplemented, "no tags here"));
        }
        let tags = self.0.objects().get(&input.key).map(|object| object.tags.clone());
        let tag = |(key, value)| Tag { key: Some(key), value: Some(value) };
        let tag_set = tags.ok_or_else(|| s3_error!(NoSuchKey))?.into_iter().map(tag).collect();
        Ok(S3Response::new(GetObjectTaggingOutput { tag_set, ..Default::default() }))
    }
}

fn listing(
    contents: Vec<Object>,
    common: Vec<String>,
    next_continuation_token: Option<String>,
) -> ListObjectsV2Output {
    let prefix = |prefix| CommonPrefix { prefix: Some(prefix) };
    ListObjectsV2Output {
        is_truncated: Some(next_continuation_token.is_some()),
        next_continuation_token,
        contents: Some(contents),
        common_prefixes: Some(common.into_iter().map(prefix).collect()),
        ..Default::default()
    }
}

/// 2026-11-28, whenever the test runs.
fn modified() -> Timestamp {
    (SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_906_800)).into()
}

fn etag(of: &Stored) -> Option<ETag> {
    Some(ETag::Strong(of.etag.clone()))
}

fn size(of: &Stored) -> Option<i64> {
    Some(i64::try_from(of.size).unwrap())
}
