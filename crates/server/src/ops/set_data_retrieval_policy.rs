use icefield_engine::Access;
use icefield_protocol::RetrievalPolicy;

use crate::{error::ApiError, request::Call, response::Reply};

/// Set Data Retrieval Policy: `PUT /{account}/policies/data-retrieval`.
///
/// Source: Glacier API reference, "Set Data Retrieval Policy (PUT policy)".
pub(super) async fn set_data_retrieval_policy(
    mut call: Call<'_>,
    access: Access,
) -> Result<Reply, ApiError> {
    let policy = RetrievalPolicy::from_json(call.object()?.required("Policy")?)?;
    call.engine.set_retrieval_policy(&access, policy).await?;
    Ok(Reply::no_content())
}
