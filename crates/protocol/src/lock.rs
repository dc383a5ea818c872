//! What is told about a vault lock.

use serde::{Deserialize, Serialize};

use crate::timestamp::Timestamp;

/// How final a lock is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LockState {
    /// In force, and gone after 24 hours unless it is completed.
    InProgress,
    /// In force for ever.
    Locked,
}

/// A vault lock as described ("Get Vault Lock (GET lock-policy)").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct LockDescription {
    /// The policy, as it came.
    pub policy: String,
    /// How final it is.
    pub state: LockState,
    /// When the lock is gone unless it is completed; `None` when it is final.
    #[serde(default)]
    pub expiration_date: Option<Timestamp>,
    /// When the policy came into force.
    pub creation_date: Timestamp,
}
