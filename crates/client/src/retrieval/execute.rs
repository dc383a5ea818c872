//! Carries out a plan: folders, links, jobs, downloads, names, and last the folders' own modes and times.
//!
//! One coordinator owns everything; files download in tasks of their own. Finished files wait, complete but under their
//! temporary names, until a batch of them is synced and named together; only then they are reported and their journal
//! entries end.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use icefield_protocol::{JobId, Tier};
use tokio::{sync::Semaphore, task::JoinSet};

use super::{
    Plan, PlannedFile, RetrieveContext, RetrieveError, RetrieveOptions, RetrieveReport,
    RetrievedFile, Status, blocking, chain,
    download::{DownloadError, download},
    jobs::{self, Item, Listed, Started, State},
    pace::{self, Pace},
};
use crate::{
    catalog::{Entry, Kind, RetrievalKey, Run},
    events::Event,
    path::CatalogPath,
    place::{Destination, PlaceError, Staged},
};

/// From so many jobs on the list of jobs is asked, not each job.
const LISTED_FROM: usize = 20;

/// Most finished files that wait to be synced and named together.
const MAX_STAGED: usize = 1024;

/// What all tasks of a retrieval share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) context: RetrieveContext,
    pub(super) destination: Destination,
    pub(super) overwrite: bool,
    /// Bounds the transfers of large files over all of them.
    pub(super) segments: Semaphore,
    pub(super) segments_at_once: usize,
    tier: Tier,
    bytes: AtomicU64,
}

impl Shared {
    /// Counts and tells bytes that were moved.
    pub(super) fn moved(&self, bytes: u64, resumed: bool) {
        if !resumed {
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        self.context.events.event(Event::Moved { bytes, resumed });
    }

    fn warn(&self, path: &CatalogPath, message: String) {
        self.context.events.event(Event::Warning { path: Some(path.clone()), message });
    }
}

/// Carries out `plan`; `on_file` is told about every file and link as it ends.
///
/// Dropping the future stops it; the same call with a new plan goes on.
///
/// # Errors
///
/// When nothing at all can be done: the destination or the catalog fails, or the target does not answer. What happens to
/// single files is in the report.
pub async fn retrieve(
    context: &RetrieveContext,
    options: &RetrieveOptions,
    plan: Plan,
    on_file: &mut (dyn FnMut(RetrievedFile) + Send),
) -> Result<RetrieveReport, RetrieveError> {
    let to = options.to.clone();
    let destination = blocking(move || Destination::open(&to)).await;
    let shared = Arc::new(Shared {
        context: context.clone(),
        destination: destination.map_err(RetrieveError::Destination)?,
        overwrite: options.overwrite,
        segments: Semaphore::new(options.segments.get()),
        segments_at_once: options.segments.get(),
        tier: options.tier,
        bytes: AtomicU64::new(0),
    });
    let files = (plan.files.len() + plan.made.len()) as u64;
    context.events.event(Event::Planned { files, bytes: plan.bytes() });

    let Plan { folders, made, files, skipped, refused, unmatched: _ } = plan;
    let mut teller = Teller { shared: &shared, on_file, report: RetrieveReport::default() };
    for (entry, why) in refused {
        teller.ended(of_entry(&entry), Status::Failed, Some(why));
    }
    teller.place(skipped, made, &folders).await;
    fetch(&shared, options, files, &mut teller).await?;
    teller.finish_folders(folders).await?;

    let mut report = teller.report;
    report.bytes = shared.bytes.load(Ordering::Relaxed);
    Ok(report)
}

/// Tells the caller about each file, and counts.
struct Teller<'a> {
    shared: &'a Arc<Shared>,
    on_file: &'a mut (dyn FnMut(RetrievedFile) + Send),
    report: RetrieveReport,
}

impl Teller<'_> {
    fn ended(&mut self, file: RetrievedFile, status: Status, why: Option<String>) {
        match status {
            Status::Retrieved => self.report.retrieved += 1,
            Status::Skipped => self.report.skipped += 1,
            Status::Waiting => self.report.waiting += 1,
            Status::Failed => {
                self.report.failed.push((file.path.clone(), why.clone().unwrap_or_default()));
            }
        }
        if matches!(status, Status::Retrieved | Status::Skipped) {
            let skipped = status == Status::Skipped;
            let done = Event::FileDone { path: file.path.clone(), skipped };
            self.shared.context.events.event(done);
        }
        (self.on_file)(RetrievedFile { status, why, ..file });
    }

    /// Places all that needs no job: what is there gets its recorded times and modes, folders, links, empty files.
    async fn place(&mut self, skipped: Vec<Entry>, made: Vec<Entry>, folders: &[Entry]) {
        let shared = Arc::clone(self.shared);
        let folders: Vec<_> =
            folders.iter().map(|folder| (folder.path.clone(), folder.mode.is_some())).collect();
        let (folders, results) = blocking(move || {
            let made_folders: Vec<_> = folders
                .into_iter()
                .map(|(path, recorded)| (shared.destination.make_folder(&path, recorded), path))
                .filter_map(|(result, path)| Some((path, result.err()?)))
                .collect();
            let results = place_all(&shared, skipped, made);
            (made_folders, results)
        })
        .await;
        for (path, error) in folders {
            self.failed_folder(path, &error);
        }
        for (entry, status, result) in results {
            match result {
                Ok(warning) => {
                    if let Some(warning) = warning {
                        self.shared.warn(&entry.path, warning);
                    }
                    self.ended(of_entry(&entry), status, None);
                }
                Err(error) => {
                    self.ended(of_entry(&entry), Status::Failed, Some(chain(&error)));
                }
            }
        }
    }

    /// Gives folders their recorded modes and times, the deepest first, and makes all of them durable.
    async fn finish_folders(&mut self, folders: Vec<Entry>) -> Result<(), RetrieveError> {
        let shared = Arc::clone(self.shared);
        let (troubles, synced) = blocking(move || {
            let mut touched = BTreeSet::from([None]);
            let mut troubles = Vec::new();
            for folder in folders.into_iter().rev() {
                let found = shared.destination.adjust(&folder.path, folder.mode, folder.mtime);
                touched.insert(folder.path.parent());
                match found {
                    Ok(None) => {}
                    Ok(Some(warning)) => shared.warn(&folder.path, warning),
                    Err(error) => troubles.push((folder.path.clone(), error)),
                }
                touched.insert(Some(folder.path));
            }
            for (path, _) in &troubles {
                touched.remove(&Some(path.clone()));
            }
            (troubles, shared.destination.sync(&touched))
        })
        .await;
        for (path, error) in troubles {
            // One that could not even be made has been named.
            if !self.report.failed.iter().any(|(failed, _)| *failed == path) {
                self.failed_folder(path, &error);
            }
        }
        synced.map_err(RetrieveError::Destination)
    }

    fn failed_folder(&mut self, path: CatalogPath, error: &PlaceError) {
        self.report.failed.push((path.clone(), chain(error)));
        self.shared.warn(&path, chain(error));
    }
}

type Placed = (Entry, Status, Result<Option<String>, PlaceError>);

fn place_all(shared: &Shared, skipped: Vec<Entry>, made: Vec<Entry>) -> Vec<Placed> {
    let destination = &shared.destination;
    let mut placed = Vec::new();
    let mut touched = BTreeSet::new();
    for entry in skipped {
        let result = match entry.kind {
            Kind::Link => link(shared, &entry),
            Kind::File | Kind::Folder => destination.adjust(&entry.path, entry.mode, entry.mtime),
        };
        placed.push((entry, Status::Skipped, result));
    }
    let mut empty = Vec::new();
    for entry in made {
        if entry.kind == Kind::Link {
            touched.insert(entry.path.parent());
            let result = link(shared, &entry);
            placed.push((entry, Status::Retrieved, result));
            continue;
        }
        let staged = destination
            .partial(&entry.path, 0, entry.mode.is_some())
            .and_then(|partial| partial.stage(entry.mode, entry.mtime, shared.overwrite));
        match staged {
            Ok(staged) => empty.push((entry, staged)),
            Err(error) => placed.push((entry, Status::Retrieved, Err(error))),
        }
    }
    let (entries, staged): (Vec<Entry>, Vec<Staged>) = empty.into_iter().unzip();
    let published = destination.publish(&staged);
    for ((entry, staged), result) in entries.into_iter().zip(staged).zip(published) {
        if result.is_err() {
            destination.discard(&staged);
        }
        placed.push((entry, Status::Retrieved, result.map(|()| staged.warning)));
    }
    if let Err(error) = destination.sync(&touched) {
        let what = chain(&error);
        for (entry, status, result) in &mut placed {
            if entry.kind == Kind::Link && *status == Status::Retrieved && result.is_ok() {
                *result = Err(PlaceError::Unsynced { what: what.clone() });
            }
        }
    }
    placed
}

fn link(shared: &Shared, entry: &Entry) -> Result<Option<String>, PlaceError> {
    let target = entry.link_target.as_deref().unwrap_or_default();
    shared.destination.make_link(&entry.path, target, entry.mtime, shared.overwrite)?;
    Ok(None)
}

/// What a task of the coordinator ended with.
enum Done {
    Staged(Box<Item>, Staged),
    InProgress(Box<Item>),
    Failed(Box<Item>, String),
    Published(Vec<(Item, Option<String>)>),
}

/// Starts jobs as fast as the pace allows, and downloads what is ready, until nothing is left.
async fn fetch(
    shared: &Arc<Shared>,
    options: &RetrieveOptions,
    files: Vec<PlannedFile>,
    teller: &mut Teller<'_>,
) -> Result<(), RetrieveError> {
    if files.is_empty() {
        return Ok(());
    }
    let context = &shared.context;
    let catalog = context.catalog.clone();
    // The claims hold as long as the run.
    let run = Arc::new(blocking(move || catalog.begin_run("retrieve")).await?);
    let Listed { jobs: mut known, asked } = jobs::list(context, files.iter()).await?;
    let mut pace = Pace::new(options.max_rate, options.refused_pause, asked);
    let mut rest = VecDeque::from(files);
    let mut ready = VecDeque::new();
    loop {
        let now = context.clock.now();
        let mut due = Vec::new();
        while let Some(file) = rest.front()
            && (known.contains_key(&jobs::key(file))
                || pace.take(jobs::asked_bytes(file).unwrap_or(0), now))
        {
            due.extend(rest.pop_front());
        }
        if !due.is_empty() {
            let later = start(shared, options, &run, &mut known, due, &mut ready, teller).await?;
            if let Some((files, why)) = later {
                context.events.event(Event::Note(format!(
                    "{} files wait for their turn: {why}",
                    files.len()
                )));
                pace.hold(context.clock.now());
                files.into_iter().rev().for_each(|file| rest.push_front(file));
            }
        }
        download_ready(shared, options, &mut ready, teller).await?;
        let waiting = ready.front().and_then(|item| item.job.clone());
        if options.no_wait || (waiting.is_none() && rest.is_empty()) {
            break;
        }
        let wait = async {
            match &waiting {
                Some(job) => context.target.wait(&context.vault_name, job).await,
                None => std::future::pending().await,
            }
        };
        if rest.is_empty() {
            wait.await?;
        } else {
            tokio::select! {
                waited = wait => waited?,
                () = pace::wait(pace.pause(context.clock.now())) => {}
            }
        }
    }
    for item in ready {
        let why = "its job is not done yet; run the same command again later";
        teller.ended(of_item(&item), Status::Waiting, Some(why.to_owned()));
    }
    for file in rest {
        let why = "its turn has not come; run the same command again later";
        teller.ended(of_file(&file), Status::Waiting, Some(why.to_owned()));
    }
    Ok(())
}

/// Claims files and starts the jobs that they need; returns those whose jobs may not be started now, and why.
async fn start(
    shared: &Arc<Shared>,
    options: &RetrieveOptions,
    run: &Arc<Run>,
    known: &mut HashMap<RetrievalKey, JobId>,
    files: Vec<PlannedFile>,
    ready: &mut VecDeque<Item>,
    teller: &mut Teller<'_>,
) -> Result<Option<(Vec<PlannedFile>, String)>, RetrieveError> {
    let context = &shared.context;
    let full = |file: &PlannedFile| shared.destination.full_path(&file.path);
    let files = files.into_iter().map(|file| (full(&file), file)).map(|(full, file)| (file, full));
    let files = files.collect();
    let concurrency = options.concurrency.get();
    let (mut refused, mut later, mut for_now) = (Vec::new(), Vec::new(), String::new());
    jobs::start(context, run, options.tier, concurrency, known, files, |started| match started {
        Started::Ready(item) => ready.push_back(item),
        Started::Elsewhere(file) => {
            let why = "another run is retrieving it".to_owned();
            teller.ended(of_file(&file), Status::Waiting, Some(why));
        }
        Started::Refused(item, why) => {
            refused.push(item.retrieval.id);
            teller.ended(of_file(&item.file), Status::Failed, Some(why));
        }
        Started::Later(item, why) => {
            refused.push(item.retrieval.id);
            later.push(item.file);
            for_now = why;
        }
    })
    .await?;
    let catalog = context.catalog.clone();
    blocking(move || catalog.end_retrievals(&refused)).await?;
    Ok((!later.is_empty()).then_some((later, for_now)))
}

/// Downloads all whose job is done, and leaves the others in `ready`.
async fn download_ready(
    shared: &Arc<Shared>,
    options: &RetrieveOptions,
    ready: &mut VecDeque<Item>,
    teller: &mut Teller<'_>,
) -> Result<(), RetrieveError> {
    let mut tasks = JoinSet::new();
    let mut staged: Vec<(Item, Staged)> = Vec::new();
    let mut in_progress = VecDeque::new();
    let listed = match ready.len() {
        LISTED_FROM.. => jobs::all(&shared.context).await?,
        _ => HashMap::new(),
    };
    loop {
        while tasks.len() < options.concurrency.get()
            && let Some(item) = ready.pop_front()
        {
            let state = item.job.as_ref().and_then(|job| listed.get(job)).cloned();
            let state = state.map(jobs::state_of);
            if matches!(state, Some(State::InProgress)) {
                in_progress.push_back(item);
                continue;
            }
            let shared = Arc::clone(shared);
            tasks.spawn(async move { Ok(one(&shared, item, state).await) });
        }
        if staged.len() >= MAX_STAGED || (tasks.is_empty() && !staged.is_empty()) {
            let (shared, batch) = (Arc::clone(shared), std::mem::take(&mut staged));
            tasks.spawn(async move { blocking(move || publish(&shared, batch)).await });
        }
        let done = match tasks.join_next().await {
            None => break,
            Some(Ok(done)) => done?,
            Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
        };
        match done {
            Done::Staged(item, complete) => staged.push((*item, complete)),
            Done::InProgress(item) => in_progress.push_back(*item),
            Done::Failed(item, why) => teller.ended(of_item(&item), Status::Failed, Some(why)),
            Done::Published(files) => {
                for (item, trouble) in files {
                    let status = match trouble {
                        Some(_) => Status::Failed,
                        None => Status::Retrieved,
                    };
                    teller.ended(of_item(&item), status, trouble);
                }
            }
        }
    }
    *ready = in_progress;
    Ok(())
}

/// Brings one file as far as it will go now. A job that was lost is started again once.
async fn one(shared: &Arc<Shared>, mut item: Item, mut listed: Option<State>) -> Done {
    loop {
        let lost = match attempt(shared, &item, listed.take()).await {
            Attempt::Staged(staged) => return Done::Staged(Box::new(item), staged),
            Attempt::InProgress => return Done::InProgress(Box::new(item)),
            Attempt::Failed(why) => return Done::Failed(Box::new(item), why),
            Attempt::Lost(why) => why,
        };
        if item.restarted {
            return Done::Failed(Box::new(item), lost);
        }
        if let Err(error) = jobs::restart(&shared.context, shared.tier, &mut item).await {
            let why = format!("{lost}, and no new one could be started: {}", chain(&error));
            return Done::Failed(Box::new(item), why);
        }
    }
}

enum Attempt {
    Staged(Staged),
    InProgress,
    Lost(String),
    Failed(String),
}

async fn attempt(shared: &Arc<Shared>, item: &Item, listed: Option<State>) -> Attempt {
    let Some(job) = &item.job else { return Attempt::Lost("it has no job".to_owned()) };
    let state = match listed {
        Some(state) => Ok(state),
        None => jobs::state(&shared.context, job).await,
    };
    let job = match state {
        Ok(State::Succeeded(job)) => job,
        Ok(State::InProgress) => return Attempt::InProgress,
        Ok(State::Lost(why)) => return Attempt::Lost(why),
        Err(error) => return Attempt::Failed(chain(&error)),
    };
    match download(shared, item, &job).await {
        Ok(staged) => Attempt::Staged(staged),
        Err(error @ DownloadError::Gone) => Attempt::Lost(error.to_string()),
        Err(error) => {
            // What is wrong will not become right: nothing of it is worth keeping.
            if error.spoils() {
                let (catalog, id) = (shared.context.catalog.clone(), item.retrieval.id);
                if let Err(error) = blocking(move || catalog.end_retrieval(id)).await {
                    shared.warn(&item.file.path, chain(&error));
                }
            }
            Attempt::Failed(chain(&error))
        }
    }
}

/// Syncs and names a batch, and ends its journal entries.
fn publish(shared: &Shared, batch: Vec<(Item, Staged)>) -> Result<Done, RetrieveError> {
    let (items, staged): (Vec<Item>, Vec<Staged>) = batch.into_iter().unzip();
    let results = shared.destination.publish(&staged);
    let mut ended = Vec::new();
    let mut files = Vec::new();
    for ((item, staged), result) in items.into_iter().zip(&staged).zip(results) {
        ended.push(item.retrieval.id);
        if let Some(warning) = &staged.warning {
            shared.warn(&item.file.path, warning.clone());
        }
        let trouble = result.err().map(|error| {
            shared.destination.discard(staged);
            chain(&error)
        });
        files.push((item, trouble));
    }
    shared.context.catalog.end_retrievals(&ended)?;
    Ok(Done::Published(files))
}

fn of_entry(entry: &Entry) -> RetrievedFile {
    RetrievedFile {
        path: entry.path.clone(),
        archive: entry.archive.clone(),
        job: None,
        size: Some(entry.size),
        tree_hash: entry.tree_hash,
        status: Status::Retrieved,
        why: None,
    }
}

fn of_file(file: &PlannedFile) -> RetrievedFile {
    RetrievedFile {
        path: file.path.clone(),
        archive: Some(file.archive.clone()),
        job: None,
        size: file.wanted_bytes(),
        tree_hash: file.tree_hash,
        status: Status::Retrieved,
        why: None,
    }
}

fn of_item(item: &Item) -> RetrievedFile {
    RetrievedFile { job: item.job.clone(), ..of_file(&item.file) }
}
