//! Notifications, delivered: what the engine has recorded in the outbox with the end of a job goes to the destinations of
//! the job's topics.
//!
//! ```text
//! engine::job ──> outbox (ledger) ──> worker ──> channel: webhook | email | sns | sqs ──> guard ──> network
//! ```
//!
//! The outbox is in the transaction that ends the job, so nothing is told of a job that may yet not have ended, and
//! nothing is forgotten by a crash. Every request goes through the guard, which knows where no message may go. Web hooks are
//! asked for their consent first, and answer at the addresses in `public`.

mod administration;
mod aws;
mod backoff;
mod channel;
mod counters;
mod email;
mod envelope;
mod guard;
mod public;
mod rest;
mod settings;
mod signer;
mod sns;
mod sqs;
mod webhook;
mod worker;

use icefield_engine::{Endpoint, Engine};
use reqwest::Client;

pub use administration::{dead_letters, forget, revive, test_message};
pub use counters::NotifyCounters;
pub use settings::{InvalidMail, MailSettings, NotifySettings};

use self::{
    aws::Aws,
    backoff::Backoff,
    channel::{Channel, Undelivered},
    email::Email,
    guard::Guard,
    rest::Resting,
    signer::Signing,
    sns::Sns,
    sqs::Sqs,
    webhook::Webhook,
};

/// Delivers the outbox of an engine.
#[derive(Debug)]
pub(crate) struct Notifier {
    engine: Engine,
    /// Where receivers reach this server, without a slash at the end.
    base: String,
    backoff: Backoff,
    mail: Option<MailSettings>,
    guard: Guard,
    /// None when the system has no certificates to trust: told with each delivery that needs it.
    client: Option<Client>,
    signing: Signing,
    aws: Aws,
    counters: NotifyCounters,
    resting: Resting,
}

impl Notifier {
    /// Makes ready; nothing is read or sent yet. `base` is where receivers reach this server.
    pub(crate) fn new(engine: Engine, base: &str, settings: NotifySettings) -> Self {
        let NotifySettings { allow, mail, first_retry, attempts } = settings;
        let guard = Guard::new(&allow);
        let client = webhook::client(&guard).inspect_err(|error| {
            tracing::error!(error = error as &dyn std::error::Error, "web hooks cannot be reached");
        });
        Self {
            base: base.trim_end_matches('/').to_owned(),
            backoff: Backoff { first: first_retry, attempts },
            mail,
            client: client.ok(),
            signing: Signing::new(engine.clone()),
            aws: Aws::new(guard.clone()),
            counters: NotifyCounters::default(),
            resting: Resting::default(),
            guard,
            engine,
        }
    }

    /// Returns what counts its deliveries.
    pub(crate) const fn counters(&self) -> &NotifyCounters {
        &self.counters
    }

    fn channel<'a>(&'a self, to: &'a Endpoint) -> Box<dyn Channel + 'a> {
        let (guard, signing, aws, base) = (&self.guard, &self.signing, &self.aws, &self.base);
        match to {
            Endpoint::Webhook { url } => match &self.client {
                Some(client) => Box::new(Webhook { client, guard, signing, base, url }),
                None => Box::new(Unavailable("the system has no certificates to trust")),
            },
            Endpoint::Email { to } => Box::new(Email { settings: self.mail.as_ref(), guard, to }),
            Endpoint::Sns { topic_arn, endpoint_url } => {
                Box::new(Sns { aws, topic_arn, endpoint_url: endpoint_url.as_deref() })
            }
            Endpoint::Sqs { queue_url, region, endpoint_url } => {
                let endpoint_url = endpoint_url.as_deref();
                Box::new(Sqs { aws, signing, base, queue_url, region, endpoint_url })
            }
        }
    }
}

/// A way that is closed.
struct Unavailable(&'static str);

#[async_trait::async_trait]
impl Channel for Unavailable {
    async fn deliver(&self, _: &envelope::Message) -> Result<(), Undelivered> {
        Err(Undelivered::because(self.0))
    }
}

#[cfg(test)]
mod tests;
