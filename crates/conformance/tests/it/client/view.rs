//! What is there, as the server itself tells it: asked directly, past the proxy, by another client.

use std::collections::BTreeMap;

use icefield_conformance::{Credentials, http::RawAnswer};
use icefield_store::{Clock as _, SystemClock};
use serde_json::{Value, json};

use crate::{
    endurance::client::{Ask, Client, field, json as parsed},
    process::Serve,
};

/// Longer than any job takes here, in requests.
const MAX_POLLS: usize = 10_000;

/// An archive of the inventory.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) id: String,
    pub(super) tree_hash: String,
}

/// A client with a connection for each request: between two of them hours may pass.
pub(super) struct View {
    authority: String,
    region: String,
    key: Credentials,
}

impl View {
    pub(super) fn of(serve: &Serve) -> Self {
        Self {
            authority: serve.endpoint.strip_prefix("http://").unwrap().to_owned(),
            region: serve.region.clone(),
            key: Credentials::new(&serve.access_key, &serve.secret_key),
        }
    }

    /// Returns the archives of a vault.
    pub(super) async fn archives(&self, vault: &str) -> Vec<Listed> {
        let jobs = format!("/vaults/{vault}/jobs");
        let begun = self.ask("POST", &jobs, br#"{"Type": "inventory-retrieval"}"#, 202).await;
        let job = format!("{jobs}/{}", field(&begun, "x-amz-job-id").unwrap());
        for _ in 0..MAX_POLLS {
            if parsed(&self.ask("GET", &job, b"", 200).await)["Completed"] == true {
                break;
            }
        }
        let inventory = parsed(&self.ask("GET", &format!("{job}/output"), b"", 200).await);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let archives = inventory["ArchiveList"].as_array().unwrap().iter();
        archives
            .map(|archive| Listed {
                id: text(&archive["ArchiveId"]),
                tree_hash: text(&archive["SHA256TreeHash"]),
            })
            .collect()
    }

    /// Returns how many archives there are of each tree hash.
    pub(super) async fn copies(&self, vault: &str) -> BTreeMap<String, usize> {
        let mut copies = BTreeMap::new();
        for archive in self.archives(vault).await {
            *copies.entry(archive.tree_hash).or_default() += 1;
        }
        copies
    }

    /// Returns the IDs of multipart uploads in progress.
    pub(super) async fn uploads(&self, vault: &str) -> Vec<String> {
        let path = format!("/vaults/{vault}/multipart-uploads");
        let uploads = self.pages(&path, "UploadsList").await.into_iter();
        uploads.map(|upload| upload["MultipartUploadId"].as_str().unwrap().to_owned()).collect()
    }

    /// Makes a vault.
    pub(super) async fn create(&self, vault: &str) {
        self.ask("PUT", &format!("/vaults/{vault}"), b"", 201).await;
    }

    /// Begins a multipart upload.
    pub(super) async fn begin_upload(&self, vault: &str) {
        let path = format!("/vaults/{vault}/multipart-uploads");
        let headers = &[("x-amz-part-size", "1048576")];
        let ask = Ask { method: "POST", path: &path, headers, body: b"" };
        assert_eq!(self.send(&ask).await.status, 201);
    }

    /// Gives a vault a tag.
    pub(super) async fn tag(&self, vault: &str, key: &str, value: &str) {
        let path = format!("/vaults/{vault}/tags?operation=add");
        let body = json!({"Tags": {key: value}}).to_string();
        self.ask("POST", &path, body.as_bytes(), 204).await;
    }

    /// Puts a lock policy in force and returns the ID of the lock.
    pub(super) async fn start_lock(&self, vault: &str, policy: &str) -> String {
        let path = format!("/vaults/{vault}/lock-policy");
        let body = json!({"Policy": policy}).to_string();
        let answer = self.ask("POST", &path, body.as_bytes(), 201).await;
        field(&answer, "x-amz-lock-id").unwrap().to_owned()
    }

    /// Returns how many retrievals were started of each archive.
    pub(super) async fn retrievals(&self, vault: &str) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for job in self.jobs(vault, "ArchiveRetrieval").await {
            *counts.entry(job["ArchiveId"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        counts
    }

    /// Returns how many inventories were asked for.
    pub(super) async fn inventories(&self, vault: &str) -> usize {
        self.jobs(vault, "InventoryRetrieval").await.len()
    }

    async fn jobs(&self, vault: &str, action: &str) -> Vec<Value> {
        let mut jobs = self.pages(&format!("/vaults/{vault}/jobs"), "JobList").await;
        jobs.retain(|job| job["Action"] == action);
        jobs
    }

    /// Whether there is such a vault.
    pub(super) async fn has_vault(&self, vault: &str) -> bool {
        let ask = Ask { method: "GET", path: &format!("/vaults/{vault}"), headers: &[], body: b"" };
        self.send(&ask).await.status == 200
    }

    /// Returns what is said of a vault below this name: its tags, a policy, and the like.
    pub(super) async fn document(&self, vault: &str, name: &str) -> Value {
        parsed(&self.ask("GET", &format!("/vaults/{vault}/{name}"), b"", 200).await)
    }

    /// Deletes every archive of a vault.
    pub(super) async fn empty(&self, vault: &str) {
        for archive in self.archives(vault).await {
            self.ask("DELETE", &format!("/vaults/{vault}/archives/{}", archive.id), b"", 204).await;
        }
    }

    async fn pages(&self, path: &str, member: &str) -> Vec<Value> {
        let mut all = Vec::new();
        let mut marker = String::new();
        loop {
            let page = parsed(&self.ask("GET", &format!("{path}{marker}"), b"", 200).await);
            all.extend(page[member].as_array().unwrap().iter().cloned());
            match page["Marker"].as_str() {
                Some(next) => marker = format!("?marker={next}"),
                None => return all,
            }
        }
    }

    async fn ask(&self, method: &str, path: &str, body: &[u8], wanted: u16) -> RawAnswer {
        let answer = self.send(&Ask { method, path, headers: &[], body }).await;
        assert_eq!(answer.status, wanted, "{method} {path}: {answer:?}");
        answer
    }

    async fn send(&self, ask: &Ask<'_>) -> RawAnswer {
        let mut client = Client::connect(&self.authority, &self.region, &self.key).await;
        client.send(SystemClock.now(), ask).await
    }
}
