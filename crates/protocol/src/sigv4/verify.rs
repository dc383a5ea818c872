//! Verifying a signature.

use aws_lc_rs::constant_time::verify_slices_are_equal;

use super::key::{SecretKey, SigningKey};
use super::{Authorization, RequestHead, RequestTime, SigV4Error, canonical};
use crate::LinearHash;

impl Authorization {
    /// Checks that the request was signed with `secret`.
    ///
    /// `head` is what the authorization was read from, and `time` its [`request_time`](super::request_time), whose
    /// distance from now is [`check_skew`](super::check_skew)'s business. `body_hash` is `x-amz-content-sha256` where
    /// sent, otherwise the SHA-256 of the body; that the body has this hash is for its reader to check.
    ///
    /// # Errors
    ///
    /// When `host` or an `x-amz-*` header of the request is not signed, when a signed header is not in the request, when
    /// the scope is of another day, when `body_hash` is no SHA-256, and when the signature does not match.
    pub fn verify(
        &self,
        head: &RequestHead<'_>,
        secret: &SecretKey,
        time: RequestTime,
        body_hash: &str,
    ) -> Result<(), SigV4Error> {
        self.verify_with(head, &secret.derive(&self.scope), time, body_hash)
    }

    /// Does what [`Authorization::verify`] does, with a key that was derived before, for this scope.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn verify_with(
        &self,
        head: &RequestHead<'_>,
        key: &SigningKey,
        time: RequestTime,
        body_hash: &str,
    ) -> Result<(), SigV4Error> {
        let body_hash: LinearHash = body_hash.parse().map_err(|_| SigV4Error::BodyHash)?;
        if self.scope.date != time.date() {
            return Err(SigV4Error::ScopeDate { scope: self.scope.date.clone(), time });
        }
        self.check_names(head)?;
        if self.matches(head, key, time, body_hash)? { Ok(()) } else { Err(SigV4Error::Mismatch) }
    }

    /// Checks that nothing can be changed or added on the way that would change what the request means.
    ///
    /// `range` and `content-range` would belong here, but boto 2 does not sign them. A part in the wrong place does not
    /// survive the signed tree hash of the whole archive, and an answer to another range says which range it is.
    fn check_names(&self, head: &RequestHead<'_>) -> Result<(), SigV4Error> {
        let arrived = head.headers.iter().map(|(name, _)| *name);
        let must = arrived.filter(|name| name.starts_with("x-amz-"));
        for name in must.chain(["host"]) {
            if !self.signed_headers.iter().any(|signed| signed == name) {
                return Err(SigV4Error::UnsignedHeader(name.to_owned()));
            }
        }
        Ok(())
    }

    /// Compares the signature with that of every form of the request that a client may have signed.
    fn matches(
        &self,
        head: &RequestHead<'_>,
        key: &SigningKey,
        time: RequestTime,
        body_hash: LinearHash,
    ) -> Result<bool, SigV4Error> {
        let query = canonical::query(head.query);
        let names = self.signed_headers.join(";");
        let blocks = canonical::header_blocks(head, &self.signed_headers)?;
        let body_hash = body_hash.to_string();
        let signs = |path: &str, headers: &[u8]| {
            let request =
                canonical::request(head.method, path, &query, headers, &names, &body_hash);
            let text = canonical::string_to_sign(time, &self.scope, &request);
            // In constant time, so that a forger does not learn how far a guess was right.
            verify_slices_are_equal(&key.sign(&text), &self.signature).is_ok()
        };
        let paths = canonical::paths(head.path);
        Ok(paths.iter().any(|path| blocks.iter().any(|headers| signs(path, headers))))
    }
}
