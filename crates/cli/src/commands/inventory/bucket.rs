//! `icefield inventory push|pull`: the catalog as a file in a bucket, so that it survives the workstation.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
};

use clap::Args;
use futures_util::StreamExt as _;
use icefield_client::{
    catalog::EntryQuery,
    inventory::{ExportForm, import, write},
    s3::{BucketFile, FileError},
};
use icefield_protocol::VaultName;
use serde::Serialize;

use super::{ImportRecord, say_refused};
use crate::{
    args::VaultArg,
    commands::list::knows_nothing,
    failure::{Exit, Failure},
    output::{Record, one, size},
    remote::{RemotePlace, sdk_config},
    s3,
    session::{KnownVault, Session},
};

/// What is looked at of a file before it is replaced.
const BEGINNING_BYTES: u64 = 64 << 10;

/// A vault and a file in a bucket.
#[derive(Debug, Args)]
pub(crate) struct Shared {
    /// The vault
    pub(super) vault: VaultArg,
    /// The file, as s3://BUCKET/KEY; region, profile and endpoint are those of the options, else of the AWS environment
    pub(super) file: BucketFile,
}

#[derive(Debug, Serialize)]
struct PushRecord {
    vault: String,
    file: String,
    rows: u64,
    size: u64,
    left_out: u64,
}

impl Record for PushRecord {
    const COLUMNS: &'static [&'static str] = &["vault", "file", "rows", "size", "left_out"];
    const HEADINGS: &'static [&'static str] = &["VAULT", "FILE", "ROWS", "SIZE", "LEFT OUT"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.vault.clone(),
            self.file.clone(),
            self.rows.to_string(),
            size(self.size),
            self.left_out.to_string(),
        ]
    }
}

/// Writes the catalog of a vault to the bucket.
pub(super) async fn push(command: &Shared, session: &Session) -> anyhow::Result<Exit> {
    let Shared { vault, file } = command;
    let KnownVault { catalog, known, name, .. } = session.catalog_of(vault).await?;
    if knows_nothing(&catalog, known)? {
        return Err(Failure::failed(format!("the catalog knows nothing of the vault {name}"))
            .hint(format!("to learn what it holds: icefield inventory refresh {vault}"))
            .into());
    }
    let client =
        s3::client(session, &sdk_config(session, &RemotePlace::default(), s3::SERVICE).await)?;
    let before = file.beginning(&client, BEGINNING_BYTES).await?;
    if let Some((beginning, _)) = &before
        && !is_inventory_of(beginning, &name)
    {
        return Err(Failure::failed(format!(
            "{file} exists and is no inventory of the vault {name}: it is left as it is"
        ))
        .hint("name another key")
        .into());
    }
    let temporary = tempfile::NamedTempFile::new()?;
    let mut out = BufWriter::new(temporary.as_file());
    let query = EntryQuery { versions: true, as_of: None };
    let report = write(&catalog, known, &name, &query, &ExportForm::Icefield, &mut out)?;
    out.flush()?;
    drop(out);
    let bytes = temporary.as_file().metadata()?.len();
    if session.global.dry_run {
        session.progress.say(&format!("would write {} rows to {file}", report.written));
        return Ok(Exit::Done);
    }
    let etag = before.as_ref().map(|(_, etag)| etag.as_deref().unwrap_or_default());
    file.replace(&client, temporary.path(), etag, &session.hashing()).await.map_err(|error| {
        match error {
            error @ FileError::Changed(_) => {
                anyhow::Error::from(Failure::failed(error.to_string()))
            }
            error => Failure::failed(format!("cannot write {file}")).because(error).into(),
        }
    })?;
    say_refused(&report.left_out, session);
    one(
        session.format(),
        &PushRecord {
            vault: name.to_string(),
            file: file.to_string(),
            rows: report.written,
            size: bytes,
            left_out: report.left_out.total,
        },
    )?;
    Ok(if report.left_out.total == 0 { Exit::Done } else { Exit::Some })
}

/// Takes a file from the bucket into the catalog of a vault.
pub(super) async fn pull(command: &Shared, session: &Session) -> anyhow::Result<Exit> {
    let Shared { vault, file } = command;
    let KnownVault { catalog, known, name, .. } = session.catalog_of(vault).await?;
    let client =
        s3::client(session, &sdk_config(session, &RemotePlace::default(), s3::SERVICE).await)?;
    if session.global.dry_run {
        session.progress.say(&format!("would take {file} into the catalog of the vault {name}"));
        return Ok(Exit::Done);
    }
    let mut temporary = tempfile::NamedTempFile::new()?;
    let mut chunks = file.read(&client).await?;
    while let Some(chunk) = chunks.next().await {
        temporary.write_all(&chunk?)?;
    }
    let reader = File::open(temporary.path())?;
    let report = import(&catalog, known, reader, session.clock.now())
        .map_err(|error| Failure::failed(format!("cannot use {file}")).because(error))?;
    say_refused(&report.refused, session);
    one(session.format(), &ImportRecord::of(&name, &report))?;
    Ok(if report.refused.total == 0 { Exit::Done } else { Exit::Some })
}

/// Whether a file that begins so is icefield's inventory of a vault.
fn is_inventory_of(beginning: &[u8], vault: &VaultName) -> bool {
    let mut rows =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(beginning);
    let mut rows = rows.records().map_while(Result::ok);
    let Some(names) = rows.next() else { return false };
    if names.iter().take(3).ne(["FilePath", "ArchiveId", "Checksum"]) {
        return false;
    }
    let Some(column) = names.iter().position(|name| name == "Vault") else { return false };
    rows.next().is_none_or(|row| row.get(column) == Some(vault.as_str()))
}

#[cfg(test)]
mod tests {
    use icefield_protocol::VaultName;

    use super::is_inventory_of;

    #[test]
    fn only_an_inventory_of_the_vault_is_replaced() {
        let vault = VaultName::parse("photos").unwrap();
        let names = "FilePath,ArchiveId,Checksum,Size,Modified,Mode,Uploaded,Vault\n";
        let is = |text: &str| is_inventory_of(text.as_bytes(), &vault);
        assert!(is(names));
        assert!(is(&format!("{names}a,x,y,1,,,,photos\nb,x,y,1,,,,photos\n")));
        for other in [
            format!("{names}a,x,y,1,,,,frames\n"),
            "FilePath,ArchiveId,Checksum\na,x,y\n".to_owned(),
            "my diary\n".to_owned(),
            "\u{0}\u{1}".to_owned(),
            String::new(),
        ] {
            assert!(!is(&other), "{other:?}");
        }
    }
}
