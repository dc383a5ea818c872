//! The engine itself: a store, settings, and what must not happen twice at once.

use std::{
    collections::BTreeMap,
    sync::{self, Arc},
};

use aws_lc_rs::rand;
use icefield_protocol::{
    AccountId, Region, Timestamp, VaultArn, VaultName,
    sigv4::{AccessKeyId, SecretKey},
};
use icefield_store::{Store, ledger::VaultRow};
use tokio::sync::{Mutex, Notify, RwLock};

use crate::{
    account::{MasterKey, Secrets},
    compliance::ComplianceClock,
    error::EngineError,
    id::Sealer,
    job::JobsLeft,
    room::Room,
    settings::Settings,
    upload::UploadLocks,
};

/// The vaults of a store under Glacier's rules. Clones are the same engine.
///
/// Every operation takes an [`Access`](crate::Access) first. What a call has answered with success is durable.
///
/// # Cancel safety
///
/// A call that is dropped has happened entirely or not at all; repeating it is safe where the service says that the
/// operation is idempotent, and with an upload token where it is not.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) settings: Settings,
    pub(crate) ids: Sealer,
    /// Seals the secrets of keys; none when no master key was given.
    pub(crate) secrets: Option<Secrets>,
    account: AccountId,
    pub(crate) compliance: ComplianceClock,
    /// Held for writing while something changes by which is decided (settings of a vault, policies of a user), for reading from a decision to remove
    /// something to its end: so nothing is removed by a decision that does not hold any more.
    pub(crate) deciding: RwLock<()>,
    /// Keys of the first account's root that end with the process.
    pub(crate) lent: sync::RwLock<BTreeMap<AccessKeyId, SecretKey>>,
    /// Held while a vault is counted and created, so that the limit holds.
    pub(crate) creating: Mutex<()>,
    /// Held while a retrieval is counted against a limit and started.
    pub(crate) retrieving: Mutex<()>,
    /// Held while due jobs are run, so that no job is run twice.
    pub(crate) running: Mutex<()>,
    pub(crate) uploads: UploadLocks,
    /// What is left of the limits of jobs.
    pub(crate) jobs_left: JobsLeft,
    /// What small archives on their way in keep in memory.
    pub(crate) room: Room,
    /// What bodies on their way into files keep: beside the others, so that large bodies do not send small archives into
    /// files.
    pub(crate) room_of_files: Room,
    /// What outputs on their way out may read ahead.
    pub(crate) outgoing: Room,
    /// What outputs on their way out need.
    pub(crate) outputs: Room,
    /// Rung when something was put into the outbox.
    pub(crate) outbox: Notify,
}

impl Engine {
    /// Begins to serve a store; without a master key, so that nothing can be signed for it.
    ///
    /// # Errors
    ///
    /// When the store has no key for IDs.
    pub async fn open(store: Store, settings: Settings) -> Result<Self, EngineError> {
        Self::open_with(store, settings, None).await
    }

    /// Begins to serve a store whose keys are sealed with `master_key`.
    ///
    /// # Errors
    ///
    /// When the store has no key for IDs.
    pub async fn open_with(
        store: Store,
        settings: Settings,
        master_key: Option<&MasterKey>,
    ) -> Result<Self, EngineError> {
        let keys = store.id_keys();
        let numbers = 0..=keys.newest().0;
        let keys = numbers.filter_map(|number| Some((number, *keys.by_number(number)?)));
        let ids = Sealer::new(keys, rand::fill)?;
        let account = store.identity().account.clone();
        let compliance = Self::start_compliance_clock(&store).await?;
        let inner = Inner {
            store,
            settings: settings.with_promised_minimums(),
            ids,
            secrets: master_key.map(Secrets::new),
            account,
            compliance,
            deciding: RwLock::new(()),
            lent: sync::RwLock::default(),
            creating: Mutex::new(()),
            retrieving: Mutex::new(()),
            running: Mutex::new(()),
            uploads: UploadLocks::default(),
            jobs_left: JobsLeft::default(),
            room: Room::of_small(),
            room_of_files: Room::of_files(),
            outgoing: Room::of_outgoing(),
            outputs: Room::of_outputs(),
            outbox: Notify::new(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Returns the store's first account.
    #[must_use]
    pub fn account(&self) -> &AccountId {
        &self.inner.account
    }

    /// Returns the region in ARNs.
    #[must_use]
    pub fn region(&self) -> &Region {
        &self.inner.settings.region
    }

    /// Returns the store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// Waits until this engine has put something into the outbox, also before the call if nobody waited then. For one
    /// waiter. Cancel safe.
    pub async fn outbox_filled(&self) {
        self.inner.outbox.notified().await;
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    pub(crate) fn ids(&self) -> &Sealer {
        &self.inner.ids
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.inner.store.clock().now()
    }

    pub(crate) fn arn(&self, account: &AccountId, vault: &VaultName) -> VaultArn {
        VaultArn {
            region: self.inner.settings.region.clone(),
            account: account.clone(),
            vault: vault.clone(),
        }
    }

    pub(crate) fn arn_of(&self, row: &VaultRow) -> VaultArn {
        self.arn(&row.account, &row.name)
    }
}
