//! Topics of Amazon SNS, or of a service that speaks its protocol ("Publish", Amazon SNS API reference).
//!
//! The message is what the service itself would publish: the job, without a subject. Envelope and signature are the other
//! service's.

use async_trait::async_trait;
use aws_sdk_sns::{Client, config::Builder};
use icefield_protocol::TopicArn;

use super::{
    aws::Aws,
    channel::{Channel, Undelivered},
    envelope::{Content, Message},
};

/// One topic elsewhere.
pub(super) struct Sns<'a> {
    pub(super) aws: &'a Aws,
    pub(super) topic_arn: &'a str,
    pub(super) endpoint_url: Option<&'a str>,
}

#[async_trait]
impl Channel for Sns<'_> {
    async fn deliver(&self, message: &Message) -> Result<(), Undelivered> {
        let Content::Notification(text) = &message.content else { return Ok(()) };
        let topic = self.topic_arn.parse::<TopicArn>();
        let topic = topic.map_err(|error| Undelivered::unreachable(&error))?;
        let config = self.aws.config(topic.region.as_str()).await;
        let mut config = Builder::from(&config);
        if let Some(url) = self.endpoint_url {
            let url =
                self.aws.guard().url(url).map_err(|barred| Undelivered::unreachable(&barred))?;
            config = config.endpoint_url(url);
        }
        let publish = Client::from_conf(config.build()).publish();
        match publish.topic_arn(self.topic_arn).message(text).send().await {
            Ok(_) => Ok(()),
            Err(error) if error.as_service_error().is_some() => Err(Undelivered::refused(&error)),
            Err(error) => Err(Undelivered::unreachable(&error)),
        }
    }
}
