use icefield_engine::Access;
use icefield_protocol::PartSize;

use crate::{error::ApiError, header, request::Call, response::Reply};

/// Initiate Multipart Upload: `POST /{account}/vaults/{vault}/multipart-uploads`.
///
/// Source: Glacier API reference, "Initiate Multipart Upload (POST multipart-uploads)".
pub(super) async fn initiate_multipart_upload(
    call: Call<'_>,
    access: Access,
) -> Result<Reply, ApiError> {
    let part_size = part_size(header::text(call.headers(), &header::PART_SIZE))?;
    let (description, token) = (call.description()?, call.upload_token()?);
    let id = call.engine.initiate_upload(&access, part_size, description, token).await?;
    Reply::created_at(&format!("{}/multipart-uploads/{id}", call.vault_path(&access)))?
        .header(header::UPLOAD_ID, id.as_str())
}

/// Reads a part size. The service calls one that is missing 0.
fn part_size(text: Option<String>) -> Result<PartSize, ApiError> {
    let text = text.unwrap_or_else(|| "0".to_owned());
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let bytes = text.parse::<u64>().ok().filter(|_| digits);
    bytes.and_then(|bytes| PartSize::new(bytes).ok()).ok_or_else(|| {
        ApiError::invalid(format!(
            "Invalid part size: {text}. Part size must not be null, must be a power of two and be between 1048576 and 4294967296 bytes."
        ))
    })
}
