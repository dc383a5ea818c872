//! Sockets, TLS and limits: everything about a connection that has nothing to do with Glacier.
//!
//! [`serve`] accepts, makes room in the `crowd`, and gives every request to a [`Service`]. A connection is a task: `wire`
//! is its socket, with the times that hyper does not keep; hyper reads and writes HTTP/1.1 above it; `exchange` runs one
//! request; [`Body`] is what a service reads, within `budget` and at least at the `pace` of [`Limits`].
//!
//! Only HTTP/1.1: it is what Glacier speaks, and hyper's sniffing for HTTP/2 waits without any limit.
//!
//! # Memory
//!
//! Never depends on the length of a body. A connection that is idle or sends a head holds at most the limit of a head; one
//! that sends a body at most one window read ahead, and one it works on; more only out of the common budget. A client
//! that does not read its response holds one window and one frame of it, until it is too slow.
//!
//! # Answers that no service gives
//!
//! What hyper cannot read, it refuses. [`Service::refuse`] gives those answers the same form as all others. Without any
//! answer, connections close that speak HTTP/2, are too slow with a head, or fail the TLS handshake.

mod accept;
mod body;
mod budget;
mod crowd;
mod exchange;
mod gauges;
mod limits;
mod line;
mod pace;
mod refusal;
mod talk;
mod tls;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use body::{Body, BodyError, Chunk};
use budget::Budget;
use crowd::Crowd;
pub use gauges::Gauges;
pub use limits::Limits;
use tls::Identity;
pub use tls::{TlsError, TlsFiles};

/// Who is at the other end.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// The address the connection comes from.
    pub address: SocketAddr,
    /// Whether the connection is encrypted.
    pub secure: bool,
}

/// The body of a response. A frame is held until it is written, so keep frames near a window, and name the exact length
/// where it is known.
pub type ResponseBody = UnsyncBoxBody<Bytes, std::io::Error>;

/// An extension of a response: the service knows who has asked. When there are too many connections, those on which
/// nobody is known yet are closed first.
#[derive(Debug, Clone, Copy)]
pub struct KnownCaller;

/// What answers requests.
///
/// # Contract
///
/// * A call that has read its body to the end runs to its own end, even if the client is gone. Before that it may be
///   dropped at any point, and at the deadline of a shutdown in any case.
/// * Answering without reading the body is right for whatever the head decides. A client that waits for a word before
///   it sends (`Expect: 100-continue`) is told to send by the first read of the body, and by nothing else.
#[async_trait]
pub trait Service: Send + Sync + 'static {
    /// Answers one request.
    async fn call(&self, peer: Peer, request: Request<Body>) -> Response<ResponseBody>;

    /// Returns what to say with `status` where no request could be read (4xx) or a call panicked (500).
    ///
    /// The status of the response itself and its length, date and connection fields are not used.
    fn refuse(&self, status: StatusCode) -> Response<Bytes>;
}

/// Why a server could not start.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// Certificate and key cannot be used.
    #[error("cannot offer TLS")]
    Tls(#[from] TlsError),
}

/// Reads certificate and key once, so that a mistake in them shows before anything is promised.
///
/// # Errors
///
/// When they cannot be used.
pub fn check_tls(files: &TlsFiles, limits: &Limits) -> Result<(), ConnectionError> {
    Identity::load(files.clone(), limits.tls_check)?;
    Ok(())
}

/// Serves connections until `shutdown`, then lets what is under way end.
///
/// On shutdown, no more connections are accepted and idle ones close. Requests under way have [`Limits::shutdown`] to
/// end, and are cut after it. On return, no task of this server is left. Dropping the future cuts everything.
///
/// # Errors
///
/// When TLS is wanted and the files cannot be used; nothing was accepted then.
pub async fn serve(
    listener: TcpListener,
    tls: Option<TlsFiles>,
    limits: Limits,
    gauges: Gauges,
    service: Arc<dyn Service>,
    shutdown: CancellationToken,
) -> Result<(), ConnectionError> {
    let identity = tls.map(|files| Identity::load(files, limits.tls_check)).transpose()?;
    let server = Arc::new(Server {
        budget: Budget::new(limits.budget_bytes, limits.window_bytes, gauges.clone()),
        crowd: Arc::new(Crowd::new(limits.connections)),
        identity,
        limits,
        gauges,
        service,
        shutdown,
        cut: CancellationToken::new(),
        tasks: TaskTracker::new(),
    });
    let _cut_when_dropped = server.cut.clone().drop_guard();
    accept::run(&server, listener).await;
    server.end().await;
    Ok(())
}

/// What all connections of one server share.
struct Server {
    identity: Option<Identity>,
    limits: Limits,
    budget: Budget,
    crowd: Arc<Crowd>,
    gauges: Gauges,
    service: Arc<dyn Service>,
    /// Asks for an end.
    shutdown: CancellationToken,
    /// Makes an end.
    cut: CancellationToken,
    /// Connections and calls.
    tasks: TaskTracker,
}

impl Server {
    async fn end(&self) {
        self.tasks.close();
        if timeout(self.limits.shutdown, self.tasks.wait()).await.is_err() {
            tracing::warn!(connections = self.gauges.open(), "cut what did not end in time");
            self.cut.cancel();
            self.tasks.wait().await;
        }
    }
}
