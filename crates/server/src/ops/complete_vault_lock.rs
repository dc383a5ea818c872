use icefield_engine::Access;
use icefield_protocol::LockId;

use crate::{error::ApiError, request::Call, response::Reply};

/// Complete Vault Lock: `POST /{account}/vaults/{vault}/lock-policy/{id}`.
///
/// Source: Glacier API reference, "Complete Vault Lock (POST lockId)".
pub(super) async fn complete_vault_lock(call: Call<'_>, access: Access) -> Result<Reply, ApiError> {
    let id = LockId::parse(&call.target.id)
        .map_err(|_| ApiError::invalid(format!("Invalid lock ID: {}", call.target.id)))?;
    call.engine.complete_lock(&access, &id).await?;
    Ok(Reply::no_content())
}
