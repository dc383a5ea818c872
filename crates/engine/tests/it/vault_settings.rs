//! Tags, notification configurations and access policies of vaults.

use icefield_engine::{Caller, EngineError};
use icefield_protocol::{ErrorCode, NotificationConfiguration, NotificationEvent, TopicArn};

use crate::{
    acting::{Acting, Home, Then, allow, archive, in_memory, retention, tags},
    world::assert_refused,
};

const ANY: &str = r#"{"Null":{"aws:PrincipalArn":"false"}}"#;

fn topic(name: &str) -> TopicArn {
    format!("arn:aws:sns:us-west-2:012345678901:{name}").parse().unwrap()
}

/// Tags with keys numbered from `from`.
fn numbered(from: usize, count: usize) -> icefield_protocol::Tags {
    let texts: Vec<String> = (from..from + count).map(|number| format!("key {number}")).collect();
    tags(&texts.iter().map(|key| (key.as_str(), "value")).collect::<Vec<_>>())
}

#[tokio::test]
async fn tags_are_added_replaced_and_removed() {
    let (engine, _) = in_memory().await;
    let root = Acting::root(&engine);
    assert!(root.tags().await.unwrap().is_empty());
    root.add_tags(tags(&[("Owner", "ann"), ("owner", ""), ("Ключ", "a/b=c")])).await.unwrap();
    root.add_tags(tags(&[("Owner", "bob")])).await.unwrap();
    let expected = tags(&[("Owner", "bob"), ("owner", ""), ("Ключ", "a/b=c")]);
    assert_eq!(root.tags().await.unwrap(), expected);
    root.remove_tags(&["owner", "never there"]).await.unwrap();
    root.remove_tags(&["owner"]).await.unwrap();
    assert_eq!(root.tags().await.unwrap(), tags(&[("Owner", "bob"), ("Ключ", "a/b=c")]));
}

#[tokio::test]
async fn a_request_has_1_to_10_tags() {
    let (engine, _) = in_memory().await;
    let root = Acting::root(&engine);
    for count in [0, 11] {
        let message = format!("Invalid number of tags: {count}. A request has 1 to 10.");
        let invalid = ErrorCode::InvalidParameterValue;
        assert_refused(root.add_tags(numbered(0, count)).await, invalid, &message);
        let keys: Vec<String> = (0..count).map(|number| format!("key {number}")).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        assert_refused(root.remove_tags(&keys).await, invalid, &message);
    }
    root.add_tags(numbered(0, 10)).await.unwrap();
    assert_eq!(root.tags().await.unwrap().len(), 10);
}

#[tokio::test]
async fn a_vault_has_at_most_50_tags_and_a_request_is_stored_whole_or_not_at_all() {
    let (engine, _) = in_memory().await;
    let root = Acting::root(&engine);
    for from in [0, 10, 20, 30, 39] {
        root.add_tags(numbered(from, 10)).await.unwrap();
    }
    let before = root.tags().await.unwrap();
    assert_eq!(before.len(), 49);
    let message = "The limit of 50 tags per vault is reached.";
    assert_refused(root.add_tags(numbered(48, 3)).await, ErrorCode::LimitExceeded, message);
    assert_eq!(root.tags().await.unwrap(), before);
    root.add_tags(numbered(48, 2)).await.unwrap();
    // One that is there does not count again.
    let replaced = tags(&[("key 0", "new")]);
    root.add_tags(replaced).await.unwrap();
    assert_eq!(root.tags().await.unwrap().len(), 50);
}

#[tokio::test]
async fn a_notification_configuration_replaces_the_one_before() {
    use NotificationEvent::{ArchiveRetrievalCompleted, InventoryRetrievalCompleted};
    let (engine, _) = in_memory().await;
    let root = Acting::root(&engine);
    let none = "No notification configuration is set for vault: photos";
    assert_refused(root.notifications().await, ErrorCode::ResourceNotFound, none);
    let events =
        vec![InventoryRetrievalCompleted, ArchiveRetrievalCompleted, InventoryRetrievalCompleted];
    let first = NotificationConfiguration { events, sns_topic: topic("first") };
    root.set_notifications(first).await.unwrap();
    let kept = root.notifications().await.unwrap();
    assert_eq!(kept.events, [InventoryRetrievalCompleted, ArchiveRetrievalCompleted]);

    let empty = NotificationConfiguration { events: Vec::new(), sns_topic: topic("empty") };
    let refused = root.set_notifications(empty).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::InvalidParameterValue);
    assert_eq!(root.notifications().await.unwrap(), kept);

    let events = vec![ArchiveRetrievalCompleted];
    let second = NotificationConfiguration { events, sns_topic: topic("second") };
    root.set_notifications(second.clone()).await.unwrap();
    assert_eq!(root.notifications().await.unwrap(), second);
    for _ in 0..2 {
        root.delete_notifications().await.unwrap();
        assert_refused(root.notifications().await, ErrorCode::ResourceNotFound, none);
    }
}

#[tokio::test]
async fn an_access_policy_is_kept_word_for_word_replaced_and_removed() {
    let (engine, _) = in_memory().await;
    let root = Acting::root(&engine);
    let none = "No vault access policy is set for: photos";
    assert_refused(root.policy().await, ErrorCode::ResourceNotFound, none);
    let first = format!("\n{} ", allow(&root.arn(), "glacier:ListJobs", ANY));
    let second = allow(&root.arn(), "glacier:*", ANY);
    for policy in [&first, &second] {
        root.set_policy(policy).await.unwrap();
        assert_eq!(root.policy().await.unwrap(), *policy);
    }
    for _ in 0..2 {
        root.delete_policy().await.unwrap();
        assert_refused(root.policy().await, ErrorCode::ResourceNotFound, none);
    }
}

#[tokio::test]
async fn an_access_policy_that_cannot_be_enforced_is_refused() {
    let (engine, _) = in_memory().await;
    let root = Acting::root(&engine);
    let good = allow(&root.arn(), "glacier:*", ANY);
    let padded = |length: usize| format!("{good}{}", " ".repeat(length - good.len()));
    root.set_policy(&padded(20_480)).await.unwrap();
    let message = "The specified vault access policy is invalid. Provide a valid policy.";
    for bad in ["".to_owned(), good.replace("Null", "Nil"), padded(20_481)] {
        assert_refused(root.set_policy(&bad).await, ErrorCode::InvalidParameterValue, message);
    }
    assert_eq!(root.policy().await.unwrap(), padded(20_480));
}

#[tokio::test]
async fn an_access_policy_can_be_edited_beside_a_lock() {
    let (engine, _) = in_memory().await;
    let root = Acting::root(&engine);
    root.lock_for_good(&retention(&root.arn())).await;
    root.set_policy(&allow(&root.arn(), "glacier:*", ANY)).await.unwrap();
    let archive = archive(&engine).await;
    let refused = root.delete(&archive).await;
    assert!(matches!(refused, Err(EngineError::AccessDenied { .. })), "{refused:?}");
    root.delete_policy().await.unwrap();
}

#[tokio::test]
async fn settings_of_a_missing_vault_are_not_found() {
    let (engine, _) = in_memory().await;
    let root = Acting::root(&engine).on("letters");
    let configuration = NotificationConfiguration {
        events: vec![NotificationEvent::ArchiveRetrievalCompleted],
        sns_topic: topic("first"),
    };
    let policy = allow(&root.arn(), "glacier:*", ANY);
    let answers = [
        root.add_tags(tags(&[("a", "b")])).await,
        root.remove_tags(&["a"]).await,
        root.tags().await.map(drop),
        root.set_notifications(configuration).await,
        root.notifications().await.map(drop),
        root.delete_notifications().await,
        root.set_policy(&policy).await,
        root.policy().await.map(drop),
        root.delete_policy().await,
    ];
    for answer in answers {
        assert!(matches!(answer, Err(EngineError::VaultNotFound(_))), "{answer:?}");
    }
}

#[tokio::test]
async fn settings_go_with_their_vault() {
    let (engine, _) = in_memory().await;
    let root = Acting::root(&engine);
    root.add_tags(tags(&[("a", "b")])).await.unwrap();
    root.set_policy(&allow(&root.arn(), "glacier:*", ANY)).await.unwrap();
    root.delete_vault().await.unwrap();
    root.create().await.unwrap();
    assert!(root.tags().await.unwrap().is_empty());
    assert!(matches!(root.policy().await, Err(EngineError::NoAccessPolicy(_))));
}

#[tokio::test]
async fn settings_survive_reopening_and_rebuilding() {
    for then in [Then::Reopened, Then::Killed, Then::Rebuilt] {
        let mut home = Home::new().await;
        let root = Acting::root(&home.engine);
        let policy = allow(&root.arn(), "glacier:*", ANY);
        let events = vec![NotificationEvent::ArchiveRetrievalCompleted];
        let configuration = NotificationConfiguration { events, sns_topic: topic("first") };
        root.add_tags(tags(&[("a", "b"), ("c", "d")])).await.unwrap();
        root.remove_tags(&["c"]).await.unwrap();
        root.set_policy(&policy).await.unwrap();
        root.set_notifications(configuration.clone()).await.unwrap();
        home.go_on(then).await;
        let root = Acting::root(&home.engine);
        assert_eq!(root.tags().await.unwrap(), tags(&[("a", "b")]), "{then:?}");
        assert_eq!(root.policy().await.unwrap(), policy);
        assert_eq!(root.notifications().await.unwrap(), configuration);
        // They bind again: a stranger is let in by the policy.
        let stranger = home.engine.create_account().await.unwrap().account;
        let stranger = Acting::by(&home.engine, Caller::root(stranger));
        stranger.notifications().await.unwrap();
    }
}

#[tokio::test]
async fn changes_at_the_same_time_are_all_kept() {
    let (engine, _) = in_memory().await;
    let changes = (0..40).map(|number| {
        let engine = engine.clone();
        tokio::spawn(async move { Acting::root(&engine).add_tags(numbered(number, 1)).await })
    });
    for change in changes.collect::<Vec<_>>() {
        change.await.unwrap().unwrap();
    }
    assert_eq!(Acting::root(&engine).tags().await.unwrap(), numbered(0, 40));
}
