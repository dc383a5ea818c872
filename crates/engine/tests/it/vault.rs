//! Vaults: creating, describing, listing, deleting.

use icefield_engine::{Engine, EngineError, Settings};
use icefield_protocol::{AccountId, ErrorCode, VaultName};

use crate::as_root::AsRoot;
use crate::world::{HOUR, START, World, assert_refused, bytes, name, service};

#[tokio::test]
async fn a_new_vault_has_no_inventory_and_counts_nothing() {
    let world = World::new().await;
    let vault = world.engine.describe_vault(&world.account, &world.vault).await.unwrap();
    assert_eq!((vault.creation_date, vault.last_inventory_date), (START, None));
    assert_eq!((vault.number_of_archives, vault.size_in_bytes), (0, 0));
    assert_eq!(vault.vault_arn.to_string(), world.arn("photos"));
}

#[tokio::test]
async fn creating_a_vault_again_changes_nothing() {
    let world = World::new().await;
    world.clock.advance(HOUR);
    world.engine.create_vault(&world.account, &world.vault).await.unwrap();
    let vault = world.engine.describe_vault(&world.account, &world.vault).await.unwrap();
    assert_eq!(vault.creation_date, START);
}

#[tokio::test]
async fn the_vault_limit_counts_new_vaults_only() {
    let world = World::with(Settings { vaults_per_account: 2, ..Settings::embedded() }).await;
    let create = async |text| world.engine.create_vault(&world.account, &name(text)).await;
    create("two").await.unwrap();
    assert_eq!(create("three").await.unwrap_err().code(), ErrorCode::LimitExceeded);
    create("two").await.unwrap();
    world.engine.delete_vault(&world.account, &name("two")).await.unwrap();
    create("three").await.unwrap();
}

#[tokio::test]
async fn a_vault_of_another_account_is_not_found() {
    let world = World::new().await;
    let other = AccountId::parse("000000000000").unwrap();
    assert_ne!(world.account, other);
    let message = format!("Vault not found for ARN: arn:aws:glacier:local:{other}:vaults/photos");
    let result = world.engine.describe_vault(&other, &world.vault).await;
    assert_refused(result, ErrorCode::ResourceNotFound, &message);
}

#[tokio::test]
async fn the_embedded_vault_describes_what_it_holds_now() {
    let world = World::new().await;
    let describe =
        async || world.engine.describe_vault(&world.account, &world.vault).await.unwrap();
    let archive = world.put(&bytes(1, 5)).await;
    let vault = describe().await;
    assert_eq!((vault.number_of_archives, vault.size_in_bytes), (1, 32_773));
    let date = vault.last_inventory_date;
    world.clock.advance(HOUR);
    assert_eq!(describe().await.last_inventory_date, date, "nothing was written since");
    world.delete(&archive.id).await.unwrap();
    let vault = describe().await;
    assert_eq!((vault.number_of_archives, vault.size_in_bytes), (0, 0));
    assert_eq!(vault.last_inventory_date, Some(START.saturating_add(HOUR)));
}

#[tokio::test]
async fn with_an_interval_the_counters_are_those_of_the_last_inventory() {
    let world = World::with(service()).await;
    let describe =
        async || world.engine.describe_vault(&world.account, &world.vault).await.unwrap();
    world.clock.advance(30 * HOUR);
    world.put(&bytes(1, 5)).await;
    assert_eq!(describe().await.last_inventory_date, None, "the second day is not over");
    world.clock.advance(19 * HOUR);
    let vault = describe().await;
    assert_eq!(vault.last_inventory_date, Some(START.saturating_add(49 * HOUR)));
    world.put(&bytes(2, 5)).await;
    world.clock.advance(22 * HOUR);
    assert_eq!(describe().await, vault, "the third day is not over");
    world.clock.advance(2 * HOUR);
    assert_eq!(describe().await.number_of_archives, 2);
}

#[tokio::test]
async fn a_write_after_the_interval_is_not_in_the_inventory_that_was_due() {
    let world = World::with(service()).await;
    world.put(&bytes(1, 5)).await;
    world.clock.advance(25 * HOUR);
    world.put(&bytes(2, 5)).await;
    let vault = world.engine.describe_vault(&world.account, &world.vault).await.unwrap();
    assert_eq!(vault.number_of_archives, 1);
}

#[tokio::test]
async fn vaults_are_listed_by_bytes_and_the_marker_names_the_next() {
    let world = World::new().await;
    for text in ["b", "a", "Z", "_"] {
        world.engine.create_vault(&world.account, &name(text)).await.unwrap();
    }
    let list = async |marker: Option<&str>, limit| {
        let page = world.engine.list_vaults(&world.account, marker, limit).await?;
        let names: Vec<String> =
            page.items.into_iter().map(|vault| vault.vault_name.to_string()).collect();
        Ok::<_, EngineError>((names.join(" "), page.marker))
    };
    assert_eq!(list(None, None).await.unwrap(), ("Z _ a b photos".to_owned(), None));
    assert_eq!(list(Some(""), Some(1000)).await.unwrap().0, "Z _ a b photos", "clamped");
    let (names, marker) = list(None, Some(2)).await.unwrap();
    assert_eq!((names.as_str(), marker.clone()), ("Z _", Some(world.arn("a"))));
    world.engine.delete_vault(&world.account, &name("a")).await.unwrap();
    assert_eq!(list(marker.as_deref(), None).await.unwrap(), ("b photos".to_owned(), None));

    assert_refused(list(None, Some(0)).await, ErrorCode::InvalidParameterValue, "Invalid limit: 0");
    let foreign = "arn:aws:glacier:local:000000000000:vaults/a";
    for marker in ["a", foreign] {
        let message = format!("Invalid marker: {marker}");
        let refused = list(Some(marker), None).await;
        assert_refused(refused, ErrorCode::InvalidParameterValue, &message);
    }
}

#[tokio::test]
async fn more_than_ten_vaults_are_never_on_a_page() {
    let world = World::new().await;
    for number in 0..11 {
        let vault = name(&format!("v{number:02}"));
        world.engine.create_vault(&world.account, &vault).await.unwrap();
    }
    let page = world.engine.list_vaults(&world.account, None, Some(1000)).await.unwrap();
    assert_eq!((page.items.len(), page.marker), (10, Some(world.arn("v09"))));
}

#[tokio::test]
async fn deleting_needs_an_empty_vault_and_a_missing_one_is_fine() {
    let world = World::new().await;
    let delete = async |vault: &VaultName| world.engine.delete_vault(&world.account, vault).await;
    let message = format!("Vault not empty or recently written to: {}", world.arn("photos"));
    let archive = world.put(&bytes(1, 5)).await;
    assert_refused(delete(&world.vault).await, ErrorCode::InvalidParameterValue, &message);
    world.delete(&archive.id).await.unwrap();
    delete(&world.vault).await.unwrap();
    delete(&world.vault).await.unwrap();
    delete(&name("never")).await.unwrap();
    let gone = world.engine.describe_vault(&world.account, &world.vault).await;
    assert_eq!(gone.unwrap_err().code(), ErrorCode::ResourceNotFound);
}

#[tokio::test]
async fn a_vault_that_was_written_to_since_its_inventory_cannot_be_deleted() {
    let world = World::with(service()).await;
    let delete = async || world.engine.delete_vault(&world.account, &world.vault).await;
    let archive = world.put(&bytes(1, 5)).await;
    world.delete(&archive.id).await.unwrap();
    world.clock.advance(23 * HOUR);
    assert!(matches!(delete().await, Err(EngineError::VaultNotEmpty(_))));
    world.clock.advance(HOUR);
    delete().await.unwrap();
}

#[tokio::test]
async fn uploads_in_progress_do_not_keep_a_vault_and_go_with_it() {
    let world = World::new().await;
    let upload = world.initiate().await;
    world.part(&upload, 0, &bytes(1, 9)).await.unwrap();
    world.engine.delete_vault(&world.account, &world.vault).await.unwrap();
    world.engine.create_vault(&world.account, &world.vault).await.unwrap();
    let message = format!("The upload ID was not found: {upload}");
    let refused = world.complete(&upload, &bytes(1, 9)).await;
    assert_refused(refused, ErrorCode::ResourceNotFound, &message);
    world.engine.housekeeping().await.unwrap();
    assert_eq!(world.engine.store().payload().used_bytes().await.unwrap().1, 0);
}

#[tokio::test]
async fn a_second_engine_on_the_same_store_knows_the_ids_of_the_first() {
    let world = World::new().await;
    let archive = world.put(&bytes(1, 5)).await;
    let store = world.engine.store().clone();
    let second = AsRoot(Engine::open(store, Settings::embedded()).await.unwrap());
    second.delete_archive(&world.account, &world.vault, &archive.id).await.unwrap();
    let vault = second.describe_vault(&world.account, &world.vault).await.unwrap();
    assert_eq!(vault.number_of_archives, 0);
}
