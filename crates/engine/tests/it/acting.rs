//! Engines that callers of all kinds use, in memory or in a folder that is closed and opened again.

use std::{fs, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use icefield_engine::{
    Access, Caller, Engine, EngineError, NewArchive, Resource, Settings, StoredArchive,
};
use icefield_protocol::{
    AccountId, ArchiveId, Clock as _, JobId, JobRequest, LockDescription, LockId,
    NotificationConfiguration, Operation, TagKey, TagValue, Tags, Timestamp, UserName, VaultName,
};
use icefield_store::{ManualClock, OpenOptions, Store, rebuild};
use tempfile::TempDir;

use crate::world::{START, bytes, name};

pub(crate) const DAY: Duration = Duration::from_hours(24);

pub(crate) const ALLOW_ALL: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"glacier:*","Resource":"*"}]}"#;

/// Denies everyone to delete archives younger than a year.
pub(crate) fn retention(vault: &str) -> String {
    deny(
        vault,
        "glacier:DeleteArchive",
        r#"{"NumericLessThan":{"glacier:ArchiveAgeInDays":"365"}}"#,
    )
}

pub(crate) fn deny(vault: &str, action: &str, condition: &str) -> String {
    of_vault("Deny", vault, action, condition)
}

pub(crate) fn allow(vault: &str, action: &str, condition: &str) -> String {
    of_vault("Allow", vault, action, condition)
}

fn of_vault(effect: &str, vault: &str, action: &str, condition: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Sid":"rule","Effect":"{effect}","Principal":{{"AWS":"*"}},"Action":"{action}","Resource":"{vault}","Condition":{condition}}}]}}"#
    )
}

pub(crate) fn user(text: &str) -> UserName {
    UserName::parse(text).unwrap()
}

pub(crate) fn tags(pairs: &[(&str, &str)]) -> Tags {
    let tag = |(key, value): &(&str, &str)| {
        (TagKey::parse(key).unwrap(), TagValue::parse(value).unwrap())
    };
    pairs.iter().map(tag).collect()
}

/// Somebody at work on one vault: each call is decided first, as the service does.
pub(crate) struct Acting<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) caller: Caller,
    pub(crate) owner: AccountId,
    pub(crate) vault: VaultName,
}

impl<'a> Acting<'a> {
    /// The root of the store's first account, on the vault `photos`.
    pub(crate) fn root(engine: &'a Engine) -> Self {
        Self::by(engine, Caller::root(engine.account().clone()))
    }

    pub(crate) fn by(engine: &'a Engine, caller: Caller) -> Self {
        Self { engine, caller, owner: engine.account().clone(), vault: name("photos") }
    }

    pub(crate) fn on(self, vault: &str) -> Self {
        Self { vault: name(vault), ..self }
    }

    pub(crate) fn arn(&self) -> String {
        format!("arn:aws:glacier:local:{}:vaults/{}", self.owner, self.vault)
    }

    pub(crate) async fn access(&self, operation: Operation) -> Result<Access, EngineError> {
        let vault = operation.has_vault().then_some(&self.vault);
        let resource = Resource { account: &self.owner, vault, archive: None };
        self.engine.authorize(&self.caller, operation, resource).await
    }

    pub(crate) async fn access_to(
        &self,
        operation: Operation,
        archive: &ArchiveId,
    ) -> Result<Access, EngineError> {
        let resource =
            Resource { account: &self.owner, vault: Some(&self.vault), archive: Some(archive) };
        self.engine.authorize(&self.caller, operation, resource).await
    }

    pub(crate) async fn create(&self) -> Result<(), EngineError> {
        self.engine.create_vault(&self.access(Operation::CreateVault).await?).await
    }

    pub(crate) async fn delete_vault(&self) -> Result<(), EngineError> {
        self.engine.delete_vault(&self.access(Operation::DeleteVault).await?).await
    }

    pub(crate) async fn put(&self, bytes: &Bytes) -> Result<StoredArchive, EngineError> {
        let new =
            NewArchive { description: None, token: None, size: bytes.len() as u64, linear: false };
        let access = self.access(Operation::UploadArchive).await?;
        let mut receiving = self.engine.receive_archive(&access, new).await?;
        receiving.write(bytes.clone()).await?;
        receiving.commit(None).await
    }

    pub(crate) async fn delete(&self, archive: &ArchiveId) -> Result<(), EngineError> {
        let access = self.access_to(Operation::DeleteArchive, archive).await?;
        self.engine.delete_archive(&access, archive).await
    }

    pub(crate) async fn start(&self, request: &JobRequest) -> Result<JobId, EngineError> {
        let access = match request.archive() {
            Some(archive) => self.access_to(Operation::InitiateJob, archive).await?,
            None => self.access(Operation::InitiateJob).await?,
        };
        self.engine.initiate_job(&access, request).await
    }

    pub(crate) async fn initiate_lock(&self, policy: &str) -> Result<LockId, EngineError> {
        let access = self.access(Operation::InitiateVaultLock).await?;
        self.engine.initiate_lock(&access, policy).await
    }

    pub(crate) async fn complete_lock(&self, id: &LockId) -> Result<(), EngineError> {
        let access = self.access(Operation::CompleteVaultLock).await?;
        self.engine.complete_lock(&access, id).await
    }

    pub(crate) async fn abort_lock(&self) -> Result<(), EngineError> {
        self.engine.abort_lock(&self.access(Operation::AbortVaultLock).await?).await
    }

    pub(crate) async fn lock(&self) -> Result<LockDescription, EngineError> {
        self.engine.lock(&self.access(Operation::GetVaultLock).await?).await
    }

    /// Initiates and completes a lock.
    pub(crate) async fn lock_for_good(&self, policy: &str) -> LockId {
        let id = self.initiate_lock(policy).await.unwrap();
        self.complete_lock(&id).await.unwrap();
        id
    }

    pub(crate) async fn set_policy(&self, policy: &str) -> Result<(), EngineError> {
        let access = self.access(Operation::SetVaultAccessPolicy).await?;
        self.engine.set_access_policy(&access, policy).await
    }

    pub(crate) async fn policy(&self) -> Result<String, EngineError> {
        let access = self.access(Operation::GetVaultAccessPolicy).await?;
        self.engine.access_policy(&access).await
    }

    pub(crate) async fn delete_policy(&self) -> Result<(), EngineError> {
        let access = self.access(Operation::DeleteVaultAccessPolicy).await?;
        self.engine.delete_access_policy(&access).await
    }

    pub(crate) async fn set_notifications(
        &self,
        configuration: NotificationConfiguration,
    ) -> Result<(), EngineError> {
        let access = self.access(Operation::SetVaultNotifications).await?;
        self.engine.set_notifications(&access, configuration).await
    }

    pub(crate) async fn notifications(&self) -> Result<NotificationConfiguration, EngineError> {
        let access = self.access(Operation::GetVaultNotifications).await?;
        self.engine.notifications(&access).await
    }

    pub(crate) async fn delete_notifications(&self) -> Result<(), EngineError> {
        let access = self.access(Operation::DeleteVaultNotifications).await?;
        self.engine.delete_notifications(&access).await
    }

    pub(crate) async fn add_tags(&self, tags: Tags) -> Result<(), EngineError> {
        self.engine.add_tags(&self.access(Operation::AddTagsToVault).await?, tags).await
    }

    pub(crate) async fn remove_tags(&self, keys: &[&str]) -> Result<(), EngineError> {
        let keys: Vec<TagKey> = keys.iter().map(|key| TagKey::parse(key).unwrap()).collect();
        self.engine.remove_tags(&self.access(Operation::RemoveTagsFromVault).await?, &keys).await
    }

    pub(crate) async fn tags(&self) -> Result<Tags, EngineError> {
        self.engine.tags(&self.access(Operation::ListTagsForVault).await?).await
    }
}

/// An engine in memory with the vault `photos`, and its clock.
pub(crate) async fn in_memory() -> (Engine, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(START));
    let store = Store::in_memory(Arc::<ManualClock>::clone(&clock)).await.unwrap();
    let engine = Engine::open(store, Settings::embedded()).await.unwrap();
    Acting::root(&engine).create().await.unwrap();
    (engine, clock)
}

/// A small archive, stored by the root.
pub(crate) async fn archive(engine: &Engine) -> ArchiveId {
    Acting::root(engine).put(&bytes(1, 1000)).await.unwrap().id
}

/// An engine in a folder.
pub(crate) struct Home {
    pub(crate) dir: TempDir,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) engine: Engine,
}

/// How an engine goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// As it is.
    Running,
    /// Ended and begun again, on a machine that was started anew.
    Reopened,
    /// As if killed: nothing is recorded at the end.
    Killed,
    /// Begun again without its ledger, which is made from the log.
    Rebuilt,
}

impl Home {
    /// With the vault `photos`.
    pub(crate) async fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let clock = Arc::new(ManualClock::new(START));
        let engine = open(dir.path(), &clock).await;
        Acting::root(&engine).create().await.unwrap();
        Self { dir, clock, engine }
    }

    pub(crate) async fn go_on(&mut self, then: Then) {
        match then {
            Then::Running => return,
            Then::Killed => self.engine.store().clone().close().await,
            Then::Reopened | Then::Rebuilt => self.engine.close().await,
        }
        self.clock = Arc::new(ManualClock::new(self.clock.now()));
        let dir = self.dir.path();
        if then == Then::Rebuilt {
            fs::remove_file(dir.join("ledger.db")).unwrap();
            let report = rebuild(dir, options(&self.clock), &mut |_| {}).await.unwrap();
            assert_eq!(report.damage, []);
        }
        self.engine = open(dir, &self.clock).await;
    }

    /// So far the wall clock is from the start.
    pub(crate) fn wall(&self) -> Timestamp {
        self.clock.now()
    }
}

fn options(clock: &Arc<ManualClock>) -> OpenOptions {
    let clock: Arc<ManualClock> = Arc::clone(clock);
    OpenOptions { create: true, lock_wait: Duration::ZERO, clock, ..OpenOptions::default() }
}

async fn open(dir: &Path, clock: &Arc<ManualClock>) -> Engine {
    let store = Store::open(dir, options(clock)).await.unwrap();
    Engine::open(store, Settings::embedded()).await.unwrap()
}
