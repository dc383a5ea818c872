//! Stopping in good order: one side asks, every task of a run sees it.

use tokio::sync::watch;

/// Asks a run to stop. Dropping it asks nothing.
#[derive(Debug)]
pub struct Canceller(watch::Sender<bool>);

/// What a run looks at; clones see the same request.
#[derive(Debug, Clone)]
pub struct Cancel(watch::Receiver<bool>);

impl Canceller {
    /// Makes the pair.
    pub fn new() -> (Self, Cancel) {
        let (sender, receiver) = watch::channel(false);
        (Self(sender), Cancel(receiver))
    }

    /// Asks to stop; what was done so far is kept.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }
}

impl Cancel {
    /// Returns a request that is never made.
    pub fn never() -> Self {
        Canceller::new().1
    }

    /// Whether stopping was asked for.
    pub fn is_cancelled(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until stopping is asked for. Cancel safe.
    pub async fn cancelled(&self) {
        let mut receiver = self.0.clone();
        // Without a canceller nobody can ask any more.
        if receiver.wait_for(|asked| *asked).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
