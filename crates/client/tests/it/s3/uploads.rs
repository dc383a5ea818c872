//! Archives in parts: begun, gone on with, completed once.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use bytes::Bytes;
use futures_util::stream;
use icefield_client::{
    Target as _,
    target::{Body, ListedPart, NewArchive, StorageClass},
};
use icefield_protocol::{ByteRange, PartSize, Tier, UploadId};

use super::{MIB, Place, all, body, bytes, new, place, tree_hash, vault};

const PART: u64 = 8 * MIB;

fn part_size() -> PartSize {
    PartSize::new(PART).unwrap()
}

fn range(number: u64, size: u64) -> ByteRange {
    ByteRange { first: number * PART, last: ((number + 1) * PART).min(size) - 1 }
}

fn slice(of: &Bytes, range: ByteRange) -> Bytes {
    of.slice(usize::try_from(range.first).unwrap()..=usize::try_from(range.last).unwrap())
}

async fn listed(place: &Place, upload: &UploadId) -> Vec<ListedPart> {
    let (mut parts, mut marker) = (Vec::new(), None);
    loop {
        let page = place.target.list_parts(&vault(), upload, marker.as_deref()).await.unwrap();
        parts.extend(page.items);
        marker = page.marker;
        if marker.is_none() {
            return parts;
        }
    }
}

/// Sends all parts, the last one first, and returns what is listed then.
async fn send(place: &Place, upload: &UploadId, content: &Bytes) {
    let size = content.len() as u64;
    let mut expected = Vec::new();
    for number in (0..size.div_ceil(PART)).rev() {
        let range = range(number, size);
        let part = slice(content, range);
        let stored = place.target.upload_part(&vault(), upload, range, &body(&part)).await.unwrap();
        assert_eq!(stored.tree_hash, tree_hash(&part));
        expected.insert(0, ListedPart { range, mark: stored.mark });
        assert_eq!(listed(place, upload).await, expected);
    }
}

async fn begin(place: &Place, new: &NewArchive) -> UploadId {
    place.target.initiate_upload(&vault(), part_size(), new).await.unwrap()
}

#[tokio::test]
async fn parts_in_any_order_become_an_archive_and_the_upload_tells_it_again() {
    let place = place(StorageClass::DeepArchive).await;
    let content = bytes(1, 2 * PART + 3 * MIB);
    let size = content.len() as u64;
    let new = NewArchive { tree_hash: Some(tree_hash(&content)), ..new("big", 1) };
    let upload = begin(&place, &new).await;
    send(&place, &upload, &content).await;
    let archive =
        place.target.complete_upload(&vault(), &upload, size, tree_hash(&content)).await.unwrap();
    let object = place.bucket.object(archive.as_str());
    assert_eq!(object.bytes, content);
    assert_eq!(object.class.as_deref(), Some("DEEP_ARCHIVE"));
    assert_eq!(object.metadata["icefield-tree-hash"], tree_hash(&content).to_string());
    assert_eq!(place.bucket.open_uploads(), 0);

    // What a run does that finds the upload in its journal and not at the target.
    let gone = place.target.list_parts(&vault(), &upload, None).await.unwrap_err();
    assert!(gone.is_not_found(), "{gone}");
    let hash = tree_hash(&content);
    let told = async |new: &NewArchive| {
        let asked =
            place.target.completed_upload(&vault(), &upload, part_size(), new, size, hash).await;
        asked.unwrap()
    };
    assert_eq!(told(&new).await.as_ref(), Some(&archive));
    let another = NewArchive { token: super::new("x", 9).token, ..new.clone() };
    assert_eq!(told(&another).await, None);
    // What one does that has lost its journal's word about the upload, but not the token.
    let same = begin(&place, &new).await;
    assert_eq!(place.target.complete_upload(&vault(), &same, size, hash).await.unwrap(), archive);
    assert_eq!(place.bucket.open_uploads(), 0);
    place.target.delete_archive(&vault(), &archive).await.unwrap();
    assert_eq!(told(&new).await, None);
}

#[tokio::test]
async fn a_changed_file_in_parts_gets_a_key_of_its_own() {
    let place = place(StorageClass::Standard).await;
    let (first, second) = (bytes(1, 100), bytes(2, PART + 1));
    place.put(&new("a", 1), &first).await;
    let upload =
        begin(&place, &NewArchive { tree_hash: Some(tree_hash(&second)), ..new("a", 2) }).await;
    send(&place, &upload, &second).await;
    let size = second.len() as u64;
    let archive =
        place.target.complete_upload(&vault(), &upload, size, tree_hash(&second)).await.unwrap();
    assert_eq!(archive.as_str(), "deep/masters/films/a@2026-11-28T23:00:00Z");
    assert_eq!(place.bucket.object("deep/masters/films/a").bytes, first);
    assert_eq!(place.read(&archive).await, second);
}

#[tokio::test]
async fn the_tree_hash_of_a_stream_becomes_a_tag_where_there_are_tags() {
    for has_no_tags in [false, true] {
        let place = place(StorageClass::Standard).await;
        place.bucket.has_no_tags.store(has_no_tags, Relaxed);
        let content = bytes(1, PART + 1);
        let (size, hash) = (content.len() as u64, tree_hash(&content));
        let upload = begin(&place, &new("stream", 1)).await;
        send(&place, &upload, &content).await;
        let archive = place.target.complete_upload(&vault(), &upload, size, hash).await.unwrap();
        let job = place.job(&archive, None, Tier::Standard).await.unwrap();
        let job = place.target.describe_job(&vault(), &job).await.unwrap();
        assert_eq!(job.archive_tree_hash, (!has_no_tags).then_some(hash));
        assert_eq!(place.read(&archive).await, content);
    }
}

#[tokio::test]
async fn what_is_sent_again_and_again_is_read_and_hashed_once() {
    let place = place(StorageClass::Standard).await;
    let content = bytes(1, MIB);
    let opened = Arc::new(AtomicU64::new(0));
    let (counted, kept) = (Arc::clone(&opened), content.clone());
    let body = Body::new(MIB, move || {
        counted.fetch_add(1, Relaxed);
        let chunk = Ok(kept.clone());
        Box::pin(stream::once(async move { chunk }))
    });

    // More often than the SDK repeats by itself.
    place.bucket.lose("upload_part", 6);
    let upload = begin(&place, &new("parts", 1)).await;
    place.target.upload_part(&vault(), &upload, range(0, MIB), &body).await.unwrap();
    assert_eq!((place.bucket.requests("upload_part"), opened.swap(0, Relaxed)), (7, 1));

    place.bucket.ignores_conditions.store(true, Relaxed);
    place.bucket.lose("put_object", 6);
    place.target.upload_archive(&vault(), &new("whole", 2), &body).await.unwrap();
    assert_eq!(place.bucket.object("deep/masters/films/whole").bytes, content);
    assert_eq!(opened.load(Relaxed), 1);
}

#[tokio::test]
async fn a_completion_whose_answer_was_lost_is_looked_up() {
    for tree_hash_is_known in [true, false] {
        let place = place(StorageClass::Standard).await;
        let content = bytes(1, PART + 1);
        let (size, hash) = (content.len() as u64, tree_hash(&content));
        let tree_hash = tree_hash_is_known.then_some(hash);
        let upload = begin(&place, &NewArchive { tree_hash, ..new("a", 1) }).await;
        send(&place, &upload, &content).await;
        // The SDK repeats it, and is told that there is no such upload.
        place.bucket.lose("complete_multipart_upload", 1);
        let archive = place.target.complete_upload(&vault(), &upload, size, hash).await.unwrap();
        assert_eq!(place.bucket.object(archive.as_str()).bytes, content);
        assert_eq!(place.bucket.keys().len(), 2);
    }
}

#[tokio::test]
async fn a_key_that_was_taken_meanwhile_is_not_overwritten() {
    let place = place(StorageClass::Standard).await;
    let (content, other) = (bytes(1, PART + 1), bytes(2, 10));
    let upload =
        begin(&place, &NewArchive { tree_hash: Some(tree_hash(&content)), ..new("a", 1) }).await;
    send(&place, &upload, &content).await;
    place.put(&new("a", 2), &other).await;
    let refused = place
        .target
        .complete_upload(&vault(), &upload, content.len() as u64, tree_hash(&content))
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("another archive was stored there"), "{refused}");
    assert_eq!(place.bucket.object("deep/masters/films/a").bytes, other);
}

#[tokio::test]
async fn missing_parts_are_not_completed() {
    let place = place(StorageClass::Standard).await;
    let content = bytes(1, 2 * PART);
    let size = content.len() as u64;
    let upload = begin(&place, &new("a", 1)).await;
    let first = range(0, size);
    let part = body(&slice(&content, first));
    place.target.upload_part(&vault(), &upload, first, &part).await.unwrap();
    let refused = place.target.complete_upload(&vault(), &upload, size, tree_hash(&content)).await;
    assert!(refused.unwrap_err().to_string().contains("8388608 bytes, not 16777216"));
    let askew = ByteRange { first: 1, last: 8 };
    let part = body(&content.slice(1..9));
    let refused = place.target.upload_part(&vault(), &upload, askew, &part).await;
    assert!(refused.unwrap_err().to_string().contains("no part"));
}

#[tokio::test]
async fn uploads_are_listed_with_the_size_of_their_parts_and_aborted() {
    let place = place(StorageClass::Standard).await;
    let content = bytes(1, PART + MIB);
    let mut begun = Vec::new();
    for number in 0..60 {
        begun.push(begin(&place, &new(format!("{number:02}"), 1)).await);
    }
    send(&place, &begun[7], &content).await;
    let (mut found, mut marker) = (Vec::new(), None);
    loop {
        let page = place.target.list_uploads(&vault(), marker.as_deref()).await.unwrap();
        found.extend(page.items);
        marker = page.marker;
        if marker.is_none() {
            break;
        }
    }
    // Their identifiers are those that were handed out, so that the journal knows them again.
    let ids: Vec<_> = found.iter().map(|upload| upload.upload_id.clone()).collect();
    assert_eq!(ids, begun);
    for upload in &begun {
        place.target.abort_upload(&vault(), upload).await.unwrap();
    }
    assert_eq!(place.bucket.open_uploads(), 0);
    assert!(place.target.abort_upload(&vault(), &begun[0]).await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn downloads_that_break_go_on_where_they_broke() {
    let place = place(StorageClass::Standard).await;
    let content = bytes(1, 3 * MIB);
    let archive = place.put(&new("a", 1), &content).await.archive;
    place.bucket.break_downloads(4);
    assert_eq!(place.read(&archive).await, content);
    assert_eq!(place.bucket.requests("get_object"), 5);
    let job = place.job(&archive, None, Tier::Standard).await.unwrap();
    let output = place.target.job_output(&vault(), &job, None).await.unwrap();
    let first = all(output).await.unwrap();
    assert_eq!(first, content);
}
