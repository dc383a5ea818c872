use icefield_engine::Access;
use serde::Serialize;

use crate::{error::ApiError, request::Call, response::Reply};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AccessPolicy {
    policy: String,
}

/// Get Vault Access Policy: `GET /{account}/vaults/{vault}/access-policy`.
///
/// Source: Glacier API reference, "Get Vault Access Policy (GET access-policy)".
pub(super) async fn get_vault_access_policy(
    call: Call<'_>,
    access: Access,
) -> Result<Reply, ApiError> {
    Reply::json(&AccessPolicy { policy: call.engine.access_policy(&access).await? })
}
