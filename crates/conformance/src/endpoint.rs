//! What the suite is run against, and with whose keys.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use icefield_protocol::Clock;

/// A key of the endpoint.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The access key ID.
    pub access_key: String,
    /// The secret.
    pub secret: String,
    /// The session token of a temporary key.
    pub token: Option<String>,
}

impl Credentials {
    /// Returns a permanent key.
    pub fn new(access_key: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { access_key: access_key.into(), secret: secret.into(), token: None }
    }
}

/// An endpoint that speaks Glacier over plain HTTP.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// `host:port`.
    pub authority: String,
    /// The region that requests are signed for.
    pub region: String,
    /// A key that may do everything in its account.
    pub owner: Credentials,
    /// A key of a user of the same account whom no policy allows anything.
    pub user: Option<Credentials>,
    /// A key that may do everything in another account.
    pub other: Option<Credentials>,
    /// A temporary key of the owner.
    pub session: Option<Credentials>,
    /// Whether nobody else uses the account, so that settings of the whole account may be changed.
    pub own_account: bool,
    /// Whether every answer is also held against what all answers have in common; without, only against its case.
    pub strict: bool,
}

/// What a server of a [`Laboratory`] does; all times are those of its own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setup {
    /// Retrievals are ready at once, the inventory is always current.
    Immediate,
    /// Inventories once a day; retrievals take a minute (expedited), four hours (standard), eight hours (bulk).
    LikeTheService,
    /// As `Immediate`, but expedited retrievals need provisioned capacity.
    CapacityNeeded,
}

/// Starts servers of the kind under test, one for each case that turns the clock or fills an account.
#[async_trait]
pub trait Laboratory: Send + Sync + std::fmt::Debug {
    /// Starts a server of its own, empty, with a clock of its own.
    async fn open(&self, setup: Setup) -> Result<Box<dyn Bench>, String>;
}

/// A server of a [`Laboratory`]; dropping it ends it.
#[async_trait]
pub trait Bench: Send + Sync + std::fmt::Debug {
    /// Where it is.
    fn endpoint(&self) -> Endpoint;
    /// Its clock.
    fn clock(&self) -> Arc<dyn Clock>;
    /// Moves its clock forward and lets it do what is due by then.
    async fn advance(&self, step: Duration);
}
