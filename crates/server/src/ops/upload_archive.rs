use http::header::CONTENT_LENGTH;
use icefield_engine::{Access, NewArchive};

use crate::{
    error::ApiError,
    header,
    request::{Call, Payload},
    response::Reply,
};

/// Upload Archive: `POST /{account}/vaults/{vault}/archives`.
///
/// Streams the body into the vault. The archive becomes visible at the commit or not at all: a client that goes away
/// before has stored nothing. Source: Glacier API reference, "Upload Archive (POST archive)".
pub(super) async fn upload_archive(mut call: Call<'_>, access: Access) -> Result<Reply, ApiError> {
    let length = header::required(call.headers(), &CONTENT_LENGTH)?;
    let size = length.parse();
    let size = size.map_err(|_| ApiError::invalid(format!("Invalid Content-Length: {length}")))?;
    let tree_hash = call.tree_hash()?;
    let (description, token) = (call.description()?, call.upload_token()?);
    let new = NewArchive { description, token, size, linear: true };
    let mut receiving = call.engine.receive_archive(&access, new).await?;
    let Payload { mut body, hash } = call.payload()?;
    while let Some(chunk) = body.chunk().await? {
        receiving.write(chunk.bytes.clone()).await?;
    }
    let hashed = receiving.finish().await?;
    super::check_linear(hashed.linear(), hash)?;
    let archive = hashed.commit(Some(tree_hash)).await?;
    Reply::created_at(&format!("{}/archives/{}", call.vault_path(&access), archive.id))?
        .header(header::ARCHIVE_ID, archive.id.as_str())?
        .header(header::TREE_HASH, &archive.tree_hash.to_string())
}
