//! `icefield target add|list|remove|test`: configuration without an editor.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use icefield_client::{api::check_endpoint, s3::parse_storage_class};
use serde::Serialize;
use toml_edit::{DocumentMut, Item, Table, value};

use crate::{
    args::TargetArg,
    config::{AWS, EMBEDDED},
    failure::{Exit, Failure, unwritable},
    output::{Record, stdout_rows},
    prompt::confirm,
    session::Session,
};

/// Name the places where vaults are
#[derive(Debug, Subcommand)]
pub(crate) enum Target {
    /// Give a place a name
    Add(Add),
    /// List the targets
    #[command(visible_alias = "ls")]
    List,
    /// Forget a target; nothing in it is touched
    #[command(visible_alias = "rm")]
    Remove {
        /// Its name
        name: String,
    },
    /// Check that a target can be reached
    Test {
        /// Its name, with or without a colon
        name: String,
    },
}

/// The kind of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A store on this machine
    Embedded,
    /// Amazon Glacier, or any server that speaks its API
    VaultApi,
    /// S3 Glacier classes
    S3,
}

/// The place and its name.
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// The name, as written before the colon in TARGET:VAULT
    name: String,
    /// What it is
    #[arg(long = "type", value_enum)]
    kind: Kind,
    /// Folder of the store (embedded)
    #[arg(long, value_name = "DIR", required_if_eq("kind", "embedded"))]
    path: Option<PathBuf>,
    /// Bucket (s3)
    #[arg(long, required_if_eq("kind", "s3"))]
    bucket: Option<String>,
    /// Prefix of the keys (s3)
    #[arg(long)]
    prefix: Option<String>,
    /// Storage class: DEEP_ARCHIVE, GLACIER (Flexible Retrieval), GLACIER_IR (Instant Retrieval) or STANDARD (s3)
    #[arg(long)]
    storage_class: Option<String>,
    /// Days that a restored archive can be read (s3) [default: 3]
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..))]
    restore_days: Option<u16>,
    /// Use it when no target is named
    #[arg(long)]
    default: bool,
}

#[derive(Debug, Serialize)]
struct TargetRecord {
    name: String,
    r#type: &'static str,
    place: String,
    default: bool,
}

impl Record for TargetRecord {
    const COLUMNS: &'static [&'static str] = &["name", "type", "place", "default"];
    const HEADINGS: &'static [&'static str] = &["TARGET", "TYPE", "PLACE", "DEFAULT"];

    fn cells(&self) -> Vec<String> {
        let default = if self.default { "yes" } else { "" };
        vec![self.name.clone(), self.r#type.to_owned(), self.place.clone(), default.to_owned()]
    }
}

/// Runs the command.
pub(crate) async fn run(command: Target, session: &Session) -> anyhow::Result<Exit> {
    match command {
        Target::Add(command) => add(&command, session),
        Target::List => list(session),
        Target::Remove { name } => remove(&name, session),
        Target::Test { name } => test(&name, session).await,
    }
}

fn add(command: &Add, session: &Session) -> anyhow::Result<Exit> {
    let name = &command.name;
    if name.is_empty()
        || !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
    {
        return Err(Failure::usage(format!("`{name}` is no name for a target"))
            .hint("a name consists of letters, digits, `_`, `-` and `.`")
            .into());
    }
    if let (Kind::S3, Some(class)) = (command.kind, &command.storage_class) {
        parse_storage_class(class)
            .map_err(|error| Failure::usage("the target cannot be added").because(error))?;
    }
    let global = &session.global;
    let text = |value: &Option<String>| value.clone();
    if let Some(endpoint) = &global.endpoint_url {
        check_endpoint(endpoint).map_err(|error| Failure::usage(error.to_string()))?;
    }
    let (kind, settings) = match command.kind {
        Kind::Embedded => {
            let given = command.path.as_deref().unwrap_or(Path::new(""));
            let path = std::path::absolute(given)?;
            let path = path
                .to_str()
                .ok_or_else(|| Failure::usage("the path of a store must be valid UTF-8"))?;
            ("embedded", vec![("path", Some(path.to_owned()))])
        }
        Kind::VaultApi => (
            "vault-api",
            vec![
                ("region", text(&global.region)),
                ("profile", text(&global.profile)),
                ("endpoint", text(&global.endpoint_url)),
            ],
        ),
        Kind::S3 => (
            "s3",
            vec![
                ("bucket", text(&command.bucket)),
                ("prefix", text(&command.prefix)),
                ("storage_class", text(&command.storage_class)),
                ("region", text(&global.region)),
                ("profile", text(&global.profile)),
                ("endpoint", text(&global.endpoint_url)),
            ],
        ),
    };
    let mut document = read(&session.config.file)?;
    let targets = document.entry("target").or_insert_with(|| {
        let mut targets = Table::new();
        targets.set_implicit(true);
        Item::Table(targets)
    });
    let targets = targets
        .as_table_mut()
        .ok_or_else(|| Failure::usage("`target` in the configuration is no table"))?;
    if targets.contains_key(name) {
        return Err(Failure::usage(format!("there is a target named `{name}` already"))
            .hint(format!("to replace it: icefield target remove {name}"))
            .into());
    }
    let mut target = Table::new();
    target.insert("type", value(kind));
    for (key, setting) in settings {
        if let Some(setting) = setting {
            target.insert(key, value(setting));
        }
    }
    if let Some(days) = command.restore_days.filter(|_| command.kind == Kind::S3) {
        target.insert("restore_days", value(i64::from(days)));
    }
    targets.insert(name, Item::Table(target));
    if command.default {
        document.insert("default_target", value(name.as_str()));
    }
    if session.global.dry_run {
        session
            .progress
            .say(&format!("would write to {}:\n{document}", session.config.file.display()));
        return Ok(Exit::Done);
    }
    write(&session.config.file, &document)?;
    session
        .progress
        .note(format!("added the target `{name}` to {}", session.config.file.display()));
    Ok(Exit::Done)
}

fn list(session: &Session) -> anyhow::Result<Exit> {
    let mut rows = stdout_rows(session.format());
    for (name, target) in session.config.targets() {
        rows.push(&TargetRecord {
            default: name == session.config.default_target(),
            r#type: target.kind(),
            place: target.place(&session.config.store),
            name,
        })?;
    }
    rows.finish()?;
    Ok(Exit::Done)
}

fn remove(name: &str, session: &Session) -> anyhow::Result<Exit> {
    let mut document = read(&session.config.file)?;
    let targets = document.get_mut("target").and_then(Item::as_table_mut);
    if targets.and_then(|targets| targets.remove(name)).is_none() {
        let failure = Failure::usage(format!(
            "{} has no target named `{name}`",
            session.config.file.display()
        ));
        return Err(match name {
            EMBEDDED | AWS => {
                failure.hint("this target exists without configuration and cannot be removed")
            }
            _ => failure.hint("see `icefield target list`"),
        }
        .into());
    }
    if document.get("default_target").and_then(Item::as_str) == Some(name) {
        document.remove("default_target");
    }
    if session.global.dry_run {
        session.progress.say(&format!("would remove the target `{name}`"));
        return Ok(Exit::Done);
    }
    confirm(&session.global, &format!("forget the target `{name}` (its vaults stay as they are)"))?;
    write(&session.config.file, &document)?;
    Ok(Exit::Done)
}

async fn test(name: &str, session: &Session) -> anyhow::Result<Exit> {
    let name = name.parse().map_or_else(|_| name.to_owned(), |TargetArg(name)| name);
    let open = session.target(Some(&name), false).await?;
    let vaults = open.target.list_vaults(None).await?;
    let more = if vaults.marker.is_some() { " or more" } else { "" };
    session.progress.note(format!(
        "{}: works, {}{more} vaults",
        open.target.describe(),
        vaults.items.len()
    ));
    open.close().await?;
    Ok(Exit::Done)
}

fn read(file: &Path) -> anyhow::Result<DocumentMut> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(text.parse()?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(DocumentMut::new()),
        Err(error) => {
            Err(Failure::failed(format!("cannot read {}", file.display())).because(error).into())
        }
    }
}

/// Replaces the file as a whole, so that a crash leaves the old or the new configuration.
fn write(file: &Path, document: &DocumentMut) -> anyhow::Result<()> {
    // A link stays one, to the file that it leads to.
    let place = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let file = place.as_path();
    let folder =
        file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let unwritable = |error| unwritable(file, error);
    std::fs::create_dir_all(folder).map_err(unwritable)?;
    let new = tempfile::NamedTempFile::new_in(folder).map_err(unwritable)?;
    std::fs::write(new.path(), document.to_string()).map_err(unwritable)?;
    new.as_file().sync_all().map_err(unwritable)?;
    new.persist(file).map_err(|error| unwritable(error.error))?;
    Ok(())
}
