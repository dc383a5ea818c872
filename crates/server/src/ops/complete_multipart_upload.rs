use icefield_engine::Access;

use super::upload_multipart_part::upload_id;
use crate::{
    error::ApiError,
    header,
    request::{Call, invalid},
    response::Reply,
};

/// Complete Multipart Upload: `POST /{account}/vaults/{vault}/multipart-uploads/{id}`.
///
/// Source: Glacier API reference, "Complete Multipart Upload (POST uploadID)".
pub(super) async fn complete_multipart_upload(
    call: Call<'_>,
    access: Access,
) -> Result<Reply, ApiError> {
    let name = header::ARCHIVE_SIZE;
    let text = header::required(call.headers(), &name)?;
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let size = text.parse::<u64>().ok().filter(|_| digits);
    let size = size.ok_or_else(|| invalid(&name, &text))?;
    let tree_hash = call.tree_hash()?;
    let id = upload_id(&call)?;
    let archive = call.engine.complete_upload(&access, &id, size, tree_hash).await?;
    Reply::created_at(&format!("{}/archives/{archive}", call.vault_path(&access)))?
        .header(header::ARCHIVE_ID, archive.as_str())?
        .header(header::TREE_HASH, &tree_hash.to_string())
}
