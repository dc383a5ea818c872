//! Payloads in memory: for `serve --dev` and tests. Nothing survives the process.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use icefield_treehash::{LEAF_SIZE, LEAF_SIZE_BYTES, TreeHash};

use crate::{
    entry::{Entry, PayloadId},
    error::{Damage, StoreError},
    payload::{
        LogPosition, NewRecord, Payload, PayloadReader, PayloadWriter, RecordPlace, ReplayPage,
        Replayed,
    },
};

/// Records of a page.
const PAGE_RECORDS: usize = 1024;

/// The memory backend; clones share what they hold.
#[derive(Debug, Clone, Default)]
pub struct MemoryPayload {
    held: Arc<Mutex<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    /// By offset; a record is as long as its body and one byte, so that places differ.
    records: BTreeMap<u64, (Entry, Bytes)>,
    log_len: u64,
    /// Created but not finished.
    begun: HashSet<PayloadId>,
    files: HashMap<PayloadId, File>,
}

#[derive(Debug, Clone)]
struct File {
    pieces: Arc<[Bytes]>,
    leaves: Arc<[TreeHash]>,
}

impl File {
    fn size(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.len() as u64).sum()
    }
}

impl MemoryPayload {
    /// Starts empty.
    pub fn new() -> Self {
        Self::default()
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // No step of ours leaves it half changed.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Payload for MemoryPayload {
    async fn append(&self, records: Vec<NewRecord>) -> Result<Vec<RecordPlace>, StoreError> {
        let mut held = self.held();
        let append = |NewRecord { entry, body }: NewRecord| {
            let at = LogPosition { pack: 1, offset: held.log_len };
            let length = body.len() as u64 + 1;
            held.log_len += length;
            held.records.insert(at.offset, (entry, body));
            RecordPlace { at, length }
        };
        Ok(records.into_iter().map(append).collect())
    }

    async fn replay(&self, from: LogPosition, _repair: bool) -> Result<ReplayPage, StoreError> {
        let held = self.held();
        let mut page = ReplayPage {
            items: Vec::new(),
            next: from.max(LogPosition::default()),
            last: true,
            lost: None,
        };
        let begin = if from.pack == 0 { 0 } else { from.offset };
        if from.pack > 1 || begin > held.log_len {
            let what = "shorter than the ledger knows it".to_owned();
            page.items.push(Replayed::Damaged(Damage {
                place: "log".to_owned(),
                leaf: None,
                what,
            }));
            return Ok(page);
        }
        for (offset, (entry, body)) in held.records.range(begin..) {
            if page.items.len() == PAGE_RECORDS {
                page.last = false;
                break;
            }
            let at = LogPosition { pack: 1, offset: *offset };
            let length = body.len() as u64 + 1;
            page.items.push(Replayed::Record(entry.clone(), RecordPlace { at, length }));
            page.next = LogPosition { pack: 1, offset: offset + length };
        }
        Ok(page)
    }

    async fn read_record(&self, place: RecordPlace) -> Result<Option<Bytes>, StoreError> {
        let held = self.held();
        let record = held.records.get(&place.at.offset).filter(|_| place.at.pack == 1);
        match record {
            Some((_, body)) if body.len() as u64 + 1 == place.length => Ok(Some(body.clone())),
            _ => {
                let what = "the record has another length".to_owned();
                Err(StoreError::Damaged(Damage { place: "log".to_owned(), leaf: None, what }))
            }
        }
    }

    async fn create(&self, id: PayloadId) -> Result<Box<dyn PayloadWriter>, StoreError> {
        let mut held = self.held();
        if held.files.contains_key(&id) || !held.begun.insert(id) {
            let exists = io::Error::from(io::ErrorKind::AlreadyExists);
            return Err(StoreError::io("creating", id.to_string(), exists));
        }
        Ok(Box::new(MemoryWriter {
            payload: self.clone(),
            id,
            pieces: Vec::new(),
            tail: BytesMut::new(),
        }))
    }

    async fn open(
        &self,
        id: PayloadId,
        size: u64,
        tree_hash: TreeHash,
    ) -> Result<Box<dyn PayloadReader>, StoreError> {
        let file = self.held().files.get(&id).cloned().ok_or(StoreError::Missing(id))?;
        let what = if file.size() != size {
            "another length than recorded"
        } else if TreeHash::combine(file.leaves.iter().copied()) != tree_hash {
            "the hashes do not fit the recorded tree hash"
        } else {
            return Ok(Box::new(MemoryReader { id, file }));
        };
        Err(StoreError::Damaged(Damage {
            place: id.to_string(),
            leaf: None,
            what: what.to_owned(),
        }))
    }

    async fn remove(&self, ids: &[PayloadId]) -> Result<(), StoreError> {
        let mut held = self.held();
        for id in ids {
            held.files.remove(id);
            held.begun.remove(id);
        }
        Ok(())
    }

    async fn list(
        &self,
        visit: &mut (dyn FnMut(Result<PayloadId, Damage>) + Send),
    ) -> Result<(), StoreError> {
        let ids: Vec<PayloadId> = {
            let held = self.held();
            held.files.keys().chain(&held.begun).copied().collect()
        };
        ids.into_iter().for_each(|id| visit(Ok(id)));
        Ok(())
    }

    async fn used_bytes(&self) -> Result<(u64, u64), StoreError> {
        let held = self.held();
        Ok((held.log_len, held.files.values().map(File::size).sum()))
    }
}

#[derive(Debug)]
struct MemoryWriter {
    payload: MemoryPayload,
    id: PayloadId,
    pieces: Vec<Bytes>,
    tail: BytesMut,
}

#[async_trait]
impl PayloadWriter for MemoryWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(LEAF_SIZE - self.tail.len()));
            self.tail.extend_from_slice(now);
            rest = later;
            if self.tail.len() == LEAF_SIZE {
                self.pieces.push(self.tail.split().freeze());
            }
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>, leaves: &[TreeHash]) -> Result<(), StoreError> {
        if !self.tail.is_empty() {
            self.pieces.push(self.tail.split().freeze());
        }
        if leaves.len() != self.pieces.len() && !self.pieces.is_empty() {
            let what = io::Error::other("hashes of other bytes were given");
            return Err(StoreError::io("finishing", self.id.to_string(), what));
        }
        let leaves = &leaves[..self.pieces.len()];
        let mut held = self.payload.held();
        // Removed meanwhile: then nobody waits for it.
        if held.begun.remove(&self.id) {
            held.files.insert(self.id, File { pieces: self.pieces.into(), leaves: leaves.into() });
        }
        Ok(())
    }
}

#[derive(Debug)]
struct MemoryReader {
    id: PayloadId,
    file: File,
}

#[async_trait]
impl PayloadReader for MemoryReader {
    fn leaves(&self) -> &[TreeHash] {
        &self.file.leaves
    }

    async fn read_leaves(&self, first: u64, count: usize) -> Vec<Result<Bytes, StoreError>> {
        debug_assert!(self.file.pieces.iter().all(|piece| piece.len() as u64 <= LEAF_SIZE_BYTES));
        let begin = usize::try_from(first).unwrap_or(usize::MAX);
        let found: Vec<_> = self.file.pieces.iter().skip(begin).take(count).cloned().collect();
        let beyond = (found.len() < count).then(|| {
            let (place, leaf) = (self.id.to_string(), first + found.len() as u64);
            let what = "past the end".to_owned();
            Err(StoreError::Damaged(Damage { place, leaf: Some(leaf), what }))
        });
        found.into_iter().map(Ok).chain(beyond).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::MemoryPayload;
    use crate::payload::contract::suite;

    #[tokio::test]
    async fn memory_keeps_the_contract() {
        suite(&MemoryPayload::new()).await;
    }
}
