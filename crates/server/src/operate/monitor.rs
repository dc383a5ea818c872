//! What is told to those who watch: all metrics, and whether the service can do its work.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use icefield_engine::Engine;
use icefield_protocol::Timestamp;
use icefield_store::{StoreError, StoreStat};
use tokio::{sync::Mutex, task::spawn_blocking, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    audit::AuditLog,
    exposition::Exposition,
    names::{
        ACCEPTED, ARCHIVE_BYTES, ARCHIVES, AUDIT_FAILED, AUDIT_LINES, BODY_MEMORY, BUILD,
        COMPACTION_FREED, CONNECTIONS, DEAD, DEAD_BYTES, DELIVERED, FAILED, FAILURES, FENCED,
        FILE_BYTES, FREE_BYTES, JOB_OVERDUE, JOBS, JOBS_DUE, JOBS_RUNNING, MEMORY, PACK_BYTES,
        REFUSED, SHED, STAGED, START, STORE_UP, UPLOADS, VAULTS, WAITING,
    },
    requests::RequestMetrics,
    scrub::ScrubCounters,
};
use crate::{connection::Gauges, notify::NotifyCounters};

/// How old the store's numbers may be: counting reads folders and tables.
const STORE_AGE: Duration = Duration::from_mins(1);
/// Due jobs that are counted at most.
const MAX_DUE: usize = 1000;
/// How long the ledger may take to answer before the service is not ready.
const LEDGER_TIME: Duration = Duration::from_secs(5);

/// Everything that can be watched of one server.
#[derive(Debug)]
pub(crate) struct Monitor {
    pub(crate) engine: Engine,
    pub(crate) requests: Arc<RequestMetrics>,
    pub(crate) gauges: Gauges,
    pub(crate) notifications: NotifyCounters,
    pub(crate) scrub: ScrubCounters,
    /// Bytes that compaction has given back.
    pub(crate) freed: Arc<AtomicU64>,
    pub(crate) audit: Option<AuditLog>,
    pub(crate) failures: Arc<AtomicU64>,
    pub(crate) broken: CancellationToken,
    pub(crate) started: Timestamp,
    pub(crate) counted: Mutex<Option<Counted>>,
}

/// The store's numbers, and when they were taken.
#[derive(Debug, Clone)]
pub(crate) struct Counted {
    taken: Duration,
    stat: StoreStat,
    due: u64,
    overdue: Duration,
    free_bytes: Option<u64>,
}

impl Monitor {
    /// Returns all metrics.
    pub(crate) async fn metrics(&self) -> String {
        let mut text = Exposition::default();
        self.process(&mut text).await;
        self.requests.write(&mut text);
        text.number(&CONNECTIONS, self.gauges.open());
        text.number(&ACCEPTED, self.gauges.accepted());
        text.number(&REFUSED, self.gauges.refused());
        text.number(&SHED, self.gauges.sheds());
        text.number(&BODY_MEMORY, self.gauges.bytes());
        text.number(&FAILURES, self.failures.load(Relaxed));
        text.number(&FENCED, u8::from(self.is_fenced()));
        let counted = self.counted().await;
        if let Err(error) = &counted {
            let error = error as &dyn std::error::Error;
            tracing::error!(error, "the store cannot be counted for the metrics");
        }
        text.number(&STORE_UP, u8::from(counted.is_ok()));
        if let Ok(counted) = counted {
            counted.write(&mut text);
        }
        text.number(&DELIVERED, self.notifications.delivered());
        text.number(&FAILED, self.notifications.failed());
        self.scrub.write(self.engine.store().clock().now(), &mut text);
        text.number(&COMPACTION_FREED, self.freed.load(Relaxed));
        if let Some(audit) = &self.audit {
            text.number(&AUDIT_LINES, audit.written());
            text.number(&AUDIT_FAILED, u8::from(audit.is_failed()));
        }
        text.into_text()
    }

    /// Tells why the service cannot do all of its work; `None` when it can.
    pub(crate) async fn unready(&self) -> Option<&'static str> {
        if self.is_fenced() {
            return Some("a sync to disk failed, so nothing more is stored");
        }
        if self.audit.as_ref().is_some_and(AuditLog::is_failed) {
            return Some("the audit log cannot be written, so changes are refused");
        }
        match timeout(LEDGER_TIME, self.engine.store().ledger().next_due()).await {
            Ok(Ok(_)) => None,
            Ok(Err(_)) => Some("the ledger cannot be read"),
            Err(_) => Some("the ledger does not answer"),
        }
    }

    fn is_fenced(&self) -> bool {
        self.broken.is_cancelled() || self.engine.store().is_fenced()
    }

    async fn process(&self, text: &mut Exposition) {
        text.begin(&BUILD);
        text.sample(&BUILD, "", &[("version", env!("CARGO_PKG_VERSION"))], 1);
        let started = Duration::from_millis(self.started.unix_millis().max(0).unsigned_abs());
        text.number(&START, started.as_secs_f64());
        // Only Linux tells.
        if let Ok(statm) = tokio::fs::read_to_string("/proc/self/statm").await
            && let Some(pages) = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok())
        {
            text.number(&MEMORY, pages * rustix::param::page_size() as u64);
        }
    }

    async fn counted(&self) -> Result<Counted, StoreError> {
        let store = self.engine.store();
        let mut counted = self.counted.lock().await;
        let taken = store.clock().boot();
        if let Some(counted) = &*counted
            && taken.saturating_sub(counted.taken) < STORE_AGE
        {
            return Ok(counted.clone());
        }
        let stat = store.stat().await?;
        let now = store.clock().now();
        let due = store.ledger().due_jobs(now, MAX_DUE).await?;
        let overdue = due.first().map(|job| now.saturating_since(job.due)).unwrap_or_default();
        let dir = store.dir();
        let free = spawn_blocking(move || {
            let found = dir.and_then(|dir| rustix::fs::statvfs(&dir).ok());
            found.map(|found| found.f_bavail.saturating_mul(found.f_frsize))
        });
        let (due, free_bytes) = (due.len() as u64, free.await.unwrap_or(None));
        Ok(counted.insert(Counted { taken, stat, due, overdue, free_bytes }).clone())
    }
}

impl Counted {
    fn write(&self, text: &mut Exposition) {
        let (stat, ledger) = (&self.stat, &self.stat.ledger);
        for (metric, value) in [
            (&VAULTS, ledger.vaults),
            (&ARCHIVES, ledger.archives),
            (&ARCHIVE_BYTES, ledger.bytes),
            (&UPLOADS, ledger.uploads),
            (&JOBS, ledger.jobs),
            (&JOBS_RUNNING, ledger.jobs_in_progress),
            (&JOBS_DUE, self.due),
        ] {
            text.number(metric, value);
        }
        text.number(&JOB_OVERDUE, self.overdue.as_secs_f64());
        for (metric, value) in [
            (&PACK_BYTES, stat.pack_bytes),
            (&FILE_BYTES, stat.file_bytes),
            (&DEAD_BYTES, ledger.dead_bytes),
            (&STAGED, ledger.staged),
        ] {
            text.number(metric, value);
        }
        if let Some(free) = self.free_bytes {
            text.number(&FREE_BYTES, free);
        }
        text.number(&WAITING, ledger.deliveries);
        text.number(&DEAD, ledger.dead_deliveries);
    }
}
