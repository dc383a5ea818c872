use icefield_engine::{Access, EngineError};
use icefield_protocol::{TagKey, TagValue, Tags, limits::TAGS_PER_REQUEST};
use serde_json::Value;

use crate::{
    error::ApiError,
    json::{Object, invalid},
    request::Call,
    response::Reply,
};

/// Add Tags To Vault: `POST /{account}/vaults/{vault}/tags?operation=add`.
///
/// Source: Glacier API reference, "Add Tags To Vault (POST tags add)".
pub(super) async fn add_tags_to_vault(
    mut call: Call<'_>,
    access: Access,
) -> Result<Reply, ApiError> {
    let tags = tags(&call.object()?)?;
    call.engine.add_tags(&access, tags).await?;
    Ok(Reply::no_content())
}

/// Reads the tags of a request.
pub(super) fn tags(body: &Object) -> Result<Tags, ApiError> {
    let tags = body.object("Tags")?.ok_or_else(|| ApiError::missing("Tags"))?;
    check_count(tags.members().count())?;
    tags.members().map(|(key, value)| Ok((tag_key(key)?, tag_value(value)?))).collect()
}

/// Refuses more tags than a request may have before they are read, and compared with what policies say.
pub(super) fn check_count(count: usize) -> Result<(), ApiError> {
    if count > TAGS_PER_REQUEST {
        return Err(EngineError::InvalidTagCount(count).into());
    }
    Ok(())
}

/// Reads the key of a tag.
pub(super) fn tag_key(text: &str) -> Result<TagKey, ApiError> {
    TagKey::parse(text).map_err(|_| ApiError::invalid(format!("Invalid tag key: {text}")))
}

fn tag_value(value: &Value) -> Result<TagValue, ApiError> {
    let refused = || invalid("tag value", value);
    TagValue::parse(value.as_str().ok_or_else(refused)?).map_err(|_| refused())
}
