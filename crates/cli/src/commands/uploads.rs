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
    /// List incomplete multipart uploads, with their ages
    #[command(visible_alias = "ls")]
    List {
        /// The vault
        vault: VaultArg,
        /// Also how many bytes have arrived of each; asks the target for all of its parts
        #[arg(long)]
        sizes: bool,
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
    age_seconds: u64,
    /// Bytes that have arrived; `None` when nobody has asked, or there were too many parts to ask for.
    received: Option<u64>,
    description: Option<String>,
}

impl Record for UploadRecord {
    const COLUMNS: &'static [&'static str] =
        &["upload_id", "part_size", "created", "age_seconds", "received", "description"];
    const HEADINGS: &'static [&'static str] =
        &["UPLOAD", "PART SIZE", "CREATED", "AGE", "RECEIVED", "DESCRIPTION"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.upload_id.clone(),
            size(self.part_size),
            self.created.clone(),
            age(self.age_seconds),
            self.received.map_or_else(|| "-".to_owned(), size),
            self.description.clone().unwrap_or_default(),
        ]
    }
}

/// An age for people, in its largest unit: what `--older-than` takes.
fn age(seconds: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(86_400, "d"), (3600, "h"), (60, "m")];
    match UNITS.iter().find(|(unit, _)| seconds >= *unit) {
        Some((unit, name)) => format!("{}{name}", seconds / unit),
        None => format!("{seconds}s"),
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
        Uploads::List { vault, sizes } => list(&vault, sizes, session).await,
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

async fn list(vault: &VaultArg, sizes: bool, session: &Session) -> anyhow::Result<Exit> {
    let open = session.vault(vault, false).await?;
    open.require_vault().await?;
    let mut rows = stdout_rows(session.format());
    let uploads = all_uploads(&open).await?;
    if uploads.is_empty() {
        session.progress.note(format!("the vault {} has no incomplete uploads", open.name));
    }
    let now = session.clock.now();
    let mut requests = if sizes { MOST_PAGES_OF_PARTS } else { 0 };
    let mut unknown = 0_u64;
    for upload in uploads {
        let received = received(&open, &upload.upload_id, &mut requests).await?;
        unknown += u64::from(received.is_none());
        rows.push(&UploadRecord {
            upload_id: upload.upload_id.to_string(),
            part_size: upload.part_size.bytes(),
            created: upload.creation_date.to_string(),
            age_seconds: now.saturating_since(upload.creation_date).as_secs(),
            received,
            description: upload.description.map(|description| description.to_string()),
        })?;
    }
    rows.finish()?;
    if sizes && unknown > 0 {
        session.progress.note(format!(
            "the parts of {} were not asked for: {MOST_PAGES_OF_PARTS} requests are the most; `icefield uploads parts` lists them",
            count(unknown, "upload")
        ));
    }
    open.opened.close().await?;
    Ok(Exit::Done)
}

/// Requests for parts of a whole list: 50,000 parts.
const MOST_PAGES_OF_PARTS: u64 = 1000;

/// Sums up the parts that have arrived; `None` when that takes more than `requests`, which is lowered by those that were made.
async fn received(
    open: &VaultSession,
    upload: &UploadId,
    requests: &mut u64,
) -> anyhow::Result<Option<u64>> {
    let mut bytes = 0;
    let mut marker = None;
    loop {
        let Some(left) = requests.checked_sub(1) else { return Ok(None) };
        *requests = left;
        let page = open.target().list_parts(&open.name, upload, marker.as_deref()).await;
        let page = match page {
            // It was completed or aborted meanwhile.
            Err(error) if error.is_not_found() => return Ok(Some(0)),
            page => page?,
        };
        bytes += page.items.iter().map(|part| part.range.len()).sum::<u64>();
        marker = page.marker;
        if marker.is_none() {
            return Ok(Some(bytes));
        }
    }
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
    let chosen = chosen(command, &open, session).await?;
    let (vault, many) = (&open.name, chosen.uploads.len() as u64);
    let mut exit = Exit::Done;
    if chosen.uploads.is_empty() {
        session.progress.note("no upload to abort");
    } else if session.global.dry_run {
        session
            .progress
            .say(&format!("would abort {} in the vault {vault}", count(many, "upload")));
    } else {
        let many = count(many, "incomplete upload");
        let what = format!("discard what was sent by {many} to the vault {vault}");
        confirm(&session.global, &what)?;
        exit = abort_all(&chosen, &open, session).await?;
    }
    open.opened.close().await?;
    Ok(exit)
}

/// Uploads that are to be aborted.
struct Chosen {
    uploads: Vec<UploadId>,
    /// Whether the user has named each of them.
    is_named: bool,
}

async fn chosen(command: Abort, open: &VaultSession, session: &Session) -> anyhow::Result<Chosen> {
    let named: Vec<_> = command.upload_id.into_iter().chain(command.more).collect();
    if !named.is_empty() {
        return Ok(Chosen { uploads: named, is_named: true });
    }
    let now = session.clock.now();
    let least = command.older_than.unwrap_or_default();
    let old = |upload: &UploadDescription| now.saturating_since(upload.creation_date) >= least;
    let found = all_uploads(open).await?.into_iter().filter(old);
    Ok(Chosen { uploads: found.map(|upload| upload.upload_id).collect(), is_named: false })
}

async fn abort_all(
    chosen: &Chosen,
    open: &VaultSession,
    session: &Session,
) -> anyhow::Result<Exit> {
    let (mut aborted, mut failed) = (0, 0_u64);
    for upload in &chosen.uploads {
        match open.target().abort_upload(&open.name, upload).await {
            Ok(()) => aborted += 1,
            // Of those that were found by age, one may have ended by itself meanwhile.
            Err(error) if error.is_not_found() && !chosen.is_named => {}
            Err(error) => {
                failed += 1;
                let why = anyhow::Error::from(error);
                session
                    .progress
                    .say(&format!("error: the upload {upload} was not aborted: {why:#}"));
                continue;
            }
        }
        open.catalog.upload_aborted(open.known, upload)?;
    }
    if aborted > 0 {
        session.progress.note(format!("aborted {}", count(aborted, "upload")));
    }
    match (failed, aborted) {
        (0, _) => Ok(Exit::Done),
        (_, 0) => Err(Failure::failed("nothing could be aborted").into()),
        _ => Ok(Exit::Some),
    }
}

#[cfg(test)]
mod tests {
    use super::age;

    #[test]
    fn an_age_is_told_in_its_largest_unit() {
        let ages = [0, 59, 60, 3599, 3600, 86_399, 86_400, 3_000_000].map(age);
        assert_eq!(ages, ["0s", "59s", "1m", "59m", "1h", "23h", "1d", "34d"]);
    }
}
