//! What time and deletion take out of the tables in memory.

use icefield_protocol::Timestamp;

use super::Tables;
use crate::ledger::{ArchiveRow, DeliveryRow, JobKind, UploadState};

impl Tables {
    pub(super) fn expire_uploads(&mut self, idle_since: Timestamp, ended_before: Timestamp) -> u64 {
        let expired = self.uploads.extract_if(.., |_, row| match row.state {
            UploadState::InProgress => row.touched < idle_since,
            UploadState::Completed(_) | UploadState::Aborted => row.touched < ended_before,
        });
        let expired: Vec<_> = expired.collect();
        for (number, row) in &expired {
            if row.state == UploadState::InProgress {
                self.stage_parts(*number);
            }
        }
        expired.len() as u64
    }

    pub(super) fn expire_jobs(&mut self, before: Timestamp) -> u64 {
        let ended_before = |end: Option<Timestamp>| end.is_some_and(|end| end < before);
        let expired: Vec<_> =
            self.jobs.extract_if(.., |_, row| ended_before(row.completed)).collect();
        let outputs = expired.iter().filter_map(|(_, row)| row.output);
        self.staged.extend(outputs.map(|output| output.extent.payload));
        expired.len() as u64
    }

    pub(super) fn expire_deliveries(&mut self, before: Timestamp) -> u64 {
        let is_old = |row: &mut DeliveryRow| row.dead && row.next < before;
        self.deliveries.extract_if(.., |_, row| is_old(row)).count() as u64
    }

    pub(super) fn purge(&mut self, limit: usize) -> u64 {
        let deleted = self.deleted.iter().filter_map(|(_, number)| self.archives.get(number));
        let unneeded: Vec<_> =
            deleted.filter(|row| !self.is_needed(row)).take(limit).map(|row| row.number).collect();
        for number in &unneeded {
            self.discard_archive(*number);
        }
        unneeded.len() as u64
    }

    fn is_needed(&self, archive: &ArchiveRow) -> bool {
        let inventory = self.vaults.get(&archive.vault).and_then(|vault| vault.inventory);
        inventory.is_some_and(|inventory| archive.is_shown_at(inventory.writes))
            || self.jobs.values().any(|job| match job.kind {
                JobKind::Archive { archive: number, .. } => number == archive.number,
                JobKind::Inventory { writes, .. } => {
                    job.vault == archive.vault && archive.is_shown_at(writes)
                }
            })
    }
}
