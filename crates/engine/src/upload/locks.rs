//! While an upload is completed or aborted, its parts stand still.

use std::panic::resume_unwind;

use icefield_store::{StoreError, entry::UploadNumber};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::error::EngineError;

const STRIPES: usize = 64;

/// Runs what holds a lock to its end, also when its caller goes away: a change that has been handed to the store must
/// not outlive the lock that it was decided under.
pub(crate) async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, EngineError>> + Send + 'static,
) -> Result<T, EngineError> {
    match tokio::spawn(work).await {
        Ok(done) => done,
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // Only a runtime that shuts down cancels it.
            Err(_) => Err(StoreError::Closed.into()),
        },
    }
}

/// Locks of uploads, shared out over a fixed number: uploads that share one only wait a little longer.
///
/// Nobody holds two of them, except in ascending order ([`UploadLocks::change_all`]).
#[derive(Debug)]
pub(crate) struct UploadLocks([RwLock<()>; STRIPES]);

impl Default for UploadLocks {
    fn default() -> Self {
        Self(std::array::from_fn(|_| RwLock::new(())))
    }
}

impl UploadLocks {
    /// To record a part, beside others.
    pub(crate) async fn add(&self, upload: UploadNumber) -> RwLockReadGuard<'_, ()> {
        self.stripe(upload).read().await
    }

    /// To end an upload, alone.
    pub(crate) async fn change(&self, upload: UploadNumber) -> RwLockWriteGuard<'_, ()> {
        self.stripe(upload).write().await
    }

    /// To end any number of uploads.
    pub(crate) async fn change_all(&self) -> Vec<RwLockWriteGuard<'_, ()>> {
        let mut guards = Vec::with_capacity(STRIPES);
        for stripe in &self.0 {
            guards.push(stripe.write().await);
        }
        guards
    }

    fn stripe(&self, upload: UploadNumber) -> &RwLock<()> {
        let index = usize::try_from(upload.0 % STRIPES as u64).expect("below the stripes");
        &self.0[index]
    }
}
