//! `icefield verify VAULT [PATH]`.

use std::path::{Path, PathBuf};

use clap::Args;
use icefield_client::{
    CatalogPath,
    pattern::Pattern,
    verify::{Difference, VerifyOptions, verify},
};
use serde::Serialize;

use crate::{
    args::VaultArg,
    commands::list::path_base64,
    failure::{Exit, Failure},
    output::{Record, size, stdout_rows},
    session::Session,
};

/// Compare files on this machine with what was archived, without retrieving anything
///
/// Reads the files and compares kind, size, tree hash and link targets with the catalog. Exit code 3 says that something
/// differs.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The vault, as VAULT or TARGET:VAULT
    vault: VaultArg,
    /// A file or folder as it was named to `upload`; without it everything is looked for below the current folder
    path: Option<PathBuf>,
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
    let hashing = session.hashing();
    let options = match &command.path {
        None => VerifyOptions {
            base: PathBuf::from("."),
            only: Vec::new(),
            extras_in: Vec::new(),
            hashing,
        },
        Some(path) => {
            let (base, name) = split(path)?;
            VerifyOptions { base, only: vec![literal(&name)?], extras_in: vec![name], hashing }
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
    open.opened.close().await?;
    Ok(if report.differences == 0 { Exit::Done } else { Exit::Some })
}

/// Where the catalog's paths begin, and the catalog path of the argument, as `upload` has them.
fn split(path: &Path) -> anyhow::Result<(PathBuf, CatalogPath)> {
    let whole = std::path::absolute(path)?;
    // `.` and `..` at the end have no name of their own.
    let whole = if path.file_name().is_none() { whole.canonicalize()? } else { whole };
    let (Some(base), Some(name)) = (whole.parent(), whole.file_name()) else {
        return Err(Failure::usage(format!("{} has no name to look for", path.display()))
            .hint("go into the folder and leave the path out")
            .into());
    };
    Ok((base.to_owned(), CatalogPath::parse(name.as_encoded_bytes())?))
}

fn literal(name: &CatalogPath) -> anyhow::Result<Pattern> {
    let mut text = vec![b'/'];
    for byte in name.as_bytes() {
        if *byte == b'*' {
            text.push(b'\\');
        }
        text.push(*byte);
    }
    Ok(Pattern::parse(text)?)
}
