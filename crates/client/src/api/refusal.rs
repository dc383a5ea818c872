//! What a service's refusal says, and what to do about it.
//!
//! The codes are those of the protocol's table; what another server calls them, or forgets to say, is taken for what its
//! status means. The message that goes on to the user is the service's own, followed by what is known here: which key,
//! which region, which clock.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use icefield_protocol::{ErrorCode, Timestamp};
use serde::Deserialize;
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

use super::{VaultApi, place::is_echoed};
use crate::target::TargetError;

/// Clocks that differ by more than this make signatures worthless ("Signing Requests").
const MAX_SKEW: Duration = Duration::from_mins(5);

/// An answer that is no success.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) code: ErrorCode,
    /// The code as the service spelled it.
    spelled: String,
    pub(super) message: String,
    pub(super) retry_after: Option<Duration>,
    /// Whether the service has sent an upload token back.
    pub(super) echoes_token: bool,
    /// The service's clock.
    date: Option<Timestamp>,
}

impl Refusal {
    /// Whether the same request may well succeed later.
    pub(super) fn is_passing(&self) -> bool {
        if self.code == ErrorCode::InsufficientCapacity {
            return false;
        }
        self.is_throttled()
            || matches!(self.code, ErrorCode::RequestTimeout)
            || matches!(self.status.as_u16(), 408 | 500 | 502 | 503 | 504)
    }

    pub(super) fn is_throttled(&self) -> bool {
        self.code == ErrorCode::Throttling || self.status == StatusCode::TOO_MANY_REQUESTS
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Text {
    code: Option<String>,
    #[serde(rename = "__type")]
    r#type: Option<String>,
    message: Option<String>,
    #[serde(rename = "Message")]
    other_message: Option<String>,
}

/// Reads a refusal.
pub(super) fn refusal(status: StatusCode, headers: &HeaderMap, text: &[u8]) -> Refusal {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let said: Text = serde_json::from_slice(text).unwrap_or_default();
    let spelled = header("x-amzn-errortype")
        .map(str::to_owned)
        .or(said.code)
        .or(said.r#type)
        .unwrap_or_default();
    // `com.amazon#Name:http://...` is `Name`.
    let name = spelled.split(':').next().unwrap_or_default();
    let name = name.rsplit('#').next().unwrap_or_default().to_owned();
    let code = name.parse().unwrap_or_else(|_| by_status(status));
    let message = said
        .message
        .or(said.other_message)
        .unwrap_or_else(|| format!("the service answered {status} without saying why"));
    Refusal {
        status,
        code,
        spelled: name,
        message,
        retry_after: header(header::RETRY_AFTER.as_str())
            .and_then(|seconds| seconds.trim().parse().ok())
            .map(Duration::from_secs),
        echoes_token: is_echoed(headers),
        date: header(header::DATE.as_str()).and_then(http_date),
    }
}

fn by_status(status: StatusCode) -> ErrorCode {
    match status.as_u16() {
        403 | 401 => ErrorCode::AccessDenied,
        404 => ErrorCode::ResourceNotFound,
        408 => ErrorCode::RequestTimeout,
        429 => ErrorCode::Throttling,
        400..500 => ErrorCode::InvalidParameterValue,
        _ => ErrorCode::ServiceUnavailable,
    }
}

/// Reads a date as HTTP writes it; `GMT` is what mail calls an obsolete zone.
fn http_date(text: &str) -> Option<Timestamp> {
    let date = OffsetDateTime::parse(&text.replace("GMT", "+0000"), &Rfc2822).ok()?;
    Some(Timestamp::from_unix_millis(date.unix_timestamp() * 1000))
}

impl VaultApi {
    /// Adds to a refusal what is known here, and what to do.
    pub(super) fn explained(&self, refusal: Refusal) -> TargetError {
        let Refusal { status, code, spelled, message, date, .. } = refusal;
        if code == ErrorCode::ServiceUnavailable && status.is_server_error() {
            return TargetError::Transport {
                what: format!("{} answered {status} again and again: {message}", self.endpoint),
            };
        }
        let key = self.key_in_use();
        let (endpoint, region) = (&self.endpoint, &self.region);
        let advice = match code {
            ErrorCode::UnrecognizedClient => Some(format!(
                "{endpoint} does not know the access key {key}: check AWS_ACCESS_KEY_ID, the profile and the endpoint"
            )),
            ErrorCode::InvalidSignature => Some(match self.skew(date) {
                Some(skew) => format!(
                    "this machine's clock is {skew}: set it (for example with `timedatectl set-ntp true`) and run the same command again"
                ),
                None => format!(
                    "the secret does not belong to the access key {key}, or something on the way has changed the request: check AWS_SECRET_ACCESS_KEY and the profile"
                ),
            }),
            ErrorCode::ExpiredToken => Some(format!(
                "the session of the access key {key} is over: sign in again (for example `aws sso login`), then run the same command again"
            )),
            // A lock is in nobody's policy.
            ErrorCode::AccessDenied if message.to_lowercase().contains("vault lock") => None,
            ErrorCode::AccessDenied => Some(format!(
                "the access key {key} may not do this in {region} at {endpoint}: its owner can allow it in a policy"
            )),
            ErrorCode::ResourceNotFound if message.starts_with("Vault not found") => {
                Some(format!("asked in the region {region} at {endpoint}"))
            }
            ErrorCode::Throttling => Some("run the same command again later".to_owned()),
            _ => None,
        };
        let named = if spelled == code.as_str() || spelled.is_empty() {
            message
        } else {
            format!("{message} ({spelled})")
        };
        let message = match advice {
            Some(advice) => format!("{} ({advice})", named.trim_end_matches('.')),
            None => named,
        };
        TargetError::Service { code, message }
    }

    /// Tells how far the clocks are apart, if that is what is wrong.
    fn skew(&self, date: Option<Timestamp>) -> Option<String> {
        let (there, here) = (date?, self.clock.now());
        let (ahead, behind) = (here.saturating_since(there), there.saturating_since(here));
        let (skew, direction) = if ahead > behind { (ahead, "ahead") } else { (behind, "behind") };
        let minutes = (skew.as_secs() + 30) / 60;
        (skew > MAX_SKEW).then(|| format!("{minutes} minutes {direction} of the service's"))
    }

    fn key_in_use(&self) -> String {
        let held = self.held.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        held.as_ref().map_or_else(|| "in use".to_owned(), |held| held.access_key_id().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, StatusCode};
    use icefield_protocol::ErrorCode;

    use super::refusal;

    #[test]
    fn refusals_of_every_spelling_are_read() {
        let none = HeaderMap::new();
        let read = |status: u16, text: &str| {
            refusal(StatusCode::from_u16(status).unwrap(), &none, text.as_bytes())
        };
        let plain = read(
            400,
            r#"{"code":"ThrottlingException","message":"Rate exceeded","type":"Client"}"#,
        );
        assert!(plain.is_passing() && plain.is_throttled());
        assert_eq!(plain.message, "Rate exceeded");
        let aws = read(
            403,
            r#"{"__type":"com.amazon.coral#ExpiredTokenException:http://x","Message":"old"}"#,
        );
        assert_eq!((aws.code, aws.message.as_str()), (ErrorCode::ExpiredToken, "old"));
        assert!(!aws.is_passing());
        for (status, passing) in [(408, true), (429, true), (500, true), (503, true), (404, false)]
        {
            assert_eq!(read(status, "<html>").is_passing(), passing, "{status}");
        }
        let capacity = read(503, r#"{"code":"InsufficientCapacityException","message":"x"}"#);
        assert!(!capacity.is_passing());
    }

    #[test]
    fn what_the_service_asks_to_wait_and_its_clock_are_read() {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", HeaderValue::from_static("7"));
        headers.insert("date", HeaderValue::from_static("Mon, 07 May 2012 09:03:01 GMT"));
        let refusal = refusal(StatusCode::TOO_MANY_REQUESTS, &headers, b"");
        assert_eq!(refusal.retry_after.unwrap().as_secs(), 7);
        assert_eq!(refusal.date.unwrap().to_string(), "2012-05-07T09:03:01.000Z");
    }
}
