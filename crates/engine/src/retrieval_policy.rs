//! How much of an account's archives may be retrieved ("Data Retrieval Policies").
//!
//! The service does not publish its formula. Here a standard retrieval counts as spread evenly over some hours, whatever
//! time it really takes; expedited and bulk retrievals and inventories are never refused.

use icefield_protocol::{AccountId, Operation, RetrievalPolicy, Timestamp};

use tokio::sync::MutexGuard;

use crate::{
    access::Access,
    account::{AccountDocument, document_of},
    documents::Change,
    engine::Engine,
    error::EngineError,
};

impl Engine {
    /// Returns the data retrieval policy; one that was never set lets everything through.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn retrieval_policy(&self, access: &Access) -> Result<RetrievalPolicy, EngineError> {
        access.is_for(Operation::GetDataRetrievalPolicy)?;
        self.policy_of(access.account()).await
    }

    /// Sets the data retrieval policy, at once and for jobs to come.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn set_retrieval_policy(
        &self,
        access: &Access,
        policy: RetrievalPolicy,
    ) -> Result<(), EngineError> {
        access.is_for(Operation::SetDataRetrievalPolicy)?;
        let name = document_of(access.account())?;
        self.change(&name, None, |found: Option<AccountDocument>| {
            let document =
                AccountDocument { retrieval_policy: policy, ..found.unwrap_or_default() };
            Ok((Change::Set(document), ()))
        })
        .await
    }

    /// Refuses a standard retrieval of `bytes` that is too much. What is returned is to be kept until the job is
    /// recorded, so that two at once are not both counted as the last that fits.
    pub(crate) async fn allow_retrieval(
        &self,
        account: &AccountId,
        bytes: u64,
        now: Timestamp,
    ) -> Result<Option<MutexGuard<'_, ()>>, EngineError> {
        let hours = self.settings().retrieval_hours.max(1);
        let policy = self.policy_of(account).await?;
        if policy == RetrievalPolicy::None {
            return Ok(None);
        }
        let one_at_a_time = self.inner.retrieving.lock().await;
        let today = now.start_of_day();
        let load = self.store().ledger().retrieval_load(account, hours, today).await?;
        let allowed = match policy {
            RetrievalPolicy::None => true,
            RetrievalPolicy::BytesPerHour(most) => {
                load.running_bytes_per_hour.saturating_add(bytes.div_ceil(hours)) <= most
            }
            RetrievalPolicy::FreeTier => {
                let share = self.settings().free_tier_bytes / u64::from(now.days_in_month());
                load.bytes_since.saturating_add(bytes) <= share
            }
        };
        if allowed { Ok(Some(one_at_a_time)) } else { Err(EngineError::PolicyEnforced) }
    }

    async fn policy_of(&self, account: &AccountId) -> Result<RetrievalPolicy, EngineError> {
        let document: Option<AccountDocument> = self.document(&document_of(account)?).await?;
        Ok(document.unwrap_or_default().retrieval_policy)
    }
}
