//! `icefield store check|scrub|compact|rebuild|stat`.

use std::path::Path;

use clap::{Args, Subcommand};
use icefield_server::control::{
    Answer, CompactedRecord, Request, ScrubRecord, StatRecord as Counts, is_served,
};
use icefield_store::{Doubt, OpenOptions, Store as OpenStore, StoreError};
use serde::Serialize;

use crate::{
    admin::{Data, administer, store_dir},
    failure::{Exit, Failure},
    output::{Record, count, one, size, stdout_rows},
    service::Service,
    session::Session,
};

/// What to do about a damaged archive.
pub(crate) const DAMAGE_HINT: &str = "hint: to get an older version of a damaged file: icefield retrieve --as-of TIME; where the file is still at hand: icefield upload --force stores it anew";

/// Look after a store on this machine
#[derive(Debug, Subcommand)]
pub(crate) enum Store {
    /// Read and verify every byte: finds every flipped bit, every missing and every extra file
    Check(Data),
    /// Read and verify every byte beside a server that owns the store, which goes on serving
    Scrub(Data),
    /// Give the room back that deleted archives take in packs, also beside a server that owns the store
    ///
    /// Archives of up to 1 MiB lie in packs of 1 GiB. A pack that is full and of which at least half is deleted, and shown
    /// by no inventory or job any more, is written anew without that. Packs with archives of a vault that has a lock are
    /// never touched. As much room as a pack takes is needed until it is done.
    Compact(Data),
    /// Make the ledger again from the payload side, after it was lost or damaged
    Rebuild(Rebuild),
    /// Show what the store holds and how much room it takes
    Stat(Data),
}

/// How to make a ledger again.
#[derive(Debug, Args)]
pub(crate) struct Rebuild {
    #[command(flatten)]
    data: Data,
    /// Go on where damage may have lost settings: vault locks, policies, users and keys may then be older than they were
    #[arg(long)]
    accept_older_settings: bool,
}

#[derive(Debug, Serialize)]
struct ProblemRecord {
    place: String,
    mib: Option<u64>,
    problem: String,
    vault: Option<String>,
    archive_id: Option<String>,
    description: Option<String>,
}

impl Record for ProblemRecord {
    const COLUMNS: &'static [&'static str] =
        &["place", "mib", "problem", "vault", "archive_id", "description"];
    const HEADINGS: &'static [&'static str] =
        &["PLACE", "MIB", "PROBLEM", "VAULT", "ARCHIVE ID", "DESCRIPTION"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.place.clone(),
            self.mib.map(|mib| mib.to_string()).unwrap_or_default(),
            self.problem.clone(),
            self.vault.clone().unwrap_or_default(),
            self.archive_id.clone().unwrap_or_default(),
            self.description.clone().unwrap_or_default(),
        ]
    }
}

#[derive(Debug, Serialize)]
struct ScrubProblemRecord {
    problem: String,
}

impl Record for ScrubProblemRecord {
    const COLUMNS: &'static [&'static str] = &["problem"];
    const HEADINGS: &'static [&'static str] = &["PROBLEM"];

    fn cells(&self) -> Vec<String> {
        vec![self.problem.clone()]
    }
}

impl Record for CompactedRecord {
    const COLUMNS: &'static [&'static str] =
        &["pack", "freed_bytes", "left_alone", "damaged", "failed"];
    const HEADINGS: &'static [&'static str] =
        &["PACK", "GIVEN BACK", "LEFT ALONE", "DAMAGED", "FAILED"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.pack.to_string(),
            size(self.freed_bytes),
            self.left_alone.clone().unwrap_or_default(),
            if self.damaged { "yes" } else { "" }.to_owned(),
            if self.failed { "yes" } else { "" }.to_owned(),
        ]
    }
}

#[derive(Debug, Serialize)]
struct StatRecord {
    path: String,
    #[serde(flatten)]
    counts: Counts,
}

impl Record for StatRecord {
    const COLUMNS: &'static [&'static str] = &[
        "path",
        "store_id",
        "account",
        "created",
        "vaults",
        "archives",
        "size",
        "uploads",
        "jobs",
        "documents",
        "deliveries",
        "dead_deliveries",
        "pack_bytes",
        "file_bytes",
        "dead_bytes",
    ];
    const HEADINGS: &'static [&'static str] = &[
        "STORE",
        "ID",
        "ACCOUNT",
        "CREATED",
        "VAULTS",
        "ARCHIVES",
        "SIZE",
        "UPLOADS",
        "JOBS",
        "DOCUMENTS",
        "DELIVERIES",
        "DEAD DELIVERIES",
        "IN PACKS",
        "IN FILES",
        "DEAD IN PACKS",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.path.clone(),
            self.counts.store_id.clone(),
            self.counts.account.to_string(),
            self.counts.created.to_string(),
            self.counts.vaults.to_string(),
            self.counts.archives.to_string(),
            size(self.counts.size),
            self.counts.uploads.to_string(),
            self.counts.jobs.to_string(),
            self.counts.documents.to_string(),
            self.counts.deliveries.to_string(),
            self.counts.dead_deliveries.to_string(),
            size(self.counts.pack_bytes),
            size(self.counts.file_bytes),
            size(self.counts.dead_bytes),
        ]
    }
}

/// Runs the command.
pub(crate) async fn run(command: Store, session: &Session) -> anyhow::Result<Exit> {
    match command {
        Store::Check(data) => check(&data, session).await,
        Store::Scrub(data) => scrub(&data, session).await,
        Store::Compact(data) => compact(&data, session).await,
        Store::Rebuild(args) => rebuild(&args, session).await,
        Store::Stat(data) => stat(&data, session).await,
    }
}

/// Opens a store to look at it as it is: nothing is removed, nothing cut off.
async fn open(path: &Path, session: &Session) -> Result<OpenStore, StoreError> {
    let opening = async |options| {
        let opened = OpenStore::open(path, OpenOptions { repair: false, ..options }).await;
        match opened {
            // A server will not let it go, so waiting is for nothing.
            Err(in_use @ StoreError::InUse { .. }) if is_served(path) => Ok(Err(in_use)),
            opened => opened.map(Ok),
        }
    };
    session.when_free(false, opening).await?
}

async fn check(data: &Data, session: &Session) -> anyhow::Result<Exit> {
    let path = store_dir(session, &Service::load(None)?, data)?;
    let store = match open(&path, session).await {
        Err(StoreError::InUse { .. }) if is_served(&path) => {
            return Err(Failure::failed("a server owns the store, so it cannot be checked as it lies there")
                .hint("icefield store scrub verifies every byte beside the server; for missing and extra files, end the server first")
                .into());
        }
        opened => opened?,
    };
    let report = icefield_store::check::check(&store, &mut |_| {}).await?;
    session.progress.finish();
    let mut rows = stdout_rows(session.format());
    for problem in &report.problems {
        let hit = problem.archive.as_ref();
        // A damaged ledger may not find it.
        let vault = match hit {
            Some(archive) => store.ledger().vault_by_number(archive.vault).await.ok().flatten(),
            None => None,
        };
        rows.push(&ProblemRecord {
            place: problem.damage.place.clone(),
            mib: problem.damage.leaf,
            problem: problem.damage.what.clone(),
            vault: vault.map(|vault| vault.name.to_string()),
            archive_id: hit.map(|archive| archive.id.to_string()),
            description: hit
                .and_then(|archive| archive.description.as_ref())
                .map(ToString::to_string),
        })?;
    }
    rows.finish()?;
    store.close().await;
    let problems = report.problems.len() as u64 + report.more_problems;
    let checked = report.checked;
    session.progress.note(format!(
        "read {} in {} payload files and the records of {} archives: {}",
        size(checked.bytes),
        checked.files,
        checked.archives,
        match problems {
            0 => "everything is as it was stored".to_owned(),
            problems => count(problems, "problem"),
        }
    ));
    if problems > 0 {
        session.progress.note(DAMAGE_HINT);
    }
    Ok(if problems == 0 { Exit::Done } else { Exit::Some })
}

async fn rebuild(args: &Rebuild, session: &Session) -> anyhow::Result<Exit> {
    let path = store_dir(session, &Service::load(None)?, &args.data)?;
    if session.global.dry_run {
        session
            .progress
            .say(&format!("would make the ledger of {} again from its packs", path.display()));
        return Ok(Exit::Done);
    }
    let accept_older_settings = args.accept_older_settings;
    let rebuilding = async |options| {
        let options = OpenOptions { accept_older_settings, ..options };
        icefield_store::rebuild::rebuild(&path, options, &mut |_| {}).await
    };
    let report = session.when_free(false, rebuilding).await?;
    session.progress.finish();
    for damage in &report.damage {
        session.progress.say(&format!("error: {damage}"));
    }
    if let Some(doubt) = &report.doubt {
        say_doubt(doubt, session);
    }
    if !report.in_place {
        return Err(Failure::failed("what is damaged may have told of settings, so the store was left as it was")
            .hint("put the damaged packs back from a backup, or an intact ledger.db, and run the same command again")
            .hint("without either: icefield store rebuild --accept-older-settings, then look at every vault's lock and policy, and revoke again the keys that must be")
            .into());
    }
    for name in &report.taken_over {
        session
            .progress
            .say(&format!("taken over from the old ledger: the last change of document {name}"));
    }
    let old = report.old_ledger.as_ref();
    let kept =
        old.map(|old| format!("; the old ledger is kept as {}", old.display())).unwrap_or_default();
    session.progress.note(format!(
        "read {} records: {} vaults, {} archives ({}), {} documents{kept}",
        report.records,
        report.vaults,
        report.archives,
        size(report.bytes),
        report.documents
    ));
    if report.damage.is_empty() {
        if report.unnamed_files > 0 {
            session.progress.say(&format!(
                "{} payload files have no record (parts of unfinished uploads, outputs of jobs, or what a lost pack told of): put aside in {}",
                report.unnamed_files,
                path.join(icefield_store::UNNAMED_FOLDER).display(),
            ));
        }
        return Ok(Exit::Done);
    }
    session.progress.say("hint: `icefield store check` names every archive that is hit");
    Ok(Exit::Some)
}

/// Says what a rebuild cannot know.
fn say_doubt(doubt: &Doubt, session: &Session) {
    session.progress.say(&format!(
        "warning: vault locks, policies, users and keys may be older than they were: {}",
        doubt.why
    ));
    if !doubt.vaults.is_empty() {
        let vaults = doubt.vaults.join(", ");
        session
            .progress
            .say(&format!("warning: vaults with settings: {vaults}; others may have lost theirs"));
    }
}

async fn scrub(data: &Data, session: &Session) -> anyhow::Result<Exit> {
    session.progress.note("every byte of the store is read: that takes as long as the disk needs");
    let Answer::Scrub(ScrubRecord { bytes, problems }) =
        administer(session, data, Request::Scrub).await?
    else {
        return Ok(Exit::Failed);
    };
    let mut rows = stdout_rows(session.format());
    for problem in &problems {
        rows.push(&ScrubProblemRecord { problem: problem.clone() })?;
    }
    rows.finish()?;
    session.progress.note(format!(
        "read {}: {}",
        size(bytes),
        match problems.len() {
            0 => "every byte is as it was stored".to_owned(),
            problems => count(problems as u64, "problem"),
        }
    ));
    if problems.is_empty() {
        return Ok(Exit::Done);
    }
    session.progress.note(DAMAGE_HINT);
    Ok(Exit::Some)
}

async fn compact(data: &Data, session: &Session) -> anyhow::Result<Exit> {
    let Answer::Compacted(packs) = administer(session, data, Request::Compact).await? else {
        return Ok(Exit::Failed);
    };
    let mut rows = stdout_rows(session.format());
    for pack in &packs {
        rows.push(pack)?;
    }
    rows.finish()?;
    let freed: u64 = packs.iter().map(|pack| pack.freed_bytes).sum();
    let done = packs.iter().filter(|pack| pack.left_alone.is_none()).count() as u64;
    session.progress.note(match packs.len() {
        0 => "no pack is full and at least half of it deleted and shown by no inventory or job any more: nothing was changed".to_owned(),
        _ => format!("compacted {}: {} given back", count(done, "pack"), size(freed)),
    });
    if packs.iter().any(|pack| pack.damaged) {
        session.progress.note(DAMAGE_HINT);
    }
    let all = !packs.iter().any(|pack| pack.damaged || pack.failed);
    Ok(if all { Exit::Done } else { Exit::Some })
}

async fn stat(data: &Data, session: &Session) -> anyhow::Result<Exit> {
    let path = store_dir(session, &Service::load(None)?, data)?;
    let counts = match open(&path, session).await {
        Err(StoreError::InUse { .. }) if is_served(&path) => {
            match administer(session, data, Request::Stat).await? {
                Answer::Stat(counts) => counts,
                _ => return Ok(Exit::Failed),
            }
        }
        opened => {
            let store = opened?;
            let counts = Counts::from(store.stat().await?);
            store.close().await;
            counts
        }
    };
    one(session.format(), &StatRecord { path: path.display().to_string(), counts })?;
    Ok(Exit::Done)
}
