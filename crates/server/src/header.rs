//! The headers of the service, each spelled once ("Common Request Headers", "Common Response Headers").

use http::{HeaderMap, HeaderName, HeaderValue};
use icefield_protocol::UploadToken;

use crate::error::ApiError;

macro_rules! headers {
    ($($name:ident = $text:literal;)*) => {
        $(pub(crate) const $name: HeaderName = HeaderName::from_static($text);)*
    };
}

headers! {
    API_VERSION = "x-amz-glacier-version";
    CONTENT_HASH = "x-amz-content-sha256";
    SECURITY_TOKEN = "x-amz-security-token";
    TREE_HASH = "x-amz-sha256-tree-hash";
    DESCRIPTION = "x-amz-archive-description";
    PART_SIZE = "x-amz-part-size";
    ARCHIVE_SIZE = "x-amz-archive-size";
    ARCHIVE_ID = "x-amz-archive-id";
    UPLOAD_ID = "x-amz-multipart-upload-id";
    JOB_ID = "x-amz-job-id";
    LOCK_ID = "x-amz-lock-id";
    CAPACITY_ID = "x-amz-capacity-id";
    REQUEST_ID = "x-amzn-requestid";
    ERROR_TYPE = "x-amzn-errortype";
    // Ours: a client's own name for a put, so that a repeat is answered with the first result.
    UPLOAD_TOKEN = "x-icefield-upload-token";
}

/// Returns the value of a header as text, bytes that are none replaced; `None` when it is absent.
pub(crate) fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_owned())
}

/// Returns an upload token as it was sent, if it is one.
pub(crate) fn token(headers: &HeaderMap) -> Option<HeaderValue> {
    let value = headers.get(&UPLOAD_TOKEN)?;
    value.to_str().ok()?.parse::<UploadToken>().ok()?;
    Some(value.clone())
}

/// Returns the value of a header that the operation cannot do without.
pub(crate) fn required(headers: &HeaderMap, name: &HeaderName) -> Result<String, ApiError> {
    text(headers, name).ok_or_else(|| ApiError::missing(&spelled(name)))
}

/// Returns a header's name as the guide spells it: two of HTTP's own have capitals.
fn spelled(name: &HeaderName) -> String {
    match name.as_str() {
        "content-length" => "Content-Length".to_owned(),
        "content-range" => "Content-Range".to_owned(),
        other => other.to_owned(),
    }
}

/// Returns a text of ours as the value of a header.
pub(crate) fn value(text: &str) -> Result<HeaderValue, ApiError> {
    HeaderValue::from_str(text).map_err(|error| ApiError::internal("writing a header", error))
}
