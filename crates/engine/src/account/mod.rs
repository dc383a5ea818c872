//! Accounts, their users and their keys: what the owner of a store decides about who may ask.
//!
//! Nothing here takes an [`Access`](crate::Access): these calls are not part of the service. They are for the owner of
//! the store, who reaches them through the command line, beside a running server through its control socket.

mod key;
mod secrets;
mod user;

use std::collections::BTreeMap;

use icefield_protocol::{AccountId, CapacityUnit, RetrievalPolicy, Timestamp, sigv4::AccessKeyId};
use icefield_store::entry::DocumentName;
use serde::{Deserialize, Serialize};

use crate::{
    documents::{self, Change},
    engine::Engine,
    error::EngineError,
    random::random,
};

pub use key::{Credential, KeyDescription, NewKey, Session, SessionRefusal};
pub use secrets::MasterKey;
pub(crate) use secrets::Secrets;
pub use user::UserDescription;
pub(crate) use user::UserDocument;

/// How often a number for a new account is drawn.
const DRAWS: usize = 16;

/// What is kept of an account.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccountDocument {
    /// When it was made; none for the store's first account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) created: Option<Timestamp>,
    #[serde(default)]
    pub(crate) retrieval_policy: RetrievalPolicy,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) capacity: Vec<CapacityUnit>,
    /// The key that the configuration names, so that another one replaces it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) root_key: Option<AccessKeyId>,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountDescription {
    /// Its number.
    pub account: AccountId,
    /// When it was made.
    pub created: Timestamp,
    /// Whether it is the one that the store was made with.
    pub first: bool,
}

pub(crate) fn document_of(account: &AccountId) -> Result<DocumentName, EngineError> {
    documents::name(&format!("account/{account}"))
}

impl Engine {
    /// Makes an account with a random number.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn create_account(&self) -> Result<AccountDescription, EngineError> {
        for _ in 0..DRAWS {
            let digits = u64::from_be_bytes(random()?) % 1_000_000_000_000;
            let account = AccountId::parse(&format!("{digits:012}")).expect("twelve digits");
            let created = self.now();
            let new = AccountDocument { created: Some(created), ..AccountDocument::default() };
            let name = document_of(&account)?;
            let is_new = self
                .change(&name, None, |found: Option<AccountDocument>| {
                    let taken = found.is_some() || account == *self.account();
                    Ok(if taken { (Change::Keep, false) } else { (Change::Set(new.clone()), true) })
                })
                .await?;
            if is_new {
                return Ok(AccountDescription { account, created, first: false });
            }
        }
        Err(EngineError::NoRandomness)
    }

    /// Lists the accounts by number.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn accounts(&self) -> Result<Vec<AccountDescription>, EngineError> {
        let identity = self.store().identity();
        let mut accounts = BTreeMap::from([(identity.account.clone(), identity.created)]);
        for (number, document) in self.documents::<AccountDocument>("account/").await? {
            let account = AccountId::parse(&number)
                .map_err(|error| EngineError::unexpected("listing accounts", &error))?;
            accounts.entry(account).or_insert(document.created.unwrap_or(identity.created));
        }
        let first = &identity.account;
        Ok(accounts
            .into_iter()
            .map(|(account, created)| AccountDescription {
                first: account == *first,
                account,
                created,
            })
            .collect())
    }

    /// Refuses an account that the store does not have.
    pub(crate) async fn known_account(&self, account: &AccountId) -> Result<(), EngineError> {
        if account == self.account() {
            return Ok(());
        }
        let found: Option<AccountDocument> = self.document(&document_of(account)?).await?;
        found.map(drop).ok_or_else(|| EngineError::AccountNotFound(account.clone()))
    }
}
