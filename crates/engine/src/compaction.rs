//! Compaction under Glacier's rules: what a vault lock protects is not touched.

use std::sync::Arc;

use async_trait::async_trait;
use icefield_store::{Compaction, StoreError, VaultLocks, entry::VaultNumber};

use crate::{
    engine::Engine,
    vault_settings::{VaultSettings, document_of},
};

impl Engine {
    /// Returns a compaction of the store's packs that leaves alone what tells of archives of a vault with a lock, in progress
    /// or completed.
    #[must_use]
    pub fn compaction(&self) -> Compaction {
        Compaction::new(self.store(), Arc::new(Locks(self.clone())))
    }
}

#[derive(Debug)]
struct Locks(Engine);

#[async_trait]
impl VaultLocks for Locks {
    async fn is_locked(&self, vault: VaultNumber) -> Result<bool, StoreError> {
        let Ok(name) = document_of(vault) else { return Ok(true) };
        let Some(row) = self.0.store().ledger().document(&name).await? else { return Ok(false) };
        match serde_json::from_value::<VaultSettings>(row.value) {
            Ok(settings) => Ok(settings.lock_at(self.0.now()).is_some()),
            Err(error) => {
                tracing::warn!(%error, %vault, "unreadable settings count as a lock");
                Ok(true)
            }
        }
    }
}
