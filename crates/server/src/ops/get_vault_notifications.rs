use icefield_engine::Access;

use crate::{error::ApiError, request::Call, response::Reply};

/// Get Vault Notifications: `GET /{account}/vaults/{vault}/notification-configuration`.
///
/// Source: Glacier API reference, "Get Vault Notifications (GET notification-configuration)".
pub(super) async fn get_vault_notifications(
    call: Call<'_>,
    access: Access,
) -> Result<Reply, ApiError> {
    Reply::json(&call.engine.notifications(&access).await?)
}
