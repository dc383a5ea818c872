//! The three addresses in a message that its receiver opens: to agree, to be left alone, to fetch the certificate.
//!
//! Whoever opens them has no key of the service; what they may do lies in the address, which only the destination was
//! told. They are GET only, and are looked for before operations are, none of which has such a path.
//!
//! Looking at an address comes apart from doing what it says: only one that is good is told of in the audit log, which
//! could otherwise be filled by anybody, and it is told of before anything is done.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use bytes::Bytes;
use http::{Method, StatusCode, request::Parts};
use http_body_util::{BodyExt as _, Full};
use icefield_engine::{Destination, EngineError};
use icefield_protocol::{ErrorCode, TopicArn};

use super::{
    Notifier,
    envelope::{certificate_path, is_certificate_path},
};
use crate::{error::ApiError, response::Reply, route::parameter};

const PEM: &str = "application/x-pem-file";
const XML: &str = "text/xml";

const CONFIRM: &str = "ConfirmSubscription";
const UNSUBSCRIBE: &str = "Unsubscribe";

/// What is the same for a token that never was, one that was used, and a topic that is gone.
const NOT_FOUND: &str = "There is no such subscription.";

/// One of these addresses, with all that has to be known to open it.
#[derive(Debug)]
pub(crate) enum Opened {
    /// The certificate of this path.
    Certificate(String),
    /// The token that a web hook agrees with.
    Confirm { topic: TopicArn, token: String },
    /// The destination that wants to be left alone.
    Unsubscribe { topic: TopicArn, id: String },
}

impl Opened {
    /// Returns what it changes, if it does: the action and its topic.
    pub(crate) fn change(&self) -> Option<(&'static str, &TopicArn)> {
        match self {
            Self::Certificate(_) => None,
            Self::Confirm { topic, .. } => Some((CONFIRM, topic)),
            Self::Unsubscribe { topic, .. } => Some((UNSUBSCRIBE, topic)),
        }
    }
}

impl Notifier {
    /// Looks at a request for one of these addresses; `None` for any other. Changes nothing.
    pub(crate) async fn opened(&self, parts: &Parts) -> Option<Result<Opened, ApiError>> {
        if parts.method != Method::GET {
            return None;
        }
        let query = parts.uri.query().unwrap_or("");
        match parts.uri.path() {
            "/" => match parameter(query, "Action")?.as_str() {
                CONFIRM => Some(self.confirmed(query).await),
                UNSUBSCRIBE => Some(self.unsubscribed(query).await),
                _ => None,
            },
            path if is_certificate_path(path) => Some(Ok(Opened::Certificate(path.to_owned()))),
            _ => None,
        }
    }

    /// Does what the address is for.
    pub(crate) async fn answer(&self, opened: Opened) -> Result<Reply, ApiError> {
        match opened {
            Opened::Certificate(path) => self.certificate(&path).await,
            Opened::Confirm { topic, token } => self.confirm(&topic, &token).await,
            Opened::Unsubscribe { topic, id } => self.unsubscribe(&topic, &id).await,
        }
    }

    async fn confirmed(&self, query: &str) -> Result<Opened, ApiError> {
        let topic = topic(&parameter(query, "TopicArn").unwrap_or_default())?;
        let token = parameter(query, "Token").unwrap_or_default();
        let waits = |known: &Destination| {
            known.unconfirmed.as_deref().is_some_and(|kept| is_same(kept, &token))
        };
        self.meant(&topic, waits).await?;
        Ok(Opened::Confirm { topic, token })
    }

    async fn unsubscribed(&self, query: &str) -> Result<Opened, ApiError> {
        let subscription = parameter(query, "SubscriptionArn").unwrap_or_default();
        let (arn, id) = subscription.rsplit_once(':').ok_or_else(not_found)?;
        let topic = topic(arn)?;
        let found = self.meant(&topic, |known| is_same(&known.id, id)).await?;
        Ok(Opened::Unsubscribe { topic, id: found.id })
    }

    async fn meant(
        &self,
        topic: &TopicArn,
        is_meant: impl Fn(&Destination) -> bool,
    ) -> Result<Destination, ApiError> {
        let found = self.engine.topic(topic).await?.ok_or_else(not_found)?;
        found.destinations.into_iter().find(is_meant).ok_or_else(not_found)
    }

    async fn confirm(&self, topic: &TopicArn, token: &str) -> Result<Reply, ApiError> {
        let confirmed = self.engine.confirm_destination(topic, token).await.map_err(refusal)?;
        tracing::info!(%topic, destination = confirmed.id, "a web hook has agreed");
        Ok(answer(CONFIRM, Some(&format!("{topic}:{}", confirmed.id))))
    }

    async fn unsubscribe(&self, topic: &TopicArn, id: &str) -> Result<Reply, ApiError> {
        self.engine.remove_topic(&topic.account, &topic.name, Some(id)).await.map_err(refusal)?;
        tracing::info!(%topic, destination = id, "a destination has unsubscribed");
        Ok(answer(UNSUBSCRIBE, None))
    }

    async fn certificate(&self, path: &str) -> Result<Reply, ApiError> {
        let signer = self.signing.signer().await;
        let signer =
            signer.map_err(|error| ApiError::internal("opening the signing key", error))?;
        if path != certificate_path(&signer.name) {
            return Err(ApiError::new(
                ErrorCode::ResourceNotFound,
                "There is no such certificate.",
            ));
        }
        Ok(reply(PEM, signer.certificate.clone()))
    }
}

fn is_same(known: &str, given: &str) -> bool {
    verify_slices_are_equal(known.as_bytes(), given.as_bytes()).is_ok()
}

fn topic(text: &str) -> Result<TopicArn, ApiError> {
    text.parse().map_err(|_| not_found())
}

fn not_found() -> ApiError {
    ApiError::new(ErrorCode::ResourceNotFound, NOT_FOUND)
}

fn refusal(error: EngineError) -> ApiError {
    if matches!(error, EngineError::TopicNotFound(_)) { not_found() } else { error.into() }
}

/// The answer to an action ("Unsubscribe", "ConfirmSubscription", Amazon SNS API reference). No character of an ARN has to
/// be escaped in XML.
fn answer(action: &str, subscription: Option<&str>) -> Reply {
    let result = subscription.map(|arn| {
        format!("<{action}Result><SubscriptionArn>{arn}</SubscriptionArn></{action}Result>")
    });
    let result = result.unwrap_or_default();
    let text = format!(
        r#"<{action}Response xmlns="http://sns.amazonaws.com/doc/2010-03-31/">{result}</{action}Response>"#
    );
    reply(XML, text)
}

fn reply(content_type: &'static str, text: String) -> Reply {
    let (length, body) = (text.len() as u64, Full::new(Bytes::from(text)));
    let body = body.map_err(|never| match never {}).boxed_unsync();
    Reply::stream(StatusCode::OK, length, content_type, body)
}
