//! Requests, counted by operation and outcome.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use icefield_protocol::{ErrorCode, Operation};

use super::{
    exposition::Exposition,
    names::{DURATION, REQUEST_BYTES, REQUESTS, RESPONSE_BYTES},
};
use crate::exchange::{Observer, RequestFacts};

/// Upper bounds of the histogram, in seconds; transfers of gigabytes take minutes.
const BOUNDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0, 600.0, 3600.0];

/// What requests are called that ask for no operation.
const NO_OPERATION: &str = "None";

/// Counts every request. The maps stay small: operations and codes are the protocol's.
#[derive(Debug, Default)]
pub(crate) struct RequestMetrics(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    requests: BTreeMap<(&'static str, &'static str), u64>,
    operations: BTreeMap<&'static str, OperationCounts>,
}

#[derive(Debug, Default)]
struct OperationCounts {
    bytes_in: u64,
    bytes_out: u64,
    took: Duration,
    /// By the first bound that is not exceeded; the last one has none.
    by_duration: [u64; BOUNDS.len() + 1],
}

impl Observer for RequestMetrics {
    fn finished(&self, facts: &RequestFacts) {
        let operation = facts.operation.map_or(NO_OPERATION, Operation::as_str);
        let code = match (facts.code, facts.status) {
            (Some(code), _) => ErrorCode::as_str(code),
            (None, Some(_)) => "OK",
            (None, None) => "Aborted",
        };
        let mut counts = self.counts();
        *counts.requests.entry((operation, code)).or_default() += 1;
        let of = counts.operations.entry(operation).or_default();
        of.bytes_in += facts.bytes_in;
        of.bytes_out += facts.bytes_out;
        of.took += facts.duration;
        let seconds = facts.duration.as_secs_f64();
        let place = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        of.by_duration[place] += 1;
    }
}

impl RequestMetrics {
    pub(crate) fn write(&self, to: &mut Exposition) {
        let counts = self.counts();
        to.begin(&REQUESTS);
        for ((operation, code), count) in &counts.requests {
            to.sample(&REQUESTS, "", &[("operation", operation), ("code", code)], count);
        }
        to.begin(&REQUEST_BYTES);
        for (operation, of) in &counts.operations {
            to.sample(&REQUEST_BYTES, "", &[("operation", operation)], of.bytes_in);
        }
        to.begin(&RESPONSE_BYTES);
        for (operation, of) in &counts.operations {
            to.sample(&RESPONSE_BYTES, "", &[("operation", operation)], of.bytes_out);
        }
        to.begin(&DURATION);
        for (operation, of) in &counts.operations {
            let mut sum = 0;
            let bounds = BOUNDS.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
            for (bound, count) in bounds.zip(of.by_duration) {
                sum += count;
                to.sample(&DURATION, "_bucket", &[("operation", operation), ("le", &bound)], sum);
            }
            to.sample(&DURATION, "_sum", &[("operation", operation)], of.took.as_secs_f64());
            to.sample(&DURATION, "_count", &[("operation", operation)], sum);
        }
    }

    /// Counting cannot fail half-way, so a poisoned lock guards sound numbers.
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
