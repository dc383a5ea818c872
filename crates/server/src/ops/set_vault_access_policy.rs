use icefield_engine::Access;

use crate::{error::ApiError, request::Call, response::Reply};

/// Set Vault Access Policy: `PUT /{account}/vaults/{vault}/access-policy`.
///
/// Source: Glacier API reference, "Set Vault Access Policy (PUT access-policy)".
pub(super) async fn set_vault_access_policy(
    mut call: Call<'_>,
    access: Access,
) -> Result<Reply, ApiError> {
    let body = call.object()?;
    call.engine.set_access_policy(&access, body.required_text("Policy")?).await?;
    Ok(Reply::no_content())
}
