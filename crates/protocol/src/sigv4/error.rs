//! Why a request is not authentic, in words for whoever sent it.

use std::time::Duration;

use super::RequestTime;
use crate::ErrorCode;

/// The request does not prove who sent it. `Display` is the text for the client: it holds nothing secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigV4Error {
    /// There are no credentials at all.
    #[error("Request is missing Authentication Token: it has no Authorization header")]
    Missing,
    /// There are credentials in the query, or in more than one header.
    #[error("Request must be signed once, by an Authorization header: {0}")]
    Mixed(&'static str),
    /// The request is signed in another way.
    #[error("Unsupported signing algorithm: only AWS4-HMAC-SHA256 is supported")]
    Algorithm,
    /// Something that signing needs has the wrong form.
    #[error("Request cannot be authenticated: {0}")]
    Malformed(&'static str),
    /// `SignedHeaders` names a header that did not arrive.
    #[error("Signed header is not in the request: {0}")]
    AbsentHeader(String),
    /// A header that must be signed is not.
    #[error("Header must be signed: {0}")]
    UnsignedHeader(String),
    /// There is neither `x-amz-date` nor a `Date` in its form.
    #[error("Request must have an x-amz-date header")]
    DateMissing,
    /// The scope is of another day than the request.
    #[error(
        "Date in Credential scope does not match the date of the request: {scope} is not the day of {time}"
    )]
    ScopeDate {
        /// The day of the scope.
        scope: String,
        /// When the request was signed.
        time: RequestTime,
    },
    /// What stands for the body is not a SHA-256, such as `UNSIGNED-PAYLOAD`.
    #[error("The signed hash of the body must be its SHA-256, 64 hex digits")]
    BodyHash,
    /// The request was signed too long ago.
    #[error("Signature expired: {time} is now earlier than {earliest} ({now} - {}.)", written(*.window))]
    Expired {
        /// When the request was signed.
        time: RequestTime,
        /// The earliest time that would do.
        earliest: RequestTime,
        /// The time here.
        now: RequestTime,
        /// The longest difference allowed.
        window: Duration,
    },
    /// The request claims to be from the future.
    #[error("Signature not yet current: {time} is still later than {latest} ({now} + {}.)", written(*.window))]
    Early {
        /// When the request was signed.
        time: RequestTime,
        /// The latest time that would do.
        latest: RequestTime,
        /// The time here.
        now: RequestTime,
        /// The longest difference allowed.
        window: Duration,
    },
    /// The signature is of another request or by another secret.
    #[error(
        "The request signature does not match the signature computed from the request and the secret key"
    )]
    Mismatch,
}

impl SigV4Error {
    /// Returns the code for the client.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Missing => ErrorCode::MissingAuthenticationToken,
            Self::Mixed(_)
            | Self::Algorithm
            | Self::Malformed(_)
            | Self::AbsentHeader(_)
            | Self::UnsignedHeader(_)
            | Self::DateMissing
            | Self::ScopeDate { .. }
            | Self::BodyHash
            | Self::Expired { .. }
            | Self::Early { .. }
            | Self::Mismatch => ErrorCode::InvalidSignature,
        }
    }
}

/// Writes the window as the service does: `5 min`.
fn written(window: Duration) -> String {
    let seconds = window.as_secs();
    if seconds.is_multiple_of(60) {
        format!("{} min", seconds / 60)
    } else {
        format!("{seconds} s")
    }
}
