//! The whole flow against a target.

use std::{collections::BTreeMap, sync::Mutex};

use icefield_protocol::{
    InventoryFormat, InventoryItem, InventoryParameters, JobRequest, JobStatus, JsonInventoryWriter,
};

use super::{all, catalog, day, entry, fake::Fake, folder, hash, id, name, paths};
use crate::{
    catalog::{Catalog, Entry},
    description::{RunId, encode_manifest},
    events::{Event, Events, Silent},
    inventory::{RefreshError, RefreshOptions, RefreshReport, refresh},
    manifest,
};

#[derive(Debug, Default)]
struct Heard(Mutex<Vec<Event>>);

impl Events for Heard {
    fn event(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

fn inventory(items: &[(&str, &str)]) -> Vec<u8> {
    let arn = "arn:aws:glacier:us-east-1:012345678901:vaults/photos".parse().unwrap();
    let mut writer = JsonInventoryWriter::new(Vec::new(), &arn, day(99)).unwrap();
    for (archive, description) in items {
        let (archive_id, description) = (id(archive), (*description).to_owned());
        let item = InventoryItem {
            archive_id,
            description,
            created: day(20),
            size: 7,
            tree_hash: Some(hash()),
        };
        writer.item(&item).unwrap();
    }
    writer.finish().unwrap()
}

/// A target with archives `a` and `b` and a manifest that tells of a folder.
fn target() -> Fake {
    let run = encode_manifest(RunId::from_bytes([1; 16]));
    let listed = inventory(&[("A", "a"), ("B", "b"), ("M", run.as_str())]);
    let mut told = Vec::new();
    manifest::write(&mut told, [folder("d")].iter()).unwrap();
    Fake {
        inventory: Mutex::new(listed),
        archives: BTreeMap::from([(id("M"), told)]),
        ..Fake::default()
    }
}

async fn run(
    target: &Fake,
    catalog: &Catalog,
    no_wait: bool,
) -> Result<RefreshReport, RefreshError> {
    let options = RefreshOptions { no_wait, ..RefreshOptions::default() };
    refresh(target, catalog, &name(), &Silent, &|| day(100), &options).await
}

#[tokio::test]
async fn a_new_machine_learns_everything_from_the_vault() {
    let (_dir, catalog, vault) = catalog();
    let target = Fake { waits: 3, ..target() };
    let events = Heard::default();
    let options = RefreshOptions::default();
    let report =
        refresh(&target, &catalog, &name(), &events, &|| day(100), &options).await.unwrap();
    assert_eq!((report.archives, report.added, report.date), (3, 2, Some(day(99))));
    assert_eq!(report.manifests, []);
    assert_eq!(paths(&all(&catalog, vault)), ["a", "b", "d"]);
    let notes = [
        Event::Note("waiting for the inventory job job-0".to_owned()),
        Event::Note("waiting for the manifest job job-1".to_owned()),
    ];
    assert_eq!(*events.0.lock().unwrap(), notes);

    let again = run(&target, &catalog, false).await.unwrap();
    assert_eq!((again.added, again.confirmed), (0, 2));
    assert_eq!(target.started(), 3, "a new inventory, and the manifest is not retrieved again");
}

#[tokio::test]
async fn what_was_deleted_is_gone_with_the_next_inventory_as_far_as_that_is_sure() {
    for (foreign, left) in [(false, vec!["a"]), (true, vec!["a", "b"])] {
        let (_dir, catalog, vault) = catalog();
        let target = Fake { foreign, ..target() };
        run(&target, &catalog, false).await.unwrap();
        catalog.record(vault, &[Entry { uploaded: day(98), ..entry("b", "B") }]).unwrap();
        *target.inventory.lock().unwrap() = inventory(&[("A", "a")]);
        target.jobs.lock().unwrap().clear();
        run(&target, &catalog, false).await.unwrap();
        assert_eq!(paths(&all(&catalog, vault)), left);
    }
}

#[tokio::test]
async fn without_waiting_the_same_jobs_are_taken_up_later() {
    let (_dir, catalog, vault) = catalog();
    let target = Fake { waits: 1, ..target() };
    for _ in 0..2 {
        let error = run(&target, &catalog, true).await.unwrap_err();
        assert!(
            matches!(error, RefreshError::NotReady { ref job } if job.as_str() == "job-0"),
            "{error:?}"
        );
    }
    finish_all(&target);
    let report = run(&target, &catalog, true).await.unwrap();
    assert_eq!(report.manifests, [(id("M"), 7)], "its job has only been started");
    assert_eq!(target.started(), 2);
    finish_all(&target);
    // The next inventory, and the manifest's job of before.
    assert!(matches!(run(&target, &catalog, true).await, Err(RefreshError::NotReady { .. })));
    finish_all(&target);
    assert_eq!(run(&target, &catalog, true).await.unwrap().manifests, []);
    assert_eq!(target.started(), 3);
    assert_eq!(paths(&all(&catalog, vault)), ["a", "b", "d"]);
}

fn finish_all(target: &Fake) {
    for job in target.jobs.lock().unwrap().iter_mut() {
        job.waits = 0;
        job.description.status_code = JobStatus::Succeeded;
        job.description.completion_date = Some(day(100));
    }
}

fn whole() -> JobRequest {
    let parameters = InventoryParameters::default();
    JobRequest::Inventory { parameters, description: None, sns_topic: None }
}

#[tokio::test]
async fn a_finished_job_of_somebody_else_will_do_at_a_foreign_service_only() {
    for (foreign, started) in [(true, 2), (false, 3)] {
        let (_dir, catalog, _) = catalog();
        let target = Fake { foreign, ..target() };
        target.start(&whole());
        let report = run(&target, &catalog, false).await.unwrap();
        assert_eq!((report.archives, target.started()), (3, started), "foreign: {foreign}");
        run(&target, &catalog, false).await.unwrap();
        assert_eq!(target.started(), started + 1, "it is not read twice");
    }
}

#[tokio::test]
async fn a_partial_inventory_is_never_taken_for_a_whole_one() {
    let (_dir, catalog, _) = catalog();
    let target = Fake { foreign: true, ..target() };
    let parameters = InventoryParameters { limit: Some(1), ..InventoryParameters::default() };
    target.start(&JobRequest::Inventory { parameters, description: None, sns_topic: None });
    run(&target, &catalog, false).await.unwrap();
    assert_eq!(target.started(), 3);
}

#[tokio::test]
async fn a_csv_inventory_of_somebody_else_is_read() {
    let (_dir, catalog, vault) = catalog();
    let target = Fake { foreign: true, ..target() };
    let text = format!(
        "ArchiveId,ArchiveDescription,CreationDate,Size,SHA256TreeHash\nC,c,2020-01-01T00:00:00Z,9,{}\n",
        hash()
    );
    *target.inventory.lock().unwrap() = text.into_bytes();
    let parameters =
        InventoryParameters { format: InventoryFormat::Csv, ..InventoryParameters::default() };
    target.start(&JobRequest::Inventory { parameters, description: None, sns_topic: None });
    let report = run(&target, &catalog, false).await.unwrap();
    assert_eq!((report.added, report.date), (1, Some(day(100))));
    assert_eq!(paths(&all(&catalog, vault)), ["c"]);
}

#[tokio::test]
async fn an_output_that_breaks_off_marks_nothing_as_gone_and_is_read_again() {
    let (_dir, catalog, vault) = catalog();
    catalog
        .record(vault, &[entry("old", "OLD"), Entry { manifest: Some(id("M0")), ..folder("f") }])
        .unwrap();
    let target = target();
    *target.breaks_off.lock().unwrap() = true;
    let error = run(&target, &catalog, false).await.unwrap_err();
    assert!(matches!(error, RefreshError::Target(_)), "{error:?}");
    let left = paths(&all(&catalog, vault));
    assert!(left.contains(&"old".to_owned()) && left.contains(&"f".to_owned()), "{left:?}");
    *target.breaks_off.lock().unwrap() = false;
    let report = run(&target, &catalog, false).await.unwrap();
    assert_eq!(report.gone, 1);
    assert_eq!(target.jobs.lock().unwrap()[0].description.job_id.as_str(), "job-0");
    assert_eq!(target.started(), 2, "one inventory, one manifest");
    assert_eq!(paths(&all(&catalog, vault)), ["a", "b", "d"]);
}

#[tokio::test]
async fn a_manifest_that_cannot_be_had_is_warned_about_and_stays_pending() {
    let (_dir, catalog, vault) = catalog();
    let mut target = target();
    target.archives.insert(id("M"), vec![b'x'; 2 << 20]);
    let events = Heard::default();
    let options = RefreshOptions::default();
    let report =
        refresh(&target, &catalog, &name(), &events, &|| day(100), &options).await.unwrap();
    assert_eq!(report.manifests, [(id("M"), 7)]);
    let heard = events.0.lock().unwrap();
    assert!(
        matches!(&heard[..], [Event::Warning { message, .. }] if message.contains("longer than")),
        "{heard:?}"
    );
    assert_eq!(paths(&all(&catalog, vault)), ["a", "b"]);
}

#[tokio::test]
async fn a_failed_job_is_told_and_the_next_refresh_starts_another() {
    let (_dir, catalog, _) = catalog();
    let target = target();
    assert!(matches!(
        run(&Fake { waits: 1, ..self::target() }, &catalog, true).await,
        Err(RefreshError::NotReady { .. })
    ));
    let first = target.start(&whole());
    assert_eq!(first.as_str(), "job-0");
    target.jobs.lock().unwrap()[0].description.status_code = JobStatus::Failed;
    assert_eq!(run(&target, &catalog, false).await.unwrap().added, 2);
    assert_eq!(target.started(), 3);
}

/// A vault that was emptied by making it again has no inventory; the refresh failed, and the catalog kept what was gone.
#[tokio::test]
async fn a_vault_that_was_never_written_to_is_an_empty_inventory() {
    let (_dir, catalog, vault) = catalog();
    catalog.record(vault, &[Entry { uploaded: day(98), ..entry("b", "B") }]).unwrap();
    let target = Fake { never_written: true, ..Fake::default() };
    let report = run(&target, &catalog, false).await.unwrap();
    assert_eq!((report.archives, report.gone), (0, 1));
    assert!(all(&catalog, vault).is_empty());
}

/// Manifests of one second were taken in by their archive IDs, so the older of two states could win.
#[tokio::test]
async fn of_manifests_of_one_second_the_later_in_the_inventory_is_the_newer() {
    let (_dir, catalog, vault) = catalog();
    let described = encode_manifest(RunId::from_bytes([1; 16]));
    let told = |mode| {
        let mut told = Vec::new();
        manifest::write(&mut told, [Entry { mode: Some(mode), ..folder("d") }].iter()).unwrap();
        told
    };
    let target = Fake {
        inventory: Mutex::new(inventory(&[("Z", described.as_str()), ("A", described.as_str())])),
        archives: BTreeMap::from([(id("Z"), told(0o700)), (id("A"), told(0o755))]),
        ..Fake::default()
    };
    run(&target, &catalog, false).await.unwrap();
    let newest = catalog.newest(vault, &folder("d").path).unwrap().unwrap();
    assert_eq!(newest.mode, Some(0o755));
}
