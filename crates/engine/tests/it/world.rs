//! A store, an engine and a clock, with the shortcuts that tests need.

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use icefield_engine::{
    Delays, Engine, EngineError, NewArchive, OutputReader, RequestedRange, Settings, StoredArchive,
};
use icefield_protocol::{
    AccountId, ArchiveId, ByteRange, ErrorCode, InventoryParameters, JobDescription, JobId,
    JobRequest, PartSize, Tier, Timestamp, UploadId, UploadToken, VaultName,
};
use icefield_store::{ManualClock, OpenOptions, Store};
use icefield_treehash::{Hasher, Roles, TreeHash};

use crate::as_root::AsRoot;

pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const HOUR: Duration = Duration::from_hours(1);

/// 2026-01-01T00:00:00.500Z.
pub(crate) const START: Timestamp = Timestamp::from_unix_millis(1_767_225_600_500);

pub(crate) struct World {
    pub(crate) engine: AsRoot,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) account: AccountId,
    pub(crate) vault: VaultName,
}

/// Settings like those of the real service, with delays.
pub(crate) fn service() -> Settings {
    Settings {
        retrieval_delay: Delays { expedited: HOUR / 60, standard: 4 * HOUR, bulk: 8 * HOUR },
        inventory_interval: 24 * HOUR,
        ..Settings::embedded()
    }
}

impl World {
    /// An embedded engine with the vault `photos`.
    pub(crate) async fn new() -> Self {
        Self::with(Settings::embedded()).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let store = Store::in_memory(Arc::<ManualClock>::clone(&clock)).await.unwrap();
        Self::of(store, clock, settings).await
    }

    /// An embedded engine with a new store in a folder.
    pub(crate) async fn in_folder(folder: &Path) -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let options = OpenOptions {
            create: true,
            clock: Arc::<ManualClock>::clone(&clock),
            ..OpenOptions::default()
        };
        let store = Store::open(folder, options).await.unwrap();
        Self::of(store, clock, Settings::embedded()).await
    }

    async fn of(store: Store, clock: Arc<ManualClock>, settings: Settings) -> Self {
        let engine = AsRoot(Engine::open(store, settings).await.unwrap());
        let account = engine.account().clone();
        let vault = name("photos");
        engine.create_vault(&account, &vault).await.unwrap();
        Self { engine, clock, account, vault }
    }

    pub(crate) fn arn(&self, vault: &str) -> String {
        format!("arn:aws:glacier:local:{}:vaults/{vault}", self.account)
    }

    pub(crate) async fn put(&self, bytes: &Bytes) -> StoredArchive {
        self.try_put(&self.vault, bytes, None).await.unwrap()
    }

    pub(crate) async fn try_put(
        &self,
        vault: &VaultName,
        bytes: &Bytes,
        token: Option<UploadToken>,
    ) -> Result<StoredArchive, EngineError> {
        let new = NewArchive { description: None, token, size: bytes.len() as u64, linear: false };
        let mut receiving = self.engine.receive_archive(&self.account, vault, new).await?;
        for chunk in chunks(bytes) {
            receiving.write(chunk).await?;
        }
        receiving.commit(None).await
    }

    pub(crate) async fn initiate(&self) -> UploadId {
        let size = PartSize::new(MIB).unwrap();
        self.engine.initiate_upload(&self.account, &self.vault, size, None, None).await.unwrap()
    }

    /// Sends the part that begins at MiB `index`.
    pub(crate) async fn part(
        &self,
        upload: &UploadId,
        index: u64,
        bytes: &Bytes,
    ) -> Result<TreeHash, EngineError> {
        let range = ByteRange::new(index * MIB, index * MIB + bytes.len() as u64 - 1).unwrap();
        let mut part =
            self.engine.receive_part(&self.account, &self.vault, upload, range, false).await?;
        for chunk in chunks(bytes) {
            part.write(chunk).await?;
        }
        part.commit(None).await
    }

    pub(crate) async fn complete(
        &self,
        upload: &UploadId,
        whole: &Bytes,
    ) -> Result<ArchiveId, EngineError> {
        let (size, hash) = (whole.len() as u64, tree_hash(whole));
        self.engine.complete_upload(&self.account, &self.vault, upload, size, hash).await
    }

    pub(crate) async fn delete(&self, archive: &ArchiveId) -> Result<(), EngineError> {
        self.engine.delete_archive(&self.account, &self.vault, archive).await
    }

    pub(crate) async fn start(&self, request: &JobRequest) -> Result<JobId, EngineError> {
        self.engine.initiate_job(&self.account, &self.vault, request).await
    }

    pub(crate) async fn describe(&self, job: &JobId) -> Result<JobDescription, EngineError> {
        self.engine.describe_job(&self.account, &self.vault, job).await
    }

    /// Retrieves an archive, whole or a range of it, and returns the job.
    pub(crate) async fn retrieve(&self, archive: &ArchiveId, range: Option<ByteRange>) -> JobId {
        let job = self.start(&archive_job(archive, range)).await.unwrap();
        self.clock.advance(24 * HOUR);
        self.engine.run_due_jobs().await.unwrap();
        job
    }

    pub(crate) async fn output(
        &self,
        job: &JobId,
        range: Option<RequestedRange>,
    ) -> Result<Vec<u8>, EngineError> {
        let output = self.engine.job_output(&self.account, &self.vault, job, range).await?;
        let bytes = read(output.reader).await?;
        assert_eq!(bytes.len() as u64, output.range.len());
        if let Some(hash) = output.tree_hash {
            assert_eq!(hash, tree_hash(&bytes));
        }
        Ok(bytes)
    }
}

pub(crate) async fn read(mut reader: OutputReader) -> Result<Vec<u8>, EngineError> {
    let mut whole = Vec::new();
    while let Some(chunk) = reader.next().await {
        let chunk = chunk?;
        assert!((1..=MIB).contains(&(chunk.len() as u64)));
        whole.extend_from_slice(&chunk);
    }
    Ok(whole)
}

pub(crate) fn archive_job(archive: &ArchiveId, range: Option<ByteRange>) -> JobRequest {
    JobRequest::Archive {
        archive: archive.clone(),
        range,
        tier: Tier::Standard,
        description: None,
        sns_topic: None,
    }
}

pub(crate) fn inventory_job(parameters: InventoryParameters) -> JobRequest {
    JobRequest::Inventory { parameters, description: None, sns_topic: None }
}

pub(crate) fn name(text: &str) -> VaultName {
    VaultName::parse(text).unwrap()
}

pub(crate) fn token(seed: u8) -> UploadToken {
    UploadToken::from_bytes([seed; 16])
}

/// `length` bytes that differ from MiB to MiB and from seed to seed.
pub(crate) fn bytes(seed: u64, length: u64) -> Bytes {
    let words = (0..length.div_ceil(8)).flat_map(|word| (seed << 40 | word).to_le_bytes());
    let mut bytes: Vec<u8> = words.collect();
    bytes.truncate(usize::try_from(length).unwrap());
    bytes.into()
}

/// Pieces that are not aligned to anything.
fn chunks(bytes: &Bytes) -> impl Iterator<Item = Bytes> {
    let step = 700_001;
    (0..bytes.len()).step_by(step).map(move |at| bytes.slice(at..bytes.len().min(at + step)))
}

pub(crate) fn tree_hash(bytes: &[u8]) -> TreeHash {
    let mut hasher = Hasher::new(Roles { linear: false });
    hasher.update(bytes);
    hasher.finish().tree
}

/// What a client is told.
#[track_caller]
pub(crate) fn assert_refused<T: std::fmt::Debug>(
    result: Result<T, EngineError>,
    code: ErrorCode,
    message: &str,
) {
    let error = result.expect_err(message);
    assert_eq!((error.code(), error.to_string().as_str()), (code, message));
}
