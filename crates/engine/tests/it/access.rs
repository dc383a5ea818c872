//! Who may do what.

use bytes::Bytes;
use icefield_engine::{
    Caller, Engine, EngineError, Resource,
    policy::{ContextKeys, Reason, key},
};
use icefield_protocol::{AccountId, ArchiveId, ErrorCode, JobRequest, Operation};
use icefield_store::{
    DocumentEntry, DocumentName, Entry,
    entry::VaultNumber,
    ledger::{ArchiveQuery, VaultRow},
};
use serde_json::{Value, json};

use crate::{
    acting::{
        ALLOW_ALL, Acting, DAY, Home, allow, archive, deny, in_memory, retention, tags, user,
    },
    world::{archive_job, assert_refused, bytes, name},
};

const ANY: &str = r#"{"Null":{"aws:PrincipalArn":"false"}}"#;

/// A user of the account with these policies.
async fn user_with(engine: &Engine, account: &AccountId, policies: &[&str]) -> Caller {
    let ann = user("ann");
    engine.create_user(account, &ann).await.unwrap();
    for (number, policy) in policies.iter().enumerate() {
        let name = format!("p{number}");
        engine.set_user_policy(account, &ann, &name, policy).await.unwrap();
    }
    Caller::user(account.clone(), ann)
}

fn may(actions: &str, resource: &str, condition: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":"{actions}","Resource":"{resource}","Condition":{condition}}}}}"#
    )
}

/// The operations that are allowed.
async fn allowed(acting: &Acting<'_>) -> Vec<Operation> {
    let mut allowed = Vec::new();
    for operation in Operation::ALL {
        match acting.access(*operation).await {
            Ok(_) => allowed.push(*operation),
            Err(EngineError::AccessDenied { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
    allowed
}

fn is_denied<T: std::fmt::Debug>(result: Result<T, EngineError>) -> bool {
    match result {
        Err(EngineError::AccessDenied { .. }) => true,
        Ok(_) => false,
        Err(other) => panic!("{other}"),
    }
}

async fn row(engine: &Engine) -> VaultRow {
    let account = engine.account();
    engine.store().ledger().vault(account, &name("photos")).await.unwrap().unwrap()
}

/// Writes a document past the engine.
async fn write(engine: &Engine, document: &str, vault: Option<VaultNumber>, value: Value) {
    let (store, name) = (engine.store(), DocumentName::parse(document).unwrap());
    let before = store.ledger().document(&name).await.unwrap();
    let entry = DocumentEntry {
        name,
        vault,
        version: store.next_number(),
        after: before.map(|row| row.version),
        value: Some(value),
        at: store.clock().now(),
    };
    store.commit(Entry::Document(entry), Bytes::new()).await.unwrap();
}

#[tokio::test]
async fn a_user_may_do_what_its_policies_allow_and_nothing_else() {
    let (engine, _) = in_memory().await;
    let account = engine.account().clone();
    assert_eq!(allowed(&Acting::root(&engine)).await, Operation::ALL);
    let ann = Acting::by(&engine, user_with(&engine, &account, &[]).await);
    assert_eq!(allowed(&ann).await, []);
    let (list, own) = (may("glacier:List*", "*", ANY), may("glacier:*Vault", &ann.arn(), ANY));
    for (name, policy) in [("list", &list), ("own", &own)] {
        engine.set_user_policy(&account, &user("ann"), name, policy).await.unwrap();
    }
    let expected: Vec<Operation> = Operation::ALL
        .iter()
        .copied()
        .filter(|operation| {
            operation.as_str().starts_with("List") || operation.as_str().ends_with("Vault")
        })
        .collect();
    assert_eq!(allowed(&ann).await, expected);
    let letters = ann.on("letters");
    assert!(is_denied(letters.access(Operation::CreateVault).await));
}

#[tokio::test]
async fn a_refusal_names_who_what_and_where() {
    let (engine, _) = in_memory().await;
    let account = engine.account().clone();
    let ann = Acting::by(&engine, user_with(&engine, &account, &[]).await);
    let message = format!(
        "User: arn:aws:iam::{account}:user/ann is not authorized to perform: glacier:DeleteVault on resource: {}",
        ann.arn()
    );
    assert_refused(ann.access(Operation::DeleteVault).await, ErrorCode::AccessDenied, &message);
    for (operation, resource) in [
        (Operation::ListVaults, "*".to_owned()),
        (
            Operation::SetDataRetrievalPolicy,
            format!("arn:aws:glacier:local:{account}:policies/retrieval-limit-policy"),
        ),
    ] {
        let refused = ann.access(operation).await.unwrap_err().to_string();
        assert!(refused.ends_with(&format!("on resource: {resource}")), "{refused}");
    }
}

#[tokio::test]
async fn a_user_that_is_gone_has_no_rights_at_all() {
    let (engine, _) = in_memory().await;
    let account = engine.account().clone();
    let ann = user_with(&engine, &account, &[ALLOW_ALL]).await;
    let ann = Acting::by(&engine, ann);
    let root = Acting::root(&engine);
    root.set_policy(&allow(&root.arn(), "glacier:*", ANY)).await.unwrap();
    assert_eq!(allowed(&ann).await, Operation::ALL);
    engine.delete_user(&account, &user("ann")).await.unwrap();
    assert_eq!(allowed(&ann).await, []);
}

#[tokio::test]
async fn another_account_needs_its_own_permission_and_the_vaults() {
    let (engine, _) = in_memory().await;
    let root = Acting::root(&engine);
    let other = engine.create_account().await.unwrap().account;
    let own_only: Vec<Operation> =
        Operation::ALL.iter().copied().filter(|one| one.is_for_own_account()).collect();
    let shared: Vec<Operation> =
        Operation::ALL.iter().copied().filter(|one| !one.is_for_own_account()).collect();
    let ann = Acting::by(&engine, user_with(&engine, &other, &[ALLOW_ALL]).await);
    let their_root = Acting::by(&engine, Caller::root(other.clone()));
    for stranger in [&ann, &their_root] {
        assert_eq!(allowed(stranger).await, []);
    }
    // Also what policies can never share is named by this one.
    root.set_policy(&allow(&root.arn(), "glacier:*", ANY)).await.unwrap();
    for stranger in [&ann, &their_root] {
        assert_eq!(allowed(stranger).await, shared, "not {own_only:?}");
    }
    engine.remove_user_policy(&other, &user("ann"), "p0").await.unwrap();
    assert_eq!(allowed(&ann).await, []);
    root.delete_policy().await.unwrap();
    assert_eq!(allowed(&their_root).await, []);
}

#[tokio::test]
async fn the_policy_of_a_vault_alone_may_allow_a_user_of_its_account() {
    let (engine, _) = in_memory().await;
    let account = engine.account().clone();
    let root = Acting::root(&engine);
    root.set_policy(&allow(&root.arn(), "glacier:*", ANY)).await.unwrap();
    let ann = Acting::by(&engine, user_with(&engine, &account, &[]).await);
    let expected: Vec<Operation> = Operation::ALL
        .iter()
        .copied()
        .filter(|one| one.has_vault() && *one != Operation::CreateVault)
        .collect();
    assert_eq!(allowed(&ann).await, expected);
    assert_eq!(allowed(&ann.on("letters")).await, []);
}

#[tokio::test]
async fn a_denial_binds_root_too_except_for_the_way_back_to_the_access_policy() {
    let (engine, _) = in_memory().await;
    let root = Acting::root(&engine);
    root.set_policy(&deny(&root.arn(), "glacier:*", ANY)).await.unwrap();
    let without_vault: Vec<Operation> =
        Operation::ALL.iter().copied().filter(|one| !one.has_vault()).collect();
    // A vault has no say in being made, which changes nothing where it is.
    let mut expected = vec![
        Operation::CreateVault,
        Operation::SetVaultAccessPolicy,
        Operation::GetVaultAccessPolicy,
        Operation::DeleteVaultAccessPolicy,
    ];
    expected.extend(without_vault);
    expected.sort();
    assert_eq!(allowed(&root).await, expected);
    root.delete_policy().await.unwrap();
    assert_eq!(allowed(&root).await, Operation::ALL);
}

#[tokio::test]
async fn conditions_see_who_asks_when_where_and_the_vaults_tags() {
    let (engine, _) = in_memory().await;
    let account = engine.account().clone();
    Acting::root(&engine).add_tags(tags(&[("Kind", "raw"), ("Empty", "")])).await.unwrap();
    let said = ContextKeys::new()
        .with(key::SOURCE_IP, "192.0.2.7")
        .with(key::SECURE_TRANSPORT, "false")
        .with(key::USER_AGENT, "tests/1");
    let ann = user_with(&engine, &account, &[]).await.with_context(said);
    let ann = Acting::by(&engine, ann);
    let arn = format!("arn:aws:iam::{account}:user/ann");
    for (condition, holds) in [
        (r#"{"StringEquals":{"glacier:ResourceTag/Kind":"raw"}}"#.to_owned(), true),
        (r#"{"StringEquals":{"aws:ResourceTag/Kind":"raw"}}"#.to_owned(), true),
        (r#"{"StringEquals":{"glacier:ResourceTag/Kind":"jpg"}}"#.to_owned(), false),
        (r#"{"StringEquals":{"glacier:ResourceTag/Empty":""}}"#.to_owned(), true),
        (r#"{"StringEquals":{"glacier:ResourceTag/None":""}}"#.to_owned(), false),
        (r#"{"DateGreaterThan":{"aws:CurrentTime":"2026-01-01T00:00:00Z"}}"#.to_owned(), false),
        (r#"{"DateEquals":{"aws:CurrentTime":"2026-01-01T00:00:00Z"}}"#.to_owned(), true),
        (r#"{"NumericEquals":{"aws:EpochTime":"1767225600"}}"#.to_owned(), true),
        (format!(r#"{{"ArnEquals":{{"aws:PrincipalArn":"{arn}"}}}}"#), true),
        (format!(r#"{{"StringEquals":{{"aws:PrincipalAccount":"{account}"}}}}"#), true),
        (format!(r#"{{"StringEquals":{{"aws:ResourceAccount":"{account}"}}}}"#), true),
        (r#"{"StringEquals":{"aws:PrincipalType":"User"}}"#.to_owned(), true),
        (r#"{"StringEquals":{"aws:username":"ann"}}"#.to_owned(), true),
        (r#"{"Null":{"aws:userid":"false"}}"#.to_owned(), true),
        (r#"{"StringEquals":{"aws:RequestedRegion":"local"}}"#.to_owned(), true),
        (r#"{"StringEquals":{"aws:RequestedRegion":"us-west-2"}}"#.to_owned(), false),
        (r#"{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}}"#.to_owned(), true),
        (r#"{"IpAddress":{"aws:SourceIp":"198.51.100.0/24"}}"#.to_owned(), false),
        (r#"{"Bool":{"aws:SecureTransport":"true"}}"#.to_owned(), false),
        (r#"{"StringLike":{"aws:UserAgent":"tests/*"}}"#.to_owned(), true),
        (r#"{"Null":{"glacier:ArchiveAgeInDays":"true"}}"#.to_owned(), true),
    ] {
        let policy = may("glacier:DescribeVault", "*", &condition);
        engine.set_user_policy(&account, &user("ann"), "p", &policy).await.unwrap();
        let decided = ann.access(Operation::DescribeVault).await;
        assert_eq!(!is_denied(decided), holds, "{condition}");
    }
}

#[tokio::test]
async fn the_age_of_an_archive_is_told_in_whole_days_also_of_a_deleted_one() {
    let (engine, clock) = in_memory().await;
    let root = Acting::root(&engine);
    let (young, deleted) = (archive(&engine).await, archive(&engine).await);
    root.delete(&deleted).await.unwrap();
    let unknown = ArchiveId::parse("never-an-archive").unwrap();
    let other = root.on("letters");
    other.create().await.unwrap();
    let foreign = other.put(&bytes(1, 10)).await.unwrap().id;
    let root = Acting::root(&engine);
    let ages =
        |days: &str| format!(r#"{{"NumericEquals":{{"glacier:ArchiveAgeInDays":"{days}"}}}}"#);
    clock.advance(2 * DAY - std::time::Duration::from_millis(1));
    for days in ["0", "1", "2"] {
        root.set_policy(&deny(&root.arn(), "glacier:*", &ages(days))).await.unwrap();
        for operation in [Operation::DeleteArchive, Operation::InitiateJob] {
            for archive in [&young, &deleted] {
                let decided = root.access_to(operation, archive).await;
                assert_eq!(is_denied(decided), days == "1", "{days}");
            }
            for ageless in [&unknown, &foreign] {
                assert!(!is_denied(root.access_to(operation, ageless).await));
            }
        }
    }
    let absent = r#"{"Null":{"glacier:ArchiveAgeInDays":"true"}}"#;
    root.set_policy(&deny(&root.arn(), "glacier:DeleteArchive", absent)).await.unwrap();
    for ageless in [&unknown, &foreign] {
        assert!(is_denied(root.access_to(Operation::DeleteArchive, ageless).await));
    }
}

#[tokio::test]
async fn a_permission_is_good_for_its_operation_and_its_archive_only() {
    let (engine, _) = in_memory().await;
    let root = Acting::root(&engine);
    let (one, two) = (archive(&engine).await, archive(&engine).await);
    let describe = root.access(Operation::DescribeVault).await.unwrap();
    let program = ErrorCode::ServiceUnavailable;
    assert_eq!(engine.delete_archive(&describe, &one).await.unwrap_err().code(), program);
    assert_eq!(engine.delete_access_policy(&describe).await.unwrap_err().code(), program);
    assert_eq!(engine.lock(&describe).await.unwrap_err().code(), program);
    let request: JobRequest = archive_job(&two, None);
    for access in [
        root.access_to(Operation::InitiateJob, &one).await.unwrap(),
        root.access(Operation::InitiateJob).await.unwrap(),
    ] {
        assert_eq!(engine.initiate_job(&access, &request).await.unwrap_err().code(), program);
    }
    root.start(&request).await.unwrap();
    let nowhere = Resource::account(engine.account());
    let decided = engine.authorize(&root.caller, Operation::DeleteVault, nowhere).await;
    assert_eq!(decided.unwrap_err().code(), program);
}

/// A permission to delete without an archive was decided without its age.
#[tokio::test]
async fn an_age_that_was_not_looked_at_is_looked_at_before_the_archive_is_deleted() {
    let (engine, _) = in_memory().await;
    let root = Acting::root(&engine);
    let archive = archive(&engine).await;
    root.lock_for_good(&retention(&root.arn())).await;
    let ageless = root.access(Operation::DeleteArchive).await.unwrap();
    assert!(is_denied(engine.delete_archive(&ageless, &archive).await));
}

#[tokio::test]
async fn a_permission_that_is_older_than_a_lock_removes_and_changes_nothing() {
    let (engine, _) = in_memory().await;
    let root = Acting::root(&engine);
    let archive = archive(&engine).await;
    root.add_tags(tags(&[("hold", "yes")])).await.unwrap();
    let delete = root.access_to(Operation::DeleteArchive, &archive).await.unwrap();
    let delete_vault = root.access(Operation::DeleteVault).await.unwrap();
    let remove_tags = root.access(Operation::RemoveTagsFromVault).await.unwrap();
    let set_policy = root.access(Operation::SetVaultAccessPolicy).await.unwrap();
    root.initiate_lock(&deny(&root.arn(), "glacier:*", ANY)).await.unwrap();
    assert!(is_denied(engine.delete_archive(&delete, &archive).await));
    assert!(is_denied(engine.delete_vault(&delete_vault).await));
    let hold = tags(&[("hold", "")]).into_keys().collect::<Vec<_>>();
    assert!(is_denied(engine.remove_tags(&remove_tags, &hold).await));
    let policy = allow(&root.arn(), "glacier:*", ANY);
    assert!(is_denied(engine.set_access_policy(&set_policy, &policy).await));
}

/// What a request says in its body binds, too, once it is known.
#[tokio::test]
async fn a_tag_that_a_policy_protects_cannot_be_changed() {
    let (engine, _) = in_memory().await;
    let root = Acting::root(&engine);
    root.add_tags(tags(&[("hold", "yes"), ("free", "yes")])).await.unwrap();
    let keys = r#"{"ForAnyValue:StringEquals":{"aws:TagKeys":"hold"}}"#;
    root.lock_for_good(&deny(&root.arn(), "glacier:*Tags*", keys)).await;
    assert!(is_denied(root.remove_tags(&["free", "hold"]).await));
    assert!(is_denied(root.add_tags(tags(&[("hold", "no")])).await));
    assert_eq!(root.tags().await.unwrap(), tags(&[("hold", "yes"), ("free", "yes")]));
    root.remove_tags(&["free"]).await.unwrap();
    root.add_tags(tags(&[("other", "yes")])).await.unwrap();
}

/// From the moment a lock is acknowledged on, what it denies does not happen any more. In a folder, where time passes
/// between a decision and its commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_deleted_once_a_lock_is_acknowledged() {
    const ARCHIVES: usize = 60;
    let home = Home::new().await;
    let mut archives = Vec::new();
    for _ in 0..ARCHIVES {
        archives.push(archive(&home.engine).await);
    }
    let root = Acting::root(&home.engine);
    let policy = retention(&root.arn());
    while archives.len() > 10 {
        let deletes: Vec<_> = archives
            .drain(archives.len() - 10..)
            .map(|archive| {
                let engine = home.engine.clone();
                tokio::spawn(async move { Acting::root(&engine).delete(&archive).await })
            })
            .collect();
        root.initiate_lock(&policy).await.unwrap();
        let then = row(&home.engine).await.archives;
        for delete in deletes {
            // Some came before the lock.
            is_denied(delete.await.unwrap());
        }
        assert_eq!(row(&home.engine).await.archives, then);
        root.abort_lock().await.unwrap();
    }
}

#[tokio::test]
async fn settings_and_policies_that_cannot_be_read_deny_everything() {
    let (engine, _) = in_memory().await;
    let account = engine.account().clone();
    let ann = Acting::by(&engine, user_with(&engine, &account, &[ALLOW_ALL]).await);
    let root = Acting::root(&engine);
    let vault = row(&engine).await.number;
    let document = format!("vault/{vault}");
    let lock = json!({
        "id": "0123456789abcdefghijklmn",
        "policy": "{",
        "initiated": "2020-01-01T00:00:00.000Z",
        "locked": "2020-01-01T00:00:00.000Z",
    });
    for settings in [json!({"access_policy": "{"}), json!({"lock": lock})] {
        write(&engine, &document, Some(vault), settings.clone()).await;
        for caller in [&ann, &root] {
            assert!(is_denied(caller.access(Operation::DeleteArchive).await), "{settings}");
            assert!(is_denied(caller.access(Operation::DescribeVault).await), "{settings}");
        }
    }
    write(&engine, &document, Some(vault), json!({"a rule of the future": true})).await;
    let unreadable = root.access(Operation::DeleteArchive).await.unwrap_err();
    assert_eq!(unreadable.code(), ErrorCode::ServiceUnavailable);
    write(&engine, &document, Some(vault), json!({})).await;
    root.access(Operation::DeleteArchive).await.unwrap();

    let policies = json!({"good": ALLOW_ALL, "bad": "{"});
    let user = json!({"number": 1, "created": "2020-01-01T00:00:00.000Z", "policies": policies});
    write(&engine, &format!("user/{account}/ann"), None, user).await;
    assert_eq!(allowed(&ann).await, []);
}

#[tokio::test]
async fn a_decision_can_be_explained() {
    let (engine, _) = in_memory().await;
    let account = engine.account().clone();
    let root = Acting::root(&engine);
    root.set_policy(&deny(&root.arn(), "glacier:DeleteVault", ANY)).await.unwrap();
    let vault = name("photos");
    let resource = Resource::vault(&account, &vault);
    let why = engine.explain(&root.caller, Operation::DeleteVault, resource).await.unwrap();
    assert!(!why.allowed);
    assert_eq!(why.to_string(), "denied by Statement[0] \"rule\" of the vault access policy");
    let why = engine.explain(&root.caller, Operation::DescribeVault, resource).await.unwrap();
    assert_eq!((why.allowed, why.by), (true, Reason::Root));
}

#[tokio::test]
async fn uploads_go_on_while_settings_change_and_a_lock_does_not_wait_for_them() {
    let (engine, _) = in_memory().await;
    let root = Acting::root(&engine);
    let new =
        icefield_engine::NewArchive { description: None, token: None, size: 10, linear: false };
    let access = root.access(Operation::UploadArchive).await.unwrap();
    let mut receiving = engine.receive_archive(&access, new).await.unwrap();
    root.lock_for_good(&retention(&root.arn())).await;
    receiving.write(bytes(1, 10)).await.unwrap();
    receiving.commit(None).await.unwrap();
    let row = row(&engine).await;
    let query = ArchiveQuery {
        vault: row.number,
        writes: row.writes,
        after: None,
        start: None,
        end: None,
        limit: 10,
    };
    assert_eq!(engine.store().ledger().archives(query).await.unwrap().len(), 1);
}
