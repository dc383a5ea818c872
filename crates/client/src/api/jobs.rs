//! Jobs: started once, described, listed, waited for.

use std::time::Duration;

use http::Method;
use icefield_protocol::{
    InventoryFormat, InventoryParameters, JobAction, JobDescription, JobId, JobRequest, JobStatus,
    Page, Timestamp, VaultName,
};
use serde::Serialize;
use tokio::time::sleep;

use super::{
    VaultApi,
    answers::JobList,
    call::MAX_LOST_ANSWERS,
    request::{Repeat, Request},
    uploads::SKEW_MILLIS,
};
use crate::target::TargetError;

/// First pause between two looks at a job; each later one is half as long again.
const FIRST_LOOK: Duration = Duration::from_millis(200);

/// Pauses longer than this are better spent at the queue.
const QUEUED_FROM: Duration = Duration::from_secs(1);

/// Longest pause between two looks.
const LONGEST_LOOK: Duration = Duration::from_mins(5);

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Job {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    archive_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retrieval_byte_range: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tier: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<InventoryFormat>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inventory_retrieval_parameters: Option<Inventory>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(rename = "SNSTopic", skip_serializing_if = "Option::is_none")]
    sns_topic: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Inventory {
    #[serde(skip_serializing_if = "Option::is_none")]
    start_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    marker: Option<String>,
}

impl Job {
    fn of(request: &JobRequest) -> Self {
        match request {
            JobRequest::Archive { archive, range, tier, description, sns_topic } => Self {
                r#type: "archive-retrieval",
                archive_id: Some(archive.to_string()),
                retrieval_byte_range: range.map(|range| range.to_string()),
                tier: Some(tier.as_str()),
                format: None,
                inventory_retrieval_parameters: None,
                description: description.as_ref().map(ToString::to_string),
                sns_topic: sns_topic.clone(),
            },
            JobRequest::Inventory { parameters, description, sns_topic } => Self {
                r#type: "inventory-retrieval",
                archive_id: None,
                retrieval_byte_range: None,
                tier: None,
                format: Some(parameters.format),
                inventory_retrieval_parameters: Inventory::of(parameters),
                description: description.as_ref().map(ToString::to_string),
                sns_topic: sns_topic.clone(),
            },
        }
    }
}

impl Inventory {
    fn of(asked: &InventoryParameters) -> Option<Self> {
        let parameters = Self {
            start_date: asked.start_date.map(Timestamp::to_seconds_string),
            end_date: asked.end_date.map(Timestamp::to_seconds_string),
            limit: asked.limit.map(|limit| limit.to_string()),
            marker: asked.marker.clone(),
        };
        let Self { start_date, end_date, limit, marker } = &parameters;
        let is_limited = [start_date, end_date, limit, marker].into_iter().any(Option::is_some);
        is_limited.then_some(parameters)
    }
}

/// Whether a job is, or will be, what is asked for.
fn answers(job: &JobDescription, request: &JobRequest) -> bool {
    if job.status_code == JobStatus::Failed {
        return false;
    }
    match request {
        JobRequest::Archive { archive, range, tier, description, .. } => {
            let size = job.archive_size_in_bytes.and_then(icefield_protocol::ByteRange::whole);
            job.archive_id.as_ref() == Some(archive)
                && job.retrieval_byte_range.filter(|got| size != Some(*got))
                    == range.filter(|asked| size != Some(*asked))
                && job.tier.is_none_or(|job| job == *tier)
                && job.description == *description
        }
        JobRequest::Inventory { parameters, description, .. } => {
            let asked = job.inventory_retrieval_parameters.clone().unwrap_or_default();
            job.action == JobAction::InventoryRetrieval
                && asked == *parameters
                && job.description == *description
        }
    }
}

impl VaultApi {
    pub(super) async fn start_job(
        &self,
        vault: &VaultName,
        request: &JobRequest,
    ) -> Result<JobId, TargetError> {
        let since = self.clock.now().unix_millis() - SKEW_MILLIS;
        let call = Request::vault(Method::POST, vault, "/jobs")
            .json(&Job::of(request))
            .repeat(Repeat::Another);
        for _ in 0..MAX_LOST_ANSWERS {
            match self.try_call(&call).await {
                Ok(answer) => return answer.header("x-amz-job-id"),
                Err(failed) if failed.is_undone() => return Err(self.failed(failed)),
                // Every job is paid for: one that was started is looked for first.
                Err(_) => {
                    if let Some(job) = self.lost_job(vault, request, since).await? {
                        return Ok(job);
                    }
                }
            }
        }
        Err(self.silent())
    }

    async fn lost_job(
        &self,
        vault: &VaultName,
        request: &JobRequest,
        since: i64,
    ) -> Result<Option<JobId>, TargetError> {
        let mut marker: Option<String> = None;
        loop {
            let page = self.jobs(vault, marker.as_deref()).await?;
            let found = page
                .items
                .into_iter()
                .find(|job| job.creation_date.unix_millis() >= since && answers(job, request));
            marker = page.marker;
            if found.is_some() || marker.is_none() {
                return Ok(found.map(|job| job.job_id));
            }
        }
    }

    pub(super) async fn jobs(
        &self,
        vault: &VaultName,
        marker: Option<&str>,
    ) -> Result<Page<JobDescription>, TargetError> {
        let request = Request::vault(Method::GET, vault, "/jobs").marker(marker);
        let list: JobList = self.ask(request).await?;
        Ok(Page { items: list.job_list, marker: list.marker })
    }

    pub(super) async fn job(
        &self,
        vault: &VaultName,
        job: &JobId,
    ) -> Result<JobDescription, TargetError> {
        let request = Request::vault(Method::GET, vault, &format!("/jobs/{job}"));
        let found: JobDescription = self.ask(request).await?;
        if found.status_code == JobStatus::Succeeded {
            *self.waits.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = 0;
        }
        Ok(found)
    }

    /// Waits longer each time nothing has come of it, or until the queue tells that something has.
    pub(super) async fn look_later(&self, vault: &VaultName) {
        let pause = {
            let mut waits = self.waits.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            *waits = waits.saturating_add(1);
            look_pause(*waits)
        };
        let Some(queue) = self.queue.as_ref().filter(|_| pause > QUEUED_FROM) else {
            return rest(pause).await;
        };
        let by_queue = async {
            loop {
                match queue.wait(vault).await {
                    Ok(true) => return,
                    Ok(false) => {}
                    Err(error) => {
                        tracing::warn!(
                            error,
                            "the queue cannot be read, looking at the jobs instead"
                        );
                        return rest(pause).await;
                    }
                }
            }
        };
        tokio::select! {
            () = by_queue => {}
            () = rest(LONGEST_LOOK) => {}
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the polling interval is a named policy")]
async fn rest(pause: Duration) {
    sleep(pause).await;
}

fn look_pause(waits: u32) -> Duration {
    let factor = 1.5_f64.powi(i32::try_from(waits.min(30)).unwrap_or(30) - 1);
    FIRST_LOOK.mul_f64(factor).min(LONGEST_LOOK)
}

#[cfg(test)]
mod tests {
    use icefield_protocol::{ArchiveId, ByteRange, InventoryParameters, JobRequest, Tier};
    use serde_json::{json, to_value};

    use super::{Job, look_pause};

    #[test]
    fn looks_become_rare_and_stay_below_five_minutes() {
        let pauses = [1, 2, 3, 20, 1000].map(|waits| look_pause(waits).as_millis());
        assert_eq!(pauses, [200, 300, 450, 300_000, 300_000]);
    }

    #[test]
    fn jobs_have_the_wire_form() {
        let request = JobRequest::Archive {
            archive: ArchiveId::parse("a").unwrap(),
            range: Some(ByteRange::new(0, 1_048_575).unwrap()),
            tier: Tier::Bulk,
            description: None,
            sns_topic: None,
        };
        let wire = json!({"Type": "archive-retrieval", "ArchiveId": "a", "RetrievalByteRange": "0-1048575", "Tier": "Bulk"});
        assert_eq!(to_value(Job::of(&request)).unwrap(), wire);
        let parameters = InventoryParameters { limit: Some(5), ..InventoryParameters::default() };
        let request = JobRequest::Inventory { parameters, description: None, sns_topic: None };
        let wire = json!({"Type": "inventory-retrieval", "Format": "JSON", "InventoryRetrievalParameters": {"Limit": "5"}});
        assert_eq!(to_value(Job::of(&request)).unwrap(), wire);
    }
}
