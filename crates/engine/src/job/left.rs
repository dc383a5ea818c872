//! How many jobs each vault may still get, so that whoever may begin jobs can fill neither the disk nor the ledger.
//!
//! A vault may have so many jobs that counting them takes a while. Only housekeeping makes them fewer, so the jobs of a
//! vault are counted once, when the first begins after it, and those that begin later are taken from what was left.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use icefield_store::{
    entry::VaultNumber,
    ledger::{JobKind, VaultRow},
};

use crate::{engine::Engine, error::EngineError};

/// What is left of the limits of the vaults that were counted.
#[derive(Debug, Default)]
pub(crate) struct JobsLeft(Mutex<BTreeMap<VaultNumber, Left>>);

/// Of one vault.
#[derive(Debug, Clone, Copy)]
struct Left {
    jobs: usize,
    inventories: usize,
}

impl JobsLeft {
    /// Says that there may be fewer jobs now.
    pub(crate) fn count_again(&self) {
        self.vaults().clear();
    }

    /// Changes what is left of a vault, if it was counted.
    fn change<T>(&self, vault: VaultNumber, change: impl FnOnce(&mut Left) -> T) -> Option<T> {
        self.vaults().get_mut(&vault).map(change)
    }

    /// Changes what is left of a vault that was counted just now, perhaps not by this caller alone.
    fn change_counted<T>(
        &self,
        vault: VaultNumber,
        counted: Left,
        change: impl FnOnce(&mut Left) -> T,
    ) -> T {
        change(self.vaults().entry(vault).or_insert(counted))
    }

    fn vaults(&self) -> MutexGuard<'_, BTreeMap<VaultNumber, Left>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// Takes one of the jobs that a vault may still get. One that does not come to be is given back by housekeeping.
    ///
    /// # Errors
    ///
    /// `JobLimit` and `InventoryJobLimit`.
    pub(super) async fn take_job(
        &self,
        vault: &VaultRow,
        kind: &JobKind,
    ) -> Result<(), EngineError> {
        let take = |left: &mut Left| self.take_of(left, kind);
        let left = &self.inner.jobs_left;
        if let Some(taken) = left.change(vault.number, take) {
            return taken;
        }
        let (ledger, settings) = (self.store().ledger(), self.settings());
        let (jobs, inventories) = (settings.jobs_per_vault, settings.inventory_jobs_per_vault);
        let counted = Left {
            jobs: jobs - ledger.count_jobs(vault.number, jobs).await?,
            inventories: inventories
                - ledger.count_inventory_jobs(vault.number, inventories).await?,
        };
        left.change_counted(vault.number, counted, take)
    }

    fn take_of(&self, left: &mut Left, kind: &JobKind) -> Result<(), EngineError> {
        let settings = self.settings();
        let jobs = left.jobs.checked_sub(1);
        let jobs = jobs.ok_or(EngineError::JobLimit(settings.jobs_per_vault))?;
        if let JobKind::Inventory { .. } = kind {
            let limit = EngineError::InventoryJobLimit(settings.inventory_jobs_per_vault);
            left.inventories = left.inventories.checked_sub(1).ok_or(limit)?;
        }
        left.jobs = jobs;
        Ok(())
    }
}
