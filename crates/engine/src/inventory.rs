//! Writing an inventory: the list of a snapshot, page by page into a payload file.
//!
//! Rows of archives that were deleted after the snapshot are still in the ledger, so what a job shows does not depend
//! on when it runs. Memory is one page, whatever the number of archives.

use std::{
    io::{self, Write},
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use futures_util::future::join;
use icefield_protocol::{
    InventoryFormat, InventoryItem, Timestamp,
    inventory::{CsvInventoryWriter, JsonInventoryWriter},
};
use icefield_store::{
    entry::{ArchiveNumber, VaultNumber},
    ledger::{ArchiveQuery, ArchiveRow, InventoryOutput},
};
use icefield_treehash::Roles;

use crate::{
    body::{Reserved, StagedFile},
    engine::Engine,
    error::EngineError,
};

/// Archives read from the ledger at a time.
const PAGE: u64 = 1000;

/// Which archives an inventory lists.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Selection {
    pub(crate) vault: VaultNumber,
    /// The snapshot: write counter and date.
    pub(crate) writes: u64,
    pub(crate) date: Timestamp,
    /// Creation dates from here, inclusive.
    pub(crate) start: Option<Timestamp>,
    /// Creation dates before this.
    pub(crate) end: Option<Timestamp>,
    pub(crate) limit: Option<u64>,
    pub(crate) after: Option<ArchiveNumber>,
}

impl Engine {
    /// Writes the list and tells where the next one goes on, if the limit has cut it off. The name is to be kept until
    /// the job has ended.
    pub(crate) async fn write_inventory(
        &self,
        selection: Selection,
        format: InventoryFormat,
    ) -> Result<(InventoryOutput, Reserved), EngineError> {
        let mut file = StagedFile::create(self.store()).await?;
        let mut hashing = self.store().hashing().start(Roles { linear: false });
        let mut document = self.begin_document(&selection, format).await?;
        let mut left = selection.limit.unwrap_or(u64::MAX);
        let mut after = selection.after;
        let next = loop {
            let wanted = usize::try_from(left.min(PAGE)).expect("a page fits in memory");
            let query = ArchiveQuery {
                vault: selection.vault,
                writes: selection.writes,
                after,
                start: selection.start,
                end: selection.end,
                // One beyond the page tells whether more follow.
                limit: wanted + 1,
            };
            let rows = self.store().ledger().archives(query).await?;
            for row in rows.iter().take(wanted) {
                document.item(&self.inventory_item(row)?)?;
                after = Some(row.number);
                left -= 1;
            }
            let bytes = document.written();
            let ((), kept) = join(hashing.submit(bytes.clone()), file.write(bytes)).await;
            kept?;
            if rows.len() <= wanted {
                break None;
            }
            if left == 0 {
                break after;
            }
        };
        let bytes = document.finish()?;
        hashing.submit(bytes.clone()).await;
        file.write(bytes).await?;
        let hashed = hashing.finish().await;
        let (extent, name) = file.finish(&hashed).await?;
        Ok((InventoryOutput { extent, next }, name))
    }

    async fn begin_document(
        &self,
        selection: &Selection,
        format: InventoryFormat,
    ) -> Result<Document, EngineError> {
        let vault = self.store().ledger().vault_by_number(selection.vault).await?;
        let vault = vault.ok_or_else(|| {
            EngineError::unexpected("finding the vault of an inventory", &selection.vault)
        })?;
        let buffer = Buffer::default();
        let writer = match format {
            InventoryFormat::Json => {
                JsonInventoryWriter::new(buffer.clone(), &self.arn_of(&vault), selection.date)
                    .map(Form::Json)
            }
            InventoryFormat::Csv => CsvInventoryWriter::new(buffer.clone()).map(Form::Csv),
        };
        Ok(Document { writer: writer.map_err(failed)?, buffer })
    }

    fn inventory_item(&self, row: &ArchiveRow) -> Result<InventoryItem, EngineError> {
        Ok(InventoryItem {
            archive_id: self.archive_id(row)?,
            description: row.description.clone().map(String::from).unwrap_or_default(),
            created: row.created,
            size: row.size,
            tree_hash: Some(row.tree_hash),
        })
    }
}

/// An inventory being written into a buffer.
struct Document {
    writer: Form,
    buffer: Buffer,
}

enum Form {
    Json(JsonInventoryWriter<Buffer>),
    Csv(CsvInventoryWriter<Buffer>),
}

impl Document {
    fn item(&mut self, item: &InventoryItem) -> Result<(), EngineError> {
        match &mut self.writer {
            Form::Json(writer) => writer.item(item),
            Form::Csv(writer) => writer.item(item),
        }
        .map_err(failed)
    }

    /// Takes what was written since the last call.
    fn written(&self) -> Bytes {
        self.buffer.take()
    }

    fn finish(self) -> Result<Bytes, EngineError> {
        let buffer = match self.writer {
            Form::Json(writer) => writer.finish(),
            Form::Csv(writer) => writer.finish(),
        };
        Ok(buffer.map_err(failed)?.take())
    }
}

fn failed(error: io::Error) -> EngineError {
    EngineError::unexpected("writing an inventory", &error)
}

/// What a writer has written, to be taken away between its items.
#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    fn take(&self) -> Bytes {
        mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).into()
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
