//! The errors of the service: one table of codes, statuses and kinds.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Whose fault an error is, as the `type` member of an error body says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ErrorKind {
    /// The request is at fault.
    Client,
    /// The service is at fault.
    Server,
}

impl ErrorKind {
    /// Returns the wire spelling.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "Client",
            Self::Server => "Server",
        }
    }
}

/// Defines the enum and its table in one place, so that no code can lack a status or a kind.
macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident, $code:literal, $status:literal, $kind:ident;)*) => {
        /// The code of an error ("Error Responses").
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ErrorCode { $($(#[$doc])* $name,)* }

        impl ErrorCode {
            /// Every code, in alphabetical order of the wire.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Returns the wire spelling.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// Returns the HTTP status.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// Returns whose fault it is.
            #[must_use]
            pub const fn kind(self) -> ErrorKind {
                match self { $(Self::$name => ErrorKind::$kind,)* }
            }
        }
    };
}

error_codes! {
    /// A policy denies, the account is another one, or the vault lock forbids the call.
    AccessDenied, "AccessDeniedException", 403, Client;
    /// The request cannot be processed at all, for example because no operation has its path.
    BadRequest, "BadRequest", 400, Client;
    /// The security token has expired.
    ExpiredToken, "ExpiredTokenException", 403, Client;
    /// No capacity for an expedited retrieval.
    InsufficientCapacity, "InsufficientCapacityException", 503, Server;
    /// A parameter, header or state is wrong.
    InvalidParameterValue, "InvalidParameterValueException", 400, Client;
    /// The signature is wrong or too old, or the body does not match it.
    InvalidSignature, "InvalidSignatureException", 403, Client;
    /// A limit of vaults, tags or capacity units is reached.
    LimitExceeded, "LimitExceededException", 400, Client;
    /// The request is not signed.
    MissingAuthenticationToken, "MissingAuthenticationTokenException", 400, Client;
    /// A required header or parameter is absent.
    MissingParameterValue, "MissingParameterValueException", 400, Client;
    /// The account may not use the service any more; read from others, never sent.
    NoLongerSupported, "NoLongerSupportedException", 400, Client;
    /// The data retrieval policy refuses the job.
    PolicyEnforced, "PolicyEnforcedException", 400, Client;
    /// The body of an upload did not arrive in time.
    RequestTimeout, "RequestTimeoutException", 408, Client;
    /// The vault, upload, job, archive or setting does not exist.
    ResourceNotFound, "ResourceNotFoundException", 404, Client;
    /// The body is not JSON.
    Serialization, "SerializationException", 400, Client;
    /// The service cannot complete the request.
    ServiceUnavailable, "ServiceUnavailableException", 500, Server;
    /// Too many requests.
    Throttling, "ThrottlingException", 400, Client;
    /// The access key is unknown.
    UnrecognizedClient, "UnrecognizedClientException", 400, Client;
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text is not a code of the service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an error code of the service")]
pub struct UnknownErrorCode(pub String);

impl FromStr for ErrorCode {
    type Err = UnknownErrorCode;

    fn from_str(text: &str) -> Result<Self, UnknownErrorCode> {
        let known = Self::ALL.iter().find(|code| code.as_str() == text);
        known.copied().ok_or_else(|| UnknownErrorCode(text.to_owned()))
    }
}

/// The service's refusal of a request: what the client is told, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ServiceError {
    /// The code.
    pub code: ErrorCode,
    /// The text for the client; without paths, secrets or internals.
    pub message: String,
}

impl ServiceError {
    /// Returns the error with this code and text.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::{ErrorCode, ErrorKind, ServiceError};

    #[test]
    fn the_table_is_that_of_the_service() {
        let table: Vec<_> = ErrorCode::ALL
            .iter()
            .map(|code| (code.as_str(), code.status(), code.kind().as_str()))
            .collect();
        assert_eq!(
            table,
            [
                ("AccessDeniedException", 403, "Client"),
                ("BadRequest", 400, "Client"),
                ("ExpiredTokenException", 403, "Client"),
                ("InsufficientCapacityException", 503, "Server"),
                ("InvalidParameterValueException", 400, "Client"),
                ("InvalidSignatureException", 403, "Client"),
                ("LimitExceededException", 400, "Client"),
                ("MissingAuthenticationTokenException", 400, "Client"),
                ("MissingParameterValueException", 400, "Client"),
                ("NoLongerSupportedException", 400, "Client"),
                ("PolicyEnforcedException", 400, "Client"),
                ("RequestTimeoutException", 408, "Client"),
                ("ResourceNotFoundException", 404, "Client"),
                ("SerializationException", 400, "Client"),
                ("ServiceUnavailableException", 500, "Server"),
                ("ThrottlingException", 400, "Client"),
                ("UnrecognizedClientException", 400, "Client"),
            ]
        );
    }

    #[test]
    fn codes_are_read_back_and_the_message_is_the_text() {
        for code in ErrorCode::ALL {
            assert_eq!(code.as_str().parse(), Ok(*code));
        }
        assert!("Unknown".parse::<ErrorCode>().is_err());
        let error = ServiceError::new(ErrorCode::Throttling, "Rate exceeded");
        assert_eq!(
            (error.to_string().as_str(), error.code.kind()),
            ("Rate exceeded", ErrorKind::Client)
        );
    }
}
