//! Who asks: the signature of a request, the session of temporary credentials, and the bytes that were signed.
//!
//! ```text
//! Authorization header > access key known > time near enough > [body read and hashed] > signature > session
//! ```
//!
//! Nothing of a body is read before the key and the time are right. The body of an upload is not read here at all: its
//! hash is announced in a signed header, and whoever receives the bytes compares. Every other body is small, so it is read
//! whole and hashed, whether or not its hash was announced. Where it was not, the body is read before the signature can be
//! checked, by whoever knows an access key ID, so it has to be shorter.
//!
//! A refusal never says what the right signature or its canonical request would be.

mod keys;

use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName,
    header::{CONTENT_LENGTH, CONTENT_RANGE, HOST, RANGE, REFERER, USER_AGENT},
    request::Parts,
};
use icefield_engine::{
    Caller, Credential, Engine, SessionRefusal,
    policy::{ContextKeys, key},
};
use icefield_protocol::{
    ErrorCode, LinearHash, Operation, Region, Timestamp,
    sigv4::{Authorization, RequestHead, RequestTime, SigV4Error, check_skew, request_time},
};

use crate::{
    connection::Peer,
    error::ApiError,
    exchange::{CountedBody, Exchange},
    header,
};
use keys::SigningKeys;

/// The longest body without an announced hash. Within the window that each connection has for itself, so that what
/// nobody has signed takes no memory that others wait for, and several times what the longest text with a meaning, an
/// access policy of 20 KiB, has as JSON in JSON.
const MAX_UNANNOUNCED_BYTES: usize = 128 << 10;

/// The service in a scope.
const SERVICE: &str = "glacier";

/// What is said of a key that does not exist and of a token that does not go with it: the same, so that neither tells
/// which half was right.
const UNKNOWN: &str = "The security token included in the request is invalid.";

/// Checks who asks.
#[derive(Debug)]
pub(crate) struct Authenticator {
    skew: Duration,
    /// The only region that is signed for, with strict scopes.
    region: Option<Region>,
    max_text_bytes: usize,
    keys: SigningKeys,
}

/// A request whose sender is known.
#[derive(Debug)]
pub(crate) struct Authentic {
    pub(crate) caller: Caller,
    pub(crate) content: Content,
}

/// The body of a request whose sender is known.
#[derive(Debug)]
pub(crate) enum Content {
    /// Of an archive or a part, still to come, and the hash that was signed for it.
    Payload(Box<CountedBody>, LinearHash),
    /// Of anything else, whole and as it was signed.
    Text(Bytes),
}

impl Authenticator {
    pub(crate) fn new(skew: Duration, region: Option<Region>, max_text_bytes: usize) -> Self {
        Self { skew, region, max_text_bytes, keys: SigningKeys::default() }
    }

    /// Finds out who sent the request, and reads its body unless it is a payload.
    ///
    /// # Errors
    ///
    /// `MissingAuthenticationToken`, `UnrecognizedClient`, `InvalidSignature`, `ExpiredToken`; `MissingParameterValue` for
    /// a payload without an announced hash; those of a body that does not come or is too long.
    pub(crate) async fn check(
        &self,
        engine: &Engine,
        peer: Peer,
        parts: &Parts,
        body: CountedBody,
        operation: Operation,
        exchange: &mut Exchange,
    ) -> Result<Authentic, ApiError> {
        let head = signed_head(parts);
        let authorization = Authorization::of(&head)?;
        check_repeats(&parts.headers)?;
        exchange.facts.access_key = Some(authorization.access_key.clone());
        let credential = engine.credential(&authorization.access_key).await?;
        let credential =
            credential.ok_or_else(|| ApiError::new(ErrorCode::UnrecognizedClient, UNKNOWN))?;
        let time = request_time(&head)?;
        let now = engine.store().clock().now();
        check_skew(time, now, self.skew)?;
        self.check_scope(&authorization)?;
        let claim = Claim { authorization: &authorization, head: &head, credential: &credential };
        let content = match (announced_hash(parts)?, operation.has_payload()) {
            (None, true) => return Err(ApiError::missing(header::CONTENT_HASH.as_str())),
            (Some(announced), true) => {
                self.verify(claim, time, announced)?;
                Content::Payload(Box::new(body), announced)
            }
            (Some(announced), false) => {
                self.verify(claim, time, announced)?;
                let text = body.read_to_end(self.max_text_bytes).await?;
                let computed = LinearHash::of(&text);
                if computed != announced {
                    return Err(ApiError::other_body(computed, announced));
                }
                Content::Text(text)
            }
            (None, false) => {
                let most = self.max_text_bytes.min(MAX_UNANNOUNCED_BYTES);
                let text = body.read_to_end(most).await?;
                self.verify(claim, time, LinearHash::of(&text))?;
                Content::Text(text)
            }
        };
        check_session(&credential, parts, now)?;
        Ok(Authentic { caller: caller(credential, peer, parts), content })
    }

    fn check_scope(&self, authorization: &Authorization) -> Result<(), ApiError> {
        let Some(region) = &self.region else { return Ok(()) };
        let scope = &authorization.scope;
        if scope.service == SERVICE && scope.region == region.as_str() {
            return Ok(());
        }
        let message = format!(
            "Credential should be scoped to region '{region}' and service '{SERVICE}', not to '{}' and '{}'.",
            scope.region, scope.service
        );
        Err(ApiError::new(ErrorCode::InvalidSignature, message))
    }

    fn verify(
        &self,
        claim: Claim<'_>,
        time: RequestTime,
        body: LinearHash,
    ) -> Result<(), ApiError> {
        let Claim { authorization, head, credential } = claim;
        check_token_header(authorization, head)?;
        let key = self.keys.derive(authorization, &credential.secret);
        authorization.verify_with(head, &key, time, &body.to_string())?;
        self.keys.keep(authorization, &credential.secret, key);
        Ok(())
    }
}

/// What a request claims, and what the claim is measured with.
#[derive(Clone, Copy)]
struct Claim<'a> {
    authorization: &'a Authorization,
    head: &'a RequestHead<'a>,
    credential: &'a Credential,
}

/// Returns what is signed of a request.
fn signed_head(parts: &Parts) -> RequestHead<'_> {
    let headers = parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    RequestHead {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or(""),
        headers: headers.collect(),
    }
}

/// Returns the hash that the client announced for its body.
///
/// The words that other services take in its place are no hashes.
fn announced_hash(parts: &Parts) -> Result<Option<LinearHash>, ApiError> {
    let Some(text) = header::text(&parts.headers, &header::CONTENT_HASH) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| SigV4Error::BodyHash.into())
}

/// Demands that an upload token is signed: with one of an earlier upload, somebody on the way could have an answer of
/// success given for bytes that are thrown away.
fn check_token_header(
    authorization: &Authorization,
    head: &RequestHead<'_>,
) -> Result<(), SigV4Error> {
    let name = header::UPLOAD_TOKEN;
    let came = head.headers.iter().any(|(one, _)| *one == name.as_str());
    if came && !authorization.signed_headers.iter().any(|one| one == name.as_str()) {
        return Err(SigV4Error::UnsignedHeader(name.to_string()));
    }
    Ok(())
}

/// Refuses a header that means something and comes twice.
///
/// A signature covers the values joined by commas, so whoever cuts a value at a comma into two headers does not break it,
/// and would decide what is read. No client sends one twice.
fn check_repeats(headers: &HeaderMap) -> Result<(), SigV4Error> {
    let counts = |name: &HeaderName| name.as_str().starts_with("x-amz-") || ONCE.contains(name);
    let repeated = |name: &&HeaderName| headers.get_all(*name).iter().nth(1).is_some();
    match headers.keys().filter(|name| counts(name)).find(repeated) {
        Some(_) => Err(SigV4Error::Malformed("a header of the service is there more than once")),
        None => Ok(()),
    }
}

/// Headers that mean something beside those of the service.
const ONCE: [HeaderName; 7] =
    [HOST, RANGE, CONTENT_RANGE, CONTENT_LENGTH, USER_AGENT, REFERER, header::UPLOAD_TOKEN];

fn check_session(credential: &Credential, parts: &Parts, now: Timestamp) -> Result<(), ApiError> {
    let token = header::text(&parts.headers, &header::SECURITY_TOKEN);
    credential.admits(token.as_deref(), now).map_err(|refusal| match refusal {
        SessionRefusal::Wrong => ApiError::new(ErrorCode::UnrecognizedClient, UNKNOWN),
        SessionRefusal::Expired => ApiError::new(
            ErrorCode::ExpiredToken,
            "The security token included in the request is expired",
        ),
    })
}

/// Returns who asks, with what policies may ask about the request. An address that a proxy tells of is not believed:
/// anybody can write that header.
fn caller(credential: Credential, peer: Peer, parts: &Parts) -> Caller {
    let address = peer.address.ip().to_canonical().to_string();
    let mut context = ContextKeys::new()
        .with(key::SOURCE_IP, address)
        .with(key::SECURE_TRANSPORT, if peer.secure { "true" } else { "false" });
    for (name, value) in [(key::USER_AGENT, USER_AGENT), (key::REFERER, REFERER)] {
        if let Some(value) = header::text(&parts.headers, &value) {
            context = context.with(name, value);
        }
    }
    if let Some(session) = &credential.session {
        context = context.with(key::TOKEN_ISSUE_TIME, session.issued.to_seconds_string());
    }
    let caller = match credential.user {
        Some(user) => Caller::user(credential.account, user),
        None => Caller::root(credential.account),
    };
    caller.with_context(context)
}

#[cfg(test)]
mod tests {
    use super::MAX_UNANNOUNCED_BYTES;
    use crate::connection::Limits;

    #[test]
    fn what_nobody_has_signed_fits_into_the_window_of_its_connection() {
        assert!(MAX_UNANNOUNCED_BYTES <= Limits::default().window_bytes);
    }
}
