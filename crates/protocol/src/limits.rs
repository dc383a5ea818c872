//! The limits of the service ("Quotas" and the operations' pages), each with its unit in its name.

/// Smallest part size of a multipart upload: 1 MiB.
pub const MIN_PART_SIZE_BYTES: u64 = 1 << 20;

/// Largest part size of a multipart upload: 4 GiB.
pub const MAX_PART_SIZE_BYTES: u64 = 4 << 30;

/// Most parts of a multipart upload.
pub const MAX_PARTS: u64 = 10_000;

/// Largest archive: all parts at their largest size, a little under 40 TiB.
pub const MAX_ARCHIVE_SIZE_BYTES: u64 = MAX_PARTS * MAX_PART_SIZE_BYTES;

/// Smallest archive; empty archives do not exist.
pub const MIN_ARCHIVE_SIZE_BYTES: u64 = 1;

/// Largest archive that goes in a single request: 4 GiB.
pub const MAX_SINGLE_UPLOAD_BYTES: u64 = 4 << 30;

/// Size above which the developer guide recommends a multipart upload: 100 MiB.
pub const MULTIPART_RECOMMENDED_BYTES: u64 = 100 << 20;

/// Longest description of an archive or a job.
pub const MAX_DESCRIPTION_BYTES: usize = 1024;

/// Longest vault name.
pub const MAX_VAULT_NAME_BYTES: usize = 255;

/// Longest archive, upload or job ID that is taken from a foreign service.
pub const MAX_ID_BYTES: usize = 255;

/// Vaults per account and region.
pub const VAULTS_PER_ACCOUNT: u64 = 1000;

/// Items of a page of vaults, unless fewer are asked for; a larger limit is clamped to it.
pub const LIST_VAULTS_LIMIT: usize = 10;

/// Items of a page of jobs, uploads or parts, unless fewer are asked for; a larger limit is clamped to it.
pub const LIST_LIMIT: usize = 50;

/// What an archive adds to its vault's reported size beside its bytes: 32 KiB.
pub const ARCHIVE_OVERHEAD_BYTES: u64 = 32_768;

/// Shortest time, in hours, that an idle multipart upload is kept.
pub const MIN_UPLOAD_IDLE_HOURS: u64 = 24;

/// Shortest time, in hours, that a finished job and its output are kept.
pub const MIN_JOB_OUTPUT_HOURS: u64 = 24;

/// Time, in hours, that a vault lock may stay in progress.
pub const LOCK_IN_PROGRESS_HOURS: u64 = 24;

/// Largest vault access policy or vault lock policy.
pub const MAX_POLICY_BYTES: usize = 20_480;

/// Tags per vault.
pub const TAGS_PER_VAULT: usize = 50;

/// Tags per add request, and keys per remove request.
pub const TAGS_PER_REQUEST: usize = 10;

/// Longest tag key, in characters.
pub const MAX_TAG_KEY_CHARS: usize = 128;

/// Longest tag value, in characters.
pub const MAX_TAG_VALUE_CHARS: usize = 255;

/// Live provisioned capacity units per account.
pub const CAPACITY_UNITS_PER_ACCOUNT: usize = 2;

/// Largest rate of a data retrieval policy.
pub const MAX_BYTES_PER_HOUR: u64 = i64::MAX as u64;
