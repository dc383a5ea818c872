use http::header::{CONTENT_LENGTH, CONTENT_RANGE};
use icefield_engine::Access;
use icefield_protocol::{ByteRange, UploadId};

use crate::{
    error::ApiError,
    header,
    request::{Call, Payload},
    response::Reply,
};

/// Upload Part: `PUT /{account}/vaults/{vault}/multipart-uploads/{id}`.
///
/// Streams like an upload of a whole archive; a part that does not come to its end leaves the upload as it was. Without
/// a `Content-Length` the range says how long the part is. Source: Glacier API reference, "Upload Part (PUT uploadID)".
pub(super) async fn upload_multipart_part(
    mut call: Call<'_>,
    access: Access,
) -> Result<Reply, ApiError> {
    let range = range(&call)?;
    let tree_hash = call.tree_hash()?;
    let id = upload_id(&call)?;
    let mut receiving = call.engine.receive_part(&access, &id, range, true).await?;
    let Payload { mut body, hash } = call.payload()?;
    while let Some(chunk) = body.chunk().await? {
        receiving.write(chunk.bytes.clone()).await?;
    }
    let hashed = receiving.finish().await?;
    super::check_linear(hashed.linear(), hash)?;
    let tree_hash = hashed.commit(Some(tree_hash)).await?;
    Reply::no_content().header(header::TREE_HASH, &tree_hash.to_string())
}

/// Returns the ID in the path of an upload.
pub(super) fn upload_id(call: &Call<'_>) -> Result<UploadId, ApiError> {
    UploadId::parse_issued(&call.target.id).map_err(|_| super::not_found("upload", &call.target.id))
}

fn range(call: &Call<'_>) -> Result<ByteRange, ApiError> {
    let text = header::required(call.headers(), &CONTENT_RANGE)?;
    let range = ByteRange::parse_content_range(&text);
    let range = range.map_err(|_| ApiError::invalid(format!("Invalid Content-Range: {text}")))?;
    match header::text(call.headers(), &CONTENT_LENGTH) {
        Some(length) if length.parse() != Ok(range.len()) => Err(ApiError::invalid(format!(
            "Content-Range: {text} is incompatible with Content-Length: {length}"
        ))),
        Some(_) | None => Ok(range),
    }
}
