//! The rules of the contract that need no tables: every backend answers these questions here, so that none differs.

use icefield_protocol::{JobStatus, PartSize, Timestamp, limits};

use super::{ArchiveRow, JobFilter, Stored, VaultRow};
use crate::{
    entry::{ArchiveEntry, Content, Entry, Extent, UploadNumber},
    payload::RecordPlace,
};

impl VaultRow {
    /// Whether an inventory taken at `date` would be a new one: the interval is over, and there are writes that the last
    /// one does not show.
    pub(crate) fn inventory_is_due(&self, date: Timestamp, interval_millis: u64) -> bool {
        let Some(last) = self.inventory else { return self.writes > 0 };
        let age = u64::try_from(date.unix_millis() - last.date.unix_millis());
        self.writes != last.writes && age.is_ok_and(|age| age >= interval_millis)
    }
}

impl ArchiveRow {
    /// Whether the vault's list shows the archive when its write counter is `writes`.
    pub(crate) fn is_shown_at(&self, writes: u64) -> bool {
        self.created_write <= writes && self.deleted_write.is_none_or(|deleted| deleted > writes)
    }
}

impl JobFilter {
    /// Whether a job in this state is listed.
    pub(crate) fn takes(&self, status: JobStatus) -> bool {
        let completed = status != JobStatus::InProgress;
        self.completed.is_none_or(|wanted| wanted == completed)
            && self.status.is_none_or(|wanted| wanted == status)
    }
}

impl Stored {
    /// Where the bytes of a new archive are. Several files without an upload are filed under the archive's own number,
    /// which is no upload's.
    pub(crate) fn of(entry: &ArchiveEntry, place: RecordPlace) -> Self {
        match &entry.content {
            Content::Here => Self::Record(place),
            Content::Extents(extents) => match extents.as_slice() {
                [only] => Self::File(only.payload),
                _ => Self::Parts(entry.upload.unwrap_or(UploadNumber(entry.number.0))),
            },
        }
    }
}

impl ArchiveEntry {
    /// The archive's payload files.
    pub(crate) fn extents(&self) -> &[Extent] {
        match &self.content {
            Content::Here => &[],
            Content::Extents(extents) => extents,
        }
    }

    /// The part size that the archive's upload must have had: all parts but the last are of one size.
    pub(crate) fn part_size(&self) -> PartSize {
        let first = self.extents().first().map_or(0, |extent| extent.size);
        let bytes = first
            .checked_next_power_of_two()
            .unwrap_or(limits::MAX_PART_SIZE_BYTES)
            .clamp(limits::MIN_PART_SIZE_BYTES, limits::MAX_PART_SIZE_BYTES);
        PartSize::new(bytes).expect("a power of two within the limits is a part size")
    }
}

impl Entry {
    /// The highest number in the entry.
    pub(crate) fn highest_number(&self) -> u64 {
        match self {
            Self::VaultCreated { vault, .. } | Self::VaultDeleted { vault, .. } => vault.0,
            Self::ArchiveCreated(entry) => {
                entry.vault.0.max(entry.number.0).max(entry.upload.map_or(0, |upload| upload.0))
            }
            Self::ArchiveDeleted { vault, number, .. } => vault.0.max(number.0),
            Self::Document(entry) => entry
                .version
                .max(entry.vault.map_or(0, |vault| vault.0))
                .max(entry.after.unwrap_or(0)),
        }
    }
}
