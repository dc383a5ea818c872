//! Answers that get lost after the deed was done.

use icefield_client::{Target as _, target::StorageClass};

use super::{bytes, new, place, vault};

#[tokio::test]
async fn a_put_whose_answer_was_lost_is_one_archive() {
    let place = place(StorageClass::DeepArchive).await;
    let content = bytes(1, 5000);
    place.bucket.lose("put_object", 1);
    let archived = place.put(&new("a", 1), &content).await;
    assert_eq!(place.bucket.keys(), ["deep/masters/films/", archived.archive.as_str()]);
    assert_eq!(place.bucket.object(archived.archive.as_str()).bytes, content);

    // Lost as often as it is tried: the next run finds it by the token.
    place.bucket.lose("put_object", 1);
    let again = place.put(&new("a", 2), &content).await;
    assert_eq!(place.put(&new("a", 2), &content).await, again);
    assert_eq!(place.bucket.keys().len(), 3);
}

#[tokio::test]
async fn other_deeds_whose_answer_was_lost_are_done_once() {
    let place = place(StorageClass::DeepArchive).await;
    let archive = place.put(&new("a", 1), &bytes(1, 10)).await.archive;
    place.bucket.lose("restore_object", 1);
    place.job(&archive, None, icefield_protocol::Tier::Bulk).await.unwrap();
    place.bucket.lose("delete_object", 1);
    place.target.delete_archive(&vault(), &archive).await.unwrap();
    assert_eq!(place.bucket.keys(), ["deep/masters/films/"]);
}
