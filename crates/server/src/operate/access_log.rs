//! One line of the log for each request that is over.

use icefield_engine::Caller;
use icefield_protocol::{AccountId, ErrorCode, Operation};

use crate::exchange::{Observer, RequestFacts};

/// Tells the log of every request: who asked for what, from where, and how it ended. What was signed, with which secret,
/// and what was sent is not told.
#[derive(Debug, Default)]
pub(crate) struct AccessLog;

impl Observer for AccessLog {
    fn finished(&self, facts: &RequestFacts) {
        tracing::info!(
            request_id = facts.request_id.as_str(),
            operation = facts.operation.map(Operation::as_str),
            account = facts.account.as_ref().map(AccountId::as_str),
            principal = facts.caller.as_ref().map(Caller::arn),
            vault = facts.vault,
            status = facts.status,
            code = facts.code.map(ErrorCode::as_str),
            bytes_in = facts.bytes_in,
            bytes_out = facts.bytes_out,
            milliseconds = u64::try_from(facts.duration.as_millis()).unwrap_or(u64::MAX),
            source = %facts.peer,
            "request",
        );
    }
}
