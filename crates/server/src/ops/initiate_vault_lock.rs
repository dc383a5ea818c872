use icefield_engine::Access;

use crate::{error::ApiError, header, request::Call, response::Reply};

/// Initiate Vault Lock: `POST /{account}/vaults/{vault}/lock-policy`.
///
/// Source: Glacier API reference, "Initiate Vault Lock (POST lock-policy)".
pub(super) async fn initiate_vault_lock(
    mut call: Call<'_>,
    access: Access,
) -> Result<Reply, ApiError> {
    let body = call.object()?;
    let id = call.engine.initiate_lock(&access, body.required_text("Policy")?).await?;
    Reply::created().header(header::LOCK_ID, id.as_str())
}
