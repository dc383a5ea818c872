//! The AWS SDK for Rust. It is a dependency of the tests, so it needs no installation.

use aws_credential_types::Credentials;
use aws_sdk_glacier::{
    Client,
    config::{BehaviorVersion, Region, retry::RetryConfig},
    error::ProvideErrorMetadata,
    operation::get_job_output::GetJobOutputOutput,
    primitives::ByteStream,
    types::{
        DataRetrievalPolicy, DataRetrievalRule, InventoryRetrievalJobInput, JobParameters,
        StatusCode, VaultLockPolicy, VaultNotificationConfig,
    },
};
use icefield_treehash::{Hasher, Roles};

use super::{DELAYS, INVENTORY};
use crate::process::Serve;

const MIB: usize = 1 << 20;
const VAULT: &str = "rust";

#[tokio::test]
async fn the_sdk_for_rust_works_unmodified() {
    let server = Serve::start(&[DELAYS, INVENTORY]);
    let glacier = client(&server);
    settings(&glacier, &server).await;
    let archives = [single(&glacier).await, multipart(&glacier).await];
    for (archive, content) in &archives {
        retrieval(&glacier, archive, content).await;
    }
    inventory(&glacier, &archives).await;
    for (archive, _) in &archives {
        glacier.delete_archive().vault_name(VAULT).archive_id(archive).send().await.unwrap();
    }
    glacier.delete_vault().vault_name(VAULT).send().await.unwrap();
    let gone = glacier.describe_vault().vault_name(VAULT).send().await.unwrap_err();
    assert_eq!(gone.code(), Some("ResourceNotFoundException"), "{gone:?}");
    let message = format!(
        "Vault not found for ARN: arn:aws:glacier:{}:{}:vaults/{VAULT}",
        server.region, server.account
    );
    assert_eq!(gone.message(), Some(message.as_str()));
}

fn client(server: &Serve) -> Client {
    let credentials =
        Credentials::new(&server.access_key, &server.secret_key, None, None, "printed by serve");
    let config = aws_sdk_glacier::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(&server.endpoint)
        .region(Region::new(server.region.clone()))
        .credentials_provider(credentials)
        .retry_config(RetryConfig::disabled())
        .build();
    Client::from_conf(config)
}

/// What a vault and the account have besides archives.
async fn settings(glacier: &Client, server: &Serve) {
    let made = glacier.create_vault().vault_name(VAULT).send().await.unwrap();
    assert_eq!(made.location(), Some(format!("/{}/vaults/{VAULT}", server.account).as_str()));
    let vault = glacier.describe_vault().vault_name(VAULT).send().await.unwrap();
    assert_eq!((vault.number_of_archives(), vault.last_inventory_date()), (0, None));
    let vaults: Vec<_> = glacier
        .list_vaults()
        .into_paginator()
        .items()
        .send()
        .collect::<Result<_, _>>()
        .await
        .unwrap();
    assert_eq!(vaults.len(), 1);

    glacier.add_tags_to_vault().vault_name(VAULT).tags("project", "M 33").send().await.unwrap();
    let tags = glacier.list_tags_for_vault().vault_name(VAULT).send().await.unwrap();
    assert_eq!(tags.tags().unwrap()["project"], "M 33");

    let topic = format!("arn:aws:sns:{}:{}:ready", server.region, server.account);
    let wanted = VaultNotificationConfig::builder()
        .sns_topic(&topic)
        .events("InventoryRetrievalCompleted")
        .build();
    let set = glacier.set_vault_notifications().vault_name(VAULT);
    set.vault_notification_config(wanted.clone()).send().await.unwrap();
    let found = glacier.get_vault_notifications().vault_name(VAULT).send().await.unwrap();
    assert_eq!(found.vault_notification_config(), Some(&wanted));

    lock(glacier, server).await;

    let rule =
        DataRetrievalRule::builder().strategy("BytesPerHour").bytes_per_hour(1 << 40).build();
    let policy = DataRetrievalPolicy::builder().rules(rule).build();
    glacier.set_data_retrieval_policy().policy(policy.clone()).send().await.unwrap();
    let found = glacier.get_data_retrieval_policy().send().await.unwrap();
    assert_eq!(found.policy(), Some(&policy));

    let bought = glacier.purchase_provisioned_capacity().send().await.unwrap();
    let listed = glacier.list_provisioned_capacity().send().await.unwrap();
    let listed = listed.provisioned_capacity_list();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].capacity_id(), bought.capacity_id());
}

async fn lock(glacier: &Client, server: &Serve) {
    let policy = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Sid":"keep","Effect":"Deny","Principal":{{"AWS":"*"}},
        "Action":"glacier:DeleteArchive","Resource":"arn:aws:glacier:{}:{}:vaults/{VAULT}"}}]}}"#,
        server.region, server.account
    );
    let wanted = VaultLockPolicy::builder().policy(&policy).build();
    let begun =
        glacier.initiate_vault_lock().vault_name(VAULT).policy(wanted).send().await.unwrap();
    assert!(begun.lock_id().is_some());
    let found = glacier.get_vault_lock().vault_name(VAULT).send().await.unwrap();
    assert_eq!((found.state(), found.policy()), (Some("InProgress"), Some(policy.as_str())));
    glacier.abort_vault_lock().vault_name(VAULT).send().await.unwrap();
}

/// Uploads an archive in one request and returns its ID and content.
async fn single(glacier: &Client) -> (String, Vec<u8>) {
    let content = content(2 * MIB + 5, 1);
    let made = glacier
        .upload_archive()
        .vault_name(VAULT)
        .archive_description("single")
        .body(ByteStream::from(content.clone()))
        .send()
        .await
        .unwrap();
    assert_eq!(made.checksum(), Some(tree_hash(&content).as_str()));
    let wrong = glacier
        .upload_archive()
        .vault_name(VAULT)
        .checksum("0".repeat(64))
        .body(ByteStream::from_static(b"x"))
        .send()
        .await
        .unwrap_err();
    assert_eq!(wrong.code(), Some("InvalidParameterValueException"), "{wrong:?}");
    (made.archive_id().unwrap().to_owned(), content)
}

/// Uploads an archive in parts, last one first, and returns its ID and content.
async fn multipart(glacier: &Client) -> (String, Vec<u8>) {
    let content = content(5 * MIB + 77, 2);
    let part_size = 2 * MIB;
    let begun = glacier
        .initiate_multipart_upload()
        .vault_name(VAULT)
        .part_size(part_size.to_string())
        .send()
        .await
        .unwrap();
    let upload = begun.upload_id().unwrap();
    for (index, part) in content.chunks(part_size).enumerate().rev() {
        let first = index * part_size;
        let sent = glacier
            .upload_multipart_part()
            .vault_name(VAULT)
            .upload_id(upload)
            .range(format!("bytes {first}-{}/*", first + part.len() - 1))
            .body(ByteStream::from(part.to_vec()))
            .send()
            .await
            .unwrap();
        assert_eq!(sent.checksum(), Some(tree_hash(part).as_str()));
    }
    let listed = glacier.list_parts().vault_name(VAULT).upload_id(upload).send().await.unwrap();
    let last = format!("{}-{}", 2 * part_size, content.len() - 1);
    let ranges: Vec<_> = listed.parts().iter().filter_map(|part| part.range_in_bytes()).collect();
    assert_eq!(ranges, ["0-2097151", "2097152-4194303", &last]);
    let made = glacier
        .complete_multipart_upload()
        .vault_name(VAULT)
        .upload_id(upload)
        .archive_size(content.len().to_string())
        .checksum(tree_hash(&content))
        .send()
        .await
        .unwrap();
    let uploads = glacier.list_multipart_uploads().vault_name(VAULT).send().await.unwrap();
    assert!(uploads.uploads_list().is_empty());
    (made.archive_id().unwrap().to_owned(), content)
}

async fn retrieval(glacier: &Client, archive: &str, content: &[u8]) {
    let wanted = JobParameters::builder().r#type("archive-retrieval").archive_id(archive);
    let job = start(glacier, wanted.tier("Expedited").build()).await;
    let whole = output(glacier, &job, None).await;
    assert_eq!(whole.checksum(), Some(tree_hash(content).as_str()));
    assert!(body(whole).await == content, "not what was uploaded");
    let range = output(glacier, &job, Some("bytes=1048576-4194303")).await;
    assert_eq!(range.status(), 206);
    let last = content.len().min(4 * MIB) - 1;
    let told = format!("bytes 1048576-{last}/{}", content.len());
    assert_eq!(range.content_range(), Some(told.as_str()));
    assert!(body(range).await == content[MIB..=last], "not the bytes asked for");
}

async fn inventory(glacier: &Client, archives: &[(String, Vec<u8>)]) {
    let limit = InventoryRetrievalJobInput::builder().limit("1000").build();
    let wanted = JobParameters::builder()
        .r#type("inventory-retrieval")
        .format("JSON")
        .inventory_retrieval_parameters(limit);
    let job = start(glacier, wanted.build()).await;
    let listed = body(output(glacier, &job, None).await).await;
    let listed: serde_json::Value = serde_json::from_slice(&listed).unwrap();
    let mut found: Vec<_> = listed["ArchiveList"].as_array().unwrap().iter().collect();
    found.sort_by_key(|item| item["Size"].as_u64());
    let mut expected: Vec<_> = archives.iter().collect();
    expected.sort_by_key(|(_, content)| content.len());
    for (item, (archive, content)) in found.iter().zip(&expected) {
        assert_eq!(item["ArchiveId"], **archive);
        assert_eq!(item["SHA256TreeHash"], tree_hash(content));
    }
    assert_eq!(found.len(), expected.len());
    let finished = glacier.list_jobs().vault_name(VAULT).completed("true").send().await.unwrap();
    assert_eq!(finished.job_list().len(), archives.len() + 1);
}

/// Starts a job and returns its ID once it has succeeded, which takes no time here.
async fn start(glacier: &Client, wanted: JobParameters) -> String {
    let begun =
        glacier.initiate_job().vault_name(VAULT).job_parameters(wanted).send().await.unwrap();
    let job = begun.job_id().unwrap().to_owned();
    for _ in 0..MAX_DESCRIBES {
        let found = glacier.describe_job().vault_name(VAULT).job_id(&job).send().await.unwrap();
        match found.status_code() {
            Some(StatusCode::Succeeded) => return job,
            Some(StatusCode::InProgress) => tokio::task::yield_now().await,
            other => panic!("the job ended as {other:?}"),
        }
    }
    panic!("the job is not ready, though its tier has no delay");
}

/// How often a job is asked for before it counts as one that never ends.
const MAX_DESCRIBES: usize = 10_000;

async fn output(glacier: &Client, job: &str, range: Option<&str>) -> GetJobOutputOutput {
    let wanted = glacier.get_job_output().vault_name(VAULT).job_id(job);
    wanted.set_range(range.map(str::to_owned)).send().await.unwrap()
}

async fn body(output: GetJobOutputOutput) -> Vec<u8> {
    output.body.collect().await.unwrap().to_vec()
}

/// Returns bytes that differ from MiB to MiB and from seed to seed.
fn content(size: usize, seed: usize) -> Vec<u8> {
    let byte = |at: usize| (at.wrapping_mul(at >> 8).wrapping_add(at >> 20) ^ seed) & 0xff;
    (0..size).map(|at| u8::try_from(byte(at)).unwrap()).collect()
}

fn tree_hash(bytes: &[u8]) -> String {
    let mut hasher = Hasher::new(Roles { linear: false });
    hasher.update(bytes);
    hasher.finish().tree.to_string()
}
