//! The catalog as an inventory file, streaming.

use std::io::{self, Write};

use icefield_protocol::{
    ArchiveId, CsvInventoryWriter, Description, InventoryItem, JsonInventoryWriter, Timestamp,
    VaultArn, VaultName,
};

use super::{
    Refusal, Refusals,
    columns::{COLUMNS, row},
    journal,
    listing::Listed,
};
use crate::{
    catalog::{Catalog, CatalogError, Entry, EntryQuery, Kind, ManifestArchive, VaultRef},
    description::{ArchiveNote, encode},
};

/// The form of a file to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExportForm {
    /// icefield's own CSV.
    Icefield,
    /// One JSON array of listed archives.
    Json,
    /// A listed archive per line.
    JsonLines,
    /// The service's inventory as JSON: every archive, nothing without bytes.
    ServiceJson {
        /// The vault, as the service names it.
        vault_arn: VaultArn,
        /// The date of the inventory.
        date: Timestamp,
    },
    /// The service's inventory as CSV: every archive, nothing without bytes.
    ServiceCsv,
    /// A journal of mt-aws-glacier: every archive under one path, nothing without bytes.
    MtGlacierJournal,
    /// As PowerShell's `Export-Csv` writes the results of `Write-GLCArchive`: nothing without bytes.
    PowerShell,
}

/// What was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExportReport {
    /// Rows or items.
    pub written: u64,
    /// What the form cannot hold: in those of the service and of mtglacier archives whose size, date or tree hash is not
    /// known yet, in those of other programs paths that are not UTF-8.
    pub left_out: Refusals,
}

/// Writing an inventory file failed.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The file could not be written.
    #[error("cannot write the inventory file")]
    Write(#[from] io::Error),
    /// The catalog could not be read.
    #[error("cannot read the catalog")]
    Catalog(#[from] CatalogError),
}

/// Writes what `query` selects of a vault, by path, to `out`, which should be buffered.
///
/// The forms of the service have every version, whatever `query` says; an archive whose description is not known gets
/// the one that icefield would give it. They have the manifest archives too, so that what has no bytes is not lost.
///
/// # Errors
///
/// When the catalog or `out` fails.
pub fn write(
    catalog: &Catalog,
    vault: VaultRef,
    name: &VaultName,
    query: &EntryQuery,
    form: &ExportForm,
    out: impl Write,
) -> Result<ExportReport, WriteError> {
    match form {
        ExportForm::Icefield => own(catalog, vault, name, query, out),
        ExportForm::Json => json(catalog, vault, query, out, ["[\n", ",\n", "\n]\n"]),
        ExportForm::JsonLines => json(catalog, vault, query, out, ["", "\n", "\n"]),
        ExportForm::ServiceJson { vault_arn, date } => {
            let mut writer = JsonInventoryWriter::new(out, vault_arn, *date)?;
            let report = items(catalog, vault, query, &mut |item| writer.item(item))?;
            writer.finish()?;
            Ok(report)
        }
        ExportForm::ServiceCsv => {
            let mut writer = CsvInventoryWriter::new(out)?;
            let report = items(catalog, vault, query, &mut |item| writer.item(item))?;
            writer.finish()?;
            Ok(report)
        }
        ExportForm::MtGlacierJournal => mtglacier(catalog, vault, query, out),
        ExportForm::PowerShell => power_shell(catalog, vault, query, out),
    }
}

/// Writes a line for each archive; mtglacier takes a journal with the same archive twice for damaged.
fn mtglacier(
    catalog: &Catalog,
    vault: VaultRef,
    query: &EntryQuery,
    mut out: impl Write,
) -> Result<ExportReport, WriteError> {
    let report = archives(catalog, vault, query, &mut |entry, archive| {
        let first = catalog.by_archive(vault, archive)?.into_iter().next();
        if let Some(first) = first.filter(|first| first.path != entry.path) {
            return Ok(Err(format!("a journal names an archive once, and it is {}", first.path)));
        }
        match journal::line(entry) {
            Ok(line) => out.write_all(line.as_bytes())?,
            Err(why) => return Ok(Err(why.to_owned())),
        }
        Ok(Ok(()))
    })?;
    out.flush()?;
    Ok(report)
}

/// Returns what failed beneath, so that callers see its kind.
fn failed(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

/// Writes what PowerShell 6 and newer write on Windows: every cell quoted, no `#TYPE`.
fn power_shell(
    catalog: &Catalog,
    vault: VaultRef,
    query: &EntryQuery,
    out: impl Write,
) -> Result<ExportReport, WriteError> {
    let mut writer = csv::WriterBuilder::new()
        .quote_style(csv::QuoteStyle::Always)
        .terminator(csv::Terminator::CRLF)
        .from_writer(out);
    writer.write_record(["FilePath", "ArchiveId", "Checksum"]).map_err(failed)?;
    let report = archives(catalog, vault, query, &mut |entry, archive| {
        let Some(path) = entry.path.as_utf8() else {
            return Ok(Err("the path is not UTF-8".to_owned()));
        };
        let hash = entry.tree_hash.map(|hash| hash.to_string()).unwrap_or_default();
        writer.write_record([path, archive.as_str(), &hash]).map_err(failed)?;
        Ok(Ok(()))
    })?;
    writer.flush()?;
    Ok(report)
}

type WriteArchive<'a> =
    &'a mut dyn FnMut(&Entry, &ArchiveId) -> Result<Result<(), String>, WriteError>;

/// Hands everything that has an archive to `write`, which may say why it leaves one out.
fn archives(
    catalog: &Catalog,
    vault: VaultRef,
    query: &EntryQuery,
    write: WriteArchive<'_>,
) -> Result<ExportReport, WriteError> {
    let mut report = ExportReport::default();
    catalog.for_each(vault, query, &mut |entry| -> Result<(), WriteError> {
        let Some(archive) = entry.archive.as_ref().filter(|_| entry.kind == Kind::File) else {
            return Ok(());
        };
        match write(&entry, archive)? {
            Ok(()) => report.written += 1,
            Err(why) => report.left_out.add(Refusal { place: entry.path.to_string(), why }),
        }
        Ok(())
    })?;
    Ok(report)
}

fn own(
    catalog: &Catalog,
    vault: VaultRef,
    name: &VaultName,
    query: &EntryQuery,
    out: impl Write,
) -> Result<ExportReport, WriteError> {
    let mut report = ExportReport::default();
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record(COLUMNS).map_err(failed)?;
    catalog.for_each(vault, query, &mut |entry| -> Result<(), WriteError> {
        writer.write_record(row(&entry, name.as_str())).map_err(failed)?;
        report.written += 1;
        Ok(())
    })?;
    writer.flush()?;
    Ok(report)
}

fn json(
    catalog: &Catalog,
    vault: VaultRef,
    query: &EntryQuery,
    mut out: impl Write,
    [before, between, after]: [&str; 3],
) -> Result<ExportReport, WriteError> {
    let mut report = ExportReport::default();
    out.write_all(before.as_bytes())?;
    catalog.for_each(vault, query, &mut |entry| -> Result<(), WriteError> {
        if report.written > 0 {
            out.write_all(between.as_bytes())?;
        }
        serde_json::to_writer(&mut out, &Listed::from(&entry)).map_err(io::Error::from)?;
        report.written += 1;
        Ok(())
    })?;
    if report.written > 0 || !before.is_empty() {
        out.write_all(after.as_bytes())?;
    }
    out.flush()?;
    Ok(report)
}

fn items(
    catalog: &Catalog,
    vault: VaultRef,
    query: &EntryQuery,
    write: &mut dyn FnMut(&InventoryItem) -> io::Result<()>,
) -> Result<ExportReport, WriteError> {
    let mut report = ExportReport::default();
    let every = EntryQuery { versions: true, ..*query };
    catalog.for_each(vault, &every, &mut |entry| -> Result<(), WriteError> {
        if entry.archive.is_none() {
            return Ok(());
        }
        match item(&entry) {
            Ok(item) => {
                write(&item)?;
                report.written += 1;
            }
            Err(why) => {
                let why = why.to_owned();
                report.left_out.add(Refusal { place: entry.path.to_string(), why });
            }
        }
        Ok(())
    })?;
    for manifest in catalog.manifests(vault)? {
        if query.as_of.is_some_and(|until| manifest.created > until) {
            continue;
        }
        let place = format!("the manifest archive {}", manifest.archive);
        if let Some(item) = manifest_item(manifest) {
            write(&item)?;
            report.written += 1;
        } else {
            report.left_out.add(Refusal { place, why: UNKNOWN.to_owned() });
        }
    }
    Ok(report)
}

const UNKNOWN: &str =
    "its size, date or tree hash is not known; run `icefield inventory refresh` first";

fn manifest_item(manifest: ManifestArchive) -> Option<InventoryItem> {
    let ManifestArchive { archive, size, created, tree_hash, description } = manifest;
    let is_known = size > 0 && created != Timestamp::UNIX_EPOCH;
    is_known.then_some(InventoryItem {
        archive_id: archive,
        description: description?,
        created,
        size,
        tree_hash: Some(tree_hash?),
    })
}

fn item(entry: &Entry) -> Result<InventoryItem, &'static str> {
    let note = || ArchiveNote { path: entry.path.clone(), mtime: entry.mtime, mode: entry.mode };
    let described = || encode(&note()).map(String::from);
    let description = entry.description.clone().or_else(described).unwrap_or_default();
    if Description::parse(&description).is_err() {
        return Err("its description is not printable ASCII");
    }
    Ok(InventoryItem {
        archive_id: entry.archive.clone().ok_or(UNKNOWN)?,
        description,
        created: entry.known_uploaded().ok_or(UNKNOWN)?,
        size: entry.known_size().ok_or(UNKNOWN)?,
        tree_hash: Some(entry.tree_hash.ok_or(UNKNOWN)?),
    })
}
