//! AWS Signature Version 4 in the `Authorization` header: how requests prove who sent them ("Signing Requests").
//!
//! Data moves in one direction. [`Authorization::of`] reads the header and nothing else; the caller looks up the secret
//! of the access key that it names; [`request_time`] and [`check_skew`] decide whether the request is of now; and
//! [`Authorization::verify`] writes the request in its canonical form, signs that with the secret and compares. The body
//! is represented by its SHA-256, so a request is verified before its body is read, and whoever reads the body compares
//! it with that hash. [`Signer`] is the other side, over the same canonical form.
//!
//! Of a request only what is signed can be trusted. So `host` and every `x-amz-*` header must be signed, a request must
//! have exactly one set of credentials, and the grammar is exactly what the clients send. Presigned queries, chunked
//! signatures (`STREAMING-...`), `UNSIGNED-PAYLOAD` and asymmetric signatures are not part of Glacier and are refused.
//!
//! Paths are not normalised (`//`, `/./`, `/../`): no path of the service contains such segments.

mod authorization;
mod canonical;
mod error;
mod key;
mod sign;
mod time;
mod verify;

pub use self::authorization::{Authorization, Scope};
pub use self::canonical::decoded;
pub use self::error::SigV4Error;
pub use self::key::{AccessKeyId, InvalidAccessKeyId, SecretKey, SigningKey};
pub use self::sign::Signer;
pub use self::time::{RequestTime, check_skew, request_time};

/// The one algorithm: HMAC with SHA-256 under a key derived from a shared secret.
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// What ends every credential scope.
const SCOPE_END: &str = "aws4_request";

/// The most bytes that method, path, query and headers of a signed request may have together.
///
/// Verifying costs time and memory in proportion to it.
pub const MAX_HEAD_BYTES: usize = 64 * 1024;

/// What is signed of a request besides the hash of its body.
#[derive(Clone, Debug)]
pub struct RequestHead<'a> {
    /// The method, in upper case.
    pub method: &'a str,
    /// The path as sent, still percent-encoded.
    pub path: &'a str,
    /// The query as sent, without `?`; empty when there is none.
    pub query: &'a str,
    /// The headers in order of arrival, duplicates kept. Names in lower case, whatever was sent.
    pub headers: Vec<(&'a str, &'a [u8])>,
}

impl<'a> RequestHead<'a> {
    /// Returns the values of a header in order of arrival; `name` is in lower case.
    fn values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.headers.iter().filter(move |(one, _)| *one == name).map(|(_, value)| *value)
    }

    fn bytes(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.len());
        self.method.len() + self.path.len() + self.query.len() + headers.sum::<usize>()
    }

    /// Returns whether no part can be mistaken for the line breaks that separate the parts when they are signed.
    fn is_unambiguous(&self) -> bool {
        let plain = |text: &str| !text.bytes().any(|byte| byte.is_ascii_control());
        let value =
            |bytes: &[u8]| !bytes.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t');
        let header = |(name, bytes): &(&str, &[u8])| plain(name) && value(bytes);
        plain(self.method)
            && plain(self.path)
            && plain(self.query)
            && self.headers.iter().all(header)
    }
}

/// Returns whether `text` can be the hash of a body: 64 hex digits.
///
/// `UNSIGNED-PAYLOAD` and the `STREAMING-...` words of other services are not.
#[must_use]
pub fn is_digest(text: &str) -> bool {
    text.parse::<crate::LinearHash>().is_ok()
}
