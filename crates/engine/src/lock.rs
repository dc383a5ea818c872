//! Vault locks: policies that nobody can take back ("Locking a Vault by Using the S3 Glacier API").
//!
//! ```text
//! no lock --initiate--> in progress --complete with its ID--> locked, for ever
//!    ^                       |
//!    +--- abort, 24 hours ---+
//! ```
//!
//! The policy is in force from the beginning. Whether a lock in progress has expired is seen by the wall clock whenever it
//! is looked at, so that no restart prolongs it; a completed one does not look at any clock.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use icefield_protocol::{
    LockDescription, LockId, LockState, Operation, Timestamp, limits::LOCK_IN_PROGRESS_HOURS,
};
use serde::{Deserialize, Serialize};

use crate::{
    access::Access,
    engine::Engine,
    error::EngineError,
    policy::{ContextKeys, Policy, PolicyKind},
    random::random,
};

/// Random bytes of a lock ID: 24 characters, as clients know it.
const ID_BYTES: usize = 18;

/// A lock of a vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VaultLock {
    /// Completes the lock; remembered, so that a repeat gets the first answer.
    id: LockId,
    /// As it came.
    pub(crate) policy: String,
    initiated: Timestamp,
    /// When it was completed; `None` while it is in progress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    locked: Option<Timestamp>,
}

impl VaultLock {
    pub(crate) fn is_in_force(&self, now: Timestamp) -> bool {
        self.expires().is_none_or(|end| now < end)
    }

    /// When it is gone by itself; never once it is locked.
    fn expires(&self) -> Option<Timestamp> {
        let day = Duration::from_hours(LOCK_IN_PROGRESS_HOURS);
        self.locked.is_none().then(|| self.initiated.saturating_add(day))
    }

    fn describe(&self) -> LockDescription {
        LockDescription {
            policy: self.policy.clone(),
            state: if self.locked.is_some() { LockState::Locked } else { LockState::InProgress },
            expiration_date: self.expires(),
            creation_date: self.initiated,
        }
    }
}

impl Engine {
    /// Puts a lock policy in force, for 24 hours unless it is completed, and returns the ID that completes it.
    ///
    /// # Errors
    ///
    /// `AccessDenied`; `VaultNotFound`; `InvalidLockPolicy` for one that is longer than 20,480 bytes, has anything in it
    /// that is not understood, or can never be about this vault; `LockInProgress`; `VaultLocked`.
    pub async fn initiate_lock(
        &self,
        access: &Access,
        policy: &str,
    ) -> Result<LockId, EngineError> {
        let (engine, vault, policy) = (self.clone(), self.vault_arn(access)?, policy.to_owned());
        let id = new_id()?;
        let initiate = Operation::InitiateVaultLock;
        self.change_vault(access, initiate, ContextKeys::new(), move |settings| {
            Policy::parse(&policy, PolicyKind::VaultLock(vault.clone()))
                .inspect_err(|error| tracing::info!(%error, %vault, "a lock policy is invalid"))
                .map_err(EngineError::InvalidLockPolicy)?;
            let initiated = engine.now();
            match settings.lock_at(initiated) {
                None => {}
                Some(lock) if lock.locked.is_some() => {
                    return Err(EngineError::VaultLocked(vault.clone()));
                }
                Some(_) => return Err(EngineError::LockInProgress(vault.clone())),
            }
            let (id, policy) = (id.clone(), policy.clone());
            settings.set_lock(Some(VaultLock { id: id.clone(), policy, initiated, locked: None }));
            Ok(id)
        })
        .await
    }

    /// Makes the lock final. A repeat with the same ID is fine for ever.
    ///
    /// # Errors
    ///
    /// `AccessDenied`; `VaultNotFound`; `NoLock`; of another ID `WrongLockId` while the lock is in progress and
    /// `VaultLocked` once it is final.
    pub async fn complete_lock(&self, access: &Access, id: &LockId) -> Result<(), EngineError> {
        let (engine, vault, id) = (self.clone(), self.vault_arn(access)?, id.clone());
        let complete = Operation::CompleteVaultLock;
        self.change_vault(access, complete, ContextKeys::new(), move |settings| {
            let now = engine.now();
            let Some(lock) = settings.lock_at(now) else {
                return Err(EngineError::NoLock(vault.vault.clone()));
            };
            match (lock.id == id, lock.locked) {
                (true, Some(_)) => Ok(()),
                (true, None) => {
                    let locked = VaultLock { locked: Some(now), ..lock.clone() };
                    settings.set_lock(Some(locked));
                    Ok(())
                }
                (false, Some(_)) => Err(EngineError::VaultLocked(vault.clone())),
                (false, None) => Err(EngineError::WrongLockId(id.clone())),
            }
        })
        .await
    }

    /// Takes a lock back that is in progress; none is fine.
    ///
    /// # Errors
    ///
    /// `AccessDenied`; `VaultNotFound`; `VaultLocked`.
    pub async fn abort_lock(&self, access: &Access) -> Result<(), EngineError> {
        let (engine, vault) = (self.clone(), self.vault_arn(access)?);
        let abort = Operation::AbortVaultLock;
        self.change_vault(access, abort, ContextKeys::new(), move |settings| {
            if settings.lock_at(engine.now()).is_some_and(|lock| lock.locked.is_some()) {
                return Err(EngineError::VaultLocked(vault.clone()));
            }
            settings.set_lock(None);
            Ok(())
        })
        .await
    }

    /// Describes the lock.
    ///
    /// # Errors
    ///
    /// `VaultNotFound`; `NoLock`, also once it has expired.
    pub async fn lock(&self, access: &Access) -> Result<LockDescription, EngineError> {
        let settings = self.settings_for(access, Operation::GetVaultLock).await?;
        let name = access.vault_name()?;
        let lock = settings.lock_at(self.now());
        lock.map(VaultLock::describe).ok_or_else(|| EngineError::NoLock(name.clone()))
    }
}

/// Makes up a lock ID. Like all IDs of ours it does not begin with a hyphen.
fn new_id() -> Result<LockId, EngineError> {
    let mut bytes: [u8; ID_BYTES] = random()?;
    bytes[0] &= 0x7f;
    let text = URL_SAFE_NO_PAD.encode(bytes);
    Ok(LockId::parse(&text).expect("base64url is the alphabet of IDs"))
}

#[cfg(test)]
mod tests {
    use super::new_id;

    #[test]
    fn lock_ids_have_24_characters_and_do_not_begin_with_a_hyphen() {
        for _ in 0..500 {
            let id = new_id().unwrap();
            assert_eq!(id.as_str().len(), 24);
            assert!(!id.as_str().starts_with('-'), "{id}");
        }
    }
}
