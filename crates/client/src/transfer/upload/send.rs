//! One file: opened, compared if need be, sent in one request or in parts.

use std::{fmt, path::Path, sync::Arc};

use bytes::Bytes;
use futures_util::StreamExt;
use icefield_protocol::{
    ArchiveId, ByteRange, TreeHash, UploadId, limits::MAX_SINGLE_UPLOAD_BYTES,
};
use icefield_treehash::Roles;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    FileError, UploadContext, UploadedFile, blocking,
    choose::{renewed, request},
    parts::{Ticket, multipart},
    record::{Done, Settle},
    run::{Run, Trouble},
};
use crate::{
    catalog::{CatalogError, Claim, Claimed, Entry, Kind},
    description::ArchiveNote,
    target::{Body, NewArchive, TargetError},
    transfer::{
        plan::{Plan, plan},
        source::{FileSource, Source, SourceError},
    },
    walk::Item,
};

/// Files up to this size are read whole by the thread that opens them.
const SMALL_BYTES: u64 = 1 << 20;

/// Times that a file may change between being claimed and being opened.
const MAX_OPENINGS: u32 = 3;

/// A file to be sent, or first compared.
pub(super) struct Job {
    pub(super) item: Item,
    /// None in a dry run only.
    pub(super) claim: Option<Claim>,
    /// What is known of it, if its content may still be the same.
    pub(super) compare: Option<Entry>,
    /// Its place among the files in hand, which an archive keeps until it is recorded.
    pub(super) room: Option<OwnedSemaphorePermit>,
}

impl Job {
    pub(super) fn new(item: Item, compare: Option<Entry>) -> Self {
        Self { item, claim: None, compare, room: None }
    }
}

/// An archive, and the number of requests that its bytes went in.
pub(super) struct Sent {
    pub(super) archive: ArchiveId,
    pub(super) tree_hash: TreeHash,
    pub(super) parts: u32,
}

/// A file that is open; small ones have been read.
pub(super) struct Opened {
    pub(super) source: Arc<dyn Source>,
    whole: Option<Bytes>,
}

/// Sends one file. `None` when the run ends: the claim is then left for the next run to adopt.
pub(super) async fn send(run: Arc<Run>, mut job: Job) -> Option<Done> {
    let attempted = tokio::select! {
        biased;
        () = run.halted() => return None,
        attempted = attempt(&run, &mut job) => attempted,
    };
    match attempted {
        Ok(done) => Some(done),
        Err(Trouble::HeldElsewhere) => Some(Done::Held { path: job.item.path }),
        Err(Trouble::Halt(why)) => {
            run.stop(why);
            None
        }
        Err(Trouble::File(error)) => {
            let settle = match settle(&run, &job, &error).await {
                Ok(settle) => settle,
                Err(why) => {
                    run.stop(why.into());
                    return None;
                }
            };
            let Item { path, local, .. } = job.item;
            Some(Done::Failed { path: Some(path), local, error, settle })
        }
    }
}

async fn attempt(run: &Arc<Run>, job: &mut Job) -> Result<Done, Trouble> {
    let started = run.now();
    let opened = open(run, job).await?;
    if let Some(superseded) = job.claim.as_mut().and_then(|claim| claim.superseded.take()) {
        abort(run, &superseded).await;
        run.catalog(move |catalog, run| catalog.upload_aborted(run.vault, &superseded)).await?;
    }
    let size = opened.size();
    let settle_unused = || match &job.claim {
        Some(claim) => Settle::Release(claim.id),
        None => Settle::Nothing,
    };
    if size == 0 {
        return Ok(Done::bare(run, &job.item, settle_unused()));
    }
    if let Some(known) = &job.compare
        && known.known_size().is_none_or(|known| known == size)
        && known.tree_hash == Some(opened.tree_hash(run).await?)
    {
        let is_touched =
            known.mtime != Some(job.item.identity.mtime) || known.mode != Some(job.item.mode);
        let entry = Entry { size, ..renewed(known.clone(), &job.item) };
        return Ok(Done::Known { entry, is_touched, is_untold: false, settle: settle_unused() });
    }
    let planned = plan(size, run.options.part_size, run.limits)
        .map_err(|error| Trouble::File(error.into()))?;
    let Some(claim) = &mut job.claim else {
        return Ok(Done::Would { path: job.item.path.clone(), size });
    };
    let note = ArchiveNote {
        path: job.item.path.clone(),
        mtime: Some(job.item.identity.mtime),
        mode: Some(job.item.mode),
    };
    let (description, is_untold) = run.describe(&note);
    let mut new = NewArchive {
        path: note.path,
        description,
        token: claim.token,
        tree_hash: opened.told_hash(run, planned).await?,
    };
    let mut sent = transmit(run, &opened, planned, claim, &new).await;
    if let Err(Trouble::File(FileError::Target(TargetError::UsedToken))) = sent {
        // The upload has expired; or a dead run has stored the file, and somebody has deleted it before that was noted.
        let id = claim.id;
        new.token = run.catalog(move |catalog, _| catalog.forget_upload(id)).await?;
        claim.forget_upload(new.token);
        sent = transmit(run, &opened, planned, claim, &new).await;
    }
    let sent = sent?;
    let finished = run.now();
    let entry = Entry {
        path: new.path,
        kind: Kind::File,
        size,
        mtime: note.mtime,
        mode: note.mode,
        link_target: None,
        tree_hash: Some(sent.tree_hash),
        archive: Some(sent.archive.clone()),
        uploaded: finished,
        description: new.description.map(String::from),
        manifest: None,
    };
    let file = UploadedFile {
        entry,
        local: Some(job.item.local.clone()),
        vault: run.context.vault.clone(),
        archive: sent.archive,
        tree_hash: sent.tree_hash,
        parts: sent.parts,
        started,
        finished,
    };
    Ok(Done::Stored { file, is_untold, room: job.room.take() })
}

/// Sends the file in one request, or in parts when it is large or was begun so.
async fn transmit(
    run: &Arc<Run>,
    opened: &Opened,
    planned: Plan,
    claim: &mut Claim,
    new: &NewArchive,
) -> Result<Sent, Trouble> {
    if matches!(planned, Plan::Single) && claim.upload.is_none() {
        return single(run, &new.path, opened, new).await;
    }
    let mut ticket = Ticket::of(claim);
    let sent = multipart(run, &new.path, opened, planned, &mut ticket, new).await;
    claim.upload = ticket.upload;
    sent
}

/// Opens the file; one that is no longer what was claimed is claimed again as what it is now.
async fn open(run: &Arc<Run>, job: &mut Job) -> Result<Opened, Trouble> {
    for _ in 0..MAX_OPENINGS {
        let opened = match &run.context.opener {
            Some(opener) => Opened { source: opener.open(&job.item).await?, whole: None },
            None => {
                let path = job.item.local.clone();
                blocking(move || Opened::open(&path)).await?
            }
        };
        if opened.source.identity() == job.item.identity {
            return Ok(opened);
        }
        job.item.identity = opened.source.identity();
        job.item.mode = opened.source.mode();
        let Some(claim) = job.claim.take() else { continue };
        let again = request(&job.item);
        let claimed = run
            .catalog(move |catalog, run| {
                catalog.release(&[claim.id])?;
                catalog.claim(&run.lease, run.vault, &[again], run.now())
            })
            .await?;
        match claimed.into_iter().next() {
            Some(Claimed::Mine(claim)) => job.claim = Some(claim),
            Some(Claimed::HeldElsewhere) | None => return Err(Trouble::HeldElsewhere),
        }
    }
    Err(SourceError::Changed.into())
}

/// Ends what was begun for a file that failed, as far as it cannot be gone on with.
async fn settle(run: &Arc<Run>, job: &Job, error: &FileError) -> Result<Settle, CatalogError> {
    let Some(claim) = &job.claim else { return Ok(Settle::Nothing) };
    match (error, &claim.upload) {
        // Parts of what the file was must not be mixed with what it is.
        (FileError::Source(SourceError::Changed), Some((upload, _))) => {
            abort(run, upload).await;
            Ok(Settle::Drop(claim.id))
        }
        _ => Ok(Settle::Release(claim.id)),
    }
}

/// Aborts an upload; one that is gone is fine, and one that stays is listed by the target until it expires.
pub(super) async fn abort(run: &Run, upload: &UploadId) {
    let UploadContext { target, vault, .. } = &run.context;
    if let Err(error) = target.abort_upload(vault, upload).await
        && !error.is_not_found()
    {
        tracing::warn!(%upload, %error, "an upload could not be aborted");
    }
}

/// Sends a file in one request.
pub(super) async fn single(
    run: &Arc<Run>,
    what: &(dyn fmt::Display + Sync),
    opened: &Opened,
    new: &NewArchive,
) -> Result<Sent, Trouble> {
    debug_assert!(opened.size() <= MAX_SINGLE_UPLOAD_BYTES, "planned as a single request");
    // Small files are bounded by the number of files in hand.
    let _permit = match opened.whole {
        Some(_) => None,
        None => run.bodies.acquire().await.ok(),
    };
    let target = &run.context.target;
    let body = run.metered(opened.body().await?);
    let archived = target.upload_archive(&run.context.vault, new, &body).await;
    let archived = archived.map_err(|error| Run::trouble(&what, error))?;
    if let Some(known) = opened.source.tree_hash().filter(|known| *known != archived.tree_hash) {
        return Err(mismatch(known, archived.tree_hash));
    }
    Ok(Sent { archive: archived.archive, tree_hash: archived.tree_hash, parts: 1 })
}

/// What was sent is not what its source says it is.
pub(super) fn mismatch(known: TreeHash, sent: TreeHash) -> Trouble {
    let what = format!("the tree hash of what came is {sent}, not {known}");
    Trouble::File(FileError::Source(SourceError::Remote(TargetError::Damaged { what })))
}

impl Opened {
    /// Opens a file and reads a small one. Blocking.
    pub(super) fn open(path: &Path) -> Result<Self, SourceError> {
        let source = Arc::new(FileSource::open(path)?);
        let small = ByteRange::whole(source.size()).filter(|range| range.len() <= SMALL_BYTES);
        let whole = small.map(|range| source.read(range)).transpose()?;
        Ok(Self { source, whole })
    }

    pub(super) fn size(&self) -> u64 {
        self.source.identity().size
    }

    /// Returns the whole file as a body.
    async fn body(&self) -> Result<Body, SourceError> {
        match (&self.whole, ByteRange::whole(self.size())) {
            (Some(bytes), _) => Ok(Body::of(vec![bytes.clone()])),
            (None, Some(range)) => Arc::clone(&self.source).body(range).await,
            (None, None) => Ok(Body::of(Vec::new())),
        }
    }

    /// Returns the tree hash of the whole where the target wants to know it before parts are sent.
    pub(super) async fn told_hash(
        &self,
        run: &Run,
        planned: Plan,
    ) -> Result<Option<TreeHash>, Trouble> {
        match planned {
            Plan::Multipart(_) if run.context.target.wants_tree_hash() => {
                self.tree_hash(run).await.map(Some)
            }
            Plan::Multipart(_) | Plan::Single => Ok(None),
        }
    }

    pub(super) async fn tree_hash(&self, run: &Run) -> Result<TreeHash, Trouble> {
        if let Some(known) = self.source.tree_hash() {
            return Ok(known);
        }
        let _permit = match self.whole {
            Some(_) => None,
            None => run.bodies.acquire().await.ok(),
        };
        hash(run, &self.body().await?).await
    }
}

/// Reads bytes without sending them.
pub(super) async fn hash(run: &Run, body: &Body) -> Result<TreeHash, Trouble> {
    let mut hashing = run.context.hashing.start(Roles { linear: false });
    let mut chunks = body.read();
    while let Some(chunk) = chunks.next().await {
        match chunk {
            Ok(bytes) => hashing.submit(bytes).await,
            Err(error) => return Err(Run::trouble(&"", TargetError::Source(error))),
        }
    }
    Ok(hashing.finish().await.tree)
}
