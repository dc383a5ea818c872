use icefield_engine::Access;

use crate::{error::ApiError, request::Call, response::Reply};

/// Abort Vault Lock: `DELETE /{account}/vaults/{vault}/lock-policy`.
///
/// Source: Glacier API reference, "Abort Vault Lock (DELETE lock-policy)".
pub(super) async fn abort_vault_lock(call: Call<'_>, access: Access) -> Result<Reply, ApiError> {
    call.engine.abort_lock(&access).await?;
    Ok(Reply::no_content())
}
