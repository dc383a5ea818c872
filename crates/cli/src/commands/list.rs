//! `icefield list VAULT [PATTERN...]`.

use std::ffi::OsString;

use base64::Engine as _;
use clap::Args;
use icefield_client::{
    CatalogPath,
    catalog::{Catalog, CatalogError, Entry, EntryQuery, FileTime, Kind, VaultRef},
    pattern::{Pattern, nearest_names},
};
use icefield_protocol::{Timestamp, VaultName};
use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    args::VaultArg,
    commands::job::parse_as_of,
    failure::{Exit, Failure},
    output::{Record, size, stdout_rows},
    session::{KnownVault, Session},
};

/// List what the catalog knows of a vault
///
/// Patterns: `*` stays within one folder, `**` crosses folders, a folder's name means everything below it, a pattern
/// without `/` matches names at any depth. Quote them, so that the shell leaves them alone.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// The vault, as VAULT or TARGET:VAULT
    vault: VaultArg,
    /// Only paths that match one of these
    pattern: Vec<OsString>,
    /// Older versions too
    #[arg(long)]
    versions: bool,
    /// As it was at this time: 2024-05-01T12:00:00Z, or a date, which is the end of that day (UTC)
    #[arg(long, value_name = "TIME", value_parser = parse_as_of)]
    as_of: Option<Timestamp>,
}

/// A listed archive (or folder, link, empty file).
#[derive(Debug, Serialize)]
pub(crate) struct EntryRecord {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_base64: Option<String>,
    kind: &'static str,
    archive_id: Option<String>,
    size: Option<u64>,
    tree_hash: Option<String>,
    modified: Option<String>,
    mode: Option<String>,
    uploaded: Option<String>,
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    link_target: Option<String>,
}

impl EntryRecord {
    pub(crate) fn of(entry: &Entry) -> Self {
        Self {
            path: entry.path.to_lossy().into_owned(),
            path_base64: path_base64(&entry.path),
            kind: match entry.kind {
                Kind::File => "file",
                Kind::Folder => "folder",
                Kind::Link => "link",
            },
            archive_id: entry.archive.as_ref().map(ToString::to_string),
            size: entry.known_size(),
            tree_hash: entry.tree_hash.map(|hash| hash.to_string()),
            modified: entry.mtime.and_then(rfc3339),
            mode: entry.mode.map(|mode| format!("{mode:04o}")),
            uploaded: entry.known_uploaded().map(|time| time.to_string()),
            description: entry.description.clone(),
            link_target: entry
                .link_target
                .as_ref()
                .map(|link| String::from_utf8_lossy(link).into_owned()),
        }
    }
}

impl Record for EntryRecord {
    const COLUMNS: &'static [&'static str] = &[
        "path",
        "path_base64",
        "kind",
        "archive_id",
        "size",
        "tree_hash",
        "modified",
        "mode",
        "uploaded",
        "description",
        "link_target",
    ];
    const HEADINGS: &'static [&'static str] =
        &["PATH", "SIZE", "MODIFIED", "UPLOADED", "TREE HASH", "ARCHIVE ID"];

    fn cells(&self) -> Vec<String> {
        let path = match (&self.link_target, self.kind) {
            (Some(target), _) => format!("{} -> {target}", self.path),
            (None, "folder") => format!("{}/", self.path),
            (None, _) => self.path.clone(),
        };
        // The first digits are enough to compare by eye; the other forms have all of it.
        let short = |text: &Option<String>, digits: usize| {
            text.as_deref().map(|t| t.chars().take(digits).collect())
        };
        vec![
            path,
            self.size.filter(|_| self.kind == "file").map(size).unwrap_or_default(),
            self.modified.as_deref().map(seconds).unwrap_or_default(),
            self.uploaded.as_deref().map(seconds).unwrap_or_default(),
            short(&self.tree_hash, 16).unwrap_or_default(),
            self.archive_id.clone().unwrap_or_default(),
        ]
    }
}

/// The bytes of a path that is not UTF-8.
pub(crate) fn path_base64(path: &CatalogPath) -> Option<String> {
    path.as_utf8()
        .is_none()
        .then(|| base64::engine::general_purpose::STANDARD.encode(path.as_bytes()))
}

/// A file's time as RFC 3339 in UTC, with the fraction it has.
pub(crate) fn rfc3339(mtime: FileTime) -> Option<String> {
    let nanos = i128::from(mtime.seconds) * 1_000_000_000 + i128::from(mtime.nanos);
    OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()?.format(&Rfc3339).ok()
}

fn seconds(time: &str) -> String {
    match time.split_once('.') {
        Some((whole, _)) => format!("{whole}Z"),
        None => time.to_owned(),
    }
}

/// Reads patterns as the user wrote them.
pub(crate) fn patterns(words: &[OsString]) -> anyhow::Result<Vec<Pattern>> {
    words
        .iter()
        .map(|word| {
            Pattern::parse(word.as_encoded_bytes()).map_err(|error| {
                Failure::usage(format!("`{}` is no pattern", word.to_string_lossy()))
                    .because(error)
                    .into()
            })
        })
        .collect()
}

/// Whether the catalog holds no entry of a vault.
pub(crate) fn knows_nothing(catalog: &Catalog, vault: VaultRef) -> Result<bool, CatalogError> {
    let query = EntryQuery { versions: true, as_of: None };
    match catalog.for_each(vault, &query, &mut |_| Err(None)) {
        Ok(()) => Ok(true),
        Err(None) => Ok(false),
        Err(Some(error)) => Err(error),
    }
}

/// Names the patterns that match nothing while others do; returns whether there are any.
pub(crate) fn say_unmatched(unmatched: &[usize], wanted: &[OsString], session: &Session) -> bool {
    for pattern in unmatched.iter().filter_map(|place| wanted.get(*place)) {
        session.progress.say(&format!("warning: nothing matches `{}`", pattern.display()));
    }
    !unmatched.is_empty()
}

/// Says that a pattern matched nothing, and what it may have meant.
pub(crate) fn no_match(
    catalog: &Catalog,
    (known, vault): (VaultRef, &VaultName),
    words: &[OsString],
) -> anyhow::Result<Failure> {
    let mut names = Vec::new();
    let mut collect = |entry: Entry| -> anyhow::Result<()> {
        // A slip is looked for among the first names only, so that memory stays bounded.
        const NAMES_AT_MOST: usize = 100_000;
        if names.len() < NAMES_AT_MOST {
            names.push(String::from_utf8_lossy(entry.path.name()).into_owned());
        }
        Ok(())
    };
    catalog.for_each(known, &EntryQuery { versions: false, as_of: None }, &mut collect)?;
    if names.is_empty() {
        return Ok(Failure::failed(format!("the catalog knows nothing in the vault `{}`", vault))
            .hint(format!("to fill it from the vault: icefield inventory refresh {}", vault)));
    }
    let wanted = words.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
    let failure = Failure::failed(format!("nothing in the vault `{}` matches `{wanted}`", vault));
    let name = wanted.rsplit('/').next().unwrap_or_default();
    Ok(match nearest_names(name, names, 3).join("`, `") {
        near if near.is_empty() => {
            failure.hint(format!("see what there is: icefield list {}", vault))
        }
        near => failure.hint(format!("did you mean `{near}`?")),
    })
}

/// Runs the command.
pub(crate) async fn run(command: List, session: &Session) -> anyhow::Result<Exit> {
    let wanted = patterns(&command.pattern)?;
    let KnownVault { catalog, known, name, .. } = session.known_vault(&command.vault).await?;
    let mut rows = stdout_rows(session.format());
    let mut found = false;
    let query = EntryQuery { versions: command.versions, as_of: command.as_of };
    catalog.for_each(known, &query, &mut |entry: Entry| -> anyhow::Result<()> {
        if wanted.is_empty() || wanted.iter().any(|pattern| pattern.matches(&entry.path)) {
            found = true;
            rows.push(&EntryRecord::of(&entry))?;
        }
        Ok(())
    })?;
    rows.finish()?;
    if !found {
        let open = session.vault(&command.vault, false).await?;
        let vault = open.require_vault().await?;
        open.opened.close().await?;
        if wanted.is_empty() && vault.number_of_archives == 0 {
            session.progress.note(format!("the vault `{name}` is empty"));
            return Ok(Exit::Done);
        }
        if wanted.is_empty() && !knows_nothing(&catalog, known)? {
            session.progress.note(format!("nothing was in the vault `{name}` at that time"));
            return Ok(Exit::Done);
        }
        let nothing = no_match(&catalog, (known, &name), &command.pattern)?;
        if !wanted.is_empty() {
            return Err(nothing.into());
        }
        session.progress.note(nothing.to_string());
        for hint in &nothing.hints {
            session.progress.note(format!("hint: {hint}"));
        }
    }
    Ok(Exit::Done)
}
