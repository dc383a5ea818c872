//! Payloads in a folder. The layout is a document: `docs/data-directory.md`.
//!
//! ```text
//! packs/00000001.pack             the log: records, appended in batches with one sync each
//! packs/00000001.pack.torn-...    an end that a crash tore, cut off and kept
//! packs/00000001.1.pack           a pack from which a compaction has dropped bodies, in place of the one above
//! payload/ab/ab...                a payload file: exactly the bytes that were uploaded
//! payload/ab/ab....sha256         the SHA-256 of each of its MiB, as `split` and `sha256sum` print them
//! ```
//!
//! Files have their final names from the start: their ids are staged in the ledger before they are created, so what a
//! crash leaves is found there, and nothing is renamed. All of it is synchronous code over a [`volume`], run on the
//! runtime's pool for blocking work.

pub(crate) mod fenced;
mod file;
mod gaps;
mod leftover;
mod log;
mod pack;
mod record;
mod replay;
mod rewrite;
#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "what tests store is small")]
pub(crate) mod simulated;
#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "what tests store is small")]
mod tests;
pub(crate) mod volume;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use icefield_treehash::{HashPool, TreeHash};

use crate::{
    entry::PayloadId,
    error::{Damage, StoreError},
    payload::{
        Cached, DeadBody, LogPosition, NewRecord, Owned, PackRewrite, Payload, PayloadReader,
        PayloadWriter, RecordPlace, ReplayPage,
        disk::{
            fenced::{Disk, blocking},
            file::{Shards, remove_files, shard_of, shard_path},
            log::Log,
        },
    },
};

/// A pack is sealed, and the next one begun, at the first batch after this length in bytes.
pub(crate) const PACK_BYTES: u64 = 1 << 30;

/// The disk backend.
#[derive(Debug, Clone)]
pub(crate) struct DiskPayload {
    disk: Arc<Disk>,
    log: Arc<Log>,
    shards: Arc<Shards>,
    hashing: HashPool,
}

impl DiskPayload {
    /// Makes the folders of a new store durable.
    pub(crate) fn create_layout(disk: &Disk) -> Result<(), StoreError> {
        for folder in ["packs", "payload"] {
            let created = disk.volume().create_dir(folder);
            created.map_err(|error| disk.failed("creating", folder, error))?;
        }
        disk.sync_dir("")
    }

    /// Takes a store's folder as it is. `pack_bytes` is at most 2 GiB; see [`PACK_BYTES`].
    pub(crate) fn new(disk: Arc<Disk>, hashing: HashPool, pack_bytes: u64) -> Self {
        let log = Arc::new(Log::new(Arc::clone(&disk), pack_bytes));
        Self { disk, log, shards: Arc::new(Shards::default()), hashing }
    }

    /// Makes all of the log durable that earlier processes may have left unsynced: for those who read it without repair
    /// and believe it.
    pub(crate) async fn settle(&self) -> Result<(), StoreError> {
        let log = Arc::clone(&self.log);
        blocking(move || log.settle(LogPosition::default())).await
    }
}

pub(crate) use self::file::payload_paths;

#[async_trait]
impl Payload for DiskPayload {
    async fn append(&self, records: Vec<NewRecord>) -> Result<Vec<RecordPlace>, StoreError> {
        let log = Arc::clone(&self.log);
        blocking(move || log.append(&records)).await
    }

    async fn replay(&self, from: LogPosition, repair: bool) -> Result<ReplayPage, StoreError> {
        let log = Arc::clone(&self.log);
        blocking(move || log.replay(from, repair)).await
    }

    async fn read_record(&self, place: RecordPlace) -> Result<Option<Bytes>, StoreError> {
        let log = Arc::clone(&self.log);
        blocking(move || log.read_record(place)).await
    }

    async fn sealed_packs(&self) -> Result<Vec<(u32, u64)>, StoreError> {
        let log = Arc::clone(&self.log);
        blocking(move || log.sealed_packs()).await
    }

    async fn rewrite(
        &self,
        pack: u32,
        dead: Vec<DeadBody>,
        owned: Owned,
    ) -> Result<Option<Box<dyn PackRewrite>>, StoreError> {
        let log = Arc::clone(&self.log);
        let begun = blocking(move || rewrite::begin(&log, pack, dead, owned)).await?;
        Ok(begun.map(|begun| Box::new(begun) as Box<dyn PackRewrite>))
    }

    async fn dropped(&self, bodies: Vec<DeadBody>) -> Result<Vec<LogPosition>, StoreError> {
        let log = Arc::clone(&self.log);
        blocking(move || rewrite::dropped(log.packs(), &bodies)).await
    }

    async fn check_packs(&self, cold: bool) -> Result<Vec<Damage>, StoreError> {
        let log = Arc::clone(&self.log);
        blocking(move || {
            let mut found = log.packs().check_gaps(cold)?;
            found.extend(leftover::check(log.packs())?);
            Ok(found)
        })
        .await
    }

    async fn create(&self, id: PayloadId) -> Result<Box<dyn PayloadWriter>, StoreError> {
        let writer = file::create(Arc::clone(&self.disk), Arc::clone(&self.shards), id).await?;
        Ok(Box::new(writer))
    }

    async fn open(
        &self,
        id: PayloadId,
        size: u64,
        tree_hash: TreeHash,
    ) -> Result<Box<dyn PayloadReader>, StoreError> {
        let (disk, hashing) = (Arc::clone(&self.disk), self.hashing.clone());
        let reader = blocking(move || file::open(disk, hashing, id, size, tree_hash)).await?;
        Ok(Box::new(reader))
    }

    async fn remove(&self, ids: &[PayloadId]) -> Result<(), StoreError> {
        let (disk, ids) = (Arc::clone(&self.disk), ids.to_vec());
        blocking(move || remove_files(&disk, &ids)).await
    }

    async fn list(
        &self,
        visit: &mut (dyn FnMut(Result<PayloadId, Damage>) + Send),
    ) -> Result<(), StoreError> {
        let disk = Arc::clone(&self.disk);
        for item in blocking(move || shards_of(&disk)).await? {
            match item {
                Ok(shard) => {
                    let disk = Arc::clone(&self.disk);
                    for found in blocking(move || ids_of(&disk, shard)).await? {
                        visit(found);
                    }
                }
                Err(damage) => visit(Err(damage)),
            }
        }
        Ok(())
    }

    async fn forget_cached(&self, what: Cached) -> Result<(), StoreError> {
        let (disk, log) = (Arc::clone(&self.disk), Arc::clone(&self.log));
        blocking(move || match what {
            Cached::Log(range) => log.forget_cached(range),
            Cached::File(id) => file::forget_cached(&disk, id),
        })
        .await
    }

    async fn used_bytes(&self) -> Result<(u64, u64), StoreError> {
        let disk = Arc::clone(&self.disk);
        blocking(move || {
            let packs = bytes_below(&disk, "packs")?;
            let mut files = 0;
            for shard in shards_of(&disk)?.into_iter().flatten() {
                files += bytes_below(&disk, &shard_path(shard))?;
            }
            Ok((packs, files))
        })
        .await
    }
}

/// Whether this is the name of a file that keeps what was cut off a pack.
pub(crate) fn is_torn_name(name: &str) -> bool {
    replay::is_torn_name(name)
}

/// Whether this is the name of a pack, compacted or not.
pub(crate) fn is_pack_name(name: &str) -> bool {
    pack::parse_name(name).is_some()
}

/// The folders of `payload`, by the first byte of the ids in them.
fn shards_of(disk: &Disk) -> Result<Vec<Result<u8, Damage>>, StoreError> {
    let entries = disk.volume().entries("payload");
    let entries = entries.map_err(|error| disk.failed("listing", "payload", error))?;
    let known = |name: &str| (0..=u8::MAX).find(|shard| name == format!("{shard:02x}"));
    Ok(entries
        .into_iter()
        .map(|entry| match known(&entry.name) {
            Some(shard) if entry.is_dir => Ok(shard),
            _ => Err(extra(format!("payload/{}", entry.name))),
        })
        .collect())
}

/// The ids of which a file, its hashes, or both exist.
fn ids_of(disk: &Disk, shard: u8) -> Result<Vec<Result<PayloadId, Damage>>, StoreError> {
    let folder = shard_path(shard);
    let entries = disk.volume().entries(&folder);
    let entries = entries.map_err(|error| disk.failed("listing", &folder, error))?;
    let mut found = Vec::with_capacity(entries.len());
    let mut ids = Vec::with_capacity(entries.len());
    for entry in entries {
        let stem = entry.name.strip_suffix(".sha256").unwrap_or(&entry.name);
        match PayloadId::parse(stem) {
            Some(id) if !entry.is_dir && shard_of(id) == shard => ids.push(id),
            _ => found.push(Err(extra(format!("{folder}/{}", entry.name)))),
        }
    }
    ids.sort_unstable();
    ids.dedup();
    found.extend(ids.into_iter().map(Ok));
    Ok(found)
}

/// A file that no version of icefield puts there.
fn extra(place: String) -> Damage {
    Damage { place, leaf: None, what: "extra file: icefield did not put it there".to_owned() }
}

fn bytes_below(disk: &Disk, folder: &str) -> Result<u64, StoreError> {
    let entries = disk.volume().entries(folder);
    let entries = entries.map_err(|error| disk.failed("listing", folder, error))?;
    let mut bytes = 0;
    for entry in entries.into_iter().filter(|entry| !entry.is_dir) {
        let path = format!("{folder}/{}", entry.name);
        if let Some(file) = disk.find(&path)? {
            bytes += disk.len(&*file, &path)?;
        }
    }
    Ok(bytes)
}
