//! What is told when a job has ended ("Configuring Vault Notifications"): recorded with its end, delivered later.
//!
//! The job's own topic is always told, the vault's topic if its configuration lists the event; both are told when both
//! are set, also when they are one and the same. A topic that is not the vault owner's, or that nobody listens to, is told
//! nothing: the service does not check topics either, and the job is not hurt by it.

use icefield_protocol::{
    JobAction, JobDescription, JobStatus, NotificationEvent, Timestamp, TopicArn,
};
use icefield_store::{
    entry::DeliveryNumber,
    ledger::{DeliveryRow, JobEnd, JobRow, VaultRow},
};
use serde_json::Value;

use crate::{engine::Engine, error::EngineError, random::random};

impl Engine {
    /// Returns what is to be delivered when the job ends like this at that time.
    pub(super) async fn deliveries(
        &self,
        job: &JobRow,
        end: &JobEnd,
        at: Timestamp,
    ) -> Result<Vec<DeliveryRow>, EngineError> {
        // The jobs of a vault go with it, so this is one that is about to go.
        let Some(vault) = self.store().ledger().vault_by_number(job.vault).await? else {
            return Ok(Vec::new());
        };
        let job = self.job_description(&vault, ended(job, end, at)).await?;
        let mut deliveries = Vec::new();
        for topic in self.topics_told(&vault, &job).await? {
            let Some(topic) = self.topic(&topic).await? else {
                tracing::warn!(%topic, job = %job.job_id, "nobody is told: there is no such topic");
                continue;
            };
            let message_id = message_id()?;
            for destination in topic.destinations {
                if destination.unconfirmed.is_some() {
                    continue;
                }
                let (to, text) = (destination.id, message(&job)?);
                deliveries.push(self.delivery(&topic.arn, to, message_id.clone(), text, at));
            }
        }
        Ok(deliveries)
    }

    /// One message on its way to one destination, due at once.
    pub(crate) fn delivery(
        &self,
        topic: &TopicArn,
        destination: String,
        message_id: String,
        message: String,
        at: Timestamp,
    ) -> DeliveryRow {
        DeliveryRow {
            number: DeliveryNumber(self.store().next_number()),
            topic: topic.to_string(),
            destination,
            message_id,
            message,
            created: at,
            attempts: 0,
            next: at,
            dead: false,
            error: None,
        }
    }

    async fn topics_told(
        &self,
        vault: &VaultRow,
        job: &JobDescription,
    ) -> Result<Vec<TopicArn>, EngineError> {
        let event = match job.action {
            JobAction::ArchiveRetrieval => NotificationEvent::ArchiveRetrievalCompleted,
            JobAction::InventoryRetrieval => NotificationEvent::InventoryRetrievalCompleted,
        };
        let configuration = self.vault_settings(vault.number).await?.notifications;
        let of_vault = configuration.filter(|configuration| configuration.events.contains(&event));
        let of_job = job.sns_topic.as_ref().and_then(|topic| topic.parse().ok());
        let told = of_job.into_iter().chain(of_vault.map(|configuration| configuration.sns_topic));
        Ok(told.filter(|topic: &TopicArn| topic.account == vault.account).collect())
    }
}

/// The job as it is once it has ended.
fn ended(job: &JobRow, end: &JobEnd, at: Timestamp) -> JobRow {
    let mut job = job.clone();
    job.completed = Some(at);
    match end {
        JobEnd::Succeeded(output) => {
            job.status = JobStatus::Succeeded;
            job.output = *output;
        }
        JobEnd::Failed(reason) => {
            job.status = JobStatus::Failed;
            job.message = Some(reason.clone());
        }
    }
    job
}

/// What a description of a job has and a message about it does not.
const NEVER_TOLD: [&str; 4] =
    ["JobOutputPath", "NextInventoryRetrievalMarker", "OutputLocation", "SelectParameters"];

/// The description of the job as the service sends it: compact, in alphabetical order, with explicit nulls, and without the
/// members that its messages never had.
fn message(job: &JobDescription) -> Result<String, EngineError> {
    let written = serde_json::to_value(job);
    let mut written =
        written.map_err(|error| EngineError::unexpected("writing a notification", &error))?;
    if let Value::Object(members) = &mut written {
        for never in NEVER_TOLD {
            members.remove(never);
        }
    }
    Ok(written.to_string())
}

/// Names a message as SNS does, by a random UUID.
pub(crate) fn message_id() -> Result<String, EngineError> {
    Ok(uuid(random()?))
}

fn uuid(bytes: [u8; 16]) -> String {
    let version =
        (u128::from_be_bytes(bytes) & !(0xf << 76) & !(0x3 << 62)) | (4 << 76) | (2 << 62);
    let digits = format!("{version:032x}");
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use super::uuid;

    #[test]
    fn a_random_uuid_says_so() {
        assert_eq!(uuid([0xff; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(uuid([0; 16]), "00000000-0000-4000-8000-000000000000");
    }
}
