//! What is done is recorded in batches, one transaction for all that finished meanwhile, and then told.

use std::{fmt, io, path::PathBuf, sync::Arc};

use icefield_protocol::{ArchiveId, Timestamp, TreeHash, UploadToken};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::{
    FileError, Outcome, UploadError, UploadedFile, blocking,
    parts::{Ticket, multipart},
    run::{Run, Trouble},
    send::{Opened, Sent, single},
    spool::{Spool, read_back},
    stream::random_token,
};
use crate::{
    catalog::{CatalogError, Entry, FileTime, ManifestArchive},
    description::encode_manifest,
    events::Event,
    manifest,
    path::CatalogPath,
    target::{NewArchive, TargetError},
    transfer::plan::{Plan, plan},
    walk::Item,
};

/// Things that are recorded in one transaction.
const BATCH: usize = 256;

/// Something that is settled and has to be recorded and told.
pub(super) enum Done {
    /// An archive.
    Stored {
        file: UploadedFile,
        is_untold: bool,
        /// Kept until it is recorded, so that a run that dies has forgotten no more archives than it had in hand.
        room: Option<OwnedSemaphorePermit>,
    },
    /// Nothing to send: content that is in the vault already.
    Known {
        entry: Entry,
        is_touched: bool,
        is_untold: bool,
        settle: Settle,
    },
    /// Something without bytes, for the manifest; what is new needs one.
    Bare {
        entry: Entry,
        is_new: bool,
        settle: Settle,
    },
    /// What a dry run would send.
    Would {
        path: CatalogPath,
        size: u64,
    },
    LeftOut {
        path: CatalogPath,
        why: String,
    },
    /// Another run is uploading it.
    Held {
        path: CatalogPath,
    },
    Failed {
        path: Option<CatalogPath>,
        local: PathBuf,
        error: FileError,
        settle: Settle,
    },
    Remark(String),
}

/// What becomes of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settle {
    Nothing,
    /// It was not used up; an upload that was begun stays to be gone on with.
    Release(i64),
    /// Its upload was aborted.
    Drop(i64),
}

impl Done {
    /// Something new without bytes.
    pub(super) fn bare(run: &Run, item: &Item, settle: Settle) -> Self {
        let entry = Entry {
            path: item.path.clone(),
            kind: item.kind,
            size: 0,
            mtime: Some(item.identity.mtime),
            mode: Some(item.mode),
            link_target: item.link_target.clone(),
            tree_hash: None,
            archive: None,
            uploaded: run.now(),
            description: None,
            manifest: None,
        };
        Self::Bare { entry, is_new: true, settle }
    }

    fn settle(&self) -> Settle {
        match self {
            Self::Known { settle, .. }
            | Self::Bare { settle, .. }
            | Self::Failed { settle, .. } => *settle,
            Self::Stored { .. }
            | Self::Would { .. }
            | Self::LeftOut { .. }
            | Self::Held { .. }
            | Self::Remark(_) => Settle::Nothing,
        }
    }

    /// The entry that the manifest has to tell.
    fn for_manifest(&self) -> Option<(&Entry, bool)> {
        match self {
            Self::Stored { file, is_untold: true, .. } => Some((&file.entry, true)),
            Self::Known { entry, is_untold: true, .. } => Some((entry, true)),
            Self::Bare { entry, is_new, .. } => Some((entry, *is_new)),
            _ => None,
        }
    }
}

/// How many became what.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) uploaded: u64,
    pub(super) skipped: u64,
    pub(super) touched: u64,
    pub(super) noted: u64,
    pub(super) left_out: u64,
    pub(super) held: u64,
    pub(super) failed: u64,
    pub(super) would_move: u64,
}

/// Records and tells until nothing more comes, then the manifest; returns its archive.
pub(super) async fn record(
    run: &Arc<Run>,
    mut done: mpsc::Receiver<Done>,
    tally: &mut Tally,
    on_outcome: &mut (dyn FnMut(Outcome) + Send),
) -> Option<ArchiveId> {
    let mut spool = Spool::default();
    let mut teller = Teller { run, tally, on_outcome };
    let mut batch = Vec::with_capacity(BATCH);
    while done.recv_many(&mut batch, BATCH).await > 0 {
        let mut taken = std::mem::take(&mut batch);
        if !run.options.dry_run {
            let (writing, mut filling) = (Arc::clone(run), std::mem::take(&mut spool));
            let written = blocking(move || {
                write(&writing, &taken, &mut filling)?;
                Ok::<_, UploadError>((taken, filling))
            });
            match written.await {
                Ok(written) => (taken, spool) = written,
                Err(why) => {
                    run.stop(why);
                    return None;
                }
            }
        }
        for one in taken {
            teller.tell(one);
        }
    }
    if run.is_halted() || run.options.dry_run {
        return None;
    }
    match close(run, spool, &mut teller).await {
        Ok(archive) => archive,
        Err(why) => {
            run.stop(why);
            None
        }
    }
}

fn write(run: &Run, batch: &[Done], spool: &mut Spool) -> Result<(), UploadError> {
    let (catalog, vault) = (&run.context.catalog, run.vault);
    let (mut stored, mut touched, mut unused, mut over) = (vec![], vec![], vec![], vec![]);
    for one in batch {
        match one {
            Done::Stored { file, .. } => stored.push(file.entry.clone()),
            Done::Known { entry, is_touched: true, .. } => touched.extend(times(entry)),
            _ => {}
        }
        match one.settle() {
            Settle::Nothing => {}
            Settle::Release(claim) => unused.push(claim),
            Settle::Drop(claim) => over.push(claim),
        }
        spool.is_needed |= matches!(one.for_manifest(), Some((_, true)));
    }
    if !stored.is_empty() {
        catalog.record(vault, &stored)?;
    }
    if !touched.is_empty() {
        catalog.touch(vault, &touched)?;
    }
    if !unused.is_empty() {
        catalog.release(&unused)?;
    }
    if !over.is_empty() {
        catalog.drop_claims(&over)?;
    }
    let told = batch.iter().filter_map(Done::for_manifest).map(|(entry, _)| entry);
    spool.add(told).map_err(UploadError::Manifest)
}

fn times(entry: &Entry) -> Option<(CatalogPath, FileTime, u32)> {
    Some((entry.path.clone(), entry.mtime?, entry.mode?))
}

/// Uploads the manifest if there is something new to tell, or if anything else was uploaded; else only notes new times.
async fn close(
    run: &Arc<Run>,
    spool: Spool,
    teller: &mut Teller<'_>,
) -> Result<Option<ArchiveId>, UploadError> {
    let Some(path) = spool.path().map(PathBuf::from) else { return Ok(None) };
    let is_wanted = spool.is_needed || teller.tally.uploaded > 0;
    let sent = if is_wanted { Some(send_manifest(run, &path).await?) } else { None };
    let archive = sent.as_ref().map(|sent| sent.archive.clone());
    let (sender, mut recorded) = mpsc::channel::<Vec<Entry>>(1);
    let (recording, manifest, uploaded) = (Arc::clone(run), archive.clone(), run.now());
    let reading = tokio::spawn(blocking(move || {
        read_back(&path, BATCH, &mut |entries| {
            let bare = note(&recording, entries, manifest.as_ref(), uploaded)?;
            // Without a teller the run is over, but what is stored is still recorded.
            drop(sender.blocking_send(bare));
            Ok::<_, ReadBack>(())
        })
    }));
    while let Some(entries) = recorded.recv().await {
        for entry in entries {
            teller.tell_bare(entry, archive.is_some());
        }
    }
    match reading.await {
        Ok(read) => read.map_err(|ReadBack(why)| why)?,
        Err(error) => return Err(UploadError::Manifest(io::Error::other(error))),
    }
    drop(spool);
    if let Some(sent) = sent {
        run.catalog(move |catalog, run| catalog.record_manifest(run.vault, &sent)).await?;
    }
    Ok(archive)
}

struct ReadBack(UploadError);

impl From<io::Error> for ReadBack {
    fn from(error: io::Error) -> Self {
        Self(UploadError::Manifest(error))
    }
}

impl From<CatalogError> for ReadBack {
    fn from(error: CatalogError) -> Self {
        Self(error.into())
    }
}

/// Records that the manifest tells of these entries; returns those that have no bytes.
fn note(
    run: &Run,
    entries: Vec<Entry>,
    manifest: Option<&ArchiveId>,
    uploaded: Timestamp,
) -> Result<Vec<Entry>, CatalogError> {
    let (catalog, vault) = (&run.context.catalog, run.vault);
    let (mut bare, with_bytes): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|entry| entry.archive.is_none());
    let Some(manifest) = manifest else {
        let times: Vec<_> = bare.iter().filter_map(times).collect();
        catalog.touch(vault, &times)?;
        return Ok(bare);
    };
    for entry in &mut bare {
        entry.uploaded = uploaded;
        entry.manifest = Some(manifest.clone());
    }
    let paths: Vec<CatalogPath> = with_bytes.into_iter().map(|entry| entry.path).collect();
    let told = catalog.newest_many(vault, &paths)?.into_values();
    let told = told.map(|entry| Entry { manifest: Some(manifest.clone()), ..entry });
    catalog.record(vault, &bare.iter().cloned().chain(told).collect::<Vec<_>>())?;
    Ok(bare)
}

async fn send_manifest(
    run: &Arc<Run>,
    path: &std::path::Path,
) -> Result<ManifestArchive, UploadError> {
    const WHAT: &str = "the manifest of this run";
    let path = path.to_owned();
    let opening = blocking(move || Opened::open(&path));
    let opened = opening.await.map_err(|error| UploadError::Manifest(io::Error::other(error)))?;
    let description = encode_manifest(run.id);
    let sending = async {
        let planned = plan(opened.size(), None, run.limits);
        let planned = planned.map_err(|error| Trouble::File(error.into()))?;
        let mut new = NewArchive {
            path: manifest::path(run.id),
            description: Some(description.clone()),
            // The same for the same content: what a run has stored that died before it noted so is not stored again.
            token: token_of(opened.tree_hash(run).await?),
            tree_hash: opened.told_hash(run, planned).await?,
        };
        let mut sent = transmit(run, &WHAT, &opened, planned, &new).await;
        if let Err(Trouble::File(FileError::Target(TargetError::UsedToken))) = sent {
            // Somebody has deleted the earlier one.
            new.token = random_token()?;
            sent = transmit(run, &WHAT, &opened, planned, &new).await;
        }
        sent
    };
    let sent = tokio::select! {
        () = run.halted() => return Err(UploadError::Cancelled),
        sent = sending => sent,
    };
    let noted = |sent: Sent| ManifestArchive {
        archive: sent.archive,
        size: opened.size(),
        created: run.now(),
        tree_hash: Some(sent.tree_hash),
        description: Some(description.to_string()),
    };
    sent.map(noted).map_err(|trouble| match trouble {
        Trouble::Halt(why) => why,
        Trouble::File(FileError::Target(source)) => {
            UploadError::Target { what: WHAT.to_owned(), source }
        }
        Trouble::File(error) => UploadError::Manifest(io::Error::other(error)),
        Trouble::HeldElsewhere => UploadError::Cancelled,
    })
}

async fn transmit(
    run: &Arc<Run>,
    what: &(dyn fmt::Display + Sync),
    opened: &Opened,
    planned: Plan,
    new: &NewArchive,
) -> Result<Sent, Trouble> {
    match planned {
        Plan::Single => single(run, what, opened, new).await,
        Plan::Multipart(_) => {
            multipart(run, what, opened, planned, &mut Ticket::unclaimed(), new).await
        }
    }
}

fn token_of(content: TreeHash) -> UploadToken {
    let mut token = [0; 16];
    token.copy_from_slice(&content.as_bytes()[..16]);
    UploadToken::from_bytes(token)
}

struct Teller<'a> {
    run: &'a Run,
    tally: &'a mut Tally,
    on_outcome: &'a mut (dyn FnMut(Outcome) + Send),
}

impl Teller<'_> {
    fn tell(&mut self, one: Done) {
        match one {
            Done::Stored { file, room, .. } => {
                drop(room);
                self.tally.uploaded += 1;
                self.file_done(&file.entry.path, false);
                (self.on_outcome)(Outcome::Uploaded(file));
            }
            Done::Known { entry, is_touched, .. } => {
                self.file_done(&entry.path, true);
                self.tally_known(is_touched);
                let outcome = if is_touched { Outcome::Touched } else { Outcome::Skipped };
                (self.on_outcome)(outcome(entry));
            }
            // Told when it is recorded, after the manifest.
            Done::Bare { .. } if !self.run.options.dry_run => {}
            Done::Bare { entry, is_new: false, .. } => self.tell_bare(entry, false),
            Done::Bare { entry, .. } => self.would(entry.path, 0),
            Done::Would { path, size } => self.would(path, size),
            Done::LeftOut { path, why } => {
                self.tally.left_out += 1;
                self.warn(Some(path.clone()), format!("left out: {why}"));
                (self.on_outcome)(Outcome::LeftOut { path, why });
            }
            Done::Held { path } => {
                self.tally.held += 1;
                let why = "another run is uploading it".to_owned();
                self.warn(Some(path.clone()), format!("left out: {why}"));
                (self.on_outcome)(Outcome::LeftOut { path, why });
            }
            Done::Failed { path, local, error, .. } => {
                self.tally.failed += 1;
                self.warn(path, format!("{}: {}", local.display(), chain(&error)));
                (self.on_outcome)(Outcome::Failed { local, error });
            }
            Done::Remark(text) => self.warn(None, text),
        }
    }

    fn tell_bare(&mut self, entry: Entry, is_told: bool) {
        if is_told {
            self.tally.noted += 1;
            (self.on_outcome)(Outcome::Noted(entry));
        } else {
            self.tally_known(true);
            (self.on_outcome)(Outcome::Touched(entry));
        }
    }

    fn tally_known(&mut self, is_touched: bool) {
        if is_touched {
            self.tally.touched += 1;
        } else {
            self.tally.skipped += 1;
        }
    }

    fn would(&mut self, path: CatalogPath, size: u64) {
        if size == 0 {
            self.tally.noted += 1;
        } else {
            self.tally.uploaded += 1;
            self.tally.would_move += size;
        }
        (self.on_outcome)(Outcome::WouldUpload { path, size });
    }

    fn file_done(&self, path: &CatalogPath, skipped: bool) {
        self.run.context.events.event(Event::FileDone { path: path.clone(), skipped });
    }

    fn warn(&self, path: Option<CatalogPath>, message: String) {
        self.run.context.events.event(Event::Warning { path, message });
    }
}

/// Writes an error and all its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
