//! The vault API, version 2012-06-01: Amazon Glacier, or any server that speaks it.
//!
//! ```text
//! VaultApi > request (path, headers, what a repeat means) > call (sign, send, judge, repeat) > transport
//!            payload (hashed once, from its source)          lanes (how many at once)
//! ```
//!
//! A body is hashed once, both ways in one pass: the linear hash signs the request, the tree hash goes along, and both
//! are kept for every repeat. Short bodies stay in memory between hashing and sending, within one budget for all;
//! longer ones are read again from their source, so that memory does not depend on the size of a part.
//!
//! What cannot be repeated blindly is looked up when its answer was lost: a job in the list of jobs, a begun upload in
//! the list of uploads, a completed upload by asking for its parts. Where the service answers a repeated upload token
//! with the first result (icefield does) puts and initiations are simply repeated.

mod administration;
mod answers;
mod call;
mod jobs;
mod lanes;
mod output;
mod payload;
mod place;
mod queue;
mod refusal;
mod request;
mod target;
mod uploads;

use std::{
    collections::HashSet,
    fmt,
    num::NonZeroUsize,
    sync::{Arc, Mutex, OnceLock, Weak},
    time::Duration,
};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use icefield_protocol::{AccountId, Clock, Region, UploadId};
use icefield_treehash::HashPool;
use tokio::sync::Semaphore;

use self::lanes::Lanes;
use crate::{
    events::Events,
    retry::{Retry, RetryPolicy},
    target::is_amazons,
    transport::{Transport, TransportOptions},
};

use self::place::Known;

pub use place::LearnError;
pub use queue::Queue;

/// Bytes of bodies that are kept between hashing and sending, over all of them.
const HELD_BUDGET_BYTES: usize = 48 << 20;

/// Bodies in transfer at a time to begin with.
const FIRST_LANES: NonZeroUsize = NonZeroUsize::new(4).expect("4 is not 0");

/// The most that measuring can lead to, unless another number is asked for.
const LANES: NonZeroUsize = NonZeroUsize::new(8).expect("8 is not 0");

/// Where a service is and who asks.
#[derive(Clone)]
pub struct ApiOptions {
    /// The endpoint, `https://host:port`; none is Amazon's for the region.
    pub endpoint: Option<String>,
    /// The region that is signed for.
    pub region: Region,
    /// Who signs.
    pub credentials: SharedCredentialsProvider,
    /// How connections are made.
    pub transport: TransportOptions,
    /// When requests are repeated.
    pub retry: RetryPolicy,
    /// Hashes what is sent and received.
    pub hashing: HashPool,
    /// Told when a service has to be waited for.
    pub events: Arc<dyn Events>,
    /// Tells the time for signatures.
    pub clock: Arc<dyn Clock>,
    /// Whether Amazon charges for what is done, although the endpoint is not its own.
    pub is_billed: bool,
    /// Tells that jobs have ended, in place of asking again and again.
    pub queue: Option<Queue>,
}

impl fmt::Debug for ApiOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiOptions")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

/// A service that speaks the vault API, as one account sees it.
pub struct VaultApi {
    /// `https://host:port`, without a path.
    endpoint: String,
    /// What the request is signed for as its host.
    host: String,
    region: Region,
    is_amazon: bool,
    is_billed: bool,
    /// What was learnt of it.
    known: OnceLock<Known>,
    /// What it is called before that.
    stranger: String,
    /// Outputs outlive the call that opens them.
    me: Weak<Self>,
    credentials: SharedCredentialsProvider,
    /// The credentials in use.
    held: Mutex<Option<Credentials>>,
    transport: Transport,
    retry: Retry,
    lanes: Lanes,
    hashing: HashPool,
    budget: Arc<Semaphore>,
    clock: Arc<dyn Clock>,
    queue: Option<Queue>,
    /// Uploads that were found again after their answer was lost: each belongs to one caller.
    found: Mutex<HashSet<UploadId>>,
    /// Waits since a job was last found done.
    waits: Mutex<u32>,
}

impl fmt::Debug for VaultApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VaultApi")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("known", &self.known.get())
            .finish_non_exhaustive()
    }
}

/// The options do not make a service that can be asked.
#[derive(Debug, thiserror::Error)]
pub enum InvalidEndpoint {
    /// The endpoint is no address.
    #[error("{0:?} is not an endpoint: it is written https://HOST or https://HOST:PORT")]
    Address(String),
    /// No connection could be prepared.
    #[error("connections to {endpoint} cannot be made: {why}")]
    Transport {
        /// The endpoint.
        endpoint: String,
        /// Why.
        why: String,
    },
}

impl VaultApi {
    /// Prepares a service; nothing is asked yet. See [`VaultApi::learn`].
    ///
    /// # Errors
    ///
    /// When the endpoint is no address, or no TLS can be had.
    pub fn new(options: ApiOptions) -> Result<Arc<Self>, InvalidEndpoint> {
        let is_amazon = options.endpoint.is_none();
        let endpoint = options.endpoint.unwrap_or_else(|| amazon(&options.region));
        let (endpoint, host) = split(&endpoint)?;
        let transport = Transport::new(&options.transport)
            .map_err(|why| InvalidEndpoint::Transport { endpoint: endpoint.clone(), why })?;
        let stranger = identity(&endpoint, &options.region, None);
        Ok(Arc::new_cyclic(|me| Self {
            is_amazon: is_amazon || is_amazons(&endpoint),
            endpoint,
            host,
            region: options.region,
            is_billed: options.is_billed,
            known: OnceLock::new(),
            stranger,
            me: Weak::clone(me),
            credentials: options.credentials,
            held: Mutex::new(None),
            transport,
            retry: Retry::new(options.retry, options.events),
            lanes: Lanes::new(FIRST_LANES, LANES),
            hashing: options.hashing,
            budget: Arc::new(Semaphore::new(HELD_BUDGET_BYTES)),
            clock: options.clock,
            queue: options.queue,
            found: Mutex::default(),
            waits: Mutex::new(0),
        }))
    }

    /// Returns the endpoint, `https://host:port`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Returns the region that is signed for.
    pub fn region(&self) -> &Region {
        &self.region
    }

    fn keeps_tokens(&self) -> bool {
        self.known.get().is_some_and(|known| known.place.keeps_tokens)
    }

    /// How old an inventory may be, so that what came before is in it for sure.
    ///
    /// Amazon renews inventories once a day, and not to the minute. icefield's have everything up to their date, which
    /// only the two clocks may disagree about.
    fn lag(&self) -> Duration {
        if self.keeps_tokens() { Duration::from_mins(10) } else { Duration::from_hours(48) }
    }
}

/// What the catalog knows a service by.
fn identity(endpoint: &str, region: &Region, account: Option<&AccountId>) -> String {
    let account = account.map_or("-", AccountId::as_str);
    format!("vault-api:{endpoint}|{region}|{account}")
}

/// Amazon's endpoint for a region ("Regions and Endpoints").
fn amazon(region: &Region) -> String {
    let domain =
        if region.as_str().starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("https://glacier.{region}.{domain}")
}

/// Refuses what is no endpoint, before anything relies on it.
///
/// # Errors
///
/// When it is not `https://host` or `http://host`, with a port or without; a name or password does not belong there.
pub fn check_endpoint(endpoint: &str) -> Result<(), InvalidEndpoint> {
    split(endpoint).map(|_| ())
}

/// Splits an endpoint into itself without a path, and the host that is signed.
fn split(endpoint: &str) -> Result<(String, String), InvalidEndpoint> {
    let refused = || InvalidEndpoint::Address(endpoint.to_owned());
    let uri: http::Uri = endpoint.trim().parse().map_err(|_| refused())?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(refused());
    };
    let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
    if !matches!(scheme, "http" | "https") || !is_bare || authority.as_str().contains('@') {
        return Err(refused());
    }
    // The port that a scheme implies is not part of the host that is sent.
    let host = match (scheme, authority.port_u16()) {
        ("https", Some(443)) | ("http", Some(80)) => authority.host(),
        _ => authority.as_str(),
    };
    Ok((format!("{scheme}://{host}"), host.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn an_endpoint_is_a_scheme_and_a_host() {
        for (text, endpoint, host) in [
            (
                "https://cold.lab.example:9440",
                "https://cold.lab.example:9440",
                "cold.lab.example:9440",
            ),
            ("http://127.0.0.1:9440/", "http://127.0.0.1:9440", "127.0.0.1:9440"),
            ("https://a.example:443", "https://a.example", "a.example"),
            ("http://[::1]:80", "http://[::1]", "[::1]"),
        ] {
            assert_eq!(split(text).unwrap(), (endpoint.to_owned(), host.to_owned()), "{text}");
        }
        for bad in ["", "host", "ftp://x", "https://", "https://x/path", "https://u:p@x", "x:1"] {
            assert!(split(bad).is_err(), "{bad}");
        }
    }
}
