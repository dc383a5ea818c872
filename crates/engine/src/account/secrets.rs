//! Secrets at rest: sealed with a key that does not lie in the store.
//!
//! Whoever gets hold of the folder, or of a backup of it, cannot sign requests. AES-256-GCM-SIV under the master key, with a
//! random nonce; what the secret belongs to is in the associated data, so a sealed secret moved to another key's
//! document does not open.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use icefield_protocol::sigv4::SecretKey;
use serde::{Deserialize, Serialize};

use crate::{
    documents::{self, Change},
    engine::Engine,
    error::EngineError,
    random::random,
};

const NONCE_LEN: usize = 12;

/// The key that seals secrets: 32 random bytes.
#[derive(Clone)]
pub struct MasterKey([u8; 32]);

impl MasterKey {
    /// Takes the bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Makes up a key.
    ///
    /// # Errors
    ///
    /// `NoRandomness`.
    pub fn generate() -> Result<Self, EngineError> {
        Ok(Self(random()?))
    }

    /// Returns the bytes, to be written where only their owner can read them.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey")
    }
}

/// Seals and opens secrets.
pub(crate) struct Secrets(LessSafeKey);

impl Secrets {
    pub(crate) fn new(key: &MasterKey) -> Self {
        let key = UnboundKey::new(&AES_256_GCM_SIV, &key.0).expect("the key has 32 bytes");
        Self(LessSafeKey::new(key))
    }

    /// Seals the secret of `owner` as base64 of nonce, sealed bytes and tag.
    pub(crate) fn seal(&self, owner: &str, secret: &SecretKey) -> Result<String, EngineError> {
        let nonce: [u8; NONCE_LEN] = random()?;
        let mut sealed = secret.as_str().as_bytes().to_vec();
        let (aad, by) = (Aad::from(owner.as_bytes()), Nonce::assume_unique_for_key(nonce));
        self.0
            .seal_in_place_append_tag(by, aad, &mut sealed)
            .map_err(|error| EngineError::unexpected("sealing a secret", &error))?;
        Ok(STANDARD.encode([nonce.as_slice(), &sealed].concat()))
    }

    /// Opens what [`seal`](Self::seal) made; `None` when it was made for another owner, by another key, or changed.
    pub(crate) fn open(&self, owner: &str, sealed: &str) -> Option<SecretKey> {
        let mut bytes = STANDARD.decode(sealed).ok()?;
        let nonce: [u8; NONCE_LEN] = bytes.get(..NONCE_LEN)?.try_into().ok()?;
        let (aad, by) = (Aad::from(owner.as_bytes()), Nonce::assume_unique_for_key(nonce));
        let opened = self.0.open_in_place(by, aad, &mut bytes[NONCE_LEN..]).ok()?;
        String::from_utf8(opened.to_vec()).ok().map(SecretKey::new)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

/// A secret of the service itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretDocument {
    sealed: String,
}

impl Engine {
    /// Returns the secret of this name that lies sealed in the store. The first time it is the one that `make` gives, which
    /// is kept; so it is when it was sealed with another master key: what the service keeps for itself can be made anew.
    ///
    /// # Errors
    ///
    /// That of `make`; `NoMasterKey`.
    pub async fn sealed_secret<E: From<EngineError>>(
        &self,
        name: &str,
        make: impl FnOnce() -> Result<SecretKey, E> + Send,
    ) -> Result<SecretKey, E> {
        let secrets = self.secrets()?;
        let name = documents::name(&format!("secret/{name}"))?;
        let opened = |kept: &SecretDocument| secrets.open(name.as_str(), &kept.sealed);
        let kept: Option<SecretDocument> = self.document(&name).await?;
        if let Some(secret) = kept.as_ref().and_then(opened) {
            return Ok(secret);
        }
        if kept.is_some() {
            tracing::warn!(%name, "a secret of another master key is made anew");
        }
        let new = SecretDocument { sealed: secrets.seal(name.as_str(), &make()?)? };
        // Another server may have been first: its secret is everybody's.
        let set = |found: Option<SecretDocument>| match found {
            Some(found) if opened(&found).is_some() => Ok((Change::Keep, found)),
            _ => Ok((Change::Set(new.clone()), new.clone())),
        };
        let kept = self.change(&name, None, set).await?;
        let secret = opened(&kept);
        secret.ok_or_else(|| EngineError::unexpected("opening a secret", &name).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_secret_opens_only_for_its_owner_with_its_key() {
        let secrets = Secrets::new(&MasterKey::from_bytes([7; 32]));
        let sealed = secrets.seal("key/A", &SecretKey::new("s3cret")).unwrap();
        assert!(!sealed.contains("s3cret"));
        assert_eq!(secrets.open("key/A", &sealed).unwrap().as_str(), "s3cret");
        assert!(secrets.open("key/B", &sealed).is_none());
        let other = Secrets::new(&MasterKey::from_bytes([8; 32]));
        assert!(other.open("key/A", &sealed).is_none());
        for text in ["", "AAAA", "not base64!", &sealed[..20]] {
            assert!(secrets.open("key/A", text).is_none(), "{text}");
        }
    }
}
