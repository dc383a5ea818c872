//! What S3's refusals mean for a client.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use icefield_protocol::ErrorCode;

use crate::target::TargetError;

/// Turns a failed request about `what` into the error of a target. It was repeated already as often as that helps.
pub fn service_error<E>(what: &str, error: SdkError<E, HttpResponse>) -> TargetError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    match error {
        // It was done, and nobody can read what is said about it: asking again would say the same.
        SdkError::ServiceError(ref refusal) if refusal.raw().status().is_success() => {
            TargetError::Failed(format!("{what}: {}", causes(&error)).into())
        }
        SdkError::ServiceError(refusal) => {
            let raw = refusal.raw();
            let region = raw.headers().get("x-amz-bucket-region").map(str::to_owned);
            let told = refusal.err();
            refused(what, raw.status().as_u16(), told.code(), told.message(), region.as_deref())
        }
        SdkError::ConstructionFailure(_) => TargetError::Failed(Box::new(error)),
        error if is_about_credentials(&error) => TargetError::Credentials(Box::new(error)),
        error => TargetError::Transport { what: format!("{what}: {}", causes(&error)) },
    }
}

/// Returns the code of a refusal, as S3 spells it.
pub(super) fn code_of<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<&str> {
    error.as_service_error().and_then(ProvideErrorMetadata::code)
}

/// Returns the status of an answer, if there was one.
pub(super) fn status_of<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

/// Whether an object is not there.
pub(super) fn is_missing<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    status_of(error) == Some(404) && code_of(error) != Some("NoSuchBucket")
}

/// Whether the key was taken meanwhile.
pub(super) fn is_taken<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    matches!(status_of(error), Some(412))
        || code_of(error) == Some("ConditionalRequestConflict")
        || code_of(error) == Some("PreconditionFailed")
}

/// Whether the service does not know what it was asked with.
pub(super) fn is_not_implemented<E: ProvideErrorMetadata>(
    error: &SdkError<E, HttpResponse>,
) -> bool {
    status_of(error) == Some(501) || code_of(error) == Some("NotImplemented")
}

fn refused(
    what: &str,
    status: u16,
    told_code: Option<&str>,
    told: Option<&str>,
    region: Option<&str>,
) -> TargetError {
    let spelled = told_code.map_or_else(|| format!("HTTP status {status}"), str::to_owned);
    let message = match told.filter(|told| !told.is_empty()) {
        Some(told) => format!("{what}: {told} ({spelled})"),
        None => format!("{what}: {spelled}"),
    };
    let code = match (told_code.unwrap_or_default(), status) {
        ("BadDigest" | "XAmzContentSHA256Mismatch" | "XAmzContentChecksumMismatch", _) => {
            return TargetError::Damaged { what: message };
        }
        ("InsufficientStorage" | "QuotaExceeded" | "XMinioStorageFull", _) | (_, 507) => {
            return TargetError::Full { what: message };
        }
        ("NotImplemented", _) | (_, 501) => {
            return TargetError::Unsupported { what: message };
        }
        ("InvalidObjectState", _) => {
            return TargetError::Service {
                code: ErrorCode::InvalidParameterValue,
                message: format!("{message}: it must be restored before it can be read"),
            };
        }
        ("PermanentRedirect" | "IllegalLocationConstraintException", _) | (_, 301 | 307) => {
            let region = region.map_or_else(String::new, |region| format!(" ({region})"));
            return TargetError::Service {
                code: ErrorCode::InvalidParameterValue,
                message: format!(
                    "{message}: the bucket is in another region{region}, or at another endpoint"
                ),
            };
        }
        ("NoSuchKey" | "NoSuchBucket" | "NoSuchUpload" | "NoSuchVersion" | "NotFound", _) => {
            ErrorCode::ResourceNotFound
        }
        ("InvalidAccessKeyId" | "InvalidClientTokenId" | "UnrecognizedClientException", _) => {
            ErrorCode::UnrecognizedClient
        }
        (
            "SignatureDoesNotMatch"
            | "RequestTimeTooSkewed"
            | "AuthorizationHeaderMalformed"
            | "InvalidSignatureException",
            _,
        ) => ErrorCode::InvalidSignature,
        ("ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired", _) => {
            ErrorCode::ExpiredToken
        }
        ("SlowDown" | "Throttling" | "ThrottlingException" | "RequestLimitExceeded", _) => {
            ErrorCode::Throttling
        }
        ("GlacierExpeditedRetrievalNotAvailable", _) => ErrorCode::InsufficientCapacity,
        ("RequestTimeout", _) | (_, 408) => ErrorCode::RequestTimeout,
        (_, 404) => ErrorCode::ResourceNotFound,
        (_, 401 | 403) => ErrorCode::AccessDenied,
        (_, 429) => ErrorCode::Throttling,
        (_, 500..) => ErrorCode::ServiceUnavailable,
        _ => ErrorCode::InvalidParameterValue,
    };
    TargetError::Service { code, message }
}

fn is_about_credentials(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<CredentialsError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// An error with its causes, in one line, nothing said twice.
pub(super) fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use icefield_protocol::ErrorCode;

    use super::refused;
    use crate::target::TargetError;

    fn code(status: u16, code: Option<&str>) -> ErrorCode {
        match refused("s3://b/k", status, code, Some("no"), None) {
            TargetError::Service { code, message } => {
                assert!(message.contains("s3://b/k"), "{message}");
                code
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn codes_become_the_nearest_of_the_vault_api() {
        assert_eq!(code(404, Some("NoSuchBucket")), ErrorCode::ResourceNotFound);
        assert_eq!(code(404, None), ErrorCode::ResourceNotFound);
        assert_eq!(code(403, None), ErrorCode::AccessDenied);
        assert_eq!(code(403, Some("InvalidAccessKeyId")), ErrorCode::UnrecognizedClient);
        assert_eq!(code(403, Some("RequestTimeTooSkewed")), ErrorCode::InvalidSignature);
        assert_eq!(code(400, Some("ExpiredToken")), ErrorCode::ExpiredToken);
        assert_eq!(code(503, Some("SlowDown")), ErrorCode::Throttling);
        assert_eq!(code(503, None), ErrorCode::ServiceUnavailable);
        assert_eq!(code(400, Some("EntityTooSmall")), ErrorCode::InvalidParameterValue);
    }

    #[test]
    fn a_refused_checksum_is_damage_and_a_redirect_tells_the_region() {
        assert!(matches!(
            refused("s3://b/k", 400, Some("BadDigest"), None, None),
            TargetError::Damaged { .. }
        ));
        let redirect = refused("s3://b/k", 301, None, None, Some("eu-west-1")).to_string();
        assert!(redirect.contains("eu-west-1"), "{redirect}");
        let cold = refused("s3://b/k", 403, Some("InvalidObjectState"), None, None).to_string();
        assert!(cold.contains("must be restored"), "{cold}");
    }
}
