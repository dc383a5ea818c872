//! What an operator may tune about the service: plain data, read once.

use std::{
    num::{NonZeroU32, NonZeroU64},
    time::Duration,
};

use crate::{
    connection::{Limits, TlsFiles},
    notify::NotifySettings,
};

/// Settings of a [`Server`](crate::Server).
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// Limits of connections and bodies.
    pub limits: Limits,
    /// Certificate and key; `None` serves plain HTTP, to be used on a loopback address or behind a proxy.
    pub tls: Option<TlsFiles>,
    /// How far the time of a signature may be from now, either way. Default: 5 minutes.
    pub skew: Duration,
    /// Whether a signature must be made for the service `glacier` and the store's region. Off by default: clients that
    /// derive both from the host name sign for nonsense when the host is not called `glacier.REGION.amazonaws.com`.
    pub strict_scope: bool,
    /// Whether only hosts are answered that no page in a browser can have: for a server whose key everybody knows. Off by
    /// default.
    pub local_hosts_only: bool,
    /// Where clients reach the service, if not at the address it listens on; for what is told to people and to
    /// subscribers of topics.
    pub public_url: Option<String>,
    /// Longest body of a request that is not an archive or a part. Default: 1 MiB.
    pub max_json_bytes: usize,
    /// Requests per second that one account may make, twice that at once. Default: any number.
    pub requests_per_second: Option<NonZeroU32>,
    /// How often what has expired is removed. Default: 10 minutes.
    pub housekeeping_interval: Duration,
    /// Bytes per second that the scrub in the background reads at most; `None` is no scrub. Default: 20 MiB.
    pub scrub_bytes_per_second: Option<NonZeroU64>,
    /// Bytes per second that compaction in the background reads at most; `None` compacts only when the owner asks for it.
    /// Default: 20 MiB.
    pub compaction_bytes_per_second: Option<NonZeroU64>,
    /// How notifications are delivered.
    pub notify: NotifySettings,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            tls: None,
            skew: Duration::from_mins(5),
            strict_scope: false,
            local_hosts_only: false,
            public_url: None,
            max_json_bytes: 1 << 20,
            requests_per_second: None,
            housekeeping_interval: Duration::from_mins(10),
            scrub_bytes_per_second: NonZeroU64::new(20 << 20),
            compaction_bytes_per_second: NonZeroU64::new(20 << 20),
            notify: NotifySettings::default(),
        }
    }
}
