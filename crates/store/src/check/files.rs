//! Payload files: every MiB of those that the ledger owns, and no others.

use std::{ops::Range, pin::pin};

use futures_util::{Stream, StreamExt, stream};
use icefield_treehash::TreeHash;

use super::{CheckReport, HitArchive, Progress, Standing, dropped_alive};
use crate::{
    entry::{
        ArchiveEntry, ArchiveNumber, Content, Entry, Extent, JobNumber, PayloadId, UploadNumber,
        VaultNumber,
    },
    error::{Damage, StoreError},
    ledger::JobFilter,
    payload::{Payload, PayloadReader, RecordPlace},
    store::{Store, is_staged},
};

/// MiB of a file read ahead.
const LEAVES_AHEAD: usize = 4;
/// Rows asked for at a time.
const PAGE: usize = 1000;

/// The ids on the disk and the ids that somebody owns.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// Listed before anything was asked of the ledger; sorted.
    on_disk: Vec<PayloadId>,
    owned: Vec<PayloadId>,
    /// Named by a record of an archive that the ledger does not have.
    unlisted: Vec<PayloadId>,
    /// Named by a record that was refused.
    refused: Vec<PayloadId>,
    /// Not there, of archives that wait to be applied and may be deleted further on in the log.
    absent: Vec<(ArchiveNumber, HitArchive, PayloadId)>,
    /// Whose body was dropped, although the ledger does not know of a deletion; it may be further on in the log.
    dropped: Vec<(ArchiveNumber, HitArchive, RecordPlace)>,
}

impl Files {
    pub(super) async fn list(store: &Store, report: &mut CheckReport) -> Result<Self, StoreError> {
        let mut on_disk = Vec::new();
        let visit = &mut |found| match found {
            Ok(id) => on_disk.push(id),
            Err(damage) => report.problem(damage, None),
        };
        store.payload().list(visit).await?;
        on_disk.sort_unstable();
        Ok(Self { on_disk, ..Self::default() })
    }

    /// Reads the files of an archive that the ledger still has, or does not have yet. Those of a deleted one may be gone.
    pub(super) async fn check_archive(
        &mut self,
        store: &Store,
        archive: &ArchiveEntry,
        standing: Standing,
        report: &mut CheckReport,
        progress: Progress<'_>,
    ) -> Result<(), StoreError> {
        let Content::Extents(extents) = &archive.content else { return Ok(()) };
        let ids = extents.iter().map(|extent| extent.payload);
        let row = store.ledger().archive(archive.number).await?;
        if row.is_none() && (standing != Standing::Waiting || store.is_writable()) {
            if standing == Standing::Refused {
                self.refused.extend(ids);
            } else {
                self.unlisted.extend(ids);
            }
            return Ok(());
        }
        let is_waiting = row.is_none();
        let is_deleted = row.is_some_and(|row| row.deleted_write.is_some());
        self.owned.extend(ids);
        let hit = || Some(HitArchive::from(archive));
        let size: u64 = extents.iter().map(|extent| extent.size).sum();
        let tree_hash = TreeHash::combine(extents.iter().map(|extent| extent.tree_hash));
        if (size, tree_hash) != (archive.size, archive.tree_hash) {
            let what = "sizes or tree hashes of its files do not add up to its own".to_owned();
            report.problem(Damage { place: "packs".to_owned(), leaf: None, what }, hit());
        }
        for extent in extents {
            match read_file(&**store.payload(), extent, &hit, report, progress).await {
                Err(StoreError::Missing(_)) if is_deleted => {}
                Err(StoreError::Missing(id)) if is_waiting => {
                    self.absent.push((archive.number, HitArchive::from(archive), id));
                }
                Err(error) => report.failed("payload", error, hit())?,
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// Compaction has dropped the body of a record.
    pub(super) async fn dropped(
        &mut self,
        store: &Store,
        entry: &Entry,
        place: RecordPlace,
    ) -> Result<(), StoreError> {
        let Entry::ArchiveCreated(archive) = entry else { return Ok(()) };
        let row = store.ledger().archive(archive.number).await?;
        if row.is_some_and(|row| row.deleted_write.is_none()) {
            self.dropped.push((archive.number, HitArchive::from(archive), place));
        }
        Ok(())
    }

    /// The log tells of the deletion of an archive.
    pub(super) fn deleted(&mut self, archive: ArchiveNumber) {
        self.absent.retain(|(number, ..)| *number != archive);
        self.dropped.retain(|(number, ..)| *number != archive);
    }

    /// Reads the parts of a vault's unfinished uploads, and the outputs of its jobs.
    pub(super) async fn check_vault(
        &mut self,
        store: &Store,
        vault: VaultNumber,
        report: &mut CheckReport,
        progress: Progress<'_>,
    ) -> Result<(), StoreError> {
        let ledger = store.ledger();
        let mut from = None;
        loop {
            let uploads = ledger.uploads(vault, from, PAGE).await?;
            for upload in &uploads {
                let mut index = 0;
                loop {
                    let parts = ledger.parts(upload.number, index, PAGE).await?;
                    for part in &parts {
                        self.check_owned(store, &part.extent, report, progress).await?;
                    }
                    let Some(last) = parts.last() else { break };
                    index = last.index + 1;
                }
            }
            let Some(last) = uploads.last() else { break };
            from = Some(UploadNumber(last.number.0 + 1));
        }
        let mut from = None;
        loop {
            let jobs = ledger.jobs(vault, JobFilter::default(), from, PAGE).await?;
            for output in jobs.iter().filter_map(|job| job.output) {
                self.check_owned(store, &output.extent, report, progress).await?;
            }
            let Some(last) = jobs.last() else { return Ok(()) };
            from = Some(JobNumber(last.number.0 + 1));
        }
    }

    async fn check_owned(
        &mut self,
        store: &Store,
        extent: &Extent,
        report: &mut CheckReport,
        progress: Progress<'_>,
    ) -> Result<(), StoreError> {
        self.owned.push(extent.payload);
        match read_file(&**store.payload(), extent, &|| None, report, progress).await {
            Ok(()) => Ok(()),
            Err(error) => report.failed("payload", error, None),
        }
    }

    /// Names files that are not there, and those that nobody owns and that are not waiting for a sweep.
    pub(super) async fn check_strays(
        mut self,
        store: &Store,
        report: &mut CheckReport,
    ) -> Result<(), StoreError> {
        for (_, hit, place) in self.dropped {
            report.problem(dropped_alive(place), Some(hit));
        }
        for (_, hit, id) in self.absent {
            report.failed("payload", StoreError::Missing(id), Some(hit))?;
        }
        self.owned.sort_unstable();
        self.unlisted.sort_unstable();
        self.refused.sort_unstable();
        for id in self.on_disk {
            if self.owned.binary_search(&id).is_ok() || is_staged(&**store.ledger(), id).await? {
                continue;
            }
            let what = if self.unlisted.binary_search(&id).is_ok() {
                "belongs to an archive that the ledger does not have: run `icefield store rebuild`"
            } else if self.refused.binary_search(&id).is_ok() {
                "extra file: only a record that was refused names it"
            } else {
                "extra file: no record, upload or job names it"
            };
            report.found(&format!("payload/{:02x}/{id}", id.as_bytes()[0]), what);
        }
        Ok(())
    }
}

/// Reads a payload file to its end; damage of single MiB is reported, and the rest read.
async fn read_file(
    payload: &dyn Payload,
    extent: &Extent,
    hit: &(dyn Fn() -> Option<HitArchive> + Sync),
    report: &mut CheckReport,
    progress: Progress<'_>,
) -> Result<(), StoreError> {
    let reader = payload.open(extent.payload, extent.size, extent.tree_hash).await?;
    report.checked.files += 1;
    let mut leaves = pin!(read_leaves(&*reader, 0..reader.leaves().len() as u64));
    while let Some(leaf) = leaves.next().await {
        match leaf {
            Ok(bytes) => report.checked.bytes += bytes,
            Err(error) => report.failed("payload", error, hit())?,
        }
        progress(report.checked);
    }
    Ok(())
}

/// Reads and verifies MiB of a file; yields their lengths.
pub(crate) fn read_leaves(
    reader: &dyn PayloadReader,
    leaves: Range<u64>,
) -> impl Stream<Item = Result<u64, StoreError>> {
    stream::iter(leaves)
        .map(async |index| Ok(reader.read_leaf(index).await?.len() as u64))
        .buffered(LEAVES_AHEAD)
}
