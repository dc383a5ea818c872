use icefield_engine::{Access, JobListFilter};
use icefield_protocol::JobDescription;
use serde::Serialize;

use crate::{error::ApiError, request::Call, response::Reply};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct JobList {
    job_list: Vec<JobDescription>,
    marker: Option<String>,
}

/// List Jobs: `GET /{account}/vaults/{vault}/jobs`.
///
/// Source: Glacier API reference, "List Jobs (GET jobs)".
pub(super) async fn list_jobs(call: Call<'_>, access: Access) -> Result<Reply, ApiError> {
    let filter = filter(&call)?;
    let (marker, limit) = (call.marker(), call.limit()?);
    let page = call.engine.list_jobs(&access, filter, marker.as_deref(), limit).await?;
    Reply::json(&JobList { job_list: page.items, marker: page.marker })
}

fn filter(call: &Call<'_>) -> Result<JobListFilter, ApiError> {
    let completed = match call.parameter("completed").as_deref() {
        None => None,
        Some("true") => Some(true),
        Some("false") => Some(false),
        Some(other) => return Err(ApiError::invalid(format!("Invalid completed: {other}"))),
    };
    let status = call.parameter("statuscode").map(|text| {
        text.parse()
            .map_err(|_| ApiError::invalid(format!("The job status code is not valid: {text}")))
    });
    Ok(JobListFilter { completed, status: status.transpose()? })
}
