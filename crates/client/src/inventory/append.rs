//! icefield's own inventory file, appended to while files finish.
//!
//! Every row is one write in append mode, so a run that dies leaves at most one torn row at the end; it is cut off when
//! the file is opened again. Rows that are there already are not written twice, so every run can offer all its files,
//! the skipped ones too, and the file becomes complete.

use std::{
    collections::HashSet,
    fs::{File, OpenOptions},
    io::{self, BufReader, Seek as _, SeekFrom, Write as _},
    path::Path,
};

use csv::{ByteRecord, ReaderBuilder, WriterBuilder};
use icefield_protocol::{LinearHash, VaultName};

use super::columns::{COLUMNS, Columns, row};
use crate::catalog::{CatalogError, Entry};

/// An inventory file open for appending.
#[derive(Debug)]
pub struct InventoryFile {
    file: File,
    /// 64 bits of a hash of path and archive of each row: a million rows take some 20 MB.
    known: HashSet<u64>,
}

/// Appending to an inventory file failed.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// It could not be read or written.
    #[error("cannot use the inventory file")]
    Io(#[from] io::Error),
    /// It is another file.
    #[error(
        "it is not icefield's inventory file: its first line is not {}; name a new file, and take this one in with `icefield inventory import`",
        COLUMNS.join(",")
    )]
    Foreign,
    /// The catalog failed while its entries were being appended.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// It is damaged.
    #[error("the inventory file is damaged at line {line}: {problem}")]
    Damaged {
        /// Where.
        line: u64,
        /// What is wrong there.
        problem: String,
    },
}

impl InventoryFile {
    /// Opens the file at `path`, made with its line of names if it is missing, and cuts off a torn last row.
    ///
    /// # Errors
    ///
    /// When it cannot be read and written, is another file, or is damaged before its end.
    pub fn open(path: &Path) -> Result<Self, AppendError> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        // Only while it is prepared: rows of several runs do not disturb each other.
        file.lock()?;
        let known = prepare(&mut file)?;
        file.unlock()?;
        Ok(Self { file, known })
    }

    /// Appends the row of an entry unless it is there; returns whether it was appended.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn append(&mut self, vault: &VaultName, entry: &Entry) -> Result<bool, AppendError> {
        let row = row(entry, vault.as_str());
        let key = key(entry.path.as_bytes(), row[1].as_bytes());
        if !self.known.insert(key) {
            return Ok(false);
        }
        self.file.write_all(&line(&row)?)?;
        Ok(true)
    }

    /// Syncs what was appended.
    ///
    /// # Errors
    ///
    /// When the system cannot.
    pub fn sync(&self) -> Result<(), AppendError> {
        Ok(self.file.sync_all()?)
    }
}

/// Checks the names, gathers the rows, repairs the end.
fn prepare(file: &mut File) -> Result<HashSet<u64>, AppendError> {
    let length = file.seek(SeekFrom::End(0))?;
    file.rewind()?;
    let mut rows =
        ReaderBuilder::new().has_headers(false).flexible(true).from_reader(BufReader::new(&*file));
    let names = line(&COLUMNS)?;
    let (mut row, mut known, mut torn) = (ByteRecord::new(), HashSet::new(), None);
    if rows.read_byte_record(&mut row).map_err(damaged)?
        && row.iter().ne(COLUMNS.map(str::as_bytes))
    {
        drop(rows);
        return if is_beginning(file, &names)? {
            start(file, &names)
        } else {
            Err(AppendError::Foreign)
        };
    }
    let columns = Columns::find(&COLUMNS.to_vec().into()).ok_or(AppendError::Foreign)?;
    while rows.read_byte_record(&mut row).map_err(damaged)? {
        let at = row.position().map_or((0, 0), |at| (at.byte(), at.line()));
        if let Some((_, line)) = torn {
            let problem = "the row has not all columns".to_owned();
            return Err(AppendError::Damaged { line, problem });
        }
        // `Kind` is the last cell, so a torn row has no valid one.
        let whole = row.len() >= COLUMNS.len()
            && row.get(COLUMNS.len() - 1).is_some_and(|kind| !kind.is_empty());
        match columns.entry(&row, None) {
            Ok(entry) if whole => {
                known.insert(key(entry.path.as_bytes(), row.get(1).unwrap_or_default()));
            }
            _ if whole && rows.position().byte() < length => {} // Somebody else's odd row: not ours to judge.
            _ => torn = Some(at),
        }
    }
    drop(rows);
    if length == 0 {
        return start(file, &names);
    }
    match torn {
        Some((byte, _)) => file.set_len(byte)?,
        None if !ends_with_newline(file)? => file.write_all(b"\n")?,
        None => {}
    }
    Ok(known)
}

fn start(file: &mut File, names: &[u8]) -> Result<HashSet<u64>, AppendError> {
    file.set_len(0)?;
    file.write_all(names)?;
    Ok(HashSet::new())
}

/// Whether the file is a torn line of names.
fn is_beginning(file: &mut File, names: &[u8]) -> io::Result<bool> {
    use std::io::Read as _;
    let mut found = Vec::new();
    file.rewind()?;
    file.take(names.len() as u64 + 1).read_to_end(&mut found)?;
    Ok(names.starts_with(&found))
}

fn ends_with_newline(file: &mut File) -> io::Result<bool> {
    use std::io::Read as _;
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

fn line(cells: &[impl AsRef<[u8]>]) -> io::Result<Vec<u8>> {
    let mut writer = WriterBuilder::new().from_writer(Vec::new());
    writer.write_record(cells)?;
    writer.into_inner().map_err(|error| error.into_error())
}

fn key(path: &[u8], archive: &[u8]) -> u64 {
    let hash = LinearHash::of(&[path, archive].join(&0));
    let mut key = [0; 8];
    key.copy_from_slice(&hash.as_bytes()[..8]);
    u64::from_be_bytes(key)
}

fn damaged(error: csv::Error) -> AppendError {
    let line = error.position().map_or(0, csv::Position::line);
    match error.into_kind() {
        csv::ErrorKind::Io(source) => AppendError::Io(source),
        other => AppendError::Damaged { line, problem: format!("{other:?}") },
    }
}
