use icefield_engine::Access;

use crate::{error::ApiError, request::Call, response::Reply};

/// Describe Vault: `GET /{account}/vaults/{vault}`.
///
/// Source: Glacier API reference, "Describe Vault (GET vault)".
pub(super) async fn describe_vault(call: Call<'_>, access: Access) -> Result<Reply, ApiError> {
    Reply::json(&call.engine.describe_vault(&access).await?)
}
