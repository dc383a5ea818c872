//! Whole purges, of a target in memory.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use icefield_protocol::{ArchiveId, Timestamp, UploadId};

use super::{context, known};
use crate::{
    catalog::{Entry, Kind},
    events::{Event, Events},
    remove::{PurgeReport, Purged, RemoveContext, purge},
    retrieval::tests::{Scene, bytes, entry, shelf::OldInventory},
};

const DAY: Duration = Duration::from_hours(24);

/// Keeps what is said.
#[derive(Debug, Default)]
struct Heard(Mutex<Vec<String>>);

impl Events for Heard {
    fn event(&self, event: Event) {
        let text = match event {
            Event::Note(note) => note,
            Event::Warning { path: Some(path), message } => format!("{path}: {message}"),
            Event::Warning { path: None, message } => message,
            _ => return,
        };
        self.0.lock().unwrap().push(text);
    }
}

impl Heard {
    fn said(&self, text: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|said| said.contains(text)).count()
    }
}

fn heard(scene: &Scene) -> (RemoveContext, Arc<Heard>) {
    let heard = Arc::new(Heard::default());
    (RemoveContext { events: Arc::<Heard>::clone(&heard), ..context(scene) }, heard)
}

async fn purged(scene: &Scene, no_wait: bool) -> Purged {
    purge(&context(scene), no_wait).await.unwrap()
}

fn id(text: &str) -> ArchiveId {
    ArchiveId::parse(text).unwrap()
}

/// A service that made an inventory a day ago, of what is in the vault, and makes the next one when it was asked this often
/// to delete the vault.
fn counts_by_an_old_inventory(scene: &Scene, asked_until_new: u64) {
    let mut state = scene.shelf.state();
    state.lag = DAY;
    let date = Timestamp::from_unix_millis(-24 * 3_600_000);
    let archives = state.archives.clone();
    state.inventory = Some(OldInventory { date, archives, asked_until_new });
}

/// Records archives that are on the shelf.
fn archive_many(scene: &Scene, number: usize) {
    let mut entries = Vec::new();
    for number in 0..number {
        let name = format!("a{number:04}");
        let mut entry = Entry { size: 1, ..entry(&name, Kind::File) };
        entry.archive = Some(scene.shelf.put(&name, "x"));
        entries.push(entry);
    }
    scene.record(&entries);
}

#[tokio::test]
async fn a_purge_takes_uploads_known_and_unknown_archives_and_the_vault() {
    let scene = Scene::new();
    scene.archived("f", "f", bytes(10));
    scene.shelf.put("unknown", "nobody recorded me");
    scene.shelf.state().uploads.insert(UploadId::parse("u").unwrap());
    scene.shelf.state().slow = true;
    let waiting = purged(&scene, true).await;
    let Purged::NotReady { report, waits_for } = waiting else { panic!("{waiting:?}") };
    assert_eq!(report.deleted, 1);
    assert!(waits_for.contains("the inventory job job-0001"), "{waits_for}");
    let done = purged(&scene, false).await;
    assert_eq!(done, Purged::Done(PurgeReport { deleted: 1, bytes: 18, failed: 0 }));
    let state = scene.shelf.state();
    assert!(state.vault_gone && state.archives.is_empty() && state.uploads.is_empty());
    assert_eq!(state.initiated, 1, "the job of the first try is used");
    drop(state);
    assert!(known(&scene).is_empty());
}

#[tokio::test]
async fn a_purge_takes_a_new_inventory_when_an_earlier_one_has_missed_something() {
    let scene = Scene::new();
    scene.shelf.put("early", "x");
    scene.shelf.state().recently_written = true;
    assert!(matches!(purged(&scene, true).await, Purged::NotReady { .. }));
    scene.shelf.put("late", "x");
    scene.shelf.state().recently_written = false;
    // The shelf makes inventories when they are read; this one is of the past.
    scene.shelf.state().inventory_without = Some(id("late"));
    assert!(matches!(purged(&scene, false).await, Purged::Done(_)));
    assert_eq!(scene.shelf.state().initiated, 2);
}

#[tokio::test]
async fn without_waiting_a_purge_is_not_ready_until_the_service_counts_the_vault_as_empty() {
    let scene = Scene::new();
    scene.archived("f", "f", bytes(10));
    counts_by_an_old_inventory(&scene, 3);
    for deleted in [1, 0] {
        let waiting = purged(&scene, true).await;
        let Purged::NotReady { report, waits_for } = waiting else { panic!("{waiting:?}") };
        assert_eq!(report.deleted, deleted);
        for text in ["next inventory", "the last is of 19", "recently written"] {
            assert!(waits_for.contains(text), "{text} is not in: {waits_for}");
        }
    }
    assert!(matches!(purged(&scene, true).await, Purged::Done(_)));
    let state = scene.shelf.state();
    assert_eq!(state.deletes, [id("f")], "it was deleted again because the old inventory has it");
    assert_eq!(state.initiated, 1, "an inventory that tells nothing new was asked for");
}

#[tokio::test(start_paused = true)]
async fn a_purge_waits_until_the_service_counts_the_vault_as_empty() {
    let scene = Scene::new();
    scene.archived("f", "f", bytes(10));
    counts_by_an_old_inventory(&scene, 5);
    let (context, heard) = heard(&scene);
    let done = purge(&context, false).await.unwrap();
    assert_eq!(done, Purged::Done(PurgeReport { deleted: 1, bytes: 10, failed: 0 }));
    assert_eq!(scene.shelf.state().deletes, [id("f")]);
    assert_eq!(heard.said("waiting for the service's next inventory"), 4, "{heard:?}");
}

#[tokio::test(start_paused = true)]
async fn a_purge_does_not_wait_for_ever() {
    let scene = Scene::new();
    scene.archived("f", "f", bytes(10));
    counts_by_an_old_inventory(&scene, u64::MAX);
    let waiting = purged(&scene, false).await;
    assert!(matches!(waiting, Purged::NotReady { .. }), "{waiting:?}");
}

#[tokio::test(start_paused = true)]
async fn what_others_upload_meanwhile_is_in_the_next_inventory() {
    let scene = Scene::new();
    scene.archived("f", "f", bytes(10));
    counts_by_an_old_inventory(&scene, 2);
    scene.shelf.put("late", "x");
    let done = purged(&scene, false).await;
    assert!(matches!(done, Purged::Done(PurgeReport { deleted: 2, .. })), "{done:?}");
    assert_eq!(scene.shelf.state().deletes, [id("f"), id("late")]);
}

#[tokio::test]
async fn stopped_anywhere_a_purge_goes_on_and_repeats_a_batch_at_most() {
    for (is_known, calls) in [(true, 300), (true, 599), (false, 304), (false, 500)] {
        let scene = Scene::new();
        if is_known {
            archive_many(&scene, 600);
        } else {
            for number in 0..600 {
                scene.shelf.put(&format!("a{number:04}"), "x");
            }
        }
        counts_by_an_old_inventory(&scene, 2);
        scene.shelf.state().calls_left = Some(calls);
        let context = context(&scene);
        tokio::select! {
            ended = purge(&context, true) => panic!("{ended:?}"),
            () = scene.shelf.stopped.notified() => {}
        }
        scene.shelf.state().calls_left = None;
        let ended = purged(&scene, true).await;
        let ended =
            if matches!(ended, Purged::Done(_)) { ended } else { purged(&scene, true).await };
        assert!(matches!(ended, Purged::Done(_)), "{ended:?} after {calls} calls");
        let state = scene.shelf.state();
        let mut times = HashMap::new();
        for archive in &state.deletes {
            *times.entry(archive).or_insert(0) += 1;
        }
        assert_eq!(times.len(), 600);
        let again = times.values().filter(|times| **times > 1).count();
        assert!(again <= 256, "{again} archives were deleted again after {calls} calls");
        assert!(times.values().all(|times| *times <= 2));
    }
}

#[tokio::test]
async fn archives_that_cannot_be_deleted_are_named_and_the_others_are_deleted() {
    let scene = Scene::new();
    scene.archived("d/young", "young", bytes(5));
    archive_many(&scene, 300);
    scene.shelf.state().locked.insert(id("young"));
    let (context, heard) = heard(&scene);
    let left = purge(&context, false).await.unwrap();
    assert_eq!(left, Purged::Left(PurgeReport { deleted: 300, bytes: 300, failed: 1 }));
    assert_eq!(heard.said("d/young: young was not deleted: a lock forbids it"), 1, "{heard:?}");
    assert_eq!(known(&scene), ["d/young"]);
    scene.shelf.state().locked.clear();
    assert!(matches!(purged(&scene, false).await, Purged::Done(_)));
}

#[tokio::test]
async fn what_an_inventory_lists_and_cannot_be_deleted_is_tried_again() {
    let scene = Scene::new();
    scene.shelf.put("unknown", "x");
    scene.shelf.state().locked.insert(id("unknown"));
    let left = purged(&scene, false).await;
    assert_eq!(left, Purged::Left(PurgeReport { deleted: 0, bytes: 0, failed: 1 }));
    scene.shelf.state().locked.clear();
    assert!(matches!(purged(&scene, false).await, Purged::Done(_)));
}

#[tokio::test]
async fn a_vault_that_somebody_else_has_deleted_or_emptied_is_a_clear_end() {
    let scene = Scene::new();
    archive_many(&scene, 300);
    scene.shelf.state().archives.clear();
    assert!(matches!(purged(&scene, false).await, Purged::Done(_)));

    for deletes in [0, 10] {
        let scene = Scene::new();
        archive_many(&scene, 1000);
        scene.shelf.state().lost_after = Some(deletes);
        let gone = purged(&scene, false).await;
        let Purged::Gone(report) = gone else { panic!("{gone:?}") };
        assert_eq!(report.deleted, deletes as u64);
        assert!(known(&scene).is_empty());
        assert!(scene.shelf.state().deletes.len() < 600, "a vault that is gone was asked for more");
    }
}
