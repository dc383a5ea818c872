//! Which payload ids this process uses right now, so that a sweep leaves them alone.
//!
//! An id is *reserved* from before it is staged in the ledger until its caller gives it back or it was committed, and
//! *pinned* while a commit that names it is under way. What is neither and still staged is garbage.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::entry::PayloadId;

/// The ids in use.
#[derive(Debug, Default)]
pub(crate) struct Reservations {
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    reserved: HashSet<PayloadId>,
    pinned: HashSet<PayloadId>,
}

impl Reservations {
    pub(crate) fn reserve(&self, ids: &[PayloadId]) {
        self.held().reserved.extend(ids);
    }

    /// Takes the ids back from their callers; a commit that names them keeps them.
    pub(crate) fn release(&self, ids: &[PayloadId]) {
        let mut held = self.held();
        for id in ids {
            held.reserved.remove(id);
        }
    }

    pub(crate) fn pin(&self, ids: impl Iterator<Item = PayloadId>) {
        self.held().pinned.extend(ids);
    }

    pub(crate) fn unpin(&self, ids: &[PayloadId]) {
        let mut held = self.held();
        for id in ids {
            held.pinned.remove(id);
        }
    }

    /// The ledger has decided about these ids: it says from now on whether they are garbage.
    pub(crate) fn settle(&self, ids: &[PayloadId]) {
        let mut held = self.held();
        for id in ids {
            held.pinned.remove(id);
            held.reserved.remove(id);
        }
    }

    /// The ids of these that nobody uses.
    pub(crate) fn unused(&self, mut ids: Vec<PayloadId>) -> Vec<PayloadId> {
        let held = self.held();
        ids.retain(|id| !held.reserved.contains(id) && !held.pinned.contains(id));
        ids
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Set operations do not leave it half changed.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
