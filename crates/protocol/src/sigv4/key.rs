//! Who signs and with what: the access key, its secret, and the key derived for a scope.

use std::fmt;
use std::hint::black_box;

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    hmac::{self, HMAC_SHA256},
};
use serde::{Deserialize, Serialize};

use super::SCOPE_END;
use super::authorization::Scope;
use crate::text::checked_text;

/// The public name of a secret key, such as `AKIAIOSFODNN7EXAMPLE`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccessKeyId(String);

/// The text is not an access key ID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an access key ID: it has 16 to 128 characters of A-Z, a-z, 0-9 and `_`")]
pub struct InvalidAccessKeyId(pub String);

impl AccessKeyId {
    /// Checks the form of an access key ID.
    ///
    /// # Errors
    ///
    /// When the rule is broken; the error names it.
    pub fn parse(text: &str) -> Result<Self, InvalidAccessKeyId> {
        Self::check(text)?;
        Ok(Self(text.to_owned()))
    }

    fn check(text: &str) -> Result<(), InvalidAccessKeyId> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if (16..=128).contains(&text.len()) && text.bytes().all(legal) {
            Ok(())
        } else {
            Err(InvalidAccessKeyId(text.to_owned()))
        }
    }
}

checked_text!(AccessKeyId, InvalidAccessKeyId);

/// The secret that belongs to an access key. `Debug` does not show it, and its memory is overwritten on drop.
#[derive(Clone)]
pub struct SecretKey(String);

impl SecretKey {
    /// Takes a secret; any text is one.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the secret.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Derives the key for a day, region and service.
    ///
    /// The same for all requests of that scope, so a caller may keep it instead of paying four HMACs per request.
    #[must_use]
    pub fn derive(&self, scope: &Scope) -> SigningKey {
        let mut first = format!("AWS4{}", self.0).into_bytes();
        let date = mac(&first, &scope.date);
        overwrite(&mut first);
        let region = mac(date.as_ref(), &scope.region);
        let service = mac(region.as_ref(), &scope.service);
        let key = mac(service.as_ref(), SCOPE_END);
        SigningKey(hmac::Key::new(HMAC_SHA256, key.as_ref()))
    }
}

fn mac(key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(HMAC_SHA256, key), text.as_bytes())
}

/// Overwrites what was secret, as far as safe code can make the compiler do so.
fn overwrite(secret: &mut [u8]) {
    secret.fill(0);
    black_box(secret);
}

impl From<String> for SecretKey {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl PartialEq for SecretKey {
    /// Takes the same time wherever the two differ.
    fn eq(&self, other: &Self) -> bool {
        verify_slices_are_equal(self.0.as_bytes(), other.0.as_bytes()).is_ok()
    }
}

impl Eq for SecretKey {}

impl Drop for SecretKey {
    fn drop(&mut self) {
        overwrite(&mut std::mem::take(&mut self.0).into_bytes());
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

/// The key that signs the requests of one secret in one [`Scope`]. `Debug` does not show it.
#[derive(Clone)]
pub struct SigningKey(hmac::Key);

impl SigningKey {
    /// Returns the signature of a string to sign.
    pub(super) fn sign(&self, text: &str) -> [u8; 32] {
        let mut signature = [0; 32];
        signature.copy_from_slice(hmac::sign(&self.0, text.as_bytes()).as_ref());
        signature
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}
