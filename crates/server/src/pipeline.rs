//! What happens to every request, in this order, and what it is refused for first:
//!
//! ```text
//! route > authentication > rate > version > account > vault name > permission > vault exists > operation
//! ```
//!
//! The order is part of what the service tells: who may not do something does not learn whether it is there.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header::DATE, request::Parts};
use icefield_engine::{Caller, Engine, Resource};
use icefield_protocol::{AccountId, ErrorCode, Operation, Timestamp, VaultName};
use time::{OffsetDateTime, macros::format_description};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span, field::Empty, info_span};

use crate::{
    auth::{Authentic, Authenticator, Content},
    background::JobBell,
    connection::{Body, KnownCaller, Peer, ResponseBody, Service},
    error::{ApiError, Then},
    exchange::{Exchange, Observer},
    header, host,
    json::Object,
    notify::Notifier,
    operate::AuditLog,
    ops,
    request::{Call, Payload},
    request_id::RequestId,
    response::{Reply, error_body},
    route::Target,
    throttle::Throttle,
};

/// The only version of the service there ever was.
const API_VERSION: &str = "2012-06-01";

/// Answers requests.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) engine: Engine,
    pub(crate) authenticator: Authenticator,
    pub(crate) local_hosts_only: bool,
    pub(crate) throttle: Option<Throttle>,
    pub(crate) bell: JobBell,
    pub(crate) notifier: Arc<Notifier>,
    pub(crate) observers: Arc<[Arc<dyn Observer>]>,
    pub(crate) audit: Option<AuditLog>,
    /// Cancelled when nothing can be stored any more.
    pub(crate) broken: CancellationToken,
}

#[async_trait]
impl Service for Pipeline {
    async fn call(&self, peer: Peer, request: Request<Body>) -> Response<ResponseBody> {
        let (clock, observers) = (self.engine.store().clock(), Arc::clone(&self.observers));
        // Sent back, so that a client knows that a repeat is answered with the first result here.
        let token = header::token(request.headers());
        let mut exchange = Exchange::begin(peer.address, observers, Arc::clone(clock));
        let span = info_span!(
            "request",
            request_id = %exchange.facts.request_id,
            operation = Empty,
            account = Empty,
            vault = Empty,
        );
        let answered = self.answer(peer, request, &mut exchange).instrument(span.clone()).await;
        let failed = |exchange: &mut Exchange, error: ApiError| {
            span.in_scope(|| error.log());
            exchange.facts.code = Some(error.code);
            if error.then == Then::StopServer {
                self.broken.cancel();
            }
            Reply::from(&error)
        };
        let whole = |reply: Reply, exchange: &Exchange| {
            let name = name_of(&exchange.facts.request_id);
            let reply = reply.with(header::REQUEST_ID, name).with(DATE, date(clock.now()));
            match token.clone() {
                Some(token) => reply.with(header::UPLOAD_TOKEN, token).into_response(),
                None => reply.into_response(),
            }
        };
        let reply = answered.unwrap_or_else(|error| failed(&mut exchange, error));
        let mut response = whole(reply, &exchange);
        let ended = exchange.end_change(&response);
        if let Err(error) = ended.await {
            // It may have been done, but nobody is told so without a trace of it.
            let reply = failed(&mut exchange, ApiError::internal("writing the audit log", error));
            response = whole(reply, &exchange);
        }
        if exchange.facts.caller.is_some() {
            response.extensions_mut().insert(KnownCaller);
        }
        exchange.answered(response)
    }

    fn refuse(&self, status: StatusCode) -> Response<Bytes> {
        let error = if status.is_server_error() {
            ApiError::new(ErrorCode::ServiceUnavailable, "The service cannot complete the request.")
        } else if status == StatusCode::REQUEST_TIMEOUT {
            ApiError::new(ErrorCode::RequestTimeout, "Request timed out.")
        } else {
            ApiError::new(ErrorCode::BadRequest, "The request cannot be read.")
        };
        let mut response = error_body(&error);
        response.headers_mut().insert(header::REQUEST_ID, name_of(&RequestId::random()));
        response
    }
}

impl Pipeline {
    async fn answer(
        &self,
        peer: Peer,
        request: Request<Body>,
        exchange: &mut Exchange,
    ) -> Result<Reply, ApiError> {
        let (parts, body) = request.into_parts();
        if self.local_hosts_only {
            host::check_local(&parts.headers)?;
        }
        if let Some(opened) = self.notifier.opened(&parts).await {
            let opened = opened?;
            if let Some((action, topic)) = opened.change() {
                exchange.opens(action, topic);
                self.begin_change(exchange).await?;
            }
            return self.notifier.answer(opened).await;
        }
        let query = parts.uri.query().unwrap_or("");
        let target = Target::find(parts.method.as_str(), parts.uri.path(), query)?;
        let operation = target.operation;
        exchange.aims_at(&target);
        Span::current().record("operation", operation.as_str());
        let body = exchange.counted(body);
        let Authentic { caller, content } =
            self.authenticator.check(&self.engine, peer, &parts, body, operation, exchange).await?;
        exchange.facts.caller = Some(caller.clone());
        self.pass(&caller)?;
        check_version(&parts)?;
        let account = account_of(&target, &caller)?;
        Span::current().record("account", account.as_str());
        exchange.facts.account = Some(account.clone());
        self.begin_change(exchange).await?;
        let vault = vault_of(&target)?;
        if let Some(vault) = &vault {
            Span::current().record("vault", vault.as_str());
        }
        let (json, payload) = match content {
            Content::Text(text) => (Object::parse(&text), None),
            Content::Payload(body, hash) => (Ok(Object::default()), Some(Payload { body, hash })),
        };
        let archive = ops::archive_of(operation, &target.id, json.as_ref().ok());
        let resource =
            Resource { account: &account, vault: vault.as_ref(), archive: archive.as_ref() };
        let said = ops::said(operation, json.as_ref().ok());
        let access = self.engine.authorize_saying(&caller, operation, resource, &said).await?;
        if needs_vault(operation) {
            self.engine.check_vault(&access)?;
        }
        let (engine, bell) = (&self.engine, &self.bell);
        let call = Call { engine, bell, parts: &parts, target: &target, vault, json, payload };
        ops::answer(call, access).await
    }

    /// Sees to it that a change is told of, or refuses it. Asks for nothing when the request changes nothing.
    async fn begin_change(&self, exchange: &mut Exchange) -> Result<(), ApiError> {
        let Some(audit) = self.audit.as_ref().filter(|_| exchange.facts.mutation) else {
            return Ok(());
        };
        let begun = exchange.begin_change(audit).await;
        begun.map_err(|error| ApiError::internal("writing the audit log", error))
    }

    fn pass(&self, caller: &Caller) -> Result<(), ApiError> {
        let now = self.engine.store().clock().boot();
        self.throttle.as_ref().map_or(Ok(()), |throttle| throttle.pass(&caller.account, now))
    }
}

fn check_version(parts: &Parts) -> Result<(), ApiError> {
    match header::text(&parts.headers, &header::API_VERSION) {
        Some(version) if version == API_VERSION => Ok(()),
        Some(version) => Err(ApiError::invalid(format!("Invalid API version: {version}"))),
        None => Err(ApiError::missing("API version")),
    }
}

/// Returns the account of the path; `-` is the caller's.
fn account_of(target: &Target, caller: &Caller) -> Result<AccountId, ApiError> {
    match target.account.as_str() {
        "-" => Ok(caller.account.clone()),
        text => AccountId::parse(text)
            .map_err(|_| ApiError::invalid(format!("Invalid account ID: {text}"))),
    }
}

/// Returns the vault of the path. No vault has an illegal name, so nothing has to be asked about one.
fn vault_of(target: &Target) -> Result<Option<VaultName>, ApiError> {
    if !target.operation.has_vault() {
        return Ok(None);
    }
    let text = &target.vault;
    VaultName::parse(text).map(Some).map_err(|_| match target.operation {
        Operation::CreateVault => ApiError::invalid(format!("Invalid vault name: {text}")),
        _ => {
            let message = format!("Vault not found for ARN: {text}");
            ApiError::new(ErrorCode::ResourceNotFound, message)
        }
    })
}

/// Whether the operation is refused without a vault, before anything else of the request is looked at.
fn needs_vault(operation: Operation) -> bool {
    operation.has_vault() && !matches!(operation, Operation::CreateVault | Operation::DeleteVault)
}

fn name_of(id: &RequestId) -> HeaderValue {
    HeaderValue::from_str(id.as_str()).expect("a request ID has letters and digits, `_` and `-`")
}

/// Returns the time as HTTP writes it, by the clock that everything else goes by.
fn date(now: Timestamp) -> HeaderValue {
    let format = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    OffsetDateTime::from_unix_timestamp(now.unix_millis().div_euclid(1000))
        .ok()
        .and_then(|date| date.format(format).ok())
        .and_then(|text| HeaderValue::from_str(&text).ok())
        .expect("the years 0 to 9999 can be written")
}

#[cfg(test)]
mod tests {
    use icefield_protocol::Timestamp;

    use super::date;

    #[test]
    fn dates_are_written_as_http_has_them() {
        let time = Timestamp::parse("2012-05-07T09:03:01.999Z").unwrap();
        assert_eq!(date(time), "Mon, 07 May 2012 09:03:01 GMT");
    }
}
