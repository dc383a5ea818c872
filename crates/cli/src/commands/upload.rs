//! `icefield upload VAULT PATH...`.

use std::{
    ffi::OsString,
    fs::File,
    io,
    num::NonZeroUsize,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::Args;
use icefield_client::{
    CatalogPath,
    catalog::{Entry, Kind},
    inventory::InventoryFile,
    transfer::{
        cancel::Cancel,
        rate::{RateLimit, Throttle},
        upload::{
            Describe, Outcome, UploadContext, UploadOptions, UploadReport, UploadedFile, upload,
            upload_stream,
        },
    },
    walk::{Found, Roots, Selection, walk},
};
use icefield_protocol::{Description, PartSize, VaultName};
use serde::Serialize;

use crate::{
    args::{Format, VaultArg},
    commands::{
        list::{knows_nothing, path_base64, patterns},
        would::WouldRecord,
    },
    failure::{Exit, Failure},
    output::{ROWS_FOR_PEOPLE, Record, Rows, count, printable, size, stdout_rows},
    session::{Session, VaultSession},
};

/// Archive files and folders
///
/// Every file becomes an archive; folders, links and empty files are kept too. Files that are unchanged since the last run are
/// skipped; an interrupted run goes on where it stopped when the same command is typed again.
///
/// Paths are kept relative to the parent of what is named, as `cp -r` does: `upload photos ~/Pictures` archives
/// Pictures/2024/a.fit.
#[derive(Debug, Args)]
pub(crate) struct Upload {
    /// The vault, as VAULT or TARGET:VAULT
    vault: VaultArg,
    /// Files and folders; `-` is standard input (with --name)
    #[arg(required_unless_present = "files_from")]
    path: Vec<OsString>,
    /// Make the vault if it does not exist
    #[arg(long)]
    create: bool,
    /// Name of what comes from standard input
    #[arg(long, value_name = "PATH")]
    name: Option<OsString>,
    /// Description of the archives, kept as it is: at most 1,024 printable ASCII characters. Without it the description
    /// holds path, time and mode, so that a lost catalog can be refilled from the vault
    #[arg(long)]
    description: Option<String>,
    /// Put everything below this path in the catalog
    #[arg(long, value_name = "PATH")]
    prefix: Option<OsString>,
    /// Size of the parts of large files: a power of two from 1MiB to 4GiB (default: by size)
    #[arg(long, value_name = "SIZE", value_parser = parse_part_size)]
    part_size: Option<PartSize>,
    /// Parts of large files in flight at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    concurrency: Option<u16>,
    /// Only what matches one of these patterns
    #[arg(long, value_name = "PATTERN")]
    include: Vec<OsString>,
    /// Not what matches one of these patterns (see also the file .icefieldignore)
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<OsString>,
    /// Read paths from this file, one a line (or NUL-separated); `-` is standard input
    #[arg(long, value_name = "FILE")]
    files_from: Option<PathBuf>,
    /// Send everything again, changed or not
    #[arg(long)]
    force: bool,
    /// Find changes by reading every file, not by size and time
    #[arg(long)]
    checksum: bool,
    /// At most so many bytes a second (`10M`), or a timetable (`08:00,512K 19:00,10M 23:00,off`)
    #[arg(long, value_name = "RATE")]
    limit_rate: Option<String>,
    /// Say beforehand how long it takes at this rate in Mbit/s (otherwise: at the rate of earlier runs)
    #[arg(long, value_name = "MBIT", value_parser = parse_mbit)]
    estimate_rate: Option<f64>,
    /// Keep a CSV inventory of what was uploaded or skipped in this file
    #[arg(long, value_name = "FILE")]
    inventory: Option<PathBuf>,
}

impl Upload {
    /// Whether it archives what comes from standard input.
    pub(crate) fn is_stream(&self) -> bool {
        self.path.iter().any(|path| path == "-")
    }

    /// What to tell who interrupts a stream.
    pub(crate) fn when_stream_interrupted(&self) -> String {
        format!(
            "interrupted: what comes from standard input cannot be resumed\nhint: to see what was sent: icefield uploads list {0}; to discard it: icefield uploads abort {0} --all",
            self.vault
        )
    }
}

/// Reads `64MiB`, `64M` or a number of bytes.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        "t" | "tib" => 40,
        _ => return Err("a size is written 64MiB".to_owned()),
    };
    let number: u64 = digits.parse().map_err(|_| "a size is written 64MiB".to_owned())?;
    number.checked_mul(1 << shift).ok_or_else(|| "this is too large".to_owned())
}

pub(crate) fn parse_part_size(text: &str) -> Result<PartSize, String> {
    PartSize::new(parse_size(text)?)
        .map_err(|_| "a part size is a power of two from 1MiB to 4GiB, such as 64MiB".to_owned())
}

fn parse_mbit(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(mbit) if mbit.is_finite() && mbit > 0.0 => Ok(mbit),
        _ => Err("a rate in Mbit/s is written 11.33".to_owned()),
    }
}

/// An uploaded file.
#[derive(Debug, Serialize)]
pub(crate) struct UploadRecord {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_base64: Option<String>,
    vault: String,
    archive_id: String,
    size: u64,
    tree_hash: String,
    parts: u32,
    started: String,
    finished: String,
    seconds: f64,
    mbit_per_s: f64,
}

impl UploadRecord {
    pub(crate) fn of(file: &UploadedFile) -> Self {
        let duration = file.duration();
        Self {
            path: file.entry.path.to_lossy().into_owned(),
            path_base64: path_base64(&file.entry.path),
            vault: file.vault.to_string(),
            archive_id: file.archive.to_string(),
            size: file.entry.size,
            tree_hash: file.tree_hash.to_string(),
            parts: file.parts,
            started: file.started.to_string(),
            finished: file.finished.to_string(),
            seconds: duration.as_secs_f64(),
            mbit_per_s: mbit_per_s(file.entry.size, duration),
        }
    }
}

impl Record for UploadRecord {
    const COLUMNS: &'static [&'static str] = &[
        "path",
        "path_base64",
        "vault",
        "archive_id",
        "size",
        "tree_hash",
        "parts",
        "started",
        "finished",
        "seconds",
        "mbit_per_s",
    ];
    const HEADINGS: &'static [&'static str] = &["PATH", "SIZE", "PARTS", "TREE HASH", "ARCHIVE ID"];

    fn cells(&self) -> Vec<String> {
        let hash = self.tree_hash.chars().take(16).collect();
        vec![
            self.path.clone(),
            size(self.size),
            self.parts.to_string(),
            hash,
            self.archive_id.clone(),
        ]
    }
}

/// Megabits (10^6) a second, with two decimals; times have milliseconds, so shorter counts as one.
fn mbit_per_s(bytes: u64, duration: Duration) -> f64 {
    let millis = duration.as_millis().max(1);
    let hundredths = u128::from(bytes) * 8 * 100 / (millis * 1000);
    u32::try_from(hundredths).map_or(f64::from(u32::MAX), f64::from) / 100.0
}

/// What the files and folders of the command line are.
enum Input {
    Roots(Roots),
    Stream(CatalogPath),
}

/// Runs the command.
pub(crate) async fn run(command: Upload, session: &Session) -> anyhow::Result<Exit> {
    // Everything that can be wrong with the words is found before anything is touched.
    let input = input(&command)?;
    let mut selection = Selection {
        include: patterns(&command.include)?,
        exclude: patterns(&command.exclude)?,
        ..Selection::default()
    };
    let mut options = options(&command, session)?;
    if command.create
        && session.global.dry_run
        && let Some(store) = session.missing_store(&command.vault)?
    {
        selection.leave_out = session.own_places(Some(&store));
        return would_begin(&command, &input, &selection, &store, session);
    }
    let open = session.vault(&command.vault, command.create && !session.global.dry_run).await?;
    selection.leave_out = session.own_places(open.opened.store());
    match command.concurrency {
        Some(_) => open.target().limit_bodies(options.concurrency),
        None => options.concurrency = open.target().bodies_at_once(),
    }
    if command.create && !session.global.dry_run {
        open.target().create_vault(&open.name).await?;
    }
    if !(command.create && session.global.dry_run) {
        let vault = open.require_vault().await?;
        if vault.number_of_archives > 0 && knows_nothing(&open.catalog, open.known)? {
            session.progress.say(&format!(
                "warning: the vault {} holds {}, but the catalog knows none of them: these files may be there already\nhint: to find out before anything is sent a second time, interrupt this and run: icefield inventory refresh {}",
                open.name,
                count(vault.number_of_archives, "archive"),
                command.vault,
            ));
        }
    }
    say_beginning(&command, &input, &selection, &open, session)?;
    let is_stream = matches!(input, Input::Stream(_));
    if !is_stream && !session.global.dry_run {
        session.begin_errand(&open.catalog, &command.vault)?;
    }
    let mut told = Told::new(&command, session)?;
    let context = UploadContext {
        target: Arc::clone(open.target()),
        catalog: open.catalog.clone(),
        vault: open.name.clone(),
        hashing: session.hashing(),
        clock: Arc::clone(&session.clock),
        events: session.events(),
        cancel: Cancel::never(),
        opener: None,
    };
    let report = {
        let mut tell = |outcome| told.tell(outcome);
        match input {
            Input::Roots(roots) => upload(context, options, roots, selection, &mut tell).await?,
            Input::Stream(path) => {
                upload_stream(context, options, path, Box::new(io::stdin()), &mut tell).await?
            }
        }
    };
    told.finish()?;
    if !is_nothing(&report) {
        say_end(&report, session);
    }
    if is_stream && report.noted > 0 {
        session.progress.say("warning: standard input was empty: an empty file is recorded");
    }
    let exit = exit(&report);
    let is_nothing = is_nothing(&report);
    let stopped = report.stopped;
    open.opened.close().await?;
    match stopped {
        Some(error) => Err(error.into()),
        None if is_nothing => Err(nothing_chosen(&command).into()),
        None => Ok(exit),
    }
}

/// Tells a dry run where there is no store yet: everything is new.
fn would_begin(
    command: &Upload,
    input: &Input,
    selection: &Selection,
    store: &Path,
    session: &Session,
) -> anyhow::Result<Exit> {
    session.progress.note(format!(
        "would make a store in {} and the vault {} in it",
        store.display(),
        command.vault.vault
    ));
    let mut told = Told::new(command, session)?;
    let say = |text: String| session.progress.say(&format!("warning: {}", printable(&text)));
    let (mut files, mut bytes) = (0, 0);
    match input {
        Input::Stream(path) => {
            told.tell(Outcome::WouldUpload { path: path.clone(), size: 0 });
            files = 1;
        }
        Input::Roots(roots) => {
            let _ = walk(roots, selection, &mut |found| {
                match found {
                    Found::Item(item) => {
                        let size = item.identity.size;
                        files += u64::from(item.kind == Kind::File);
                        bytes += size;
                        told.tell(Outcome::WouldUpload { path: item.path, size });
                    }
                    Found::Special { path, what } => say(format!("{path} is {what}: left out")),
                    Found::Failed { local, error } => say(format!("{}: {error}", local.display())),
                    Found::Remark(text) => say(text),
                }
                ControlFlow::Continue(())
            });
        }
    }
    told.finish()?;
    session.progress.note(format!("would upload {} ({})", count(files, "file"), size(bytes)));
    Ok(Exit::Done)
}

fn input(command: &Upload) -> anyhow::Result<Input> {
    let catalog_path = |word: &OsString| {
        let text = word.as_encoded_bytes();
        let trimmed = text.strip_suffix(b"/").unwrap_or(text);
        CatalogPath::parse(trimmed).map_err(|error| {
            Failure::usage(format!("`{}` cannot be a path in a vault", word.to_string_lossy()))
                .because(error)
        })
    };
    let prefix = command.prefix.as_ref().map(catalog_path).transpose()?;
    if command.is_stream() {
        let (Some(name), 1, None) = (&command.name, command.path.len(), &command.files_from) else {
            return Err(Failure::usage("standard input (`-`) goes alone and needs a name")
                .hint("for example: tar -c photos | icefield upload VAULT - --name photos.tar")
                .into());
        };
        let name = catalog_path(name)?;
        return Ok(Input::Stream(match prefix {
            Some(prefix) => prefix.join(name.as_bytes())?,
            None => name,
        }));
    }
    if command.name.is_some() {
        return Err(Failure::usage("--name is for standard input (`-`)")
            .hint("files keep their own names; --prefix puts them below another folder")
            .into());
    }
    let mut list: Option<Box<dyn io::Read>> = match &command.files_from {
        None => None,
        Some(path) if path == Path::new("-") => Some(Box::new(io::stdin())),
        Some(path) => Some(Box::new(File::open(path).map_err(|error| {
            Failure::usage(format!("cannot read the list of files {}", path.display()))
                .because(error)
        })?)),
    };
    let paths: Vec<PathBuf> = command.path.iter().map(PathBuf::from).collect();
    let base = std::env::current_dir()?;
    let list = list.as_mut().map(|list| list as &mut dyn io::Read);
    let roots = Roots::find(&paths, list, &base, prefix.as_ref())
        .map_err(|error| Failure::usage("nothing was uploaded").because(error))?;
    Ok(Input::Roots(roots))
}

fn options(command: &Upload, session: &Session) -> anyhow::Result<UploadOptions> {
    let describe = match &command.description {
        None => Describe::Notes,
        Some(text) => Describe::Verbatim(Description::parse(text).map_err(|error| {
            Failure::usage("the description is not valid")
                .hint("at most 1,024 characters, and only printable ASCII: leave --description out to have path, time and mode kept")
                .because(error)
        })?),
    };
    let throttle = command.limit_rate.as_deref().map(str::parse::<RateLimit>).transpose();
    let throttle =
        throttle.map_err(|error| Failure::usage("--limit-rate is not valid").because(error))?;
    let concurrency = command.concurrency.and_then(|count| NonZeroUsize::new(count.into()));
    let defaults = UploadOptions::default();
    Ok(UploadOptions {
        describe,
        part_size: command.part_size,
        concurrency: concurrency.unwrap_or(defaults.concurrency),
        force: command.force,
        checksum: command.checksum,
        dry_run: session.global.dry_run,
        throttle: throttle.map(|limit| Arc::new(Throttle::new(limit, session.local_offset))),
    })
}

/// Says where it goes, and how long it takes if a rate is given or remembered.
fn say_beginning(
    command: &Upload,
    input: &Input,
    selection: &Selection,
    open: &VaultSession,
    session: &Session,
) -> anyhow::Result<()> {
    if session.global.quiet {
        return Ok(());
    }
    let now = session.clock.now();
    let place = open.target().describe();
    session.progress.note(format!(
        "{now} uploading {} to the vault {} in {place}",
        named(command),
        open.name
    ));
    let remembered = open.catalog.rate(open.target().identity())?;
    let line = match (command.estimate_rate, remembered) {
        (Some(mbit), _) => Some((mbit * 1e6 / 8.0, "the given rate")),
        (None, Some(rate)) => Some((rate, "the rate of earlier runs")),
        (None, None) => None,
    };
    let limit = command.limit_rate.as_deref().and_then(|text| text.parse::<RateLimit>().ok());
    #[expect(clippy::cast_precision_loss, reason = "an estimate for people")]
    let limit = limit.and_then(|limit| limit.at(now, session.local_offset)).map(|rate| rate as f64);
    let (rate, whose) = match (line, limit) {
        (Some((rate, _)), Some(limit)) if limit < rate => (limit, "the rate of --limit-rate"),
        (None, Some(limit)) => (limit, "the rate of --limit-rate"),
        (Some(line), _) => line,
        (None, None) => return Ok(()),
    };
    let Input::Roots(roots) = input else { return Ok(()) };
    let mut bytes = 0_u64;
    let _ = walk(roots, selection, &mut |found| {
        if let Found::Item(item) = found {
            bytes += item.identity.size;
        }
        ControlFlow::Continue(())
    });
    #[expect(clippy::cast_precision_loss, reason = "an estimate for people")]
    let seconds = bytes as f64 / rate.max(1.0);
    let Ok(estimate) = Duration::try_from_secs_f64(seconds.ceil()) else { return Ok(()) };
    session.progress.note(format!(
        "{} if all of it is new: about {} at {whose} ({:.2} Mbit/s), until {}",
        size(bytes),
        humantime::format_duration(estimate),
        rate * 8.0 / 1e6,
        now.saturating_add(estimate),
    ));
    Ok(())
}

/// What is uploaded, in the user's words: the first few paths.
fn named(command: &Upload) -> String {
    const NAMED_AT_MOST: usize = 3;
    if command.is_stream() {
        return "standard input".to_owned();
    }
    let paths = command.path.iter().map(|path| printable(&path.to_string_lossy()));
    let list = command.files_from.iter().map(|list| format!("what {} lists", list.display()));
    let mut named: Vec<_> = paths.chain(list).collect();
    let more = named.len().saturating_sub(NAMED_AT_MOST);
    named.truncate(NAMED_AT_MOST);
    match more {
        0 => named.join(", "),
        _ => format!("{} and {more} more", named.join(", ")),
    }
}

/// Where outcomes go: records on standard output, failures on standard error, rows of the inventory file.
struct Told<'a> {
    rows: Rows<io::BufWriter<io::Stdout>>,
    inventory: Option<InventoryFile>,
    vault: VaultName,
    session: &'a Session,
    /// The first error of an output; what is uploaded stays uploaded.
    broken: Option<anyhow::Error>,
}

impl<'a> Told<'a> {
    fn new(command: &Upload, session: &'a Session) -> anyhow::Result<Self> {
        let dry_run = session.global.dry_run;
        let inventory = command
            .inventory
            .as_deref()
            .filter(|_| !dry_run)
            .map(|path| {
                InventoryFile::open(path).map_err(|error| {
                    Failure::failed(format!("cannot use {}", path.display())).because(error)
                })
            })
            .transpose()?;
        let rows = stdout_rows(session.format()).at_most(ROWS_FOR_PEOPLE);
        Ok(Self { rows, inventory, vault: command.vault.vault.clone(), session, broken: None })
    }

    fn tell(&mut self, outcome: Outcome) {
        if let Err(error) = self.try_tell(&outcome) {
            self.broken.get_or_insert(error);
        }
    }

    fn try_tell(&mut self, outcome: &Outcome) -> anyhow::Result<()> {
        match outcome {
            Outcome::Uploaded(file) => {
                self.rows.push(&UploadRecord::of(file))?;
                self.keep(&file.entry)?;
            }
            Outcome::Skipped(entry) | Outcome::Touched(entry) | Outcome::Noted(entry) => {
                self.keep(entry)?;
            }
            Outcome::WouldUpload { path, size } if self.session.format() != Format::Table => {
                self.rows.push(&WouldRecord::new("upload", Some(path)).size(Some(*size)))?;
            }
            Outcome::WouldUpload { path, size: bytes } => {
                self.session.progress.say(&format!(
                    "would upload {} ({})",
                    printable(&path.to_lossy()),
                    size(*bytes)
                ));
            }
            // Both are told as warnings by the library.
            Outcome::LeftOut { .. } | Outcome::Failed { .. } => {}
            _ => {}
        }
        Ok(())
    }

    fn keep(&mut self, entry: &Entry) -> anyhow::Result<()> {
        if let Some(file) = &mut self.inventory {
            file.append(&self.vault, entry)?;
        }
        Ok(())
    }

    fn finish(self) -> anyhow::Result<()> {
        self.session.progress.finish();
        if let Some(error) = self.broken {
            return Err(error);
        }
        if let Some(file) = self.inventory {
            file.sync()?;
        }
        let held_back = self.rows.held_back();
        self.rows.finish()?;
        if let Some(more) = held_back {
            self.session.progress.note(more);
        }
        Ok(())
    }
}

fn say_end(report: &UploadReport, session: &Session) {
    let duration = report.finished.saturating_since(report.started);
    let mut said = if report.uploaded == 0 && report.noted == 0 && report.bytes == 0 {
        "nothing new: no bytes were moved".to_owned()
    } else if session.global.dry_run {
        format!("would upload {} ({})", count(report.uploaded, "file"), size(report.bytes))
    } else {
        format!(
            "uploaded {} ({}) in {} ({:.2} Mbit/s)",
            count(report.uploaded, "file"),
            size(report.bytes),
            humantime::format_duration(Duration::from_millis(
                u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
            )),
            mbit_per_s(report.bytes, duration),
        )
    };
    for (count, what) in [
        (report.noted, "folders, links and empty files recorded"),
        (report.skipped, "unchanged"),
        (report.touched, "with a new time only (recorded, not sent)"),
        (report.left_out, "left out"),
        (report.failed, "failed"),
    ] {
        match (count, what) {
            (0, _) => {}
            (1, "folders, links and empty files recorded") => {
                said.push_str(", 1 folder, link or empty file recorded");
            }
            _ => said.push_str(&format!(", {count} {what}")),
        }
    }
    if report.resumed_bytes > 0 {
        said.push_str(&format!("; {} had been sent by an earlier run", size(report.resumed_bytes)));
    }
    session.progress.note(format!("{} {said}", report.finished));
}

fn is_nothing(report: &UploadReport) -> bool {
    report.uploaded + report.noted + report.skipped + report.touched + report.failed == 0
}

fn nothing_chosen(command: &Upload) -> Failure {
    let failure = Failure::failed("no file or folder was found to upload");
    if !command.include.is_empty() {
        failure.hint("no path matches --include: `*.fit` matches names at any depth, `*` stays within one folder, `**` crosses folders; quote patterns")
    } else if !command.exclude.is_empty() {
        failure.hint("everything matches --exclude, or is left out by .icefieldignore")
    } else if command.files_from.is_some() {
        failure.hint("the list of --files-from names nothing that can be archived: one path a line, or NUL-separated")
    } else {
        failure.hint("pipes, sockets and devices cannot be archived, and icefield's own store and catalog are left out")
    }
}

fn exit(report: &UploadReport) -> Exit {
    if report.failed > 0 { Exit::Some } else { Exit::Done }
}
