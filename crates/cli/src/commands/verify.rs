//! `icefield verify VAULT [PATH]`.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use icefield_client::{
    CatalogPath,
    pattern::Pattern,
    verify::{Difference, Located, VerifyError, VerifyOptions, locate, verify},
};
use icefield_protocol::Timestamp;
use serde::Serialize;

use crate::{
    args::VaultArg,
    commands::{
        inventory::{refreshed, say_report},
        list::path_base64,
    },
    failure::{Exit, Failure},
    output::{Record, size, stdout_rows},
    session::{Session, VaultSession},
};

/// Compare files on this machine with what was archived, without retrieving anything
///
/// Reads the files and compares kind, size, tree hash and link targets with the catalog, which knows what the vault had when its
/// inventory was last read. Exit code 3 says that something differs.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The vault, as VAULT or TARGET:VAULT
    vault: VaultArg,
    /// A file or folder that was archived, itself or with a folder above it; without it everything is looked for below
    /// the current folder
    path: Option<PathBuf>,
    /// Fetch the vault's newest inventory first, so that what is in the vault no more is found
    #[arg(long)]
    refresh: bool,
}

#[derive(Debug, Serialize)]
struct DifferenceRecord {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_base64: Option<String>,
    difference: &'static str,
    why: String,
}

impl DifferenceRecord {
    fn of(path: &CatalogPath, difference: &Difference) -> Self {
        Self {
            path: path.to_lossy().into_owned(),
            path_base64: path_base64(path),
            difference: match difference {
                Difference::Missing => "missing",
                Difference::Kind { .. } => "kind",
                Difference::Size { .. } => "size",
                Difference::Content { .. } => "content",
                Difference::Target { .. } => "link-target",
                Difference::Unreadable(_) => "unreadable",
                Difference::Gone { .. } => "not-in-vault",
                Difference::Extra => "not-archived",
            },
            why: difference.to_string(),
        }
    }
}

impl Record for DifferenceRecord {
    const COLUMNS: &'static [&'static str] = &["path", "path_base64", "difference", "why"];
    const HEADINGS: &'static [&'static str] = &["PATH", "DIFFERENCE"];

    fn cells(&self) -> Vec<String> {
        vec![self.path.clone(), self.why.clone()]
    }
}

/// Runs the command.
pub(crate) async fn run(command: Verify, session: &Session) -> anyhow::Result<Exit> {
    let open = session.vault(&command.vault, false).await?;
    open.require_vault().await?;
    if command.refresh && !session.global.dry_run {
        let report = refreshed(&open, false, session).await?;
        say_report(&report, &command.vault, session);
    }
    let inventoried = open.catalog.inventoried(open.known)?;
    let hashing = session.hashing();
    let options = match &command.path {
        None => VerifyOptions {
            base: PathBuf::from("."),
            only: Vec::new(),
            extras_in: Vec::new(),
            hashing,
        },
        Some(path) => {
            let Located { base, path } =
                locate(&open.catalog, open.known, path).map_err(|error| unknown(error, &open))?;
            VerifyOptions { base, only: vec![Pattern::of(&path)], extras_in: vec![path], hashing }
        }
    };
    let mut rows = stdout_rows(session.format());
    let mut unwritten = None;
    let report = verify(&open.catalog, open.known, &options, &mut |path, difference| {
        if unwritten.is_none() {
            unwritten = rows.push(&DifferenceRecord::of(path, difference)).err();
        }
    })
    .await?;
    if let Some(error) = unwritten {
        return Err(error.into());
    }
    session.progress.finish();
    rows.finish()?;
    if report.compared == 0 && report.differences == 0 {
        return Err(Failure::failed(format!(
            "nothing was compared: the catalog knows nothing there in the vault {}",
            open.name
        ))
        .hint(refresh_hint(&open))
        .into());
    }
    let by_size = match report.by_size_only {
        0 => String::new(),
        count => format!(" ({count} of them by size only, as their tree hash is not known)"),
    };
    session.progress.note(format!(
        "{} paths are as archived{by_size}, {} differ; read {}",
        report.equal,
        report.differences,
        size(report.bytes)
    ));
    session.progress.note(how_current(inventoried, command.refresh, session));
    open.opened.close().await?;
    Ok(if report.differences == 0 { Exit::Done } else { Exit::Some })
}

/// Says of when the inventory is that the catalog knows the vault by.
fn how_current(inventoried: Option<Timestamp>, is_refreshed: bool, session: &Session) -> String {
    const ASK: &str = "--refresh reads the newest one, and finds what is in the vault no more";
    let Some(date) = inventoried else {
        return format!("no inventory of the vault was ever read here; {ASK}");
    };
    let age = Duration::from_secs(session.clock.now().saturating_since(date).as_secs());
    let age = humantime::format_duration(age);
    if is_refreshed {
        format!("the inventory is of {date} ({age} ago)")
    } else {
        format!("the last inventory that was read is of {date} ({age} ago); {ASK}")
    }
}

fn unknown(error: VerifyError, open: &VaultSession) -> Failure {
    match error {
        VerifyError::Unknown { .. } | VerifyError::Nowhere(_) => Failure::failed(error.to_string())
            .hint(format!(
                "`icefield list {}` shows what is archived; {}",
                open.name,
                refresh_hint(open)
            )),
        error => Failure::failed("the path cannot be looked for").because(error),
    }
}

fn refresh_hint(open: &VaultSession) -> String {
    format!("`icefield inventory refresh {}` asks the vault for what it has", open.name)
}
