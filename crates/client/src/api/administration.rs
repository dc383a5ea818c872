//! The settings of vaults and of the account, one request each.

use async_trait::async_trait;
use http::Method;
use icefield_protocol::{
    CapacityId, CapacityUnit, LockDescription, LockId, NotificationConfiguration, RetrievalPolicy,
    TagKey, Tags, VaultName,
};
use serde::Serialize;

use super::{
    VaultApi,
    answers::{AccountPolicy, CapacityList, TagList, VaultPolicy},
    request::{Repeat, Request},
};
use crate::{administration::Administration, target::TargetError};

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Policy<P> {
    policy: P,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct AddedTags<'a> {
    tags: &'a Tags,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct RemovedTags<'a> {
    tag_keys: &'a [TagKey],
}

impl VaultApi {
    /// Does what has no answer but success.
    async fn set(&self, request: Request<'_>) -> Result<(), TargetError> {
        self.call(request).await.map(drop)
    }
}

#[async_trait]
impl Administration for VaultApi {
    async fn tags(&self, vault: &VaultName) -> Result<Tags, TargetError> {
        let list: TagList = self.ask(Request::vault(Method::GET, vault, "/tags")).await?;
        Ok(list.tags)
    }

    async fn add_tags(&self, vault: &VaultName, tags: &Tags) -> Result<(), TargetError> {
        let request = Request::vault(Method::POST, vault, "/tags").query("operation", "add");
        self.set(request.json(&AddedTags { tags })).await
    }

    async fn remove_tags(&self, vault: &VaultName, keys: &[TagKey]) -> Result<(), TargetError> {
        let request = Request::vault(Method::POST, vault, "/tags").query("operation", "remove");
        self.set(request.json(&RemovedTags { tag_keys: keys })).await
    }

    async fn access_policy(&self, vault: &VaultName) -> Result<String, TargetError> {
        let request = Request::vault(Method::GET, vault, "/access-policy");
        self.ask(request).await.map(|answer: VaultPolicy| answer.policy)
    }

    async fn set_access_policy(&self, vault: &VaultName, policy: &str) -> Result<(), TargetError> {
        let request = Request::vault(Method::PUT, vault, "/access-policy");
        self.set(request.json(&Policy { policy })).await
    }

    async fn remove_access_policy(&self, vault: &VaultName) -> Result<(), TargetError> {
        self.set(Request::vault(Method::DELETE, vault, "/access-policy")).await
    }

    /// An answer that was lost is not asked for again: the lock is in force, and its ID known to nobody.
    async fn initiate_lock(&self, vault: &VaultName, policy: &str) -> Result<LockId, TargetError> {
        let request = Request::vault(Method::POST, vault, "/lock-policy")
            .json(&Policy { policy })
            .repeat(Repeat::Another);
        self.call(request).await?.header("x-amz-lock-id")
    }

    async fn complete_lock(&self, vault: &VaultName, lock: &LockId) -> Result<(), TargetError> {
        self.set(Request::vault(Method::POST, vault, &format!("/lock-policy/{lock}"))).await
    }

    async fn abort_lock(&self, vault: &VaultName) -> Result<(), TargetError> {
        self.set(Request::vault(Method::DELETE, vault, "/lock-policy")).await
    }

    async fn lock(&self, vault: &VaultName) -> Result<LockDescription, TargetError> {
        self.ask(Request::vault(Method::GET, vault, "/lock-policy")).await
    }

    async fn notifications(
        &self,
        vault: &VaultName,
    ) -> Result<NotificationConfiguration, TargetError> {
        self.ask(Request::vault(Method::GET, vault, "/notification-configuration")).await
    }

    async fn set_notifications(
        &self,
        vault: &VaultName,
        configuration: &NotificationConfiguration,
    ) -> Result<(), TargetError> {
        let request = Request::vault(Method::PUT, vault, "/notification-configuration");
        self.set(request.json(configuration)).await
    }

    async fn remove_notifications(&self, vault: &VaultName) -> Result<(), TargetError> {
        self.set(Request::vault(Method::DELETE, vault, "/notification-configuration")).await
    }

    async fn retrieval_policy(&self) -> Result<RetrievalPolicy, TargetError> {
        let request = Request::account(Method::GET, "/policies/data-retrieval");
        self.ask(request).await.map(|answer: AccountPolicy| answer.policy)
    }

    async fn set_retrieval_policy(&self, policy: RetrievalPolicy) -> Result<(), TargetError> {
        let request = Request::account(Method::PUT, "/policies/data-retrieval");
        self.set(request.json(&Policy { policy })).await
    }

    async fn capacity(&self) -> Result<Vec<CapacityUnit>, TargetError> {
        let request = Request::account(Method::GET, "/provisioned-capacity");
        self.ask(request).await.map(|list: CapacityList| list.provisioned_capacity_list)
    }

    /// A unit is bought once: an answer that was lost leaves the list of units to look at.
    async fn purchase_capacity(&self) -> Result<CapacityId, TargetError> {
        let request =
            Request::account(Method::POST, "/provisioned-capacity").repeat(Repeat::Another);
        self.call(request).await?.header("x-amz-capacity-id")
    }
}
