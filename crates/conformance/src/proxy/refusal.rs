//! Answers of the proxy's own: what services, and the balancers in front of them, say when they would rather not.

use std::borrow::Cow;

use icefield_protocol::ErrorCode;
use serde_json::json;

/// An answer that comes from the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its status.
    pub status: u16,
    /// The code and message of Glacier's error form; without, the body is a page of HTML, as of a balancer.
    pub error: Option<(ErrorCode, Cow<'static, str>)>,
    /// Seconds after which the client may ask again.
    pub retry_after: Option<u32>,
    /// Date of the answer, in the form of HTTP; without, there is none.
    pub date: Option<String>,
}

impl Refusal {
    /// 400 `ThrottlingException`.
    #[must_use]
    pub const fn throttled() -> Self {
        Self::coded(ErrorCode::Throttling, "Rate exceeded")
    }

    /// 408 `RequestTimeoutException`.
    #[must_use]
    pub const fn timed_out() -> Self {
        Self::coded(ErrorCode::RequestTimeout, "Request timed out.")
    }

    /// 500 `ServiceUnavailableException`.
    #[must_use]
    pub const fn internal() -> Self {
        Self::coded(ErrorCode::ServiceUnavailable, "Service unavailable.")
    }

    /// 429 of a balancer.
    #[must_use]
    pub const fn too_many(retry_after: Option<u32>) -> Self {
        Self { status: 429, error: None, retry_after, date: None }
    }

    /// 503 of a balancer.
    #[must_use]
    pub const fn unavailable(retry_after: Option<u32>) -> Self {
        Self { status: 503, error: None, retry_after, date: None }
    }

    /// 502 or 504 of a balancer.
    #[must_use]
    pub const fn page(status: u16) -> Self {
        Self { status, error: None, retry_after: None, date: None }
    }

    /// An error of the service, with its code's status.
    #[must_use]
    pub const fn coded(code: ErrorCode, message: &'static str) -> Self {
        let error = Some((code, Cow::Borrowed(message)));
        Self { status: code.status(), error, retry_after: None, date: None }
    }

    /// All that pass: after each of them the same request may be made again.
    #[must_use]
    pub fn passing() -> [Self; 9] {
        [
            Self::throttled(),
            Self::timed_out(),
            Self::internal(),
            Self::page(502),
            Self::unavailable(None),
            Self::unavailable(Some(0)),
            Self::page(504),
            Self::too_many(None),
            Self::too_many(Some(1)),
        ]
    }

    /// Returns it as it is sent.
    pub(super) fn bytes(&self, closes: bool) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} Refused\r\n", self.status);
        let body = match &self.error {
            Some((code, message)) => {
                head += "Content-Type: application/json\r\n";
                let kind = code.kind().as_str();
                json!({"code": code.as_str(), "message": message, "type": kind}).to_string()
            }
            None => {
                head += "Content-Type: text/html\r\n";
                format!("<html><body><h1>{}</h1></body></html>\r\n", self.status)
            }
        };
        if let Some(seconds) = self.retry_after {
            head += &format!("Retry-After: {seconds}\r\n");
        }
        if let Some(date) = &self.date {
            head += &format!("Date: {date}\r\n");
        }
        if closes {
            head += "Connection: close\r\n";
        }
        format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::Refusal;

    fn text(refusal: &Refusal, closes: bool) -> String {
        String::from_utf8(refusal.bytes(closes)).unwrap()
    }

    #[test]
    fn throttling_has_the_form_that_old_clients_know() {
        assert_eq!(
            text(&Refusal::throttled(), false),
            "HTTP/1.1 400 Refused\r\nContent-Type: application/json\r\nContent-Length: 72\r\n\r\n\
             {\"code\":\"ThrottlingException\",\"message\":\"Rate exceeded\",\"type\":\"Client\"}"
        );
    }

    #[test]
    fn a_balancer_answers_with_a_page_and_may_say_when_to_come_back() {
        let said = text(&Refusal::unavailable(Some(3)), true);
        assert!(said.starts_with("HTTP/1.1 503 "), "{said}");
        assert!(said.contains("\r\nRetry-After: 3\r\nConnection: close\r\n"), "{said}");
        assert!(said.ends_with("</html>\r\n"), "{said}");
    }
}
