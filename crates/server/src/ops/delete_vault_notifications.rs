use icefield_engine::Access;

use crate::{error::ApiError, request::Call, response::Reply};

/// Delete Vault Notifications: `DELETE /{account}/vaults/{vault}/notification-configuration`.
///
/// Source: Glacier API reference, "Delete Vault Notifications (DELETE notification-configuration)".
pub(super) async fn delete_vault_notifications(
    call: Call<'_>,
    access: Access,
) -> Result<Reply, ApiError> {
    call.engine.delete_notifications(&access).await?;
    Ok(Reply::no_content())
}
