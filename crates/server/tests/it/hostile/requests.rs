//! One request for each operation, and the things it needs to be granted.
//!
//! Where a request goes is read from the server's own table of routes; what else it says is written here. A new operation does
//! not compile until it is.

use icefield_protocol::{AccountId, Operation, UploadToken};
use icefield_server::route::ROUTES;
use serde_json::{Value, json};

use super::{
    message::{Message, TOKEN, Who},
    world::World,
};

const PART: &[u8] = b"one part, and the last";

/// What requests about one vault name beside it.
#[derive(Clone, Debug, Default)]
pub(super) struct Things {
    /// The archive, upload, job or lock of the path.
    pub(super) id: String,
    /// An archive in the body.
    archive: String,
}

/// A place of requests: the account as it is written in paths, and a vault.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) account: &'a str,
    pub(super) vault: &'a str,
}

impl Place<'_> {
    fn message(&self, operation: Operation, id: &str) -> Message {
        let route = ROUTES.iter().find(|route| route.operation == operation).unwrap();
        let path = route.path.replace("{account}", self.account).replace("{vault}", self.vault);
        let message = Message::new(route.method, &path.replace("{id}", id));
        match route.parameter {
            Some(parameter) => message.query(&format!("operation={parameter}")),
            None => message,
        }
    }

    /// Returns the request for an operation, not signed yet.
    pub(super) fn request(&self, operation: Operation, things: &Things) -> Message {
        let message = self.message(operation, &things.id);
        match operation {
            Operation::CreateVault
            | Operation::DescribeVault
            | Operation::DeleteVault
            | Operation::GetVaultNotifications
            | Operation::DeleteVaultNotifications
            | Operation::GetVaultAccessPolicy
            | Operation::DeleteVaultAccessPolicy
            | Operation::CompleteVaultLock
            | Operation::AbortVaultLock
            | Operation::GetVaultLock
            | Operation::ListTagsForVault
            | Operation::DeleteArchive
            | Operation::AbortMultipartUpload
            | Operation::DescribeJob
            | Operation::GetDataRetrievalPolicy
            | Operation::PurchaseProvisionedCapacity
            | Operation::ListProvisionedCapacity => message,
            Operation::ListVaults => message.query("limit=1000&marker="),
            Operation::ListJobs => message.query("completed=true&limit=50&statuscode=Succeeded"),
            Operation::ListParts => message.query("limit=5"),
            Operation::ListMultipartUploads => message.query("limit=50"),
            Operation::SetVaultNotifications => message.json(&json!({
                "SNSTopic": "arn:aws:sns:us-west-2:012345678901:topic",
                "Events": ["ArchiveRetrievalCompleted"],
            })),
            Operation::SetVaultAccessPolicy => {
                message.json(&json!({ "Policy": harmless(self.vault) }))
            }
            Operation::InitiateVaultLock => {
                message.json(&json!({ "Policy": harmless(self.vault) }))
            }
            Operation::AddTagsToVault => message.json(&json!({"Tags": {"new": "yes"}})),
            Operation::RemoveTagsFromVault => message.json(&json!({"TagKeys": ["kept"]})),
            Operation::UploadArchive => message
                .with("x-amz-archive-description", "new, \"and\" described")
                .payload(b"the bytes of an archive ".repeat(8)),
            Operation::InitiateMultipartUpload => {
                message.with("x-amz-part-size", 1 << 20).with("x-amz-archive-description", "parts")
            }
            Operation::UploadMultipartPart => {
                let range = format!("bytes 0-{}/*", PART.len() - 1);
                message.with("Content-Range", range).payload(PART.to_ascii_uppercase())
            }
            Operation::CompleteMultipartUpload => {
                message.with("x-amz-archive-size", PART.len()).tree_hash_of(PART)
            }
            Operation::InitiateJob => message.json(&json!({
                "Type": "archive-retrieval",
                "ArchiveId": things.archive,
                "Description": "mine",
            })),
            Operation::GetJobOutput => message.with("Range", "bytes=2-9"),
            Operation::SetDataRetrievalPolicy => {
                let rule = json!({"Strategy": "BytesPerHour", "BytesPerHour": 1 << 30});
                message.json(&json!({"Policy": {"Rules": [rule]}}))
            }
        }
    }

    /// Makes what an operation is about, but for a lock.
    pub(super) async fn prepare(&self, world: &World, root: &Who, operation: Operation) -> Things {
        let granted = |operation: Operation, things: &Things| {
            let request = self.request(operation, things);
            async move { world.granted(root, request).await }
        };
        // An empty ID would make another path of it.
        let mut things = Things { id: "none".to_owned(), ..Things::default() };
        if !operation.has_vault() || operation == Operation::CreateVault {
            return things;
        }
        granted(Operation::CreateVault, &things).await;
        match operation {
            Operation::DeleteArchive
            | Operation::InitiateJob
            | Operation::DescribeJob
            | Operation::ListJobs
            | Operation::GetJobOutput => {
                let stored = granted(Operation::UploadArchive, &things).await;
                things.archive = stored.header("x-amz-archive-id").to_owned();
                things.id.clone_from(&things.archive);
                if !matches!(operation, Operation::DeleteArchive | Operation::InitiateJob) {
                    let started = granted(Operation::InitiateJob, &things).await;
                    things.id = started.header("x-amz-job-id").to_owned();
                    world.engine.run_due_jobs().await.unwrap();
                }
            }
            Operation::UploadMultipartPart
            | Operation::ListParts
            | Operation::ListMultipartUploads
            | Operation::CompleteMultipartUpload
            | Operation::AbortMultipartUpload => {
                let begun = granted(Operation::InitiateMultipartUpload, &things).await;
                things.id = begun.header("x-amz-multipart-upload-id").to_owned();
                let part = self.message(Operation::UploadMultipartPart, &things.id);
                let range = format!("bytes 0-{}/*", PART.len() - 1);
                let part = part.with("Content-Range", range).payload(PART.to_vec());
                world.granted(root, part).await;
            }
            Operation::RemoveTagsFromVault | Operation::ListTagsForVault => {
                let add = self.message(Operation::AddTagsToVault, "");
                world.granted(root, add.json(&json!({"Tags": {"kept": "yes"}}))).await;
            }
            Operation::GetVaultNotifications | Operation::DeleteVaultNotifications => {
                granted(Operation::SetVaultNotifications, &things).await;
            }
            Operation::GetVaultAccessPolicy | Operation::DeleteVaultAccessPolicy => {
                granted(Operation::SetVaultAccessPolicy, &things).await;
            }
            _ => {}
        }
        things
    }

    /// Puts a lock policy in force and returns the ID that completes it.
    pub(super) async fn lock(&self, world: &World, root: &Who, policy: &str) -> String {
        let lock = self.message(Operation::InitiateVaultLock, "");
        let begun = world.granted(root, lock.json(&json!({ "Policy": policy }))).await;
        begun.header("x-amz-lock-id").to_owned()
    }

    /// Makes what an operation is about, a lock that forbids nothing of it included.
    pub(super) async fn stage(&self, world: &World, root: &Who, operation: Operation) -> Things {
        let mut things = self.prepare(world, root, operation).await;
        if is_about_a_lock(operation) {
            things.id = self.lock(world, root, &harmless(self.vault)).await;
        }
        things
    }

    /// Requests that are granted again and again and change nothing when they are repeated.
    pub(super) async fn repeats(&self, world: &World, root: &Who) -> Vec<(Operation, Message)> {
        let mut things = self.prepare(world, root, Operation::DeleteArchive).await;
        let deletion = self.request(Operation::DeleteArchive, &things);
        let token = UploadToken::from_bytes([7; 16]);
        let upload = self.request(Operation::UploadArchive, &things).with(TOKEN, token);
        let begin = self.request(Operation::InitiateMultipartUpload, &things).with(TOKEN, token);
        things.id = self.lock(world, root, &harmless(self.vault)).await;
        vec![
            (Operation::CreateVault, self.request(Operation::CreateVault, &things)),
            (Operation::DeleteArchive, deletion),
            (Operation::UploadArchive, upload),
            (Operation::InitiateMultipartUpload, begin),
            (Operation::CompleteVaultLock, self.request(Operation::CompleteVaultLock, &things)),
        ]
    }
}

pub(super) const fn is_about_a_lock(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::CompleteVaultLock | Operation::AbortVaultLock | Operation::GetVaultLock
    )
}

/// A policy that allows something under a condition that no request here meets.
fn harmless(vault: &str) -> String {
    let condition = json!({"Bool": {"aws:SecureTransport": "true"}});
    vault_policy("Allow", "DescribeVault", vault, &condition)
}

/// A policy that denies everybody an operation, under a condition that every request here meets.
pub(super) fn denial(operation: Operation, vault: &str) -> String {
    let everywhere = json!({"Bool": {"aws:SecureTransport": "false"}});
    vault_policy("Deny", operation.as_str(), vault, &everywhere)
}

/// A policy of one statement about everybody, for a vault of this name in any account.
fn vault_policy(effect: &str, action: &str, vault: &str, condition: &Value) -> String {
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": effect,
            "Principal": "*",
            "Action": format!("glacier:{action}"),
            "Resource": format!("arn:aws:glacier:us-west-2:*:vaults/{vault}"),
            "Condition": condition,
        }],
    })
    .to_string()
}

/// What policies name as the resource of an operation about this vault, or about the account.
pub(super) fn resource_arn(operation: Operation, account: &AccountId, vault: &str) -> String {
    let arn = |rest: &str| format!("arn:aws:glacier:us-west-2:{account}:{rest}");
    match operation {
        Operation::GetDataRetrievalPolicy | Operation::SetDataRetrievalPolicy => {
            arn("policies/retrieval-limit-policy")
        }
        operation if operation.has_vault() => arn(&format!("vaults/{vault}")),
        _ => "*".to_owned(),
    }
}
