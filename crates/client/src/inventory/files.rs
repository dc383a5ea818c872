//! Inventory files of every known form, told apart by their beginning, read as entries.
//!
//! A form that is text is read as a stream; a database needs its file.

use std::{
    cell::Cell,
    fs::File,
    io::{self, BufRead, Cursor, Read, Seek as _},
    path::Path,
    rc::Rc,
};

use csv::{ByteRecord, ReaderBuilder, StringRecord};
use icefield_protocol::{
    ArchiveId, InventoryError, InventoryItem, Timestamp, VaultName, read_csv, read_json,
};

use super::{
    Refusal,
    columns::{Columns, NameColumns},
    database, journal,
    listing::{self, Listed},
    named::{Named, named_item},
    text,
};
use crate::catalog::{Entry, ManifestArchive};

/// Longest row: paths have a few thousand bytes.
pub(super) const MAX_ROW_BYTES: usize = 1 << 20;
/// Longest first line that is looked at to tell the form.
const MAX_HEAD_BYTES: u64 = 64 << 10;

/// The form of an inventory file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileForm {
    /// `Write-GLCArchive | Export-Csv`: `FilePath,ArchiveId,Checksum` with absolute native paths.
    PowerShell,
    /// icefield's own CSV, as in the header of this module's parent.
    Icefield,
    /// icefield's `list` as one JSON array.
    Json,
    /// icefield's `list` as JSON lines.
    JsonLines,
    /// The service's inventory as JSON.
    ServiceJson,
    /// The service's inventory as CSV.
    ServiceCsv,
    /// A journal of mt-aws-glacier.
    MtGlacierJournal,
    /// Names for archives, as Amazon's solution for moving vaults to S3 takes them: `GlacierArchiveID,FileName`.
    AwsNames,
    /// The cache of glacier-cli, a database.
    GlacierCli,
    /// The mapping of Synology's Glacier Backup, a database.
    Synology,
}

impl FileForm {
    /// Returns the form's name, as the command line has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PowerShell => "powershell",
            Self::Icefield => "icefield",
            Self::Json => "json",
            Self::JsonLines => "jsonl",
            Self::ServiceJson => "service-json",
            Self::ServiceCsv => "service-csv",
            Self::MtGlacierJournal => "mtglacier-journal",
            Self::AwsNames => "aws-names",
            Self::GlacierCli => "glacier-cli",
            Self::Synology => "synology",
        }
    }
}

/// One thing that a file tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileItem {
    /// A version of a path. Size, times and hash may be unknown.
    Entry(Entry),
    /// As an entry, from a file that exists to name archives: the path counts more than that of a foreign description.
    Named(Entry),
    /// An archive that was deleted after what came before it in the file.
    Deleted {
        /// The archive.
        archive: ArchiveId,
        /// When.
        at: Timestamp,
    },
    /// Rows that were passed over because they are of other vaults.
    OtherVaults {
        /// Their number.
        rows: u64,
    },
    /// The manifest archive of an upload run.
    Manifest(ManifestArchive),
    /// A row that is refused, or a name: then the archive follows under its ID.
    Refused(Refusal),
}

/// Reading an inventory file failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError<E> {
    /// The file could not be read.
    #[error("cannot read the inventory file")]
    Read(#[source] io::Error),
    /// Its beginning is that of no known form.
    #[error(
        "this is no inventory file: expected CSV with the columns FilePath and ArchiveId, the service's inventory as JSON or CSV, a journal of mtglacier, or a database of glacier-cli or Synology"
    )]
    Unknown,
    /// It is a database, which cannot be read as a stream.
    #[error("this is a database, which cannot be read from a stream: name its file")]
    Database,
    /// It is damaged or cut off.
    #[error("the inventory file is damaged at {place}: {problem}")]
    Malformed {
        /// Where, such as `line 3` or `item 2`.
        place: String,
        /// What is wrong there.
        problem: String,
    },
    /// The receiver of the items refused one.
    #[error(transparent)]
    Receiver(E),
}

impl<E> From<InventoryError<E>> for ReadError<E> {
    fn from(error: InventoryError<E>) -> Self {
        match error {
            InventoryError::Read { source, .. } => Self::Read(source),
            InventoryError::Malformed { place, problem } => Self::Malformed { place, problem },
            InventoryError::Receiver { source, .. } => Self::Receiver(source),
        }
    }
}

/// Reads an inventory file of any form and hands its items to `each`, in the order of the file.
///
/// Absolute native paths in PowerShell's form become catalog paths without their root: `C:\astro\x.fit` is `astro/x.fit`,
/// `\\nas\share\x.fit` is `x.fit`, `/Users/me/x.fit` is `Users/me/x.fit`. Items come before the end of the file has been
/// seen. Memory does not depend on its length.
///
/// # Errors
///
/// When the file cannot be read, is no inventory or is damaged, and with what `each` returns. A row that cannot be used
/// is no error but [`FileItem::Refused`].
pub fn read<E>(
    reader: impl Read,
    each: &mut dyn FnMut(FileItem) -> Result<(), E>,
) -> Result<FileForm, ReadError<E>> {
    read_for(None, reader, each)
}

/// Reads a file as [`read`] does, databases too; rows that name another vault than `vault` are refused, or passed over where
/// the file is made for several vaults.
///
/// # Errors
///
/// As [`read`].
pub fn read_file<E>(
    vault: Option<&VaultName>,
    path: &Path,
    each: &mut dyn FnMut(FileItem) -> Result<(), E>,
) -> Result<FileForm, ReadError<E>> {
    let mut file = File::open(path).map_err(ReadError::Read)?;
    let mut head = Vec::new();
    file.by_ref()
        .take(database::HEADER.len() as u64)
        .read_to_end(&mut head)
        .map_err(ReadError::Read)?;
    if head == database::HEADER {
        return database::read(path, vault, each);
    }
    // What cannot be rewound, such as a pipe, is read on.
    match file.rewind() {
        Ok(()) => read_for(vault, file, each),
        Err(_) => read_for(vault, Cursor::new(head).chain(file), each),
    }
}

/// Reads as [`read`] does; rows that name another vault than `vault` are refused.
pub(super) fn read_for<E>(
    vault: Option<&VaultName>,
    reader: impl Read,
    each: &mut dyn FnMut(FileItem) -> Result<(), E>,
) -> Result<FileForm, ReadError<E>> {
    let mut reader = text::decoded(reader).map_err(ReadError::Read)?;
    let (mut head, mut skipped) = (Vec::new(), 0_u64);
    loop {
        head.clear();
        let length = reader.by_ref().take(MAX_HEAD_BYTES).read_until(b'\n', &mut head);
        if length.map_err(ReadError::Read)? == 0 {
            return Err(ReadError::Unknown);
        }
        // PowerShell 5.1 puts `#TYPE ...` before the names.
        if !head.trim_ascii().is_empty() && !head.starts_with(b"#TYPE") {
            break;
        }
        skipped += 1;
    }
    if head.starts_with(database::HEADER) {
        return Err(ReadError::Database);
    }
    let whole = Cursor::new(head.clone()).chain(&mut reader);
    if journal::is_journal(&head) {
        return journal::read(whole, skipped + 1, each).map(|()| FileForm::MtGlacierJournal);
    }
    match head.trim_ascii_start()[0] {
        b'[' => listing::read_array(whole, each).map(|()| FileForm::Json),
        b'{' if serde_json::from_slice::<Listed>(&head).is_ok() => {
            listing::read_lines(whole, each).map(|()| FileForm::JsonLines)
        }
        b'{' => {
            read_json(whole, &mut |item| service_item(item, each))?;
            Ok(FileForm::ServiceJson)
        }
        _ => read_table(vault, &head, skipped, whole, each),
    }
}

fn read_table<E>(
    vault: Option<&VaultName>,
    head: &[u8],
    skipped: u64,
    whole: impl BufRead,
    each: &mut dyn FnMut(FileItem) -> Result<(), E>,
) -> Result<FileForm, ReadError<E>> {
    // `Export-Csv -UseCulture` separates with the culture's list separator.
    let separator = [b',', b';', b'\t'].into_iter().find(|byte| head.contains(byte));
    let separator = separator.ok_or(ReadError::Unknown)?;
    let mut builder = ReaderBuilder::new();
    builder.has_headers(false).flexible(true).delimiter(separator);
    let mut header = StringRecord::new();
    let read = builder.from_reader(head).read_record(&mut header);
    if !read.map_err(|_| ReadError::Unknown)? {
        return Err(ReadError::Unknown);
    }
    if let Some(columns) = Columns::find(&header) {
        let form = if columns.is_own() { FileForm::Icefield } else { FileForm::PowerShell };
        let item = |row: &ByteRecord| columns.entry(row, vault).map(FileItem::Entry);
        read_rows(&mut builder, &item, skipped, whole, each)?;
        return Ok(form);
    }
    if let Some(columns) = NameColumns::find(&header) {
        let item = |row: &ByteRecord| columns.entry(row).map(FileItem::Named);
        read_rows(&mut builder, &item, skipped, whole, each)?;
        return Ok(FileForm::AwsNames);
    }
    if header.get(0) == Some("ArchiveId") && header.get(4) == Some("SHA256TreeHash") {
        read_csv(whole, &mut |item| service_item(item, each))?;
        return Ok(FileForm::ServiceCsv);
    }
    Err(ReadError::Unknown)
}

fn read_rows<E>(
    builder: &mut ReaderBuilder,
    item: &dyn Fn(&ByteRecord) -> Result<FileItem, String>,
    skipped: u64,
    whole: impl BufRead,
    each: &mut dyn FnMut(FileItem) -> Result<(), E>,
) -> Result<(), ReadError<E>> {
    let since_row = Rc::new(Cell::new(0));
    let metered = Metered { reader: whole, since_row: Rc::clone(&since_row) };
    let mut rows = builder.has_headers(true).from_reader(metered);
    rows.byte_headers().map_err(|error| csv_error(error, 1 + skipped))?;
    let mut row = ByteRecord::new();
    loop {
        let line = rows.position().line() + skipped;
        match rows.read_byte_record(&mut row) {
            Ok(false) => return Ok(()),
            Ok(true) => {}
            Err(error) => return Err(csv_error(error, line)),
        }
        since_row.set(0);
        let line = row.position().map_or(line, |at| at.line() + skipped);
        let item = match item(&row) {
            Ok(item) => item,
            Err(why) => FileItem::Refused(Refusal { place: format!("line {line}"), why }),
        };
        each(item).map_err(ReadError::Receiver)?;
    }
}

fn csv_error<E>(error: csv::Error, line: u64) -> ReadError<E> {
    match error.into_kind() {
        csv::ErrorKind::Io(source) if source.kind() == io::ErrorKind::InvalidData => {
            ReadError::Malformed { place: format!("line {line}"), problem: source.to_string() }
        }
        csv::ErrorKind::Io(source) => ReadError::Read(source),
        other => {
            ReadError::Malformed { place: format!("line {line}"), problem: format!("{other:?}") }
        }
    }
}

/// Ends a row that never ends, such as one with a quote that is not closed.
pub(super) struct Metered<R> {
    pub(super) reader: R,
    pub(super) since_row: Rc<Cell<usize>>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.since_row.set(self.since_row.get() + read);
        if self.since_row.get() > MAX_ROW_BYTES {
            let problem =
                format!("the row is longer than {MAX_ROW_BYTES} bytes, is a quote missing?");
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        Ok(read)
    }
}

fn service_item<E>(
    item: InventoryItem,
    each: &mut dyn FnMut(FileItem) -> Result<(), E>,
) -> Result<(), E> {
    let place = item.archive_id.to_string();
    match named_item(item) {
        Named::Manifest(manifest) => each(FileItem::Manifest(manifest)),
        Named::File { entry, refused, .. } => {
            if let Some(why) = refused {
                each(FileItem::Refused(Refusal { place, why }))?;
            }
            each(FileItem::Entry(entry))
        }
    }
}
