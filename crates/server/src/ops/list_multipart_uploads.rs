use icefield_engine::Access;
use icefield_protocol::UploadDescription;
use serde::Serialize;

use crate::{error::ApiError, request::Call, response::Reply};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct UploadList {
    marker: Option<String>,
    uploads_list: Vec<UploadDescription>,
}

/// List Multipart Uploads: `GET /{account}/vaults/{vault}/multipart-uploads`.
///
/// Source: Glacier API reference, "List Multipart Uploads (GET multipart-uploads)".
pub(super) async fn list_multipart_uploads(
    call: Call<'_>,
    access: Access,
) -> Result<Reply, ApiError> {
    let (marker, limit) = (call.marker(), call.limit()?);
    let page = call.engine.list_uploads(&access, marker.as_deref(), limit).await?;
    Reply::json(&UploadList { marker: page.marker, uploads_list: page.items })
}
