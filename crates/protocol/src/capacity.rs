//! Provisioned capacity: units that an account buys for a month.

use serde::{Deserialize, Serialize};

use crate::id::CapacityId;
use crate::timestamp::Timestamp;

/// A unit of provisioned capacity ("List Provisioned Capacity (GET provisioned-capacity)").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CapacityUnit {
    /// The unit.
    pub capacity_id: CapacityId,
    /// When it was bought.
    pub start_date: Timestamp,
    /// When it ends: a calendar month later, on a whole second.
    pub expiration_date: Timestamp,
}
