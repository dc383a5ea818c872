//! One client, and what it may think of.

use std::{sync::Arc, time::Duration};

use icefield_conformance::{Credentials, Random, http::RawAnswer};
use icefield_engine::Engine;
use icefield_protocol::{Clock as _, ManualClock, TreeHash};
use serde_json::Value;

use super::{
    super::client::{Ask, Client, field, json},
    known::{Known, Upload},
};

pub(super) const VAULTS: [&str; 5] = ["a", "b", "c", "d", "e"];
const REGION: &str = "us-east-1";
const MIB: usize = 1 << 20;
/// Clients meet at the newest uploads, so that parts, completions and aborts of one cross each other.
const NEWEST: usize = 5;
/// Longer than any job takes here, in requests.
const MAX_POLLS: usize = 10_000;

pub(super) struct Walker {
    client: Client,
    engine: Engine,
    clock: Arc<ManualClock>,
    random: Random,
    known: Arc<Known>,
}

impl Walker {
    pub(super) async fn new(
        address: &str,
        key: &Credentials,
        engine: Engine,
        clock: Arc<ManualClock>,
        random: Random,
        known: Arc<Known>,
    ) -> Self {
        let client = Client::connect(address, REGION, key).await;
        Self { client, engine, clock, random, known }
    }

    pub(super) async fn step(&mut self) {
        self.clock.advance(Duration::from_millis(1));
        // The last ones seldom have anything in them, so that they can be deleted.
        let one = self.random.index(VAULTS.len());
        let vault = VAULTS[one.min(self.random.index(VAULTS.len()))];
        match self.random.within(0..100) {
            0..6 => self.plain("CreateVault", vault, "PUT", "", b"", &[201]).await,
            6..10 => self.plain("DeleteVault", VAULTS[one], "DELETE", "", b"", &[204, 400]).await,
            10..27 => self.upload(vault).await,
            27..37 => self.delete().await,
            // Where vaults are deleted, too.
            37..43 => self.initiate(VAULTS[one]).await,
            43..60 => self.part().await,
            60..69 => self.complete().await,
            69..73 => self.abort().await,
            73..76 => self.look(vault).await,
            76..82 => self.settings(vault).await,
            82..90 => self.job(vault).await,
            90..98 => self.output().await,
            _ => self.engine.housekeeping().await.unwrap(),
        }
    }

    /// Asks, and fails on every answer that the operation does not have here.
    async fn ask(&mut self, name: &'static str, ask: Ask<'_>, expected: &[u16]) -> RawAnswer {
        let answer = self.client.send(self.clock.now(), &ask).await;
        let status = answer.status;
        assert!(expected.contains(&status), "{name} {}: {answer:?}", ask.path);
        *self.known.facts().answers.entry((name, status)).or_default() += 1;
        answer
    }

    async fn plain(
        &mut self,
        name: &'static str,
        vault: &str,
        method: &str,
        below: &str,
        body: &[u8],
        expected: &[u16],
    ) {
        let path = &format!("/vaults/{vault}{below}");
        self.ask(name, Ask { method, path, headers: &[], body }, expected).await;
    }

    async fn upload(&mut self, vault: &'static str) {
        // Mostly within a record, now and then in a file.
        let length =
            if self.random.within(0..12) == 0 { MIB } else { self.random.index(20_000) + 1 };
        let body = self.random.bytes(length);
        let tree = TreeHash::of_leaf(&body).to_string();
        let headers = [("x-amz-sha256-tree-hash", tree.as_str())];
        let path = &format!("/vaults/{vault}/archives");
        let ask = Ask { method: "POST", path, headers: &headers, body: &body };
        let answer = self.ask("UploadArchive", ask, &[201, 404]).await;
        self.created(vault, &answer, length as u64, &tree);
    }

    fn created(&self, vault: &'static str, answer: &RawAnswer, size: u64, tree: &str) {
        if answer.status == 201 {
            let id = field(answer, "x-amz-archive-id").unwrap().to_owned();
            let told = (id.clone(), size, tree.to_owned());
            let before = self.known.facts().archives.insert(id, (vault, told.clone()));
            assert!(before.is_none_or(|(_, before)| before == told));
        }
    }

    async fn delete(&mut self) {
        let Some((vault, id)) = self.any_archive() else { return };
        let path = &format!("/vaults/{vault}/archives/{id}");
        let ask = Ask { method: "DELETE", path, headers: &[], body: b"" };
        // A vault can be gone once its archives are, and another may have its name since.
        if self.ask("DeleteArchive", ask, &[204, 400, 404]).await.status == 204 {
            self.known.facts().deleted.insert(id);
        }
    }

    fn any_archive(&mut self) -> Option<(&'static str, String)> {
        let facts = self.known.facts();
        let length = facts.archives.len();
        let index = if length == 0 { return None } else { self.random.index(length) };
        facts.archives.iter().nth(index).map(|(id, (vault, _))| (*vault, id.clone()))
    }

    async fn initiate(&mut self, vault: &'static str) {
        let headers = [("x-amz-part-size", "1048576")];
        let path = &format!("/vaults/{vault}/multipart-uploads");
        let ask = Ask { method: "POST", path, headers: &headers, body: b"" };
        let answer = self.ask("InitiateMultipartUpload", ask, &[201, 404]).await;
        if let Some(id) = field(&answer, "x-amz-multipart-upload-id") {
            let (id, became) = (id.to_owned(), Default::default());
            self.known.facts().uploads.push(Upload { vault, id, became, aborted: false });
        }
    }

    /// Returns one of the newest uploads: its place among the known ones, and its path.
    fn any_upload(&mut self) -> Option<(usize, &'static str, String)> {
        let facts = self.known.facts();
        let newest = facts.uploads.len().min(NEWEST);
        let back = if newest == 0 { return None } else { self.random.index(newest) };
        let index = facts.uploads.len() - 1 - back;
        let Upload { vault, id, .. } = &facts.uploads[index];
        Some((index, vault, format!("/vaults/{vault}/multipart-uploads/{id}")))
    }

    /// Sends a part to a place where others may be sending theirs: one that ends the archive there, or a full one.
    async fn part(&mut self) {
        let Some((_, _, path)) = self.any_upload() else { return };
        let (index, length) = match self.random.within(0..10) {
            0..6 => (0, self.random.index(2000) + 1),
            6..8 => (0, MIB),
            _ => (1, self.random.index(2000) + 1),
        };
        let body = self.random.bytes(length);
        let tree = TreeHash::of_leaf(&body).to_string();
        let (first, last) = (index * MIB, index * MIB + length - 1);
        let range = format!("bytes {first}-{last}/*");
        let headers = [("content-range", range.as_str()), ("x-amz-sha256-tree-hash", &tree)];
        let ask = Ask { method: "PUT", path: &path, headers: &headers, body: &body };
        self.ask("UploadMultipartPart", ask, &[204, 404]).await;
    }

    /// Completes an upload as it was a moment ago.
    async fn complete(&mut self) {
        let Some((index, vault, path)) = self.any_upload() else { return };
        let ask = Ask { method: "GET", path: &path, headers: &[], body: b"" };
        let answer = self.ask("ListParts", ask, &[200, 404]).await;
        if answer.status == 404 {
            return;
        }
        let parts = json(&answer);
        let parts = parts["Parts"].as_array().unwrap();
        let leaf = |part: &Value| part["SHA256TreeHash"].as_str().unwrap().parse().unwrap();
        let tree = match parts.is_empty() {
            true => TreeHash::of_leaf(b""),
            false => TreeHash::combine(parts.iter().map(leaf)),
        };
        let end = parts
            .last()
            .and_then(|part| part["RangeInBytes"].as_str()?.split_once('-')?.1.parse::<u64>().ok());
        let size = end.map_or(0, |end| end + 1);
        let (tree, text) = (tree.to_string(), size.to_string());
        let headers = [("x-amz-archive-size", text.as_str()), ("x-amz-sha256-tree-hash", &tree)];
        let ask = Ask { method: "POST", path: &path, headers: &headers, body: b"" };
        let answer = self.ask("CompleteMultipartUpload", ask, &[201, 400, 404]).await;
        self.created(vault, &answer, size, &tree);
        if let Some(id) = field(&answer, "x-amz-archive-id") {
            self.known.facts().uploads[index].became.insert(id.to_owned());
        }
    }

    async fn abort(&mut self) {
        let Some((index, _, path)) = self.any_upload() else { return };
        self.abort_one(index, &path).await;
    }

    async fn abort_one(&mut self, index: usize, path: &str) {
        let ask = Ask { method: "DELETE", path, headers: &[], body: b"" };
        let answer = self.ask("AbortMultipartUpload", ask, &[204, 404]).await;
        self.known.facts().uploads[index].aborted |= answer.status == 204;
    }

    /// Aborts every upload that is still in progress.
    pub(super) async fn abort_all(&mut self) {
        let path =
            |upload: &Upload| format!("/vaults/{}/multipart-uploads/{}", upload.vault, upload.id);
        let paths: Vec<_> = self.known.facts().uploads.iter().map(path).collect();
        for (index, path) in paths.iter().enumerate() {
            self.abort_one(index, path).await;
        }
        self.known.uploads_ended_once();
    }

    async fn look(&mut self, vault: &str) {
        let seen = &[200, 404];
        match self.random.within(0..4) {
            0 => self.plain("DescribeVault", vault, "GET", "", b"", seen).await,
            1 => {
                let below = "/multipart-uploads";
                self.plain("ListMultipartUploads", vault, "GET", below, b"", seen).await;
            }
            2 => self.plain("ListJobs", vault, "GET", "/jobs", b"", seen).await,
            _ => {
                let ask = Ask { method: "GET", path: "/vaults", headers: &[], body: b"" };
                self.ask("ListVaults", ask, &[200]).await;
            }
        }
    }

    async fn settings(&mut self, vault: &str) {
        let tag = format!("t{}", self.random.within(0..5));
        let (done, seen) = (&[204, 404], &[200, 404]);
        match self.random.within(0..7) {
            0 => {
                let body = format!(r#"{{"Tags":{{"{tag}":"{}"}}}}"#, self.random.next());
                let below = "/tags?operation=add";
                self.plain("AddTagsToVault", vault, "POST", below, body.as_bytes(), done).await;
            }
            1 => {
                let body = format!(r#"{{"TagKeys":["{tag}"]}}"#);
                let below = "/tags?operation=remove";
                self.plain("RemoveTagsFromVault", vault, "POST", below, body.as_bytes(), done)
                    .await;
            }
            2 => self.plain("ListTagsForVault", vault, "GET", "/tags", b"", seen).await,
            3 | 4 => {
                let body = self.access_policy(vault, &tag);
                let name = "SetVaultAccessPolicy";
                self.plain(name, vault, "PUT", "/access-policy", body.as_bytes(), done).await;
            }
            5 => {
                let below = "/access-policy";
                self.plain("GetVaultAccessPolicy", vault, "GET", below, b"", seen).await;
            }
            _ => {
                let name = "DeleteVaultAccessPolicy";
                self.plain(name, vault, "DELETE", "/access-policy", b"", done).await;
            }
        }
    }

    /// Lets another account look at the vault.
    fn access_policy(&self, vault: &str, sid: &str) -> String {
        let account = self.engine.account();
        let statement = serde_json::json!({
            "Sid": sid,
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::999999999999:root"},
            "Action": "glacier:DescribeVault",
            "Resource": format!("arn:aws:glacier:{REGION}:{account}:vaults/{vault}"),
        });
        let policy = serde_json::json!({"Version": "2012-10-17", "Statement": [statement]});
        serde_json::json!({"Policy": policy.to_string()}).to_string()
    }

    async fn job(&mut self, vault: &'static str) {
        let (vault, body) = match self.any_archive() {
            Some((vault, id)) if self.random.within(0..4) > 0 => {
                (vault, format!(r#"{{"Type":"archive-retrieval","ArchiveId":"{id}"}}"#))
            }
            _ => (vault, r#"{"Type":"inventory-retrieval"}"#.to_owned()),
        };
        let path = &format!("/vaults/{vault}/jobs");
        let ask = Ask { method: "POST", path, headers: &[], body: body.as_bytes() };
        // 400: an archive of the vault that had the name before.
        let answer = self.ask("InitiateJob", ask, &[202, 400, 404]).await;
        if let Some(id) = field(&answer, "x-amz-job-id") {
            self.known.facts().jobs.push((vault, id.to_owned()));
        }
    }

    async fn output(&mut self) {
        let (vault, id) = {
            let facts = self.known.facts();
            let length = facts.jobs.len();
            if length == 0 {
                return;
            }
            facts.jobs[self.random.index(length)].clone()
        };
        let below = format!("/jobs/{id}");
        self.plain("DescribeJob", vault, "GET", &below, b"", &[200, 404]).await;
        // 400: the job has not ended yet.
        let below = format!("/jobs/{id}/output");
        self.plain("GetJobOutput", vault, "GET", &below, b"", &[200, 400, 404]).await;
    }

    /// Returns the description and the inventory of a vault, if there is one.
    pub(super) async fn inventory(&mut self, vault: &'static str) -> Option<(Value, Value)> {
        let path = &format!("/vaults/{vault}");
        let ask = Ask { method: "GET", path, headers: &[], body: b"" };
        let description = self.ask("DescribeVault", ask, &[200, 404]).await;
        if description.status == 404 {
            return None;
        }
        let (path, body) = (&format!("{path}/jobs"), br#"{"Type":"inventory-retrieval"}"#);
        let ask = Ask { method: "POST", path, headers: &[], body };
        let answer = self.ask("InitiateJob", ask, &[202, 404]).await;
        if answer.status == 404 {
            // Nothing was ever written to it, so there is no inventory.
            assert_eq!(json(&description)["LastInventoryDate"], Value::Null);
            return Some((json(&description), serde_json::json!({ "ArchiveList": [] })));
        }
        let path = &format!("{path}/{}/output", field(&answer, "x-amz-job-id").unwrap());
        for _ in 0..MAX_POLLS {
            let ask = Ask { method: "GET", path, headers: &[], body: b"" };
            let answer = self.ask("GetJobOutput", ask, &[200, 400]).await;
            if answer.status == 200 {
                return Some((json(&description), json(&answer)));
            }
        }
        panic!("the inventory of {vault} is not ready");
    }
}
