use icefield_engine::Access;

use crate::{error::ApiError, request::Call, response::Reply};

/// Delete Vault Access Policy: `DELETE /{account}/vaults/{vault}/access-policy`.
///
/// Source: Glacier API reference, "Delete Vault Access Policy (DELETE access-policy)".
pub(super) async fn delete_vault_access_policy(
    call: Call<'_>,
    access: Access,
) -> Result<Reply, ApiError> {
    call.engine.delete_access_policy(&access).await?;
    Ok(Reply::no_content())
}
