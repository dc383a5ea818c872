//! The ledger in SQLite: `ledger.db`, for one process.
//!
//! ```text
//! change ──> bounded queue ──> writer thread: BEGIN, savepoint each, COMMIT (synced) ──> answers
//! read   ──> one of a few connections, on a blocking thread
//! ```
//!
//! The write-ahead log with full synchronisation makes a commit durable with one sync, and lets readers go on while
//! the writer commits. The SQL of each noun is in its module; a call of the trait is one function there.

mod apply;
mod archive;
mod columns;
mod document;
mod failure;
mod files;
mod job;
mod outbox;
mod purge;
mod readers;
mod schema;
mod staging;
mod state;
#[cfg(test)]
mod tests;
mod upload;
mod vault;
mod writer;

pub(crate) use files::{COMPANIONS, beside, remove_database};

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use icefield_protocol::{AccountId, Timestamp, UploadToken, VaultName};
use rusqlite::Connection;

use self::{failure::Failure, readers::Readers, writer::Writer};
use super::{
    ArchiveQuery, ArchiveRow, DeliveryRow, JobEnd, JobFilter, JobRow, Ledger, LedgerStat, PartRow,
    RetrievalLoad, UploadRow, UploadState, VaultRow,
};
use crate::{
    document::{DocumentChange, DocumentName, DocumentRow},
    entry::{
        ArchiveNumber, DeliveryNumber, Entry, Extent, JobNumber, Outcome, PayloadId, UploadNumber,
        VaultNumber,
    },
    error::StoreError,
    payload::{DeadBody, LogPosition, RecordPlace},
};

/// A ledger in an SQLite file that this process alone writes.
///
/// Dropping it closes it; [`close`](Self::close) does so without blocking a thread of the runtime, and tells of errors.
#[derive(Debug)]
pub struct SqliteLedger {
    path: PathBuf,
    /// Before the writer: the last connection to close removes the write-ahead log, and only one that writes can.
    readers: Readers,
    writer: Arc<Writer>,
}

impl SqliteLedger {
    /// Opens the ledger of the store `store_id` at `path`; with `create` it is made when there is none. Without `store_id`
    /// any store's will do, and a new one becomes that of the next store it is opened for. Blocks.
    ///
    /// # Errors
    ///
    /// `LedgerMissing` when there is none and `create` is false, `NewerFormat` when a newer icefield made it, `NotAStore`
    /// when it is the database of another program, `Damaged` when it is the ledger of another store.
    pub fn open(path: &Path, create: bool, store_id: Option<&str>) -> Result<Self, StoreError> {
        let db = schema::open_writer(path, create, store_id)?;
        let readers = Readers::open(path)?;
        let writer = Writer::start(db)
            .map_err(|source| StoreError::io("starting the thread that writes", path, source))?;
        Ok(Self { path: path.to_path_buf(), readers, writer: writer.into() })
    }

    /// Finishes what was begun and closes the file; afterwards it is complete without a write-ahead log beside it, and every
    /// call answers [`StoreError::Closed`].
    ///
    /// # Errors
    ///
    /// When what was committed could not be moved into the file. It is safe in the write-ahead log then.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.readers.close().await;
        let writer = Arc::clone(&self.writer);
        let closed = tokio::task::spawn_blocking(move || writer.close()).await;
        closed
            .unwrap_or(Err(Failure::Closed))
            .map_err(|failure| failure.while_doing("closing the ledger", &self.path))
    }

    /// Checks the whole file and the counters of the vaults; returns what is wrong with it. Reads everything.
    ///
    /// # Errors
    ///
    /// When the check itself could not be made.
    pub async fn integrity_check(&self) -> Result<Vec<String>, StoreError> {
        let checked = self.readers.read(|db| {
            let mut found: Vec<String> =
                columns::list(db, "PRAGMA integrity_check", [], |mut row| row.get())?;
            found.retain(|line| line != "ok");
            if found.is_empty() {
                found = state::wrong_counters(db)?;
            }
            Ok(found)
        });
        match checked.await {
            // Some damage stops the check itself.
            Err(Failure::Damaged(error)) => Ok(vec![error.to_string()]),
            other => {
                other.map_err(|failure| failure.while_doing("checking the ledger", &self.path))
            }
        }
    }

    /// The last changes of documents after `after`, removed ones included, in byte order of their names.
    pub(crate) async fn document_changes(
        &self,
        after: Option<&DocumentName>,
        limit: usize,
    ) -> Result<Vec<DocumentChange>, StoreError> {
        let after = after.cloned();
        let list = move |db: &Connection| document::changes(db, after.as_ref(), limit);
        self.read("listing changes of documents", list).await
    }

    /// The version of a document's last change, 0 for none, and whether there is a document since.
    pub(crate) async fn last_change(&self, name: &DocumentName) -> Result<(u64, bool), StoreError> {
        let name = name.clone();
        self.read("finding a document", move |db| document::last_change(db, &name)).await
    }

    /// Checks the part of the file that holds documents; returns what is wrong with it.
    pub(crate) async fn check_documents(&self) -> Result<Vec<String>, StoreError> {
        self.read("checking the documents", document::integrity).await
    }

    async fn read<T: Send + 'static>(
        &self,
        doing: &'static str,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let result = self.readers.read(query).await;
        result.map_err(|failure| failure.while_doing(doing, &self.path))
    }

    async fn look_up<T: Send + 'static>(
        &self,
        doing: &'static str,
        statement: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let result = self.readers.look_up(statement).await;
        result.map_err(|failure| failure.while_doing(doing, &self.path))
    }

    async fn write<T: Send + 'static>(
        &self,
        doing: &'static str,
        change: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let result = self.writer.write(change).await;
        result.map_err(|failure| failure.while_doing(doing, &self.path))
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn mark(&self) -> Result<LogPosition, StoreError> {
        self.read("reading the mark", state::mark).await
    }

    async fn apply(
        &self,
        entries: Vec<(Entry, RecordPlace)>,
        mark: LogPosition,
    ) -> Result<Vec<Outcome>, StoreError> {
        self.write("applying the log", move |db| apply::apply(db, entries, mark)).await
    }

    async fn highest_number(&self) -> Result<u64, StoreError> {
        self.read("reading the highest number", state::highest_number).await
    }

    async fn vault(
        &self,
        account: &AccountId,
        name: &VaultName,
    ) -> Result<Option<VaultRow>, StoreError> {
        let (account, name) = (account.clone(), name.clone());
        self.look_up("finding a vault", move |db| vault::by_name(db, &account, &name)).await
    }

    async fn vault_by_number(&self, number: VaultNumber) -> Result<Option<VaultRow>, StoreError> {
        self.look_up("finding a vault", move |db| vault::by_number(db, number)).await
    }

    async fn vaults(
        &self,
        account: &AccountId,
        from: Option<&VaultName>,
        limit: usize,
    ) -> Result<Vec<VaultRow>, StoreError> {
        let (account, from) = (account.clone(), from.cloned());
        let list = move |db: &Connection| vault::of_account(db, &account, from.as_ref(), limit);
        self.read("listing vaults", list).await
    }

    async fn take_inventory(
        &self,
        vault: VaultNumber,
        date: Timestamp,
        interval_millis: u64,
    ) -> Result<Option<VaultRow>, StoreError> {
        let take = move |db: &Connection| vault::take_inventory(db, vault, date, interval_millis);
        self.write("taking an inventory", take).await
    }

    async fn archive(&self, number: ArchiveNumber) -> Result<Option<ArchiveRow>, StoreError> {
        self.look_up("finding an archive", move |db| archive::by_number(db, number)).await
    }

    async fn archive_by_token(
        &self,
        vault: VaultNumber,
        token: UploadToken,
    ) -> Result<Option<ArchiveRow>, StoreError> {
        self.look_up("finding an archive", move |db| archive::by_token(db, vault, token)).await
    }

    async fn archives(&self, query: ArchiveQuery) -> Result<Vec<ArchiveRow>, StoreError> {
        let any = query.limit == 1;
        let list = move |db: &Connection| archive::of_vault(db, query);
        if any {
            self.look_up("finding an archive", list).await
        } else {
            self.read("listing archives", list).await
        }
    }

    async fn extents(&self, number: ArchiveNumber) -> Result<Vec<Extent>, StoreError> {
        self.read("listing the files of an archive", move |db| archive::extents(db, number)).await
    }

    async fn stage(&self, ids: Vec<PayloadId>) -> Result<(), StoreError> {
        let stage = move |db: &Connection| ids.iter().try_for_each(|id| staging::stage(db, *id));
        self.write("reserving payload files", stage).await
    }

    async fn staged(
        &self,
        after: Option<PayloadId>,
        limit: usize,
    ) -> Result<Vec<PayloadId>, StoreError> {
        self.read("listing staged files", move |db| staging::page(db, after, limit)).await
    }

    async fn garbage(&self, ids: Vec<PayloadId>) -> Result<Vec<PayloadId>, StoreError> {
        self.read("telling garbage apart", move |db| staging::garbage(db, ids)).await
    }

    async fn unstage(&self, ids: Vec<PayloadId>) -> Result<(), StoreError> {
        let unstage =
            move |db: &Connection| ids.iter().try_for_each(|id| staging::unstage(db, *id));
        self.write("forgetting staged files", unstage).await
    }

    async fn create_upload(&self, row: UploadRow) -> Result<UploadRow, StoreError> {
        self.write("recording an upload", move |db| upload::create(db, row)).await
    }

    async fn upload_by_token(
        &self,
        vault: VaultNumber,
        token: UploadToken,
    ) -> Result<Option<UploadRow>, StoreError> {
        self.look_up("finding an upload", move |db| upload::by_token(db, vault, token)).await
    }

    async fn count_uploads(&self, vault: VaultNumber, most: usize) -> Result<usize, StoreError> {
        let count = move |db: &Connection| columns::count(db, upload::COUNT, vault, most);
        self.read("counting uploads", count).await
    }

    async fn upload(&self, number: UploadNumber) -> Result<Option<UploadRow>, StoreError> {
        self.look_up("finding an upload", move |db| upload::by_number(db, number)).await
    }

    async fn uploads(
        &self,
        vault: VaultNumber,
        from: Option<UploadNumber>,
        limit: usize,
    ) -> Result<Vec<UploadRow>, StoreError> {
        self.read("listing uploads", move |db| upload::in_progress(db, vault, from, limit)).await
    }

    async fn put_part(
        &self,
        upload: UploadNumber,
        part: PartRow,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        self.write("recording a part", move |db| upload::put_part(db, upload, part, at)).await
    }

    async fn parts(
        &self,
        upload: UploadNumber,
        from: u32,
        limit: usize,
    ) -> Result<Vec<PartRow>, StoreError> {
        self.read("listing parts", move |db| upload::parts(db, upload, from, limit)).await
    }

    async fn abort_upload(
        &self,
        number: UploadNumber,
        at: Timestamp,
    ) -> Result<Option<UploadState>, StoreError> {
        let abort = move |db: &Connection| upload::end(db, number, UploadState::Aborted, at);
        self.write("aborting an upload", abort).await
    }

    async fn expire_uploads(
        &self,
        idle_since: Timestamp,
        ended_before: Timestamp,
    ) -> Result<u64, StoreError> {
        let expire = move |db: &Connection| upload::expire(db, idle_since, ended_before);
        self.write("forgetting old uploads", expire).await
    }

    async fn create_job(&self, row: JobRow) -> Result<(), StoreError> {
        self.write("recording a job", move |db| job::create(db, &row)).await
    }

    async fn job(&self, number: JobNumber) -> Result<Option<JobRow>, StoreError> {
        self.look_up("finding a job", move |db| job::by_number(db, number)).await
    }

    async fn jobs(
        &self,
        vault: VaultNumber,
        filter: JobFilter,
        from: Option<JobNumber>,
        limit: usize,
    ) -> Result<Vec<JobRow>, StoreError> {
        self.read("listing jobs", move |db| job::of_vault(db, vault, filter, from, limit)).await
    }

    async fn count_jobs(&self, vault: VaultNumber, most: usize) -> Result<usize, StoreError> {
        let count = move |db: &Connection| columns::count(db, job::COUNT, vault, most);
        self.read("counting jobs", count).await
    }

    async fn count_inventory_jobs(
        &self,
        vault: VaultNumber,
        most: usize,
    ) -> Result<usize, StoreError> {
        let count = move |db: &Connection| columns::count(db, job::COUNT_INVENTORIES, vault, most);
        self.read("counting jobs", count).await
    }

    async fn due_jobs(&self, now: Timestamp, limit: usize) -> Result<Vec<JobRow>, StoreError> {
        self.read("listing due jobs", move |db| job::due(db, now, limit)).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.look_up("finding the next job", job::next_due).await
    }

    async fn end_job(
        &self,
        number: JobNumber,
        end: JobEnd,
        at: Timestamp,
        deliveries: Vec<DeliveryRow>,
    ) -> Result<bool, StoreError> {
        let end = move |db: &Connection| job::end(db, number, end, at, &deliveries);
        self.write("ending a job", end).await
    }

    async fn expire_jobs(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.write("forgetting old jobs", move |db| job::expire(db, before)).await
    }

    async fn purge(&self, limit: usize) -> Result<u64, StoreError> {
        self.write("purging deleted archives", move |db| purge::purge(db, limit)).await
    }

    async fn retrieval_load(
        &self,
        account: &AccountId,
        hours: u64,
        since: Timestamp,
    ) -> Result<RetrievalLoad, StoreError> {
        let account = account.clone();
        self.read("adding up retrievals", move |db| job::load(db, &account, hours, since)).await
    }

    async fn document(&self, name: &DocumentName) -> Result<Option<DocumentRow>, StoreError> {
        let name = name.clone();
        self.look_up("finding a document", move |db| document::by_name(db, &name)).await
    }

    async fn documents(
        &self,
        prefix: &str,
        after: Option<&DocumentName>,
        limit: usize,
    ) -> Result<Vec<DocumentRow>, StoreError> {
        let (prefix, after) = (prefix.to_owned(), after.cloned());
        let list = move |db: &Connection| document::of_prefix(db, &prefix, after.as_ref(), limit);
        self.read("listing documents", list).await
    }

    async fn enqueue(&self, deliveries: Vec<DeliveryRow>) -> Result<(), StoreError> {
        self.write("recording messages", move |db| outbox::enqueue(db, &deliveries)).await
    }

    async fn due_deliveries(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<DeliveryRow>, StoreError> {
        self.read("listing due messages", move |db| outbox::due(db, now, limit)).await
    }

    async fn next_delivery(&self) -> Result<Option<Timestamp>, StoreError> {
        self.look_up("finding the next message", outbox::next).await
    }

    async fn update_delivery(&self, row: DeliveryRow) -> Result<bool, StoreError> {
        self.write("recording a delivery", move |db| outbox::update(db, &row)).await
    }

    async fn remove_delivery(&self, number: DeliveryNumber) -> Result<bool, StoreError> {
        self.write("forgetting a message", move |db| outbox::remove(db, number)).await
    }

    async fn expire_deliveries(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.write("forgetting old messages", move |db| outbox::expire(db, before)).await
    }

    async fn dead_deliveries(
        &self,
        after: Option<DeliveryNumber>,
        limit: usize,
    ) -> Result<Vec<DeliveryRow>, StoreError> {
        self.read("listing messages given up", move |db| outbox::dead(db, after, limit)).await
    }

    async fn dead_packs(&self) -> Result<Vec<(u32, u64)>, StoreError> {
        self.read("listing packs with dead bodies", staging::dead_packs).await
    }

    async fn dead_bodies(
        &self,
        from: LogPosition,
        limit: usize,
    ) -> Result<Vec<DeadBody>, StoreError> {
        let list = move |db: &Connection| staging::dead_bodies(db, from, limit);
        self.read("listing dead bodies", list).await
    }

    async fn forget_dead(&self, records: Vec<LogPosition>) -> Result<(), StoreError> {
        let forget = move |db: &Connection| staging::forget_dead(db, &records);
        self.write("forgetting dead bodies", forget).await
    }

    async fn stat(&self) -> Result<LedgerStat, StoreError> {
        self.read("counting", state::stat).await
    }
}
