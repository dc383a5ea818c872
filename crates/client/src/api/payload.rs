//! A body with its hashes, which are computed once for all attempts.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use icefield_treehash::{HashPool, LinearHash, Roles, TreeHash};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{body::Body, target::TargetError, transport::Outgoing};

/// Longest body that is kept in memory between hashing and sending.
const HELD_MAX_BYTES: u64 = 16 << 20;

/// A body that is hashed and can be sent any number of times.
pub(super) struct Payload<'a> {
    body: &'a Body,
    pub(super) tree: TreeHash,
    pub(super) linear: LinearHash,
    held: Option<Held>,
}

struct Held {
    chunks: Vec<Bytes>,
    _share: OwnedSemaphorePermit,
}

impl<'a> Payload<'a> {
    /// Hashes a body, and keeps its bytes if there is room for them.
    pub(super) async fn new(
        body: &'a Body,
        pool: &HashPool,
        budget: &Arc<Semaphore>,
    ) -> Result<Self, TargetError> {
        let share = u32::try_from(body.size().min(HELD_MAX_BYTES + 1))
            .ok()
            .filter(|_| body.size() <= HELD_MAX_BYTES)
            .and_then(|bytes| Arc::clone(budget).try_acquire_many_owned(bytes).ok());
        let mut kept = Vec::new();
        let mut hashing = pool.start(Roles { linear: true });
        let mut chunks = body.read();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(TargetError::Source)?;
            if share.is_some() {
                kept.push(chunk.clone());
            }
            hashing.submit(chunk).await;
        }
        let hashed = hashing.finish().await;
        let linear = hashed.linear.expect("a linear hash was asked for");
        let held = share.map(|share| Held { chunks: kept, _share: share });
        Ok(Self { body, tree: hashed.tree, linear, held })
    }

    pub(super) fn size(&self) -> u64 {
        self.body.size()
    }

    /// Opens the bytes to be sent.
    pub(super) fn send(&self) -> Outgoing {
        let chunks = match &self.held {
            Some(held) => {
                let kept = held.chunks.clone().into_iter().map(Ok);
                self.body.measure(Box::pin(stream::iter(kept)))
            }
            None => self.body.send(),
        };
        Outgoing::stream(self.size(), chunks)
    }
}

impl fmt::Debug for Payload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payload").field("size", &self.size()).finish_non_exhaustive()
    }
}
