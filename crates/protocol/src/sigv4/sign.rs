//! Signing a request.

use super::key::{AccessKeyId, SecretKey};
use super::{ALGORITHM, RequestHead, RequestTime, Scope, canonical};
use crate::{LinearHash, Timestamp};

/// Signs requests in the name of an access key.
#[derive(Clone, Copy, Debug)]
pub struct Signer<'a> {
    /// Who signs.
    pub access_key: &'a AccessKeyId,
    /// The secret of the access key.
    pub secret: &'a SecretKey,
    /// The region of the scope.
    pub region: &'a str,
    /// The service of the scope, such as `glacier`.
    pub service: &'a str,
}

impl Signer<'_> {
    /// Returns the value of the `Authorization` header.
    ///
    /// Signs those of `signed_headers` that the head has; the names are in lower case, in any order. The head must hold
    /// `x-amz-date` with the same second as `time`. `body_hash` is the SHA-256 of the body in lower-case hex.
    #[must_use]
    pub fn authorize(
        &self,
        head: &RequestHead<'_>,
        signed_headers: &[&str],
        time: Timestamp,
        body_hash: &str,
    ) -> String {
        let mut names = signed_headers.to_vec();
        names.retain(|name| head.values(name).next().is_some());
        names.sort_unstable();
        names.dedup();
        let time = RequestTime::of(time);
        let scope = Scope {
            date: time.date().to_owned(),
            region: self.region.to_owned(),
            service: self.service.to_owned(),
        };
        // The first form of each is that of the SDKs.
        let path = canonical::paths(head.path).swap_remove(0);
        let query = canonical::query(head.query);
        let headers = canonical::header_blocks(head, &names)
            .expect("names without a header were left out")
            .swap_remove(0);
        let names = names.join(";");
        let request = canonical::request(head.method, &path, &query, &headers, &names, body_hash);
        let text = canonical::string_to_sign(time, &scope, &request);
        let signature = LinearHash::from_bytes(self.secret.derive(&scope).sign(&text));
        format!(
            "{ALGORITHM} Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
            self.access_key
        )
    }
}
