use icefield_engine::Access;
use icefield_protocol::TagKey;
use serde_json::Value;

use super::add_tags_to_vault::{check_count, tag_key};
use crate::{
    error::ApiError,
    json::{Object, invalid},
    request::Call,
    response::Reply,
};

/// Remove Tags From Vault: `POST /{account}/vaults/{vault}/tags?operation=remove`.
///
/// Source: Glacier API reference, "Remove Tags From Vault (POST tags remove)".
pub(super) async fn remove_tags_from_vault(
    mut call: Call<'_>,
    access: Access,
) -> Result<Reply, ApiError> {
    let keys = keys(&call.object()?)?;
    call.engine.remove_tags(&access, &keys).await?;
    Ok(Reply::no_content())
}

/// Reads the keys of a request.
pub(super) fn keys(body: &Object) -> Result<Vec<TagKey>, ApiError> {
    let value = body.required("TagKeys")?;
    let keys = value.as_array().ok_or_else(|| invalid("TagKeys", value))?;
    check_count(keys.len())?;
    let key = |key: &Value| tag_key(key.as_str().ok_or_else(|| invalid("tag key", key))?);
    keys.iter().map(key).collect()
}
