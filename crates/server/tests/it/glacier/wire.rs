//! One exchange of each operation, byte for byte, against `wire.txt`.
//!
//! What differs from run to run is replaced by its name in braces, so a change of anything else is seen. After a wanted
//! change, copy the file that the failure names over `wire.txt` and look at the difference.

use std::{collections::BTreeSet, fmt::Write as _, fs, path::PathBuf};

use icefield_protocol::Operation;
use serde_json::json;

use super::{
    request::{Answer, Ask},
    world::{MIB, World, bytes},
};

/// The exchanges so far, and what is called how in them.
struct Record {
    text: String,
    names: Vec<(String, &'static str)>,
    seen: BTreeSet<Operation>,
}

impl Record {
    /// Sends a request and writes down what was said.
    async fn exchange(&mut self, operation: Operation, ask: Ask) -> Answer {
        let answer = ask.send().await;
        self.seen.insert(operation);
        writeln!(self.text, "# {operation}\n{} {}", ask.method, ask.target).unwrap();
        for (name, value) in &ask.headers {
            writeln!(self.text, "{name}: {value}").unwrap();
        }
        if ask.body.iter().any(u8::is_ascii_graphic) && ask.body.len() < 500 {
            writeln!(self.text, "\n{}", String::from_utf8_lossy(&ask.body)).unwrap();
        }
        writeln!(self.text, "--\n{}", answer.status).unwrap();
        let mut headers = answer.headers.clone();
        headers.sort();
        for (name, value) in headers {
            let random = name == "x-amzn-requestid";
            let value = if random { format!("{{{} characters}}", value.len()) } else { value };
            writeln!(self.text, "{name}: {value}").unwrap();
        }
        if !answer.body.is_empty() {
            writeln!(self.text, "\n{}", String::from_utf8_lossy(&answer.body)).unwrap();
        }
        self.text.push('\n');
        answer
    }

    fn name(&mut self, value: String, name: &'static str) -> String {
        self.names.push((value.clone(), name));
        value
    }

    /// Returns everything, with names for what is made up.
    fn finish(self) -> String {
        let all: BTreeSet<Operation> = Operation::ALL.iter().copied().collect();
        assert_eq!(self.seen, all);
        self.names.iter().fold(self.text, |text, (value, name)| text.replace(value, name))
    }
}

#[tokio::test]
async fn all_operations_answer_as_recorded() {
    let world = World::new().await;
    let mut record = Record {
        text: String::new(),
        names: vec![(world.account.to_string(), "{account}")],
        seen: BTreeSet::new(),
    };
    vaults(&world, &mut record).await;
    policies(&world, &mut record).await;
    archives(&world, &mut record).await;
    account(&world, &mut record).await;
    refusals(&world, &mut record).await;
    let actual = record.finish();
    if actual != include_str!("wire.txt") {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("wire.txt");
        fs::write(&path, actual).unwrap();
        panic!("the wire has changed: compare wire.txt with {}", path.display());
    }
}

async fn vaults(world: &World, record: &mut Record) {
    use Operation::{
        AddTagsToVault, CreateVault, DeleteVault, DeleteVaultNotifications, DescribeVault,
        GetVaultNotifications, ListTagsForVault, ListVaults, RemoveTagsFromVault,
        SetVaultNotifications,
    };
    let ask = |method: &str, path: &str| world.ask(method, &format!("/-/vaults{path}"));
    record.exchange(CreateVault, ask("PUT", "/photos").body("{}")).await;
    record.exchange(CreateVault, ask("PUT", "/old").body("")).await;
    record.exchange(DescribeVault, ask("GET", "/photos")).await;
    record.exchange(ListVaults, ask("GET", "?limit=1")).await;
    record.exchange(DeleteVault, ask("DELETE", "/old")).await;
    record.exchange(ListVaults, ask("GET", "?limit=1000&marker=")).await;
    let topic = format!("arn:aws:sns:us-west-2:{}:topic", world.account);
    let configuration = json!({
        "SNSTopic": topic,
        "Events": ["InventoryRetrievalCompleted", "ArchiveRetrievalCompleted"],
    });
    let notifications = "/photos/notification-configuration";
    let set = ask("PUT", notifications).body(configuration.to_string());
    record.exchange(SetVaultNotifications, set).await;
    record.exchange(GetVaultNotifications, ask("GET", notifications)).await;
    record.exchange(DeleteVaultNotifications, ask("DELETE", notifications)).await;
    record.exchange(GetVaultNotifications, ask("GET", notifications)).await;
    let tags = json!({"Tags": {"colour": "blue", "who": ""}}).to_string();
    let add = ask("POST", "/photos/tags?operation=add").body(tags);
    record.exchange(AddTagsToVault, add).await;
    let keys = json!({"TagKeys": ["who", "none"]}).to_string();
    let remove = ask("POST", "/photos/tags?operation=remove").body(keys);
    record.exchange(RemoveTagsFromVault, remove).await;
    record.exchange(ListTagsForVault, ask("GET", "/photos/tags")).await;
}

async fn policies(world: &World, record: &mut Record) {
    use Operation::{
        AbortVaultLock, CompleteVaultLock, DeleteVaultAccessPolicy, GetVaultAccessPolicy,
        GetVaultLock, InitiateVaultLock, SetVaultAccessPolicy,
    };
    let policy = format!(
        r#"{{ "Version": "2012-10-17", "Statement": [{{ "Effect": "Deny", "Principal": "*", "Action": "glacier:DeleteVault", "Resource": "{}" }}] }}"#,
        world.arn("photos")
    );
    let body = json!({ "Policy": policy }).to_string();
    let ask = |method: &str, path: &str| world.ask(method, &format!("/-/vaults/photos/{path}"));
    record.exchange(SetVaultAccessPolicy, ask("PUT", "access-policy").body(body.clone())).await;
    record.exchange(GetVaultAccessPolicy, ask("GET", "access-policy")).await;
    record.exchange(DeleteVaultAccessPolicy, ask("DELETE", "access-policy")).await;
    record.exchange(GetVaultAccessPolicy, ask("GET", "access-policy")).await;
    let begin = ask("POST", "lock-policy").body(body);
    let begun = record.exchange(InitiateVaultLock, begin.clone()).await;
    record.name(begun.told("x-amz-lock-id"), "{first lock}");
    record.exchange(GetVaultLock, ask("GET", "lock-policy")).await;
    record.exchange(AbortVaultLock, ask("DELETE", "lock-policy").body("")).await;
    record.exchange(GetVaultLock, ask("GET", "lock-policy")).await;
    let begun = record.exchange(InitiateVaultLock, begin).await;
    let lock = record.name(begun.told("x-amz-lock-id"), "{second lock}");
    record.exchange(CompleteVaultLock, ask("POST", &format!("lock-policy/{lock}"))).await;
    record.exchange(GetVaultLock, ask("GET", "lock-policy")).await;
}

async fn archives(world: &World, record: &mut Record) {
    use Operation::{
        AbortMultipartUpload, CompleteMultipartUpload, DeleteArchive, DescribeJob, GetJobOutput,
        InitiateJob, InitiateMultipartUpload, ListJobs, ListMultipartUploads, ListParts,
        UploadArchive, UploadMultipartPart,
    };
    let ask = |method: &str, path: &str| world.ask(method, &format!("/-/vaults/photos/{path}"));
    let upload = ask("POST", "archives").header("x-amz-archive-description", "two  spaces");
    let stored = record.exchange(UploadArchive, upload.payload("archive")).await;
    let archive = record.name(stored.told("x-amz-archive-id"), "{first archive}");
    let begin = ask("POST", "multipart-uploads").header("x-amz-part-size", MIB).body("{}");
    let begun = record.exchange(InitiateMultipartUpload, begin.clone()).await;
    let id = record.name(begun.told("x-amz-multipart-upload-id"), "{first upload}");
    let one = format!("multipart-uploads/{id}");
    let body = bytes(MIB + 1);
    let part =
        |bytes: &[u8], range: &str| ask("PUT", &one).header("content-range", range).payload(bytes);
    let last = part(&body[MIB..], "bytes 1048576-1048576/*");
    record.exchange(UploadMultipartPart, last).await;
    record.exchange(UploadMultipartPart, part(&body[..MIB], "bytes 0-1048575/*")).await;
    record.exchange(ListParts, ask("GET", &format!("{one}?limit=1"))).await;
    record.exchange(ListMultipartUploads, ask("GET", "multipart-uploads")).await;
    let whole = ask("POST", &one).payload(body);
    let complete = whole.header("x-amz-archive-size", MIB + 1).body("");
    let complete = complete.without("x-amz-content-sha256");
    let completed = record.exchange(CompleteMultipartUpload, complete).await;
    let second = record.name(completed.told("x-amz-archive-id"), "{second archive}");
    let begun = record.exchange(InitiateMultipartUpload, begin).await;
    let id = record.name(begun.told("x-amz-multipart-upload-id"), "{second upload}");
    let abort = ask("DELETE", &format!("multipart-uploads/{id}"));
    record.exchange(AbortMultipartUpload, abort).await;
    let delete = ask("DELETE", &format!("archives/{second}"));
    record.exchange(DeleteArchive, delete).await;

    let topic = format!("arn:aws:sns:us-west-2:{}:topic", world.account);
    let retrieval = json!({
        "Type": "archive-retrieval",
        "ArchiveId": archive,
        "Description": "mine",
        "SNSTopic": topic,
        "Tier": "Bulk",
        "RetrievalByteRange": null,
    });
    let start = ask("POST", "jobs").body(retrieval.to_string());
    let started = record.exchange(InitiateJob, start).await;
    let job = record.name(started.told("x-amz-job-id"), "{archive job}");
    world.engine.run_due_jobs().await.unwrap();
    record.exchange(DescribeJob, ask("GET", &format!("jobs/{job}"))).await;
    record.exchange(GetJobOutput, ask("GET", &format!("jobs/{job}/output"))).await;
    let range = ask("GET", &format!("jobs/{job}/output")).header("range", "bytes=2-99");
    record.exchange(GetJobOutput, range).await;
    let inventory = json!({
        "jobParameters": {
            "Type": "inventory-retrieval",
            "Format": "JSON",
            "ArchiveId": null,
            "InventoryRetrievalParameters": {"StartDate": "2012-01-01T00:00:00Z", "Limit": 5},
        }
    });
    let start = ask("POST", "jobs").body(inventory.to_string());
    let started = record.exchange(InitiateJob, start).await;
    let job = record.name(started.told("x-amz-job-id"), "{inventory job}");
    world.engine.run_due_jobs().await.unwrap();
    record.exchange(GetJobOutput, ask("GET", &format!("jobs/{job}/output"))).await;
    let list = ask("GET", "jobs?completed=true&statuscode=Succeeded&limit=50&marker=");
    record.exchange(ListJobs, list).await;
}

async fn account(world: &World, record: &mut Record) {
    use Operation::{
        GetDataRetrievalPolicy, ListProvisionedCapacity, PurchaseProvisionedCapacity,
        SetDataRetrievalPolicy,
    };
    let policy = "/-/policies/data-retrieval";
    record.exchange(GetDataRetrievalPolicy, world.ask("GET", policy)).await;
    let rule = json!({"Strategy": "BytesPerHour", "BytesPerHour": 1_u64 << 40});
    let body = json!({"Policy": {"Rules": [rule]}}).to_string();
    record.exchange(SetDataRetrievalPolicy, world.ask("PUT", policy).body(body)).await;
    record.exchange(GetDataRetrievalPolicy, world.ask("GET", policy)).await;
    let capacity = "/-/provisioned-capacity";
    let bought = record.exchange(PurchaseProvisionedCapacity, world.ask("POST", capacity)).await;
    record.name(bought.told("x-amz-capacity-id"), "{capacity}");
    record.exchange(ListProvisionedCapacity, world.ask("GET", capacity)).await;
}

/// A refusal of each kind of body: none, not JSON, a member missing, a member wrong.
async fn refusals(world: &World, record: &mut Record) {
    let jobs = |body: &str| world.ask("POST", "/-/vaults/photos/jobs").body(body);
    for body in ["{", "[]", "", "{}", r#"{"Type":"other"}"#, r#"{"Type":5}"#] {
        record.exchange(Operation::InitiateJob, jobs(body)).await;
    }
}
