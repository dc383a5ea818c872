//! What an operator may tune: plain data, read once.

use std::time::Duration;

use icefield_protocol::{Region, Tier, limits};

const HOUR: Duration = Duration::from_hours(1);

/// How long a retrieval takes before its output is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delays {
    /// Of expedited retrievals.
    pub expedited: Duration,
    /// Of standard retrievals, and of inventories.
    pub standard: Duration,
    /// Of bulk retrievals.
    pub bulk: Duration,
}

impl Delays {
    /// No delay: jobs are due as soon as they are initiated.
    pub const NONE: Self =
        Self { expedited: Duration::ZERO, standard: Duration::ZERO, bulk: Duration::ZERO };

    /// Returns the delay of a tier.
    #[must_use]
    pub const fn of(&self, tier: Tier) -> Duration {
        match tier {
            Tier::Expedited => self.expedited,
            Tier::Standard => self.standard,
            Tier::Bulk => self.bulk,
        }
    }
}

/// Settings of an [`Engine`](crate::Engine).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The region in ARNs.
    pub region: Region,
    /// How long jobs take.
    pub retrieval_delay: Delays,
    /// How often a vault's inventory is renewed, counted from the vault's creation; zero renews it on every use.
    pub inventory_interval: Duration,
    /// How long an idle multipart upload is kept; at least 24 hours, a shorter time is raised to that.
    pub upload_expiry: Duration,
    /// How long the end of an upload is remembered, so that repeats get the first answer; at least 24 hours.
    pub tombstone: Duration,
    /// How long an ended job and its output are kept; at least 24 hours.
    pub job_lifetime: Duration,
    /// Archives of a single request that are shorter than this lie in the record that tells of them, without a file.
    pub small_archive_bytes: u64,
    /// Vaults per account.
    pub vaults_per_account: u64,
    /// Jobs that a vault may have, ended ones that are kept included. Each is a row of a few hundred bytes.
    pub jobs_per_vault: usize,
    /// How many of them may be of inventories: each is a file of about 400 bytes for each archive.
    pub inventory_jobs_per_vault: usize,
    /// Multipart uploads that a vault may have in progress.
    pub uploads_per_vault: usize,
    /// Hours that a standard retrieval is spread over when its rate is compared with a data retrieval policy.
    pub retrieval_hours: u64,
    /// Bytes a month that the retrieval policy `FreeTier` lets through, a day's share of it on each day.
    pub free_tier_bytes: u64,
    /// Whether expedited retrievals are refused for accounts without provisioned capacity.
    pub expedited_needs_capacity: bool,
}

impl Settings {
    /// Settings of a store that is used by one program on one machine: no delays, the inventory is always current.
    #[must_use]
    pub fn embedded() -> Self {
        Self {
            region: Region::parse("local").expect("`local` has the form of a region"),
            retrieval_delay: Delays::NONE,
            inventory_interval: Duration::ZERO,
            upload_expiry: 7 * 24 * HOUR,
            tombstone: 24 * HOUR,
            job_lifetime: 24 * HOUR,
            small_archive_bytes: 1 << 20,
            vaults_per_account: limits::VAULTS_PER_ACCOUNT,
            jobs_per_vault: 1_000_000,
            inventory_jobs_per_vault: 1000,
            uploads_per_vault: 10_000,
            retrieval_hours: 4,
            free_tier_bytes: 10 << 30,
            expedited_needs_capacity: false,
        }
    }

    /// Raises what clients rely on to the least that the service promises ("Uploading Large Archives in Parts",
    /// "Get Job Output (GET output)").
    pub(crate) fn with_promised_minimums(self) -> Self {
        let hours = |count: u64| Duration::from_hours(count);
        Self {
            upload_expiry: self.upload_expiry.max(hours(limits::MIN_UPLOAD_IDLE_HOURS)),
            tombstone: self.tombstone.max(24 * HOUR),
            job_lifetime: self.job_lifetime.max(hours(limits::MIN_JOB_OUTPUT_HOURS)),
            ..self
        }
    }
}
