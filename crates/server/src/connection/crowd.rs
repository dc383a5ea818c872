//! Room for connections, and who has to go when there is none left.
//!
//! A connection without a request costs its client nothing, so room that such connections could hold would be held by
//! whoever wants to keep others out. Instead, when all slots are taken and one more connection has come, the one that has
//! been idle longest is told to go; those that never made a request whose caller the service knew go first. Whoever has a
//! request under way is left alone: if everybody has, the new connection waits for the first one that is done.
//!
//! ```text
//! accept ──> slot ──(none free)──> the first in the row is told to go ──> its slot
//!                                  └──> it has just begun a request: the next one is told
//! ```
//!
//! One row, in order, under one lock: three short steps for a request, whatever the number of connections.

use std::collections::BTreeMap;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// All connections of a server.
#[derive(Debug)]
pub(crate) struct Crowd {
    slots: Arc<Semaphore>,
    row: Mutex<Row>,
}

#[derive(Debug, Default)]
struct Row {
    /// The idle ones, and how they are told to go.
    idle: BTreeMap<Place, Arc<Notify>>,
    /// Connections that became idle so far.
    last: u64,
    /// Somebody waits for a slot, and nobody has been told to go yet.
    owed: bool,
}

/// Who has the least place goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    known: bool,
    number: u64,
}

impl Crowd {
    pub(crate) fn new(most: usize) -> Self {
        let slots = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        Self { slots, row: Mutex::default() }
    }

    /// Waits for room for one more connection, and sees to it that there will be some. For one caller at a time.
    pub(crate) async fn slot(&self) -> OwnedSemaphorePermit {
        if let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
            return slot;
        }
        self.row().shed();
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        // Somebody may have closed by itself meanwhile.
        self.row().owed = false;
        slot.expect("the semaphore is never closed")
    }

    /// Returns the place of a new connection, which is idle.
    pub(crate) fn seat(self: &Arc<Self>) -> Seat {
        let seat = Seat {
            crowd: Arc::clone(self),
            told: Arc::default(),
            known: AtomicBool::new(false),
            place: Mutex::new(None),
        };
        seat.sit();
        seat
    }

    fn row(&self) -> MutexGuard<'_, Row> {
        self.row.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Row {
    fn shed(&mut self) {
        let first = self.idle.pop_first();
        self.owed = first.is_none();
        if let Some((_, told)) = first {
            told.notify_one();
        }
    }
}

/// One connection's part in the crowd. Dropping it leaves.
#[derive(Debug)]
pub(crate) struct Seat {
    crowd: Arc<Crowd>,
    told: Arc<Notify>,
    known: AtomicBool,
    /// None while a request is under way.
    place: Mutex<Option<Place>>,
}

impl Seat {
    /// Notes that no request is under way.
    pub(crate) fn sit(&self) {
        let mut place = self.place();
        if place.is_some() {
            return;
        }
        let mut row = self.crowd.row();
        row.last += 1;
        let new = Place { known: self.known.load(Relaxed), number: row.last };
        *place = Some(new);
        if mem::take(&mut row.owed) {
            self.told.notify_one();
        } else {
            row.idle.insert(new, Arc::clone(&self.told));
        }
    }

    /// Notes that a request is under way. If this connection was to go, another one goes in its stead.
    pub(crate) fn rise(&self) {
        let Some(place) = self.place().take() else { return };
        let mut row = self.crowd.row();
        if row.idle.remove(&place).is_none() {
            row.shed();
        }
    }

    /// Notes that the service knows who asks here.
    pub(crate) fn know(&self) {
        self.known.store(true, Relaxed);
    }

    /// Waits until this connection is told to go; it may have begun a request since.
    pub(crate) async fn told_to_go(&self) {
        self.told.notified().await;
    }

    fn place(&self) -> MutexGuard<'_, Option<Place>> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some(place) = self.place().take() else { return };
        self.crowd.row().idle.remove(&place);
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    async fn is_told(seat: &Seat) -> bool {
        tokio::select! {
            biased;
            () = seat.told_to_go() => true,
            () = ready(()) => false,
        }
    }

    fn crowd() -> Arc<Crowd> {
        Arc::new(Crowd::new(1))
    }

    #[tokio::test]
    async fn the_longest_idle_stranger_goes_first_and_who_is_known_last() {
        let crowd = crowd();
        let [known, busy, renewed, stranger] = [(); 4].map(|()| crowd.seat());
        busy.rise();
        for (seat, is_known) in [(&known, true), (&renewed, false)] {
            seat.rise();
            if is_known {
                seat.know();
            }
            seat.sit();
        }
        for next in [&stranger, &renewed, &known] {
            assert!(!is_told(next).await);
            crowd.row().shed();
            assert!(is_told(next).await);
        }
        crowd.row().shed();
        assert!(!is_told(&busy).await);
        busy.sit();
        assert!(is_told(&busy).await, "as soon as it has nothing to do");
    }

    #[tokio::test]
    async fn who_was_told_to_go_and_began_a_request_sends_another_one() {
        let crowd = crowd();
        let [first, second] = [(); 2].map(|()| crowd.seat());
        crowd.row().shed();
        first.rise();
        assert!(is_told(&second).await);
        second.rise();
        assert!(crowd.row().owed, "the first one that is done");
        second.sit();
        second.rise();
        assert!(crowd.row().owed, "again it had something to do");
    }

    #[tokio::test]
    async fn who_has_left_is_not_told_to_go() {
        let crowd = crowd();
        let [first, second] = [(); 2].map(|()| crowd.seat());
        drop(first);
        crowd.row().shed();
        assert!(is_told(&second).await);
    }

    #[tokio::test]
    async fn nobody_goes_while_there_is_room() {
        let crowd = crowd();
        let idle = crowd.seat();
        let slot = crowd.slot().await;
        assert!(!is_told(&idle).await);
        let room = Arc::clone(&crowd);
        let waiting = tokio::spawn(async move { room.slot().await });
        idle.told_to_go().await;
        drop(slot);
        let _taken = waiting.await.unwrap();
        assert!(!crowd.row().owed);
    }
}
