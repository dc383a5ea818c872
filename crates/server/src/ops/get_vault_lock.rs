use icefield_engine::Access;

use crate::{error::ApiError, request::Call, response::Reply};

/// Get Vault Lock: `GET /{account}/vaults/{vault}/lock-policy`.
///
/// Source: Glacier API reference, "Get Vault Lock (GET lock-policy)".
pub(super) async fn get_vault_lock(call: Call<'_>, access: Access) -> Result<Reply, ApiError> {
    Reply::json(&call.engine.lock(&access).await?)
}
