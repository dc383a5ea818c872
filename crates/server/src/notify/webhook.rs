//! Web hooks: the envelope by POST, with the headers that SNS sends ("HTTP/HTTPS headers").
//!
//! Any status from 200 to 299 is a receipt. Redirects are not followed, because their target was never confirmed; proxies of
//! the environment are not used, because they would connect where the guard does not look. Of an answer only the head is
//! read.

use async_trait::async_trait;
use http::{StatusCode, header::CONTENT_TYPE};
use reqwest::{Client, redirect};

use super::{
    channel::{ATTEMPT, CONNECT, Channel, Undelivered},
    envelope::Message,
    guard::Guard,
    signer::Signing,
};

/// What the server calls itself.
const USER_AGENT: &str = concat!("icefield/", env!("CARGO_PKG_VERSION"));

/// Makes the client that all web hooks share.
pub(super) fn client(guard: &Guard) -> reqwest::Result<Client> {
    Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT)
        .timeout(ATTEMPT)
        .user_agent(USER_AGENT)
        .dns_resolver(guard.clone())
        .build()
}

/// One web hook.
pub(super) struct Webhook<'a> {
    pub(super) client: &'a Client,
    pub(super) guard: &'a Guard,
    pub(super) signing: &'a Signing,
    pub(super) base: &'a str,
    pub(super) url: &'a str,
}

#[async_trait]
impl Channel for Webhook<'_> {
    async fn deliver(&self, message: &Message) -> Result<(), Undelivered> {
        let url = self.guard.url(self.url).map_err(|barred| Undelivered::unreachable(&barred))?;
        let signer =
            self.signing.signer().await.map_err(|error| Undelivered::unreachable(&error))?;
        let envelope = message.envelope(self.base, signer);
        let envelope = envelope.map_err(|error| Undelivered::unreachable(&error))?;
        let mut request = self
            .client
            .post(url)
            .header(CONTENT_TYPE, "text/plain; charset=UTF-8")
            .header("x-amz-sns-message-type", message.content.kind())
            .header("x-amz-sns-message-id", &message.id)
            .header("x-amz-sns-topic-arn", message.topic.to_string());
        if message.is_notification() {
            let subscription = format!("{}:{}", message.topic, message.destination);
            request = request.header("x-amz-sns-subscription-arn", subscription);
        }
        let sent = request.body(envelope).send().await;
        // A URL may hold a password, and is known anyway.
        let answer = sent.map_err(|error| Undelivered::unreachable(&error.without_url()))?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                Err(Undelivered::unreachable(&Answered(status)))
            }
            status => Err(Undelivered::refused(&Answered(status))),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the web hook answered {0}")]
struct Answered(StatusCode);
