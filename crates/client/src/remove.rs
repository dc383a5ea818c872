//! Deletes archives, by pattern or ID, and whole vaults.
//!
//! Always at the target first and in the catalog second: what is interrupted in between is deleted again by the next
//! run, which a target answers like the first time. Nothing here asks; the command line shows the plan and does.

use std::{collections::HashSet, io, num::NonZeroUsize, sync::Arc};

use futures_util::{StreamExt as _, stream};
use icefield_protocol::{
    ArchiveId, ErrorCode, InventoryError, InventoryItem, InventoryParameters, JobAction, JobId,
    JobRequest, JobStatus, Timestamp, VaultName, read_json,
};

use crate::{
    catalog::{Catalog, CatalogError, Entry, EntryQuery, VaultRef},
    events::{Event, Events},
    path::CatalogPath,
    pattern::{Choice, Pattern},
    retrieval::{blocking, chain},
    target::{Target, TargetError},
};

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
}

/// What would be deleted: all versions of every path that was selected.
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
    /// Its path; `None` when the catalog does not know it.
    pub path: Option<CatalogPath>,
    /// Its size in bytes, if known.
    pub size: Option<u64>,
    /// When it was archived, if known.
    pub uploaded: Option<Timestamp>,
}

impl DeletePlan {
    /// Bytes that would be deleted, as far as known.
    pub fn bytes(&self) -> u64 {
        self.archives.iter().filter_map(|planned| planned.size).sum()
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

/// What became of a purge.
#[derive(Debug, Clone)]
pub enum Purged {
    /// The vault and all in it are gone.
    Done(DeleteReport),
    /// The archives are gone, or some are left, and the vault cannot be deleted yet: run it again later.
    NotReady {
        /// What was deleted so far.
        report: DeleteReport,
        /// Why not yet.
        why: String,
    },
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
        let mut choice = Choice::of(patterns);
        catalog.for_each(vault, &query, &mut |entry: Entry| {
            if choice.matches(&entry.path) {
                plan.add(entry, &mut seen);
            }
            Ok::<(), CatalogError>(())
        })?;
        plan.unmatched = choice.unmatched();
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
        bytes: archives.iter().filter_map(|planned| planned.size).sum(),
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
                    report.bytes += planned.size.unwrap_or(0);
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

/// Plans a purge from what is known here; the vault may hold more, which [`purge`] finds by an inventory. Blocks.
///
/// # Errors
///
/// When the catalog fails.
pub fn plan_purge(catalog: &Catalog, vault: VaultRef) -> Result<DeletePlan, CatalogError> {
    let mut plan = DeletePlan::default();
    let mut seen = HashSet::new();
    let query = EntryQuery { versions: true, as_of: None };
    catalog.for_each(vault, &query, &mut |entry: Entry| {
        if let Some(manifest) = entry.manifest.clone().filter(|id| seen.insert(id.clone())) {
            plan.archives.push(PlannedDelete {
                archive: manifest,
                path: None,
                size: None,
                uploaded: entry.known_uploaded(),
            });
        }
        plan.add(entry, &mut seen);
        Ok::<(), CatalogError>(())
    })?;
    Ok(plan)
}

/// Deletes everything in a vault, and the vault: uploads in progress, archives the catalog knows, archives an inventory
/// lists, the vault itself, and what the catalog knows of it.
///
/// With `no_wait` it does not wait for the inventory job. Interrupted, the same call goes on.
///
/// # Errors
///
/// When the target or the catalog fails for all. Single archives that cannot be deleted make it
/// [`Purged::NotReady`], for example under a vault lock.
pub async fn purge(context: &RemoveContext, no_wait: bool) -> Result<Purged, RemoveError> {
    abort_uploads(context).await?;
    let mut report = DeleteReport::default();
    let (catalog, vault) = (context.catalog.clone(), context.vault);
    let known = blocking(move || plan_purge(&catalog, vault)).await?;
    delete_archives(context, known.archives, &mut report).await?;

    match delete_vault(context).await? {
        Ok(()) => return done(context, report).await,
        Err(why) if !report.failed.is_empty() => return Ok(Purged::NotReady { report, why }),
        // Something is left that the catalog does not know, or the service has not noticed yet.
        Err(_) => {}
    }
    let mut listed_before = earlier_inventory(context).await?;
    loop {
        let earlier = listed_before.take();
        let is_earlier = earlier.is_some();
        let job = match earlier {
            Some(job) => job,
            None => start_inventory(context).await?,
        };
        while !is_done(context, &job).await? {
            if no_wait {
                let why = "the inventory of the vault is not ready".to_owned();
                return Ok(Purged::NotReady { report, why });
            }
            context.target.wait(&context.vault_name, &job).await?;
        }
        let listed = inventory(context, &job).await?;
        delete_archives(context, listed, &mut report).await?;
        match delete_vault(context).await? {
            Ok(()) => return done(context, report).await,
            // What was uploaded after an earlier inventory is in a new one.
            Err(_) if is_earlier => {}
            Err(why) => return Ok(Purged::NotReady { report, why }),
        }
    }
}

async fn done(context: &RemoveContext, report: DeleteReport) -> Result<Purged, RemoveError> {
    let (catalog, vault) = (context.catalog.clone(), context.vault);
    blocking(move || catalog.forget_vault(vault)).await?;
    Ok(Purged::Done(report))
}

async fn abort_uploads(context: &RemoveContext) -> Result<(), RemoveError> {
    let RemoveContext { target, vault_name, .. } = context;
    let mut marker = None;
    loop {
        let page = target.list_uploads(vault_name, marker.as_deref()).await?;
        for upload in page.items {
            match target.abort_upload(vault_name, &upload.upload_id).await {
                Err(error) if !error.is_not_found() => return Err(error.into()),
                Ok(()) | Err(_) => {}
            }
        }
        marker = page.marker;
        if marker.is_none() {
            return Ok(());
        }
    }
}

/// Deletes the vault; answers why not when the service says that it is not empty, or was written to recently.
async fn delete_vault(context: &RemoveContext) -> Result<Result<(), String>, RemoveError> {
    match context.target.delete_vault(&context.vault_name).await {
        Ok(()) => Ok(Ok(())),
        Err(error) if error.is_not_found() => Ok(Ok(())),
        Err(TargetError::Service { code: ErrorCode::InvalidParameterValue, message }) => {
            Ok(Err(message))
        }
        Err(error) => Err(error.into()),
    }
}

/// Finds the newest inventory job of the whole vault that an earlier call, or somebody else, has started.
async fn earlier_inventory(context: &RemoveContext) -> Result<Option<JobId>, RemoveError> {
    let RemoveContext { target, vault_name, .. } = context;
    let mut newest = None;
    let mut marker = None;
    loop {
        let page = target.list_jobs(vault_name, marker.as_deref()).await?;
        let whole = Some(InventoryParameters::default());
        let usable = page.items.into_iter().filter(|job| {
            job.action == JobAction::InventoryRetrieval
                && job.status_code != JobStatus::Failed
                && job.inventory_retrieval_parameters == whole
        });
        newest = usable.map(|job| (job.creation_date, job.job_id)).chain(newest).max();
        marker = page.marker;
        if marker.is_none() {
            return Ok(newest.map(|(_, job)| job));
        }
    }
}

async fn start_inventory(context: &RemoveContext) -> Result<JobId, RemoveError> {
    let parameters = InventoryParameters::default();
    let request = JobRequest::Inventory { parameters, description: None, sns_topic: None };
    Ok(context.target.initiate_job(&context.vault_name, &request).await?)
}

async fn is_done(context: &RemoveContext, job: &JobId) -> Result<bool, RemoveError> {
    let job = context.target.describe_job(&context.vault_name, job).await?;
    match job.status_code {
        JobStatus::InProgress => Ok(false),
        JobStatus::Succeeded => Ok(true),
        JobStatus::Failed => {
            let why = job.status_message.unwrap_or_else(|| "the inventory job failed".to_owned());
            Err(RemoveError::Inventory(io::Error::other(why)))
        }
    }
}

/// Reads the archives that the inventory lists, through a temporary file, so that the document is never held whole.
async fn inventory(
    context: &RemoveContext,
    job: &JobId,
) -> Result<Vec<PlannedDelete>, RemoveError> {
    use io::{Seek as _, Write as _};
    let mut output = context.target.job_output(&context.vault_name, job, None).await?;
    let mut file = tempfile::tempfile().map_err(RemoveError::Inventory)?;
    while let Some(chunk) = output.chunks.next().await {
        let chunk = chunk?;
        let (back, written) = blocking(move || {
            let written = file.write_all(&chunk);
            (file, written)
        })
        .await;
        file = back;
        written.map_err(RemoveError::Inventory)?;
    }
    blocking(move || {
        file.rewind()?;
        let mut listed = Vec::new();
        let read = read_json(file, &mut |item: InventoryItem| {
            listed.push(PlannedDelete {
                archive: item.archive_id,
                path: None,
                size: Some(item.size),
                uploaded: Some(item.created),
            });
            Ok::<(), std::convert::Infallible>(())
        });
        match read {
            Ok(_) => Ok(listed),
            Err(InventoryError::Read { source, .. }) => Err(source),
            Err(error) => Err(io::Error::other(error.to_string())),
        }
    })
    .await
    .map_err(RemoveError::Inventory)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use icefield_protocol::{ArchiveId, Timestamp, UploadId};

    use super::{Purged, RemoveContext, delete, plan_delete, purge};
    use crate::{
        catalog::{Entry, EntryQuery, Kind},
        events::Silent,
        pattern::Pattern,
        retrieval::tests::{Scene, bytes, entry, shelf::tree_hash},
    };

    fn context(scene: &Scene) -> RemoveContext {
        RemoveContext {
            target: Arc::clone(&scene.context.target),
            catalog: scene.context.catalog.clone(),
            vault: scene.context.vault,
            vault_name: scene.context.vault_name.clone(),
            events: Arc::new(Silent),
        }
    }

    fn known(scene: &Scene) -> Vec<String> {
        let mut known = Vec::new();
        let query = EntryQuery { versions: true, as_of: None };
        let (catalog, vault) = (&scene.context.catalog, scene.context.vault);
        catalog
            .for_each(vault, &query, &mut |entry: Entry| {
                known.push(entry.path.to_string());
                Ok::<(), super::CatalogError>(())
            })
            .unwrap();
        known
    }

    #[tokio::test]
    async fn a_pattern_deletes_all_versions_and_what_has_no_bytes() {
        let scene = Scene::new();
        scene.record(&[entry("d", Kind::Folder), entry("d/none", Kind::File)]);
        scene.archived("d/f", "old", bytes(10));
        let mut newer = entry("d/f", Kind::File);
        newer.size = 3;
        newer.tree_hash = Some(tree_hash(b"new"));
        newer.archive = Some(scene.shelf.put("new", "new"));
        newer.uploaded = Timestamp::from_unix_millis(2000);
        scene.record(&[newer]);
        scene.archived("kept", "kept", bytes(5));

        let patterns = [Pattern::parse("d").unwrap()];
        let (catalog, vault) = (&scene.context.catalog, scene.context.vault);
        let plan = plan_delete(catalog, vault, &patterns, &[]).unwrap();
        assert_eq!((plan.archives.len(), plan.bytes(), plan.without_bytes.len()), (2, 13, 2));
        assert_eq!(scene.shelf.state().archives.len(), 3, "a plan deletes nothing");
        let report = delete(&context(&scene), plan).await.unwrap();
        assert_eq!((report.deleted, report.bytes), (2, 13));
        assert_eq!(scene.shelf.state().archives.len(), 1);
        assert_eq!(known(&scene), ["kept"]);
    }

    #[tokio::test]
    async fn no_pattern_and_no_id_deletes_nothing_and_an_unknown_id_is_deleted_at_the_target() {
        let scene = Scene::new();
        scene.archived("f", "f", bytes(10));
        let foreign: ArchiveId = scene.shelf.put("foreign", "x");
        let (catalog, vault) = (&scene.context.catalog, scene.context.vault);
        assert!(plan_delete(catalog, vault, &[], &[]).unwrap().is_empty());
        let plan = plan_delete(catalog, vault, &[], &[foreign.clone(), foreign]).unwrap();
        assert_eq!(plan.archives.len(), 1);
        assert_eq!(delete(&context(&scene), plan).await.unwrap().deleted, 1);
        assert_eq!(known(&scene), ["f"]);
    }

    #[tokio::test]
    async fn a_purge_takes_uploads_known_and_unknown_archives_and_the_vault() {
        let scene = Scene::new();
        scene.archived("f", "f", bytes(10));
        scene.shelf.put("unknown", "nobody recorded me");
        scene.shelf.state().uploads.insert(UploadId::parse("u").unwrap());
        scene.shelf.state().slow = true;
        let waiting = purge(&context(&scene), true).await.unwrap();
        let Purged::NotReady { report, why } = waiting else { panic!("{waiting:?}") };
        assert_eq!(report.deleted, 1);
        assert!(why.contains("inventory"), "{why}");
        let done = purge(&context(&scene), false).await.unwrap();
        let Purged::Done(report) = done else { panic!("{done:?}") };
        assert_eq!(report.deleted, 1);
        let state = scene.shelf.state();
        assert!(state.vault_gone && state.archives.is_empty() && state.uploads.is_empty());
        assert_eq!(state.initiated, 1, "the job of the first try is used");
        assert!(known(&scene).is_empty());
    }

    #[tokio::test]
    async fn a_purge_takes_a_new_inventory_when_an_earlier_one_has_missed_something() {
        let scene = Scene::new();
        scene.shelf.put("early", "x");
        scene.shelf.state().recently_written = true;
        assert!(matches!(purge(&context(&scene), false).await.unwrap(), Purged::NotReady { .. }));
        scene.shelf.put("late", "x");
        scene.shelf.state().recently_written = false;
        // The shelf makes inventories when they are read; this one is of the past.
        scene.shelf.state().inventory_without = Some(ArchiveId::parse("late").unwrap());
        assert!(matches!(purge(&context(&scene), false).await.unwrap(), Purged::Done(_)));
        assert_eq!(scene.shelf.state().initiated, 2);
    }

    #[tokio::test]
    async fn a_purge_is_not_ready_while_the_service_says_recently_written() {
        let scene = Scene::new();
        scene.archived("f", "f", bytes(10));
        scene.shelf.state().recently_written = true;
        let waiting = purge(&context(&scene), false).await.unwrap();
        let Purged::NotReady { why, .. } = waiting else { panic!("{waiting:?}") };
        assert!(why.contains("recently written"), "{why}");
        scene.shelf.state().recently_written = false;
        assert!(matches!(purge(&context(&scene), false).await.unwrap(), Purged::Done(_)));
    }
}
