//! The ledger: the facts about vaults, archives, uploads and jobs, each in a transaction.
//!
//! Vaults, archives and documents are an index of the log and can be rebuilt from it. Uploads in progress, jobs, messages on
//! their way and staged payloads live only here: losing them costs work, never an acknowledged archive.

#[cfg(test)]
pub(crate) mod contract;
mod memory;
mod outbox;
mod rules;
mod sqlite;

use std::fmt;

use async_trait::async_trait;
use icefield_protocol::{
    AccountId, Description, InventoryFormat, JobStatus, PartSize, Tier, Timestamp, UploadToken,
    VaultName,
};
use icefield_treehash::TreeHash;

use crate::{
    document::{DocumentName, DocumentRow},
    entry::{
        ArchiveNumber, DeliveryNumber, Entry, Extent, IdSeal, JobNumber, Outcome, PayloadId,
        UploadNumber, VaultNumber,
    },
    error::StoreError,
    payload::{DeadBody, LogPosition, RecordPlace},
};

pub use memory::MemoryLedger;
pub use outbox::{DeliveryRow, RetrievalLoad};
pub use sqlite::SqliteLedger;
pub(crate) use sqlite::{COMPANIONS, beside, remove_database};

/// The vault's list as of one value of its write counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InventorySnapshot {
    /// When it was taken.
    pub date: Timestamp,
    /// The write counter it shows.
    pub writes: u64,
    /// Archives in it.
    pub archives: u64,
    /// Sum of their sizes in bytes, without overhead.
    pub bytes: u64,
}

/// A vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultRow {
    /// Its number.
    pub number: VaultNumber,
    /// Its owner.
    pub account: AccountId,
    /// Its name.
    pub name: VaultName,
    /// When it was created.
    pub created: Timestamp,
    /// The write counter: archives ever created plus archives ever deleted.
    pub writes: u64,
    /// Archives now.
    pub archives: u64,
    /// Sum of their sizes in bytes.
    pub bytes: u64,
    /// The last inventory taken.
    pub inventory: Option<InventorySnapshot>,
}

/// Where an archive's bytes are, as the ledger keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// In the body of this record.
    Record(RecordPlace),
    /// In one payload file.
    File(PayloadId),
    /// In the parts of this upload, in order.
    Parts(UploadNumber),
}

/// An archive, deleted ones included while something needs them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveRow {
    /// Its vault.
    pub vault: VaultNumber,
    /// Its number.
    pub number: ArchiveNumber,
    /// What its ID is made from.
    pub seal: IdSeal,
    /// The user's description.
    pub description: Option<Description>,
    /// When it was created.
    pub created: Timestamp,
    /// The same moment on the store's compliance clock, if it was recorded.
    pub aged: Option<Timestamp>,
    /// Its length in bytes.
    pub size: u64,
    /// Its tree hash.
    pub tree_hash: TreeHash,
    /// Where its bytes are.
    pub stored: Stored,
    /// The vault's write counter after its creation.
    pub created_write: u64,
    /// The vault's write counter after its deletion.
    pub deleted_write: Option<u64>,
}

/// State of a multipart upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadState {
    /// Takes parts.
    InProgress,
    /// Became this archive.
    Completed(ArchiveNumber),
    /// Was aborted.
    Aborted,
}

/// A multipart upload, remembered for a while after its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadRow {
    /// Its number.
    pub number: UploadNumber,
    /// Its vault.
    pub vault: VaultNumber,
    /// What its ID is made from.
    pub seal: IdSeal,
    /// Description of the archive to be.
    pub description: Option<Description>,
    /// Part size.
    pub part_size: PartSize,
    /// Token of the initiation.
    pub token: Option<UploadToken>,
    /// When it was initiated.
    pub created: Timestamp,
    /// Last initiation or part; while in progress, expiry counts from here; afterwards, the time it ended.
    pub touched: Timestamp,
    /// Its state.
    pub state: UploadState,
}

/// A part that was received completely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartRow {
    /// Start offset divided by the part size.
    pub index: u32,
    /// The payload file.
    pub extent: Extent,
}

/// What a job retrieves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobKind {
    /// Bytes of an archive.
    Archive {
        /// The archive; its bytes stay readable while the job lives.
        archive: ArchiveNumber,
        /// First and last byte, inclusive.
        range: (u64, u64),
        /// Whether the caller gave a range.
        range_given: bool,
        /// Tier.
        tier: Tier,
    },
    /// A vault's inventory.
    Inventory {
        /// Format of the output.
        format: InventoryFormat,
        /// The write counter that is shown.
        writes: u64,
        /// Date of that snapshot.
        date: Timestamp,
        /// Creation dates from here, inclusive.
        start: Option<Timestamp>,
        /// Creation dates before this.
        end: Option<Timestamp>,
        /// At most so many archives.
        limit: Option<u64>,
        /// Only archives after this one (from the request's marker).
        after: Option<ArchiveNumber>,
    },
}

/// The output of a succeeded inventory job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InventoryOutput {
    /// The payload file that holds it.
    pub extent: Extent,
    /// The last archive in it when more follow: where the next job continues.
    pub next: Option<ArchiveNumber>,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRow {
    /// Its number.
    pub number: JobNumber,
    /// Its vault.
    pub vault: VaultNumber,
    /// What its ID is made from.
    pub seal: IdSeal,
    /// What it retrieves.
    pub kind: JobKind,
    /// The user's description.
    pub description: Option<Description>,
    /// Topic to notify.
    pub sns_topic: Option<String>,
    /// When it was initiated.
    pub created: Timestamp,
    /// When its work may begin.
    pub due: Timestamp,
    /// Its state.
    pub status: JobStatus,
    /// The reason of a failure.
    pub message: Option<String>,
    /// When it ended.
    pub completed: Option<Timestamp>,
    /// Output of a succeeded inventory job.
    pub output: Option<InventoryOutput>,
}

/// How a job ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobEnd {
    /// Its output is ready; inventory jobs carry it.
    Succeeded(Option<InventoryOutput>),
    /// It failed for this reason.
    Failed(String),
}

/// Which jobs to list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// Only ended (true) or running (false) ones.
    pub completed: Option<bool>,
    /// Only those in this state.
    pub status: Option<JobStatus>,
}

/// Which archives of a vault to list, always in the order of their numbers (creation).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchiveQuery {
    /// The vault.
    pub vault: VaultNumber,
    /// As of this value of its write counter: created at or before it, not deleted at or before it.
    pub writes: u64,
    /// Only numbers after this one.
    pub after: Option<ArchiveNumber>,
    /// Created at or after.
    pub start: Option<Timestamp>,
    /// Created before.
    pub end: Option<Timestamp>,
    /// At most so many rows.
    pub limit: usize,
}

/// Counts for `store stat`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LedgerStat {
    /// Vaults.
    pub vaults: u64,
    /// Archives that exist.
    pub archives: u64,
    /// Sum of their sizes in bytes.
    pub bytes: u64,
    /// Uploads in progress.
    pub uploads: u64,
    /// Jobs remembered.
    pub jobs: u64,
    /// Those of them that have not ended.
    pub jobs_in_progress: u64,
    /// Payload files waiting for a sweep, or reserved.
    pub staged: u64,
    /// Bytes of bodies in packs that nothing needs any more: of deleted archives that were purged. Until a compaction has
    /// dropped them.
    pub dead_bytes: u64,
    /// Documents.
    pub documents: u64,
    /// Messages on their way.
    pub deliveries: u64,
    /// Messages given up.
    pub dead_deliveries: u64,
}

/// Transactional record of a store.
///
/// # Contract
///
/// Every backend passes the suite in `ledger::contract`. Callers rely on:
///
/// * **Durability.** When a changing call returns `Ok`, its change survives a power cut (the memory ledger excepted).
/// * **Atomicity.** Each call is one transaction. Concurrent calls may share one; then none of them answers before its commit.
/// * **Determinism.** [`apply`](Self::apply) depends on the entries applied before and on nothing else: no clock, no uploads, no jobs.
/// * **Staging.** A payload id is in exactly one place: staged, a part of an upload, an archive, or a job's output. Whatever
///   stops using a payload file stages it in the same transaction.
/// * **Paging.** Lists are ordered by key and begin after (or at) a key that need not exist any more.
#[async_trait]
pub trait Ledger: fmt::Debug + Send + Sync + 'static {
    /// The end of the last log record that was applied.
    async fn mark(&self) -> Result<LogPosition, StoreError>;

    /// Applies records of the log in order, in one transaction, and moves the mark to `mark`.
    ///
    /// Rules by entry (see [`Outcome`]): `VaultCreated` needs a free name; `VaultDeleted` an empty vault at that write
    /// counter, and discards its uploads, jobs, documents and deleted archives; `ArchiveCreated` an existing vault, a token that the
    /// vault has not seen and an upload that has not been completed, adds one to the write counter, takes its extents out of
    /// staging (they may be unknown there: on replay) and ends the upload, whose other parts it stages; `ArchiveDeleted` an
    /// archive that exists, adds one to the write counter; `Document` its vault, if it names one, and the document at the
    /// version it comes after, or at an older one, when the record of that version is lost. The bytes of a deleted archive stay until
    /// [`purge`](Self::purge). The extents of an archive entry that is refused stay as they are: of a live upload they are
    /// staged since they were reserved, or by the end of its upload. A replay knows nothing of them and stages none of them:
    /// over a damaged log an entry may be refused that was not, and its archive must not lose its bytes by that.
    ///
    /// An archive of several extents keeps them as the parts of its upload; a replayed one whose upload is unknown gets that
    /// upload (completed) again.
    async fn apply(
        &self,
        entries: Vec<(Entry, RecordPlace)>,
        mark: LogPosition,
    ) -> Result<Vec<Outcome>, StoreError>;

    /// The highest number of any kind ever used, 0 for none.
    async fn highest_number(&self) -> Result<u64, StoreError>;

    /// Finds a vault by name.
    async fn vault(
        &self,
        account: &AccountId,
        name: &VaultName,
    ) -> Result<Option<VaultRow>, StoreError>;

    /// Finds a vault by number.
    async fn vault_by_number(&self, number: VaultNumber) -> Result<Option<VaultRow>, StoreError>;

    /// Vaults of an account in byte order of their names, from `from` on (inclusive).
    async fn vaults(
        &self,
        account: &AccountId,
        from: Option<&VaultName>,
        limit: usize,
    ) -> Result<Vec<VaultRow>, StoreError>;

    /// Takes an inventory if `date` is at least `interval_millis` after the last one (or there is none) and the vault was written
    /// to since; returns the vault afterwards.
    async fn take_inventory(
        &self,
        vault: VaultNumber,
        date: Timestamp,
        interval_millis: u64,
    ) -> Result<Option<VaultRow>, StoreError>;

    /// Finds an archive, also a deleted one that is still remembered.
    async fn archive(&self, number: ArchiveNumber) -> Result<Option<ArchiveRow>, StoreError>;

    /// Finds the archive that a put with this token made, also when it was deleted since.
    async fn archive_by_token(
        &self,
        vault: VaultNumber,
        token: UploadToken,
    ) -> Result<Option<ArchiveRow>, StoreError>;

    /// Lists archives of a vault.
    async fn archives(&self, query: ArchiveQuery) -> Result<Vec<ArchiveRow>, StoreError>;

    /// The payload files of an archive in order; empty when its bytes are in a record.
    async fn extents(&self, number: ArchiveNumber) -> Result<Vec<Extent>, StoreError>;

    /// Records payload ids as staged before anything is written under them.
    async fn stage(&self, ids: Vec<PayloadId>) -> Result<(), StoreError>;

    /// Staged ids after `after`, in byte order.
    async fn staged(
        &self,
        after: Option<PayloadId>,
        limit: usize,
    ) -> Result<Vec<PayloadId>, StoreError>;

    /// Of these ids those that are staged and that no archive, upload or job has: what a sweep may remove.
    async fn garbage(&self, ids: Vec<PayloadId>) -> Result<Vec<PayloadId>, StoreError>;

    /// Forgets staged ids whose files are gone.
    async fn unstage(&self, ids: Vec<PayloadId>) -> Result<(), StoreError>;

    /// Records a new upload; if the vault has an upload with the same token, returns that one instead and records nothing.
    async fn create_upload(&self, row: UploadRow) -> Result<UploadRow, StoreError>;

    /// Finds the upload, in any state that is still remembered, that this token has begun.
    async fn upload_by_token(
        &self,
        vault: VaultNumber,
        token: UploadToken,
    ) -> Result<Option<UploadRow>, StoreError>;

    /// How many uploads in progress a vault has. Counting ends at `most`.
    async fn count_uploads(&self, vault: VaultNumber, most: usize) -> Result<usize, StoreError>;

    /// Finds an upload in any state that is still remembered.
    async fn upload(&self, number: UploadNumber) -> Result<Option<UploadRow>, StoreError>;

    /// Uploads in progress of a vault, by number, from `from` on (inclusive).
    async fn uploads(
        &self,
        vault: VaultNumber,
        from: Option<UploadNumber>,
        limit: usize,
    ) -> Result<Vec<UploadRow>, StoreError>;

    /// Records a part, in place of one of the same index (whose payload is staged), and touches the upload. Returns false, and
    /// leaves the new payload staged, when the upload is not in progress.
    async fn put_part(
        &self,
        upload: UploadNumber,
        part: PartRow,
        at: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Parts of an upload by index, from `from` on (inclusive).
    async fn parts(
        &self,
        upload: UploadNumber,
        from: u32,
        limit: usize,
    ) -> Result<Vec<PartRow>, StoreError>;

    /// Aborts an upload in progress and stages its parts. Returns the state before, `None` for an unknown upload.
    async fn abort_upload(
        &self,
        number: UploadNumber,
        at: Timestamp,
    ) -> Result<Option<UploadState>, StoreError>;

    /// Forgets uploads in progress that were not touched since `idle_since` (staging their parts) and the memory of ended ones
    /// that ended before `ended_before` (parts of completed ones stay with their archive). Returns how many.
    async fn expire_uploads(
        &self,
        idle_since: Timestamp,
        ended_before: Timestamp,
    ) -> Result<u64, StoreError>;

    /// Records a job.
    async fn create_job(&self, row: JobRow) -> Result<(), StoreError>;

    /// Finds a job.
    async fn job(&self, number: JobNumber) -> Result<Option<JobRow>, StoreError>;

    /// Jobs of a vault by number, from `from` on (inclusive).
    async fn jobs(
        &self,
        vault: VaultNumber,
        filter: JobFilter,
        from: Option<JobNumber>,
        limit: usize,
    ) -> Result<Vec<JobRow>, StoreError>;

    /// How many jobs a vault has, ended ones included. Counting ends at `most`, and takes as long as there are.
    async fn count_jobs(&self, vault: VaultNumber, most: usize) -> Result<usize, StoreError>;

    /// How many of them are of inventories. Counting ends at `most`.
    async fn count_inventory_jobs(
        &self,
        vault: VaultNumber,
        most: usize,
    ) -> Result<usize, StoreError>;

    /// Jobs in progress, of all vaults, whose due time is at or before `now`, oldest first.
    async fn due_jobs(&self, now: Timestamp, limit: usize) -> Result<Vec<JobRow>, StoreError>;

    /// When the next job in progress becomes due.
    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Ends a job in progress and records the messages that tell of it. Returns false when it is not in progress (any more):
    /// then no message is recorded, and an output's payload stays staged.
    async fn end_job(
        &self,
        number: JobNumber,
        end: JobEnd,
        at: Timestamp,
        deliveries: Vec<DeliveryRow>,
    ) -> Result<bool, StoreError>;

    /// Forgets jobs that ended before `before` and stages their outputs. Returns how many.
    async fn expire_jobs(&self, before: Timestamp) -> Result<u64, StoreError>;

    /// Forgets up to `limit` deleted archives that no job uses and no inventory or inventory job shows, and stages their
    /// payload files. Returns how many.
    async fn purge(&self, limit: usize) -> Result<u64, StoreError>;

    /// What the Standard retrievals of an account's archives take: those in progress, spread over `hours` each, and those
    /// initiated at or after `since`. Jobs of vaults that are gone count no more.
    async fn retrieval_load(
        &self,
        account: &AccountId,
        hours: u64,
        since: Timestamp,
    ) -> Result<RetrievalLoad, StoreError>;

    /// Finds a document.
    async fn document(&self, name: &DocumentName) -> Result<Option<DocumentRow>, StoreError>;

    /// Documents whose names begin with `prefix`, in byte order of their names, after `after` (exclusive).
    async fn documents(
        &self,
        prefix: &str,
        after: Option<&DocumentName>,
        limit: usize,
    ) -> Result<Vec<DocumentRow>, StoreError>;

    /// Records messages; one whose number is known already stays as it is.
    async fn enqueue(&self, deliveries: Vec<DeliveryRow>) -> Result<(), StoreError>;

    /// Messages on their way whose next try is at or before `now`, those that wait longest first.
    async fn due_deliveries(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<DeliveryRow>, StoreError>;

    /// When the next message on its way is to be tried.
    async fn next_delivery(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Replaces a message of this number. Returns false, and records nothing, when it is gone.
    async fn update_delivery(&self, row: DeliveryRow) -> Result<bool, StoreError>;

    /// Forgets a message. Returns false when it is gone already.
    async fn remove_delivery(&self, number: DeliveryNumber) -> Result<bool, StoreError>;

    /// Forgets messages that were given up before `before`. Returns how many.
    async fn expire_deliveries(&self, before: Timestamp) -> Result<u64, StoreError>;

    /// Messages given up, by number, after `after` (exclusive).
    async fn dead_deliveries(
        &self,
        after: Option<DeliveryNumber>,
        limit: usize,
    ) -> Result<Vec<DeliveryRow>, StoreError>;

    /// Packs with dead bodies, by number, and the sum of these bodies in bytes.
    async fn dead_packs(&self) -> Result<Vec<(u32, u64)>, StoreError>;

    /// Dead bodies of the pack of `from` in the order of the log, from there on (inclusive): of archives that were deleted and
    /// that [`purge`](Self::purge), or the deletion of their vault, has forgotten since. An archive that was refused is none.
    async fn dead_bodies(
        &self,
        from: LogPosition,
        limit: usize,
    ) -> Result<Vec<DeadBody>, StoreError>;

    /// Forgets dead bodies by where their records begin: they are not in the log any more. Unknown ones are passed over.
    async fn forget_dead(&self, records: Vec<LogPosition>) -> Result<(), StoreError>;

    /// Counts.
    async fn stat(&self) -> Result<LedgerStat, StoreError>;
}
