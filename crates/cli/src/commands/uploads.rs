//! `icefield uploads list|parts|abort`.

use std::time::Duration;

use clap::{Args, Subcommand};
use icefield_client::target::PartMark;
use icefield_protocol::{UploadDescription, UploadId};
use serde::Serialize;

use crate::{
    args::VaultArg,
    failure::{Exit, Failure},
    output::{Record, count, size, stdout_rows},
    prompt::confirm,
    session::{Session, VaultSession},
};

/// See and clean up incomplete multipart uploads
#[derive(Debug, Subcommand)]
pub(crate) enum Uploads {
    /// List incomplete multipart uploads
    #[command(visible_alias = "ls")]
    List {
        /// The vault
        vault: VaultArg,
    },
    /// List the parts of one upload that have arrived
    Parts {
        /// The vault
        vault: VaultArg,
        /// The upload's ID
        #[arg(allow_hyphen_values = true)]
        upload_id: UploadId,
    },
    /// Abort incomplete uploads: what they have sent so far is discarded
    Abort(Abort),
}

/// Which uploads to abort.
#[derive(Debug, Args)]
pub(crate) struct Abort {
    /// The vault
    vault: VaultArg,
    /// The upload's ID
    #[arg(allow_hyphen_values = true, required_unless_present_any = ["older_than", "all"], conflicts_with_all = ["older_than", "all"])]
    upload_id: Option<UploadId>,
    /// IDs of more uploads; one that begins with `-` stands behind `--`
    // A list that takes leading dashes would take the options behind it as well.
    #[arg(value_name = "UPLOAD_ID")]
    more: Vec<UploadId>,
    /// Abort those begun longer ago than this, for example 1d
    #[arg(long, value_name = "AGE", value_parser = humantime::parse_duration)]
    older_than: Option<Duration>,
    /// Abort all of them
    #[arg(long, conflicts_with = "older_than")]
    all: bool,
}

#[derive(Debug, Serialize)]
struct UploadRecord {
    upload_id: String,
    part_size: u64,
    created: String,
    description: Option<String>,
}

impl Record for UploadRecord {
    const COLUMNS: &'static [&'static str] = &["upload_id", "part_size", "created", "description"];
    const HEADINGS: &'static [&'static str] = &["UPLOAD", "PART SIZE", "CREATED", "DESCRIPTION"];

    fn cells(&self) -> Vec<String> {
        let description = self.description.clone().unwrap_or_default();
        vec![self.upload_id.clone(), size(self.part_size), self.created.clone(), description]
    }
}

#[derive(Debug, Serialize)]
struct PartRecord {
    range: String,
    size: u64,
    tree_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
}

impl Record for PartRecord {
    const COLUMNS: &'static [&'static str] = &["range", "size", "tree_hash", "etag"];
    const HEADINGS: &'static [&'static str] = &["RANGE", "SIZE", "TREE HASH OR ETAG"];

    fn cells(&self) -> Vec<String> {
        let hash = self.tree_hash.clone().or_else(|| self.etag.clone());
        vec![self.range.clone(), size(self.size), hash.unwrap_or_default()]
    }
}

/// Runs the command.
pub(crate) async fn run(command: Uploads, session: &Session) -> anyhow::Result<Exit> {
    match command {
        Uploads::List { vault } => list(&vault, session).await,
        Uploads::Parts { vault, upload_id } => parts(&vault, &upload_id, session).await,
        Uploads::Abort(command) => abort(command, session).await,
    }
}

async fn all_uploads(open: &VaultSession) -> anyhow::Result<Vec<UploadDescription>> {
    let mut uploads = Vec::new();
    let mut marker = None;
    loop {
        let page = open.target().list_uploads(&open.name, marker.as_deref()).await?;
        uploads.extend(page.items);
        marker = page.marker;
        if marker.is_none() {
            return Ok(uploads);
        }
    }
}

async fn list(vault: &VaultArg, session: &Session) -> anyhow::Result<Exit> {
    let open = session.vault(vault, false).await?;
    open.require_vault().await?;
    let mut rows = stdout_rows(session.format());
    let uploads = all_uploads(&open).await?;
    if uploads.is_empty() {
        session.progress.note(format!("the vault {} has no incomplete uploads", open.name));
    }
    for upload in uploads {
        rows.push(&UploadRecord {
            upload_id: upload.upload_id.to_string(),
            part_size: upload.part_size.bytes(),
            created: upload.creation_date.to_string(),
            description: upload.description.map(|description| description.to_string()),
        })?;
    }
    rows.finish()?;
    open.opened.close().await?;
    Ok(Exit::Done)
}

async fn parts(vault: &VaultArg, upload: &UploadId, session: &Session) -> anyhow::Result<Exit> {
    let open = session.vault(vault, false).await?;
    open.require_vault().await?;
    let mut rows = stdout_rows(session.format());
    let mut marker = None;
    loop {
        let page = open.target().list_parts(&open.name, upload, marker.as_deref()).await?;
        for part in &page.items {
            rows.push(&PartRecord {
                range: part.range.to_string(),
                size: part.range.len(),
                tree_hash: match &part.mark {
                    PartMark::TreeHash(hash) => Some(hash.to_string()),
                    PartMark::Etag(_) => None,
                },
                etag: match &part.mark {
                    PartMark::TreeHash(_) => None,
                    PartMark::Etag(etag) => Some(etag.clone()),
                },
            })?;
        }
        marker = page.marker;
        if marker.is_none() {
            break;
        }
    }
    rows.finish()?;
    open.opened.close().await?;
    Ok(Exit::Done)
}

async fn abort(command: Abort, session: &Session) -> anyhow::Result<Exit> {
    let open = session.vault(&command.vault, false).await?;
    open.require_vault().await?;
    let mut chosen: Vec<_> = command.upload_id.into_iter().chain(command.more).collect();
    if chosen.is_empty() {
        let now = session.clock.now();
        let least = command.older_than.unwrap_or_default();
        let old = |upload: &UploadDescription| now.saturating_since(upload.creation_date) >= least;
        chosen = all_uploads(&open)
            .await?
            .into_iter()
            .filter(old)
            .map(|upload| upload.upload_id)
            .collect();
    }
    if chosen.is_empty() {
        session.progress.note("no upload to abort");
    } else if session.global.dry_run {
        session.progress.say(&format!(
            "would abort {} in the vault {}",
            count(chosen.len() as u64, "upload"),
            open.name
        ));
    } else {
        let what = format!(
            "discard what was sent by {} to the vault {}",
            count(chosen.len() as u64, "incomplete upload"),
            open.name
        );
        confirm(&session.global, &what)?;
        for upload in &chosen {
            open.target().abort_upload(&open.name, upload).await.map_err(|error| {
                Failure::failed(format!("the upload {upload} was not aborted")).because(error)
            })?;
            open.catalog.upload_aborted(open.known, upload)?;
        }
        session.progress.note(format!("aborted {}", count(chosen.len() as u64, "upload")));
    }
    open.opened.close().await?;
    Ok(Exit::Done)
}
