//! What can be set on a vault and an account beside archives: tags, policies, locks, notifications, pace and capacity.

use std::fmt;

use async_trait::async_trait;
use icefield_protocol::{
    CapacityId, CapacityUnit, LockDescription, LockId, NotificationConfiguration, RetrievalPolicy,
    TagKey, Tags, VaultName,
};

use crate::target::TargetError;

/// The settings of vaults and of an account, as the vault API has them.
///
/// # Contract
///
/// Each call is one operation of the Glacier API with its limits and errors; what does not exist is
/// [`TargetError::is_not_found`].
#[async_trait]
pub trait Administration: fmt::Debug + Send + Sync {
    /// Returns the tags of a vault.
    async fn tags(&self, vault: &VaultName) -> Result<Tags, TargetError>;

    /// Adds or replaces tags, at most 10 at a time.
    async fn add_tags(&self, vault: &VaultName, tags: &Tags) -> Result<(), TargetError>;

    /// Removes tags; those that are not there are fine.
    async fn remove_tags(&self, vault: &VaultName, keys: &[TagKey]) -> Result<(), TargetError>;

    /// Returns the vault's access policy, the JSON text as it was set.
    async fn access_policy(&self, vault: &VaultName) -> Result<String, TargetError>;

    /// Sets the vault's access policy.
    async fn set_access_policy(&self, vault: &VaultName, policy: &str) -> Result<(), TargetError>;

    /// Removes the vault's access policy.
    async fn remove_access_policy(&self, vault: &VaultName) -> Result<(), TargetError>;

    /// Puts a lock policy in force for 24 hours, to be completed or aborted.
    async fn initiate_lock(&self, vault: &VaultName, policy: &str) -> Result<LockId, TargetError>;

    /// Makes the lock policy final.
    async fn complete_lock(&self, vault: &VaultName, lock: &LockId) -> Result<(), TargetError>;

    /// Takes back a lock policy that is not final.
    async fn abort_lock(&self, vault: &VaultName) -> Result<(), TargetError>;

    /// Tells the lock policy and its state.
    async fn lock(&self, vault: &VaultName) -> Result<LockDescription, TargetError>;

    /// Tells which ends of jobs are told to which topic.
    async fn notifications(
        &self,
        vault: &VaultName,
    ) -> Result<NotificationConfiguration, TargetError>;

    /// Says which ends of jobs are told to which topic.
    async fn set_notifications(
        &self,
        vault: &VaultName,
        configuration: &NotificationConfiguration,
    ) -> Result<(), TargetError>;

    /// Tells nobody of ended jobs any more.
    async fn remove_notifications(&self, vault: &VaultName) -> Result<(), TargetError>;

    /// Tells the account's data retrieval policy.
    async fn retrieval_policy(&self) -> Result<RetrievalPolicy, TargetError>;

    /// Sets the account's data retrieval policy.
    async fn set_retrieval_policy(&self, policy: RetrievalPolicy) -> Result<(), TargetError>;

    /// Lists the units of provisioned capacity.
    async fn capacity(&self) -> Result<Vec<CapacityUnit>, TargetError>;

    /// Buys a unit of provisioned capacity.
    async fn purchase_capacity(&self) -> Result<CapacityId, TargetError>;
}
