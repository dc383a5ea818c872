//! `icefield inventory refresh|show|export|import|push|pull`.

mod bucket;

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::{Args, Subcommand, ValueEnum};
use icefield_client::{
    catalog::{Entry, EntryQuery},
    inventory::{
        ExportForm, ImportReport, RefreshError, RefreshOptions, RefreshReport, Refusals, import,
        import_file, refresh, write,
    },
};
use icefield_protocol::VaultName;
use serde::Serialize;

use crate::{
    args::VaultArg,
    commands::list::{EntryRecord, knows_nothing},
    failure::{Exit, Failure, unwritable},
    output::{Record, count, one, printable, size, stdout_rows},
    session::{KnownVault, Session, VaultSession},
};

/// Bring catalog, vault and inventory files together
#[derive(Debug, Subcommand)]
pub(crate) enum Inventory {
    /// Fetch the vault's own inventory and bring the catalog up to it: also refills an empty catalog
    Refresh {
        /// The vault, as VAULT or TARGET:VAULT
        vault: VaultArg,
        /// End with exit code 75 if the inventory is not ready yet
        #[arg(long)]
        no_wait: bool,
    },
    /// Show every archive of the vault that the catalog knows, older versions included
    Show {
        /// The vault
        vault: VaultArg,
    },
    /// Write the catalog of a vault to a file
    Export(Export),
    /// Take an inventory file into the catalog: icefield's own, PowerShell's Export-Csv, the service's JSON or CSV, a journal
    /// of mtglacier, names for Amazon's solution, glacier-cli's cache, Synology's mapping
    Import {
        /// The vault
        vault: VaultArg,
        /// The file, of any of these forms; `-` is standard input, which cannot be a database
        file: PathBuf,
    },
    /// Write the catalog of a vault to a bucket, so that it survives this machine; what was pushed before is replaced
    Push(bucket::Shared),
    /// Take the catalog of a vault from a bucket into the one of this machine
    Pull(bucket::Shared),
}

/// What to write where.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The vault
    vault: VaultArg,
    /// The file, replaced as a whole if it exists; `-` is standard output
    file: PathBuf,
    /// Form of the file
    #[arg(long, value_enum, default_value_t = Form::Icefield)]
    form: Form,
    /// Only the newest version of every path
    #[arg(long)]
    newest: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// CSV with FilePath,ArchiveId,Checksum and everything else there is to know
    Icefield,
    /// One JSON array
    Json,
    /// One JSON object a line
    Jsonl,
    /// As the service writes its inventory, JSON
    ServiceJson,
    /// As the service writes its inventory, CSV
    ServiceCsv,
    /// As mt-aws-glacier keeps its journal: what has an archive, once each
    MtglacierJournal,
    /// As PowerShell's Export-Csv writes what Write-GLCArchive returns
    Powershell,
}

#[derive(Debug, Serialize)]
struct RefreshRecord {
    vault: String,
    inventory_date: Option<String>,
    archives: u64,
    size: u64,
    added: u64,
    confirmed: u64,
    gone: u64,
    kept_fresh: u64,
    foreign: u64,
    packed: u64,
    twins: u64,
    refused: u64,
    differing: u64,
}

impl Record for RefreshRecord {
    const COLUMNS: &'static [&'static str] = &[
        "vault",
        "inventory_date",
        "archives",
        "size",
        "added",
        "confirmed",
        "gone",
        "kept_fresh",
        "foreign",
        "packed",
        "twins",
        "refused",
        "differing",
    ];
    const HEADINGS: &'static [&'static str] = &[
        "VAULT",
        "INVENTORY",
        "ARCHIVES",
        "SIZE",
        "NEW HERE",
        "KNOWN HERE",
        "GONE",
        "TOO FRESH TO BE LISTED",
        "OF OTHER PROGRAMS",
        "PACKED BY THEM",
        "TWINS",
        "REFUSED",
        "DIFFERING",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.vault.clone(),
            self.inventory_date.clone().unwrap_or_default(),
            self.archives.to_string(),
            size(self.size),
            self.added.to_string(),
            self.confirmed.to_string(),
            self.gone.to_string(),
            self.kept_fresh.to_string(),
            self.foreign.to_string(),
            self.packed.to_string(),
            self.twins.to_string(),
            self.refused.to_string(),
            self.differing.to_string(),
        ]
    }
}

#[derive(Debug, Serialize)]
struct ImportRecord {
    vault: String,
    form: &'static str,
    added: u64,
    already_known: u64,
    gone: u64,
    other_vaults: u64,
    refused: u64,
}

impl ImportRecord {
    fn of(vault: &VaultName, report: &ImportReport) -> Self {
        Self {
            vault: vault.to_string(),
            form: report.form.as_str(),
            added: report.added,
            already_known: report.already_known,
            gone: report.gone,
            other_vaults: report.other_vaults,
            refused: report.refused.total,
        }
    }
}

impl Record for ImportRecord {
    const COLUMNS: &'static [&'static str] =
        &["vault", "form", "added", "already_known", "gone", "other_vaults", "refused"];
    const HEADINGS: &'static [&'static str] =
        &["VAULT", "FORM", "NEW", "KNOWN", "GONE", "OF OTHER VAULTS", "REFUSED"];

    fn cells(&self) -> Vec<String> {
        let Self { added, already_known, gone, other_vaults, refused, .. } = self;
        let counts = [added, already_known, gone, other_vaults, refused].map(u64::to_string);
        [vec![self.vault.clone(), self.form.to_owned()], counts.to_vec()].concat()
    }
}

/// Runs the command.
pub(crate) async fn run(command: Inventory, session: &Session) -> anyhow::Result<Exit> {
    match command {
        Inventory::Refresh { vault, no_wait } => bring_up(&vault, no_wait, session).await,
        Inventory::Show { vault } => show(&vault, session).await,
        Inventory::Export(command) => export(&command, session).await,
        Inventory::Import { vault, file } => take_in(&vault, &file, session).await,
        Inventory::Push(command) => bucket::push(&command, session).await,
        Inventory::Pull(command) => bucket::pull(&command, session).await,
    }
}

async fn bring_up(vault: &VaultArg, no_wait: bool, session: &Session) -> anyhow::Result<Exit> {
    let open = session.vault(vault, false).await?;
    open.require_vault().await?;
    if session.global.dry_run {
        session.progress.say(&format!("would fetch the inventory of the vault {}", open.name));
        open.opened.close().await?;
        return Ok(Exit::Done);
    }
    let report = refreshed(&open, no_wait, session).await?;
    say_report(&report, vault, session);
    one(
        session.format(),
        &RefreshRecord {
            vault: open.name.to_string(),
            inventory_date: report.date.map(|date| date.to_string()),
            archives: report.archives,
            size: report.bytes,
            added: report.added,
            confirmed: report.confirmed,
            gone: report.gone,
            kept_fresh: report.kept_fresh,
            foreign: report.foreign,
            packed: report.packed,
            twins: report.twins.total,
            refused: report.refused.total,
            differing: report.differing.total,
        },
    )?;
    open.opened.close().await?;
    Ok(if report.refused.total + report.differing.total == 0 { Exit::Done } else { Exit::Some })
}

/// Brings the catalog up to date with a vault.
pub(crate) async fn refreshed(
    open: &VaultSession,
    no_wait: bool,
    session: &Session,
) -> anyhow::Result<RefreshReport> {
    let clock = Arc::clone(&session.clock);
    let options = RefreshOptions { no_wait, ..RefreshOptions::default() };
    let events = session.events();
    let (target, now) = (&**open.target(), move || clock.now());
    match refresh(target, &open.catalog, &open.name, &*events, &now, &options).await {
        Ok(report) => Ok(report),
        Err(error @ RefreshError::NotReady { .. }) => {
            Err(Failure::not_ready("the inventory is not ready yet").because(error).into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Says what of a refreshed catalog has to be looked at.
pub(crate) fn say_report(report: &RefreshReport, vault: &VaultArg, session: &Session) {
    session.progress.finish();
    say_refused(&report.refused, session);
    say_refused(&report.differing, session);
    let twins = &report.twins;
    for twin in &twins.first {
        session.progress.say(&format!(
            "warning: {} ({}) is in the vault twice: as {}, which was uploaded from here, and as {}",
            printable(&twin.path.to_lossy()),
            size(twin.size),
            twin.of,
            twin.archive
        ));
    }
    let named = twins.first.len() as u64;
    if twins.total > named {
        session.progress.say(&format!("warning: and {} more", twins.total - named));
    }
    if twins.total > 0 {
        session.progress.say(&format!(
            "hint: the answer to an upload may have been lost; to see what is stored twice, and which could go: icefield duplicates {vault}"
        ));
    }
    if report.packed > 0 {
        session.progress.note(format!(
            "compressed or encrypted by the program that has written it, and not unpacked by icefield: {}",
            count(report.packed, "archive")
        ));
    }
}

fn say_refused(refusals: &Refusals, session: &Session) {
    for refusal in &refusals.first {
        session.progress.say(&format!("warning: {}: {}", refusal.place, refusal.why));
    }
    let named = refusals.first.len() as u64;
    if refusals.total > named {
        session.progress.say(&format!("warning: and {} more", refusals.total - named));
    }
}

async fn show(vault: &VaultArg, session: &Session) -> anyhow::Result<Exit> {
    let KnownVault { catalog, known, .. } = session.known_vault(vault).await?;
    let mut rows = stdout_rows(session.format());
    let query = EntryQuery { versions: true, as_of: None };
    catalog.for_each(known, &query, &mut |entry: Entry| -> anyhow::Result<()> {
        if entry.archive.is_some() {
            rows.push(&EntryRecord::of(&entry))?;
        }
        Ok(())
    })?;
    rows.finish()?;
    Ok(Exit::Done)
}

async fn export(command: &Export, session: &Session) -> anyhow::Result<Exit> {
    let KnownVault { catalog, known, name, arn } = session.known_vault(&command.vault).await?;
    if knows_nothing(&catalog, known)? {
        // A vault that is empty, or one that does not exist: only the target can tell.
        let open = session.vault(&command.vault, false).await?;
        open.require_vault().await?;
        open.opened.close().await?;
    }
    let form = match command.form {
        Form::Icefield => ExportForm::Icefield,
        Form::Json => ExportForm::Json,
        Form::Jsonl => ExportForm::JsonLines,
        Form::ServiceJson => ExportForm::ServiceJson { vault_arn: arn, date: session.clock.now() },
        Form::ServiceCsv => ExportForm::ServiceCsv,
        Form::MtglacierJournal => ExportForm::MtGlacierJournal,
        Form::Powershell => ExportForm::PowerShell,
    };
    let file = &command.file;
    if session.global.dry_run {
        let what = format!("would write what the catalog knows of the vault {name}");
        session.progress.say(&format!("{what} to {}", file.display()));
        return Ok(Exit::Done);
    }
    let query = EntryQuery { versions: !command.newest, as_of: None };
    let all = |out: &mut dyn Write| write(&catalog, known, &name, &query, &form, out);
    let unwritable = |error| unwritable(file, error);
    let streamed = |mut out: Box<dyn Write>| {
        let report = all(&mut out)?;
        out.flush().map_err(unwritable)?;
        Ok::<_, anyhow::Error>(report)
    };
    let report = if file == Path::new("-") {
        streamed(Box::new(io::BufWriter::new(io::stdout())))?
    } else if fs::metadata(file).is_ok_and(|there| !there.is_file()) {
        // A pipe or a device is written to, not replaced.
        let there = fs::OpenOptions::new().write(true).open(file).map_err(unwritable)?;
        streamed(Box::new(io::BufWriter::new(there)))?
    } else {
        // Where a link leads to, or the new file.
        let place = fs::canonicalize(file).unwrap_or_else(|_| file.clone());
        let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty());
        let new = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))
            .map_err(unwritable)?;
        let mut out = io::BufWriter::new(new);
        let report = all(&mut out)?;
        let new = out.into_inner().map_err(|error| unwritable(error.into_error()))?;
        new.as_file().sync_all().map_err(unwritable)?;
        new.persist(&place).map_err(|error| unwritable(error.error))?;
        report
    };
    say_refused(&report.left_out, session);
    session.progress.note(format!("wrote {} rows to {}", report.written, file.display()));
    Ok(if report.left_out.total == 0 { Exit::Done } else { Exit::Some })
}

async fn take_in(vault: &VaultArg, file: &Path, session: &Session) -> anyhow::Result<Exit> {
    let open = session.vault(vault, false).await?;
    open.require_vault().await?;
    let now = session.clock.now();
    if session.global.dry_run {
        session.progress.say(&format!(
            "would take {} into the catalog of the vault {}",
            file.display(),
            open.name
        ));
        open.opened.close().await?;
        return Ok(Exit::Done);
    }
    let report = if file == Path::new("-") {
        import(&open.catalog, open.known, io::stdin(), now)?
    } else {
        import_file(&open.catalog, open.known, file, now).map_err(|error| {
            Failure::failed(format!("cannot use {}", file.display())).because(error)
        })?
    };
    say_refused(&report.refused, session);
    if report.other_vaults > 0 {
        session.progress.note(format!(
            "{} of other vaults passed over; to take them, import the file into those",
            count(report.other_vaults, "row")
        ));
    }
    one(session.format(), &ImportRecord::of(&open.name, &report))?;
    open.opened.close().await?;
    Ok(if report.refused.total == 0 { Exit::Done } else { Exit::Some })
}
