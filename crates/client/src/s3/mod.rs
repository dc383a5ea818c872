//! Vaults in a bucket: S3's Glacier classes, and any other service that speaks S3.
//!
//! # What is where
//!
//! * **A vault** is the prefix `PREFIX/VAULT/`. It is made as an empty object of that name in the class STANDARD, whose date
//!   is the vault's; objects below a prefix without one are a vault, too.
//! * **An archive** is the object `PREFIX/VAULT/PATH`, and its ID is that key. Nothing is ever overwritten: where the key is
//!   taken by another archive, the new one is `PATH@2026-11-28T23:00:00Z`. An overwritten object of a Glacier class would
//!   be charged for to the end of its shortest time.
//! * **A path that is no key** (not UTF-8, control characters, a blank at its end) has these bytes as `%XX` in its key, and
//!   then `%` as `%25`; of one that is too long a hash takes the place of the end. See `keys`.
//! * **What is known of an archive** is metadata of the object: `icefield-token`, `icefield-tree-hash`,
//!   `icefield-description`, and `icefield-path` where the key does not tell the path. See `metadata`. A stream's tree hash
//!   is known too late for that and becomes a tag, where the service keeps tags.
//! * **A job** is the restoring of an object, which S3 remembers by the object; `ids` says what its ID is made of. An
//!   inventory is made while it is read.
//!
//! # What is promised, and how
//!
//! Every request with bytes carries their SHA-256 twice, as its checksum and under its signature, computed once in one
//! pass with the tree hash; the service refuses what is not that. Repeating a put is harmless: who finds its own token at
//! the key has the first result. A completion whose answer was lost is looked up. An *initiation* whose answer was lost
//! leaves an upload without parts, which costs nothing and which `uploads abort` removes.
//!
//! Bodies of up to `send::HELD_BYTES` are kept in memory from hashing to sending, larger ones are read twice.

mod error;
mod file;
mod ids;
mod inventory;
mod jobs;
mod keys;
mod metadata;
mod multipart;
mod object;
mod output;
mod put;
mod send;
mod vaults;

use std::{
    collections::HashMap,
    num::{NonZeroU16, NonZeroUsize},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use aws_sdk_s3::{
    Client,
    config::{
        Builder, RequestChecksumCalculation, ResponseChecksumValidation,
        StalledStreamProtectionConfig, retry::RetryConfig,
    },
    types,
};
use icefield_protocol::{
    AccountId, ArchiveId, ByteRange, Clock, JobDescription, JobId, JobRequest, Page, PartSize,
    Region, TreeHash, UploadDescription, UploadId, VaultArn, VaultDescription, VaultName,
};
use icefield_treehash::HashPool;
use tokio::sync::OnceCell;

use self::keys::Keys;
use crate::events::Events;
use crate::retry::{Retry, RetryPolicy};
use crate::target::{
    Archived, Billing, Body, Limits, ListedPart, NewArchive, Output, StorageClass, StoredPart,
    Target, TargetError, is_amazons,
};

pub use self::{
    error::service_error,
    file::{BucketFile, FileError, ParseBucketUrlError},
    keys::{InvalidPrefix, Prefix},
};

/// Days that a restored archive stays readable, unless set otherwise.
pub const RESTORE_DAYS: NonZeroU16 = NonZeroU16::new(3).expect("3 is not 0");

/// Times that the SDK sends a request, before it is left to the target's patience.
const ATTEMPTS: u32 = 4;

/// What the target adds to that: nothing for a service that has never answered.
const RETRIES: RetryPolicy = RetryPolicy { first_attempts: 1, ..RetryPolicy::DEFAULT };

/// Longest pause between two attempts.
const MAX_BACKOFF: Duration = Duration::from_secs(20);

/// How long a connection may stand still before its request is given up and repeated.
const STALL_GRACE: Duration = Duration::from_secs(60);

/// The smallest part size of the vault API that S3's 5 MiB allow.
const SMALLEST_PART_BYTES: u64 = 8 << 20;

/// The largest object of Amazon: 50 TB.
const AMAZON_OBJECT_BYTES: u64 = 50_000_000_000_000;

/// The largest object elsewhere: 5 TiB, which S3 allowed for most of its life.
const OTHER_OBJECT_BYTES: u64 = 5 << 40;

/// Where vaults are, and how archives are stored there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The bucket.
    pub bucket: String,
    /// What the keys of all vaults begin with.
    pub prefix: Option<Prefix>,
    /// What archives are stored as.
    pub class: StorageClass,
    /// Days that a restored archive stays readable.
    pub restore_days: NonZeroU16,
    /// The region of the requests.
    pub region: Region,
    /// The endpoint; Amazon's if absent.
    pub endpoint: Option<String>,
    /// Whether Amazon charges for what is done, although the endpoint is not its own.
    pub is_billed: bool,
}

impl Settings {
    /// Whether the bucket is one of Amazon's.
    pub fn is_amazon(&self) -> bool {
        self.endpoint.as_deref().is_none_or(is_amazons)
    }

    /// What the catalog knows the place by. Amazon's buckets have names that no two share, in each of its partitions.
    pub fn identity(&self) -> String {
        let region = self.region.as_str();
        let place = match &self.endpoint {
            Some(endpoint) if !self.is_amazon() => endpoint.trim_end_matches('/'),
            _ if region.starts_with("cn-") => "aws-cn",
            _ if region.starts_with("us-gov-") => "aws-us-gov",
            _ => "aws",
        };
        let prefix = self.prefix.as_ref().map_or("", Prefix::as_str);
        format!("s3:{place}/{}/{prefix}", self.bucket)
    }
}

/// The text is no storage class that archives are stored as.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no storage class for archives: use DEEP_ARCHIVE, GLACIER (Flexible Retrieval), GLACIER_IR (Instant \
     Retrieval) or STANDARD"
)]
pub struct UnknownStorageClass(pub String);

/// Reads a storage class as S3 spells it.
///
/// # Errors
///
/// When it is none of the four that archives are stored as.
pub fn parse_storage_class(text: &str) -> Result<StorageClass, UnknownStorageClass> {
    match text {
        "DEEP_ARCHIVE" => Ok(StorageClass::DeepArchive),
        "GLACIER" => Ok(StorageClass::FlexibleRetrieval),
        "GLACIER_IR" => Ok(StorageClass::InstantRetrieval),
        "STANDARD" => Ok(StorageClass::Standard),
        _ => Err(UnknownStorageClass(text.to_owned())),
    }
}

/// What a put says about its class; nothing for the one that needs no saying.
const fn class_header(class: StorageClass) -> Option<types::StorageClass> {
    match class {
        StorageClass::DeepArchive => Some(types::StorageClass::DeepArchive),
        StorageClass::FlexibleRetrieval => Some(types::StorageClass::Glacier),
        StorageClass::InstantRetrieval => Some(types::StorageClass::GlacierIr),
        StorageClass::Standard | StorageClass::Vault => None,
    }
}

/// Sets what the target relies on, whatever the environment says: checksums that are not computed again, few retries, as
/// the target has its own, and patience with thin lines.
///
/// Requests have no time limit of their own, as a large part may take hours: what stands still is given up instead.
pub fn configure(builder: Builder) -> Builder {
    let stalled = StalledStreamProtectionConfig::enabled().grace_period(STALL_GRACE).build();
    builder
        .retry_config(
            RetryConfig::standard().with_max_attempts(ATTEMPTS).with_max_backoff(MAX_BACKOFF),
        )
        .stalled_stream_protection(stalled)
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
}

/// Whether the same request may get through later.
fn is_passing(error: &TargetError) -> bool {
    use icefield_protocol::ErrorCode::{RequestTimeout, ServiceUnavailable, Throttling};
    match error {
        TargetError::Transport { .. } => true,
        TargetError::Service { code, .. } => {
            matches!(code, RequestTimeout | ServiceUnavailable | Throttling)
        }
        _ => false,
    }
}

/// Vaults in a bucket.
#[derive(Debug)]
pub struct S3 {
    client: Client,
    settings: Settings,
    identity: String,
    keys: Keys,
    hashing: HashPool,
    clock: Arc<dyn Clock>,
    events: Arc<dyn Events>,
    retry: Retry,
    /// Whether the service has not refused `If-None-Match` yet.
    conditional: AtomicBool,
    /// Whether the service has not refused tags yet.
    tagging: AtomicBool,
    /// Uploads begun here whose tree hash was not known then, with the checksum of what is being completed.
    untold: Mutex<HashMap<UploadId, Option<String>>>,
}

impl S3 {
    /// Opens the target; nothing is sent. The client should have been made with [`configure`].
    pub fn new(
        client: Client,
        settings: Settings,
        hashing: HashPool,
        clock: Arc<dyn Clock>,
        events: Arc<dyn Events>,
    ) -> Self {
        Self {
            client,
            identity: settings.identity(),
            keys: Keys::new(settings.prefix.clone()),
            settings,
            hashing,
            clock,
            retry: Retry::new(RETRIES, Arc::clone(&events)),
            conditional: AtomicBool::new(true),
            tagging: AtomicBool::new(true),
            events,
            untold: Mutex::new(HashMap::new()),
        }
    }

    /// Repeats what did not get through, for as long as the service has answered lately. Everything here may be repeated:
    /// what was done before is found.
    async fn patiently<T, F>(&self, act: impl Fn() -> F + Send + Sync) -> Result<T, TargetError>
    where
        T: Send,
        F: Future<Output = Result<T, TargetError>> + Send,
    {
        let mut attempts = self.retry.begin();
        loop {
            match act().await {
                Err(error) if is_passing(&error) => {
                    if !attempts.again(None, || error.to_string()).await {
                        return Err(error);
                    }
                    tracing::debug!(%error, "it is tried again");
                }
                answer => {
                    attempts.succeeded();
                    return answer;
                }
            }
        }
    }

    /// The same place, for work that outlives a call.
    fn another(&self) -> Self {
        let Self { client, settings, hashing, clock, events, .. } = self;
        let (clock, events) = (Arc::clone(clock), Arc::clone(events));
        Self::new(client.clone(), settings.clone(), hashing.clone(), clock, events)
    }

    /// Names a key in messages.
    fn at(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.settings.bucket)
    }

    /// What keeps a put from replacing anything, where the service has it.
    fn if_none_match(&self) -> Option<String> {
        self.conditional.load(Relaxed).then(|| "*".to_owned())
    }

    /// The name of a vault for the places that want one of the vault API. S3 tells no account, so it is in nobody's name.
    pub fn arn(&self, vault: &VaultName) -> VaultArn {
        let account = AccountId::parse("000000000000").expect("twelve digits are an account");
        VaultArn { region: self.settings.region.clone(), account, vault: vault.clone() }
    }
}

#[async_trait]
impl Target for S3 {
    fn identity(&self) -> &str {
        &self.identity
    }

    fn describe(&self) -> String {
        let Settings { bucket, prefix, region, endpoint, .. } = &self.settings;
        let prefix = prefix.as_ref().map_or("", Prefix::as_str);
        match endpoint {
            Some(endpoint) => format!("s3://{bucket}/{prefix} ({endpoint}, {region})"),
            None => format!("s3://{bucket}/{prefix} ({region})"),
        }
    }

    /// Puts and completed uploads are found again by the token in their metadata. What was deleted since is not
    /// remembered: its repeat stores it again.
    fn keeps_tokens(&self) -> bool {
        true
    }

    /// Listings are consistent.
    fn inventory_lag(&self) -> Duration {
        Duration::ZERO
    }

    fn billing(&self) -> Billing {
        if self.settings.is_amazon() || self.settings.is_billed {
            Billing::Aws { region: self.settings.region.clone(), class: self.settings.class }
        } else {
            Billing::Free
        }
    }

    fn restore_days(&self) -> u16 {
        self.settings.restore_days.get()
    }

    fn wants_tree_hash(&self) -> bool {
        true
    }

    fn bodies_at_once(&self) -> NonZeroUsize {
        NonZeroUsize::new(4).expect("4 is not 0")
    }

    fn limits(&self) -> Limits {
        let smallest_part = PartSize::new(SMALLEST_PART_BYTES).expect("8 MiB is a part size");
        let largest_archive_bytes =
            if self.settings.is_amazon() { AMAZON_OBJECT_BYTES } else { OTHER_OBJECT_BYTES };
        Limits { smallest_part, largest_archive_bytes, ..Limits::of_vaults() }
    }

    async fn create_vault(&self, vault: &VaultName) -> Result<(), TargetError> {
        self.patiently(|| self.make_vault(vault)).await
    }

    async fn describe_vault(&self, vault: &VaultName) -> Result<VaultDescription, TargetError> {
        self.patiently(|| self.look_at_vault(vault)).await
    }

    async fn list_vaults(
        &self,
        marker: Option<&str>,
    ) -> Result<Page<VaultDescription>, TargetError> {
        self.patiently(|| self.page_of_vaults(marker)).await
    }

    async fn delete_vault(&self, vault: &VaultName) -> Result<(), TargetError> {
        self.patiently(|| self.remove_vault(vault)).await
    }

    async fn upload_archive(
        &self,
        vault: &VaultName,
        new: &NewArchive,
        body: &Body,
    ) -> Result<Archived, TargetError> {
        let outgoing = OnceCell::new();
        self.patiently(|| self.put(vault, new, body, &outgoing)).await
    }

    async fn delete_archive(
        &self,
        vault: &VaultName,
        archive: &ArchiveId,
    ) -> Result<(), TargetError> {
        self.patiently(|| self.delete(vault, archive)).await
    }

    async fn initiate_upload(
        &self,
        vault: &VaultName,
        part_size: PartSize,
        new: &NewArchive,
    ) -> Result<UploadId, TargetError> {
        self.patiently(|| self.begin(vault, part_size, new)).await
    }

    async fn upload_part(
        &self,
        vault: &VaultName,
        upload: &UploadId,
        range: ByteRange,
        body: &Body,
    ) -> Result<StoredPart, TargetError> {
        let outgoing = OnceCell::new();
        self.patiently(|| self.put_part(vault, upload, range, body, &outgoing)).await
    }

    async fn list_parts(
        &self,
        vault: &VaultName,
        upload: &UploadId,
        marker: Option<&str>,
    ) -> Result<Page<ListedPart>, TargetError> {
        self.patiently(|| self.page_of_parts(vault, upload, marker)).await
    }

    async fn complete_upload(
        &self,
        vault: &VaultName,
        upload: &UploadId,
        size: u64,
        tree_hash: TreeHash,
    ) -> Result<ArchiveId, TargetError> {
        self.patiently(|| self.complete(vault, upload, size, tree_hash)).await
    }

    async fn completed_upload(
        &self,
        vault: &VaultName,
        upload: &UploadId,
        _: PartSize,
        new: &NewArchive,
        size: u64,
        tree_hash: TreeHash,
    ) -> Result<Option<ArchiveId>, TargetError> {
        self.patiently(|| self.completed(vault, upload, new.token, size, tree_hash)).await
    }

    async fn abort_upload(&self, vault: &VaultName, upload: &UploadId) -> Result<(), TargetError> {
        self.patiently(|| self.abort(vault, upload)).await
    }

    async fn list_uploads(
        &self,
        vault: &VaultName,
        marker: Option<&str>,
    ) -> Result<Page<UploadDescription>, TargetError> {
        self.patiently(|| self.page_of_uploads(vault, marker)).await
    }

    async fn initiate_job(
        &self,
        vault: &VaultName,
        request: &JobRequest,
    ) -> Result<JobId, TargetError> {
        self.patiently(|| self.start_job(vault, request)).await
    }

    async fn describe_job(
        &self,
        vault: &VaultName,
        job: &JobId,
    ) -> Result<JobDescription, TargetError> {
        self.patiently(|| self.look_at_job(vault, job)).await
    }

    /// S3 has no list of restores; who has begun one knows its object.
    async fn list_jobs(
        &self,
        _: &VaultName,
        _: Option<&str>,
    ) -> Result<Page<JobDescription>, TargetError> {
        Ok(Page { items: Vec::new(), marker: None })
    }

    async fn job_output(
        &self,
        vault: &VaultName,
        job: &JobId,
        range: Option<ByteRange>,
    ) -> Result<Output, TargetError> {
        self.patiently(|| self.open_output(vault, job, range)).await
    }

    async fn wait(&self, _: &VaultName, job: &JobId) -> Result<(), TargetError> {
        self.wait_for(job).await
    }
}
