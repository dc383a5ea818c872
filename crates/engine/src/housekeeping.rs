//! What has to be done now and then: forget what has expired, remove what nothing needs.

use std::time::Duration;

use icefield_protocol::Timestamp;

use crate::{engine::Engine, error::EngineError};

/// Deleted archives forgotten in one transaction.
const PURGE_BATCH: usize = 1000;
/// How long messages that were given up are kept for somebody to look at.
const DEAD_MESSAGES_KEPT: Duration = Duration::from_hours(30 * 24);

impl Engine {
    /// Forgets expired uploads and jobs, messages given up long ago, and deleted archives that nothing needs any more, then
    /// removes the payload files that have no owner.
    ///
    /// What has expired is refused with or without it; only room is gained.
    ///
    /// # Errors
    ///
    /// When the store fails; what was done until then stays done.
    pub async fn housekeeping(&self) -> Result<(), EngineError> {
        self.forget_uploads().await?;
        self.forget_sessions().await?;
        let ledger = self.store().ledger();
        ledger.expire_jobs(self.ended_by(self.settings().job_lifetime)).await?;
        self.inner.jobs_left.count_again();
        ledger.expire_deliveries(self.ended_by(DEAD_MESSAGES_KEPT)).await?;
        while ledger.purge(PURGE_BATCH).await? > 0 {}
        Ok(self.store().sweep().await?)
    }

    /// Forgets uploads that have expired or ended long ago.
    pub(crate) async fn forget_uploads(&self) -> Result<(), EngineError> {
        // One that is being completed this very moment must not lose its parts.
        let _no_upload_changes = self.inner.uploads.change_all().await;
        let idle_since = self.ended_by(self.settings().upload_expiry);
        let ended_before = self.ended_by(self.settings().tombstone);
        self.store().ledger().expire_uploads(idle_since, ended_before).await?;
        Ok(())
    }

    /// What happened before this is over by now, after a time of `lifetime`.
    fn ended_by(&self, lifetime: Duration) -> Timestamp {
        let millis = i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX);
        let over = self.now().unix_millis().saturating_sub(millis);
        // A lifetime is over at its end, so that moment is included.
        Timestamp::from_unix_millis(over.saturating_add(1))
    }
}
