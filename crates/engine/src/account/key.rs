//! Access keys: who signs requests, and what a request is checked with.

use std::{sync::PoisonError, time::Duration};

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::{SHA256, digest},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use icefield_protocol::{
    AccountId, Timestamp, UserName,
    sigv4::{AccessKeyId, SecretKey},
};
use icefield_store::entry::DocumentName;
use serde::{Deserialize, Serialize};

use super::{AccountDocument, Secrets, document_of as account_document};
use crate::{
    documents::{self, Change},
    engine::Engine,
    error::EngineError,
    random::random,
};

/// Letters of an access key ID.
const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// Keys begin with this; with what follows they have the 20 characters that old clients insist on.
const KEY_PREFIX: &str = "ICEF";
/// Keys of sessions begin with this.
const SESSION_PREFIX: &str = "ICES";
/// Bytes of a secret: 40 characters.
const SECRET_BYTES: usize = 30;
/// Bytes of a session token.
const TOKEN_BYTES: usize = 48;
/// Longest session.
const MAX_SESSION: Duration = Duration::from_hours(36);
/// Shortest session ("`GetSessionToken`", AWS STS API reference, has 15 minutes; rehearsals want less).
const MIN_SESSION: Duration = Duration::from_secs(1);

/// What is kept of a key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyDocument {
    account: AccountId,
    /// Whose it is, with the number of that user; none is the account's root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<(UserName, u64)>,
    created: Timestamp,
    /// Sealed with the master key.
    secret: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    session: Option<SessionDocument>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SessionDocument {
    /// SHA-256 of the token, as base64.
    token_hash: String,
    expires: Timestamp,
}

/// A key that was just made. The only time that its secret is shown.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// The public half.
    pub access_key: AccessKeyId,
    /// The secret half.
    pub secret: SecretKey,
    /// To be sent with every request of a session.
    pub session_token: Option<String>,
    /// When the session ends.
    pub expires: Option<Timestamp>,
}

/// A key as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyDescription {
    /// The public half.
    pub access_key: AccessKeyId,
    /// The account it acts for.
    pub account: AccountId,
    /// The user it acts as; none is the account's root.
    pub user: Option<UserName>,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends, if it is a session's.
    pub expires: Option<Timestamp>,
}

/// Who a key speaks for, and what its requests are checked with.
#[derive(Debug, Clone)]
pub struct Credential {
    /// The account.
    pub account: AccountId,
    /// The user; none is the account's root.
    pub user: Option<UserName>,
    /// The secret half.
    pub secret: SecretKey,
    /// The session that the key is for.
    pub session: Option<Session>,
}

/// A session: temporary credentials.
#[derive(Debug, Clone)]
pub struct Session {
    token_hash: Vec<u8>,
    /// When it began.
    pub issued: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
}

/// Why a security token does not go with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionRefusal {
    /// The key needs one and there is none, there is another one, or the key needs none.
    Wrong,
    /// The session is over.
    Expired,
}

impl Credential {
    /// Checks the security token that came with a request.
    ///
    /// # Errors
    ///
    /// `Wrong` without looking at the time, so that only who has the token learns that it has expired.
    pub fn admits(&self, token: Option<&str>, now: Timestamp) -> Result<(), SessionRefusal> {
        match (&self.session, token) {
            (None, None) => Ok(()),
            (Some(session), Some(token)) => {
                let hash = digest(&SHA256, token.as_bytes());
                verify_slices_are_equal(hash.as_ref(), &session.token_hash)
                    .map_err(|_| SessionRefusal::Wrong)?;
                if now < session.expires { Ok(()) } else { Err(SessionRefusal::Expired) }
            }
            (None, Some(_)) | (Some(_), None) => Err(SessionRefusal::Wrong),
        }
    }
}

fn document_of(key: &AccessKeyId) -> Result<DocumentName, EngineError> {
    documents::name(&format!("key/{key}"))
}

impl Engine {
    /// Makes a key for a user, or for the root of an account; with `session` one that ends by itself.
    ///
    /// # Errors
    ///
    /// `AccountNotFound`, `UserNotFound`; `InvalidSession` beyond 36 hours; `NoMasterKey`; `WrongMasterKey` when another
    /// key was sealed with another one.
    pub async fn create_key(
        &self,
        account: &AccountId,
        user: Option<&UserName>,
        session: Option<Duration>,
    ) -> Result<NewKey, EngineError> {
        self.known_account(account).await?;
        let user = match user {
            Some(name) => {
                let document = self.user(account, name).await?;
                let document = document.ok_or_else(|| EngineError::UserNotFound(name.clone()))?;
                Some((name.clone(), document.number))
            }
            None => None,
        };
        self.check_master_key().await?;
        let created = self.now();
        let (session, session_token) = match session {
            None => (None, None),
            Some(length) if !(MIN_SESSION..=MAX_SESSION).contains(&length) => {
                return Err(EngineError::InvalidSession(length));
            }
            Some(length) => {
                let token = STANDARD.encode(random::<TOKEN_BYTES>()?);
                let expires = created.saturating_add(length);
                let token_hash = STANDARD.encode(digest(&SHA256, token.as_bytes()));
                (Some(SessionDocument { token_hash, expires }), Some(token))
            }
        };
        let expires = session.as_ref().map(|session| session.expires);
        let access_key = new_key_id(if expires.is_some() { SESSION_PREFIX } else { KEY_PREFIX })?;
        let secret = SecretKey::new(STANDARD.encode(random::<SECRET_BYTES>()?));
        let account = account.clone();
        self.put_key(
            &access_key,
            &secret,
            KeyDocument { account, user, created, secret: String::new(), session },
        )
        .await?;
        Ok(NewKey { access_key, secret, session_token, expires })
    }

    /// Makes the key that the configuration names the one of the first account's root, in place of the one that it
    /// named before.
    ///
    /// # Errors
    ///
    /// `KeyExists` when the key is somebody else's; `NoMasterKey`.
    pub async fn set_root_key(
        &self,
        access_key: &AccessKeyId,
        secret: &SecretKey,
    ) -> Result<(), EngineError> {
        let name = account_document(self.account())?;
        let before: Option<AccountDocument> = self.document(&name).await?;
        let before = before.and_then(|document| document.root_key);
        if before.as_ref() == Some(access_key) {
            let known = self.credential(access_key).await;
            if known.is_ok_and(|known| known.is_some_and(|known| known.secret == *secret)) {
                return Ok(());
            }
        } else if self.document::<KeyDocument>(&document_of(access_key)?).await?.is_some() {
            return Err(EngineError::KeyExists(access_key.clone()));
        }
        if let Some(before) = &before {
            self.remove_key(before).await?;
        }
        self.change(&name, None, |found: Option<AccountDocument>| {
            let document =
                AccountDocument { root_key: Some(access_key.clone()), ..found.unwrap_or_default() };
            Ok((Change::Set(document), ()))
        })
        .await?;
        let account = self.account().clone();
        let created = self.now();
        let secret_later = String::new();
        let key = KeyDocument { account, user: None, created, secret: secret_later, session: None };
        self.put_key(access_key, secret, key).await
    }

    /// Makes a key of the first account's root that nobody keeps: it ends with this process.
    pub fn lend_root_key(&self, access_key: AccessKeyId, secret: SecretKey) {
        let mut lent = self.inner.lent.write().unwrap_or_else(PoisonError::into_inner);
        lent.insert(access_key, secret);
    }

    fn lent_key(&self, access_key: &AccessKeyId) -> Option<SecretKey> {
        let lent = self.inner.lent.read().unwrap_or_else(PoisonError::into_inner);
        lent.get(access_key).cloned()
    }

    /// Refuses a master key that another access key was not sealed with: two would be in the way of each other.
    async fn check_master_key(&self) -> Result<(), EngineError> {
        match self.keys().await?.first() {
            Some(key) => self.credential(&key.access_key).await.map(drop),
            None => Ok(()),
        }
    }

    /// Lists the keys of all accounts that are kept.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn keys(&self) -> Result<Vec<KeyDescription>, EngineError> {
        let found = self.documents::<KeyDocument>("key/").await?;
        let described = found.into_iter().map(|(key, document)| {
            let access_key = AccessKeyId::parse(&key)
                .map_err(|error| EngineError::unexpected("listing keys", &error))?;
            Ok(KeyDescription {
                access_key,
                account: document.account,
                user: document.user.map(|(name, _)| name),
                created: document.created,
                expires: document.session.map(|session| session.expires),
            })
        });
        described.collect()
    }

    /// Makes a key useless at once.
    ///
    /// # Errors
    ///
    /// `KeyNotFound`.
    pub async fn revoke_key(&self, access_key: &AccessKeyId) -> Result<(), EngineError> {
        if self.remove_key(access_key).await? {
            return Ok(());
        }
        Err(EngineError::KeyNotFound(access_key.clone()))
    }

    /// Finds what the requests of a key are checked with; `None` for a key that does not exist (any more), or whose user
    /// does not.
    ///
    /// # Errors
    ///
    /// `NoMasterKey`; `WrongMasterKey` when its secret was sealed with another one.
    pub async fn credential(
        &self,
        access_key: &AccessKeyId,
    ) -> Result<Option<Credential>, EngineError> {
        if let Some(secret) = self.lent_key(access_key) {
            let account = self.account().clone();
            return Ok(Some(Credential { account, user: None, secret, session: None }));
        }
        let name = document_of(access_key)?;
        let Some(key) = self.document::<KeyDocument>(&name).await? else { return Ok(None) };
        let user = match key.user {
            None => None,
            Some((name, number)) => {
                let user = self.user(&key.account, &name).await?;
                if user.is_none_or(|user| user.number != number) {
                    return Ok(None);
                }
                Some(name)
            }
        };
        let secret = self.secrets()?.open(name.as_str(), &key.secret);
        let secret = secret.ok_or_else(|| EngineError::WrongMasterKey(access_key.clone()))?;
        let session = key.session.map(|session| Session {
            // What is not base64 is no hash, so no token goes with it.
            token_hash: STANDARD.decode(&session.token_hash).unwrap_or_default(),
            issued: key.created,
            expires: session.expires,
        });
        Ok(Some(Credential { account: key.account, user, secret, session }))
    }

    /// Forgets the keys of sessions that are over.
    pub(crate) async fn forget_sessions(&self) -> Result<(), EngineError> {
        let now = self.now();
        for key in self.keys().await? {
            if key.expires.is_some_and(|expires| expires <= now) {
                self.remove_key(&key.access_key).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn revoke_keys_of(
        &self,
        account: &AccountId,
        user: &UserName,
    ) -> Result<(), EngineError> {
        for key in self.keys().await? {
            if key.account == *account && key.user.as_ref() == Some(user) {
                self.remove_key(&key.access_key).await?;
            }
        }
        Ok(())
    }

    /// Records a key with its secret sealed.
    async fn put_key(
        &self,
        access_key: &AccessKeyId,
        secret: &SecretKey,
        key: KeyDocument,
    ) -> Result<(), EngineError> {
        let name = document_of(access_key)?;
        let key = KeyDocument { secret: self.secrets()?.seal(name.as_str(), secret)?, ..key };
        self.change(&name, None, |found: Option<KeyDocument>| match found {
            Some(_) => Err(EngineError::KeyExists(access_key.clone())),
            None => Ok((Change::Set(key.clone()), ())),
        })
        .await
    }

    /// Returns whether there was one.
    async fn remove_key(&self, access_key: &AccessKeyId) -> Result<bool, EngineError> {
        self.change(&document_of(access_key)?, None, |found: Option<KeyDocument>| {
            Ok((Change::Remove, found.is_some()))
        })
        .await
    }

    pub(super) fn secrets(&self) -> Result<&Secrets, EngineError> {
        self.inner.secrets.as_ref().ok_or(EngineError::NoMasterKey)
    }
}

fn new_key_id(prefix: &str) -> Result<AccessKeyId, EngineError> {
    let letters = random::<16>()?.map(|byte| char::from(LETTERS[usize::from(byte % 32)]));
    let text: String = prefix.chars().chain(letters).collect();
    Ok(AccessKeyId::parse(&text).expect("letters and digits"))
}
