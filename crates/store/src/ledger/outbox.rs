//! The outbox: messages on their way to subscribers. It lives in the ledger only, and is lost with it like jobs.

use icefield_protocol::Timestamp;

use crate::entry::DeliveryNumber;

/// A message for one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRow {
    /// Its number.
    pub number: DeliveryNumber,
    /// ARN of the topic that the message was published to.
    pub topic: String,
    /// Which of the topic's destinations it is for.
    pub destination: String,
    /// ID of the message, the same for all destinations.
    pub message_id: String,
    /// The message.
    pub message: String,
    /// When it was published.
    pub created: Timestamp,
    /// How often its delivery was tried.
    pub attempts: u32,
    /// When it is to be tried next; when it was given up.
    pub next: Timestamp,
    /// Given up; kept for somebody to look at.
    pub dead: bool,
    /// Why the last try failed.
    pub error: Option<String>,
}

/// What an account's Standard retrievals of archives take; a data retrieval policy is judged by it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RetrievalLoad {
    /// Sum over the jobs in progress of their bytes spread over the hours given, each rounded up.
    pub running_bytes_per_hour: u64,
    /// Bytes of the jobs initiated at or after the time given, ended ones that are remembered included.
    pub bytes_since: u64,
}

impl RetrievalLoad {
    /// Adds a job in progress of these bytes, first to last.
    pub(crate) fn add_running(&mut self, range: (u64, u64), hours: u64) {
        let rate = len(range).div_ceil(hours.max(1));
        self.running_bytes_per_hour = self.running_bytes_per_hour.saturating_add(rate);
    }

    /// Adds a job of these bytes that was initiated since.
    pub(crate) fn add_since(&mut self, range: (u64, u64)) {
        self.bytes_since = self.bytes_since.saturating_add(len(range));
    }
}

fn len((first, last): (u64, u64)) -> u64 {
    last.saturating_sub(first).saturating_add(1)
}
