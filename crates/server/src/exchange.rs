//! What is known of one request, and who is told of it when it is over.
//!
//! A request is over when the last byte of its answer is on its way, or when the client is gone. Both drop the
//! [`Exchange`], which travels with the request and then with the body of the answer: so every request is told of exactly
//! once, however it ends.

use std::{
    fmt,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use icefield_engine::Caller;
use icefield_protocol::{AccountId, Clock, ErrorCode, Operation, TopicArn, sigv4::AccessKeyId};

use crate::{
    connection::{BodyError, Chunk, ResponseBody},
    operate::{AuditError, AuditLog, Change, Outcome, Ticket},
    request_id::RequestId,
    route::Target,
};

/// Who changes something at an address that only a destination was told.
const TOKEN: &str = "token";

/// What is known of a request that is over.
#[derive(Debug, Clone)]
pub struct RequestFacts {
    /// Its name.
    pub request_id: RequestId,
    /// Where it came from.
    pub peer: SocketAddr,
    /// What was asked for; `None` when no operation is.
    pub operation: Option<Operation>,
    /// The access key that it named, whether or not it was signed with it.
    pub access_key: Option<AccessKeyId>,
    /// Who asked, once that was proved.
    pub caller: Option<Caller>,
    /// The account whose resource it was about.
    pub account: Option<AccountId>,
    /// The vault, as it was named.
    pub vault: Option<String>,
    /// The archive, upload, job or lock in the path, as it was named.
    pub resource_id: Option<String>,
    /// The status of the answer; `None` when the client left before there was one.
    pub status: Option<u16>,
    /// Why it was refused.
    pub code: Option<ErrorCode>,
    /// Where the answer says that the new thing lies.
    pub location: Option<String>,
    /// Bytes of the body that were read.
    pub bytes_in: u64,
    /// Bytes of the answer's body that were handed to the connection.
    pub bytes_out: u64,
    /// From the end of the request's head to the end of the answer.
    pub duration: Duration,
    /// Whether the operation changes anything when it succeeds.
    pub mutation: bool,
}

/// Is told of every request: metrics, logs of accesses and changes.
pub trait Observer: fmt::Debug + Send + Sync + 'static {
    /// Takes note of a request that is over. Called from the connection's task, so it must not wait.
    fn finished(&self, facts: &RequestFacts);
}

/// A request under way.
pub(crate) struct Exchange {
    pub(crate) facts: RequestFacts,
    observers: Arc<[Arc<dyn Observer>]>,
    clock: Arc<dyn Clock>,
    began: Duration,
    /// What a request does that has no signature, because its address says enough.
    action: Option<&'static str>,
    received: Arc<AtomicU64>,
    /// The line of the audit log that has to be written, if a change was begun.
    ticket: Option<Ticket>,
}

impl Exchange {
    pub(crate) fn begin(
        peer: SocketAddr,
        observers: Arc<[Arc<dyn Observer>]>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let facts = RequestFacts {
            request_id: RequestId::random(),
            peer,
            operation: None,
            access_key: None,
            caller: None,
            account: None,
            vault: None,
            resource_id: None,
            status: None,
            code: None,
            location: None,
            bytes_in: 0,
            bytes_out: 0,
            duration: Duration::ZERO,
            mutation: false,
        };
        let began = clock.boot();
        let (action, received) = (None, Arc::default());
        Self { facts, observers, clock, began, action, received, ticket: None }
    }

    /// Notes what the request asks for.
    pub(crate) fn aims_at(&mut self, target: &Target) {
        let named = |text: &String| (!text.is_empty()).then(|| text.clone());
        let facts = &mut self.facts;
        facts.operation = Some(target.operation);
        facts.vault = named(&target.vault);
        facts.resource_id = named(&target.id);
        facts.mutation = is_mutation(target.operation);
    }

    /// Notes what an address that needs no signature is for.
    pub(crate) fn opens(&mut self, action: &'static str, topic: &TopicArn) {
        self.action = Some(action);
        self.facts.account = Some(topic.account.clone());
        self.facts.resource_id = Some(topic.to_string());
        self.facts.mutation = true;
    }

    /// Returns the body, with what is read of it counted.
    pub(crate) fn counted(&self, body: crate::connection::Body) -> CountedBody {
        CountedBody { body, received: Arc::clone(&self.received) }
    }

    /// Sees to it that a change is told of in the audit log, however it ends.
    pub(crate) async fn begin_change(&mut self, audit: &AuditLog) -> Result<(), AuditError> {
        let facts = &self.facts;
        let text = |text: &dyn ToString| text.to_string();
        let (principal, operation) = match self.action {
            Some(action) => (TOKEN.to_owned(), action.to_owned()),
            None => (
                facts.caller.as_ref().map(Caller::arn).unwrap_or_default(),
                facts.operation.map(|operation| text(&operation)).unwrap_or_default(),
            ),
        };
        let change = Change {
            request_id: facts.request_id.to_string(),
            principal,
            access_key: facts.access_key.as_ref().map(|key| text(key)),
            source: facts.peer.to_string(),
            operation,
            account: facts.account.as_ref().map(|account| text(account)),
            vault: facts.vault.clone(),
            resource: facts.resource_id.clone(),
        };
        self.ticket = Some(audit.begin(change).await?);
        Ok(())
    }

    /// Waits until the audit log holds how a change ended, if there was one.
    pub(crate) fn end_change(
        &mut self,
        response: &Response<ResponseBody>,
    ) -> impl Future<Output = Result<(), AuditError>> + use<> {
        let code = self.facts.code.map_or("OK", ErrorCode::as_str).to_owned();
        let status = Some(response.status().as_u16());
        let outcome = Outcome { created: location(response), status, code };
        let ticket = self.ticket.take();
        async move {
            match ticket {
                Some(ticket) => ticket.record(outcome).await,
                None => Ok(()),
            }
        }
    }

    /// Lets the exchange end with the body of its answer.
    pub(crate) fn answered(mut self, response: Response<ResponseBody>) -> Response<ResponseBody> {
        self.facts.status = Some(response.status().as_u16());
        self.facts.location = location(&response);
        response.map(|body| ToldBody { body, exchange: self }.boxed_unsync())
    }
}

fn location(response: &Response<ResponseBody>) -> Option<String> {
    let location = response.headers().get(http::header::LOCATION)?;
    Some(String::from_utf8_lossy(location.as_bytes()).into_owned())
}

/// Whether the operation changes anything when it succeeds; by their names, what gets, lists and describes does not.
fn is_mutation(operation: Operation) -> bool {
    !["Get", "List", "Describe"].iter().any(|verb| operation.as_str().starts_with(verb))
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.facts.bytes_in = self.received.load(Ordering::Relaxed);
        self.facts.duration = self.clock.boot().saturating_sub(self.began);
        for observer in self.observers.iter() {
            observer.finished(&self.facts);
        }
    }
}

/// The body of a request, counted as it is read.
#[derive(Debug)]
pub(crate) struct CountedBody {
    body: crate::connection::Body,
    received: Arc<AtomicU64>,
}

impl CountedBody {
    pub(crate) async fn chunk(&mut self) -> Result<Option<Chunk>, BodyError> {
        let chunk = self.body.chunk().await?;
        if let Some(chunk) = &chunk {
            self.received.fetch_add(chunk.bytes.len() as u64, Ordering::Relaxed);
        }
        Ok(chunk)
    }

    pub(crate) async fn read_to_end(self, limit: usize) -> Result<Bytes, BodyError> {
        let bytes = self.body.read_to_end(limit).await?;
        self.received.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(bytes)
    }
}

/// The body of an answer; its end is the end of the exchange.
struct ToldBody {
    body: ResponseBody,
    exchange: Exchange,
}

impl Body for ToldBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            self.exchange.facts.bytes_out += data.len() as u64;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
