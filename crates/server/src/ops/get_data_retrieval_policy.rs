use icefield_engine::Access;
use icefield_protocol::RetrievalPolicy;
use serde::Serialize;

use crate::{error::ApiError, request::Call, response::Reply};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    policy: RetrievalPolicy,
}

/// Get Data Retrieval Policy: `GET /{account}/policies/data-retrieval`.
///
/// Source: Glacier API reference, "Get Data Retrieval Policy (GET policy)".
pub(super) async fn get_data_retrieval_policy(
    call: Call<'_>,
    access: Access,
) -> Result<Reply, ApiError> {
    Reply::json(&Answer { policy: call.engine.retrieval_policy(&access).await? })
}
