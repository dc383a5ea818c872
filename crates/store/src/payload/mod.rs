//! Payloads: the bytes, and the log that tells what they are.
//!
//! Two shapes. **Payload files** hold exactly one uploaded part (or one larger archive), with the SHA-256 of every MiB
//! beside them. **The log** is a sequence of records in append-only packs; a record is a small JSON text (an
//! [`Entry`]) and, for small archives, the archive's bytes.

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "what tests store is small")]
pub(crate) mod contract;
pub(crate) mod disk;
pub mod memory;

use std::{collections::BTreeSet, fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use icefield_treehash::TreeHash;

use crate::{
    entry::{ArchiveNumber, Entry, PayloadId, VaultNumber},
    error::{Damage, StoreError},
};

/// A place in the log: everything before it, in pack order, has been written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct LogPosition {
    /// Number of the pack, from 1; 0 is before the first.
    pub pack: u32,
    /// Offset in it, in bytes.
    pub offset: u64,
}

/// Where one record lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordPlace {
    /// Where it begins.
    pub at: LogPosition,
    /// Its length in bytes, header and end included.
    pub length: u64,
}

/// A body in the log that nothing needs any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadBody {
    /// Where its record begins.
    pub at: LogPosition,
    /// The archive that it was.
    pub archive: ArchiveNumber,
    /// Its length in bytes.
    pub bytes: u64,
}

/// What has to live as long as something may be written: the lock of a store's folder.
pub type Owned = Arc<dyn fmt::Debug + Send + Sync>;

/// What a survey of a pack has found.
#[derive(Debug, Default)]
pub struct Survey {
    /// Bodies that can be dropped.
    pub droppable: Vec<DeadBody>,
    /// The vaults of all archives that the pack tells of.
    pub vaults: BTreeSet<VaultNumber>,
}

/// Bytes that the system may keep in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cached {
    /// Of the log, from here on, so many.
    Log(RecordPlace),
    /// A payload file and its hashes.
    File(PayloadId),
}

/// A record to be appended.
#[derive(Debug, Clone)]
pub struct NewRecord {
    /// What it tells.
    pub entry: Entry,
    /// The bytes of a small archive; empty for other entries.
    pub body: Bytes,
}

/// A page of a replay.
#[derive(Debug)]
pub struct ReplayPage {
    /// What was met, in order.
    pub items: Vec<Replayed>,
    /// Where the next page begins; after the last one, the end of the log.
    pub next: LogPosition,
    /// Whether the end of the log has been reached.
    pub last: bool,
    /// Where the last bytes end that are no record and may have told of documents: what is not recognised as records of
    /// archives may have.
    pub lost: Option<LogPosition>,
}

/// What a replay meets.
#[derive(Debug)]
pub enum Replayed {
    /// An intact record head (the body is not looked at by a replay).
    Record(Entry, RecordPlace),
    /// Bytes that are no record although intact records follow them, or that end a pack that is not the last.
    Damaged(Damage),
}

/// Durable home of payload bytes and of the log.
///
/// # Contract
///
/// Every backend passes the suite in `payload::contract`. Callers rely on:
///
/// * **Durability.** When [`append`](Self::append) or [`PayloadWriter::finish`] returns `Ok`, bytes and names are synced.
/// * **Order.** Records are replayed in the order in which they were appended; a crash loses only a tail that was never acknowledged.
/// * **Immutability.** The bytes behind an id never change; an id that exists cannot be created again.
/// * **No silent damage.** A read yields the bytes that were stored or an error, never other bytes.
/// * **Fencing.** After a failed sync every later write answers [`StoreError::Fenced`].
/// * **Cancel safety.** Dropping a pending call leaves the store as before or as after it.
#[async_trait]
pub trait Payload: fmt::Debug + Send + Sync + 'static {
    /// Appends records in this order with one sync and tells where they lie. All of them are durable, or an error.
    ///
    /// Called by one task at a time (the committer).
    async fn append(&self, records: Vec<NewRecord>) -> Result<Vec<RecordPlace>, StoreError>;

    /// Reads the next records from `from` on, in order, a bounded number of them. `from` is the beginning of the log, the end
    /// of a record, or where the page before ended.
    ///
    /// A torn tail is the end of a last batch that was never acknowledged: bytes that are no record, with no intact record
    /// after them that was written when they had been synced. When `repair` is true it is cut off and kept aside, and what the
    /// replay returns is durable; otherwise it is reported as damage. A record with an entry that this version does not know is
    /// neither: it is an error, [`StoreError::NewerRecord`]. The first replay of a process must repair, and go from what is known to be acknowledged to the end; later ones
    /// see what was appended before they began.
    async fn replay(&self, from: LogPosition, repair: bool) -> Result<ReplayPage, StoreError>;

    /// Returns the body of the record at `place`, `None` if a compaction has dropped it; every byte of what there is of the
    /// record is verified.
    async fn read_record(&self, place: RecordPlace) -> Result<Option<Bytes>, StoreError>;

    /// Returns the body of the record at `place`; every byte of the record is verified.
    ///
    /// # Errors
    ///
    /// `Damaged`, also for a body that a compaction has dropped.
    async fn read_body(&self, place: RecordPlace) -> Result<Bytes, StoreError> {
        self.read_record(place).await?.ok_or_else(|| {
            let LogPosition { pack, offset } = place.at;
            let what = format!("at byte {offset}: compaction has dropped this deleted archive");
            StoreError::Damaged(Damage { place: format!("pack {pack:08x}"), leaf: None, what })
        })
    }

    /// The packs that nothing is appended to any more, by number, with the bytes that they take. A backend that cannot
    /// rewrite any has none.
    async fn sealed_packs(&self) -> Result<Vec<(u32, u64)>, StoreError> {
        Ok(Vec::new())
    }

    /// Begins to rewrite a sealed pack without `dead` bodies, which are its own and in the order of the log; `None` for any
    /// other pack. Called by one task at a time. `owned` is kept until nothing is written any more, also when this, or what
    /// it returns, was dropped meanwhile.
    async fn rewrite(
        &self,
        _pack: u32,
        _dead: Vec<DeadBody>,
        _owned: Owned,
    ) -> Result<Option<Box<dyn PackRewrite>>, StoreError> {
        Ok(None)
    }

    /// Of these bodies, all of one pack, those that are not in it any more: where their records begin.
    async fn dropped(&self, _bodies: Vec<DeadBody>) -> Result<Vec<LogPosition>, StoreError> {
        Ok(Vec::new())
    }

    /// Says what is wrong with packs beside their records; from the medium if `cold` says so.
    async fn check_packs(&self, _cold: bool) -> Result<Vec<Damage>, StoreError> {
        Ok(Vec::new())
    }

    /// Opens a new payload file for writing. Dropping the writer unfinished leaves a file that a sweep removes.
    async fn create(&self, id: PayloadId) -> Result<Box<dyn PayloadWriter>, StoreError>;

    /// Opens a payload file for reading and checks that its hashes belong to `tree_hash` and its length is `size`.
    ///
    /// # Errors
    ///
    /// `Missing` without the file, `Damaged` when hashes or length do not fit.
    async fn open(
        &self,
        id: PayloadId,
        size: u64,
        tree_hash: TreeHash,
    ) -> Result<Box<dyn PayloadReader>, StoreError>;

    /// Removes payload files, durable on return; those that do not exist are passed over.
    async fn remove(&self, ids: &[PayloadId]) -> Result<(), StoreError>;

    /// Visits the id of every payload file that exists, in no order. Files that are none are reported as damage.
    async fn list(
        &self,
        visit: &mut (dyn FnMut(Result<PayloadId, Damage>) + Send),
    ) -> Result<(), StoreError>;

    /// Asks the system to forget what it keeps in memory, so that the next read is from the medium. Best effort: a backend
    /// without such a memory, or without a way to ask, does nothing.
    async fn forget_cached(&self, _what: Cached) -> Result<(), StoreError> {
        Ok(())
    }

    /// Bytes in packs and in payload files, with their hash files: `(packs, files)`.
    async fn used_bytes(&self) -> Result<(u64, u64), StoreError>;
}

/// A pack being rewritten without bodies that nothing needs: surveyed to the end, then written to the end, then switched.
///
/// # Contract
///
/// * **Places stay.** A record has the same place before and after, and so has the end of the pack.
/// * **All or nothing.** Until [`switch`](Self::switch) nothing is changed for anybody; whatever a crash leaves is the pack
///   as it was, or the new one whole. Reads under way end with the bytes that were stored.
/// * **Damage stays as it is.** A pack that is not intact to the last byte is not rewritten.
///
/// Dropped before its end, it leaves what the next attempt, or the next opening, removes.
#[async_trait]
pub trait PackRewrite: fmt::Debug + Send + Sync {
    /// Reads on, about so many bytes, and verifies them. At the end says what was found, once.
    ///
    /// # Errors
    ///
    /// `Damaged` when something in the pack is, or is not what a dead body's record should be.
    async fn survey(&mut self, budget_bytes: u64) -> Result<Option<Survey>, StoreError>;

    /// Writes on, about so many bytes. True when the new pack is durable and every byte of it was verified.
    async fn write(&mut self, budget_bytes: u64) -> Result<bool, StoreError>;

    /// Puts the new pack in the place of the old one, durable on return. Returns by how much it is shorter.
    async fn switch(self: Box<Self>) -> Result<u64, StoreError>;

    /// Removes what was written.
    async fn abandon(self: Box<Self>) -> Result<(), StoreError>;
}

/// A payload file being written.
#[async_trait]
pub trait PayloadWriter: fmt::Debug + Send {
    /// Appends bytes. May return before they are on disk; an error of theirs comes with a later call.
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError>;

    /// Limits what is kept in memory of the bytes whose [`write`](Self::write) has returned, from now on and about: to the
    /// next MiB, and one buffer more. With 0 each buffer has been written, or has failed, when its `write` returns. A
    /// backend whose medium is the memory does nothing.
    fn keep_at_most(&mut self, _bytes: usize) {}

    /// Makes bytes, hashes and names durable. `leaves` are the SHA-256 of each MiB of what was written.
    async fn finish(self: Box<Self>, leaves: &[TreeHash]) -> Result<(), StoreError>;
}

/// A payload file being read.
#[async_trait]
pub trait PayloadReader: fmt::Debug + Send + Sync {
    /// SHA-256 of each MiB, already checked against the payload's tree hash.
    fn leaves(&self) -> &[TreeHash];

    /// Returns `count` MiBs from number `first` on (the last may be shorter), each verified against its leaf. All of them are
    /// in memory at once, and sooner verified than one by one. Ends with the first error: `Damaged` with the leaf's number
    /// when the bytes are not those that were stored.
    async fn read_leaves(&self, first: u64, count: usize) -> Vec<Result<Bytes, StoreError>>;

    /// Returns MiB number `index` (the last may be shorter), verified against its leaf.
    ///
    /// # Errors
    ///
    /// `Damaged` with the leaf's number when the bytes are not those that were stored.
    async fn read_leaf(&self, index: u64) -> Result<Bytes, StoreError> {
        self.read_leaves(index, 1).await.pop().expect("one MiB was asked for")
    }
}
