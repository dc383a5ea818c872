//! What a client is told when it does not get what it asked for, and what the log is told.
//!
//! The two are kept apart: `message` goes to the client and holds nothing about the inside of this server; `source`
//! goes to the log only. Codes and statuses come from the one table in the protocol, so no answer can have a status that
//! clients of the service do not expect.

use std::{error::Error, fmt};

use icefield_engine::EngineError;
use icefield_protocol::{ErrorCode, ErrorKind, LinearHash, ServiceError, sigv4::SigV4Error};
use icefield_store::StoreError;

use crate::connection::BodyError;

/// An answer that is not the one asked for.
#[derive(Debug)]
pub(crate) struct ApiError {
    pub(crate) code: ErrorCode,
    /// For the client.
    pub(crate) message: String,
    /// For the log.
    pub(crate) source: Option<Box<dyn Error + Send + Sync>>,
    /// What the server has to do beside answering.
    pub(crate) then: Then,
}

/// What follows from an error beyond its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// Nothing.
    GoOn,
    /// The rest of the body will not come, or is not waited for: the connection is of no more use.
    CloseConnection,
    /// Nothing can be stored any more: the server has to end.
    StopServer,
}

const UNAVAILABLE: &str = "The service cannot complete the request.";

impl ApiError {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), source: None, then: Then::GoOn }
    }

    /// A parameter, header or state is wrong.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidParameterValue, message)
    }

    /// A required parameter is not there.
    pub(crate) fn missing(name: &str) -> Self {
        let message = format!("Required parameter missing: {name}");
        Self::new(ErrorCode::MissingParameterValue, message)
    }

    /// Something that cannot happen unless this program is wrong.
    pub(crate) fn internal(
        doing: &'static str,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        let source = Box::new(Internal { doing, source: source.into() });
        Self { source: Some(source), ..Self::new(ErrorCode::ServiceUnavailable, UNAVAILABLE) }
    }

    /// The body is not the one that was signed. The text is the service's own, word for word.
    pub(crate) fn other_body(computed: LinearHash, expected: LinearHash) -> Self {
        let message = format!(
            "The value passed in as x-amz-content-sha256 does not match the computed payload hash. Computed digest: {computed} expected hash: {expected}"
        );
        Self::new(ErrorCode::InvalidSignature, message)
    }

    /// Writes to the log what the client is not told.
    pub(crate) fn log(&self) {
        match &self.source {
            Some(source) => {
                let source: &(dyn Error + 'static) = source.as_ref();
                tracing::error!(code = %self.code, error = source, "a request failed");
            }
            None => tracing::debug!(code = %self.code, message = self.message, "refused"),
        }
    }
}

#[derive(Debug)]
struct Internal {
    doing: &'static str,
    source: Box<dyn Error + Send + Sync>,
}

impl fmt::Display for Internal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed", self.doing)
    }
}

impl Error for Internal {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.source.as_ref())
    }
}

impl From<EngineError> for ApiError {
    /// Codes and texts of refusals are the engine's own; here is decided what a failure looks like from outside.
    fn from(error: EngineError) -> Self {
        let code = error.code();
        let (message, then) = match &error {
            EngineError::Store(store) => told(store),
            refusal => (refusal.to_string(), Then::GoOn),
        };
        let failed = code.kind() == ErrorKind::Server;
        let source = failed.then(|| Box::new(error) as Box<dyn Error + Send + Sync>);
        Self { code, message, source, then }
    }
}

/// Decides what a client learns of a failure of the store: nothing of paths, but whether waiting may help.
fn told(error: &StoreError) -> (String, Then) {
    let (message, then) = match error {
        StoreError::Full { .. } => {
            ("The service has no space left to store what was sent.", Then::GoOn)
        }
        StoreError::Fenced => (UNAVAILABLE, Then::StopServer),
        StoreError::Io { .. }
        | StoreError::Damaged(_)
        | StoreError::Missing(_)
        | StoreError::InUse { .. }
        | StoreError::NewerFormat { .. }
        | StoreError::NewerRecord { .. }
        | StoreError::NotAStore { .. }
        | StoreError::LedgerMissing { .. }
        | StoreError::Ledger { .. }
        | StoreError::UnfitDocument { .. }
        | StoreError::RegionDiffers { .. }
        | StoreError::Closed => (UNAVAILABLE, Then::GoOn),
    };
    (message.to_owned(), then)
}

impl From<ServiceError> for ApiError {
    fn from(ServiceError { code, message }: ServiceError) -> Self {
        Self::new(code, message)
    }
}

impl From<SigV4Error> for ApiError {
    fn from(error: SigV4Error) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> Self {
        let refused = match &error {
            BodyError::Stalled | BodyError::TooLate => {
                Self::new(ErrorCode::RequestTimeout, "Request timed out.")
            }
            BodyError::TooLong => Self::invalid("The request body is too long."),
            // Hardly anybody is left to read this.
            BodyError::Broken(_) => {
                Self::new(ErrorCode::BadRequest, "The request body ended early.")
            }
        };
        Self { then: Then::CloseConnection, ..refused }
    }
}

#[cfg(test)]
mod tests {
    use std::{io, path::PathBuf};

    use icefield_engine::EngineError;
    use icefield_protocol::ErrorCode;
    use icefield_store::StoreError;

    use super::{ApiError, Then, UNAVAILABLE};

    fn told(error: StoreError) -> ApiError {
        let error = ApiError::from(EngineError::Store(error));
        assert_eq!(error.code, ErrorCode::ServiceUnavailable);
        assert!(error.source.is_some(), "the log is told");
        error
    }

    #[test]
    fn clients_learn_nothing_of_the_inside() {
        let path = PathBuf::from("/secret/place");
        let source = io::Error::other("secret");
        let io = told(StoreError::Io { doing: "writing", path: path.clone(), source });
        let ledger = told(StoreError::Ledger { doing: "reading", source: "secret".into() });
        for error in [io, ledger, told(StoreError::Closed)] {
            assert_eq!((error.message.as_str(), error.then), (UNAVAILABLE, Then::GoOn));
        }
        let full = told(StoreError::Full { path });
        assert_eq!(full.message, "The service has no space left to store what was sent.");
    }

    #[test]
    fn a_failed_sync_stops_the_server() {
        let error = told(StoreError::Fenced);
        assert_eq!((error.message.as_str(), error.then), (UNAVAILABLE, Then::StopServer));
    }
}
