//! One connection from its first byte to its last.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::exchange;
use super::limits::{HEAD_BYTES, HEADER_FIELDS, Limits};
use super::line::{Line, Phase};
use super::wire::{Stream, Wire};
use super::{Peer, Server};

/// Serves one connection until it closes.
pub(crate) async fn run(
    server: Arc<Server>,
    line: Arc<Line>,
    stream: TcpStream,
    address: SocketAddr,
) {
    tune(&stream, server.limits.window_bytes);
    let Some(stream) = secure(&server, stream).await else {
        server.gauges.refuse();
        return;
    };
    let peer = Peer { address, secure: matches!(stream, Stream::Secure(_)) };
    let mut wire = talk(&server, &line, stream, peer).await;
    if let Some(wire) = &mut wire {
        line.enter(Phase::Waiting);
        let rest = wire.discard(server.limits.drain_bytes);
        // Whatever comes of it, the connection is closed now.
        let _ended = timeout(server.limits.drain_time, rest).await;
    }
}

/// Sets up a socket. One that refuses this works as well, only slower or with more memory.
fn tune(stream: &TcpStream, window: usize) {
    let socket = SockRef::from(stream);
    // Small answers must not wait for the acknowledgement of earlier ones.
    let _slower = socket.set_tcp_nodelay(true);
    // The system would take megabytes for a client that reads slowly, and for minutes nothing could be seen to move.
    #[cfg(target_os = "linux")]
    let _larger = socket.set_tcp_notsent_lowat(u32::try_from(window).unwrap_or(u32::MAX));
    #[cfg(not(target_os = "linux"))]
    let _ = window;
}

/// Does the TLS handshake, if there is to be one. None if it failed, took too long, or the server is to end.
async fn secure(server: &Server, stream: TcpStream) -> Option<Stream> {
    let Some(identity) = &server.identity else { return Some(Stream::Plain(stream)) };
    let handshake = TlsAcceptor::from(identity.config()).accept(stream);
    let handshake = timeout(server.limits.tls_handshake, handshake);
    let stream = server.shutdown.run_until_cancelled(handshake).await?.ok()?.ok()?;
    Some(Stream::Secure(Box::new(stream)))
}

/// Serves requests. Returns the wire if the client may still be sending on it.
async fn talk(server: &Arc<Server>, line: &Arc<Line>, stream: Stream, peer: Peer) -> Option<Wire> {
    let service = Arc::clone(&server.service);
    let wire = Wire::new(stream, Arc::clone(line), &server.limits, service, server.gauges.clone());
    let requests =
        service_fn(|request| exchange::begin(Arc::clone(server), Arc::clone(line), peer, request));
    let mut connection = builder(&server.limits).serve_connection(TokioIo::new(wire), requests);
    let mut pinned = Pin::new(&mut connection);
    let ended = tokio::select! {
        ended = pinned.as_mut() => ended,
        () = server.shutdown.cancelled() => {
            pinned.as_mut().graceful_shutdown();
            pinned.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = &error as &dyn std::error::Error, peer = %peer.address, "a connection broke");
    }
    line.is_unread().then(|| connection.into_parts().io.into_inner())
}

fn builder(limits: &Limits) -> Builder {
    let mut builder = Builder::new();
    builder
        .timer(TokioTimer::new())
        // Only for a head that came together with the request before it; all others are timed by the wire.
        .header_read_timeout(limits.idle.max(limits.header))
        // Who has sent everything may close its side and still gets the answer.
        .half_close(true)
        .max_headers(HEADER_FIELDS)
        .max_header_size(HEAD_BYTES)
        .max_buf_size(limits.window_bytes.max(HEAD_BYTES));
    builder
}
