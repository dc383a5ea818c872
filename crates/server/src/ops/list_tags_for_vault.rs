use icefield_engine::Access;
use icefield_protocol::Tags;
use serde::Serialize;

use crate::{error::ApiError, request::Call, response::Reply};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TagList {
    tags: Tags,
}

/// List Tags For Vault: `GET /{account}/vaults/{vault}/tags`.
///
/// Source: Glacier API reference, "List Tags For Vault (GET tags)".
pub(super) async fn list_tags_for_vault(call: Call<'_>, access: Access) -> Result<Reply, ApiError> {
    Reply::json(&TagList { tags: call.engine.tags(&access).await? })
}
