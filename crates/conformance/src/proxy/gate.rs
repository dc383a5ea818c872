//! Where exchanges stall: until others have gone on, or until a test lets them go. Counts events and knows no time.

use tokio::sync::watch;

#[derive(Debug)]
pub(super) struct Gate(watch::Sender<Traffic>);

#[derive(Clone, Copy, Debug, Default)]
struct Traffic {
    under_way: u64,
    /// Of those under way.
    stalled: u64,
    held: u64,
    ended: u64,
    releases: u64,
}

/// An exchange that is under way until this is dropped.
#[derive(Debug)]
pub(super) struct UnderWay<'a>(&'a Gate);

/// Undoes a count when it is dropped, so that an exchange that is cancelled while it stalls is not waited for.
struct Counted<'a> {
    gate: &'a Gate,
    of: fn(&mut Traffic) -> &mut u64,
}

impl Default for Gate {
    fn default() -> Self {
        Self(watch::Sender::new(Traffic::default()))
    }
}

impl Gate {
    /// Counts an exchange.
    pub(super) fn enter(&self) -> UnderWay<'_> {
        self.0.send_modify(|traffic| traffic.under_way += 1);
        UnderWay(self)
    }

    /// Waits until `answers` other exchanges have ended, or all that is under way has stopped.
    pub(super) async fn stall(&self, answers: u64) {
        let until = self.0.borrow().ended + answers;
        let _stalled = self.count(|traffic| &mut traffic.stalled);
        self.wait(|traffic| {
            traffic.ended >= until || traffic.under_way <= traffic.stalled + traffic.held
        })
        .await;
    }

    /// Waits for the next [`Gate::release`].
    pub(super) async fn hold(&self) {
        let releases = self.0.borrow().releases;
        let _held = self.count(|traffic| &mut traffic.held);
        self.wait(|traffic| traffic.releases > releases).await;
    }

    /// Waits until an exchange is held.
    pub(super) async fn held(&self) {
        self.wait(|traffic| traffic.held > 0).await;
    }

    /// Waits until nothing is under way.
    pub(super) async fn quiet(&self) {
        self.wait(|traffic| traffic.under_way == 0).await;
    }

    /// Lets all go that are held.
    pub(super) fn release(&self) {
        self.0.send_modify(|traffic| traffic.releases += 1);
    }

    async fn wait(&self, until: impl FnMut(&Traffic) -> bool) {
        // The sender lives as long as this waits, so there is no error.
        drop(self.0.subscribe().wait_for(until).await);
    }

    fn count(&self, of: fn(&mut Traffic) -> &mut u64) -> Counted<'_> {
        self.0.send_modify(|traffic| *of(traffic) += 1);
        Counted { gate: self, of }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.gate.0.send_modify(|traffic| *(self.of)(traffic) -= 1);
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.0.send_modify(|traffic| {
            traffic.under_way -= 1;
            traffic.ended += 1;
        });
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::Gate;

    fn is_ready(future: std::pin::Pin<&mut impl Future>) -> bool {
        matches!(future.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(_))
    }

    #[test]
    fn a_stall_ends_with_the_others_or_when_there_are_none() {
        let gate = Gate::default();
        let (_own, other, third) = (gate.enter(), gate.enter(), gate.enter());
        let mut stall = pin!(gate.stall(2));
        assert!(!is_ready(stall.as_mut()));
        drop(other);
        assert!(!is_ready(stall.as_mut()), "one of two has ended, one goes on");
        drop(third);
        assert!(is_ready(stall.as_mut()));
        let mut alone = pin!(gate.stall(100));
        assert!(is_ready(alone.as_mut()), "nothing else is under way");
    }

    #[test]
    fn what_is_held_waits_for_the_release_that_comes_after_it() {
        let gate = Gate::default();
        gate.release();
        let _own = gate.enter();
        let mut hold = pin!(gate.hold());
        assert!(!is_ready(hold.as_mut()));
        assert!(is_ready(pin!(gate.held())));
        gate.release();
        assert!(is_ready(hold.as_mut()));
    }
}
