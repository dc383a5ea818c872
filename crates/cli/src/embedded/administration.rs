//! The settings of vaults and of the account, as the engine keeps them.

use async_trait::async_trait;
use icefield_client::{administration::Administration, target::TargetError};
use icefield_engine::{Access, Resource};
use icefield_protocol::{
    CapacityId, CapacityUnit, LockDescription, LockId, NotificationConfiguration, Operation,
    RetrievalPolicy, TagKey, Tags, VaultName,
};

use super::{Embedded, refused};

impl Embedded {
    /// Asks for what is about the account as a whole.
    pub(super) async fn account_access(&self, operation: Operation) -> Result<Access, TargetError> {
        self.authorize(operation, Resource::account(&self.account)).await
    }
}

#[async_trait]
impl Administration for Embedded {
    async fn tags(&self, vault: &VaultName) -> Result<Tags, TargetError> {
        let access = self.access(Operation::ListTagsForVault, vault, None).await?;
        self.engine.tags(&access).await.map_err(refused)
    }

    async fn add_tags(&self, vault: &VaultName, tags: &Tags) -> Result<(), TargetError> {
        let access = self.access(Operation::AddTagsToVault, vault, None).await?;
        self.engine.add_tags(&access, tags.clone()).await.map_err(refused)
    }

    async fn remove_tags(&self, vault: &VaultName, keys: &[TagKey]) -> Result<(), TargetError> {
        let access = self.access(Operation::RemoveTagsFromVault, vault, None).await?;
        self.engine.remove_tags(&access, keys).await.map_err(refused)
    }

    async fn access_policy(&self, vault: &VaultName) -> Result<String, TargetError> {
        let access = self.access(Operation::GetVaultAccessPolicy, vault, None).await?;
        self.engine.access_policy(&access).await.map_err(refused)
    }

    async fn set_access_policy(&self, vault: &VaultName, policy: &str) -> Result<(), TargetError> {
        let access = self.access(Operation::SetVaultAccessPolicy, vault, None).await?;
        self.engine.set_access_policy(&access, policy).await.map_err(refused)
    }

    async fn remove_access_policy(&self, vault: &VaultName) -> Result<(), TargetError> {
        let access = self.access(Operation::DeleteVaultAccessPolicy, vault, None).await?;
        self.engine.delete_access_policy(&access).await.map_err(refused)
    }

    async fn initiate_lock(&self, vault: &VaultName, policy: &str) -> Result<LockId, TargetError> {
        let access = self.access(Operation::InitiateVaultLock, vault, None).await?;
        self.engine.initiate_lock(&access, policy).await.map_err(refused)
    }

    async fn complete_lock(&self, vault: &VaultName, lock: &LockId) -> Result<(), TargetError> {
        let access = self.access(Operation::CompleteVaultLock, vault, None).await?;
        self.engine.complete_lock(&access, lock).await.map_err(refused)
    }

    async fn abort_lock(&self, vault: &VaultName) -> Result<(), TargetError> {
        let access = self.access(Operation::AbortVaultLock, vault, None).await?;
        self.engine.abort_lock(&access).await.map_err(refused)
    }

    async fn lock(&self, vault: &VaultName) -> Result<LockDescription, TargetError> {
        let access = self.access(Operation::GetVaultLock, vault, None).await?;
        self.engine.lock(&access).await.map_err(refused)
    }

    async fn notifications(
        &self,
        vault: &VaultName,
    ) -> Result<NotificationConfiguration, TargetError> {
        let access = self.access(Operation::GetVaultNotifications, vault, None).await?;
        self.engine.notifications(&access).await.map_err(refused)
    }

    async fn set_notifications(
        &self,
        vault: &VaultName,
        configuration: &NotificationConfiguration,
    ) -> Result<(), TargetError> {
        let access = self.access(Operation::SetVaultNotifications, vault, None).await?;
        self.engine.set_notifications(&access, configuration.clone()).await.map_err(refused)
    }

    async fn remove_notifications(&self, vault: &VaultName) -> Result<(), TargetError> {
        let access = self.access(Operation::DeleteVaultNotifications, vault, None).await?;
        self.engine.delete_notifications(&access).await.map_err(refused)
    }

    async fn retrieval_policy(&self) -> Result<RetrievalPolicy, TargetError> {
        let access = self.account_access(Operation::GetDataRetrievalPolicy).await?;
        self.engine.retrieval_policy(&access).await.map_err(refused)
    }

    async fn set_retrieval_policy(&self, policy: RetrievalPolicy) -> Result<(), TargetError> {
        let access = self.account_access(Operation::SetDataRetrievalPolicy).await?;
        self.engine.set_retrieval_policy(&access, policy).await.map_err(refused)
    }

    async fn capacity(&self) -> Result<Vec<CapacityUnit>, TargetError> {
        let access = self.account_access(Operation::ListProvisionedCapacity).await?;
        self.engine.capacity(&access).await.map_err(refused)
    }

    async fn purchase_capacity(&self) -> Result<CapacityId, TargetError> {
        let access = self.account_access(Operation::PurchaseProvisionedCapacity).await?;
        self.engine.purchase_capacity(&access).await.map_err(refused)
    }
}
