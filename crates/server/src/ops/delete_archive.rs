use icefield_engine::Access;
use icefield_protocol::ArchiveId;

use crate::{error::ApiError, request::Call, response::Reply};

/// Delete Archive: `DELETE /{account}/vaults/{vault}/archives/{id}`.
///
/// Source: Glacier API reference, "Delete Archive (DELETE archive)".
pub(super) async fn delete_archive(call: Call<'_>, access: Access) -> Result<Reply, ApiError> {
    let id = ArchiveId::parse_issued(&call.target.id)
        .map_err(|_| super::not_found("archive", &call.target.id))?;
    call.engine.delete_archive(&access, &id).await?;
    Ok(Reply::no_content())
}
