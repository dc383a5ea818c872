//! `icefield duplicates VAULT [PATTERN...]`.

use std::ffi::OsString;

use clap::Args;
use icefield_client::catalog::Duplicate;
use serde::Serialize;

use crate::{
    args::VaultArg,
    commands::list::{knows_nothing, no_match, path_base64, patterns},
    failure::Exit,
    output::{Record, count, size, stdout_rows},
    session::{KnownVault, Session},
};

/// List what the vault stores more than once: archives of the same size and tree hash
///
/// Only the catalog is asked. What wastes most comes first; all archives of one content stand together, those of one path
/// marked as versions. With patterns (see `icefield list --help`) only what has a path that matches, with all its archives.
#[derive(Debug, Args)]
pub(crate) struct Duplicates {
    /// The vault, as VAULT or TARGET:VAULT
    vault: VaultArg,
    /// Only what has a path that matches one of these
    pattern: Vec<OsString>,
}

/// One archive of several with the same content.
#[derive(Debug, Serialize)]
struct DuplicateRecord {
    group: u64,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_base64: Option<String>,
    archive_id: Option<String>,
    size: u64,
    tree_hash: Option<String>,
    uploaded: Option<String>,
    /// Archives with this content.
    copies: u64,
    /// Bytes of all of them but one.
    wasted: u64,
    /// Whether another one of them has the same path.
    version: bool,
}

impl DuplicateRecord {
    fn of(duplicate: &Duplicate) -> Self {
        let entry = &duplicate.entry;
        Self {
            group: duplicate.group,
            path: entry.path.to_lossy().into_owned(),
            path_base64: path_base64(&entry.path),
            archive_id: entry.archive.as_ref().map(ToString::to_string),
            size: entry.size,
            tree_hash: entry.tree_hash.map(|hash| hash.to_string()),
            uploaded: entry.known_uploaded().map(|time| time.to_string()),
            copies: duplicate.copies,
            wasted: duplicate.wasted_bytes(),
            version: duplicate.is_version,
        }
    }
}

impl Record for DuplicateRecord {
    const COLUMNS: &'static [&'static str] = &[
        "group",
        "path",
        "path_base64",
        "archive_id",
        "size",
        "tree_hash",
        "uploaded",
        "copies",
        "wasted",
        "version",
    ];
    const HEADINGS: &'static [&'static str] =
        &["GROUP", "PATH", "SIZE", "UPLOADED", "WASTED", "", "ARCHIVE ID"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.group.to_string(),
            self.path.clone(),
            size(self.size),
            self.uploaded.clone().unwrap_or_default(),
            size(self.wasted),
            if self.version { "version" } else { "" }.to_owned(),
            self.archive_id.clone().unwrap_or_default(),
        ]
    }
}

/// Runs the command.
pub(crate) async fn run(command: &Duplicates, session: &Session) -> anyhow::Result<Exit> {
    let wanted = patterns(&command.pattern)?;
    let KnownVault { catalog, known, name, .. } = session.known_vault(&command.vault).await?;
    let mut rows = stdout_rows(session.format());
    let totals = catalog.for_each_duplicate(known, &wanted, &mut |duplicate| {
        rows.push(&DuplicateRecord::of(&duplicate)).map_err(anyhow::Error::from)
    })?;
    rows.finish()?;
    if totals.groups > 0 {
        session.progress.note(format!(
            "{} could go, which would save {}\nhint: to delete one of them: icefield delete {} --archive-id ID",
            count(totals.spare_archives, "archive"),
            size(totals.wasted_bytes),
            command.vault,
        ));
        return Ok(Exit::Done);
    }
    if knows_nothing(&catalog, known)? {
        let open = session.vault(&command.vault, false).await?;
        let vault = open.require_vault().await?;
        open.opened.close().await?;
        if vault.number_of_archives > 0 {
            return Err(no_match(&catalog, (known, &name), &command.pattern)?.into());
        }
    }
    let among = if wanted.is_empty() { "" } else { " of what matches" };
    session.progress.note(format!("nothing{among} is stored twice in the vault `{name}`"));
    Ok(Exit::Done)
}
