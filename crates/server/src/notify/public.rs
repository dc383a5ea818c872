//! The three addresses in a message that its receiver opens: to agree, to be left alone, to fetch the certificate.
//!
//! Whoever opens them has no key of the service; what they may do lies in the address, which only the destination was
//! told. They are GET only, and are looked for before operations are, none of which has such a path.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use bytes::Bytes;
use http::{Method, StatusCode, request::Parts};
use http_body_util::{BodyExt as _, Full};
use icefield_engine::EngineError;
use icefield_protocol::{ErrorCode, TopicArn};

use super::{
    Notifier,
    envelope::{certificate_path, is_certificate_path},
};
use crate::{error::ApiError, response::Reply, route::parameter};

const PEM: &str = "application/x-pem-file";
const XML: &str = "text/xml";

/// What is the same for a token that never was, one that was used, and a topic that is gone.
const NOT_FOUND: &str = "There is no such subscription.";

impl Notifier {
    /// Answers a request for one of these addresses; `None` for any other.
    pub(crate) async fn answer(&self, parts: &Parts) -> Option<Result<Reply, ApiError>> {
        if parts.method != Method::GET {
            return None;
        }
        let query = parts.uri.query().unwrap_or("");
        match parts.uri.path() {
            "/" => match parameter(query, "Action")?.as_str() {
                "ConfirmSubscription" => Some(self.confirm(query).await),
                "Unsubscribe" => Some(self.unsubscribe(query).await),
                _ => None,
            },
            path if is_certificate_path(path) => Some(self.certificate(path).await),
            _ => None,
        }
    }

    async fn confirm(&self, query: &str) -> Result<Reply, ApiError> {
        let topic = topic(&parameter(query, "TopicArn").unwrap_or_default())?;
        let token = parameter(query, "Token").unwrap_or_default();
        let confirmed = self.engine.confirm_destination(&topic, &token).await.map_err(refusal)?;
        tracing::info!(%topic, destination = confirmed.id, "a web hook has agreed");
        Ok(answer("ConfirmSubscription", Some(&format!("{topic}:{}", confirmed.id))))
    }

    async fn unsubscribe(&self, query: &str) -> Result<Reply, ApiError> {
        let subscription = parameter(query, "SubscriptionArn").unwrap_or_default();
        let (arn, id) = subscription.rsplit_once(':').ok_or_else(not_found)?;
        let arn = topic(arn)?;
        let found = self.engine.topic(&arn).await?.ok_or_else(not_found)?;
        let mut ids = found.destinations.iter().map(|destination| &destination.id);
        let same =
            |known: &&String| verify_slices_are_equal(known.as_bytes(), id.as_bytes()).is_ok();
        let id = ids.find(same).ok_or_else(not_found)?;
        self.engine.remove_topic(&arn.account, &arn.name, Some(id)).await.map_err(refusal)?;
        tracing::info!(topic = %arn, destination = id, "a destination has unsubscribed");
        Ok(answer("Unsubscribe", None))
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
