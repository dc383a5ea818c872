//! The inventory of a vault, made while it is read: a listing, and a look at every object for what is known of it.
//!
//! One page of the listing and [`LOOKS_AT_ONCE`] objects are in memory, however many there are. What other programs have
//! put there is an archive too: its path is that of its key, and its tree hash is not known. What has no bytes is no
//! archive and is left out.

use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use aws_sdk_s3::types::Object;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use icefield_protocol::{
    ArchiveId, InventoryItem, JsonInventoryWriter, Timestamp, VaultArn, VaultName,
};

use super::{S3, error::service_error, object::timestamp};
use crate::{
    description::{ArchiveNote, encode},
    target::{Output, TargetError},
};

/// Objects that are looked at at a time.
const LOOKS_AT_ONCE: usize = 32;

/// Archives whose lines are written before they are handed over.
const BATCH: usize = 256;

impl S3 {
    /// Opens the inventory.
    pub(super) fn open_inventory(&self, vault: &VaultName) -> Result<Output, TargetError> {
        let arn = self.arn(vault);
        let making = Making {
            inventory: Inventory { s3: self.another(), vault: vault.clone() },
            writing: Some(Writing::begin(&arn, self.clock.now()).map_err(failed)?),
            listed: VecDeque::new(),
            next: Some(None),
        };
        let chunks = stream::unfold(Some(making), async |making| {
            let mut making = making?;
            match making.next().await {
                Ok(Some(chunk)) => Some((Ok(chunk), Some(making))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        });
        Ok(Output { total: 0, tree_hash: None, chunks: Box::pin(chunks) })
    }
}

struct Inventory {
    s3: S3,
    vault: VaultName,
}

/// An inventory that is being made.
struct Making {
    inventory: Inventory,
    /// None when the end is written.
    writing: Option<Writing>,
    /// Objects that were listed and not looked at.
    listed: VecDeque<Object>,
    /// Where the next page begins, if there is one.
    next: Option<Option<String>>,
}

impl Making {
    async fn next(&mut self) -> Result<Option<Bytes>, TargetError> {
        loop {
            let Some(writing) = &mut self.writing else { return Ok(None) };
            if self.listed.is_empty() {
                if let Some(token) = self.next.take() {
                    (self.listed, self.next) = self.inventory.page(token).await?;
                    continue;
                }
                let end = self.writing.take().map(Writing::end).transpose().map_err(failed)?;
                return Ok(end);
            }
            let batch = self.listed.drain(..self.listed.len().min(BATCH));
            let inventory = &self.inventory;
            let items: Vec<Option<InventoryItem>> = stream::iter(batch.collect::<Vec<_>>())
                .map(|object| inventory.item(object))
                .buffered(LOOKS_AT_ONCE)
                .try_collect()
                .await?;
            for item in items.iter().flatten() {
                writing.writer.item(item).map_err(failed)?;
            }
            let chunk = writing.take();
            if !chunk.is_empty() {
                return Ok(Some(chunk));
            }
        }
    }
}

impl Inventory {
    /// Lists a page, and tells where the next one begins.
    async fn page(
        &self,
        token: Option<String>,
    ) -> Result<(VecDeque<Object>, Option<Option<String>>), TargetError> {
        let prefix = self.s3.keys.vault(&self.vault);
        let request = self
            .s3
            .client
            .list_objects_v2()
            .bucket(&self.s3.settings.bucket)
            .prefix(&prefix)
            .set_continuation_token(token);
        let page =
            request.send().await.map_err(|error| service_error(&self.s3.at(&prefix), error))?;
        let next = page.next_continuation_token().filter(|_| page.is_truncated() == Some(true));
        let next = next.map(|token| Some(token.to_owned()));
        Ok((page.contents.unwrap_or_default().into(), next))
    }

    /// Tells what is known of an object; nothing of one that is no archive, or is gone meanwhile.
    async fn item(&self, object: Object) -> Result<Option<InventoryItem>, TargetError> {
        let Some(key) = object.key().filter(|_| object.size().is_some_and(|size| size > 0)) else {
            return Ok(None);
        };
        let Ok(archive_id) = ArchiveId::parse(key) else {
            tracing::warn!(
                ?key,
                "an object is left out of the inventory: its key is no archive ID"
            );
            return Ok(None);
        };
        let Some(found) = self.s3.head(key).await? else { return Ok(None) };
        let tree_hash = self.s3.tree_hash(key, &found).await?;
        let created = found.modified.or_else(|| object.last_modified().and_then(timestamp));
        let path = || match found.metadata.path.clone() {
            Some(path) => Some(path),
            None => self.s3.keys.told_path(&self.vault, key),
        };
        // Without a description the key is all that tells a name.
        let told = || encode(&ArchiveNote { path: path()?, mtime: None, mode: None });
        let description = match &found.metadata.description {
            Some(description) => description.clone(),
            None => told().map(String::from).unwrap_or_default(),
        };
        Ok(Some(InventoryItem {
            archive_id,
            description,
            created: created.unwrap_or(Timestamp::UNIX_EPOCH),
            size: found.size,
            tree_hash,
        }))
    }
}

/// A writer whose bytes can be taken from it.
struct Writing {
    writer: JsonInventoryWriter<Shared>,
    bytes: Shared,
}

impl Writing {
    fn begin(arn: &VaultArn, date: Timestamp) -> io::Result<Self> {
        let bytes = Shared::default();
        Ok(Self { writer: JsonInventoryWriter::new(bytes.clone(), arn, date)?, bytes })
    }

    fn take(&self) -> Bytes {
        self.bytes.take()
    }

    fn end(self) -> io::Result<Bytes> {
        self.writer.finish().map(|bytes| bytes.take())
    }
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    fn take(&self) -> Bytes {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).into()
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn failed(error: io::Error) -> TargetError {
    TargetError::Failed(Box::new(error))
}
