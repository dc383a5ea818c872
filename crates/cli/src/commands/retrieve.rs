//! `icefield retrieve VAULT [PATTERN...]`.

use std::{
    collections::{BTreeSet, HashSet},
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use icefield_client::{
    catalog::Entry,
    inventory::{FileItem, read_file},
    price::{Cost, Usd},
    retrieval::{
        Plan, RetrieveContext, RetrieveOptions, RetrieveReport, RetrievedFile, Status, plan, quote,
        retrieve, retrieve_to_writer,
    },
};
use icefield_protocol::{ArchiveId, ByteRange, Tier, Timestamp, VaultName};
use serde::Serialize;

use crate::{
    args::{Format, VaultArg},
    commands::{
        job::{parse_as_of, parse_tier},
        list::{no_match, path_base64, patterns, say_unmatched},
        store::DAMAGE_HINT,
        upload::parse_size,
        would::WouldRecord,
    },
    cost::{self, RetrievalCost},
    failure::{Exit, Failure},
    output::{ROWS_FOR_PEOPLE, Record, Rows, count, size, stdout_rows},
    prompt::consent,
    session::{Session, VaultSession},
};

/// Get files back, verified
///
/// Plans, starts the jobs (never twice), waits, downloads in parallel, verifies and puts every file in its place with its
/// time and mode. Run the same command again after an interruption.
#[derive(Debug, Args)]
pub(crate) struct Retrieve {
    /// The vault, as VAULT or TARGET:VAULT
    vault: VaultArg,
    /// Only paths that match one of these (see `icefield list --help`)
    pattern: Vec<OsString>,
    /// Put the files below this folder; `-` writes one file to standard output
    #[arg(long, value_name = "DIR", default_value = ".")]
    to: PathBuf,
    /// Retrieve this archive, also if the catalog does not know it
    #[arg(long, allow_hyphen_values = true)]
    archive_id: Vec<ArchiveId>,
    /// Retrieve what this inventory file lists
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// As it was at this time: 2024-05-01T12:00:00Z, or a date, which is the end of that day (UTC)
    #[arg(long, value_name = "TIME", value_parser = parse_as_of)]
    as_of: Option<Timestamp>,
    /// How fast: expedited costs most, bulk least
    #[arg(long, value_parser = parse_tier, default_value = "standard")]
    tier: Tier,
    /// Only these bytes of one file, the last one included
    ///
    /// The vault is asked for the smallest part of the archive around them that can be verified: 2^n MiB from a multiple of
    /// 2^n MiB on, which may be more, and is what the price and --max-rate count.
    #[arg(long, value_name = "FIRST-LAST")]
    range: Option<ByteRange>,
    /// Go ahead without asking if it costs at most this much, and not at all if it costs more
    #[arg(long, value_name = "USD")]
    max_cost: Option<Usd>,
    /// Ask for at most so many bytes an hour, counted over all runs
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_rate: Option<u64>,
    /// Start the jobs and end with exit code 75 until they are ready
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Replace files that are there and different
    #[arg(long)]
    overwrite: bool,
}

/// A retrieved file.
#[derive(Debug, Serialize)]
struct FileRecord {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_base64: Option<String>,
    archive_id: Option<String>,
    job_id: Option<String>,
    size: Option<u64>,
    tree_hash: Option<String>,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

impl FileRecord {
    fn of(file: &RetrievedFile) -> Self {
        Self {
            path: file.path.to_lossy().into_owned(),
            path_base64: path_base64(&file.path),
            archive_id: file.archive.as_ref().map(ToString::to_string),
            job_id: file.job.as_ref().map(ToString::to_string),
            size: file.size,
            tree_hash: file.tree_hash.map(|hash| hash.to_string()),
            status: match file.status {
                Status::Retrieved => "retrieved",
                Status::Skipped => "skipped",
                Status::Waiting => "waiting",
                Status::Failed => "failed",
            },
            why: file.why.clone(),
        }
    }
}

impl Record for FileRecord {
    const COLUMNS: &'static [&'static str] =
        &["path", "path_base64", "archive_id", "job_id", "size", "tree_hash", "status", "why"];
    const HEADINGS: &'static [&'static str] = &["PATH", "SIZE", "STATUS", "WHY"];

    fn cells(&self) -> Vec<String> {
        let bytes = self.size.map(size).unwrap_or_default();
        vec![self.path.clone(), bytes, self.status.to_owned(), self.why.clone().unwrap_or_default()]
    }
}

/// Runs the command.
pub(crate) async fn run(command: Retrieve, session: &Session) -> anyhow::Result<Exit> {
    if command.to.exists() && !command.to.is_dir() && command.to != Path::new("-") {
        return Err(Failure::usage(format!("{} is not a folder", command.to.display()))
            .hint("--to names the folder that the files are put below; `--to - > FILE` writes one file under another name")
            .into());
    }
    let open = session.vault(&command.vault, false).await?;
    open.require_vault().await?;
    let context = RetrieveContext {
        target: Arc::clone(open.target()),
        catalog: open.catalog.clone(),
        vault: open.known,
        vault_name: open.name.clone(),
        hashing: session.hashing(),
        events: session.events(),
        clock: Arc::clone(&session.clock),
    };
    let from = command.from.as_deref();
    let listed = from.map(|path| inventory_entries(path, &open.name, session)).transpose()?;
    let (from, is_partly_refused) = match listed {
        Some((entries, refused)) => (Some(entries), refused > 0),
        None => (None, false),
    };
    let options = RetrieveOptions {
        patterns: patterns(&command.pattern)?,
        archive_ids: command.archive_id.clone(),
        from,
        as_of: command.as_of,
        tier: command.tier,
        range: command.range,
        overwrite: command.overwrite,
        no_wait: command.no_wait,
        max_rate: command.max_rate,
        ..RetrieveOptions::new(&command.to)
    };
    let plan = plan(&context, &options).await?;
    if plan.is_empty() {
        return Err(no_match(&open.catalog, (open.known, &open.name), &command.pattern)?.into());
    }
    let is_partly_refused =
        say_unmatched(&plan.unmatched, &command.pattern, session) || is_partly_refused;
    let price = price(&context, &plan, command.tier, &open, session).await?;
    let cost = price.as_ref().map(|price| &price.cost);
    if session.global.dry_run {
        tell_plan(&plan, cost, &open, &command, session)?;
        open.opened.close().await?;
        return Ok(Exit::Done);
    }
    if let Some(cost) = cost.filter(|cost| cost.once() > Usd::ZERO) {
        cost::say(cost, session);
    }
    let what = format!(
        "retrieve {} ({}) from {}",
        count(plan.files.len() as u64, "file"),
        size(plan.bytes()),
        open.target().describe(),
    );
    let bulk = price.as_ref().and_then(|price| price.bulk);
    let agreed = consent(session, &what, cost.as_slice(), command.max_cost, bulk)?;
    if command.to != Path::new("-") {
        session.begin_errand(&open.catalog, &command.vault, Some(agreed))?;
    }
    let exit = if command.to == Path::new("-") {
        to_stdout(&context, &options, plan).await?
    } else {
        to_folder(&context, &options, plan, &command, session).await?
    };
    drop(context);
    open.opened.close().await?;
    Ok(if exit == Exit::Done && is_partly_refused { Exit::Some } else { exit })
}

/// Finds out what a plan costs, where somebody charges. Jobs that an earlier run has started are paid for.
async fn price(
    context: &RetrieveContext,
    plan: &Plan,
    tier: Tier,
    open: &VaultSession,
    session: &Session,
) -> anyhow::Result<Option<RetrievalCost>> {
    /// An output is read in ranges of at least this many bytes.
    const READ_BYTES: u64 = 16 << 20;
    let Some(prices) = cost::prices(&open.opened, session)? else { return Ok(None) };
    let quote = quote(context, &plan.files).await?;
    let days = open.target().restore_days();
    let requests = |bytes: u64| bytes.div_ceil(READ_BYTES).max(1);
    cost::of_retrieval(&prices, tier, days, &quote, &requests).map(Some)
}

/// Reads what an inventory file lists for a vault, and counts what of it is refused.
fn inventory_entries(
    path: &Path,
    vault: &VaultName,
    session: &Session,
) -> anyhow::Result<(Vec<Entry>, u64)> {
    let mut entries = Vec::new();
    let mut deleted = HashSet::new();
    let mut refused = 0;
    let read = read_file(Some(vault), path, &mut |item| -> Result<(), std::convert::Infallible> {
        match item {
            FileItem::Entry(entry) | FileItem::Named(entry) => entries.push(entry),
            FileItem::Deleted { archive, .. } => {
                deleted.insert(archive);
            }
            FileItem::Manifest { .. } | FileItem::OtherVaults { .. } => {}
            FileItem::Refused(refusal) => {
                refused += 1;
                session.progress.say(&format!("warning: {}: {}", refusal.place, refusal.why));
            }
        }
        Ok(())
    });
    let form = read.map_err(|error| {
        Failure::failed(format!("cannot use {}", path.display())).because(error)
    })?;
    entries.retain(|entry: &Entry| entry.archive.as_ref().is_none_or(|id| !deleted.contains(id)));
    tracing::info!(?form, entries = entries.len(), "read {}", path.display());
    Ok((entries, refused))
}

fn tell_plan(
    plan: &Plan,
    cost: Option<&Cost>,
    open: &VaultSession,
    command: &Retrieve,
    session: &Session,
) -> anyhow::Result<()> {
    session.progress.say(&format!(
        "would retrieve {} ({}) from {}, make {} links and empty files and {}, and skip {} that are there",
        count(plan.files.len() as u64, "file"),
        size(plan.bytes()),
        open.target().describe(),
        plan.made.len(),
        count(plan.folders.len() as u64, "folder"),
        plan.skipped.len(),
    ));
    for (entry, why) in &plan.refused {
        session.progress.say(&format!("would refuse {}: {why}", entry.path));
    }
    for hint in hints(command, plan.refused.iter().map(|(_, why)| why.as_str())) {
        session.progress.note(hint);
    }
    cost::say_would(cost, &open.opened, session);
    if session.format() == Format::Table {
        return Ok(());
    }
    let mut rows = stdout_rows(session.format());
    for file in &plan.files {
        let would = WouldRecord::new("retrieve", Some(&file.path)).archive(&file.archive);
        rows.push(&would.size(file.wanted_bytes()))?;
    }
    for (would, entries) in [("make", &plan.folders), ("make", &plan.made), ("skip", &plan.skipped)]
    {
        for entry in entries {
            rows.push(&WouldRecord::new(would, Some(&entry.path)).size(entry.known_size()))?;
        }
    }
    for (entry, why) in &plan.refused {
        rows.push(&WouldRecord::new("refuse", Some(&entry.path)).why(why))?;
    }
    if let Some(cost) = cost {
        rows.push(&WouldRecord::pay(cost))?;
    }
    rows.finish()?;
    Ok(())
}

async fn to_stdout(
    context: &RetrieveContext,
    options: &RetrieveOptions,
    plan: Plan,
) -> anyhow::Result<Exit> {
    let wanted = plan.files.len() + plan.made.len();
    if wanted != 1 {
        return Err(Failure::usage(format!(
            "{wanted} files match, and only one can go to standard output"
        ))
        .hint("name one file, or a folder with --to")
        .into());
    }
    let file = retrieve_to_writer(context, options, plan, Box::new(io::stdout())).await?;
    Ok(if file.status == Status::Waiting { Exit::NotReady } else { Exit::Done })
}

async fn to_folder(
    context: &RetrieveContext,
    options: &RetrieveOptions,
    plan: Plan,
    command: &Retrieve,
    session: &Session,
) -> anyhow::Result<Exit> {
    let mut rows = stdout_rows(session.format()).at_most(ROWS_FOR_PEOPLE);
    let mut unwritten = None;
    let report = retrieve(context, options, plan, &mut |file| {
        if unwritten.is_none() {
            unwritten = push(&mut rows, &file, session).err();
        }
    })
    .await?;
    if let Some(error) = unwritten {
        return Err(error.into());
    }
    session.progress.finish();
    let held_back = rows.held_back();
    rows.finish()?;
    if let Some(more) = held_back {
        session.progress.note(more);
    }
    say_report(&report, command, session);
    Ok(match (report.failed.is_empty(), report.waiting) {
        (false, _) => Exit::Some,
        (true, 0) => Exit::Done,
        (true, _) => Exit::NotReady,
    })
}

/// Names a failure on standard error; a table does not repeat it, the forms for scripts have every file.
fn push(
    rows: &mut Rows<impl io::Write>,
    file: &RetrievedFile,
    session: &Session,
) -> io::Result<()> {
    if let (Status::Failed, Some(why)) = (file.status, &file.why) {
        session
            .progress
            .say(&format!("error: {}: {why}", crate::output::printable(&file.path.to_lossy())));
        if session.format() == Format::Table {
            return Ok(());
        }
    }
    rows.push(&FileRecord::of(file))
}

fn say_report(report: &RetrieveReport, command: &Retrieve, session: &Session) {
    let mut said =
        format!("retrieved {} ({})", count(report.retrieved, "file"), size(report.bytes));
    for (count, what) in [
        (report.skipped, "were there already"),
        (report.waiting, "are not ready yet: run the same command again later"),
        (report.failed.len() as u64, "failed"),
    ] {
        if count > 0 {
            said.push_str(&format!(", {count} {what}"));
        }
    }
    session.progress.note(said);
    for hint in hints(command, report.failed.iter().map(|(_, why)| why.as_str())) {
        session.progress.note(hint);
    }
}

/// What to try where files were refused, damaged, gone or too large; each hint once. The library names no options.
fn hints<'a>(command: &Retrieve, reasons: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    let hint = |why: &str| match why.to_ascii_lowercase() {
        why if why.contains("allow overwriting") => {
            Some("hint: --overwrite replaces files that are there and different".to_owned())
        }
        why if why.contains("hash of what came") => Some(format!(
            "hint: it was damaged on the way or is damaged where it is stored: run the same command again; if it stays so, {}",
            DAMAGE_HINT.trim_start_matches("hint: ")
        )),
        why if why.contains("damaged") => Some(DAMAGE_HINT.to_owned()),
        why if why.contains("no space left") => Some(format!(
            "hint: make room for {}, then run the same command again: what has arrived is kept",
            command.to.display()
        )),
        why if why.contains("archive id was not found") => Some(format!(
            "hint: it was deleted by somebody else; to learn what is left: icefield inventory refresh {}",
            command.vault
        )),
        _ => None,
    };
    reasons.filter_map(hint).collect()
}
