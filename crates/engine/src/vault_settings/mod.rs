//! What is set for a vault beside its archives: tags, access policy, notification configuration, lock.
//!
//! One document per life of a vault, removed with it. Decisions are made by it, so a change is decided again and
//! committed while no other decision that removes something is under way: from the moment a change is acknowledged,
//! nothing happens any more by a decision that was made before it.

mod access_policy;
mod notifications;
mod tags;

use icefield_protocol::{NotificationConfiguration, Operation, Tags, Timestamp};
use icefield_store::entry::{DocumentName, VaultNumber};
use serde::{Deserialize, Serialize};

use crate::{
    access::Access,
    documents::{self, Change},
    engine::Engine,
    error::EngineError,
    lock::VaultLock,
    policy::ContextKeys,
    upload::to_the_end,
};

/// The settings of a vault. A member that this version does not know makes them unreadable, and the vault with them:
/// it may be a rule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VaultSettings {
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub(crate) tags: Tags,
    /// As it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) access_policy: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) notifications: Option<NotificationConfiguration>,
    /// May have expired: see [`Self::lock_at`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lock: Option<VaultLock>,
}

impl VaultSettings {
    /// Returns the lock that is in force at this time.
    pub(crate) fn lock_at(&self, now: Timestamp) -> Option<&VaultLock> {
        self.lock.as_ref().filter(|lock| lock.is_in_force(now))
    }

    pub(crate) fn set_lock(&mut self, lock: Option<VaultLock>) {
        self.lock = lock;
    }
}

/// The name of the document with the settings of a vault.
pub(crate) fn document_of(vault: VaultNumber) -> Result<DocumentName, EngineError> {
    documents::name(&format!("vault/{vault}"))
}

impl Engine {
    /// Reads the settings of a vault.
    pub(crate) async fn vault_settings(
        &self,
        vault: VaultNumber,
    ) -> Result<VaultSettings, EngineError> {
        Ok(self.document(&document_of(vault)?).await?.unwrap_or_default())
    }

    /// Finds the vault that the permission is for and reads its settings.
    pub(crate) async fn settings_for(
        &self,
        access: &Access,
        operation: Operation,
    ) -> Result<VaultSettings, EngineError> {
        let vault = self.vault(access, operation).await?;
        self.vault_settings(vault.number).await
    }

    /// Changes the settings of a vault, durably on return, once it was decided again. `said` is what the request says beside
    /// its head.
    ///
    /// # Errors
    ///
    /// `AccessDenied` when that does not hold any more, `VaultNotFound`, and those of `change`, which then changes nothing.
    pub(crate) async fn change_vault<R: Send + 'static>(
        &self,
        access: &Access,
        operation: Operation,
        said: ContextKeys,
        change: impl Fn(&mut VaultSettings) -> Result<R, EngineError> + Send + Sync + 'static,
    ) -> Result<R, EngineError> {
        let (engine, access) = (self.clone(), access.clone());
        to_the_end(async move {
            let _nothing_is_removed = engine.inner.deciding.write().await;
            let vault = engine.decide_again(&access, operation, None, &said).await?;
            let changed = |found: Option<VaultSettings>| {
                let before = found.unwrap_or_default();
                let mut after = before.clone();
                let result = change(&mut after)?;
                Ok((if after == before { Change::Keep } else { Change::Set(after) }, result))
            };
            engine.change(&document_of(vault.number)?, Some(&vault), changed).await
        })
        .await
    }
}
