//! The ledger in memory: ordered maps behind a lock, gone with the process.
//!
//! Made for `serve --dev` and for tests of what stands above a ledger; it is as complete as any other. Every call takes
//! the lock once, so each is atomic, and none waits for anything while holding it. What a log entry does is in
//! [`apply`], what time and deletion take away in [`expire`]; lists and single rows are read here.

mod apply;
mod expire;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::{Mutex, MutexGuard},
};

use async_trait::async_trait;
use icefield_protocol::{AccountId, JobStatus, Tier, Timestamp, UploadToken, VaultName};

use super::{
    ArchiveQuery, ArchiveRow, DeliveryRow, InventorySnapshot, JobEnd, JobFilter, JobKind, JobRow,
    Ledger, LedgerStat, PartRow, RetrievalLoad, Stored, UploadRow, UploadState, VaultRow,
};
use crate::{
    document::{DocumentName, DocumentRow},
    entry::{
        ArchiveNumber, DeliveryNumber, Entry, Extent, JobNumber, Outcome, PayloadId, UploadNumber,
        VaultNumber,
    },
    error::StoreError,
    payload::{DeadBody, LogPosition, RecordPlace},
};

/// A ledger that lasts as long as the process.
#[derive(Debug, Default)]
pub struct MemoryLedger {
    tables: Mutex<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    mark: LogPosition,
    highest: u64,
    vaults: BTreeMap<VaultNumber, VaultRow>,
    vault_names: BTreeMap<(AccountId, VaultName), VaultNumber>,
    archives: BTreeMap<ArchiveNumber, ArchiveRow>,
    archives_of_vault: BTreeSet<(VaultNumber, ArchiveNumber)>,
    deleted: BTreeSet<(VaultNumber, ArchiveNumber)>,
    /// What each token made, remembered as long as the vault, so that a replay refuses what was refused.
    tokens: BTreeMap<(VaultNumber, UploadToken), ArchiveNumber>,
    /// What each upload became, remembered as long as the vault.
    completed: BTreeMap<(VaultNumber, UploadNumber), ArchiveNumber>,
    uploads: BTreeMap<UploadNumber, UploadRow>,
    parts: BTreeMap<(UploadNumber, u32), Extent>,
    jobs: BTreeMap<JobNumber, JobRow>,
    documents: BTreeMap<DocumentName, DocumentRow>,
    /// Vault and version of their removal, remembered as long as the vault.
    removed_documents: BTreeMap<DocumentName, (Option<VaultNumber>, u64)>,
    deliveries: BTreeMap<DeliveryNumber, DeliveryRow>,
    staged: BTreeSet<PayloadId>,
    /// Archive and length, by where the record begins.
    dead_bodies: BTreeMap<LogPosition, (ArchiveNumber, u64)>,
}

impl MemoryLedger {
    /// Returns an empty ledger.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a body for dead that may not be.
    #[cfg(test)]
    pub(crate) fn add_dead(&self, body: DeadBody) {
        self.tables().dead_bodies.insert(body.at, (body.archive, body.bytes));
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().expect("no change of the tables panics half-way")
    }
}

impl Tables {
    fn used_number(&mut self, number: u64) {
        self.highest = self.highest.max(number);
    }

    fn parts_of(&self, upload: UploadNumber) -> Vec<PartRow> {
        let parts = self.parts.range((upload, 0)..=(upload, u32::MAX));
        parts.map(|(&(_, index), &extent)| PartRow { index, extent }).collect()
    }

    fn stage_parts(&mut self, upload: UploadNumber) {
        for part in self.parts_of(upload) {
            self.parts.remove(&(upload, part.index));
            self.staged.insert(part.extent.payload);
        }
    }

    fn extents(&self, number: ArchiveNumber) -> Vec<Extent> {
        let Some(row) = self.archives.get(&number) else { return Vec::new() };
        match row.stored {
            Stored::Record(_) => Vec::new(),
            Stored::File(payload) => {
                vec![Extent { payload, size: row.size, tree_hash: row.tree_hash }]
            }
            Stored::Parts(upload) => {
                self.parts_of(upload).into_iter().map(|part| part.extent).collect()
            }
        }
    }

    fn owned_files(&self) -> BTreeSet<PayloadId> {
        let of_archives = self.archives.values().filter_map(|row| match row.stored {
            Stored::File(payload) => Some(payload),
            Stored::Record(_) | Stored::Parts(_) => None,
        });
        let of_parts = self.parts.values().map(|extent| extent.payload);
        let outputs = self.jobs.values().filter_map(|row| row.output);
        of_archives.chain(of_parts).chain(outputs.map(|output| output.extent.payload)).collect()
    }

    fn enqueue(&mut self, deliveries: Vec<DeliveryRow>) {
        for row in deliveries {
            self.used_number(row.number.0);
            self.deliveries.entry(row.number).or_insert(row);
        }
    }

    fn load(&self, account: &AccountId, hours: u64, since: Timestamp) -> RetrievalLoad {
        let mut load = RetrievalLoad::default();
        for job in self.jobs.values() {
            let vault = self.vaults.get(&job.vault);
            if let JobKind::Archive { range, tier: Tier::Standard, .. } = job.kind
                && vault.is_some_and(|vault| vault.account == *account)
            {
                if job.status == JobStatus::InProgress {
                    load.add_running(range, hours);
                }
                if job.created >= since {
                    load.add_since(range);
                }
            }
        }
        load
    }

    fn upload_by_token(&self, vault: VaultNumber, token: UploadToken) -> Option<&UploadRow> {
        self.uploads.values().find(|row| row.vault == vault && row.token == Some(token))
    }
}

fn after<T>(key: Option<T>, first: T) -> Bound<T> {
    key.map_or(Bound::Included(first), Bound::Excluded)
}

#[async_trait]
impl Ledger for MemoryLedger {
    async fn mark(&self) -> Result<LogPosition, StoreError> {
        Ok(self.tables().mark)
    }

    async fn apply(
        &self,
        entries: Vec<(Entry, RecordPlace)>,
        mark: LogPosition,
    ) -> Result<Vec<Outcome>, StoreError> {
        let mut tables = self.tables();
        let outcomes = entries.into_iter().map(|(entry, place)| tables.apply(entry, place));
        let outcomes = outcomes.collect();
        tables.mark = mark;
        Ok(outcomes)
    }

    async fn highest_number(&self) -> Result<u64, StoreError> {
        Ok(self.tables().highest)
    }

    async fn vault(
        &self,
        account: &AccountId,
        name: &VaultName,
    ) -> Result<Option<VaultRow>, StoreError> {
        let tables = self.tables();
        let number = tables.vault_names.get(&(account.clone(), name.clone()));
        Ok(number.and_then(|number| tables.vaults.get(number)).cloned())
    }

    async fn vault_by_number(&self, number: VaultNumber) -> Result<Option<VaultRow>, StoreError> {
        Ok(self.tables().vaults.get(&number).cloned())
    }

    async fn vaults(
        &self,
        account: &AccountId,
        from: Option<&VaultName>,
        limit: usize,
    ) -> Result<Vec<VaultRow>, StoreError> {
        let tables = self.tables();
        let of_account = tables.vaults.values().filter(|row| row.account == *account);
        let mut rows: Vec<_> =
            of_account.filter(|row| from.is_none_or(|from| row.name >= *from)).cloned().collect();
        rows.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        rows.truncate(limit);
        Ok(rows)
    }

    async fn take_inventory(
        &self,
        vault: VaultNumber,
        date: Timestamp,
        interval_millis: u64,
    ) -> Result<Option<VaultRow>, StoreError> {
        let mut tables = self.tables();
        let Some(row) = tables.vaults.get_mut(&vault) else { return Ok(None) };
        if row.inventory_is_due(date, interval_millis) {
            row.inventory = Some(InventorySnapshot {
                date,
                writes: row.writes,
                archives: row.archives,
                bytes: row.bytes,
            });
        }
        Ok(Some(row.clone()))
    }

    async fn archive(&self, number: ArchiveNumber) -> Result<Option<ArchiveRow>, StoreError> {
        Ok(self.tables().archives.get(&number).cloned())
    }

    async fn archive_by_token(
        &self,
        vault: VaultNumber,
        token: UploadToken,
    ) -> Result<Option<ArchiveRow>, StoreError> {
        let tables = self.tables();
        let number = tables.tokens.get(&(vault, token));
        Ok(number.and_then(|number| tables.archives.get(number)).cloned())
    }

    async fn archives(&self, query: ArchiveQuery) -> Result<Vec<ArchiveRow>, StoreError> {
        let tables = self.tables();
        let first =
            after(query.after.map(|number| (query.vault, number)), (query.vault, ArchiveNumber(0)));
        let keys = tables.archives_of_vault.range((first, Bound::Unbounded));
        let rows = keys
            .take_while(|(vault, _)| *vault == query.vault)
            .filter_map(|(_, number)| tables.archives.get(number))
            .filter(|row| row.is_shown_at(query.writes))
            .filter(|row| query.start.is_none_or(|start| row.created >= start))
            .filter(|row| query.end.is_none_or(|end| row.created < end));
        Ok(rows.take(query.limit).cloned().collect())
    }

    async fn extents(&self, number: ArchiveNumber) -> Result<Vec<Extent>, StoreError> {
        Ok(self.tables().extents(number))
    }

    async fn stage(&self, ids: Vec<PayloadId>) -> Result<(), StoreError> {
        self.tables().staged.extend(ids);
        Ok(())
    }

    async fn staged(
        &self,
        after_id: Option<PayloadId>,
        limit: usize,
    ) -> Result<Vec<PayloadId>, StoreError> {
        let first = after(after_id, PayloadId::from_bytes([0; 16]));
        let tables = self.tables();
        Ok(tables.staged.range((first, Bound::Unbounded)).take(limit).copied().collect())
    }

    async fn garbage(&self, mut ids: Vec<PayloadId>) -> Result<Vec<PayloadId>, StoreError> {
        let tables = self.tables();
        ids.retain(|id| tables.staged.contains(id));
        if !ids.is_empty() {
            let owned = tables.owned_files();
            ids.retain(|id| !owned.contains(id));
        }
        Ok(ids)
    }

    async fn unstage(&self, ids: Vec<PayloadId>) -> Result<(), StoreError> {
        let mut tables = self.tables();
        for id in ids {
            tables.staged.remove(&id);
        }
        Ok(())
    }

    async fn create_upload(&self, row: UploadRow) -> Result<UploadRow, StoreError> {
        let mut tables = self.tables();
        let same_token = row.token.and_then(|token| tables.upload_by_token(row.vault, token));
        if let Some(first) = same_token.or_else(|| tables.uploads.get(&row.number)) {
            return Ok(first.clone());
        }
        tables.used_number(row.number.0);
        tables.uploads.insert(row.number, row.clone());
        Ok(row)
    }

    async fn upload_by_token(
        &self,
        vault: VaultNumber,
        token: UploadToken,
    ) -> Result<Option<UploadRow>, StoreError> {
        Ok(self.tables().upload_by_token(vault, token).cloned())
    }

    async fn count_uploads(&self, vault: VaultNumber, most: usize) -> Result<usize, StoreError> {
        Ok(self.uploads(vault, None, most).await?.len())
    }

    async fn upload(&self, number: UploadNumber) -> Result<Option<UploadRow>, StoreError> {
        Ok(self.tables().uploads.get(&number).cloned())
    }

    async fn uploads(
        &self,
        vault: VaultNumber,
        from: Option<UploadNumber>,
        limit: usize,
    ) -> Result<Vec<UploadRow>, StoreError> {
        let tables = self.tables();
        let rows = tables.uploads.range(from.unwrap_or(UploadNumber(0))..).map(|(_, row)| row);
        let rows = rows.filter(|row| row.vault == vault && row.state == UploadState::InProgress);
        Ok(rows.take(limit).cloned().collect())
    }

    async fn put_part(
        &self,
        upload: UploadNumber,
        part: PartRow,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tables = self.tables();
        let Some(row) = tables.uploads.get_mut(&upload) else { return Ok(false) };
        if row.state != UploadState::InProgress {
            return Ok(false);
        }
        row.touched = at;
        if let Some(replaced) = tables.parts.insert((upload, part.index), part.extent) {
            tables.staged.insert(replaced.payload);
        }
        tables.staged.remove(&part.extent.payload);
        Ok(true)
    }

    async fn parts(
        &self,
        upload: UploadNumber,
        from: u32,
        limit: usize,
    ) -> Result<Vec<PartRow>, StoreError> {
        let tables = self.tables();
        let parts = tables.parts.range((upload, from)..=(upload, u32::MAX)).take(limit);
        Ok(parts.map(|(&(_, index), &extent)| PartRow { index, extent }).collect())
    }

    async fn abort_upload(
        &self,
        number: UploadNumber,
        at: Timestamp,
    ) -> Result<Option<UploadState>, StoreError> {
        let mut tables = self.tables();
        let Some(row) = tables.uploads.get_mut(&number) else { return Ok(None) };
        let before = row.state;
        if before == UploadState::InProgress {
            row.state = UploadState::Aborted;
            row.touched = at;
            tables.stage_parts(number);
        }
        Ok(Some(before))
    }

    async fn expire_uploads(
        &self,
        idle_since: Timestamp,
        ended_before: Timestamp,
    ) -> Result<u64, StoreError> {
        Ok(self.tables().expire_uploads(idle_since, ended_before))
    }

    async fn create_job(&self, row: JobRow) -> Result<(), StoreError> {
        let mut tables = self.tables();
        tables.used_number(row.number.0);
        tables.jobs.entry(row.number).or_insert(row);
        Ok(())
    }

    async fn job(&self, number: JobNumber) -> Result<Option<JobRow>, StoreError> {
        Ok(self.tables().jobs.get(&number).cloned())
    }

    async fn jobs(
        &self,
        vault: VaultNumber,
        filter: JobFilter,
        from: Option<JobNumber>,
        limit: usize,
    ) -> Result<Vec<JobRow>, StoreError> {
        let tables = self.tables();
        let rows = tables.jobs.range(from.unwrap_or(JobNumber(0))..).map(|(_, row)| row);
        let rows = rows.filter(|row| row.vault == vault && filter.takes(row.status));
        Ok(rows.take(limit).cloned().collect())
    }

    async fn count_jobs(&self, vault: VaultNumber, most: usize) -> Result<usize, StoreError> {
        let tables = self.tables();
        Ok(tables.jobs.values().filter(|row| row.vault == vault).take(most).count())
    }

    async fn count_inventory_jobs(
        &self,
        vault: VaultNumber,
        most: usize,
    ) -> Result<usize, StoreError> {
        let tables = self.tables();
        let of_vault = tables.jobs.values().filter(|row| row.vault == vault);
        let inventories = of_vault.filter(|row| matches!(row.kind, JobKind::Inventory { .. }));
        Ok(inventories.take(most).count())
    }

    async fn due_jobs(&self, now: Timestamp, limit: usize) -> Result<Vec<JobRow>, StoreError> {
        let tables = self.tables();
        let running = tables.jobs.values().filter(|row| row.status == JobStatus::InProgress);
        let mut due: Vec<_> = running.filter(|row| row.due <= now).collect();
        due.sort_by_key(|row| (row.due, row.number));
        Ok(due.into_iter().take(limit).cloned().collect())
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let tables = self.tables();
        let running = tables.jobs.values().filter(|row| row.status == JobStatus::InProgress);
        Ok(running.map(|row| row.due).min())
    }

    async fn end_job(
        &self,
        number: JobNumber,
        end: JobEnd,
        at: Timestamp,
        deliveries: Vec<DeliveryRow>,
    ) -> Result<bool, StoreError> {
        let mut tables = self.tables();
        let Some(row) = tables.jobs.get_mut(&number) else { return Ok(false) };
        if row.status != JobStatus::InProgress {
            return Ok(false);
        }
        row.completed = Some(at);
        match end {
            JobEnd::Succeeded(output) => {
                row.status = JobStatus::Succeeded;
                row.output = output;
                if let Some(output) = output {
                    tables.staged.remove(&output.extent.payload);
                }
            }
            JobEnd::Failed(reason) => {
                row.status = JobStatus::Failed;
                row.message = Some(reason);
            }
        }
        tables.enqueue(deliveries);
        Ok(true)
    }

    async fn expire_jobs(&self, before: Timestamp) -> Result<u64, StoreError> {
        Ok(self.tables().expire_jobs(before))
    }

    async fn purge(&self, limit: usize) -> Result<u64, StoreError> {
        Ok(self.tables().purge(limit))
    }

    async fn retrieval_load(
        &self,
        account: &AccountId,
        hours: u64,
        since: Timestamp,
    ) -> Result<RetrievalLoad, StoreError> {
        Ok(self.tables().load(account, hours, since))
    }

    async fn document(&self, name: &DocumentName) -> Result<Option<DocumentRow>, StoreError> {
        Ok(self.tables().documents.get(name).cloned())
    }

    async fn documents(
        &self,
        prefix: &str,
        after: Option<&DocumentName>,
        limit: usize,
    ) -> Result<Vec<DocumentRow>, StoreError> {
        let tables = self.tables();
        let rows =
            tables.documents.iter().filter(|(name, _)| after.is_none_or(|after| *name > after));
        let rows = rows.filter(|(name, _)| name.as_str().starts_with(prefix));
        Ok(rows.take(limit).map(|(_, row)| row.clone()).collect())
    }

    async fn enqueue(&self, deliveries: Vec<DeliveryRow>) -> Result<(), StoreError> {
        self.tables().enqueue(deliveries);
        Ok(())
    }

    async fn due_deliveries(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<DeliveryRow>, StoreError> {
        let tables = self.tables();
        let waiting = tables.deliveries.values().filter(|row| !row.dead);
        let mut due: Vec<_> = waiting.filter(|row| row.next <= now).collect();
        due.sort_by_key(|row| (row.next, row.number));
        Ok(due.into_iter().take(limit).cloned().collect())
    }

    async fn next_delivery(&self) -> Result<Option<Timestamp>, StoreError> {
        let tables = self.tables();
        Ok(tables.deliveries.values().filter(|row| !row.dead).map(|row| row.next).min())
    }

    async fn update_delivery(&self, row: DeliveryRow) -> Result<bool, StoreError> {
        let mut tables = self.tables();
        let Some(found) = tables.deliveries.get_mut(&row.number) else { return Ok(false) };
        *found = row;
        Ok(true)
    }

    async fn remove_delivery(&self, number: DeliveryNumber) -> Result<bool, StoreError> {
        Ok(self.tables().deliveries.remove(&number).is_some())
    }

    async fn expire_deliveries(&self, before: Timestamp) -> Result<u64, StoreError> {
        Ok(self.tables().expire_deliveries(before))
    }

    async fn dead_deliveries(
        &self,
        after_number: Option<DeliveryNumber>,
        limit: usize,
    ) -> Result<Vec<DeliveryRow>, StoreError> {
        let tables = self.tables();
        let first = after(after_number, DeliveryNumber(0));
        let rows = tables.deliveries.range((first, Bound::Unbounded)).map(|(_, row)| row);
        Ok(rows.filter(|row| row.dead).take(limit).cloned().collect())
    }

    async fn dead_packs(&self) -> Result<Vec<(u32, u64)>, StoreError> {
        let mut packs = BTreeMap::<u32, u64>::new();
        for (at, (_, bytes)) in &self.tables().dead_bodies {
            *packs.entry(at.pack).or_default() += bytes;
        }
        Ok(packs.into_iter().collect())
    }

    async fn dead_bodies(
        &self,
        from: LogPosition,
        limit: usize,
    ) -> Result<Vec<DeadBody>, StoreError> {
        let tables = self.tables();
        let end = LogPosition { pack: from.pack, offset: u64::MAX };
        let bodies = tables.dead_bodies.range(from..=end).take(limit);
        let body = |(at, (archive, bytes)): (&LogPosition, &(ArchiveNumber, u64))| DeadBody {
            at: *at,
            archive: *archive,
            bytes: *bytes,
        };
        Ok(bodies.map(body).collect())
    }

    async fn forget_dead(&self, records: Vec<LogPosition>) -> Result<(), StoreError> {
        let mut tables = self.tables();
        for at in &records {
            tables.dead_bodies.remove(at);
        }
        Ok(())
    }

    async fn stat(&self) -> Result<LedgerStat, StoreError> {
        let tables = self.tables();
        let running =
            tables.uploads.values().filter(|row| row.state == UploadState::InProgress).count();
        let running_jobs =
            tables.jobs.values().filter(|job| job.status == JobStatus::InProgress).count();
        Ok(LedgerStat {
            vaults: tables.vaults.len() as u64,
            archives: tables.vaults.values().map(|row| row.archives).sum(),
            bytes: tables.vaults.values().map(|row| row.bytes).sum(),
            uploads: running as u64,
            jobs: tables.jobs.len() as u64,
            jobs_in_progress: running_jobs as u64,
            staged: tables.staged.len() as u64,
            dead_bytes: tables.dead_bodies.values().map(|(_, bytes)| bytes).sum(),
            documents: tables.documents.len() as u64,
            deliveries: tables.deliveries.values().filter(|row| !row.dead).count() as u64,
            dead_deliveries: tables.deliveries.values().filter(|row| row.dead).count() as u64,
        })
    }
}
