//! Accounts, users and keys.

use std::{sync::Arc, time::Duration};

use icefield_engine::{Engine, EngineError, MasterKey, SessionRefusal, Settings};
use icefield_protocol::{
    AccountId, UserName,
    sigv4::{AccessKeyId, SecretKey},
};
use icefield_store::{ManualClock, OpenOptions, Store, entry::DocumentName};

use crate::world::START;

const ALLOW_ALL: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"glacier:*","Resource":"*"}]}"#;

async fn engine() -> (Engine, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(START));
    let store = Store::in_memory(Arc::<ManualClock>::clone(&clock)).await.unwrap();
    let key = MasterKey::from_bytes([1; 32]);
    (Engine::open_with(store, Settings::embedded(), Some(&key)).await.unwrap(), clock)
}

fn user(name: &str) -> UserName {
    UserName::parse(name).unwrap()
}

#[tokio::test]
async fn a_key_speaks_for_whom_it_was_made() {
    let (engine, _) = engine().await;
    let first = engine.account().clone();
    let other = engine.create_account().await.unwrap().account;
    engine.create_user(&other, &user("ann")).await.unwrap();
    for (account, name) in [(&first, None), (&other, None), (&other, Some(user("ann")))] {
        let key = engine.create_key(account, name.as_ref(), None).await.unwrap();
        assert_eq!((key.access_key.as_str().len(), key.secret.as_str().len()), (20, 40));
        let found = engine.credential(&key.access_key).await.unwrap().unwrap();
        assert_eq!((&found.account, &found.user), (account, &name));
        assert_eq!(found.secret, key.secret);
        assert_eq!(found.admits(None, START), Ok(()));
        assert_eq!(found.admits(Some("token"), START), Err(SessionRefusal::Wrong));
    }
    assert_eq!(engine.keys().await.unwrap().len(), 3);
    let accounts = engine.accounts().await.unwrap();
    assert_eq!(accounts.iter().filter(|account| account.first).count(), 1);
    assert_eq!(accounts.len(), 2);
}

#[tokio::test]
async fn a_revoked_key_is_unknown_at_once() {
    let (engine, _) = engine().await;
    let key = engine.create_key(engine.account(), None, None).await.unwrap();
    engine.revoke_key(&key.access_key).await.unwrap();
    assert!(engine.credential(&key.access_key).await.unwrap().is_none());
    let again = engine.revoke_key(&key.access_key).await;
    assert!(matches!(again, Err(EngineError::KeyNotFound(_))), "{again:?}");
}

#[tokio::test]
async fn a_session_needs_its_token_and_ends() {
    let (engine, clock) = engine().await;
    let length = Duration::from_hours(1);
    let key = engine.create_key(engine.account(), None, Some(length)).await.unwrap();
    let token = key.session_token.unwrap();
    let found = engine.credential(&key.access_key).await.unwrap().unwrap();
    assert_eq!(found.admits(Some(&token), START), Ok(()));
    assert_eq!(found.admits(None, START), Err(SessionRefusal::Wrong));
    assert_eq!(found.admits(Some(&token[1..]), START), Err(SessionRefusal::Wrong));
    let end = START.saturating_add(length);
    assert_eq!(found.admits(Some(&token), end), Err(SessionRefusal::Expired));
    assert_eq!(found.admits(Some("guess"), end), Err(SessionRefusal::Wrong));
    clock.advance(length);
    engine.housekeeping().await.unwrap();
    assert!(engine.credential(&key.access_key).await.unwrap().is_none(), "it is forgotten");
    for length in [Duration::ZERO, Duration::from_hours(37)] {
        let refused = engine.create_key(engine.account(), None, Some(length)).await;
        assert!(matches!(refused, Err(EngineError::InvalidSession(_))), "{refused:?}");
    }
}

#[tokio::test]
async fn the_keys_of_a_deleted_user_stay_useless_for_a_new_one_of_its_name() {
    let (engine, _) = engine().await;
    let account = engine.account().clone();
    engine.create_user(&account, &user("ann")).await.unwrap();
    let key = engine.create_key(&account, Some(&user("ann")), None).await.unwrap();
    // As if the key had been made while the user was deleted: its document is put back.
    let name = DocumentName::parse(&format!("key/{}", key.access_key)).unwrap();
    let row = engine.store().ledger().document(&name).await.unwrap().unwrap();
    engine.delete_user(&account, &user("ann")).await.unwrap();
    assert!(engine.store().ledger().document(&name).await.unwrap().is_none());
    let entry = icefield_store::Entry::Document(icefield_store::DocumentEntry {
        name,
        vault: None,
        version: engine.store().next_number(),
        after: None,
        value: Some(row.value),
        at: START,
    });
    engine.store().commit(entry, bytes::Bytes::new()).await.unwrap();
    assert!(engine.credential(&key.access_key).await.unwrap().is_none());
    engine.create_user(&account, &user("ann")).await.unwrap();
    assert!(engine.credential(&key.access_key).await.unwrap().is_none());
}

#[tokio::test]
async fn users_and_their_policies_are_kept() {
    let (engine, _) = engine().await;
    let account = engine.account().clone();
    let ann = user("ann");
    engine.create_user(&account, &ann).await.unwrap();
    let again = engine.create_user(&account, &ann).await;
    assert!(matches!(again, Err(EngineError::UserExists(_))), "{again:?}");
    engine.set_user_policy(&account, &ann, "all", ALLOW_ALL).await.unwrap();
    assert_eq!(engine.user_policies(&account, &ann).await.unwrap()["all"], ALLOW_ALL);
    assert_eq!(engine.users(&account).await.unwrap()[0].policies, ["all"]);
    let bad = engine.set_user_policy(&account, &ann, "bad", r#"{"Statement":[]}"#).await;
    assert!(matches!(bad, Err(EngineError::InvalidPolicy(_))), "{bad:?}");
    for name in ["", "a/b", "a b"] {
        let refused = engine.set_user_policy(&account, &ann, name, ALLOW_ALL).await;
        assert!(matches!(refused, Err(EngineError::InvalidPolicyName(_))), "{refused:?}");
    }
    engine.remove_user_policy(&account, &ann, "all").await.unwrap();
    assert!(engine.user_policies(&account, &ann).await.unwrap().is_empty());
    engine.delete_user(&account, &ann).await.unwrap();
    assert!(engine.users(&account).await.unwrap().is_empty());
    let stranger = AccountId::parse("999999999999").unwrap();
    let refused = engine.create_user(&stranger, &ann).await;
    assert!(matches!(refused, Err(EngineError::AccountNotFound(_))), "{refused:?}");
}

#[tokio::test]
async fn the_configured_root_key_replaces_the_one_before() {
    let (engine, _) = engine().await;
    let [a, b] =
        ["AAAAAAAAAAAAAAAAAAAA", "BBBBBBBBBBBBBBBBBBBB"].map(|k| AccessKeyId::parse(k).unwrap());
    engine.set_root_key(&a, &SecretKey::new("one")).await.unwrap();
    engine.set_root_key(&a, &SecretKey::new("one")).await.unwrap();
    engine.set_root_key(&a, &SecretKey::new("two")).await.unwrap();
    assert_eq!(engine.credential(&a).await.unwrap().unwrap().secret, SecretKey::new("two"));
    engine.set_root_key(&b, &SecretKey::new("three")).await.unwrap();
    assert!(engine.credential(&a).await.unwrap().is_none());
    let made = engine.create_key(engine.account(), None, None).await.unwrap();
    let refused = engine.set_root_key(&made.access_key, &SecretKey::new("x")).await;
    assert!(matches!(refused, Err(EngineError::KeyExists(_))), "{refused:?}");
    assert!(engine.credential(&b).await.unwrap().is_some(), "a refused change leaves it");
}

/// Secrets do not lie in the store, not even in its packs, and only their master key opens them.
#[tokio::test]
async fn secrets_are_sealed_on_the_disk_and_survive_a_rebuild() {
    let dir = tempfile::tempdir().unwrap();
    let options = || OpenOptions {
        create: true,
        clock: Arc::new(ManualClock::new(START)),
        ..OpenOptions::default()
    };
    let master = MasterKey::from_bytes([1; 32]);
    let open = async |master: &MasterKey| {
        let store = Store::open(dir.path(), options()).await.unwrap();
        Engine::open_with(store, Settings::embedded(), Some(master)).await.unwrap()
    };
    let engine = open(&master).await;
    let key = engine.create_key(engine.account(), None, None).await.unwrap();
    engine.store().clone().close().await;
    drop(engine);
    for entry in walk(dir.path()) {
        let bytes = std::fs::read(&entry).unwrap();
        let secret = key.secret.as_str().as_bytes();
        let found = bytes.windows(secret.len()).any(|window| window == secret);
        assert!(!found, "{} holds the secret", entry.display());
    }
    std::fs::remove_file(dir.path().join("ledger.db")).unwrap();
    icefield_store::rebuild(dir.path(), options(), &mut |_| {}).await.unwrap();
    let engine = open(&master).await;
    assert_eq!(engine.credential(&key.access_key).await.unwrap().unwrap().secret, key.secret);
    engine.store().clone().close().await;
    drop(engine);
    let engine = open(&MasterKey::from_bytes([2; 32])).await;
    let refused = engine.credential(&key.access_key).await;
    assert!(matches!(refused, Err(EngineError::WrongMasterKey(_))), "{refused:?}");
    let refused = engine.create_key(engine.account(), None, None).await;
    assert!(matches!(refused, Err(EngineError::WrongMasterKey(_))), "{refused:?}");
    engine.revoke_key(&key.access_key).await.unwrap();
    engine.create_key(engine.account(), None, None).await.unwrap();
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

/// What the service keeps for itself stood in the way of notifications for ever after the master key was lost.
#[tokio::test]
async fn a_secret_of_the_service_is_made_once_for_each_master_key() {
    let clock = Arc::new(ManualClock::new(START));
    let store = Store::in_memory(clock).await.unwrap();
    let open = async |byte| {
        let key = MasterKey::from_bytes([byte; 32]);
        Engine::open_with(store.clone(), Settings::embedded(), Some(&key)).await.unwrap()
    };
    let made = |text| Ok::<_, EngineError>(SecretKey::new(text));
    let never = || -> Result<SecretKey, EngineError> { panic!("there is one") };
    let first = open(1).await;
    let secret = first.sealed_secret("signing", || made("first")).await.unwrap();
    assert_eq!(secret.as_str(), "first");
    let again = open(1).await.sealed_secret("signing", never).await.unwrap();
    assert_eq!(again.as_str(), "first");
    let name = DocumentName::parse("secret/signing").unwrap();
    let kept = store.ledger().document(&name).await.unwrap().unwrap();
    assert!(!kept.value.to_string().contains("first"), "{}", kept.value);
    let other = open(2).await.sealed_secret("signing", || made("second")).await.unwrap();
    assert_eq!(other.as_str(), "second");
    let again = open(2).await.sealed_secret("signing", never).await.unwrap();
    assert_eq!(again.as_str(), "second");
    let without = Engine::open(store.clone(), Settings::embedded()).await.unwrap();
    let refused = without.sealed_secret("signing", || made("x")).await.unwrap_err();
    assert!(matches!(refused, EngineError::NoMasterKey), "{refused:?}");
}
