use icefield_engine::Access;

use crate::{error::ApiError, request::Call, response::Reply};

/// Create Vault: `PUT /{account}/vaults/{vault}`.
///
/// Source: Glacier API reference, "Create Vault (PUT vault)". A body is ignored: some clients send `{}`.
pub(super) async fn create_vault(call: Call<'_>, access: Access) -> Result<Reply, ApiError> {
    call.engine.create_vault(&access).await?;
    Reply::created_at(&call.vault_path(&access))
}
