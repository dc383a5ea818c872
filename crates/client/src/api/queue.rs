//! Waiting for a job by a queue that the vault's notifications are sent to, in place of asking again and again.
//!
//! A vault tells an SNS topic that a job has ended, and the topic an SQS queue. A message is a hint to look, no more: what
//! is true is what the service says of the job. So a message of this vault is taken from the queue as soon as it has
//! woken us, one of another vault is left for whoever waits for it, and without any the job is looked at all the same.

use std::time::Duration;

use aws_sdk_sqs::{Client, types::Message};
use icefield_protocol::{VaultArn, VaultName};
use serde::Deserialize;

/// How long one request to the queue waits for a message; the most there is.
const LONG_POLL: Duration = Duration::from_secs(20);

/// Messages of one request; the most there is.
const MESSAGES: i32 = 10;

/// A queue that vaults tell of ended jobs.
#[derive(Debug, Clone)]
pub struct Queue {
    /// Speaks to it.
    pub client: Client,
    /// Its URL.
    pub url: String,
}

/// The envelope of SNS; a topic with raw delivery sends its content alone.
#[derive(Debug, Deserialize)]
struct Envelope {
    #[serde(rename = "Message")]
    message: String,
}

#[derive(Debug, Deserialize)]
struct Ended {
    #[serde(rename = "VaultARN")]
    vault: VaultArn,
}

impl Queue {
    /// Waits for a message about `vault`, at most 20 seconds; returns whether one came.
    ///
    /// # Errors
    ///
    /// When the queue cannot be read; the text says why.
    pub(super) async fn wait(&self, vault: &VaultName) -> Result<bool, String> {
        let received = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(MESSAGES)
            .wait_time_seconds(i32::try_from(LONG_POLL.as_secs()).unwrap_or(i32::MAX))
            .send()
            .await
            .map_err(|error| aws_sdk_sqs::error::DisplayErrorContext(error).to_string())?;
        let mut has_come = false;
        for message in received.messages.unwrap_or_default() {
            let Some(receipt) = &message.receipt_handle else { continue };
            let settled = if is_about(&message, vault) {
                has_come = true;
                let delete = self.client.delete_message().queue_url(&self.url);
                delete.receipt_handle(receipt).send().await.err().map(|error| error.to_string())
            } else {
                // Visible again at once, for those who wait for it.
                let back = self.client.change_message_visibility().queue_url(&self.url);
                let back = back.receipt_handle(receipt).visibility_timeout(0);
                back.send().await.err().map(|error| error.to_string())
            };
            if let Some(error) = settled {
                tracing::debug!(error, queue = self.url, "a message stays in the queue");
            }
        }
        Ok(has_come)
    }
}

fn is_about(message: &Message, vault: &VaultName) -> bool {
    let Some(body) = &message.body else { return false };
    let content = serde_json::from_str(body).map(|envelope: Envelope| envelope.message);
    let content = content.as_deref().unwrap_or(body);
    serde_json::from_str(content).is_ok_and(|ended: Ended| ended.vault.vault == *vault)
}

#[cfg(test)]
mod tests {
    use aws_sdk_sqs::types::Message;
    use icefield_protocol::VaultName;
    use serde_json::json;

    use super::is_about;

    #[test]
    fn a_message_is_read_with_and_without_the_envelope_of_sns() {
        let job = json!({"JobId": "j", "VaultARN": "arn:aws:glacier:us-west-2:012345678901:vaults/photos"}).to_string();
        let vault = |name| VaultName::parse(name).unwrap();
        let message = |body: String| Message::builder().body(body).build();
        let wrapped = json!({"Type": "Notification", "Message": job}).to_string();
        for body in [job, wrapped] {
            assert!(is_about(&message(body.clone()), &vault("photos")));
            assert!(!is_about(&message(body), &vault("films")));
        }
        assert!(!is_about(&message("hello".to_owned()), &vault("photos")));
    }
}
