//! Deletes archives, by pattern or ID, and whole vaults.
//!
//! Always at the target first and in the catalog second: what is interrupted in between is deleted again by the next
//! run, which a target answers like the first time. Nothing here asks; the command line shows the plan and does.

mod purge;

use std::{collections::HashSet, io, num::NonZeroUsize, sync::Arc};

use futures_util::{StreamExt as _, stream};
use icefield_protocol::{ArchiveId, Clock, Timestamp, VaultName};

use crate::{
    catalog::{Catalog, CatalogError, Entry, EntryQuery, ManifestArchive, VaultRef, total},
    events::{Event, Events},
    path::CatalogPath,
    pattern::{Choice, Pattern},
    retrieval::{blocking, chain},
    target::{Target, TargetError},
};

pub use purge::{PurgeReport, Purged, purge};

/// Deletes at a time.
const AT_ONCE: NonZeroUsize = NonZeroUsize::new(32).expect("32 is not 0");

/// Archives whose entries are removed from the catalog in one transaction.
const BATCH: usize = 256;

/// What deleting works with.
#[derive(Debug, Clone)]
pub struct RemoveContext {
    /// Where the vault is.
    pub target: Arc<dyn Target>,
    /// The catalog.
    pub catalog: Catalog,
    /// The vault in the catalog.
    pub vault: VaultRef,
    /// The vault at the target.
    pub vault_name: VaultName,
    /// Told what happens.
    pub events: Arc<dyn Events>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}

/// What would be deleted: all versions of every path that was selected, and with the last path of a vault its manifests.
#[derive(Debug, Clone, Default)]
pub struct DeletePlan {
    /// The archives, each once, with the paths that the catalog has for it.
    pub archives: Vec<PlannedDelete>,
    /// Entries without bytes (folders, links, empty files) that only the catalog forgets.
    pub without_bytes: Vec<CatalogPath>,
    /// The patterns that match nothing, by their place.
    pub unmatched: Vec<usize>,
}

/// An archive that would be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedDelete {
    /// The archive.
    pub archive: ArchiveId,
    /// Its path; `None` for a manifest and when the catalog does not know it.
    pub path: Option<CatalogPath>,
    /// Its size in bytes, if known.
    pub size: Option<u64>,
    /// When it was archived, if known.
    pub uploaded: Option<Timestamp>,
}

impl From<ManifestArchive> for PlannedDelete {
    fn from(manifest: ManifestArchive) -> Self {
        Self {
            archive: manifest.archive,
            path: None,
            size: (manifest.size > 0).then_some(manifest.size),
            uploaded: Some(manifest.created),
        }
    }
}

impl DeletePlan {
    /// Bytes that would be deleted, as far as known.
    pub fn bytes(&self) -> u64 {
        total(self.archives.iter().filter_map(|planned| planned.size))
    }

    /// Whether nothing was selected.
    pub fn is_empty(&self) -> bool {
        self.archives.is_empty() && self.without_bytes.is_empty()
    }
}

/// What was deleted.
#[derive(Debug, Clone, Default)]
pub struct DeleteReport {
    /// Archives that are gone now.
    pub deleted: u64,
    /// Their bytes, as far as known.
    pub bytes: u64,
    /// What could not be deleted, and why.
    pub failed: Vec<(ArchiveId, String)>,
}

/// Deleting had to stop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoveError {
    /// The catalog failed.
    #[error("the catalog failed")]
    Catalog(#[from] CatalogError),
    /// The target failed.
    #[error("the target refused")]
    Target(#[from] TargetError),
    /// The vault's inventory could not be read.
    #[error("the vault's inventory cannot be read")]
    Inventory(#[source] io::Error),
}

/// Plans what `delete` would do; changes nothing. Blocks.
///
/// With archive IDs exactly these are meant, known to the catalog or not, and the patterns are not used.
///
/// # Errors
///
/// When the catalog fails.
pub fn plan_delete(
    catalog: &Catalog,
    vault: VaultRef,
    patterns: &[Pattern],
    archive_ids: &[ArchiveId],
) -> Result<DeletePlan, CatalogError> {
    let mut plan = DeletePlan::default();
    let mut seen = HashSet::new();
    for archive in archive_ids {
        if seen.insert(archive.clone()) {
            let known = catalog.by_archive(vault, archive)?.into_iter().next();
            plan.archives.push(PlannedDelete {
                archive: archive.clone(),
                size: known.as_ref().and_then(Entry::known_size),
                uploaded: known.as_ref().and_then(Entry::known_uploaded),
                path: known.map(|entry| entry.path),
            });
        }
    }
    if archive_ids.is_empty() {
        let query = EntryQuery { versions: true, as_of: None };
        let (mut choice, mut is_any_left) = (Choice::of(patterns), false);
        catalog.for_each(vault, &query, &mut |entry: Entry| {
            if choice.matches(&entry.path) {
                plan.add(entry, &mut seen);
            } else {
                is_any_left = true;
            }
            Ok::<(), CatalogError>(())
        })?;
        plan.unmatched = choice.unmatched();
        if !is_any_left && !plan.is_empty() {
            // They come first: who is interrupted still finds the entries, and plans the same again.
            let manifests = catalog.manifests(vault)?.into_iter().map(PlannedDelete::from);
            plan.archives.splice(..0, manifests);
        }
    }
    plan.without_bytes.dedup();
    Ok(plan)
}

impl DeletePlan {
    fn add(&mut self, entry: Entry, seen: &mut HashSet<ArchiveId>) {
        let (size, uploaded) = (entry.known_size(), entry.known_uploaded());
        match entry.archive {
            Some(archive) if seen.insert(archive.clone()) => {
                let path = Some(entry.path);
                self.archives.push(PlannedDelete { archive, path, size, uploaded });
            }
            Some(_) => {}
            None => self.without_bytes.push(entry.path),
        }
    }
}

/// Carries out a plan.
///
/// # Errors
///
/// When the catalog fails. Archives that the target refuses to delete are in the report, and stay in the catalog.
pub async fn delete(
    context: &RemoveContext,
    plan: DeletePlan,
) -> Result<DeleteReport, RemoveError> {
    let mut report = DeleteReport::default();
    delete_archives(context, plan.archives, &mut report).await?;
    let (catalog, vault) = (context.catalog.clone(), context.vault);
    blocking(move || catalog.remove_without_bytes(vault, &plan.without_bytes)).await?;
    Ok(report)
}

async fn delete_archives(
    context: &RemoveContext,
    archives: Vec<PlannedDelete>,
    report: &mut DeleteReport,
) -> Result<(), RemoveError> {
    context.events.event(Event::Planned {
        files: archives.len() as u64,
        bytes: total(archives.iter().filter_map(|planned| planned.size)),
    });
    let deletes = stream::iter(archives)
        .map(|planned| async move {
            let deleted =
                context.target.delete_archive(&context.vault_name, &planned.archive).await;
            (planned, deleted)
        })
        .buffer_unordered(AT_ONCE.get());
    let mut batches = deletes.ready_chunks(BATCH);
    while let Some(batch) = batches.next().await {
        let mut gone = Vec::new();
        for (planned, deleted) in batch {
            match deleted {
                Ok(()) => {
                    report.deleted += 1;
                    report.bytes = report.bytes.saturating_add(planned.size.unwrap_or(0));
                    gone.push(planned.archive);
                    if let Some(path) = planned.path {
                        context.events.event(Event::FileDone { path, skipped: false });
                    }
                }
                Err(error) => report.failed.push((planned.archive, chain(&error))),
            }
        }
        let (catalog, vault) = (context.catalog.clone(), context.vault);
        blocking(move || catalog.remove_archives(vault, &gone)).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
