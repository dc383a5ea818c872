//! `icefield store check|rebuild|stat`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use icefield_store::{OpenOptions, Store as OpenStore, StoreError};
use serde::Serialize;

use crate::{
    failure::Exit,
    output::{Record, count, one, size, stdout_rows},
    session::Session,
};

/// What to do about a damaged archive.
pub(crate) const DAMAGE_HINT: &str = "hint: to get an older version of a damaged file: icefield retrieve --as-of TIME; where the file is still at hand: icefield upload --force stores it anew";

/// Look after a store on this machine
#[derive(Debug, Subcommand)]
pub(crate) enum Store {
    /// Read and verify every byte: finds every flipped bit, every missing and every extra file
    Check(Data),
    /// Make the ledger again from the payload side, after it was lost or damaged
    Rebuild(Data),
    /// Show what the store holds and how much room it takes
    Stat(Data),
}

/// Which store.
#[derive(Debug, Args)]
pub(crate) struct Data {
    /// The store's folder (default: the embedded store)
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
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
struct StatRecord {
    path: String,
    store_id: String,
    account: String,
    created: String,
    vaults: u64,
    archives: u64,
    size: u64,
    uploads: u64,
    jobs: u64,
    documents: u64,
    deliveries: u64,
    dead_deliveries: u64,
    pack_bytes: u64,
    file_bytes: u64,
    dead_bytes: u64,
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
            self.store_id.clone(),
            self.account.clone(),
            self.created.clone(),
            self.vaults.to_string(),
            self.archives.to_string(),
            size(self.size),
            self.uploads.to_string(),
            self.jobs.to_string(),
            self.documents.to_string(),
            self.deliveries.to_string(),
            self.dead_deliveries.to_string(),
            size(self.pack_bytes),
            size(self.file_bytes),
            size(self.dead_bytes),
        ]
    }
}

/// Runs the command.
pub(crate) async fn run(command: Store, session: &Session) -> anyhow::Result<Exit> {
    match command {
        Store::Check(data) => check(&data, session).await,
        Store::Rebuild(data) => rebuild(&data, session).await,
        Store::Stat(data) => stat(&data, session).await,
    }
}

/// Opens a store to look at it as it is: nothing is removed, nothing cut off.
async fn open(path: &Path, session: &Session) -> Result<OpenStore, StoreError> {
    let opening =
        async |options| OpenStore::open(path, OpenOptions { repair: false, ..options }).await;
    session.when_free(false, opening).await
}

async fn check(data: &Data, session: &Session) -> anyhow::Result<Exit> {
    let path = session.store_path(data.data.as_ref())?;
    let store = open(&path, session).await?;
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

async fn rebuild(data: &Data, session: &Session) -> anyhow::Result<Exit> {
    let path = session.store_path(data.data.as_ref())?;
    if session.global.dry_run {
        session
            .progress
            .say(&format!("would make the ledger of {} again from its packs", path.display()));
        return Ok(Exit::Done);
    }
    let rebuilding =
        async |options| icefield_store::rebuild::rebuild(&path, options, &mut |_| {}).await;
    let report = session.when_free(false, rebuilding).await?;
    session.progress.finish();
    for damage in &report.damage {
        session.progress.say(&format!("error: {damage}"));
    }
    let old = report.old_ledger.as_ref();
    let kept =
        old.map(|old| format!("; the old ledger is kept as {}", old.display())).unwrap_or_default();
    session.progress.note(format!(
        "read {} records: {} vaults, {} archives ({}){kept}",
        report.records,
        report.vaults,
        report.archives,
        size(report.bytes)
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

async fn stat(data: &Data, session: &Session) -> anyhow::Result<Exit> {
    let path = session.store_path(data.data.as_ref())?;
    let store = open(&path, session).await?;
    let stat = store.stat().await?;
    one(
        session.format(),
        &StatRecord {
            path: path.display().to_string(),
            store_id: stat.identity.store_id.to_string(),
            account: stat.identity.account.to_string(),
            created: stat.identity.created.to_string(),
            vaults: stat.ledger.vaults,
            archives: stat.ledger.archives,
            size: stat.ledger.bytes,
            uploads: stat.ledger.uploads,
            jobs: stat.ledger.jobs,
            documents: stat.ledger.documents,
            deliveries: stat.ledger.deliveries,
            dead_deliveries: stat.ledger.dead_deliveries,
            pack_bytes: stat.pack_bytes,
            file_bytes: stat.file_bytes,
            dead_bytes: stat.ledger.dead_bytes,
        },
    )?;
    store.close().await;
    Ok(Exit::Done)
}
