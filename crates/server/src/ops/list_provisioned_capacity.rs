use icefield_engine::Access;
use icefield_protocol::CapacityUnit;
use serde::Serialize;

use crate::{error::ApiError, request::Call, response::Reply};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CapacityList {
    provisioned_capacity_list: Vec<CapacityUnit>,
}

/// List Provisioned Capacity: `GET /{account}/provisioned-capacity`.
///
/// Source: Glacier API reference, "List Provisioned Capacity (GET provisioned-capacity)".
pub(super) async fn list_provisioned_capacity(
    call: Call<'_>,
    access: Access,
) -> Result<Reply, ApiError> {
    Reply::json(&CapacityList { provisioned_capacity_list: call.engine.capacity(&access).await? })
}
