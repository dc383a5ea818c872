//! Inventories: what they list, in pages and by date, and how a snapshot stands still.

use icefield_engine::{EngineError, NewArchive};
use icefield_protocol::{
    ArchiveId, Description, ErrorCode, InventoryFormat, InventoryItem, InventoryParameters,
    JobDescription, JobStatus, Timestamp,
    inventory::{read_csv, read_json},
};
use icefield_store::{ArchiveEntry, Content, Entry, IdSeal, entry::ArchiveNumber};
use icefield_treehash::TreeHash;

use crate::world::{HOUR, START, World, assert_refused, bytes, inventory_job, name, service};

const INVALID: ErrorCode = ErrorCode::InvalidParameterValue;

/// Runs an inventory job and reads its output.
async fn inventory(
    world: &World,
    parameters: InventoryParameters,
) -> Result<(JobDescription, Vec<InventoryItem>), EngineError> {
    let format = parameters.format;
    let job = world.start(&inventory_job(parameters)).await?;
    world.engine.run_due_jobs().await?;
    let description = world.describe(&job).await?;
    assert_eq!(description.status_code, JobStatus::Succeeded);
    let document = world.output(&job, None).await?;
    assert_eq!(description.inventory_size_in_bytes, Some(document.len() as u64));
    let mut items = Vec::new();
    let mut receive = |item| {
        items.push(item);
        Ok::<_, std::io::Error>(())
    };
    let head = match format {
        InventoryFormat::Json => read_json(document.as_slice(), &mut receive),
        InventoryFormat::Csv => read_csv(document.as_slice(), &mut receive),
    };
    assert_eq!(head.unwrap().items, items.len() as u64);
    Ok((description, items))
}

fn ids(items: &[InventoryItem]) -> Vec<ArchiveId> {
    items.iter().map(|item| item.archive_id.clone()).collect()
}

#[tokio::test]
async fn both_forms_list_the_archives_in_the_order_of_creation() {
    let world = World::new().await;
    let description = Description::parse(r#"a "b", c\d"#).unwrap();
    let new = NewArchive { description, token: None, size: 3, linear: false };
    let mut receiving =
        world.engine.receive_archive(&world.account, &world.vault, new).await.unwrap();
    receiving.write(bytes(1, 3)).await.unwrap();
    let first = receiving.commit(None).await.unwrap();
    world.clock.advance(HOUR);
    let second = world.put(&bytes(2, 2 << 20)).await;
    for format in [InventoryFormat::Json, InventoryFormat::Csv] {
        let parameters = InventoryParameters { format, ..InventoryParameters::default() };
        let (job, items) = inventory(&world, parameters.clone()).await.unwrap();
        assert_eq!(job.inventory_retrieval_parameters, Some(parameters), "all else is null");
        assert_eq!((job.tier, job.retrieval_byte_range, job.tree_hash), (None, None, None));
        let whole_second = START.unix_millis() / 1000 * 1000;
        let expected = InventoryItem {
            archive_id: first.id.clone(),
            description: r#"a "b", c\d"#.to_owned(),
            created: Timestamp::from_unix_millis(whole_second),
            size: 3,
            tree_hash: Some(first.tree_hash),
        };
        assert_eq!(items[0], expected);
        assert_eq!((&items[1].archive_id, items[1].description.as_str()), (&second.id, ""));
    }
}

#[tokio::test]
async fn the_json_form_is_that_of_the_service() {
    let world = World::new().await;
    let archive = world.put(&bytes(1, 3)).await;
    let job = world.start(&inventory_job(InventoryParameters::default())).await.unwrap();
    world.engine.run_due_jobs().await.unwrap();
    let output = world.engine.job_output(&world.account, &world.vault, &job, None).await.unwrap();
    assert_eq!((output.content_type, output.tree_hash), ("application/json", None));
    let expected = format!(
        r#"{{"VaultARN":"{}","InventoryDate":"2026-01-01T00:00:00Z","ArchiveList":[{{"ArchiveId":"{}","ArchiveDescription":"","CreationDate":"2026-01-01T00:00:00Z","Size":3,"SHA256TreeHash":"{}"}}]}}"#,
        world.arn("photos"),
        archive.id,
        archive.tree_hash,
    );
    let text = String::from_utf8(world.output(&job, None).await.unwrap()).unwrap();
    assert_eq!(text, expected);
}

#[tokio::test]
async fn before_the_first_inventory_there_is_none_but_wrong_parameters_come_first() {
    let world = World::with(service()).await;
    let message = format!("No inventory is available yet for vault: {}", world.arn("photos"));
    let ask = async |parameters| world.start(&inventory_job(parameters)).await;
    let plain = InventoryParameters::default();
    assert_refused(ask(plain.clone()).await, ErrorCode::ResourceNotFound, &message);
    world.put(&bytes(1, 3)).await;
    assert_refused(ask(plain.clone()).await, ErrorCode::ResourceNotFound, &message);
    let none = InventoryParameters { limit: Some(0), ..plain.clone() };
    assert_refused(ask(none).await, INVALID, "Invalid limit: 0");
    let forged = InventoryParameters { marker: Some("10".to_owned()), ..plain.clone() };
    assert_refused(ask(forged).await, INVALID, "Invalid marker: 10");
    let backwards = InventoryParameters {
        start_date: Some(START.saturating_add(HOUR)),
        end_date: Some(START),
        ..plain.clone()
    };
    let message = "Invalid date range: StartDate 2026-01-01T01:00:00.500Z is after EndDate 2026-01-01T00:00:00.500Z";
    assert_refused(ask(backwards).await, INVALID, message);
    world.clock.advance(24 * HOUR);
    ask(plain).await.unwrap();
}

#[tokio::test]
async fn dates_include_the_start_and_exclude_the_end() {
    let world = World::new().await;
    let mut all = Vec::new();
    for seed in 0..4 {
        all.push(world.put(&bytes(seed, 3)).await.id);
        world.clock.advance(HOUR);
    }
    let at = |hours: u32| Some(START.saturating_add(hours * HOUR));
    for (start_date, end_date, expected) in [
        (at(1), None, &all[1..]),
        (None, at(1), &all[..1]),
        (at(1), at(3), &all[1..3]),
        (at(2), at(2), &all[..0]),
        (at(9), None, &all[..0]),
    ] {
        let parameters =
            InventoryParameters { start_date, end_date, ..InventoryParameters::default() };
        let (job, items) = inventory(&world, parameters.clone()).await.unwrap();
        assert_eq!(ids(&items), expected);
        assert_eq!(job.inventory_retrieval_parameters, Some(parameters));
    }
}

#[tokio::test]
async fn markers_go_on_in_their_snapshot_whatever_happens_meanwhile() {
    let world = World::new().await;
    let mut all = Vec::new();
    for seed in 0..5 {
        all.push(world.put(&bytes(seed, 3)).await.id);
    }
    let mut parameters = InventoryParameters { limit: Some(2), ..InventoryParameters::default() };
    let mut listed = Vec::new();
    for deleted in &all {
        let job = world.start(&inventory_job(parameters.clone())).await.unwrap();
        let before = world.describe(&job).await.unwrap();
        assert_eq!(before.inventory_retrieval_parameters, Some(parameters.clone()), "echoed");
        assert_eq!(before.next_inventory_retrieval_marker, None);
        world.delete(deleted).await.unwrap();
        world.put(&bytes(99, 3)).await;
        world.engine.describe_vault(&world.account, &world.vault).await.unwrap();
        world.engine.housekeeping().await.unwrap();
        world.engine.run_due_jobs().await.unwrap();
        let after = world.describe(&job).await.unwrap();
        let document = world.output(&job, None).await.unwrap();
        let mut receive = |item: InventoryItem| {
            listed.push(item.archive_id);
            Ok::<_, std::io::Error>(())
        };
        read_json(document.as_slice(), &mut receive).unwrap();
        let shown = after.inventory_retrieval_parameters.unwrap().marker;
        assert_eq!(shown, after.next_inventory_retrieval_marker);
        parameters.marker = shown;
        if parameters.marker.is_none() {
            assert_eq!(listed, all);
            return;
        }
    }
    panic!("the markers do not end");
}

#[tokio::test]
async fn a_limit_that_the_list_just_fills_has_no_marker() {
    let world = World::new().await;
    for seed in 0..3 {
        world.put(&bytes(seed, 3)).await;
    }
    for (limit, listed, more) in [(2, 2, true), (3, 3, false), (4, 3, false)] {
        let parameters =
            InventoryParameters { limit: Some(limit), ..InventoryParameters::default() };
        let (job, items) = inventory(&world, parameters).await.unwrap();
        assert_eq!(items.len(), listed);
        assert_eq!(job.next_inventory_retrieval_marker.is_some(), more, "limit {limit}");
    }
}

#[tokio::test]
async fn a_marker_of_another_vault_is_refused() {
    let world = World::new().await;
    for seed in 0..3 {
        world.put(&bytes(seed, 3)).await;
    }
    let limited = InventoryParameters { limit: Some(1), ..InventoryParameters::default() };
    let (job, _) = inventory(&world, limited).await.unwrap();
    let marker = job.next_inventory_retrieval_marker;
    let other = name("other");
    world.engine.create_vault(&world.account, &other).await.unwrap();
    world.try_put(&other, &bytes(1, 3), None).await.unwrap();
    let message = format!("Invalid marker: {}", marker.as_ref().unwrap());
    let request = inventory_job(InventoryParameters { marker, ..InventoryParameters::default() });
    let refused = world.engine.initiate_job(&world.account, &other, &request).await;
    assert_refused(refused, INVALID, &message);
}

#[tokio::test]
async fn a_job_shows_the_inventory_that_was_current_when_it_was_initiated() {
    let world = World::with(service()).await;
    let kept = world.put(&bytes(1, 3)).await;
    let deleted = world.put(&bytes(2, 3)).await;
    world.clock.advance(24 * HOUR);
    let job = world.start(&inventory_job(InventoryParameters::default())).await.unwrap();
    world.delete(&deleted.id).await.unwrap();
    world.put(&bytes(3, 3)).await;
    world.clock.advance(30 * HOUR);
    world.engine.describe_vault(&world.account, &world.vault).await.unwrap();
    world.engine.housekeeping().await.unwrap();
    world.engine.run_due_jobs().await.unwrap();
    let document = world.output(&job, None).await.unwrap();
    let mut listed = Vec::new();
    let mut receive = |item: InventoryItem| {
        listed.push(item.archive_id);
        Ok::<_, std::io::Error>(())
    };
    let head = read_json(document.as_slice(), &mut receive).unwrap();
    assert_eq!(listed, [kept.id, deleted.id]);
    let date = START.saturating_add(24 * HOUR).to_seconds_string();
    assert_eq!(head.date.unwrap().to_seconds_string(), date, "that of the snapshot");
}

#[tokio::test]
async fn an_empty_inventory_is_a_document_too() {
    let world = World::new().await;
    let archive = world.put(&bytes(1, 3)).await;
    world.delete(&archive.id).await.unwrap();
    for format in [InventoryFormat::Json, InventoryFormat::Csv] {
        let parameters = InventoryParameters { format, ..InventoryParameters::default() };
        let (_, items) = inventory(&world, parameters).await.unwrap();
        assert_eq!(items, []);
    }
}

#[tokio::test]
async fn an_inventory_of_many_pages_lists_every_archive_once() {
    let world = World::new().await;
    let store = world.engine.store();
    let row = store.ledger().vault(&world.account, &world.vault).await.unwrap().unwrap();
    let count = 2_500_u64;
    for number in 1..=count {
        let entry = ArchiveEntry {
            vault: row.number,
            number: ArchiveNumber(store.next_number()),
            id: ArchiveId::parse("unused").unwrap(),
            seal: IdSeal { key: 1, salt: u128::from(number).to_be_bytes() },
            description: None,
            created: START,
            aged: None,
            size: number,
            tree_hash: TreeHash::of_leaf(b""),
            token: None,
            upload: None,
            content: Content::Here,
        };
        store.commit(Entry::ArchiveCreated(entry), bytes(1, 1)).await.unwrap();
    }
    for limit in [None, Some(1000), Some(2000), Some(2_499), Some(2_500), Some(9_999)] {
        let parameters = InventoryParameters { limit, ..InventoryParameters::default() };
        let (job, items) = inventory(&world, parameters).await.unwrap();
        let listed = limit.unwrap_or(count).min(count);
        let sizes: Vec<u64> = items.iter().map(|item| item.size).collect();
        assert_eq!(sizes, (1..=listed).collect::<Vec<_>>());
        assert_eq!(job.next_inventory_retrieval_marker.is_some(), listed < count);
    }
}
