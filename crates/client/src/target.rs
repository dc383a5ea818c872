//! Where vaults are: the one trait over an embedded store, the vault API and S3 Glacier classes.
//!
//! A target takes the bytes of an archive or part as a [`Body`] and says what tree hash they had; how it hashes (in the
//! engine that stores them, or here before a request is signed) is its own affair, so that every byte is hashed once.
//! Requests that did not get through are the target's affair, too: what it returns is final.

use std::{fmt, io, num::NonZeroUsize, pin::Pin, str::FromStr, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::Stream;
use icefield_protocol::{
    ArchiveId, ByteRange, Description, ErrorCode, JobDescription, JobId, JobRequest, Page,
    PartSize, Region, UploadDescription, UploadId, UploadToken, VaultDescription, VaultName,
    limits::{MAX_ARCHIVE_SIZE_BYTES, MIN_PART_SIZE_BYTES},
};
use icefield_treehash::TreeHash;

use crate::{administration::Administration, path::CatalogPath};

pub use crate::body::{Body, Chunks, Meter};

/// Bytes on their way from a target.
pub struct Output {
    /// Size of the whole job output in bytes; 0 for an inventory that is made while it is read.
    pub total: u64,
    /// Tree hash of the bytes of this answer, when the range is tree-hash-aligned; inventories have none.
    pub tree_hash: Option<TreeHash>,
    /// The bytes. The stream ends with an error if they are not the stored ones: the target has verified each chunk that it
    /// yields (embedded), or the whole against `tree_hash` before its end (remote).
    pub chunks: Pin<Box<dyn Stream<Item = Result<Bytes, TargetError>> + Send>>,
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output")
            .field("total", &self.total)
            .field("tree_hash", &self.tree_hash)
            .finish_non_exhaustive()
    }
}

/// An archive that is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewArchive {
    /// The file it is made of, where the target names archives by it.
    pub path: CatalogPath,
    /// The description.
    pub description: Option<Description>,
    /// The token of the put or initiation.
    pub token: UploadToken,
    /// Tree hash of the whole, if it is known before; see [`Target::wants_tree_hash`].
    pub tree_hash: Option<TreeHash>,
}

/// An archive that is now stored durably.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archived {
    /// Its ID.
    pub archive: ArchiveId,
    /// Its tree hash, as computed from the bytes that were received.
    pub tree_hash: TreeHash,
}

/// What tells whether a part that a target lists is the one that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartMark {
    /// Its tree hash.
    TreeHash(TreeHash),
    /// The entity tag that the service gave it.
    Etag(String),
}

impl fmt::Display for PartMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TreeHash(hash) => hash.fmt(f),
            Self::Etag(etag) => write!(f, "etag:{etag}"),
        }
    }
}

impl FromStr for PartMark {
    type Err = icefield_protocol::ParseHashError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("etag:") {
            Some(etag) => Ok(Self::Etag(etag.to_owned())),
            None => text.parse().map(Self::TreeHash),
        }
    }
}

/// What fits into the archives of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The smallest size of parts, the last one excepted; also the smallest archive that is worth parts.
    pub smallest_part: PartSize,
    /// The largest archive in bytes.
    pub largest_archive_bytes: u64,
    /// The smallest size of parts that is chosen unasked, where the line is not too thin for it.
    pub usual_part_bytes: u64,
    /// The largest size of parts that is chosen unasked: what a line is through with before anybody loses patience.
    pub unasked_part_bytes: u64,
}

/// How long one part should take, when several are on their way.
const SECONDS_PER_PART: f64 = 10.0;

/// Parts that share the line.
const PARTS_ON_THE_LINE: f64 = 4.0;

/// The smallest parts that are chosen unasked.
const USUAL_PART_BYTES: u64 = 8 << 20;

/// The largest parts that are chosen unasked, as long as 10,000 of them are enough.
const UNASKED_PART_BYTES: u64 = 128 << 20;

impl Limits {
    /// Those of the vault API.
    ///
    /// # Panics
    ///
    /// Never: 1 MiB is a part size.
    pub fn of_vaults() -> Self {
        let smallest_part = PartSize::new(MIN_PART_SIZE_BYTES).expect("1 MiB is a part size");
        Self {
            smallest_part,
            largest_archive_bytes: MAX_ARCHIVE_SIZE_BYTES,
            usual_part_bytes: USUAL_PART_BYTES,
            unasked_part_bytes: UNASKED_PART_BYTES,
        }
    }

    /// Keeps parts so small that each takes ten seconds or so at a rate in bytes per second, if it is known.
    ///
    /// On a thin line few large parts starve each other, until the service ends them with 408.
    #[must_use]
    pub fn at_rate(self, rate: Option<f64>) -> Self {
        let Some(rate) = rate.filter(|rate| rate.is_finite() && *rate > 0.0) else { return self };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a positive number of bytes; what is too large is cut"
        )]
        let bytes = (rate * SECONDS_PER_PART / PARTS_ON_THE_LINE) as u64;
        let power = (bytes + 1).next_power_of_two() / 2;
        let most = power.clamp(MIN_PART_SIZE_BYTES, self.unasked_part_bytes);
        Self { unasked_part_bytes: most, ..self }
    }
}

/// A part that is now stored durably.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPart {
    /// Its tree hash, as computed from the bytes that were received.
    pub tree_hash: TreeHash,
    /// What the target will list it with.
    pub mark: PartMark,
}

/// A part that a target has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedPart {
    /// Where it lies in the archive.
    pub range: ByteRange,
    /// What it is.
    pub mark: PartMark,
}

/// Who charges for what is done at a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Billing {
    /// Nobody that icefield knows of.
    Free,
    /// Amazon.
    Aws {
        /// Where.
        region: Region,
        /// What for.
        class: StorageClass,
    },
}

/// Whether an endpoint, `https://host:port`, is one of Amazon's, who charges for what is done there.
pub(crate) fn is_amazons(endpoint: &str) -> bool {
    let host = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    let host = host.split(['/', ':']).next().unwrap_or_default();
    host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn")
}

/// What Amazon keeps archives as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StorageClass {
    /// Archives in vaults (Amazon Glacier's own API).
    Vault,
    /// S3 Glacier Flexible Retrieval.
    FlexibleRetrieval,
    /// S3 Glacier Deep Archive.
    DeepArchive,
    /// S3 Glacier Instant Retrieval.
    InstantRetrieval,
    /// S3 Standard.
    Standard,
}

/// Why a target did not do it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// The service said no. Its message names the thing it is about.
    #[error("{message}")]
    Service {
        /// The code of the answer.
        code: ErrorCode,
        /// The message of the answer.
        message: String,
    },
    /// The token cannot be used again, and nothing was stored: the same request needs a new one.
    #[error("this upload token belongs to an archive that was deleted since")]
    UsedToken,
    /// The source of a body failed; the caller knows why.
    #[error("reading what was to be sent failed")]
    Source(#[source] io::Error),
    /// The bytes are not those that were stored (or sent).
    #[error("damaged: {what}")]
    Damaged {
        /// Where and what: names the MiB, counted from 0 in the archive, as far as known.
        what: String,
    },
    /// There is no room at the target.
    #[error("the target is full: {what}")]
    Full {
        /// Which volume, what to do.
        what: String,
    },
    /// The request did not get through, as often as it was tried.
    #[error("the target could not be reached: {what}")]
    Transport {
        /// What happened, and what to look at.
        what: String,
    },
    /// The upload was completed, but the answer with the archive's ID was lost and cannot be asked for again: the next
    /// inventory tells it.
    #[error(
        "the archive is stored, but the answer that tells its ID was lost: the vault's next inventory will tell it"
    )]
    CompletedUnseen,
    /// No credentials could be had.
    #[error(
        "there are no credentials for it: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile"
    )]
    Credentials(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// There is no such thing at this kind of target.
    #[error("{what}")]
    Unsupported {
        /// What there is not, and what there is instead.
        what: String,
    },
    /// The target failed; nothing was changed as far as it knows.
    #[error("the target failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl TargetError {
    /// Whether the service answered that something does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Service { code: ErrorCode::ResourceNotFound, .. })
    }
}

/// A place with vaults, as seen by one account.
///
/// # Contract
///
/// * **Durable.** `Ok` from an upload means that the bytes are stored durably.
/// * **Tokens.** A put or initiation with a token seen before answers with the first result, as far as [`Target::keeps_tokens`];
///   when the archive of it was deleted since, it is [`TargetError::UsedToken`].
/// * **Once.** A call is repeated inside where that is safe; where a repeat could do a thing twice (a job, an upload without
///   tokens, a completion) and the answer was lost, the target looks first whether it was done.
/// * **Cancel safety.** Dropping a call leaves the vault as before or as after it.
/// * Names, limits, errors and pages are those of the Glacier API.
#[async_trait]
pub trait Target: fmt::Debug + Send + Sync + 'static {
    /// What the catalog knows this place by: the store's identity, or endpoint, account and region. Never a label.
    fn identity(&self) -> &str;

    /// The place in words for people: `embedded store /srv/cold`.
    fn describe(&self) -> String;

    /// Whether a repeated upload token is answered with the first result.
    fn keeps_tokens(&self) -> bool;

    /// How long before the date of an inventory an archive may have come and still be missing from it.
    fn inventory_lag(&self) -> Duration;

    /// Who charges for what is done here.
    fn billing(&self) -> Billing {
        Billing::Free
    }

    /// Days that a retrieval keeps a copy beside the archive, which is charged for; 0 where it keeps none.
    fn restore_days(&self) -> u16 {
        0
    }

    /// Whether a multipart upload should be told the tree hash of the whole when it begins, because it cannot be told later.
    fn wants_tree_hash(&self) -> bool {
        false
    }

    /// How many bodies that are not small are best in transfer at a time, unless somebody asks for another number.
    fn bodies_at_once(&self) -> NonZeroUsize {
        NonZeroUsize::new(4).expect("4 is not 0")
    }

    /// Takes somebody's word for the number of bodies in transfer at a time, where the target would find it out.
    fn limit_bodies(&self, at_once: NonZeroUsize) {
        let _ = at_once;
    }

    /// How large archives and their parts can be.
    fn limits(&self) -> Limits {
        Limits::of_vaults()
    }

    /// What there is to be set on vaults and the account beside archives, if there is.
    fn administration(&self) -> Option<&dyn Administration> {
        None
    }

    /// Creates a vault; one that exists is left as it is.
    async fn create_vault(&self, vault: &VaultName) -> Result<(), TargetError>;

    /// Describes a vault.
    async fn describe_vault(&self, vault: &VaultName) -> Result<VaultDescription, TargetError>;

    /// Lists vaults from a marker on.
    async fn list_vaults(
        &self,
        marker: Option<&str>,
    ) -> Result<Page<VaultDescription>, TargetError>;

    /// Deletes an empty vault.
    async fn delete_vault(&self, vault: &VaultName) -> Result<(), TargetError>;

    /// Stores an archive in one request (1 byte to 4 GiB).
    async fn upload_archive(
        &self,
        vault: &VaultName,
        new: &NewArchive,
        body: &Body,
    ) -> Result<Archived, TargetError>;

    /// Deletes an archive; one that is deleted already is fine.
    async fn delete_archive(
        &self,
        vault: &VaultName,
        archive: &ArchiveId,
    ) -> Result<(), TargetError>;

    /// Begins a multipart upload.
    async fn initiate_upload(
        &self,
        vault: &VaultName,
        part_size: PartSize,
        new: &NewArchive,
    ) -> Result<UploadId, TargetError>;

    /// Stores the part at `range`.
    async fn upload_part(
        &self,
        vault: &VaultName,
        upload: &UploadId,
        range: ByteRange,
        body: &Body,
    ) -> Result<StoredPart, TargetError>;

    /// Lists parts that were received completely, by range, from a marker on.
    async fn list_parts(
        &self,
        vault: &VaultName,
        upload: &UploadId,
        marker: Option<&str>,
    ) -> Result<Page<ListedPart>, TargetError>;

    /// Makes an archive of the parts.
    async fn complete_upload(
        &self,
        vault: &VaultName,
        upload: &UploadId,
        size: u64,
        tree_hash: TreeHash,
    ) -> Result<ArchiveId, TargetError>;

    /// Tells the archive that an upload became, if it was completed and the archive was not deleted since.
    ///
    /// `new` is what the upload was begun with. For uploads that are not listed any more, and only where tokens are kept:
    /// a repeated initiation then tells the same upload, unless its archive is gone.
    async fn completed_upload(
        &self,
        vault: &VaultName,
        upload: &UploadId,
        part_size: PartSize,
        new: &NewArchive,
        size: u64,
        tree_hash: TreeHash,
    ) -> Result<Option<ArchiveId>, TargetError> {
        let same = self.initiate_upload(vault, part_size, new).await?;
        if same != *upload {
            if let Err(error) = self.abort_upload(vault, &same).await {
                tracing::warn!(upload = %same, %error, "an upload could not be aborted");
            }
            return Ok(None);
        }
        match self.complete_upload(vault, upload, size, tree_hash).await {
            Ok(archive) => Ok(Some(archive)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Discards a multipart upload.
    async fn abort_upload(&self, vault: &VaultName, upload: &UploadId) -> Result<(), TargetError>;

    /// Lists multipart uploads in progress from a marker on.
    async fn list_uploads(
        &self,
        vault: &VaultName,
        marker: Option<&str>,
    ) -> Result<Page<UploadDescription>, TargetError>;

    /// Starts a retrieval job.
    async fn initiate_job(
        &self,
        vault: &VaultName,
        request: &JobRequest,
    ) -> Result<JobId, TargetError>;

    /// Describes a job.
    async fn describe_job(
        &self,
        vault: &VaultName,
        job: &JobId,
    ) -> Result<JobDescription, TargetError>;

    /// Lists jobs from a marker on.
    async fn list_jobs(
        &self,
        vault: &VaultName,
        marker: Option<&str>,
    ) -> Result<Page<JobDescription>, TargetError>;

    /// Reads the output of a succeeded job, whole or a range of it (an end beyond the output is clamped).
    async fn job_output(
        &self,
        vault: &VaultName,
        job: &JobId,
        range: Option<ByteRange>,
    ) -> Result<Output, TargetError>;

    /// Waits until a job may have changed state: for the embedded store until its due work is done, for a service the polling
    /// interval. Returns at once when there is nothing to wait for.
    async fn wait(&self, vault: &VaultName, job: &JobId) -> Result<(), TargetError>;
}
