//! What a case has: an endpoint, names of its own, and the things that it makes.

use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use icefield_protocol::{Clock, Timestamp};
use serde_json::{Value, json};

use crate::answer::{Answer, summary};
use crate::bytes::{linear, tree};
use crate::endpoint::{Bench, Credentials, Endpoint, Laboratory, Setup};
use crate::outcome::Failed;
use crate::request::Request;

/// How often, and how long apart, a job is looked at until it has ended.
const POLLS: u32 = 100;
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The surroundings of one case.
#[derive(Clone, Debug)]
pub(crate) struct Context(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    endpoint: Endpoint,
    clock: Arc<dyn Clock>,
    account: String,
    names: Names,
    laboratory: Option<Arc<dyn Laboratory>>,
    bench: Option<Box<dyn Bench>>,
    /// What was sent last, and what came.
    last: Arc<Mutex<Exchange>>,
    made: Mutex<Made>,
}

/// A request and its answer, in words.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exchange {
    pub(crate) sent: String,
    pub(crate) came: String,
}

#[derive(Debug, Default)]
struct Made {
    vaults: Vec<String>,
    archives: Vec<String>,
}

/// Names that no other case and no other run has.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    run: i64,
    next: Arc<AtomicU64>,
}

impl Names {
    pub(crate) fn new(run: i64) -> Self {
        Self { run, next: Arc::default() }
    }
}

impl Context {
    pub(crate) fn new(
        endpoint: Endpoint,
        clock: Arc<dyn Clock>,
        account: String,
        names: Names,
        laboratory: Option<Arc<dyn Laboratory>>,
    ) -> Self {
        let (last, made) = (Arc::default(), Mutex::default());
        Self(Arc::new(Inner {
            endpoint,
            clock,
            account,
            names,
            laboratory,
            bench: None,
            last,
            made,
        }))
    }

    /// Starts a server of the case's own, and returns the context to talk to it.
    pub(crate) async fn laboratory(&self, setup: Setup) -> Result<Self, Failed> {
        let laboratory = self.0.laboratory.as_ref().ok_or_else(|| Failed::new("no laboratory"))?;
        let bench = laboratory.open(setup).await.map_err(Failed::new)?;
        let there = Self(Arc::new(Inner {
            endpoint: bench.endpoint(),
            clock: bench.clock(),
            account: String::new(),
            names: self.0.names.clone(),
            laboratory: None,
            bench: None,
            last: Arc::clone(&self.0.last),
            made: Mutex::default(),
        }));
        let account = there.ask_account().await?;
        let inner =
            Arc::try_unwrap(there.0).map_err(|_| Failed::new("a request outlived its answer"))?;
        Ok(Self(Arc::new(Inner { account, bench: Some(bench), ..inner })))
    }

    /// Moves the clock of the case's own server forward.
    pub(crate) async fn advance(&self, step: Duration) {
        if let Some(bench) = &self.0.bench {
            bench.advance(step).await;
        }
    }

    /// Asks the service for the number of the account.
    pub(crate) async fn ask_account(&self) -> Result<String, Failed> {
        let vault = self.no_vault();
        let created = self.put(vault.at("")).raw().await?;
        let described = self.get(vault.at("")).raw().await?;
        self.delete(vault.at("")).raw().await?;
        let described: Value = serde_json::from_slice(&described.body).unwrap_or_default();
        let account = described["VaultARN"].as_str().and_then(|arn| arn.split(':').nth(4));
        let unknown = || Failed::new(format!("no vault can be created: {}", summary(&created)));
        account.map(str::to_owned).ok_or_else(unknown)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    pub(crate) fn authority(&self) -> String {
        self.0.endpoint.authority.clone()
    }

    pub(crate) fn region(&self) -> &str {
        &self.0.endpoint.region
    }

    pub(crate) fn is_strict(&self) -> bool {
        self.0.endpoint.strict
    }

    pub(crate) fn account(&self) -> &str {
        &self.0.account
    }

    pub(crate) fn owner(&self) -> &Credentials {
        &self.0.endpoint.owner
    }

    /// A key of the same account that no policy allows anything.
    pub(crate) fn user(&self) -> Result<&Credentials, Failed> {
        self.0.endpoint.user.as_ref().ok_or_else(|| Failed::new("no key of a user was given"))
    }

    /// A key of another account.
    pub(crate) fn other(&self) -> Result<&Credentials, Failed> {
        self.0
            .endpoint
            .other
            .as_ref()
            .ok_or_else(|| Failed::new("no key of another account was given"))
    }

    /// A temporary key.
    pub(crate) fn session(&self) -> Result<&Credentials, Failed> {
        self.0.endpoint.session.as_ref().ok_or_else(|| Failed::new("no temporary key was given"))
    }

    pub(crate) fn request(&self, method: &str, target: impl Into<String>) -> Request {
        Request::new(self, method, target)
    }

    pub(crate) fn get(&self, target: impl Into<String>) -> Request {
        self.request("GET", target)
    }

    pub(crate) fn put(&self, target: impl Into<String>) -> Request {
        self.request("PUT", target)
    }

    pub(crate) fn post(&self, target: impl Into<String>) -> Request {
        self.request("POST", target)
    }

    pub(crate) fn delete(&self, target: impl Into<String>) -> Request {
        self.request("DELETE", target)
    }

    /// Returns a name for a vault that does not exist.
    pub(crate) fn name(&self) -> String {
        let number = self.0.names.next.fetch_add(1, Ordering::Relaxed);
        format!("conformance-{}-{number}", self.0.names.run)
    }

    /// Returns a vault that does not exist.
    pub(crate) fn no_vault(&self) -> Vault {
        let name = self.name();
        self.made().vaults.push(name.clone());
        Vault { context: self.clone(), name }
    }

    /// Creates a vault.
    pub(crate) async fn vault(&self) -> Result<Vault, Failed> {
        let vault = self.no_vault();
        vault.put("").await?.status(201)?;
        Ok(vault)
    }

    /// Lists the names of all vaults of the account, page by page.
    pub(crate) async fn vault_names(&self) -> Result<Vec<String>, Failed> {
        let (mut names, mut marker) = (Vec::new(), String::new());
        loop {
            let page = self.get(format!("/-/vaults?marker={marker}")).await?.status(200)?.json()?;
            let vaults = page["VaultList"].as_array().cloned().unwrap_or_default();
            names.extend(vaults.iter().map(|vault| text(&vault["VaultName"])));
            match page["Marker"].as_str() {
                Some(next) => marker = crate::signing::encoded(next.as_bytes(), b""),
                None => return Ok(names),
            }
        }
    }

    pub(crate) fn note(&self, sent: String, came: String) {
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = Exchange { sent, came };
    }

    pub(crate) fn last(&self) -> Exchange {
        self.0.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps in mind what has to be tidied up.
    pub(crate) fn remember(&self, answer: &Answer) {
        if let (201, Some(_), Some(location)) =
            (answer.raw.status, answer.find("x-amz-archive-id"), answer.find("location"))
        {
            self.made().archives.push(location.to_owned());
        }
    }

    /// Deletes what the case has made, as far as that is possible.
    pub(crate) async fn tidy(&self) {
        let made = std::mem::take(&mut *self.made());
        for archive in made.archives {
            let _gone = self.delete(archive).raw().await;
        }
        for vault in made.vaults {
            let _gone = self.delete(format!("/-/vaults/{vault}")).raw().await;
        }
    }

    fn made(&self) -> std::sync::MutexGuard<'_, Made> {
        self.0.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A vault of the case.
#[derive(Clone, Debug)]
pub(crate) struct Vault {
    pub(crate) context: Context,
    pub(crate) name: String,
}

/// An archive of the case.
#[derive(Clone, Debug)]
pub(crate) struct Archive {
    pub(crate) id: String,
    pub(crate) bytes: Vec<u8>,
}

impl Vault {
    /// Returns the path of something in the vault.
    pub(crate) fn at(&self, rest: impl Display) -> String {
        format!("/-/vaults/{}{rest}", self.name)
    }

    pub(crate) fn location(&self, rest: impl Display) -> String {
        format!("/{}/vaults/{}{rest}", self.context.account(), self.name)
    }

    pub(crate) fn arn(&self) -> String {
        let (region, account) = (self.context.region(), self.context.account());
        format!("arn:aws:glacier:{region}:{account}:vaults/{}", self.name)
    }

    pub(crate) fn get(&self, rest: impl Display) -> Request {
        self.context.get(self.at(rest))
    }

    pub(crate) fn put(&self, rest: impl Display) -> Request {
        self.context.put(self.at(rest))
    }

    pub(crate) fn post(&self, rest: impl Display) -> Request {
        self.context.post(self.at(rest))
    }

    pub(crate) fn delete(&self, rest: impl Display) -> Request {
        self.context.delete(self.at(rest))
    }

    pub(crate) async fn describe(&self) -> Result<Value, Failed> {
        self.get("").await?.status(200)?.json()
    }

    /// Uploads an archive.
    pub(crate) async fn archive(&self, bytes: Vec<u8>) -> Result<Archive, Failed> {
        let answer = self.post("/archives").payload(&bytes).await?.status(201)?;
        Ok(Archive { id: answer.header("x-amz-archive-id")?, bytes })
    }

    /// Uploads an archive with a description.
    pub(crate) async fn described(
        &self,
        bytes: &[u8],
        description: &str,
    ) -> Result<String, Failed> {
        let upload = self.post("/archives").header("x-amz-archive-description", description);
        upload.payload(bytes).await?.status(201)?.header("x-amz-archive-id")
    }

    /// Starts a multipart upload with parts of this many MiB.
    pub(crate) async fn upload(&self, part_mib: usize) -> Result<Upload, Failed> {
        let size = (part_mib << 20).to_string();
        let start = self.post("/multipart-uploads").header("x-amz-part-size", size);
        let id = start.await?.status(201)?.header("x-amz-multipart-upload-id")?;
        Ok(Upload { vault: self.clone(), id })
    }

    /// Starts a job.
    pub(crate) async fn job(&self, body: &Value) -> Result<String, Failed> {
        self.post("/jobs").json(body).await?.status(202)?.header("x-amz-job-id")
    }

    pub(crate) async fn describe_job(&self, job: &str) -> Result<Value, Failed> {
        self.get(format!("/jobs/{job}")).await?.status(200)?.json()
    }

    /// Waits until a job has ended, and returns its description.
    pub(crate) async fn ended(&self, job: &str) -> Result<Value, Failed> {
        for _ in 0..POLLS {
            let description = self.describe_job(job).await?;
            if description["Completed"] == true {
                return Ok(description);
            }
            pause().await;
        }
        Err(Failed::new("the job does not end"))
    }

    /// Starts a job and waits for its output.
    pub(crate) async fn finished(&self, body: &Value) -> Result<String, Failed> {
        let job = self.job(body).await?;
        let description = self.ended(&job).await?;
        if description["StatusCode"] == "Succeeded" {
            return Ok(job);
        }
        Err(Failed::new(format!("the job has not succeeded: {description}")))
    }

    /// Retrieves an archive.
    pub(crate) async fn retrieved(&self, archive: &Archive) -> Result<String, Failed> {
        self.finished(&json!({"Type": "archive-retrieval", "ArchiveId": archive.id})).await
    }

    /// Returns a request for the output of a job.
    pub(crate) fn output(&self, job: &str) -> Request {
        self.get(format!("/jobs/{job}/output"))
    }

    /// Takes an inventory and returns it.
    pub(crate) async fn inventory(&self) -> Result<Value, Failed> {
        let job = self.finished(&json!({"Type": "inventory-retrieval"})).await?;
        self.output(&job).await?.status(200)?.json()
    }

    /// Fails if there is a job.
    pub(crate) async fn is_without_jobs(&self) -> Result<(), Failed> {
        let jobs = self.get("/jobs").await?.status(200)?.json()?;
        let none = jobs["JobList"].as_array().is_some_and(Vec::is_empty);
        if none { Ok(()) } else { Err(Failed::new(format!("a job was left behind: {jobs}"))) }
    }

    /// Fails if anything is in the vault: no archive, no upload, no job.
    pub(crate) async fn is_untouched(&self) -> Result<(), Failed> {
        let uploads = self.get("/multipart-uploads").await?.status(200)?.json()?;
        let jobs = self.get("/jobs").await?.status(200)?.json()?;
        let found = |list: &Value| list.as_array().is_none_or(|items| !items.is_empty());
        if found(&uploads["UploadsList"]) || found(&jobs["JobList"]) {
            return Err(Failed::new(format!("something was left behind: {uploads} {jobs}")));
        }
        // A vault that was never written to can be deleted at once, whatever its inventory says.
        let deleted = self.delete("").await?;
        deleted.status(204).map_err(|_| Failed::new("an archive was left behind"))?;
        Ok(())
    }
}

/// A multipart upload of the case.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    pub(crate) vault: Vault,
    pub(crate) id: String,
}

impl Upload {
    pub(crate) fn path(&self) -> String {
        format!("/multipart-uploads/{}", self.id)
    }

    /// Returns a request that sends bytes to an offset.
    pub(crate) fn part(&self, first: usize, bytes: &[u8]) -> Request {
        let range = format!("bytes {first}-{}/*", first + bytes.len() - 1);
        self.ranged(&range, bytes)
    }

    /// Returns a request that sends bytes with this `Content-Range`.
    pub(crate) fn ranged(&self, range: &str, bytes: &[u8]) -> Request {
        self.vault.put(self.path()).header("content-range", range).payload(bytes)
    }

    /// Sends all parts.
    pub(crate) async fn parts(&self, part_size: usize, whole: &[u8]) -> Result<(), Failed> {
        for (index, part) in whole.chunks(part_size).enumerate() {
            self.part(index * part_size, part).await?.status(204)?;
        }
        Ok(())
    }

    /// Returns a request that completes the upload.
    pub(crate) fn complete(&self, whole: &[u8]) -> Request {
        self.finish(&whole.len().to_string(), &tree(whole))
    }

    /// Returns a request that completes the upload with this size and tree hash.
    pub(crate) fn finish(&self, size: &str, hash: &str) -> Request {
        let request = self.vault.post(self.path()).header("x-amz-archive-size", size);
        request.header("x-amz-sha256-tree-hash", hash)
    }

    /// Returns a request for the list of parts.
    pub(crate) fn list(&self, query: &str) -> Request {
        self.vault.get(format!("{}{query}", self.path()))
    }

    pub(crate) async fn abort(&self) -> Result<Answer, Failed> {
        self.vault.delete(self.path()).await
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "an endpoint that is not ours can only be asked again"
)]
async fn pause() {
    tokio::time::sleep(POLL_INTERVAL).await;
}

/// Returns a text of JSON, or nothing.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Returns the linear hash of nothing.
pub(crate) fn empty_hash() -> String {
    linear(b"")
}
