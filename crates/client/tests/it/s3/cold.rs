//! Classes that have to be restored.

use std::time::Duration;

use icefield_client::{Target as _, TargetError, target::StorageClass};
use icefield_protocol::{ErrorCode, JobStatus, Tier};

use super::{all, bytes, new, place, vault};

#[tokio::test]
async fn an_archive_is_restored_read_and_lost_again() {
    for class in [StorageClass::FlexibleRetrieval, StorageClass::DeepArchive] {
        let place = place(class).await;
        let content = bytes(1, 5000);
        let archived = place.put(&new("a", 1), &content).await;
        let job = place.job(&archived.archive, None, Tier::Standard).await.unwrap();
        let status = async || place.target.describe_job(&vault(), &job).await;
        let described = status().await.unwrap();
        assert_eq!((described.status_code, described.completed), (JobStatus::InProgress, false));
        assert_eq!(described.tier, Some(Tier::Standard));
        let early = place.target.job_output(&vault(), &job, None).await.unwrap_err();
        assert!(early.is_not_found(), "{early}");

        // Somebody else, or the same after a crash, asks for it too.
        place.clock.advance(Duration::from_secs(60));
        place.job(&archived.archive, None, Tier::Bulk).await.unwrap();
        place.bucket.finish_restores();
        let described = status().await.unwrap();
        assert_eq!((described.status_code, described.completed), (JobStatus::Succeeded, true));
        assert_eq!(described.tree_hash, Some(archived.tree_hash));
        assert!(described.status_message.unwrap().contains("21 Dec 2029"));
        let output = place.target.job_output(&vault(), &job, None).await.unwrap();
        assert_eq!(all(output).await.unwrap(), content);

        place.bucket.expire_restores();
        let expired = status().await.unwrap_err();
        assert!(expired.is_not_found() && expired.to_string().contains("expired"), "{expired}");
    }
}

#[tokio::test]
async fn deep_archive_has_no_expedited_retrieval_and_nothing_is_asked_for() {
    let place = place(StorageClass::DeepArchive).await;
    let archive = place.put(&new("a", 1), &bytes(1, 10)).await.archive;
    let refused = place.job(&archive, None, Tier::Expedited).await.unwrap_err();
    let TargetError::Service { code, message } = refused else { panic!("{refused:?}") };
    assert_eq!(code, ErrorCode::InvalidParameterValue);
    assert!(message.contains("no expedited retrieval"), "{message}");
    assert_eq!(place.bucket.requests("restore_object"), 0);
}

#[tokio::test(start_paused = true)]
async fn waiting_grows_with_the_age_of_the_job() {
    let place = place(StorageClass::DeepArchive).await;
    let archive = place.put(&new("a", 1), &bytes(1, 10)).await.archive;
    let job = place.job(&archive, None, Tier::Bulk).await.unwrap();
    for (age, pause) in [(0, 1), (80, 10), (3600, 300), (40_000, 300)] {
        place.clock.advance(Duration::from_secs(age));
        let begun = tokio::time::Instant::now();
        place.target.wait(&vault(), &job).await.unwrap();
        assert_eq!(begun.elapsed().as_secs(), pause, "after {age} seconds");
    }
}
