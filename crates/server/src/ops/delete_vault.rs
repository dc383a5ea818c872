use icefield_engine::Access;

use crate::{error::ApiError, request::Call, response::Reply};

/// Delete Vault: `DELETE /{account}/vaults/{vault}`.
///
/// Source: Glacier API reference, "Delete Vault (DELETE vault)". A vault that is gone is deleted already.
pub(super) async fn delete_vault(call: Call<'_>, access: Access) -> Result<Reply, ApiError> {
    call.engine.delete_vault(&access).await?;
    Ok(Reply::no_content())
}
