//! What all tasks of one upload share: the context, the limits, the counts, and whether to stop.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use async_trait::async_trait;
use icefield_protocol::{Description, Timestamp};
use tokio::sync::Semaphore;

use super::{Describe, FileError, UploadContext, UploadError, UploadOptions, blocking};
use crate::{
    catalog::{self, Catalog, CatalogError, VaultRef},
    description::{ArchiveNote, RunId, encode_as, encode_item},
    events::Event,
    life::{MeetError, meet},
    target::{Body, Limits, Meter, TargetError},
    transfer::{Cancel, Canceller, source::SourceError},
};

/// Small files in transfer at a time, at most: as many as share one sync of the store's packs.
const SMALL_FILES: usize = 64;

/// Small files for each body that is allowed.
const SMALL_FILES_PER_BODY: usize = 16;

/// Multipart uploads in progress at a time: one that sends, and one that begins or completes meanwhile.
const MULTIPARTS: usize = 2;

/// Calls of the catalog at a time; they take turns there anyway.
const CATALOG_CALLS: u32 = 16;

/// Below so many bytes a file the rate of a run tells the cost of a file, not of a byte.
const RATE_FLOOR_BYTES: u64 = 1 << 20;

pub(super) struct Run {
    pub(super) context: UploadContext,
    pub(super) options: UploadOptions,
    pub(super) vault: VaultRef,
    /// Makes the claims of this run its own for as long as it lives.
    /// What fits into the target's archives, at the rate that was reached there before.
    pub(super) limits: Limits,
    pub(super) lease: catalog::Run,
    pub(super) id: RunId,
    pub(super) started: Timestamp,
    /// Files in hand.
    pub(super) files: Arc<Semaphore>,
    /// Bodies that are not small.
    pub(super) bodies: Semaphore,
    pub(super) multiparts: Semaphore,
    catalog_calls: Arc<Semaphore>,
    items: AtomicU64,
    moved: AtomicU64,
    resumed: AtomicU64,
    planned: Mutex<(u64, u64)>,
    halt: Canceller,
    halted: Cancel,
    why: Mutex<Option<UploadError>>,
}

/// Why a file was not sent.
pub(super) enum Trouble {
    /// The next one may do better.
    File(FileError),
    /// The run ends.
    Halt(UploadError),
    /// Another run has it.
    HeldElsewhere,
}

impl From<SourceError> for Trouble {
    fn from(error: SourceError) -> Self {
        match error {
            // The next one would fare no better.
            SourceError::Remote(
                source @ (TargetError::Transport { .. } | TargetError::Credentials(_)),
            ) => halt(&"the source", source),
            error => Self::File(error.into()),
        }
    }
}

impl From<CatalogError> for Trouble {
    fn from(error: CatalogError) -> Self {
        Self::Halt(error.into())
    }
}

impl Run {
    pub(super) async fn begin(
        context: UploadContext,
        options: UploadOptions,
    ) -> Result<Arc<Self>, UploadError> {
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|_| UploadError::Random)?;
        let opening = context.clone();
        let (vault, lease, rate) = blocking(move || {
            let vault = opening.catalog.vault(opening.target.identity(), &opening.vault)?;
            let what = format!("upload to {} at {}", opening.vault, opening.target.describe());
            let rate = opening.catalog.rate(opening.target.identity())?;
            Ok::<_, CatalogError>((vault, opening.catalog.begin_run(&what)?, rate))
        })
        .await?;
        let UploadContext { target, catalog, events, .. } = &context;
        let name = &context.vault;
        let met = meet(&**target, catalog, name, vault, &**events).await;
        met.map_err(|error| match error {
            MeetError::Target(source) => {
                UploadError::Target { what: format!("the vault `{name}`"), source }
            }
            MeetError::Catalog(error) => error.into(),
        })?;
        let bodies = options.concurrency.get();
        // Who asks for one at a time gets one at a time.
        let files = if bodies == 1 { 1 } else { (bodies * SMALL_FILES_PER_BODY).min(SMALL_FILES) };
        let (halt, halted) = Canceller::new();
        Ok(Arc::new(Self {
            started: context.clock.now(),
            vault,
            limits: context.target.limits().at_rate(rate),
            lease,
            id: RunId::from_bytes(id),
            files: Arc::new(Semaphore::new(files.max(bodies))),
            bodies: Semaphore::new(bodies),
            multiparts: Semaphore::new(MULTIPARTS.min(bodies)),
            catalog_calls: Arc::new(Semaphore::new(CATALOG_CALLS as usize)),
            items: AtomicU64::new(0),
            moved: AtomicU64::new(0),
            resumed: AtomicU64::new(0),
            planned: Mutex::new((0, 0)),
            halt,
            halted,
            why: Mutex::new(None),
            context,
            options,
        }))
    }

    pub(super) fn now(&self) -> Timestamp {
        self.context.clock.now()
    }

    /// Runs work on the catalog, and on the run's lease, on a blocking thread.
    pub(super) async fn catalog<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Catalog, &Self) -> Result<T, CatalogError> + Send + 'static,
    ) -> Result<T, CatalogError> {
        let run = Arc::clone(self);
        // Goes along, so that work whose task has been dropped is still waited for.
        let permit = Arc::clone(&self.catalog_calls).acquire_owned().await;
        blocking(move || {
            let result = work(&run.context.catalog, &run);
            drop((run, permit));
            result
        })
        .await
    }

    /// Waits for catalog calls whose tasks were dropped, so that nothing of the run outlives it.
    pub(super) async fn settle_down(&self) {
        drop(self.catalog_calls.acquire_many(CATALOG_CALLS).await);
    }

    /// Ends the run; the first reason counts.
    pub(super) fn stop(&self, why: UploadError) {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
        self.halt.cancel();
    }

    /// Waits until the run has to end.
    pub(super) async fn halted(&self) {
        tokio::select! {
            () = self.halted.cancelled() => {}
            () = self.context.cancel.cancelled() => self.stop(UploadError::Cancelled),
        }
    }

    pub(super) fn is_halted(&self) -> bool {
        if self.context.cancel.is_cancelled() {
            self.stop(UploadError::Cancelled);
        }
        self.halted.is_cancelled()
    }

    pub(super) fn why_halted(&self) -> Option<UploadError> {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Decides what a failed request means for the rest.
    pub(super) fn trouble(what: &dyn fmt::Display, error: TargetError) -> Trouble {
        match error {
            TargetError::Source(error) => match error.downcast::<SourceError>() {
                Ok(error) => error.into(),
                Err(error) => SourceError::Io(error).into(),
            },
            // Without the vault, or without the right to it, the next file fares no better.
            refused @ TargetError::Service { code, .. } if matches!(code.status(), 403 | 404) => {
                halt(what, refused)
            }
            refused @ (TargetError::Service { .. }
            | TargetError::CompletedUnseen
            | TargetError::UsedToken
            | TargetError::Damaged { .. }) => Trouble::File(FileError::Target(refused)),
            failed @ (TargetError::Full { .. }
            | TargetError::Transport { .. }
            | TargetError::Credentials(_)
            | TargetError::Unsupported { .. }
            | TargetError::Failed(_)) => halt(what, failed),
        }
    }

    /// Returns the description of a file, and whether the manifest has to tell its path.
    pub(super) fn describe(&self, note: &ArchiveNote) -> (Option<Description>, bool) {
        match &self.options.describe {
            Describe::Verbatim(description) => (description.clone(), true),
            Describe::Notes(format) => match encode_as(*format, note) {
                Some(description) => (Some(description), !format.tells_all()),
                None => (Some(encode_item(self.id, self.items.fetch_add(1, Relaxed))), true),
            },
        }
    }

    /// Whether descriptions tell the paths, so that two files never share one.
    pub(super) fn tells_paths(&self) -> bool {
        !matches!(self.options.describe, Describe::Verbatim(_))
    }

    pub(super) fn plan_more(&self, files: u64, bytes: u64) {
        if files > 0 {
            let mut planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner);
            *planned = (planned.0 + files, planned.1 + bytes);
            self.context.events.event(Event::Planned { files: planned.0, bytes: planned.1 });
        }
    }

    /// Makes the chunks of a body wait for the rate, and counts them.
    pub(super) fn metered(self: &Arc<Self>, body: Body) -> Body {
        body.metered(Arc::<Self>::clone(self))
    }

    pub(super) fn found_there(&self, bytes: u64) {
        self.resumed.fetch_add(bytes, Relaxed);
        self.context.events.event(Event::Moved { bytes, resumed: true });
    }

    pub(super) fn bytes_moved(&self) -> u64 {
        self.moved.load(Relaxed)
    }

    pub(super) fn resumed(&self) -> u64 {
        self.resumed.load(Relaxed)
    }

    /// Keeps the achieved rate for the next estimate; not of a run that was slowed down on purpose.
    pub(super) async fn remember_rate(self: &Arc<Self>, files: u64, finished: Timestamp) {
        let seconds = finished.saturating_since(self.started).as_secs_f64();
        let moved = self.bytes_moved();
        let is_telling = moved / files.max(1) >= RATE_FLOOR_BYTES && seconds > 0.0;
        if self.options.throttle.is_some() || !is_telling {
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "an estimate needs no more than 52 bits")]
        let rate = moved as f64 / seconds;
        let kept = self
            .catalog(move |catalog, run| catalog.record_rate(run.context.target.identity(), rate))
            .await;
        if let Err(error) = kept {
            tracing::debug!(%error, "the rate was not recorded");
        }
    }
}

#[async_trait]
impl Meter for Run {
    async fn wait(&self, bytes: u64) {
        if let Some(throttle) = &self.options.throttle {
            throttle.take(bytes, self.now()).await;
        }
    }

    fn moved(&self, bytes: u64) {
        self.moved.fetch_add(bytes, Relaxed);
        self.context.events.event(Event::Moved { bytes, resumed: false });
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("id", &self.id).finish_non_exhaustive()
    }
}

fn halt(what: &dyn fmt::Display, source: TargetError) -> Trouble {
    Trouble::Halt(UploadError::Target { what: what.to_string(), source })
}
