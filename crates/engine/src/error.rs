//! Why the engine refuses, in Glacier's nouns.
//!
//! `Display` is what the client is told, word for word as the service has it where that is known ("Error Responses"
//! and captured answers); scripts match on some of these texts, so here they win over the house rule of lower case.
//! [`EngineError::code`] is the other half of the answer. Sources are for the log only.

use std::time::Duration;

use icefield_protocol::{
    AccountId, ArchiveId, ByteRange, ErrorCode, JobId, LockId, Operation, Timestamp, TopicName,
    UploadId, UploadToken, UserName, VaultArn, VaultName, sigv4::AccessKeyId,
};
use icefield_store::StoreError;
use icefield_treehash::TreeHash;

use crate::policy::PolicyError;

/// Errors of the engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No policy allows it, or one denies it.
    #[error("User: {principal} is not authorized to perform: {} on resource: {resource}", operation.action())]
    AccessDenied {
        /// ARN of who asked.
        principal: String,
        /// What was asked for.
        operation: Operation,
        /// ARN of the vault, or `*`.
        resource: String,
    },
    /// There is no such vault.
    #[error("Vault not found for ARN: {0}")]
    VaultNotFound(VaultArn),
    /// The vault cannot be deleted: its last inventory lists archives, or it was written to since.
    #[error("Vault not empty or recently written to: {0}")]
    VaultNotEmpty(VaultArn),
    /// The store has no such account.
    #[error("There is no account {0}.")]
    AccountNotFound(AccountId),
    /// The account has no such user.
    #[error("There is no user {0}.")]
    UserNotFound(UserName),
    /// The account has a user of this name.
    #[error("There is a user {0} already.")]
    UserExists(UserName),
    /// There is no such key.
    #[error("There is no key {0}.")]
    KeyNotFound(AccessKeyId),
    /// There is such a key already.
    #[error("There is a key {0} already.")]
    KeyExists(AccessKeyId),
    /// A session would be too short or too long.
    #[error("A session lasts 1 second to 36 hours, not {} seconds.", .0.as_secs())]
    InvalidSession(Duration),
    /// There is no key to seal secrets with.
    #[error("No master key was given, so no secret can be read or kept.")]
    NoMasterKey,
    /// The secret of a key cannot be opened with the master key.
    #[error("The master key is not the one that the secret of {0} was sealed with.")]
    WrongMasterKey(AccessKeyId),
    /// A policy that cannot be enforced as it stands.
    #[error("The policy is invalid: {0}")]
    InvalidPolicy(PolicyError),
    /// Not the name of a policy.
    #[error(
        "{0:?} is not the name of a policy: it has 1 to 128 characters of a-z, A-Z, 0-9 and `+ = , . @ _ -`"
    )]
    InvalidPolicyName(String),
    /// A user has as many policies as it may have.
    #[error("The limit of {0} policies per user is reached.")]
    PolicyLimit(usize),
    /// There is no such topic.
    #[error("There is no topic {0}.")]
    TopicNotFound(TopicName),
    /// A topic's destination cannot be.
    #[error("{0}")]
    InvalidDestination(String),
    /// The account has as much provisioned capacity as it may have.
    #[error("The limit of {0} units of provisioned capacity is reached.")]
    CapacityLimit(usize),
    /// The data retrieval policy refuses the job.
    #[error("InitiateJob request denied by current data retrieval policy.")]
    PolicyEnforced,
    /// Expedited retrievals need provisioned capacity here, and the account has none.
    #[error(
        "There is no capacity for an expedited retrieval: purchase provisioned capacity, or use another tier."
    )]
    InsufficientCapacity,
    /// No notification configuration is set.
    #[error("No notification configuration is set for vault: {0}")]
    NoNotifications(VaultName),
    /// A notification configuration without events.
    #[error("Invalid notification configuration: at least one event is required")]
    NoEvents,
    /// No access policy is set.
    #[error("No vault access policy is set for: {0}")]
    NoAccessPolicy(VaultName),
    /// An access policy that cannot be enforced as it stands.
    #[error("The specified vault access policy is invalid. Provide a valid policy.")]
    InvalidAccessPolicy(#[source] PolicyError),
    /// There is no lock, or it has expired.
    #[error("No vault lock policy is set for: {0}")]
    NoLock(VaultName),
    /// A lock policy that cannot be enforced as it stands.
    #[error("The specified vault lock policy is invalid. Provide a valid policy.")]
    InvalidLockPolicy(#[source] PolicyError),
    /// The lock in progress has another ID.
    #[error("Invalid lock ID: {0}")]
    WrongLockId(LockId),
    /// A lock is in progress: another one cannot be initiated.
    #[error("A vault lock is in progress already: {0}")]
    LockInProgress(VaultArn),
    /// The vault is locked for ever.
    #[error("The vault is locked already: {0}")]
    VaultLocked(VaultArn),
    /// The vault would have more tags than it may have.
    #[error("The limit of {0} tags per vault is reached.")]
    TagLimit(usize),
    /// No tag, or more than a request may have.
    #[error("Invalid number of tags: {0}. A request has 1 to 10.")]
    InvalidTagCount(usize),
    /// The account has as many vaults as it may have.
    #[error("The limit of {0} vaults per account is reached.")]
    VaultLimit(u64),
    /// The vault has as many jobs as it may have, ended ones that are remembered included.
    #[error("The limit of {0} jobs per vault is reached.")]
    JobLimit(usize),
    /// The vault has as many jobs for inventories as it may have.
    #[error("The limit of {0} inventory jobs per vault is reached.")]
    InventoryJobLimit(usize),
    /// The vault has as many uploads in progress as it may have.
    #[error("The limit of {0} uploads in progress per vault is reached.")]
    UploadLimit(usize),
    /// The text was never the ID of an archive here, or (in a retrieval) the archive was deleted.
    #[error("The archive ID was not found: {0}")]
    ArchiveNotFound(ArchiveId),
    /// The archive belongs to another vault. The service's own text names the vault that was asked.
    #[error("Invalid vault name: {0}")]
    ForeignArchive(VaultArn),
    /// No such upload in this vault, or it was aborted, completed or has expired.
    #[error("The upload ID was not found: {0}")]
    UploadNotFound(UploadId),
    /// No such job in this vault, or it has expired.
    #[error("The job ID was not found: {0}")]
    JobNotFound(JobId),
    /// An archive of a single request is empty or too long, or the body is not as long as was said.
    #[error("Invalid Content-Length: {0}")]
    InvalidContentLength(u64),
    /// A part does not begin at a multiple of the part size, is longer than a part, or is the 10,001st.
    #[error("Invalid Content-Range: {}", .0.to_content_range())]
    InvalidContentRange(ByteRange),
    /// A part's body is not as long as its range says.
    #[error("Content-Range: {} is incompatible with Content-Length: {received}", range.to_content_range())]
    ContentRangeMismatch {
        /// The range.
        range: ByteRange,
        /// Bytes that came.
        received: u64,
    },
    /// The bytes that came are not those that were meant.
    #[error("Checksum mismatch: expected {expected}, computed {computed}")]
    ChecksumMismatch {
        /// The caller's tree hash.
        expected: TreeHash,
        /// The tree hash of what came.
        computed: TreeHash,
    },
    /// An upload cannot be completed: bytes from this offset on are missing, or a part in the middle is short.
    #[error("Missing content range in multipart upload: {0}")]
    MissingContent(u64),
    /// An upload cannot be completed: its parts have another total, or it was completed with another one.
    #[error("Invalid x-amz-archive-size: {0}")]
    InvalidArchiveSize(u64),
    /// An upload cannot be completed: its parts have another tree hash, or it was completed with another one.
    #[error("Invalid x-amz-sha256-tree-hash: {0}")]
    InvalidTreeHash(TreeHash),
    /// The token of a put has made an archive that was deleted since: the same put cannot be repeated.
    #[error("The upload token was used for an archive that was deleted since: {0}")]
    UsedToken(UploadToken),
    /// A page of nothing was asked for.
    #[error("Invalid limit: {0}")]
    InvalidLimit(u64),
    /// A marker that no list of this kind and vault has given.
    #[error("Invalid marker: {0}")]
    InvalidMarker(String),
    /// A retrieval range outside the archive, or not aligned to MiB.
    #[error("Invalid RetrievalByteRange: {0}")]
    InvalidRetrievalRange(ByteRange),
    /// Dates of an inventory retrieval in the wrong order.
    #[error("Invalid date range: StartDate {start} is after EndDate {end}")]
    InvalidInventoryDates {
        /// The first.
        start: Timestamp,
        /// The last, exclusive.
        end: Timestamp,
    },
    /// The vault has no inventory yet.
    #[error("No inventory is available yet for vault: {0}")]
    NoInventory(VaultArn),
    /// The job is in progress or has failed.
    #[error("The job is not currently available for download: {0}")]
    JobNotAvailable(JobId),
    /// A range that has no byte of the job's output.
    #[error("Invalid Range: {requested} of an output of {total} bytes")]
    InvalidOutputRange {
        /// As it was asked for.
        requested: String,
        /// Length of the output.
        total: u64,
    },
    /// The outputs that are being read need all the memory there is for them; the service's own text for being asked too
    /// often, which clients answer by asking again later.
    #[error("Rate exceeded")]
    TooManyOutputs,
    /// Stored bytes are not what they were. They are never returned.
    #[error("The stored bytes of {what} are damaged{}", located(*.leaf))]
    Damaged {
        /// Whose bytes: an archive or the output of a job, with its ID.
        what: String,
        /// Which MiB of it, counted from 0, where that is known.
        leaf: Option<u64>,
        /// What the store found.
        source: StoreError,
    },
    /// An ID was made with a key that the store does not have any more.
    #[error("Key {0} for IDs is missing from the store.")]
    KeyMissing(u16),
    /// The system gave no random bytes.
    #[error("No random bytes are available.")]
    NoRandomness,
    /// The store failed.
    #[error("The service cannot complete the request.")]
    Store(#[from] StoreError),
}

impl EngineError {
    /// Returns the code of the answer.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        // No wildcard: a new error has to choose its code.
        match self {
            Self::VaultNotFound(_)
            | Self::ArchiveNotFound(_)
            | Self::UploadNotFound(_)
            | Self::JobNotFound(_)
            | Self::NoInventory(_)
            | Self::NoNotifications(_)
            | Self::NoAccessPolicy(_)
            | Self::NoLock(_) => ErrorCode::ResourceNotFound,
            Self::AccessDenied { .. } | Self::LockInProgress(_) | Self::VaultLocked(_) => {
                ErrorCode::AccessDenied
            }
            Self::AccountNotFound(_)
            | Self::UserNotFound(_)
            | Self::KeyNotFound(_)
            | Self::TopicNotFound(_) => ErrorCode::ResourceNotFound,
            Self::UserExists(_)
            | Self::KeyExists(_)
            | Self::InvalidSession(_)
            | Self::InvalidPolicy(_)
            | Self::InvalidPolicyName(_)
            | Self::InvalidDestination(_) => ErrorCode::InvalidParameterValue,
            Self::NoMasterKey | Self::WrongMasterKey(_) => ErrorCode::ServiceUnavailable,
            Self::PolicyEnforced => ErrorCode::PolicyEnforced,
            Self::TooManyOutputs => ErrorCode::Throttling,
            Self::InsufficientCapacity => ErrorCode::InsufficientCapacity,
            Self::VaultLimit(_)
            | Self::JobLimit(_)
            | Self::InventoryJobLimit(_)
            | Self::UploadLimit(_)
            | Self::TagLimit(_)
            | Self::PolicyLimit(_)
            | Self::CapacityLimit(_) => ErrorCode::LimitExceeded,
            Self::NoEvents
            | Self::InvalidAccessPolicy(_)
            | Self::InvalidLockPolicy(_)
            | Self::WrongLockId(_)
            | Self::InvalidTagCount(_)
            | Self::VaultNotEmpty(_)
            | Self::ForeignArchive(_)
            | Self::InvalidContentLength(_)
            | Self::InvalidContentRange(_)
            | Self::ContentRangeMismatch { .. }
            | Self::ChecksumMismatch { .. }
            | Self::MissingContent(_)
            | Self::InvalidArchiveSize(_)
            | Self::InvalidTreeHash(_)
            | Self::UsedToken(_)
            | Self::InvalidLimit(_)
            | Self::InvalidMarker(_)
            | Self::InvalidRetrievalRange(_)
            | Self::InvalidInventoryDates { .. }
            | Self::JobNotAvailable(_)
            | Self::InvalidOutputRange { .. } => ErrorCode::InvalidParameterValue,
            Self::Damaged { .. } | Self::KeyMissing(_) | Self::NoRandomness | Self::Store(_) => {
                ErrorCode::ServiceUnavailable
            }
        }
    }

    /// Turns damage that the store reports into damage of `what`, whose bytes behind the error begin at MiB `offset`.
    pub(crate) fn reading(what: &str, offset: u64, source: StoreError) -> Self {
        let leaf = match &source {
            StoreError::Damaged(damage) => damage.leaf.map(|leaf| offset + leaf),
            StoreError::Missing(_) => Some(offset),
            StoreError::Io { .. }
            | StoreError::Full { .. }
            | StoreError::Fenced
            | StoreError::InUse { .. }
            | StoreError::NewerFormat { .. }
            | StoreError::NewerRecord { .. }
            | StoreError::NotAStore { .. }
            | StoreError::LedgerMissing { .. }
            | StoreError::Ledger { .. }
            | StoreError::UnfitDocument { .. }
            | StoreError::RegionDiffers { .. }
            | StoreError::Closed => return Self::Store(source),
        };
        Self::Damaged { what: what.to_owned(), leaf, source }
    }

    /// An answer of the ledger that its contract excludes.
    pub(crate) fn unexpected(doing: &'static str, answer: &impl std::fmt::Debug) -> Self {
        let source = format!("unexpected answer {answer:?}").into();
        Self::Store(StoreError::Ledger { doing, source })
    }
}

fn located(leaf: Option<u64>) -> String {
    leaf.map(|leaf| format!(" in MiB {leaf}")).unwrap_or_default()
}
