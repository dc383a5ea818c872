//! A target in memory that counts what it is sent and can fail, or stop the world, at any step.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Mutex,
    time::Duration,
};

use async_trait::async_trait;
use futures_util::StreamExt;
use icefield_protocol::{
    ArchiveId, ByteRange, ErrorCode, JobDescription, JobId, JobRequest, Page, PartSize, Timestamp,
    TreeHash, UploadDescription, UploadId, UploadToken, VaultDescription, VaultName,
};
use icefield_treehash::{Hasher, Roles};

use crate::target::{
    Archived, Body, ListedPart, NewArchive, Output, PartMark, StoredPart, Target, TargetError,
};

/// Where a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Before(&'static str),
    /// The bytes of a body so far.
    Chunk(u64),
    After(&'static str),
}

/// What a step does beside being taken.
pub(super) enum Verdict {
    GoOn,
    Fail(TargetError),
    /// The process dies here.
    Die,
}

type Hook = Box<dyn FnMut(Step) -> Verdict + Send>;

#[derive(Default)]
pub(super) struct Memory {
    pub(super) state: Mutex<State>,
    hook: Mutex<Option<Hook>>,
    pub(super) died: tokio::sync::Notify,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) archives: BTreeMap<String, Stored>,
    by_token: HashMap<UploadToken, ArchiveId>,
    pub(super) uploads: BTreeMap<String, Upload>,
    initiated: HashMap<UploadToken, UploadId>,
    completed: HashMap<String, ArchiveId>,
    pub(super) parts_received: Vec<(String, ByteRange)>,
    pub(super) bytes_received: u64,
    /// When the vault was made.
    pub(super) created: i64,
    next: u32,
}

#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) content: Vec<u8>,
    pub(super) description: Option<String>,
}

pub(super) struct Upload {
    part_size: PartSize,
    description: Option<String>,
    parts: BTreeMap<u64, Vec<u8>>,
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory")
    }
}

impl Memory {
    pub(super) fn hook(&self, hook: impl FnMut(Step) -> Verdict + Send + 'static) {
        *self.hook.lock().unwrap() = Some(Box::new(hook));
    }

    pub(super) fn unhook(&self) {
        *self.hook.lock().unwrap() = None;
    }

    async fn step(&self, step: Step) -> Result<(), TargetError> {
        let verdict = match self.hook.lock().unwrap().as_mut() {
            Some(hook) => hook(step),
            None => Verdict::GoOn,
        };
        match verdict {
            Verdict::GoOn => Ok(()),
            Verdict::Fail(error) => Err(error),
            Verdict::Die => {
                self.died.notify_one();
                std::future::pending().await
            }
        }
    }

    async fn take(&self, body: &Body) -> Result<Vec<u8>, TargetError> {
        let (size, mut chunks) = (body.size(), body.send());
        let mut content = Vec::new();
        while let Some(chunk) = chunks.next().await {
            content.extend_from_slice(&chunk.map_err(TargetError::Source)?);
            self.step(Step::Chunk(content.len() as u64)).await?;
        }
        assert_eq!(content.len() as u64, size, "a body is as long as it says");
        self.state.lock().unwrap().bytes_received += size;
        Ok(content)
    }

    pub(super) fn contents(&self) -> Vec<Vec<u8>> {
        let state = self.state.lock().unwrap();
        let mut contents: Vec<_> = state.archives.values().map(|one| one.content.clone()).collect();
        contents.sort();
        contents
    }
}

impl State {
    /// Whether the upload was completed and its archive deleted.
    fn is_deleted(&self, upload: &UploadId) -> bool {
        let made = self.completed.get(upload.as_str());
        made.is_some_and(|made| !self.archives.contains_key(made.as_str()))
    }

    fn store(&mut self, content: Vec<u8>, description: Option<String>) -> ArchiveId {
        self.next += 1;
        let id = format!("archive{}", self.next);
        self.archives.insert(id.clone(), Stored { content, description });
        ArchiveId::parse(&id).unwrap()
    }
}

pub(super) fn tree_hash(content: &[u8]) -> TreeHash {
    let mut hasher = Hasher::new(Roles { linear: false });
    hasher.update(content);
    hasher.finish().tree
}

fn told(new: &NewArchive) -> Option<String> {
    new.description.as_ref().map(ToString::to_string)
}

fn not_found(what: &str) -> TargetError {
    TargetError::Service {
        code: ErrorCode::ResourceNotFound,
        message: format!("{what} was not found"),
    }
}

#[async_trait]
impl Target for Memory {
    fn identity(&self) -> &str {
        "memory"
    }

    fn describe(&self) -> String {
        "memory".to_owned()
    }

    fn keeps_tokens(&self) -> bool {
        true
    }

    fn inventory_lag(&self) -> Duration {
        Duration::ZERO
    }

    async fn upload_archive(
        &self,
        _: &VaultName,
        new: &NewArchive,
        body: &Body,
    ) -> Result<Archived, TargetError> {
        self.step(Step::Before("upload_archive")).await?;
        let content = self.take(body).await?;
        let tree_hash = tree_hash(&content);
        let archive = {
            let mut state = self.state.lock().unwrap();
            match state.by_token.get(&new.token) {
                Some(first) if !state.archives.contains_key(first.as_str()) => {
                    return Err(TargetError::UsedToken);
                }
                Some(first) => first.clone(),
                None => {
                    let archive = state.store(content, told(new));
                    state.by_token.insert(new.token, archive.clone());
                    archive
                }
            }
        };
        self.step(Step::After("upload_archive")).await?;
        Ok(Archived { archive, tree_hash })
    }

    async fn initiate_upload(
        &self,
        _: &VaultName,
        part_size: PartSize,
        new: &NewArchive,
    ) -> Result<UploadId, TargetError> {
        self.step(Step::Before("initiate_upload")).await?;
        let upload = {
            let mut state = self.state.lock().unwrap();
            match state.initiated.get(&new.token) {
                Some(first) if state.is_deleted(first) => return Err(TargetError::UsedToken),
                Some(first) => first.clone(),
                None => {
                    state.next += 1;
                    let id = format!("upload{}", state.next);
                    let description = told(new);
                    let upload = Upload { part_size, description, parts: BTreeMap::new() };
                    state.uploads.insert(id.clone(), upload);
                    let id = UploadId::parse(&id).unwrap();
                    state.initiated.insert(new.token, id.clone());
                    id
                }
            }
        };
        self.step(Step::After("initiate_upload")).await?;
        Ok(upload)
    }

    async fn upload_part(
        &self,
        _: &VaultName,
        upload: &UploadId,
        range: ByteRange,
        body: &Body,
    ) -> Result<StoredPart, TargetError> {
        self.step(Step::Before("upload_part")).await?;
        let content = self.take(body).await?;
        let hash = tree_hash(&content);
        {
            let mut state = self.state.lock().unwrap();
            state.parts_received.push((upload.to_string(), range));
            let going =
                state.uploads.get_mut(upload.as_str()).ok_or_else(|| not_found("upload"))?;
            assert_eq!(range.first % going.part_size.bytes(), 0);
            assert_eq!(range.len(), content.len() as u64);
            going.parts.insert(range.first, content);
        }
        self.step(Step::After("upload_part")).await?;
        Ok(StoredPart { tree_hash: hash, mark: PartMark::TreeHash(hash) })
    }

    /// In pages of one, so that markers are used.
    async fn list_parts(
        &self,
        _: &VaultName,
        upload: &UploadId,
        marker: Option<&str>,
    ) -> Result<Page<ListedPart>, TargetError> {
        let state = self.state.lock().unwrap();
        let going = state.uploads.get(upload.as_str()).ok_or_else(|| not_found("upload"))?;
        let from: u64 = marker.map_or(0, |marker| marker.parse().unwrap());
        let mut parts = going.parts.range(from..).map(|(first, content)| ListedPart {
            range: ByteRange::new(*first, first + content.len() as u64 - 1).unwrap(),
            mark: PartMark::TreeHash(tree_hash(content)),
        });
        let items: Vec<_> = parts.next().into_iter().collect();
        let marker = parts.next().map(|part| part.range.first.to_string());
        Ok(Page { items, marker })
    }

    async fn complete_upload(
        &self,
        _: &VaultName,
        upload: &UploadId,
        size: u64,
        hash: TreeHash,
    ) -> Result<ArchiveId, TargetError> {
        self.step(Step::Before("complete_upload")).await?;
        let archive = {
            let mut state = self.state.lock().unwrap();
            if let Some(archive) = state.completed.get(upload.as_str()) {
                archive.clone()
            } else {
                let going =
                    state.uploads.remove(upload.as_str()).ok_or_else(|| not_found("upload"))?;
                let content: Vec<u8> = going.parts.into_values().flatten().collect();
                assert_eq!((content.len() as u64, tree_hash(&content)), (size, hash));
                let archive = state.store(content, going.description);
                state.completed.insert(upload.to_string(), archive.clone());
                archive
            }
        };
        self.step(Step::After("complete_upload")).await?;
        Ok(archive)
    }

    async fn abort_upload(&self, _: &VaultName, upload: &UploadId) -> Result<(), TargetError> {
        let gone = self.state.lock().unwrap().uploads.remove(upload.as_str());
        gone.map(drop).ok_or_else(|| not_found("upload"))
    }

    async fn create_vault(&self, _: &VaultName) -> Result<(), TargetError> {
        unimplemented!("an upload has its vault")
    }

    async fn describe_vault(&self, vault: &VaultName) -> Result<VaultDescription, TargetError> {
        let state = self.state.lock().unwrap();
        Ok(VaultDescription {
            creation_date: Timestamp::from_unix_millis(state.created),
            last_inventory_date: None,
            number_of_archives: state.archives.len() as u64,
            size_in_bytes: 0,
            vault_arn: format!("arn:aws:glacier:us-west-2:012345678901:vaults/{vault}")
                .parse()
                .unwrap(),
            vault_name: vault.clone(),
        })
    }

    async fn list_vaults(&self, _: Option<&str>) -> Result<Page<VaultDescription>, TargetError> {
        unimplemented!("not called by an upload")
    }

    async fn delete_vault(&self, _: &VaultName) -> Result<(), TargetError> {
        unimplemented!("not called by an upload")
    }

    async fn delete_archive(&self, _: &VaultName, _: &ArchiveId) -> Result<(), TargetError> {
        unimplemented!("not called by an upload")
    }

    async fn list_uploads(
        &self,
        _: &VaultName,
        _: Option<&str>,
    ) -> Result<Page<UploadDescription>, TargetError> {
        unimplemented!("not called by an upload")
    }

    async fn initiate_job(&self, _: &VaultName, _: &JobRequest) -> Result<JobId, TargetError> {
        unimplemented!("not called by an upload")
    }

    async fn describe_job(&self, _: &VaultName, _: &JobId) -> Result<JobDescription, TargetError> {
        unimplemented!("not called by an upload")
    }

    async fn list_jobs(
        &self,
        _: &VaultName,
        _: Option<&str>,
    ) -> Result<Page<JobDescription>, TargetError> {
        unimplemented!("not called by an upload")
    }

    async fn job_output(
        &self,
        _: &VaultName,
        _: &JobId,
        _: Option<ByteRange>,
    ) -> Result<Output, TargetError> {
        unimplemented!("not called by an upload")
    }

    async fn wait(&self, _: &VaultName, _: &JobId) -> Result<(), TargetError> {
        unimplemented!("not called by an upload")
    }
}
