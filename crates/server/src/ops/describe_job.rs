use icefield_engine::Access;
use icefield_protocol::JobId;

use crate::{error::ApiError, request::Call, response::Reply};

/// Describe Job: `GET /{account}/vaults/{vault}/jobs/{id}`.
///
/// Source: Glacier API reference, "Describe Job (GET JobID)".
pub(super) async fn describe_job(call: Call<'_>, access: Access) -> Result<Reply, ApiError> {
    let id = job_id(&call)?;
    Reply::json(&call.engine.describe_job(&access, &id).await?)
}

/// Returns the ID in the path of a job.
pub(super) fn job_id(call: &Call<'_>) -> Result<JobId, ApiError> {
    JobId::parse_issued(&call.target.id).map_err(|_| super::not_found("job", &call.target.id))
}
