//! One byte budget for the bodies of all connections, with a floor for each.
//!
//! A connection that holds nothing may always take one window, its *floor*, without asking anybody. Only what it wants
//! beyond (the chunks that a service keeps while it takes the next ones) comes out of the common budget, first come,
//! first served. So an upload that keeps at most one chunk at a time never waits for another connection, and a client
//! that sends nothing keeps nothing of the common budget from the others.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::gauges::Gauges;

/// The common part. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    free: Arc<Semaphore>,
    bytes: u32,
    window: usize,
    gauges: Gauges,
}

impl Budget {
    pub(crate) fn new(bytes: usize, window: usize, gauges: Gauges) -> Self {
        let most = u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX);
        // Less than one window could never be given out.
        let bytes = u32::try_from(bytes.max(window)).unwrap_or(u32::MAX).min(most);
        let free = Arc::new(Semaphore::new(bytes as usize));
        Self { free, bytes, window, gauges }
    }

    /// Opens the share of one connection.
    pub(crate) fn room(&self) -> Room {
        Room { floor: Arc::new(Semaphore::new(1)), budget: self.clone() }
    }

    async fn take(&self, bytes: usize) -> OwnedSemaphorePermit {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.bytes);
        acquire(&self.free, bytes).await
    }
}

/// What one connection may hold.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    floor: Arc<Semaphore>,
    budget: Budget,
}

impl Room {
    pub(crate) fn window(&self) -> usize {
        self.budget.window
    }

    /// Waits for room for `bytes`; more than the whole budget is taken as the whole budget.
    pub(crate) async fn take(&self, bytes: usize) -> Permit {
        if bytes > self.budget.window {
            return self.permit(self.budget.take(bytes).await, false);
        }
        tokio::select! {
            biased;
            floor = acquire(&self.floor, 1) => self.permit(floor, true),
            common = self.budget.take(bytes) => self.permit(common, false),
        }
    }

    fn permit(&self, held: OwnedSemaphorePermit, floor: bool) -> Permit {
        Permit { held, floor, bytes: 0, gauges: self.budget.gauges.clone() }
    }
}

async fn acquire(semaphore: &Arc<Semaphore>, count: u32) -> OwnedSemaphorePermit {
    Arc::clone(semaphore).acquire_many_owned(count).await.expect("the semaphore is never closed")
}

/// Room that is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    held: OwnedSemaphorePermit,
    floor: bool,
    bytes: usize,
    gauges: Gauges,
}

impl Permit {
    /// Puts `bytes` into the room, once, and gives back what they do not need.
    pub(crate) fn fill(&mut self, bytes: usize) {
        let surplus = self.held.num_permits().saturating_sub(bytes);
        if !self.floor {
            drop(self.held.split(surplus));
        }
        self.bytes = bytes;
        self.gauges.hold(bytes);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gauges.let_go(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_connection_has_its_floor_when_the_budget_is_taken() {
        let budget = Budget::new(100, 10, Gauges::default());
        let greedy = budget.room();
        let held: Vec<_> = (0..11).map(|_| greedy.take(10).now_or_never().unwrap()).collect();
        assert!(greedy.take(10).now_or_never().is_none(), "the floor and the budget are taken");

        let modest = budget.room();
        let mut floor = modest.take(10).now_or_never().unwrap();
        floor.fill(10);
        assert!(modest.take(1).now_or_never().is_none());
        drop(floor);
        assert!(modest.take(1).now_or_never().is_some());
        drop(held);
        assert!(greedy.take(100).now_or_never().is_some());
    }

    #[test]
    fn whoever_waits_takes_the_floor_or_the_budget_whichever_comes_first() {
        let budget = Budget::new(10, 10, Gauges::default());
        let room = budget.room();
        let floor = room.take(10).now_or_never().unwrap();
        let common = room.take(10).now_or_never().unwrap();
        let mut waiting = Box::pin(room.take(10));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(floor);
        assert!(waiting.as_mut().now_or_never().is_some());

        let floor = room.take(10).now_or_never().unwrap();
        let mut waiting = Box::pin(room.take(10));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(common);
        assert!(waiting.as_mut().now_or_never().is_some());
        drop(floor);
    }

    #[test]
    fn bytes_are_counted_while_they_are_held_and_the_surplus_is_given_back() {
        let gauges = Gauges::default();
        let budget = Budget::new(10, 10, gauges.clone());
        let room = budget.room();
        let _floor = room.take(10).now_or_never().unwrap();
        let mut permit = room.take(10).now_or_never().unwrap();
        assert_eq!(gauges.bytes(), 0);
        permit.fill(4);
        assert_eq!(gauges.bytes(), 4);
        assert!(room.take(6).now_or_never().is_some());
        drop(permit);
        assert_eq!(gauges.bytes(), 0);
    }
}
