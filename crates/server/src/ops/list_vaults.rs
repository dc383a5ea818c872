use icefield_engine::Access;
use icefield_protocol::VaultDescription;
use serde::Serialize;

use crate::{error::ApiError, request::Call, response::Reply};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct VaultList {
    marker: Option<String>,
    vault_list: Vec<VaultDescription>,
}

/// List Vaults: `GET /{account}/vaults`.
///
/// Source: Glacier API reference, "List Vaults (GET vaults)".
pub(super) async fn list_vaults(call: Call<'_>, access: Access) -> Result<Reply, ApiError> {
    let (marker, limit) = (call.marker(), call.limit()?);
    let page = call.engine.list_vaults(&access, marker.as_deref(), limit).await?;
    Reply::json(&VaultList { marker: page.marker, vault_list: page.items })
}
