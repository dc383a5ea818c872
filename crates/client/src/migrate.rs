//! Moves archives from one target to another, without a local copy.
//!
//! ```text
//! source: catalog > plan > jobs (never twice) > output, verified ─┐
//!                                                                 ├─> upload: claims, parts, resume, catalog
//! target: what is there already is left out ──────────────────────┘
//! ```
//!
//! It is a retrieval whose files do not go to a folder, and an upload whose files do not come from one; so all that holds
//! for both holds here: what is interrupted goes on, a part that has arrived is not sent again, a job is not started
//! twice. On the way in a region is compared with the tree hash that the source gives it, and the whole with the archive's
//! before it becomes an archive at the target. Bytes wait in memory, or in a temporary file where a part is large.

use std::{
    collections::{HashMap, VecDeque},
    ops::Range,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use futures_util::StreamExt as _;
use icefield_protocol::{ArchiveId, ByteRange, JobDescription, Tier, TreeHash};
use icefield_treehash::Roles;
use tokio::sync::mpsc;

use crate::{
    catalog::{CatalogError, Entry, EntryQuery, FileTime, Identity, RetrievalKey, Run, total},
    events::Event,
    path::CatalogPath,
    pattern::{Choice, Pattern},
    retrieval::{
        MAX_REFETCHES, PlannedFile, RetrieveContext, RetrieveError, blocking, chain,
        jobs::{self, Item as Started, Started as Begun, State},
        pace::{self, Pace},
    },
    target::{Body, TargetError},
    transfer::{
        Opener, Outcome, UploadContext, UploadError, UploadOptions, UploadReport,
        source::{Source, SourceError},
        spool::Spooled,
        upload_found,
    },
    walk::{Found, Item},
};

/// Files whose jobs are done and that wait to be sent.
const READY_WAITING: usize = 64;

/// From so many jobs on the list of jobs is asked, not each job.
const LISTED_FROM: usize = 20;

/// How archives are moved.
#[derive(Debug, Clone)]
pub struct MigrateOptions {
    /// Which paths; none means all.
    pub patterns: Vec<Pattern>,
    /// How soon the source makes archives readable.
    pub tier: Tier,
    /// Most bytes that are asked for within an hour.
    pub max_rate: Option<u64>,
    /// How long no job is started after the source has let no more through.
    pub refused_pause: std::time::Duration,
    /// Whether to return when only jobs in progress are left.
    pub no_wait: bool,
    /// Largest archive that the target takes; larger ones go in numbered pieces.
    pub largest: u64,
    /// How they are uploaded.
    pub upload: UploadOptions,
}

/// What would be moved.
#[derive(Debug, Default)]
pub struct MigratePlan {
    /// Files whose bytes are moved.
    pub files: Vec<Entry>,
    /// Folders, links and empty files, which the target's manifest tells of.
    pub bare: Vec<Entry>,
    /// How many of these the target does not have yet.
    pub noted: u64,
    /// Files that are at the target already, with the archives of both.
    pub present: Vec<Entry>,
    /// The patterns that match nothing, by their place.
    pub unmatched: Vec<usize>,
}

impl MigratePlan {
    /// Bytes that are moved, as far as known.
    pub fn bytes(&self) -> u64 {
        total(self.files.iter().map(|entry| entry.size))
    }

    /// Returns what has to be retrieved from the source.
    pub fn retrievals(&self) -> Vec<PlannedFile> {
        self.files.iter().filter_map(planned).collect()
    }
}

/// Returns where an archive of `size` bytes is cut for a target whose archives have `largest` bytes at most.
pub fn pieces(size: u64, largest: u64) -> impl Iterator<Item = Range<u64>> {
    let count = size.div_ceil(largest).max(1);
    (0..count).map(move |index| index * largest..((index + 1) * largest).min(size))
}

/// What became of it.
#[derive(Debug)]
pub struct MigrateReport {
    /// What was uploaded, skipped and failed.
    pub upload: UploadReport,
    /// Files whose jobs are not done.
    pub waiting: u64,
    /// Files that the source does not give, each with the reason.
    pub refused: Vec<(CatalogPath, String)>,
}

/// Moving could not begin, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The source failed.
    #[error("the source failed")]
    Source(#[from] RetrieveError),
    /// The target failed.
    #[error("the target failed")]
    Target(#[from] UploadError),
    /// The catalog failed.
    #[error("the catalog failed")]
    Catalog(#[from] CatalogError),
}

/// Plans from the catalog: the newest version of every path that is not at the target with the same content. Blocks.
///
/// # Errors
///
/// When the catalog fails.
pub fn plan_migration(
    source: &RetrieveContext,
    target: &UploadContext,
    options: &MigrateOptions,
) -> Result<MigratePlan, CatalogError> {
    let there = target.catalog.vault(target.target.identity(), &target.vault)?;
    let mut choice = Choice::of(&options.patterns);
    let mut plan = MigratePlan::default();
    let query = EntryQuery { versions: false, as_of: None };
    source.catalog.for_each(source.vault, &query, &mut |entry: Entry| {
        if !options.patterns.is_empty() && !choice.matches(&entry.path) {
            return Ok(());
        }
        let known = target.catalog.newest(there, &entry.path)?;
        if entry.archive.is_none() {
            let is_there = known.is_some_and(|known| {
                (known.kind, known.archive, known.link_target)
                    == (entry.kind, None, entry.link_target.clone())
            });
            plan.noted += u64::from(!is_there);
            plan.bare.push(entry);
            return Ok(());
        }
        let is_there = known.is_some_and(|known| {
            known.archive.is_some()
                && known.tree_hash.is_some()
                && known.tree_hash == entry.tree_hash
        });
        if is_there {
            plan.present.push(entry);
        } else {
            plan.files.push(entry);
        }
        Ok::<(), CatalogError>(())
    })?;
    plan.unmatched = choice.unmatched();
    Ok(plan)
}

/// Moves what is planned; `on_outcome` is told about each file.
///
/// Dropping the call stops it; the same call with a new plan goes on.
///
/// # Errors
///
/// When source, target or catalog fail for all.
pub async fn migrate(
    source: &RetrieveContext,
    target: UploadContext,
    options: MigrateOptions,
    plan: MigratePlan,
    on_outcome: &mut (dyn FnMut(Outcome) + Send),
) -> Result<MigrateReport, MigrateError> {
    let ready = Arc::new(Ready { context: source.clone(), files: Mutex::default() });
    let (sender, found) = mpsc::channel(READY_WAITING);
    let context = UploadContext { opener: Some(Arc::<Ready>::clone(&ready) as _), ..target };
    let identity = context.target.identity().to_owned();
    let catalog = source.catalog.clone();
    let mut ended = Vec::new();
    let mut tell = |outcome: Outcome| {
        let path = match &outcome {
            Outcome::Uploaded(file) => Some(&file.entry.path),
            Outcome::Skipped(entry) | Outcome::Touched(entry) => Some(&entry.path),
            _ => None,
        };
        ended.extend(path.and_then(|path| ready.done(path)));
        on_outcome(outcome);
    };
    let upload = options.upload.clone();
    let uploading = upload_found(context, upload, found, &mut tell);
    let feeding = feed(source, &options, &ready, plan, &identity, sender);
    let (uploaded, fed) = tokio::join!(uploading, feeding);
    // Their jobs stay known, should the same archives be wanted again.
    blocking(move || catalog.end_retrievals(&ended)).await?;
    let (waiting, refused) = fed?;
    Ok(MigrateReport { upload: uploaded?, waiting, refused })
}

/// Files whose jobs are done, and their claims.
#[derive(Debug)]
struct Ready {
    context: RetrieveContext,
    files: Mutex<HashMap<CatalogPath, ReadyFile>>,
}

#[derive(Debug, Clone)]
struct ReadyFile {
    job: JobDescription,
    /// Which bytes of the output they are.
    window: Range<u64>,
    tree_hash: Option<TreeHash>,
    identity: Identity,
    mode: u32,
    retrieval: i64,
}

impl Ready {
    fn files(&self) -> MutexGuard<'_, HashMap<CatalogPath, ReadyFile>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets a file; returns its claim when nothing else of the same archive is left.
    fn done(&self, path: &CatalogPath) -> Option<i64> {
        let mut files = self.files();
        let done = files.remove(path)?;
        let is_last = files.values().all(|other| other.retrieval != done.retrieval);
        is_last.then_some(done.retrieval)
    }
}

#[async_trait]
impl Opener for Ready {
    async fn open(&self, item: &Item) -> Result<Arc<dyn Source>, SourceError> {
        let file = self.files().get(&item.path).cloned().ok_or(SourceError::NotAFile)?;
        Ok(Arc::new(RemoteSource { context: self.context.clone(), file }))
    }
}

/// A file in another vault.
#[derive(Debug)]
struct RemoteSource {
    context: RetrieveContext,
    file: ReadyFile,
}

#[async_trait]
impl Source for RemoteSource {
    fn identity(&self) -> Identity {
        self.file.identity
    }

    fn mode(&self) -> u32 {
        self.file.mode
    }

    fn tree_hash(&self) -> Option<TreeHash> {
        self.file.tree_hash
    }

    async fn body(self: Arc<Self>, range: ByteRange) -> Result<Body, SourceError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.fetch(range).await {
                Err(SourceError::Remote(TargetError::Damaged { what }))
                    if attempt < MAX_REFETCHES =>
                {
                    tracing::warn!(what, "fetching the region again");
                }
                fetched => return fetched.map(|spooled| spooled.body()),
            }
        }
    }

    /// An archive never changes.
    fn check(&self) -> Result<(), SourceError> {
        Ok(())
    }
}

impl RemoteSource {
    async fn fetch(&self, range: ByteRange) -> Result<Spooled, SourceError> {
        let RetrieveContext { target, vault_name, hashing, .. } = &self.context;
        let first = self.file.window.start + range.first;
        let wanted = ByteRange { first, last: first + range.len() - 1 };
        let output = target.job_output(vault_name, &self.file.job.job_id, Some(wanted)).await;
        let mut output = output.map_err(SourceError::Remote)?;
        let whole = range.first == 0 && range.len() == self.file.identity.size;
        let expected = self.file.tree_hash.filter(|_| whole && output.tree_hash.is_none());
        let mut own = expected.map(|_| hashing.start(Roles { linear: false }));
        let mut spooled = Spooled::default();
        while let Some(chunk) = output.chunks.next().await {
            let chunk = chunk.map_err(SourceError::Remote)?;
            if let Some(own) = &mut own {
                own.submit(chunk.clone()).await;
            }
            spooled = match spooled.is_in_memory() {
                true => spooled.push(chunk).map(|()| spooled),
                false => blocking(move || spooled.push(chunk).map(|()| spooled)).await,
            }?;
        }
        let damaged = |what: String| SourceError::Remote(TargetError::Damaged { what });
        if spooled.size() != range.len() {
            let what = format!("{} bytes came in place of {}", spooled.size(), range.len());
            return Err(damaged(what));
        }
        if let (Some(own), Some(expected)) = (own, expected) {
            let found = own.finish().await.tree;
            if found != expected {
                return Err(damaged(format!(
                    "the tree hash of what came is {found}, not {expected}"
                )));
            }
        }
        Ok(spooled)
    }
}

/// Starts the jobs, and hands over each file when its job is done; returns how many wait and what was refused.
async fn feed(
    source: &RetrieveContext,
    options: &MigrateOptions,
    ready: &Ready,
    plan: MigratePlan,
    target: &str,
    found: mpsc::Sender<Found>,
) -> Result<(u64, Vec<(CatalogPath, String)>), RetrieveError> {
    for entry in plan.bare {
        // Without a receiver the upload has stopped, and says why itself.
        drop(found.send(Found::Item(item(&entry, entry.path.clone(), 0))).await);
    }
    let entries: HashMap<CatalogPath, Entry> =
        plan.files.into_iter().map(|entry| (entry.path.clone(), entry)).collect();
    let mut files: Vec<PlannedFile> = entries.values().filter_map(planned).collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    if files.is_empty() {
        return Ok((0, Vec::new()));
    }
    let catalog = source.catalog.clone();
    let run = Arc::new(blocking(move || catalog.begin_run("migrate")).await?);
    let listed = jobs::list(source, files.iter()).await?;
    let mut known = listed.jobs;
    let mut pace = Pace::new(options.max_rate, options.refused_pause, listed.asked);
    let mut rest = VecDeque::from(files);
    let mut waiting: Vec<Started> = Vec::new();
    let mut refused = Vec::new();
    loop {
        let now = source.clock.now();
        let mut due = Vec::new();
        while let Some(file) = rest.front()
            && (known.contains_key(&jobs::key(file))
                || pace.take(jobs::asked_bytes(file).unwrap_or(0), now))
        {
            due.extend(rest.pop_front());
        }
        let begun = begin(source, options, &run, &mut known, due, target).await?;
        let mut given_up = Vec::new();
        for begun in begun {
            match begun {
                Begun::Ready(item) => waiting.push(item),
                Begun::Elsewhere(file) => {
                    refused.push((file.path, "another run is moving it".to_owned()));
                }
                Begun::Refused(item, why) => {
                    given_up.push(item.retrieval.id);
                    refused.push((item.file.path, why));
                }
                Begun::Later(item, why) => {
                    given_up.push(item.retrieval.id);
                    source.events.event(Event::Note(format!("jobs wait for their turn: {why}")));
                    pace.hold(source.clock.now());
                    rest.push_back(item.file);
                }
            }
        }
        let catalog = source.catalog.clone();
        blocking(move || catalog.end_retrievals(&given_up)).await?;
        let mut going_on = Vec::new();
        for (item, state) in states(source, options, waiting, &mut refused).await? {
            match state {
                Some(job) => {
                    let Some(entry) = entries.get(&item.file.path) else { continue };
                    for piece in ready_files(&item, *job, entry, options.largest) {
                        let path = piece.0.clone();
                        let size = piece.1.identity.size;
                        ready.files().insert(piece.0, piece.1);
                        if found.send(Found::Item(self::item(entry, path, size))).await.is_err() {
                            return Ok((0, refused));
                        }
                    }
                }
                None => going_on.push(item),
            }
        }
        waiting = going_on;
        let job = waiting.first().and_then(|item| item.job.clone());
        if options.no_wait || (job.is_none() && rest.is_empty()) {
            return Ok(((waiting.len() + rest.len()) as u64, refused));
        }
        let look = async {
            match &job {
                Some(job) => source.target.wait(&source.vault_name, job).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            looked = look => looked?,
            () = pace::wait(pace.pause(source.clock.now())), if !rest.is_empty() => {}
            () = found.closed() => return Ok((0, refused)),
        }
    }
}

async fn begin(
    source: &RetrieveContext,
    options: &MigrateOptions,
    run: &Arc<Run>,
    known: &mut HashMap<RetrievalKey, icefield_protocol::JobId>,
    due: Vec<PlannedFile>,
    target: &str,
) -> Result<Vec<Begun>, RetrieveError> {
    // Where a retrieval has a folder a migration has a target: each file is moved by one run at a time.
    let place = |file: &PlannedFile| PathBuf::from(format!("{target}/{}", file.path.to_lossy()));
    let due = due.into_iter().map(|file| (place(&file), file)).map(|(place, file)| (file, place));
    let due = due.collect();
    let mut begun = Vec::new();
    let concurrency = options.upload.concurrency.get();
    jobs::start(source, run, options.tier, concurrency, known, due, |one| begun.push(one)).await?;
    Ok(begun)
}

/// Looks at the jobs: the description of each that is done. One that was lost is started again.
async fn states(
    source: &RetrieveContext,
    options: &MigrateOptions,
    items: Vec<Started>,
    refused: &mut Vec<(CatalogPath, String)>,
) -> Result<Vec<(Started, Option<Box<JobDescription>>)>, RetrieveError> {
    let mut listed = match items.len() {
        LISTED_FROM.. => jobs::all(source).await?,
        _ => HashMap::new(),
    };
    let mut looked = Vec::new();
    for mut item in items {
        let Some(job) = item.job.clone() else { continue };
        let state = match listed.remove(&job) {
            Some(job) => jobs::state_of(job),
            None => jobs::state(source, &job).await?,
        };
        match state {
            State::InProgress => looked.push((item, None)),
            State::Succeeded(job) => looked.push((item, Some(job))),
            State::Lost(why) if item.restarted => refused.push((item.file.path, why)),
            State::Lost(why) => match jobs::restart(source, options.tier, &mut item).await {
                Ok(()) => looked.push((item, None)),
                Err(error) => {
                    refused.push((item.file.path, format!("{why}, and {}", chain(&error))));
                }
            },
        }
    }
    Ok(looked)
}

fn planned(entry: &Entry) -> Option<PlannedFile> {
    Some(PlannedFile {
        path: entry.path.clone(),
        archive: entry.archive.clone()?,
        size: entry.known_size(),
        tree_hash: entry.tree_hash,
        mtime: entry.mtime,
        mode: entry.mode,
        range: None,
    })
}

/// Permission bits of what has none recorded.
const MODE: u32 = 0o644;

/// What is found for an entry, or for one piece of it.
fn item(entry: &Entry, path: CatalogPath, size: u64) -> Item {
    Item {
        local: crate::local::path(path.as_bytes()),
        path,
        kind: entry.kind,
        identity: identity(entry, size),
        mode: entry.mode.unwrap_or(MODE),
        link_target: entry.link_target.clone(),
    }
}

/// What tells a later run that it is the same: the archive has no inode, but a name that is its own.
fn identity(entry: &Entry, size: u64) -> Identity {
    let archive = entry.archive.as_ref().map_or("", ArchiveId::as_str);
    let hash = icefield_protocol::LinearHash::of(archive.as_bytes());
    let mut inode = [0; 8];
    inode.copy_from_slice(&hash.as_bytes()[..8]);
    let uploaded = entry.uploaded.unix_millis().div_euclid(1000);
    let time = entry.mtime.unwrap_or(FileTime { seconds: uploaded, nanos: 0 });
    let inode = u64::from_be_bytes(inode) >> 1;
    Identity { size, mtime: time, ctime: time, inode }
}

/// Cuts an archive that the target cannot hold: `path.0001`, `path.0002` and so on, to be put together in this order.
fn ready_files(
    item: &Started,
    job: JobDescription,
    entry: &Entry,
    largest: u64,
) -> Vec<(CatalogPath, ReadyFile)> {
    let size = job.archive_size_in_bytes.unwrap_or(entry.size);
    let tree_hash = entry.tree_hash.or(job.archive_tree_hash);
    let file = |window: Range<u64>, tree_hash| ReadyFile {
        job: job.clone(),
        identity: identity(entry, window.end - window.start),
        window,
        tree_hash,
        mode: entry.mode.unwrap_or(MODE),
        retrieval: item.retrieval.id,
    };
    if size <= largest {
        return vec![(entry.path.clone(), file(0..size, tree_hash))];
    }
    let piece = |(number, window): (u64, Range<u64>)| {
        let name = [entry.path.as_bytes(), format!(".{number:04}").as_bytes()].concat();
        let path = CatalogPath::parse(name).expect("a longer last segment is a segment");
        (path, file(window, None))
    };
    (1..).zip(pieces(size, largest)).map(piece).collect()
}

#[cfg(test)]
mod tests {
    use super::pieces;

    #[test]
    fn what_fits_is_one_piece_and_the_last_piece_is_what_is_left() {
        let cut = |size| pieces(size, 10).map(|piece| (piece.start, piece.end)).collect::<Vec<_>>();
        assert_eq!(cut(0), [(0, 0)], "its size is not known yet");
        assert_eq!(cut(10), [(0, 10)]);
        assert_eq!(cut(21), [(0, 10), (10, 20), (20, 21)]);
    }
}
