//! Signs a request, sends it, judges the answer, and sends it again where that is safe.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::{Credentials, provider::ProvideCredentials as _};
use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, SignableBody, SignableRequest, SigningParams, SigningSettings, sign,
    },
    sign::v4,
};
use http::{HeaderValue, StatusCode, header};
use icefield_protocol::{ErrorCode, LinearHash, Timestamp};
use serde::de::DeserializeOwned;

use super::{
    VaultApi,
    refusal::{Refusal, refusal},
    request::{Repeat, Request},
};
use crate::{
    target::TargetError,
    transport::{Outgoing, TransportError, whole},
};

/// The version of the API, and of every request.
const VERSION: &str = "2012-06-01";

/// Longest answer that is not an output: a page of 1,000 vaults has less.
const MAX_ANSWER_BYTES: usize = 8 << 20;

/// Times that an answer may be lost and the deed be found not done.
pub(super) const MAX_LOST_ANSWERS: u32 = 20;

/// Credentials that last less than this are fetched anew.
const CREDENTIALS_MARGIN: Duration = Duration::from_mins(2);

/// Why a request ended without an answer of success.
#[derive(Debug)]
pub(super) enum Failed {
    /// The service said no.
    Refused(Refusal),
    /// The service has not seen it.
    NotSent(String),
    /// The service may have done it.
    Lost(String),
    /// It could not be made, or its source failed.
    Here(TargetError),
}

/// The head of an answer, and its body where it was asked for.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) headers: http::HeaderMap,
    pub(super) body: Vec<u8>,
}

/// An answer of success.
#[derive(Debug)]
enum Answered {
    Whole(Answer),
    Open(Box<reqwest::Response>),
}

impl Answer {
    /// Returns a header that the operation always answers with.
    pub(super) fn header<T: std::str::FromStr>(&self, name: &str) -> Result<T, TargetError> {
        let text = self.headers.get(name).and_then(|value| value.to_str().ok());
        text.and_then(|text| text.parse().ok()).ok_or_else(|| {
            not_understood(&format!("it has no header {name} of the form that was expected"))
        })
    }
}

pub(super) fn not_understood(why: &str) -> TargetError {
    TargetError::Transport { what: format!("the answer cannot be understood: {why}") }
}

impl VaultApi {
    /// Does a request whose answer has no body that matters.
    pub(super) async fn call(&self, request: Request<'_>) -> Result<Answer, TargetError> {
        self.try_call(&request).await.map_err(|failed| self.failed(failed))
    }

    /// Does a request that is answered with JSON.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        request: Request<'_>,
    ) -> Result<T, TargetError> {
        let answer = self.call(request).await?;
        serde_json::from_slice(&answer.body).map_err(|error| not_understood(&error.to_string()))
    }

    /// Does a request, and tells apart what cannot have been done from what may have been.
    pub(super) async fn try_call(&self, request: &Request<'_>) -> Result<Answer, Failed> {
        match self.repeat(request, false).await? {
            Answered::Whole(answer) => Ok(answer),
            Answered::Open(_) => unreachable!("a whole answer was asked for"),
        }
    }

    /// Opens an answer whose body is read by the caller.
    pub(super) async fn open(
        &self,
        request: &Request<'_>,
    ) -> Result<reqwest::Response, TargetError> {
        match self.repeat(request, true).await {
            Ok(Answered::Open(response)) => Ok(*response),
            Ok(Answered::Whole(_)) => unreachable!("an open answer was asked for"),
            Err(failed) => Err(self.failed(failed)),
        }
    }

    /// Tries until it is done, or until it must not or need not be tried again.
    async fn repeat(&self, request: &Request<'_>, open: bool) -> Result<Answered, Failed> {
        let mut attempts = self.retry.begin();
        let mut has_renewed = false;
        loop {
            let lane = match request.payload {
                Some(_) => Some(self.lanes.acquire().await),
                None => None,
            };
            let failed = match self.attempt(request, open).await {
                Ok(done) => {
                    attempts.succeeded();
                    if let Some(payload) = request.payload {
                        self.lanes.sent(payload.size());
                    }
                    return Ok(done);
                }
                Err(failed) => failed,
            };
            drop(lane);
            if request.payload.is_some() && failed.is_overload() {
                self.lanes.troubled();
            }
            if failed.is_old_credentials() && !has_renewed {
                // Somebody may have renewed them where they come from.
                has_renewed = true;
                self.forget_credentials();
                continue;
            }
            if !failed.may_repeat(request.repeat) {
                return Err(failed);
            }
            tracing::debug!(path = request.path, ?failed, "trying again");
            if !attempts.again(failed.retry_after(), || self.in_short(&failed)).await {
                return Err(failed);
            }
        }
    }

    /// Tries once; an answer is whole, or its body is left to be read.
    async fn attempt(&self, request: &Request<'_>, open: bool) -> Result<Answered, Failed> {
        let response = self.send(request).await?;
        if open {
            return Ok(Answered::Open(Box::new(response)));
        }
        let headers = response.headers().clone();
        let body = whole(response, MAX_ANSWER_BYTES).await.map_err(Failed::from)?;
        Ok(Answered::Whole(Answer { headers, body }))
    }

    /// Sends a request once, and returns the answer if it is one of success.
    async fn send(&self, request: &Request<'_>) -> Result<reqwest::Response, Failed> {
        let credentials = self.credentials().await.map_err(Failed::Here)?;
        let signed = self.sign(request, &credentials).map_err(Failed::Here)?;
        let body = match request.payload {
            Some(payload) => payload.send(),
            None => Outgoing::short(request.text.clone()),
        };
        let response = self.transport.exchange(signed, body).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, headers) = (response.status(), response.headers().clone());
        // An error whose text is cut off is still that error.
        let text = whole(response, MAX_ANSWER_BYTES).await.unwrap_or_default();
        Err(Failed::Refused(refusal(status, &headers, &text)))
    }

    fn sign(
        &self,
        request: &Request<'_>,
        credentials: &Credentials,
    ) -> Result<http::Request<()>, TargetError> {
        let url = format!("{}{}", self.endpoint, request.path);
        let content = match request.payload {
            Some(payload) => payload.linear,
            None => LinearHash::of(&request.text),
        };
        let content = content.to_string();
        let length = match request.payload {
            Some(payload) => payload.size(),
            None => request.text.len() as u64,
        };
        let mut headers = request.headers.clone();
        headers.push(("x-amz-glacier-version", VERSION.to_owned()));
        if length > 0 || request.method != http::Method::GET {
            headers.push(("content-length", length.to_string()));
        }
        if let Some(payload) = request.payload {
            headers.push(("x-amz-sha256-tree-hash", payload.tree.to_string()));
        }
        let failed = |what: &dyn std::fmt::Display| TargetError::Transport {
            what: format!("the request cannot be made: {what}"),
        };
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let identity = credentials.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region.as_str())
            .name("glacier")
            .time(system_time(self.clock.now()))
            .settings(settings)
            .build()
            .map_err(|error| failed(&error))?;
        let host = [("host", self.host.as_str())];
        let named = headers.iter().map(|(name, value)| (*name, value.as_str()));
        let signable = SignableRequest::new(
            request.method.as_str(),
            &url,
            host.into_iter().chain(named),
            SignableBody::Precomputed(content),
        )
        .map_err(|error| failed(&error))?;
        let signed = sign(signable, &SigningParams::V4(params)).map_err(|error| failed(&error))?;
        let mut ready = http::Request::builder().method(request.method.clone()).uri(&url);
        for (name, value) in &headers {
            ready = ready.header(*name, value);
        }
        let mut ready = ready.body(()).map_err(|error| failed(&error))?;
        signed.into_parts().0.apply_to_request_http1x(&mut ready);
        if !request.text.is_empty() {
            let json = HeaderValue::from_static("application/json");
            ready.headers_mut().insert(header::CONTENT_TYPE, json);
        }
        Ok(ready)
    }

    /// Returns credentials that will last for this request.
    pub(super) async fn credentials(&self) -> Result<Credentials, TargetError> {
        let margin = system_time(self.clock.now()) + CREDENTIALS_MARGIN;
        let is_good = |held: &Credentials| held.expiry().is_none_or(|expiry| expiry > margin);
        if let Some(held) = self.held().clone().filter(is_good) {
            return Ok(held);
        }
        let provided = self.credentials.provide_credentials().await;
        let provided = provided.map_err(|error| TargetError::Credentials(Box::new(error)))?;
        *self.held() = Some(provided.clone());
        Ok(provided)
    }

    fn forget_credentials(&self) {
        *self.held() = None;
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Option<Credentials>> {
        self.held.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Says in a few words why a request is tried again.
    fn in_short(&self, failed: &Failed) -> String {
        match failed {
            Failed::Refused(refusal) => {
                format!("{} answered {}: {}", self.endpoint, refusal.status, refusal.message)
            }
            Failed::NotSent(what) => format!("{} cannot be reached: {what}", self.endpoint),
            Failed::Lost(what) => format!("the connection to {} was lost: {what}", self.endpoint),
            Failed::Here(error) => error.to_string(),
        }
    }

    /// Says in the target's words why a request failed.
    pub(super) fn failed(&self, failed: Failed) -> TargetError {
        match failed {
            Failed::Refused(refusal) => self.explained(refusal),
            Failed::NotSent(_) | Failed::Lost(_) => {
                TargetError::Transport { what: self.in_short(&failed) }
            }
            Failed::Here(error) => error,
        }
    }

    /// Says that a deed was tried [`MAX_LOST_ANSWERS`] times and no answer came.
    pub(super) fn silent(&self) -> TargetError {
        TargetError::Transport {
            what: format!("{} loses its answers again and again", self.endpoint),
        }
    }
}

impl Failed {
    /// Whether nothing can have been done.
    pub(super) fn is_undone(&self) -> bool {
        match self {
            Self::NotSent(_) | Self::Here(_) => true,
            Self::Refused(refusal) => refusal.status.is_client_error(),
            Self::Lost(_) => false,
        }
    }

    fn may_repeat(&self, repeat: Repeat) -> bool {
        match self {
            Self::Here(_) => false,
            Self::NotSent(_) => true,
            Self::Lost(_) => repeat == Repeat::Same,
            Self::Refused(refusal) => {
                refusal.is_passing() && (repeat == Repeat::Same || self.is_undone())
            }
        }
    }

    /// Whether fewer bodies at a time would have been better.
    fn is_overload(&self) -> bool {
        match self {
            Self::Refused(refusal) => {
                refusal.status == StatusCode::REQUEST_TIMEOUT || refusal.is_throttled()
            }
            Self::Lost(_) => true,
            Self::NotSent(_) | Self::Here(_) => false,
        }
    }

    fn is_old_credentials(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.code == ErrorCode::ExpiredToken)
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refusal) => refusal.retry_after,
            _ => None,
        }
    }
}

impl From<TransportError> for Failed {
    fn from(error: TransportError) -> Self {
        match error {
            TransportError::NotSent(what) => Self::NotSent(what),
            TransportError::Lost(what) => Self::Lost(what),
            TransportError::Source(source) => Self::Here(TargetError::Source(source)),
        }
    }
}

fn system_time(time: Timestamp) -> SystemTime {
    let millis = u64::try_from(time.unix_millis()).unwrap_or(0);
    UNIX_EPOCH + Duration::from_millis(millis)
}
