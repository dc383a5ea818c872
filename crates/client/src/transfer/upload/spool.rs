//! The manifest in the making: entries that will be told by it, in a temporary file, however many they are.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter},
    path::Path,
};

use tempfile::NamedTempFile;

use crate::{catalog::Entry, manifest};

/// Entries for the manifest.
#[derive(Debug, Default)]
pub(super) struct Spool {
    file: Option<NamedTempFile>,
    /// Whether one of them has to be told; the others go along if there is a manifest.
    pub(super) is_needed: bool,
}

impl Spool {
    /// Adds entries. Blocking.
    pub(super) fn add<'a>(&mut self, entries: impl Iterator<Item = &'a Entry>) -> io::Result<()> {
        let mut entries = entries.peekable();
        if entries.peek().is_none() {
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(NamedTempFile::with_prefix("icefield-manifest-")?),
        };
        manifest::write(BufWriter::new(file), entries)
    }

    /// Returns where the entries are, if there are any.
    pub(super) fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(NamedTempFile::path)
    }
}

/// Reads the entries back, some at a time. Blocking.
pub(super) fn read_back<E: From<io::Error>>(
    path: &Path,
    batch_size: usize,
    take: &mut dyn FnMut(Vec<Entry>) -> Result<(), E>,
) -> Result<(), E> {
    let mut batch = Vec::with_capacity(batch_size);
    manifest::read::<E>(BufReader::new(File::open(path)?), &mut |line| {
        // Every line was written from an entry, so none is refused.
        batch.extend(line);
        if batch.len() == batch_size {
            take(std::mem::replace(&mut batch, Vec::with_capacity(batch_size)))?;
        }
        Ok(())
    })?;
    if batch.is_empty() { Ok(()) } else { take(batch) }
}
