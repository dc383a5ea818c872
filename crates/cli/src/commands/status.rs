//! `icefield status`.

use std::collections::{BTreeMap, HashMap};

use clap::Args;
use icefield_client::catalog::{PendingRetrieval, PendingUpload, VaultRef};
use icefield_protocol::Timestamp;
use serde::Serialize;

use crate::{
    args::Format,
    commands::list::path_base64,
    errand::words_of,
    failure::Exit,
    output::{Record, stdout_rows},
    session::Session,
};

/// How long a job's output can be read, counted from its start: the shortest that a service promises after completion.
const OUTPUT_LIFETIME: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);

/// Show what has begun and not ended, and until when it can go on
///
/// One line for the uploads and one for the retrievals of a vault; with -v one line for each file.
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
        vec![
            self.what.to_owned(),
            self.vault.clone(),
            self.path.clone(),
            self.done.clone(),
            self.begun.clone(),
            self.until.clone().unwrap_or_default(),
            state(self.running).to_owned(),
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
        done: match (&retrieval.job, retrieval.segments.is_empty()) {
            (None, _) => "no job yet".to_owned(),
            (Some(_), true) => "job started".to_owned(),
            (Some(_), false) => "partly downloaded".to_owned(),
        },
        begun: retrieval.started.to_string(),
        until: retrieval.job.as_ref().map(|_| until(retrieval.started)),
        running: pending.held,
        upload_id: None,
        job_id: retrieval.job.as_ref().map(ToString::to_string),
        archive_id: Some(pending.key.archive.to_string()),
    }
}

/// What is pending of one kind in one vault.
#[derive(Debug, Serialize)]
struct PendingGroup {
    what: &'static str,
    vault: String,
    running: bool,
    files: u64,
    begun: String,
    until: Option<String>,
}

impl Record for PendingGroup {
    const COLUMNS: &'static [&'static str] =
        &["what", "vault", "files", "begun", "until", "running"];
    const HEADINGS: &'static [&'static str] =
        &["WHAT", "VAULT", "FILES", "BEGUN", "UNTIL", "STATE"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.what.to_owned(),
            self.vault.clone(),
            self.files.to_string(),
            self.begun.clone(),
            self.until.clone().unwrap_or_default(),
            state(self.running).to_owned(),
        ]
    }
}

fn state(running: bool) -> &'static str {
    if running { "running" } else { "interrupted" }
}

/// Counts by kind and vault, with the time of the oldest; RFC 3339 times in UTC sort as text.
fn groups(pending: &[PendingRecord]) -> impl Iterator<Item = PendingGroup> {
    let mut groups: BTreeMap<_, PendingGroup> = BTreeMap::new();
    for item in pending {
        let group = groups
            .entry((item.what == "retrieval", &item.vault, item.running))
            .or_insert_with(|| PendingGroup {
                what: item.what,
                vault: item.vault.clone(),
                running: item.running,
                files: 0,
                begun: item.begun.clone(),
                until: item.until.clone(),
            });
        group.files += 1;
        group.begun = group.begun.clone().min(item.begun.clone());
        group.until = group.until.clone().into_iter().chain(item.until.clone()).min();
    }
    groups.into_values()
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
    let mut pending = Vec::new();
    pending
        .extend(catalog.pending_uploads(None)?.iter().map(|item| upload(item, name(item.vault))));
    let retrievals = catalog.pending_retrievals(None)?;
    pending.extend(retrievals.iter().map(|item| retrieval(item, name(item.vault))));
    let mut rows = stdout_rows(session.format());
    if session.format() == Format::Table && session.global.verbose == 0 {
        for group in groups(&pending) {
            rows.push(&group)?;
        }
    } else {
        for item in &pending {
            rows.push(item)?;
        }
    }
    rows.finish()?;
    let errands = catalog.errands()?;
    for errand in &errands {
        let state = state(errand.held);
        let words = words_of(&errand.words);
        session.progress.note(format!("{state} since {}: icefield {words}", errand.begun));
    }
    session.progress.note(match (pending.len(), errands.len()) {
        (0, 0) => "nothing is pending".to_owned(),
        (count, 0) => format!("{count} pending: run the command that began them again to go on"),
        (count, _) => format!(
            "{count} pending: `icefield watch`, or the same commands typed again, go on with them"
        ),
    });
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::{PendingRecord, groups};
    use crate::output::Record as _;

    fn pending(what: &'static str, vault: &str, begun: &str, running: bool) -> PendingRecord {
        PendingRecord {
            what,
            vault: vault.to_owned(),
            path: "a".to_owned(),
            path_base64: None,
            size: None,
            done: String::new(),
            begun: begun.to_owned(),
            until: (what == "retrieval").then(|| format!("{begun}+24h")),
            running,
            upload_id: None,
            job_id: None,
            archive_id: None,
        }
    }

    #[test]
    fn what_is_pending_is_counted_by_kind_vault_and_state_from_the_oldest_on() {
        let all = [
            pending("retrieval", "a", "2024-01-03", false),
            pending("upload", "b", "2024-01-02", false),
            pending("upload", "b", "2024-01-01", false),
            pending("upload", "b", "2024-01-01", true),
            pending("retrieval", "a", "2024-01-02", false),
        ];
        let lines: Vec<_> = groups(&all).map(|group| group.cells().join(" ")).collect();
        assert_eq!(
            lines,
            [
                "upload b 2 2024-01-01  interrupted",
                "upload b 1 2024-01-01  running",
                "retrieval a 2 2024-01-02 2024-01-02+24h interrupted",
            ]
        );
    }
}
