use icefield_engine::Access;

use crate::{error::ApiError, header, request::Call, response::Reply};

/// Purchase Provisioned Capacity: `POST /{account}/provisioned-capacity`.
///
/// Source: Glacier API reference, "Purchase Provisioned Capacity (POST provisioned-capacity)".
pub(super) async fn purchase_provisioned_capacity(
    call: Call<'_>,
    access: Access,
) -> Result<Reply, ApiError> {
    let id = call.engine.purchase_capacity(&access).await?;
    Reply::created().header(header::CAPACITY_ID, id.as_str())
}
