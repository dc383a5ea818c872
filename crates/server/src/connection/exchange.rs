//! One request and its response.
//!
//! A service runs in a task of its own, so that what happens to the connection does not tear what it does:
//!
//! * Once the whole body is read, the call runs to its end, whether or not the client still listens. A commit is never
//!   interrupted by a client that goes away.
//! * Before that, a call whose client is seen to be gone (hyper looks one frame ahead) has `drain_time` to notice by
//!   itself, since its body fails, and is then cancelled.
//! * At the deadline of a shutdown every call is cancelled.
//!
//! A service that answers without having read the body does not have to care for the rest. A small rest is read, so that
//! the connection can go on. Otherwise the response goes out at once and says that the connection closes; the rest is
//! discarded afterwards, within limits, because a client that writes on into a closed connection may never see the
//! response.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONNECTION, EXPECT};
use http::{HeaderValue, Request, Response, StatusCode, Version};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::timeout;

use super::body::{Body, BodyState};
use super::line::{Line, Phase};
use super::{KnownCaller, Peer, ResponseBody, Server};

/// Bytes of an unread body that are worth reading to keep the connection. Many clients send an empty JSON object with
/// requests that have no body. It is so little that hyper's buffers stay small.
const SMALL_REST_BYTES: u64 = 8 << 10;

/// The call was cancelled, and nobody is left to answer.
#[derive(Debug, thiserror::Error)]
#[error("the client went away")]
pub(crate) struct Gone;

/// Begins to serve a request, which has to be noted before hyper does anything else.
pub(crate) fn begin(
    server: Arc<Server>,
    line: Arc<Line>,
    peer: Peer,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<Outgoing>, Gone>> {
    line.enter(Phase::Busy);
    serve(server, line, peer, request)
}

async fn serve(
    server: Arc<Server>,
    line: Arc<Line>,
    peer: Peer,
    request: Request<Incoming>,
) -> Result<Response<Outgoing>, Gone> {
    let waits = waits_for_continue(&request);
    let (head, incoming) = request.into_parts();
    let (body, state) = Body::new(incoming, &server.limits, server.budget.room());
    let mut call = start(&server, peer, Request::from_parts(head, body), Arc::clone(&state));

    let done = tokio::select! {
        done = &mut call.task => done,
        () = line.gone().cancelled() => {
            timeout(server.limits.drain_time, &mut call.task).await.map_err(|_elapsed| Gone)?
        }
    };
    let mut response = match done {
        Ok(Some(response)) => response,
        Ok(None) => return Err(Gone),
        Err(error) => server.failure(&error),
    };
    if response.extensions().get::<KnownCaller>().is_some() {
        line.know();
    }
    if !settle(&server, &state, waits).await {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        line.leave_unread();
    }
    Ok(response.map(|body| Outgoing { body, line }))
}

/// Whether the client waits for a word before it sends the body.
fn waits_for_continue(request: &Request<Incoming>) -> bool {
    request.version() > Version::HTTP_10
        && request
            .headers()
            .get(EXPECT)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

fn start(server: &Arc<Server>, peer: Peer, request: Request<Body>, state: Arc<BodyState>) -> Call {
    let (service, cut) = (Arc::clone(&server.service), server.cut.clone());
    let work = async move { service.call(peer, request).await };
    Call { task: server.tasks.spawn(cut.run_until_cancelled_owned(work)), state }
}

/// Reads a small rest of the body. Whether nothing of it is left.
async fn settle(server: &Server, state: &BodyState, waits: bool) -> bool {
    if state.is_complete() {
        return true;
    }
    let Some(mut rest) = state.take_rest() else { return false };
    let small = rest.size_hint().upper().is_some_and(|rest| rest <= SMALL_REST_BYTES);
    if !small || (waits && !state.was_asked_for()) {
        return false;
    }
    let read = async {
        while let Some(frame) = rest.frame().await {
            if frame.is_err() {
                return false;
            }
        }
        true
    };
    timeout(server.limits.drain_time, read).await.unwrap_or(false)
}

impl Server {
    /// The answer for a call that panicked. The panic itself is reported where panics are.
    fn failure(&self, error: &JoinError) -> Response<ResponseBody> {
        tracing::error!(
            error = error as &dyn std::error::Error,
            "a request failed inside the server"
        );
        let mut response = self.service.refuse(StatusCode::INTERNAL_SERVER_ERROR);
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response.map(|body| Full::new(body).map_err(|never| match never {}).boxed_unsync())
    }
}

/// A call under way. Dropping it cancels the call, unless it has all it needs to come to its end.
struct Call {
    task: JoinHandle<Option<Response<ResponseBody>>>,
    state: Arc<BodyState>,
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.state.is_complete() {
            self.task.abort();
        }
    }
}

/// The body of a response on its way to hyper, which drops it when it has taken the last frame.
pub(crate) struct Outgoing {
    body: ResponseBody,
    line: Arc<Line>,
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.line.enter(Phase::Answered);
    }
}
