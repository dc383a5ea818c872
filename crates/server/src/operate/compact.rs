//! Compaction in the background: packs most of which was deleted give their room back, at a bounded rate.

use std::{
    num::NonZeroU64,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use icefield_store::PackOutcome;
use tokio::time::timeout;

use super::scrub::{AFTER_FAILURE, budget, pause};
use crate::background::Background;

/// Compacts what is worth it, reading at most `rate` bytes in a second, until the end. With nothing left to do it looks
/// again after `interval`. It gives way to a compaction that the owner asks for. `freed` counts the bytes that were given back.
pub(crate) async fn compact(
    work: Background,
    rate: NonZeroU64,
    interval: Duration,
    freed: Arc<AtomicU64>,
) {
    let mut compaction = work.engine.compaction().giving_way();
    let budget = budget(rate);
    loop {
        let step = work.stop.run_until_cancelled(compaction.step(budget)).await;
        let Some(step) = step else { return };
        let pause = match work.noted("compacting packs", step.map_err(Into::into)) {
            None => AFTER_FAILURE,
            Some(step) => {
                if let Some((pack, outcome)) = step.pack {
                    tell(&work, pack, &outcome, &freed);
                }
                if step.is_idle { interval } else { pause(step.bytes, rate) }
            }
        };
        if timeout(pause, work.stop.cancelled()).await.is_ok() {
            return;
        }
    }
}

fn tell(work: &Background, pack: u32, outcome: &PackOutcome, freed: &AtomicU64) {
    match outcome {
        PackOutcome::Shorter(bytes) => {
            freed.fetch_add(*bytes, Relaxed);
            tracing::info!(pack, bytes, "a pack was compacted");
        }
        PackOutcome::Locked(vault) => {
            let vault_number = vault.0;
            tracing::info!(pack, vault_number, "a pack with archives of a locked vault stays");
        }
        PackOutcome::Damaged(damage) => tracing::error!(
            pack,
            place = damage.place,
            what = damage.what,
            "a pack that is not as it was stored is not compacted"
        ),
        PackOutcome::NoRoom => {
            work.failures.fetch_add(1, Relaxed);
            tracing::warn!(pack, "there is no room to compact a pack");
        }
        PackOutcome::Failed(why) => {
            work.failures.fetch_add(1, Relaxed);
            tracing::error!(pack, why, "compacting a pack failed");
        }
    }
}
