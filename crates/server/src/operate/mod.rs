//! Watching over a server that runs: metrics and health on a listener of their own, a log of requests, a log of changes, a
//! scrub and compaction in the background.
//!
//! ```text
//! pipeline ──> Exchange ends ──> RequestMetrics, AccessLog           (observers: they must not wait)
//!          ──> Ticket: a line of the audit log is on disk before the answer leaves
//! scrub, compact ──> counters, log
//! counters, store ──> Monitor ──> listener: /metrics, /health/live, /health/ready
//! ```
//!
//! Labels are operations and error codes only: neither accounts nor vaults, of which there may be any number, and whose
//! names are nobody's business who may look at graphs.

mod access_log;
mod audit;
mod compact;
mod exposition;
mod listener;
mod monitor;
pub mod names;
mod requests;
mod scrub;

pub use self::audit::{AuditError, AuditLog};
pub(crate) use self::{
    access_log::AccessLog,
    audit::{Change, Outcome, Ticket},
    compact::compact,
    listener::serve as tell,
    monitor::Monitor,
    requests::RequestMetrics,
    scrub::{ScrubCounters, scrub},
};
