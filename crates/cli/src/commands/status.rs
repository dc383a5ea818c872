//! `icefield status`.

use std::collections::HashMap;

use clap::Args;
use icefield_client::catalog::{PendingRetrieval, PendingUpload, VaultRef};
use icefield_protocol::Timestamp;
use serde::Serialize;

use crate::{
    commands::list::path_base64,
    failure::Exit,
    output::{Record, stdout_rows},
    session::Session,
};

/// How long a job's output can be read, counted from its start: the shortest that a service promises after completion.
const OUTPUT_LIFETIME: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);

/// Show what has begun and not ended, and until when it can go on
#[derive(Debug, Args)]
pub(crate) struct Status {}

#[derive(Debug, Serialize)]
struct PendingRecord {
    what: &'static str,
    vault: String,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_base64: Option<String>,
    size: Option<u64>,
    done: String,
    begun: String,
    until: Option<String>,
    running: bool,
    upload_id: Option<String>,
    job_id: Option<String>,
    archive_id: Option<String>,
}

impl Record for PendingRecord {
    const COLUMNS: &'static [&'static str] = &[
        "what",
        "vault",
        "path",
        "path_base64",
        "size",
        "done",
        "begun",
        "until",
        "running",
        "upload_id",
        "job_id",
        "archive_id",
    ];
    const HEADINGS: &'static [&'static str] =
        &["WHAT", "VAULT", "PATH", "DONE", "BEGUN", "UNTIL", "STATE"];

    fn cells(&self) -> Vec<String> {
        let state = if self.running { "running" } else { "interrupted" };
        vec![
            self.what.to_owned(),
            self.vault.clone(),
            self.path.clone(),
            self.done.clone(),
            self.begun.clone(),
            self.until.clone().unwrap_or_default(),
            state.to_owned(),
        ]
    }
}

fn upload(pending: &PendingUpload, vault: String) -> PendingRecord {
    PendingRecord {
        what: "upload",
        vault,
        path: pending.path.to_lossy().into_owned(),
        path_base64: path_base64(&pending.path),
        size: Some(pending.size),
        done: match pending.part_size {
            Some(part_size) => {
                format!("{} of {} parts", pending.parts_done, part_size.count(pending.size))
            }
            None => "nothing yet".to_owned(),
        },
        begun: pending.begun.to_string(),
        until: None,
        running: pending.held,
        upload_id: pending.upload.as_ref().map(ToString::to_string),
        job_id: None,
        archive_id: None,
    }
}

fn retrieval(pending: &PendingRetrieval, vault: String) -> PendingRecord {
    let retrieval = &pending.retrieval;
    let until = |started: Timestamp| started.saturating_add(OUTPUT_LIFETIME).to_string();
    let destination = retrieval.destination.as_ref().map(|path| path.display().to_string());
    PendingRecord {
        what: "retrieval",
        vault,
        path: destination.unwrap_or_default(),
        path_base64: None,
        size: None,
        done: match (&retrieval.job, retrieval.segments.len()) {
            (None, _) => "no job yet".to_owned(),
            (Some(_), 0) => "job started".to_owned(),
            (Some(_), segments) => format!("{segments} segments"),
        },
        begun: retrieval.started.to_string(),
        until: retrieval.job.as_ref().map(|_| until(retrieval.started)),
        running: pending.held,
        upload_id: None,
        job_id: retrieval.job.as_ref().map(ToString::to_string),
        archive_id: Some(pending.key.archive.to_string()),
    }
}

/// Runs the command.
pub(crate) async fn run(_: Status, session: &Session) -> anyhow::Result<Exit> {
    let catalog = session.catalog()?;
    let names: HashMap<VaultRef, String> = catalog
        .all_vaults()?
        .into_iter()
        .map(|(known, _, name)| (known, name.to_string()))
        .collect();
    let name = |known: VaultRef| names.get(&known).cloned().unwrap_or_default();
    let mut rows = stdout_rows(session.format());
    let mut pending = 0_u64;
    for item in catalog.pending_uploads(None)? {
        rows.push(&upload(&item, name(item.vault)))?;
        pending += 1;
    }
    for item in catalog.pending_retrievals(None)? {
        rows.push(&retrieval(&item, name(item.vault)))?;
        pending += 1;
    }
    rows.finish()?;
    session.progress.note(match pending {
        0 => "nothing is pending".to_owned(),
        _ => format!("{pending} pending: run the command that began them again to go on"),
    });
    Ok(Exit::Done)
}
