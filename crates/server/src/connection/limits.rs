//! Every limit of a connection, in one value.

use std::time::Duration;

/// Bytes of a request's head (request line and header fields): far above what any client sends, and little enough for
/// thousands of heads that never end.
pub(crate) const HEAD_BYTES: usize = 16 << 10;

/// Header fields of one request.
pub(crate) const HEADER_FIELDS: usize = 100;

/// What a connection may take, in time and in bytes.
///
/// The times that wait for a client run only while the client is waited for: a slow store is not held against it.
#[derive(Debug, Clone)]
pub struct Limits {
    /// From the first byte of a request (on a new connection: from its begin) to the end of its head. Default: 20 s.
    pub header: Duration,
    /// How long a connection is kept between two requests. Default: 75 s, longer than the pools of clients keep theirs.
    pub idle: Duration,
    /// How long a body may pause. Default: 20 s.
    pub body_stall: Duration,
    /// How long a client may take nothing of a response. Default: 20 s.
    pub write_stall: Duration,
    /// Least number of bytes that has to pass, in either direction, in each [`rate_window`](Self::rate_window) of waiting
    /// for the client, unless the body ends. Default: 32 KiB.
    pub rate_bytes: u64,
    /// See [`rate_bytes`](Self::rate_bytes). Default: 30 s.
    pub rate_window: Duration,
    /// From the head of a request to the end of its body, however fast it comes. Default: none.
    pub body_total: Option<Duration>,
    /// From the begin of a connection to the end of its TLS handshake. Default: 10 s.
    pub tls_handshake: Duration,
    /// How often, at most, the files of certificate and key are looked at for a change. Default: 10 s.
    pub tls_check: Duration,
    /// Connections open at any time. For one more, the one that has been idle longest is closed; if all have requests
    /// under way, it waits. Default: 8,192.
    pub connections: usize,
    /// Bytes of request bodies that all connections together may hold beyond one window each. Default: 64 MiB.
    pub budget_bytes: usize,
    /// Bytes of a body that a connection may always hold, and the most that one chunk holds. Default: 256 KiB.
    pub window_bytes: usize,
    /// Bytes of a body nobody wants that are still read after the response, so that the client gets to read it. Default:
    /// 1 MiB.
    pub drain_bytes: u64,
    /// How long such bytes are waited for. Default: 2 s.
    pub drain_time: Duration,
    /// From the begin of a shutdown until what is still under way is cut. Default: 30 s.
    pub shutdown: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header: Duration::from_secs(20),
            idle: Duration::from_secs(75),
            body_stall: Duration::from_secs(20),
            write_stall: Duration::from_secs(20),
            rate_bytes: 32 << 10,
            rate_window: Duration::from_secs(30),
            body_total: None,
            tls_handshake: Duration::from_secs(10),
            tls_check: Duration::from_secs(10),
            connections: 8192,
            budget_bytes: 64 << 20,
            window_bytes: 256 << 10,
            drain_bytes: 1 << 20,
            drain_time: Duration::from_secs(2),
            shutdown: Duration::from_secs(30),
        }
    }
}
