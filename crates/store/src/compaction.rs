//! Packs give back the room of deleted archives: a sealed pack that is dead for a good part is rewritten, a little at a time.
//!
//! ```text
//! ledger: bodies that nothing needs ──> survey ──> write, sync, verify ──> switch ──> ledger: forget these bodies
//!                                          └── a vault with a lock, an archive that is there, damage: left alone
//! ```
//!
//! Only bodies go. The heads of all records stay, in their order and at the places that the ledger has for them, so that
//! nothing else of the store needs to know: a replay reads what it read before, and makes the same ledger. What a
//! crash leaves is the old pack or the new one; bodies that the ledger has not forgotten yet are forgotten the next time.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use async_trait::async_trait;

use crate::{
    entry::VaultNumber,
    error::{Damage, StoreError},
    ledger::Ledger,
    payload::{DeadBody, LogPosition, PackRewrite, Payload, Survey},
    store::{Held, Store},
};

/// A pack is rewritten when at least one part of so many of its file is dead.
const WORTHWHILE_PART: u64 = 2;
/// Bodies asked for, or forgotten, at a time.
const PAGE: usize = 1000;

/// Tells which vaults have a lock.
#[async_trait]
pub trait VaultLocks: fmt::Debug + Send + Sync + 'static {
    /// Whether the vault has a lock, in progress or final; in doubt it has.
    async fn is_locked(&self, vault: VaultNumber) -> Result<bool, StoreError>;
}

/// What a step did.
#[derive(Debug, Default)]
pub struct CompactionStep {
    /// About as many bytes as were read, and as many as were written, at most.
    pub bytes: u64,
    /// A pack that is done with.
    pub pack: Option<(u32, PackOutcome)>,
    /// Whether there is nothing to do now.
    pub is_idle: bool,
}

/// What became of a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PackOutcome {
    /// It takes so many bytes less.
    Shorter(u64),
    /// It tells of archives of a vault with a lock: nothing of it was changed.
    Locked(VaultNumber),
    /// Something in it is not as it was stored, or not as the ledger has it: nothing of it was changed.
    Damaged(Damage),
    /// There is no room for the new file beside the old one: nothing of it was changed.
    NoRoom,
    /// Reading it, or writing the new file, failed, and why.
    Failed(String),
}

/// Compacts a store, pack after pack. One at a time works, whoever has them.
#[derive(Debug)]
pub struct Compaction {
    store: Store,
    locks: Arc<dyn VaultLocks>,
    gives_way: bool,
    work: Option<Work>,
    /// Packs that were left alone, how much of them was dead then, and why.
    left_alone: BTreeMap<u32, (u64, PackOutcome)>,
}

/// A pack that is being compacted.
#[derive(Debug)]
struct Work {
    pack: u32,
    dead_bytes: u64,
    rewrite: Box<dyn PackRewrite>,
    /// Once the pack was surveyed.
    survey: Option<Survey>,
}

/// A pack whose turn it is.
struct Begun {
    pack: u32,
    dead_bytes: u64,
    work: Result<Work, StoreError>,
}

impl Compaction {
    /// Returns a compaction that has looked at no pack yet. `locks` is asked before anything of a pack is changed.
    pub fn new(store: &Store, locks: Arc<dyn VaultLocks>) -> Self {
        let (store, left_alone) = (store.clone(), BTreeMap::new());
        Self { store, locks, gives_way: false, work: None, left_alone }
    }

    /// Gives up its pack at the next step when another compaction, which does not give way, waits.
    #[must_use]
    pub fn giving_way(self) -> Self {
        Self { gives_way: true, ..self }
    }

    /// Goes on with a pack, or with the next one that is worth it: sealed, known to the ledger to its end, and at least
    /// half of its file dead. Dropping the future, or the compaction, gives up the pack; nothing is lost by that.
    ///
    /// What goes wrong with a pack is its outcome, and the next one gets its turn.
    ///
    /// # Errors
    ///
    /// `Closed` for a store that is closed, or only looked at; `Fenced` after a sync that failed; those of the ledger.
    pub async fn step(&mut self, budget_bytes: u64) -> Result<CompactionStep, StoreError> {
        if self.gives_way
            && self.store.is_compaction_awaited()
            && let Some(work) = self.work.take()
        {
            work.rewrite.abandon().await?;
        }
        let begun = match self.work.take() {
            Some(work) => Begun { pack: work.pack, dead_bytes: work.dead_bytes, work: Ok(work) },
            None => match self.next().await? {
                Some(begun) => begun,
                None => {
                    self.try_again_without_room();
                    return Ok(CompactionStep { is_idle: true, ..CompactionStep::default() });
                }
            },
        };
        let Begun { pack, dead_bytes, work } = begun;
        let gone_on = match work {
            Ok(work) => self.go_on(work, budget_bytes).await,
            Err(error) => Err(error),
        };
        let outcome = match gone_on {
            Ok(outcome) => outcome,
            Err(error) => Some(outcome_of(pack, error)?),
        };
        match &outcome {
            None => {}
            Some(PackOutcome::Shorter(_)) => self.try_again_without_room(),
            Some(why) => drop(self.left_alone.insert(pack, (dead_bytes, why.clone()))),
        }
        let pack = outcome.map(|outcome| (pack, outcome));
        Ok(CompactionStep { bytes: budget_bytes, pack, is_idle: false })
    }

    /// Finds the next pack and begins with it.
    async fn next(&mut self) -> Result<Option<Begun>, StoreError> {
        let held = Arc::new(self.store.hold_for_compaction(self.gives_way).await?);
        let (ledger, payload) = (self.store.ledger(), self.store.payload());
        let applied = ledger.mark().await?;
        let sealed: BTreeMap<u32, u64> = payload.sealed_packs().await?.into_iter().collect();
        for (pack, dead_bytes) in ledger.dead_packs().await? {
            let Some(file_bytes) = sealed.get(&pack).copied() else { continue };
            let worthwhile_bytes = file_bytes / WORTHWHILE_PART;
            if pack >= applied.pack
                || dead_bytes < worthwhile_bytes
                || self.stays_alone(pack, dead_bytes).await?
            {
                continue;
            }
            let work = self.begin(pack, worthwhile_bytes, &held).await;
            if let Some(work) = work.transpose() {
                let dead_bytes = work.as_ref().map_or(dead_bytes, |work| work.dead_bytes);
                return Ok(Some(Begun { pack, dead_bytes, work }));
            }
        }
        Ok(None)
    }

    /// Whether a pack was left alone and would be again, as far as can be told without reading it.
    async fn stays_alone(&self, pack: u32, dead_bytes: u64) -> Result<bool, StoreError> {
        match self.left_alone.get(&pack) {
            None => Ok(false),
            Some((_, PackOutcome::Locked(vault))) => self.locks.is_locked(*vault).await,
            Some((then, _)) => Ok(*then == dead_bytes),
        }
    }

    /// Forgets which packs had no room: there may be some by now.
    fn try_again_without_room(&mut self) {
        self.left_alone.retain(|_, (_, why)| *why != PackOutcome::NoRoom);
    }

    /// Begins with a pack, if so many bytes of it are dead when all is known.
    async fn begin(
        &self,
        pack: u32,
        worthwhile_bytes: u64,
        held: &Arc<Held>,
    ) -> Result<Option<Work>, StoreError> {
        let (ledger, payload) = (&**self.store.ledger(), &**self.store.payload());
        forget_dropped(payload, ledger, pack).await?;
        let dead = dead_bodies(ledger, pack).await?;
        let dead_bytes = dead.iter().map(|body| body.bytes).sum();
        if dead_bytes < worthwhile_bytes {
            return Ok(None);
        }
        let rewrite = payload.rewrite(pack, dead, Arc::<Held>::clone(held)).await?;
        Ok(rewrite.map(|rewrite| Work { pack, dead_bytes, rewrite, survey: None }))
    }

    /// Does a part of the work. `None` when there is more of it.
    async fn go_on(
        &mut self,
        mut work: Work,
        budget_bytes: u64,
    ) -> Result<Option<PackOutcome>, StoreError> {
        let Some(survey) = &work.survey else {
            work.survey = work.rewrite.survey(budget_bytes).await?;
            if let Some(survey) = &work.survey {
                self.nobody_needs(&survey.droppable).await?;
                if let Some(vault) = self.locked(&survey.vaults).await? {
                    return Ok(Some(PackOutcome::Locked(vault)));
                }
            }
            self.work = Some(work);
            return Ok(None);
        };
        if !work.rewrite.write(budget_bytes).await? {
            self.work = Some(work);
            return Ok(None);
        }
        // That took its time.
        if let Some(vault) = self.locked(&survey.vaults).await? {
            work.rewrite.abandon().await?;
            return Ok(Some(PackOutcome::Locked(vault)));
        }
        let dropped: Vec<LogPosition> = survey.droppable.iter().map(|body| body.at).collect();
        let shorter = work.rewrite.switch().await?;
        for page in dropped.chunks(PAGE) {
            self.store.ledger().forget_dead(page.to_vec()).await?;
        }
        Ok(Some(PackOutcome::Shorter(shorter)))
    }

    async fn locked(
        &self,
        vaults: &BTreeSet<VaultNumber>,
    ) -> Result<Option<VaultNumber>, StoreError> {
        for vault in vaults {
            if self.locks.is_locked(*vault).await? {
                return Ok(Some(*vault));
            }
        }
        Ok(None)
    }

    /// Asks the ledger once more: it must not know an archive whose body is to be dropped.
    async fn nobody_needs(&self, bodies: &[DeadBody]) -> Result<(), StoreError> {
        for body in bodies {
            if self.store.ledger().archive(body.archive).await?.is_some() {
                let what =
                    format!("the ledger has archive {} although it says it is dead", body.archive);
                let place = "ledger.db".to_owned();
                return Err(StoreError::Damaged(Damage { place, leaf: None, what }));
            }
        }
        Ok(())
    }
}

/// What an error says of the pack that it came with; other errors are not of a pack.
fn outcome_of(pack: u32, error: StoreError) -> Result<PackOutcome, StoreError> {
    match error {
        StoreError::Damaged(damage) => Ok(PackOutcome::Damaged(damage)),
        StoreError::NewerRecord { .. } => {
            let place = format!("pack {pack:08x}");
            Ok(PackOutcome::Damaged(Damage { place, leaf: None, what: error.to_string() }))
        }
        StoreError::Full { .. } => Ok(PackOutcome::NoRoom),
        StoreError::Io { ref source, .. } => Ok(PackOutcome::Failed(format!("{error}: {source}"))),
        StoreError::Missing(_)
        | StoreError::Fenced
        | StoreError::InUse { .. }
        | StoreError::NewerFormat { .. }
        | StoreError::NotAStore { .. }
        | StoreError::LedgerMissing { .. }
        | StoreError::Ledger { .. }
        | StoreError::UnfitDocument { .. }
        | StoreError::RegionDiffers { .. }
        | StoreError::Closed => Err(error),
    }
}

/// All dead bodies of a pack in the order of the log.
async fn dead_bodies(ledger: &dyn Ledger, pack: u32) -> Result<Vec<DeadBody>, StoreError> {
    let (mut all, mut from) = (Vec::new(), LogPosition { pack, offset: 0 });
    loop {
        let page = ledger.dead_bodies(from, PAGE).await?;
        let Some(last) = page.last() else { return Ok(all) };
        from.offset = last.at.offset + 1;
        all.extend(page);
    }
}

/// Lets the ledger forget dead bodies that the pack does not have any more: it did not come to that before a crash, or it is
/// an older one, or made anew.
pub(crate) async fn forget_dropped(
    payload: &dyn Payload,
    ledger: &dyn Ledger,
    pack: u32,
) -> Result<(), StoreError> {
    let mut from = LogPosition { pack, offset: 0 };
    loop {
        let page = ledger.dead_bodies(from, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        from.offset = last.at.offset + 1;
        let dropped = payload.dropped(page).await?;
        if !dropped.is_empty() {
            ledger.forget_dead(dropped).await?;
        }
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "what tests store is small")]
pub(crate) mod tests;
