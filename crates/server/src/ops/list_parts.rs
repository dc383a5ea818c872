use icefield_engine::Access;
use icefield_protocol::{Description, PartDescription, PartSize, Timestamp, UploadId, VaultArn};
use serde::Serialize;

use super::upload_multipart_part::upload_id;
use crate::{error::ApiError, request::Call, response::Reply};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PartList {
    archive_description: Option<Description>,
    creation_date: Timestamp,
    marker: Option<String>,
    multipart_upload_id: UploadId,
    part_size_in_bytes: PartSize,
    parts: Vec<PartDescription>,
    #[serde(rename = "VaultARN")]
    vault_arn: VaultArn,
}

/// List Parts: `GET /{account}/vaults/{vault}/multipart-uploads/{id}`.
///
/// Source: Glacier API reference, "List Parts (GET uploadID)".
pub(super) async fn list_parts(call: Call<'_>, access: Access) -> Result<Reply, ApiError> {
    let id = upload_id(&call)?;
    let (marker, limit) = (call.marker(), call.limit()?);
    let (upload, page) = call.engine.list_parts(&access, &id, marker.as_deref(), limit).await?;
    Reply::json(&PartList {
        archive_description: upload.description,
        creation_date: upload.creation_date,
        marker: page.marker,
        multipart_upload_id: upload.upload_id,
        part_size_in_bytes: upload.part_size,
        parts: page.items,
        vault_arn: upload.vault_arn,
    })
}
