//! The listener of those who watch: three paths, GET only, plain HTTP, limits of its own.
//!
//! It shares nothing with the clients' listener, so it answers when that one is full.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    Method, Request, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::monitor::Monitor;

/// Connections at once; one more is closed.
const MAX_CONNECTIONS: usize = 32;
/// How long a connection may take, from its first byte to its last; each has one request.
const TIME: Duration = Duration::from_secs(30);
/// Longest head of a request.
const HEAD_BYTES: usize = 8 << 10;
/// How long to wait when no connection can be accepted.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Answers until the end.
pub(crate) async fn serve(listener: TcpListener, monitor: Arc<Monitor>, stop: CancellationToken) {
    let tasks = TaskTracker::new();
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, _)) if tasks.len() < MAX_CONNECTIONS => {
                let (monitor, stop) = (Arc::clone(&monitor), stop.clone());
                tasks.spawn(async move {
                    // Either way nobody is left to be told.
                    let _ended =
                        stop.run_until_cancelled(timeout(TIME, talk(stream, monitor))).await;
                });
            }
            Ok((stream, _)) => drop(stream),
            Err(error) => {
                tracing::warn!(%error, "the listener of the metrics");
                let _stopped = timeout(AFTER_FAILURE, stop.cancelled()).await;
            }
        }
    }
    tasks.close();
    tasks.wait().await;
}

async fn talk(stream: TcpStream, monitor: Arc<Monitor>) {
    let service = service_fn(|request| {
        let monitor = Arc::clone(&monitor);
        async move { Ok::<_, Infallible>(answer(&monitor, &request).await) }
    });
    let mut http = http1::Builder::new();
    http.keep_alive(false).max_buf_size(HEAD_BYTES);
    if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection to the metrics broke");
    }
}

async fn answer(monitor: &Monitor, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
    const JSON: &str = "application/json";
    if request.method() != Method::GET {
        let mut response = with(StatusCode::METHOD_NOT_ALLOWED, JSON, String::new());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
        return response;
    }
    match request.uri().path() {
        "/metrics" => with(StatusCode::OK, TEXT, monitor.metrics().await),
        "/health/live" => with(StatusCode::OK, JSON, r#"{"live":true}"#.to_owned()),
        "/health/ready" => match monitor.unready().await {
            None => with(StatusCode::OK, JSON, r#"{"ready":true}"#.to_owned()),
            Some(reason) => {
                let text = serde_json::json!({ "ready": false, "reason": reason }).to_string();
                with(StatusCode::SERVICE_UNAVAILABLE, JSON, text)
            }
        },
        _ => with(StatusCode::NOT_FOUND, JSON, String::new()),
    }
}

fn with(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
