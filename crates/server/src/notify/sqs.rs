//! Queues of Amazon SQS, or of a service that speaks its protocol ("SendMessage", Amazon SQS API reference).
//!
//! A queue gets the envelope, as from a topic of SNS without raw delivery, so that what reads such queues reads this one.

use async_trait::async_trait;
use aws_sdk_sqs::{Client, config::Builder};

use super::{
    aws::Aws,
    channel::{Channel, Undelivered},
    envelope::Message,
    signer::Signing,
};

/// One queue.
pub(super) struct Sqs<'a> {
    pub(super) aws: &'a Aws,
    pub(super) signing: &'a Signing,
    pub(super) base: &'a str,
    pub(super) queue_url: &'a str,
    pub(super) region: &'a str,
    pub(super) endpoint_url: Option<&'a str>,
}

#[async_trait]
impl Channel for Sqs<'_> {
    async fn deliver(&self, message: &Message) -> Result<(), Undelivered> {
        let endpoint = self.aws.guard().url(self.endpoint_url.unwrap_or(self.queue_url));
        let endpoint = endpoint.map_err(|barred| Undelivered::unreachable(&barred))?;
        let signer =
            self.signing.signer().await.map_err(|error| Undelivered::unreachable(&error))?;
        let envelope = message.envelope(self.base, signer);
        let envelope = envelope.map_err(|error| Undelivered::unreachable(&error))?;
        let config = self.aws.config(self.region).await;
        // A queue's URL has a path that is no part of the service's address.
        let endpoint = endpoint.origin().ascii_serialization();
        let config = Builder::from(&config).endpoint_url(endpoint).build();
        let send = Client::from_conf(config).send_message();
        match send.queue_url(self.queue_url).message_body(envelope).send().await {
            Ok(_) => Ok(()),
            Err(error) if error.as_service_error().is_some() => Err(Undelivered::refused(&error)),
            Err(error) => Err(Undelivered::unreachable(&error)),
        }
    }
}
