//! The S3 target against a service in this process, and against moto's and Garage's where they can be had.
//!
//! The wire (XML, signatures, the hash of the body) is that of s3s, the rules of storing are those of [`bucket`].

mod bucket;
mod cold;
mod contract;
mod folder;
mod inventory;
mod lost;
mod memory;
mod moto;
mod uploads;

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use aws_sdk_s3::{
    Client,
    config::{BehaviorVersion, Credentials, Region, retry::RetryConfig},
};
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use icefield_client::{
    CatalogPath, Target as _, TargetError,
    events::Silent,
    s3::{RESTORE_DAYS, S3, Settings, configure},
    target::{Archived, Body, NewArchive, Output, StorageClass},
};
use icefield_protocol::{
    ArchiveId, ByteRange, Description, JobId, JobRequest, ManualClock, Tier, Timestamp,
    UploadToken, VaultName,
};
use icefield_treehash::{HashPool, TreeHash};

use bucket::{ACCESS_KEY, Bucket, SECRET_KEY};

pub(crate) const MIB: u64 = 1 << 20;

/// A target with its service and its clock.
pub(crate) struct Place {
    pub(crate) bucket: Arc<Bucket>,
    pub(crate) target: S3,
    pub(crate) clock: Arc<ManualClock>,
}

/// Opens a target of this class on a bucket of its own.
pub(crate) async fn place(class: StorageClass) -> Place {
    let bucket = Bucket::serve().await;
    let clock = clock();
    let target = target(&bucket.endpoint, SECRET_KEY, class, &clock);
    target.create_vault(&vault()).await.unwrap();
    Place { bucket, target, clock }
}

pub(crate) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::parse("2026-11-28T23:00:00Z").unwrap()))
}

/// Opens a target on the bucket `cold` of any endpoint, with retries that do not take a test's time.
pub(crate) fn target(
    endpoint: &str,
    secret: &str,
    class: StorageClass,
    clock: &Arc<ManualClock>,
) -> S3 {
    let settings = Settings {
        bucket: "cold".to_owned(),
        prefix: icefield_client::s3::Prefix::parse("deep/masters").unwrap(),
        class,
        restore_days: RESTORE_DAYS,
        region: icefield_protocol::Region::parse("us-east-1").unwrap(),
        endpoint: Some(endpoint.to_owned()),
        is_billed: false,
    };
    let hashing = HashPool::new(NonZeroUsize::new(2).unwrap());
    let (clock, events) = (Arc::<ManualClock>::clone(clock), Arc::new(Silent));
    S3::new(client(endpoint, secret), settings, hashing, clock, events)
}

pub(crate) fn client(endpoint: &str, secret: &str) -> Client {
    let credentials = Credentials::new(ACCESS_KEY, secret, None, None, "test");
    let retries =
        RetryConfig::standard().with_max_attempts(4).with_initial_backoff(Duration::from_millis(1));
    let config = configure(aws_sdk_s3::Config::builder())
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(credentials)
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint)
        .force_path_style(true)
        .retry_config(retries)
        .build();
    Client::from_conf(config)
}

pub(crate) fn vault() -> VaultName {
    VaultName::parse("films").unwrap()
}

/// An archive of this path, with a token made of `token`.
pub(crate) fn new(path: impl Into<Vec<u8>>, token: u8) -> NewArchive {
    NewArchive {
        path: CatalogPath::parse(path.into()).unwrap(),
        description: Description::parse("a  description, 100% verbatim").unwrap(),
        token: UploadToken::from_bytes([token; 16]),
        tree_hash: None,
    }
}

/// Bytes of any length that no two seeds share.
pub(crate) fn bytes(seed: u8, length: u64) -> Bytes {
    let length = usize::try_from(length).unwrap();
    let pattern: Vec<u8> = (0..=250).map(|byte: u8| byte.wrapping_mul(7) ^ seed).collect();
    pattern.iter().copied().cycle().take(length).collect::<Vec<_>>().into()
}

pub(crate) fn body(bytes: &Bytes) -> Body {
    let mut rest = bytes.clone();
    let mut chunks = Vec::new();
    while !rest.is_empty() {
        chunks.push(rest.split_to(rest.len().min(1 << 20)));
    }
    Body::of(chunks)
}

pub(crate) fn tree_hash(bytes: &[u8]) -> TreeHash {
    TreeHash::combine(bytes.chunks(1 << 20).map(TreeHash::of_leaf))
}

impl Place {
    pub(crate) async fn put(&self, new: &NewArchive, bytes: &Bytes) -> Archived {
        self.target.upload_archive(&vault(), new, &body(bytes)).await.unwrap()
    }

    pub(crate) async fn job(
        &self,
        archive: &ArchiveId,
        range: Option<ByteRange>,
        tier: Tier,
    ) -> Result<JobId, TargetError> {
        let archive = archive.clone();
        let request =
            JobRequest::Archive { archive, range, tier, description: None, sns_topic: None };
        self.target.initiate_job(&vault(), &request).await
    }

    /// Reads an archive whose class needs no restore.
    pub(crate) async fn read(&self, archive: &ArchiveId) -> Bytes {
        let job = self.job(archive, None, Tier::Standard).await.unwrap();
        let output = self.target.job_output(&vault(), &job, None).await.unwrap();
        let total = output.total;
        let bytes = all(output).await.unwrap();
        assert_eq!(bytes.len() as u64, total);
        bytes
    }
}

/// Reads an output to its end.
pub(crate) async fn all(output: Output) -> Result<Bytes, TargetError> {
    let chunks: Vec<Bytes> = output.chunks.try_collect().await?;
    Ok(chunks.concat().into())
}
