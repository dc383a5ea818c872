//! A server whose service is a closure, and a client that says exactly what it is told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use icefield_server::connection::{
    Body, BodyError, ConnectionError, Gauges, Limits, Peer, ResponseBody, Service, TlsFiles, serve,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Nothing here takes this long, unless it hangs.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// A limit that the tests wait for.
pub(super) const SHORT: Duration = Duration::from_millis(200);
/// A limit that no test reaches.
pub(super) const NEVER: Duration = Duration::from_secs(600);

/// Limits of which no time is ever reached.
pub(super) fn patient() -> Limits {
    Limits {
        header: NEVER,
        idle: NEVER,
        body_stall: NEVER,
        write_stall: NEVER,
        rate_window: NEVER,
        tls_handshake: NEVER,
        tls_check: Duration::ZERO,
        drain_time: NEVER,
        shutdown: NEVER,
        ..Limits::default()
    }
}

/// A service made of a closure.
pub(super) struct Closure<F>(pub(super) F);

#[async_trait]
impl<F, A> Service for Closure<F>
where
    F: Fn(Peer, Request<Body>) -> A + Send + Sync + 'static,
    A: Future<Output = Response<ResponseBody>> + Send,
{
    async fn call(&self, peer: Peer, request: Request<Body>) -> Response<ResponseBody> {
        (self.0)(peer, request).await
    }

    fn refuse(&self, status: StatusCode) -> Response<Bytes> {
        let body = Bytes::from(format!("refused with {}", status.as_u16()));
        Response::builder().header("x-refused", "yes").body(body).unwrap()
    }
}

/// A server under test.
pub(super) struct Running {
    pub(super) address: SocketAddr,
    pub(super) gauges: Gauges,
    pub(super) shutdown: CancellationToken,
    pub(super) task: JoinHandle<Result<(), ConnectionError>>,
}

pub(super) async fn start<F, A>(limits: Limits, service: F) -> Running
where
    F: Fn(Peer, Request<Body>) -> A + Send + Sync + 'static,
    A: Future<Output = Response<ResponseBody>> + Send + 'static,
{
    start_with(limits, None, service).await
}

pub(super) async fn start_with<F, A>(limits: Limits, tls: Option<TlsFiles>, service: F) -> Running
where
    F: Fn(Peer, Request<Body>) -> A + Send + Sync + 'static,
    A: Future<Output = Response<ResponseBody>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (gauges, shutdown) = (Gauges::default(), CancellationToken::new());
    let served =
        serve(listener, tls, limits, gauges.clone(), Arc::new(Closure(service)), shutdown.clone());
    Running { address, gauges, shutdown, task: tokio::spawn(served) }
}

impl Running {
    pub(super) async fn connect(&self) -> Raw<TcpStream> {
        Raw::new(TcpStream::connect(self.address).await.unwrap())
    }

    /// Waits for the server to have ended.
    pub(super) async fn ended(self) {
        timeout(PATIENCE, self.task).await.unwrap().unwrap().unwrap();
    }
}

/// Answers with `status` and a text.
pub(super) fn answer(status: u16, text: impl Into<Bytes>) -> Response<ResponseBody> {
    let body = Full::new(text.into()).map_err(|never| match never {}).boxed_unsync();
    Response::builder().status(status).body(body).unwrap()
}

/// A service that reads the body and says how long it was, or what was wrong with it.
pub(super) async fn measure(_: Peer, request: Request<Body>) -> Response<ResponseBody> {
    match length(&mut request.into_body()).await {
        Ok(length) => answer(200, length.to_string()),
        Err(error) => answer(408, format!("{error:?}").split('(').next().unwrap().to_owned()),
    }
}

pub(super) async fn length(body: &mut Body) -> Result<u64, BodyError> {
    let mut length = 0;
    while let Some(chunk) = body.chunk().await? {
        length += chunk.bytes.len() as u64;
    }
    Ok(length)
}

/// A client that writes and reads bytes.
pub(super) struct Raw<S> {
    pub(super) stream: S,
    /// Read, and not looked at yet.
    ahead: Vec<u8>,
}

/// What a server said.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The head in lower case.
    pub(super) head: String,
    pub(super) body: String,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, ahead: Vec::new() }
    }

    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        timeout(PATIENCE, self.stream.write_all(bytes.as_ref())).await.unwrap().unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Sends a request with a body.
    pub(super) async fn post(&mut self, body: &[u8]) {
        let head =
            format!("POST / HTTP/1.1\r\nhost: here\r\ncontent-length: {}\r\n\r\n", body.len());
        self.send([head.as_bytes(), body].concat()).await;
    }

    /// Sends a request without a body and returns the answer.
    pub(super) async fn get(&mut self) -> Answer {
        self.send("GET / HTTP/1.1\r\nhost: here\r\n\r\n").await;
        self.answer().await
    }

    /// Reads the next head, which ends with a blank line.
    pub(super) async fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.ahead.windows(4).position(|four| four == b"\r\n\r\n") {
                let rest = self.ahead.split_off(end + 4);
                let head = std::mem::replace(&mut self.ahead, rest);
                return String::from_utf8(head).unwrap().to_lowercase();
            }
            assert!(self.read_more().await > 0, "closed after {:?}", self.ahead);
        }
    }

    /// Reads the next answer, whose length has to be named.
    pub(super) async fn answer(&mut self) -> Answer {
        let head = self.head().await;
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse::<usize>().unwrap());
        while self.ahead.len() < length {
            assert!(self.read_more().await > 0, "closed in the body after {head}");
        }
        let rest = self.ahead.split_off(length);
        let body = std::mem::replace(&mut self.ahead, rest);
        Answer { status, head, body: String::from_utf8(body).unwrap() }
    }

    /// Waits for the server to close; nothing may come before. A reset is a close, too.
    pub(super) async fn closed(&mut self) {
        let mut rest = Vec::new();
        let _reset = timeout(PATIENCE, self.stream.read_to_end(&mut rest)).await.unwrap();
        self.ahead.extend_from_slice(&rest);
        assert!(self.ahead.is_empty(), "{:?}", String::from_utf8_lossy(&self.ahead));
    }

    async fn read_more(&mut self) -> usize {
        timeout(PATIENCE, self.stream.read_buf(&mut self.ahead)).await.unwrap().unwrap()
    }
}
