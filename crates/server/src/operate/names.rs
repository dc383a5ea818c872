//! Every metric: its name, its unit (which the name ends with), and what it says. Names and labels stay as they are within
//! a major version; `docs/operate.md` has the same table, and a test compares the two.

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, and begins at zero with the process.
    Counter,
    /// Grows and shrinks.
    Gauge,
    /// Counts by size.
    Histogram,
}

impl Kind {
    /// Returns what the text form calls it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric.
#[derive(Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// Its labels, separated by commas.
    pub labels: &'static str,
    /// What it says.
    pub about: &'static str,
}

macro_rules! metrics {
    ($($constant:ident, $name:literal, $kind:ident, $labels:literal, $about:literal;)*) => {
        $(#[doc = $about] pub const $constant: Metric =
            Metric { name: $name, kind: Kind::$kind, labels: $labels, about: $about };)*
        /// All of them, in the order in which they are told.
        pub const ALL: &[Metric] = &[$($constant),*];
    };
}

metrics! {
    BUILD, "icefield_build_info", Gauge, "version", "Always 1; the label is the version that runs.";
    START, "process_start_time_seconds", Gauge, "", "When the service was started, in seconds since 1970.";
    MEMORY, "process_resident_memory_bytes", Gauge, "", "Memory of the process.";
    REQUESTS, "icefield_requests_total", Counter, "operation, code", "Requests that are over. The code is `OK`, the name of the error, or `Aborted` when the client left before there was an answer.";
    REQUEST_BYTES, "icefield_request_bytes_total", Counter, "operation", "Bytes of request bodies that were read.";
    RESPONSE_BYTES, "icefield_response_bytes_total", Counter, "operation", "Bytes of answers' bodies that were handed to connections.";
    DURATION, "icefield_request_duration_seconds", Histogram, "operation", "From the end of a request's head to the end of its answer.";
    CONNECTIONS, "icefield_connections_open", Gauge, "", "Connections open now.";
    ACCEPTED, "icefield_connections_accepted_total", Counter, "", "Connections accepted.";
    REFUSED, "icefield_connections_refused_total", Counter, "", "Failed accepts, failed handshakes, and requests that cannot be read.";
    SHED, "icefield_connections_shed_total", Counter, "", "Idle connections closed because a new one had no room.";
    BODY_MEMORY, "icefield_body_memory_bytes", Gauge, "", "Memory held for request bodies.";
    FAILURES, "icefield_background_failures_total", Counter, "", "Work in the background that failed: running jobs, delivering, housekeeping, scrubbing, compacting. The log says why.";
    FENCED, "icefield_store_fenced", Gauge, "", "1 when a sync to disk has failed: nothing more is stored, and the service ends.";
    STORE_UP, "icefield_store_up", Gauge, "", "1 when the store could be counted; otherwise what follows of it is missing.";
    VAULTS, "icefield_vaults", Gauge, "", "Vaults of all accounts. This and the rest about the store is at most a minute old.";
    ARCHIVES, "icefield_archives", Gauge, "", "Archives.";
    ARCHIVE_BYTES, "icefield_archive_bytes", Gauge, "", "Sum of the archives' sizes.";
    UPLOADS, "icefield_uploads_in_progress", Gauge, "", "Multipart uploads in progress.";
    JOBS, "icefield_jobs", Gauge, "", "Jobs that are remembered, ended ones included.";
    JOBS_RUNNING, "icefield_jobs_in_progress", Gauge, "", "Jobs that have not ended.";
    JOBS_DUE, "icefield_jobs_due", Gauge, "", "Jobs in progress whose time has come, at most 1000 of them.";
    JOB_OVERDUE, "icefield_job_oldest_due_seconds", Gauge, "", "How long the oldest of those has been due; 0 when there is none.";
    PACK_BYTES, "icefield_store_pack_bytes", Gauge, "", "Bytes of the log, small archives included.";
    FILE_BYTES, "icefield_store_file_bytes", Gauge, "", "Bytes of payload files and their hashes.";
    DEAD_BYTES, "icefield_store_dead_bytes", Gauge, "", "Bytes of deleted archives in the log that compaction can give back.";
    STAGED, "icefield_store_staged_files", Gauge, "", "Payload files that are being written, or wait to be removed.";
    FREE_BYTES, "icefield_store_free_bytes", Gauge, "", "Bytes that the file system of the store has left for the service. Missing for a store in memory.";
    WAITING, "icefield_deliveries_waiting", Gauge, "", "Notifications on their way.";
    DEAD, "icefield_deliveries_dead", Gauge, "", "Notifications given up and kept.";
    DELIVERED, "icefield_deliveries_delivered_total", Counter, "", "Notifications that a destination has received.";
    FAILED, "icefield_deliveries_failed_total", Counter, "", "Attempts to deliver that failed.";
    SCRUB_BYTES, "icefield_scrub_bytes_total", Counter, "", "Bytes that the scrub has verified.";
    SCRUB_PROBLEMS, "icefield_scrub_problems_total", Counter, "", "Problems that the scrub has found; each round finds again what was not mended.";
    SCRUB_OPEN, "icefield_scrub_problems", Gauge, "", "Problems found by the last finished round, or by the present one if those are more.";
    SCRUB_ROUND_BYTES, "icefield_scrub_round_bytes", Gauge, "", "Bytes verified since the present round began; what there is to verify is the sum of the log and the payload files.";
    SCRUB_ROUNDS, "icefield_scrub_rounds_total", Counter, "", "Rounds that were finished.";
    SCRUB_AGE, "icefield_scrub_age_seconds", Gauge, "", "Time since the last round was finished; since the start of the service as long as none was.";
    COMPACTION_FREED, "icefield_compaction_freed_bytes_total", Counter, "", "Bytes that compaction in the background has given back.";
    AUDIT_LINES, "icefield_audit_lines_total", Counter, "", "Lines added to the audit log.";
    AUDIT_FAILED, "icefield_audit_failed", Gauge, "", "1 when the audit log cannot be written: changes are refused.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{ALL, Kind, Metric};

    /// What it should be is printed when it is not.
    #[test]
    fn the_manual_has_every_metric() {
        let manual = include_str!("../../../../docs/operate.md");
        let mut table =
            String::from("| Metric | Kind | Labels | What it says |\n| --- | --- | --- | --- |\n");
        for Metric { name, kind, labels, about } in ALL {
            table += &format!("| `{name}` | {} | {labels} | {about} |\n", kind.as_str());
        }
        assert!(manual.contains(&table), "docs/operate.md should contain:\n{table}");
    }

    #[test]
    fn names_differ_and_end_with_their_unit() {
        let names: BTreeSet<_> = ALL.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), ALL.len());
        for Metric { name, kind, .. } in ALL {
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
        }
    }
}
