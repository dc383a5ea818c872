//! `icefield upload VAULT PATH...`.

mod beginning;
mod outcomes;
mod priced;

use std::{
    ffi::OsString,
    fs::File,
    io,
    num::NonZeroUsize,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::{Args, ValueEnum};
use icefield_client::{
    CatalogPath,
    catalog::Kind,
    description::Format as DescriptionFormat,
    transfer::{
        cancel::Cancel,
        rate::{RateLimit, Throttle},
        upload::{Describe, Outcome, UploadContext, UploadOptions, upload, upload_stream},
    },
    walk::{Found, Roots, Selection, walk},
};
use icefield_protocol::{Description, PartSize};

pub(crate) use self::outcomes::UploadRecord;

use self::{
    beginning::say_beginning,
    outcomes::{Told, exit, is_nothing, nothing_chosen, say_end},
    priced::Priced,
};
use crate::{
    args::VaultArg,
    commands::list::{knows_nothing, patterns},
    cost,
    failure::{Exit, Failure},
    output::{count, printable, size},
    session::Session,
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
    /// Form of the descriptions, for a vault that other programs read as well
    #[arg(long, value_enum, default_value_t = DescribeAs::Icefield, value_name = "FORM", conflicts_with = "description")]
    describe: DescribeAs,
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

/// A form of descriptions. What one cannot tell is in the manifest archive of the upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DescribeAs {
    /// Path, time and mode, as JSON
    Icefield,
    /// As mt-aws-glacier: path and time
    Mt2,
    /// The path alone, as the tools of boto and glacier-cli have it
    Plain,
}

impl From<DescribeAs> for DescriptionFormat {
    fn from(form: DescribeAs) -> Self {
        match form {
            DescribeAs::Icefield => Self::Icefield,
            DescribeAs::Mt2 => Self::Mt2,
            DescribeAs::Plain => Self::Plain,
        }
    }
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
    let input = say_beginning(&command, &options, input, &selection, &open, session).await?;
    let is_stream = matches!(input, Input::Stream(_));
    if !is_stream && !session.global.dry_run {
        session.begin_errand(&open.catalog, &command.vault, None)?;
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
    let prices = if session.global.dry_run { cost::prices(&open.opened, session)? } else { None };
    let priced = |prices| Priced::new(prices, options.part_size, open.target().limits(), is_stream);
    let mut priced = prices.as_ref().map(priced);
    let report = {
        let mut tell = |outcome| {
            if let (Some(priced), Outcome::WouldUpload { size, .. }) = (&mut priced, &outcome) {
                priced.add(*size);
            }
            told.tell(outcome);
        };
        match input {
            Input::Roots(roots) => upload(context, options, roots, selection, &mut tell).await?,
            Input::Stream(path) => {
                upload_stream(context, options, path, Box::new(io::stdin()), &mut tell).await?
            }
        }
    };
    let cost = priced.map(Priced::cost);
    if let Some(cost) = &cost {
        told.would_pay(cost);
    }
    told.finish()?;
    if !is_nothing(&report) {
        say_end(&report, session);
    }
    if session.global.dry_run {
        cost::say_would(cost.as_ref(), &open.opened, session);
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
    session.progress.note(format!("costs nothing: embedded store {}", store.display()));
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
        None => Describe::Notes(command.describe.into()),
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
