//! What is said while and after an upload ran: records, rows of the inventory file, the end.

use std::{io, time::Duration};

use icefield_client::{
    catalog::Entry,
    inventory::InventoryFile,
    price::Cost,
    transfer::upload::{Outcome, UploadReport, UploadedFile},
};
use icefield_protocol::VaultName;
use serde::Serialize;

use super::Upload;
use crate::{
    args::Format,
    commands::{list::path_base64, would::WouldRecord},
    failure::{Exit, Failure},
    output::{ROWS_FOR_PEOPLE, Record, Rows, count, printable, size, stdout_rows},
    session::Session,
};

/// Where outcomes go: records on standard output, failures on standard error, rows of the inventory file.
pub(super) struct Told<'a> {
    rows: Rows<io::BufWriter<io::Stdout>>,
    inventory: Option<InventoryFile>,
    vault: VaultName,
    session: &'a Session,
    /// The first error of an output; what is uploaded stays uploaded.
    broken: Option<anyhow::Error>,
}

impl<'a> Told<'a> {
    pub(super) fn new(command: &Upload, session: &'a Session) -> anyhow::Result<Self> {
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

    pub(super) fn tell(&mut self, outcome: Outcome) {
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

    /// Tells scripts what a dry run would cost.
    pub(super) fn would_pay(&mut self, cost: &Cost) {
        if self.session.format() == Format::Table {
            return;
        }
        if let Err(error) = self.rows.push(&WouldRecord::pay(cost)) {
            self.broken.get_or_insert(error.into());
        }
    }

    fn keep(&mut self, entry: &Entry) -> anyhow::Result<()> {
        if let Some(file) = &mut self.inventory {
            file.append(&self.vault, entry)?;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> anyhow::Result<()> {
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

pub(super) fn say_end(report: &UploadReport, session: &Session) {
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
        (report.held, "left to another run that is uploading: run the same command again later"),
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

pub(super) fn is_nothing(report: &UploadReport) -> bool {
    let UploadReport { uploaded, noted, skipped, touched, held, failed, .. } = report;
    uploaded + noted + skipped + touched + held + failed == 0
}

pub(super) fn nothing_chosen(command: &Upload) -> Failure {
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

pub(super) fn exit(report: &UploadReport) -> Exit {
    match report {
        report if report.failed > 0 => Exit::Some,
        report if report.held > 0 => Exit::NotReady,
        _ => Exit::Done,
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
