//! Users: callers with no rights but those that their policies give.

use std::collections::BTreeMap;

use icefield_protocol::{AccountId, Timestamp, UserName};
use icefield_store::entry::DocumentName;
use serde::{Deserialize, Serialize};

use crate::{
    documents::{self, Change},
    engine::Engine,
    error::EngineError,
    policy::{Policy, PolicyKind},
};

/// Policies of one user.
const MAX_POLICIES: usize = 20;
/// Longest name of a policy.
const MAX_POLICY_NAME_BYTES: usize = 128;

/// What is kept of a user.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserDocument {
    /// Never used again: a user of the same name that is made later is another one.
    pub(crate) number: u64,
    pub(crate) created: Timestamp,
    /// Identity policies by name.
    #[serde(default)]
    pub(crate) policies: BTreeMap<String, String>,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserDescription {
    /// The name.
    pub name: UserName,
    /// When it was made.
    pub created: Timestamp,
    /// Names of its policies.
    pub policies: Vec<String>,
}

pub(crate) fn document_of(
    account: &AccountId,
    user: &UserName,
) -> Result<DocumentName, EngineError> {
    documents::name(&format!("user/{account}/{user}"))
}

impl Engine {
    /// Makes a user without any rights.
    ///
    /// # Errors
    ///
    /// `AccountNotFound`; `UserExists`.
    pub async fn create_user(
        &self,
        account: &AccountId,
        user: &UserName,
    ) -> Result<UserDescription, EngineError> {
        self.known_account(account).await?;
        let created = self.now();
        let number = self.store().next_number();
        self.change(
            &document_of(account, user)?,
            None,
            |found: Option<UserDocument>| match found {
                Some(_) => Err(EngineError::UserExists(user.clone())),
                None => {
                    let new = UserDocument { number, created, policies: BTreeMap::new() };
                    Ok((Change::Set(new), ()))
                }
            },
        )
        .await?;
        Ok(UserDescription { name: user.clone(), created, policies: Vec::new() })
    }

    /// Lists the users of an account by name.
    ///
    /// # Errors
    ///
    /// `AccountNotFound`.
    pub async fn users(&self, account: &AccountId) -> Result<Vec<UserDescription>, EngineError> {
        self.known_account(account).await?;
        let found = self.documents::<UserDocument>(&format!("user/{account}/")).await?;
        let described = found.into_iter().map(|(name, document)| {
            let name = UserName::parse(&name)
                .map_err(|error| EngineError::unexpected("listing users", &error))?;
            let policies = document.policies.into_keys().collect();
            Ok(UserDescription { name, created: document.created, policies })
        });
        described.collect()
    }

    /// Removes a user with its policies and keys.
    ///
    /// # Errors
    ///
    /// `UserNotFound`.
    pub async fn delete_user(
        &self,
        account: &AccountId,
        user: &UserName,
    ) -> Result<(), EngineError> {
        let name = document_of(account, user)?;
        let nothing_is_removed = self.inner.deciding.write().await;
        self.change(&name, None, |found: Option<UserDocument>| match found {
            Some(_) => Ok((Change::Remove, ())),
            None => Err(EngineError::UserNotFound(user.clone())),
        })
        .await?;
        drop(nothing_is_removed);
        self.revoke_keys_of(account, user).await
    }

    /// Gives a user a policy, in place of one of the same name.
    ///
    /// # Errors
    ///
    /// `UserNotFound`; `InvalidPolicy` says where and why; `PolicyLimit`; `InvalidPolicyName`.
    pub async fn set_user_policy(
        &self,
        account: &AccountId,
        user: &UserName,
        policy: &str,
        text: &str,
    ) -> Result<(), EngineError> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte);
        if !(1..=MAX_POLICY_NAME_BYTES).contains(&policy.len()) || !policy.bytes().all(legal) {
            return Err(EngineError::InvalidPolicyName(policy.to_owned()));
        }
        Policy::parse(text, PolicyKind::Identity).map_err(EngineError::InvalidPolicy)?;
        self.change_user(account, user, |document| {
            document.policies.insert(policy.to_owned(), text.to_owned());
            if document.policies.len() > MAX_POLICIES {
                return Err(EngineError::PolicyLimit(MAX_POLICIES));
            }
            Ok(())
        })
        .await
    }

    /// Returns the policies of a user by name.
    ///
    /// # Errors
    ///
    /// `UserNotFound`.
    pub async fn user_policies(
        &self,
        account: &AccountId,
        user: &UserName,
    ) -> Result<BTreeMap<String, String>, EngineError> {
        let document = self.user(account, user).await?;
        Ok(document.ok_or_else(|| EngineError::UserNotFound(user.clone()))?.policies)
    }

    /// Takes a policy from a user; one that is not there is fine.
    ///
    /// # Errors
    ///
    /// `UserNotFound`.
    pub async fn remove_user_policy(
        &self,
        account: &AccountId,
        user: &UserName,
        policy: &str,
    ) -> Result<(), EngineError> {
        self.change_user(account, user, |document| {
            document.policies.remove(policy);
            Ok(())
        })
        .await
    }

    pub(crate) async fn user(
        &self,
        account: &AccountId,
        user: &UserName,
    ) -> Result<Option<UserDocument>, EngineError> {
        self.document(&document_of(account, user)?).await
    }

    async fn change_user(
        &self,
        account: &AccountId,
        user: &UserName,
        change: impl Fn(&mut UserDocument) -> Result<(), EngineError> + Send + Sync,
    ) -> Result<(), EngineError> {
        let name = document_of(account, user)?;
        let _nothing_is_removed = self.inner.deciding.write().await;
        self.change(&name, None, |found: Option<UserDocument>| {
            let mut document = found.ok_or_else(|| EngineError::UserNotFound(user.clone()))?;
            change(&mut document)?;
            Ok((Change::Set(document), ()))
        })
        .await
    }
}
