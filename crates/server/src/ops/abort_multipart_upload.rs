use icefield_engine::Access;

use super::upload_multipart_part::upload_id;
use crate::{error::ApiError, request::Call, response::Reply};

/// Abort Multipart Upload: `DELETE /{account}/vaults/{vault}/multipart-uploads/{id}`.
///
/// Source: Glacier API reference, "Abort Multipart Upload (DELETE uploadID)".
pub(super) async fn abort_multipart_upload(
    call: Call<'_>,
    access: Access,
) -> Result<Reply, ApiError> {
    let id = upload_id(&call)?;
    call.engine.abort_upload(&access, &id).await?;
    Ok(Reply::no_content())
}
