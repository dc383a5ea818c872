//! One exchange over HTTP: a request with a body that streams, and the head of its answer.
//!
//! What can be said about a request that failed is decided here, because it decides whether it may be repeated: it was
//! never sent (`TransportError::NotSent`), or nobody knows (`TransportError::Lost`). A connection on which nothing moves
//! is given up; how long that takes does not depend on how much there is to move.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::StreamExt as _;
use http_body::{Frame, SizeHint};
use tokio::time::{sleep, timeout};

use crate::body::Chunks;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a body may stand still in either direction.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a service may think about a request that it has completely: completing a large upload takes long.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(5);

/// How long an idle connection is kept for the next request; services close theirs after a minute or so.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// How a service is reached.
#[derive(Debug, Clone, Default)]
pub struct TransportOptions {
    /// Certificates of issuers that are trusted beside the system's, in PEM.
    pub roots_pem: Vec<Vec<u8>>,
}

/// Why an exchange failed.
#[derive(Debug)]
pub(crate) enum TransportError {
    /// The service has not seen the request.
    NotSent(String),
    /// It may have seen it, and may have done what it asks for.
    Lost(String),
    /// The source of the body failed.
    Source(io::Error),
}

/// The connections to services. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Transport {
    client: reqwest::Client,
}

impl Transport {
    /// Makes it; proxies are taken from the environment as every tool takes them (`HTTPS_PROXY`, `NO_PROXY`).
    ///
    /// # Errors
    ///
    /// When a certificate cannot be read, or no TLS can be had.
    pub(crate) fn new(options: &TransportOptions) -> Result<Self, String> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("icefield/", env!("CARGO_PKG_VERSION")))
            .http1_only()
            .tcp_nodelay(true)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT);
        for pem in &options.roots_pem {
            let roots =
                reqwest::Certificate::from_pem_bundle(pem).map_err(|error| chain(&error))?;
            builder = builder.tls_certs_merge(roots);
        }
        let client = builder.build().map_err(|error| chain(&error))?;
        Ok(Self { client })
    }

    /// Sends a request, with a body if there is one, and returns the answer as soon as its head is there.
    pub(crate) async fn exchange(
        &self,
        request: http::Request<()>,
        body: Outgoing,
    ) -> Result<reqwest::Response, TransportError> {
        let watch = Arc::clone(&body.watch);
        let body = match body.whole {
            Some(bytes) => reqwest::Body::from(bytes),
            None => reqwest::Body::wrap(body),
        };
        let request = reqwest::Request::try_from(request.map(|()| body))
            .map_err(|error| TransportError::NotSent(chain(&error)))?;
        let answered = tokio::select! {
            answered = self.client.execute(request) => answered,
            () = watch.stalled() => {
                let what = if watch.is_sent.load(Relaxed) { "no answer came" } else { "the line stands still" };
                return Err(TransportError::Lost(what.to_owned()));
            }
        };
        answered.map_err(|error| match watch.failure() {
            Some(source) => TransportError::Source(source),
            None if error.is_connect() => TransportError::NotSent(chain(&error)),
            None => TransportError::Lost(chain(&error)),
        })
    }
}

/// Returns the next bytes of an answer.
pub(crate) async fn next_chunk(
    response: &mut reqwest::Response,
) -> Result<Option<Bytes>, TransportError> {
    match timeout(STALL_TIMEOUT, response.chunk()).await {
        Ok(Ok(chunk)) => Ok(chunk),
        Ok(Err(error)) => Err(TransportError::Lost(chain(&error))),
        Err(_) => Err(TransportError::Lost("the line stands still".to_owned())),
    }
}

/// Returns a whole answer of at most `limit` bytes.
pub(crate) async fn whole(
    mut response: reqwest::Response,
    limit: usize,
) -> Result<Vec<u8>, TransportError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = next_chunk(&mut response).await? {
        if bytes.len() + chunk.len() > limit {
            return Err(TransportError::Lost(format!("the answer has more than {limit} bytes")));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// The body of a request on its way.
pub(crate) struct Outgoing {
    /// All of it, where it is short.
    whole: Option<Bytes>,
    /// Only so that the body may be shared between threads; never contended.
    chunks: Mutex<Chunks>,
    left: u64,
    watch: Arc<Watch>,
}

impl Outgoing {
    /// Nothing, or a few bytes.
    pub(crate) fn short(bytes: Bytes) -> Self {
        let watch = Arc::new(Watch::default());
        watch.is_sent.store(true, Relaxed);
        let chunks = Mutex::new(Box::pin(futures_util::stream::empty()) as Chunks);
        Self { whole: Some(bytes), chunks, left: 0, watch }
    }

    /// A stream of exactly `size` bytes.
    pub(crate) fn stream(size: u64, chunks: Chunks) -> Self {
        Self { whole: None, chunks: Mutex::new(chunks), left: size, watch: Arc::default() }
    }
}

/// What is known of a body on its way.
#[derive(Debug, Default)]
struct Watch {
    moves: AtomicU64,
    is_sent: AtomicBool,
    failed: Mutex<Option<io::Error>>,
}

impl Watch {
    /// Ends when nothing has moved for too long.
    #[expect(clippy::disallowed_methods, reason = "the time limits of a connection are real time")]
    async fn stalled(&self) {
        loop {
            let before = (self.moves.load(Relaxed), self.is_sent.load(Relaxed));
            sleep(if before.1 { ANSWER_TIMEOUT } else { STALL_TIMEOUT }).await;
            if before == (self.moves.load(Relaxed), self.is_sent.load(Relaxed)) {
                return;
            }
        }
    }

    fn failure(&self) -> Option<io::Error> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        let chunks = this.chunks.get_mut().unwrap_or_else(PoisonError::into_inner);
        let next = std::task::ready!(chunks.poll_next_unpin(context));
        this.watch.moves.fetch_add(1, Relaxed);
        Poll::Ready(match next {
            Some(Ok(chunk)) => {
                this.left = this.left.saturating_sub(chunk.len() as u64);
                if this.left == 0 {
                    this.watch.is_sent.store(true, Relaxed);
                }
                Some(Ok(Frame::data(chunk)))
            }
            Some(Err(error)) => {
                let told = io::Error::new(error.kind(), "the source of the body failed");
                *this.watch.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                Some(Err(told))
            }
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Writes an error and all its causes in one line, without the address that every caller names anyway.
fn chain(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    if text.is_empty() { error.to_string() } else { text }
}
