//! Signing keys that were derived before: four HMACs that a request need not pay again on the same day.
//!
//! Only keys that have verified a signature are kept, so nobody fills the room with scopes of their own invention.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use icefield_protocol::{
    LinearHash,
    sigv4::{AccessKeyId, Authorization, Scope, SecretKey, SigningKey},
};

/// Keys kept; beyond it all are dropped at once, those of yesterday with them.
const MAX_KEYS: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct SigningKeys(Mutex<HashMap<(AccessKeyId, Scope), Derived>>);

#[derive(Debug, Clone)]
struct Derived {
    /// Of the secret: another secret under the same name has other keys.
    fingerprint: LinearHash,
    key: SigningKey,
}

impl SigningKeys {
    /// Returns the key of a secret for a scope.
    pub(super) fn derive(&self, authorization: &Authorization, secret: &SecretKey) -> SigningKey {
        let name = (authorization.access_key.clone(), authorization.scope.clone());
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&name).cloned();
        match known {
            Some(known) if known.fingerprint == fingerprint(secret) => known.key,
            Some(_) | None => secret.derive(&authorization.scope),
        }
    }

    /// Keeps a key that has verified a signature.
    pub(super) fn keep(&self, authorization: &Authorization, secret: &SecretKey, key: SigningKey) {
        let name = (authorization.access_key.clone(), authorization.scope.clone());
        let derived = Derived { fingerprint: fingerprint(secret), key };
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= MAX_KEYS && !keys.contains_key(&name) {
            keys.clear();
        }
        keys.insert(name, derived);
    }
}

fn fingerprint(secret: &SecretKey) -> LinearHash {
    LinearHash::of(secret.as_str().as_bytes())
}
