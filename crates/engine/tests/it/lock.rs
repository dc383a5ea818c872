//! Vault locks: every state and every call.

use icefield_engine::{Engine, EngineError};
use icefield_protocol::{ErrorCode, LockId, LockState};

use crate::{
    acting::{Acting, DAY, Home, Then, archive, deny, in_memory, retention, tags},
    world::{HOUR, START, assert_refused},
};

/// Before and after the calls of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Now {
    NoLock,
    Expired,
    Aborted,
    InProgress,
    Locked,
}

const NONE: [Now; 3] = [Now::NoLock, Now::Expired, Now::Aborted];

/// A vault in the state, and the ID of its lock (or of its last one).
async fn vault_that_is(now: Now) -> (Engine, LockId) {
    let (engine, clock) = in_memory().await;
    let root = Acting::root(&engine);
    let policy = retention(&root.arn());
    let mut id = "0123456789abcdefghijklmn".parse().unwrap();
    if now != Now::NoLock {
        id = root.initiate_lock(&policy).await.unwrap();
    }
    match now {
        Now::NoLock | Now::InProgress => {}
        Now::Expired => clock.advance(DAY),
        Now::Aborted => root.abort_lock().await.unwrap(),
        Now::Locked => root.complete_lock(&id).await.unwrap(),
    }
    (engine, id)
}

async fn state(engine: &Engine) -> Option<LockState> {
    match Acting::root(engine).lock().await {
        Ok(lock) => Some(lock.state),
        Err(EngineError::NoLock(_)) => None,
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn initiating_begins_a_lock_only_where_there_is_none() {
    for now in NONE {
        let (engine, old) = vault_that_is(now).await;
        let root = Acting::root(&engine);
        let id = root.initiate_lock(&retention(&root.arn())).await.unwrap();
        assert!(id.as_str().len() == 24 && id != old, "{now:?}: {id}");
        assert_eq!(state(&engine).await, Some(LockState::InProgress), "{now:?}");
        let other = root.complete_lock(&old).await;
        assert!(matches!(other, Err(EngineError::WrongLockId(_))), "{now:?}: {other:?}");
    }
    for (now, state_before) in
        [(Now::InProgress, LockState::InProgress), (Now::Locked, LockState::Locked)]
    {
        let (engine, _) = vault_that_is(now).await;
        let root = Acting::root(&engine);
        let before = root.lock().await.unwrap();
        let other =
            deny(&root.arn(), "glacier:UploadArchive", "{\"Null\":{\"aws:Referer\":\"true\"}}");
        let refused = root.initiate_lock(&other).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::AccessDenied, "{now:?}: {refused}");
        assert_eq!(root.lock().await.unwrap(), before);
        assert_eq!(before.state, state_before);
    }
}

#[tokio::test]
async fn completing_with_the_right_id_is_final_and_fine_for_ever() {
    let (engine, id) = vault_that_is(Now::InProgress).await;
    let root = Acting::root(&engine);
    for _ in 0..3 {
        root.complete_lock(&id).await.unwrap();
        assert_eq!(state(&engine).await, Some(LockState::Locked));
    }
}

#[tokio::test]
async fn completing_without_a_lock_finds_nothing() {
    for now in NONE {
        let (engine, id) = vault_that_is(now).await;
        let refused = Acting::root(&engine).complete_lock(&id).await;
        let message = "No vault lock policy is set for: photos";
        assert_refused(refused, ErrorCode::ResourceNotFound, message);
        assert_eq!(state(&engine).await, None, "{now:?}");
    }
}

#[tokio::test]
async fn completing_with_another_id_changes_nothing() {
    let wrong: LockId = "AbCdEfGhIjKlMnOpQrStUvWx".parse().unwrap();
    let (engine, _) = vault_that_is(Now::InProgress).await;
    let refused = Acting::root(&engine).complete_lock(&wrong).await;
    let message = "Invalid lock ID: AbCdEfGhIjKlMnOpQrStUvWx";
    assert_refused(refused, ErrorCode::InvalidParameterValue, message);
    assert_eq!(state(&engine).await, Some(LockState::InProgress));

    let (engine, _) = vault_that_is(Now::Locked).await;
    let refused = Acting::root(&engine).complete_lock(&wrong).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::AccessDenied);
    assert_eq!(state(&engine).await, Some(LockState::Locked));
}

#[tokio::test]
async fn aborting_takes_back_what_is_not_final() {
    for now in [Now::NoLock, Now::Expired, Now::Aborted, Now::InProgress] {
        let (engine, _) = vault_that_is(now).await;
        Acting::root(&engine).abort_lock().await.unwrap();
        assert_eq!(state(&engine).await, None, "{now:?}");
    }
    let (engine, _) = vault_that_is(Now::Locked).await;
    let refused = Acting::root(&engine).abort_lock().await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::AccessDenied);
    assert_eq!(state(&engine).await, Some(LockState::Locked));
}

#[tokio::test]
async fn a_lock_is_told_with_its_policy_word_for_word() {
    for now in NONE {
        let (engine, _) = vault_that_is(now).await;
        let message = "No vault lock policy is set for: photos";
        assert_refused(Acting::root(&engine).lock().await, ErrorCode::ResourceNotFound, message);
    }
    let (engine, clock) = in_memory().await;
    let root = Acting::root(&engine);
    let policy = format!(" {}\n", retention(&root.arn()).replace(',', " ,\t"));
    let id = root.initiate_lock(&policy).await.unwrap();
    let lock = root.lock().await.unwrap();
    assert_eq!((lock.policy.as_str(), lock.state), (policy.as_str(), LockState::InProgress));
    assert_eq!(lock.creation_date, START);
    assert_eq!(lock.expiration_date, Some(START.saturating_add(DAY)));
    clock.advance(HOUR);
    root.complete_lock(&id).await.unwrap();
    let lock = root.lock().await.unwrap();
    assert_eq!((lock.policy, lock.state), (policy, LockState::Locked));
    assert_eq!((lock.creation_date, lock.expiration_date), (START, None));
}

#[tokio::test]
async fn a_lock_in_progress_ends_after_24_hours_and_a_final_one_never() {
    for (complete, after) in [(false, None), (true, Some(LockState::Locked))] {
        let (engine, clock) = in_memory().await;
        let root = Acting::root(&engine);
        let id = root.initiate_lock(&retention(&root.arn())).await.unwrap();
        if complete {
            root.complete_lock(&id).await.unwrap();
        }
        clock.advance(DAY - std::time::Duration::from_millis(1));
        assert!(state(&engine).await.is_some());
        clock.advance(std::time::Duration::from_millis(1));
        assert_eq!(state(&engine).await, after);
        clock.advance(100 * 365 * DAY);
        assert_eq!(state(&engine).await, after);
    }
}

#[tokio::test]
async fn a_wall_clock_that_is_set_ends_a_lock_in_progress_and_not_a_final_one() {
    for (hours, ends) in [(-87_600, false), (-25, false), (23, false), (25, true), (87_600, true)] {
        for complete in [false, true] {
            let (engine, clock) = in_memory().await;
            let root = Acting::root(&engine);
            let id = root.initiate_lock(&retention(&root.arn())).await.unwrap();
            if complete {
                root.complete_lock(&id).await.unwrap();
            }
            clock.jump(hours * 3_600_000);
            let expected = match (complete, ends) {
                (true, _) => Some(LockState::Locked),
                (false, false) => Some(LockState::InProgress),
                (false, true) => None,
            };
            assert_eq!(state(&engine).await, expected, "{hours} h");
        }
    }
}

#[tokio::test]
async fn the_policy_is_in_force_while_there_is_a_lock_and_not_longer() {
    for (now, denied) in [
        (Now::NoLock, false),
        (Now::InProgress, true),
        (Now::Locked, true),
        (Now::Aborted, false),
        (Now::Expired, false),
    ] {
        let (engine, _) = vault_that_is(now).await;
        let archive = archive(&engine).await;
        let deleted = Acting::root(&engine).delete(&archive).await;
        assert_eq!(deleted.is_err(), denied, "{now:?}: {deleted:?}");
    }
}

#[tokio::test]
async fn a_policy_that_cannot_be_enforced_is_refused_and_changes_nothing() {
    let (engine, _) = in_memory().await;
    let root = Acting::root(&engine);
    let good = retention(&root.arn());
    let padded = |length: usize| format!("{good}{}", " ".repeat(length - good.len()));
    let other_vault = root.arn().replace("photos", "letters");
    for bad in [
        String::new(),
        "{}".to_owned(),
        good.replace("NumericLessThan", "NumericLesThan"),
        good.replace("ArchiveAgeInDays", "ArchiveAge"),
        good.replace("DeleteArchive", "EraseArchive"),
        good.replace(&root.arn(), &other_vault),
        padded(20_481),
    ] {
        let message = "The specified vault lock policy is invalid. Provide a valid policy.";
        assert_refused(root.initiate_lock(&bad).await, ErrorCode::InvalidParameterValue, message);
        assert_eq!(state(&engine).await, None);
    }
    root.initiate_lock(&padded(20_480)).await.unwrap();
}

#[tokio::test]
async fn calls_about_the_lock_of_a_missing_vault_find_no_vault() {
    let (engine, _) = in_memory().await;
    let root = Acting::root(&engine).on("letters");
    let message = format!("Vault not found for ARN: {}", root.arn());
    let missing = ErrorCode::ResourceNotFound;
    assert_refused(root.initiate_lock(&retention(&root.arn())).await, missing, &message);
    let id = "0123456789abcdefghijklmn".parse().unwrap();
    assert_refused(root.complete_lock(&id).await, missing, &message);
    assert_refused(root.abort_lock().await, missing, &message);
    assert_refused(root.lock().await, missing, &message);
}

#[tokio::test]
async fn an_empty_locked_vault_may_be_deleted_unless_its_policy_denies_it() {
    let (engine, _) = in_memory().await;
    let root = Acting::root(&engine);
    root.lock_for_good(&retention(&root.arn())).await;
    root.delete_vault().await.unwrap();
    // A vault of the same name is another one.
    root.create().await.unwrap();
    assert_eq!(state(&engine).await, None);
    let any = r#"{"Null":{"aws:PrincipalArn":"false"}}"#;
    root.lock_for_good(&deny(&root.arn(), "glacier:DeleteVault", any)).await;
    let refused = root.delete_vault().await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::AccessDenied);
}

#[tokio::test]
async fn locks_survive_reopening_and_rebuilding() {
    for then in [Then::Reopened, Then::Killed, Then::Rebuilt] {
        let mut home = Home::new().await;
        let root = Acting::root(&home.engine);
        let arn = root.arn();
        root.lock_for_good(&retention(&arn)).await;
        let other = Acting::root(&home.engine).on("letters");
        other.create().await.unwrap();
        let in_progress = other.initiate_lock(&retention(&other.arn())).await.unwrap();
        let locks = [root.lock().await.unwrap(), other.lock().await.unwrap()];
        home.go_on(then).await;
        let (root, other) = (Acting::root(&home.engine), Acting::root(&home.engine).on("letters"));
        assert_eq!([root.lock().await.unwrap(), other.lock().await.unwrap()], locks, "{then:?}");
        other.complete_lock(&in_progress).await.unwrap();
    }
}

/// A date in a lock was opened by setting the system clock behind it, and back again.
#[tokio::test]
async fn a_date_in_a_lock_holds_until_both_clocks_have_passed_it() {
    for condition in [
        r#"{"DateLessThan":{"aws:CurrentTime":"2026-01-11T00:00:00Z"}}"#,
        r#"{"NumericLessThan":{"aws:EpochTime":"1768089600"}}"#,
    ] {
        let (engine, clock) = in_memory().await;
        let archive = archive(&engine).await;
        let root = Acting::root(&engine);
        root.lock_for_good(&deny(&root.arn(), "glacier:DeleteArchive", condition)).await;
        clock.jump(4 * 365 * 24 * 3_600_000);
        let refused = root.delete(&archive).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::AccessDenied, "{condition}");
        clock.jump(-4 * 365 * 24 * 3_600_000);
        clock.advance(11 * DAY);
        root.delete(&archive).await.unwrap();
    }
}

/// A lock about a tag was opened by a second tag whose key differs in nothing but case.
#[tokio::test]
async fn a_tag_in_a_lock_cannot_be_talked_over_by_one_of_another_case() {
    let before = [vec![], vec![("LegalHold", "yes")], vec![("legalHOLD", "yes")]];
    for tagged in before {
        for named in ["LegalHold", "legalhold"] {
            let (engine, _) = in_memory().await;
            let archive = archive(&engine).await;
            let root = Acting::root(&engine);
            if !tagged.is_empty() {
                root.add_tags(tags(&tagged)).await.unwrap();
            }
            let condition =
                format!(r#"{{"StringNotEquals":{{"glacier:ResourceTag/{named}":"released"}}}}"#);
            root.lock_for_good(&deny(&root.arn(), "glacier:DeleteArchive", &condition)).await;
            root.add_tags(tags(&[("legalholD", "released")])).await.unwrap();
            let refused = root.delete(&archive).await.unwrap_err();
            assert_eq!(refused.code(), ErrorCode::AccessDenied, "{tagged:?} {named}");
        }
    }
}

/// Two tags, each named in another case than the vault has it, and each talked over.
#[tokio::test]
async fn two_tags_in_a_lock_cannot_be_talked_over_together() {
    let (engine, _) = in_memory().await;
    let archive = archive(&engine).await;
    let root = Acting::root(&engine);
    root.add_tags(tags(&[("HOLD", "yes"), ("CASE", "open")])).await.unwrap();
    let condition =
        r#"{"StringEquals":{"glacier:ResourceTag/hold":"yes","glacier:ResourceTag/case":"open"}}"#;
    root.lock_for_good(&deny(&root.arn(), "glacier:DeleteArchive", condition)).await;
    root.add_tags(tags(&[("Hold", "no"), ("hold", "no"), ("cAse", "shut")])).await.unwrap();
    let refused = root.delete(&archive).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::AccessDenied);
}
