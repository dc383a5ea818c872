//! Stopped at every point, the same call goes on.

use std::{collections::BTreeMap, fs, num::NonZeroUsize, sync::Arc};

use icefield_protocol::{ByteRange, TreeHash};

use super::{Scene, bytes, entry, names};
use crate::{catalog::Kind, retrieval::RetrieveOptions};

const LARGE: usize = (66 << 20) + 11;
const SEGMENT_BYTES: usize = 16 << 20;
const SEGMENT: u64 = SEGMENT_BYTES as u64;

fn range_of(index: u64) -> ByteRange {
    let first = index * SEGMENT;
    ByteRange { first, last: (first + SEGMENT).min(LARGE as u64) - 1 }
}

/// Runs until the target has answered so many calls, then drops everything, as far as that can be done in one process.
async fn killed_after(scene: &Scene, calls: u64) -> bool {
    scene.shelf.state().calls_left = Some(calls);
    let one = NonZeroUsize::new(1).unwrap();
    let options = RetrieveOptions { segments: one, ..scene.options() };
    let ended = tokio::select! {
        result = scene.run(&options) => {
            result.unwrap();
            true
        }
        () = scene.shelf.stopped.notified() => false,
    };
    scene.shelf.state().calls_left = None;
    ended
}

fn journalled(scene: &Scene) -> BTreeMap<u64, TreeHash> {
    let pending = scene.context.catalog.pending_retrievals(None).unwrap();
    pending
        .into_iter()
        .find(|one| one.retrieval.segment_size.is_some())
        .map_or_else(BTreeMap::new, |one| one.retrieval.segments)
}

#[tokio::test]
async fn stopped_at_any_call_the_same_command_finishes_and_repeats_no_finished_segment() {
    for calls in (0..).step_by(5) {
        let scene = Scene::new();
        scene.record(&[entry("d", Kind::Folder)]);
        scene.archived("d/large", "large", bytes(LARGE));
        scene.archived("d/small", "small", bytes(9));
        let ended = killed_after(&scene, calls).await;
        settle(&scene).await;
        let done = journalled(&scene);
        scene.shelf.state().read.clear();
        let (report, _) = scene.run(&scene.options()).await.unwrap();
        assert_eq!(report.failed, [], "after {calls} calls");
        let read: Vec<_> =
            scene.shelf.state().read.iter().filter_map(|(_, range)| *range).collect();
        for index in done.keys() {
            assert!(!read.contains(&range_of(*index)), "segment {index} again, {calls} calls");
        }
        let jobs = scene.shelf.state().initiated;
        assert_eq!(jobs, 2, "one job each, after {calls} calls");
        assert!(fs::read(scene.to().join("d/large")).unwrap() == bytes(LARGE));
        assert_eq!(fs::read(scene.to().join("d/small")).unwrap(), bytes(9));
        assert_eq!(names(&scene.to().join("d")), ["large", "small"]);
        if ended {
            return;
        }
    }
}

/// Blocking work that was under way ends by itself; a killed process has no such thing.
async fn settle(scene: &Scene) {
    let busy =
        || Arc::strong_count(&scene.shelf) > 2 || Arc::strong_count(&scene.context.target) > 1;
    while busy() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_partial_file_that_was_taken_away_is_begun_again() {
    let scene = Scene::new();
    scene.archived("large", "large", bytes(LARGE));
    // To list, start and describe the job, and for a segment one more description and 16 chunks.
    assert!(!killed_after(&scene, 3 + 2 * 17 + 5).await);
    settle(&scene).await;
    assert!(!journalled(&scene).is_empty(), "the test stops where segments are finished");
    for name in names(&scene.to()) {
        fs::remove_file(scene.to().join(name)).unwrap();
    }
    let (report, _) = scene.run(&scene.options()).await.unwrap();
    assert_eq!(report.retrieved, 1);
    assert!(fs::read(scene.to().join("large")).unwrap() == bytes(LARGE));
}

/// Cuts, overwrites and lengthens the partial file between the runs; the journal tells of segments that are not there.
///
/// The journal alone was trusted: a partial file that had been cut to nothing became a file of zeros, "retrieved".
#[tokio::test]
async fn segments_that_are_not_in_the_partial_file_any_more_are_fetched_again() {
    let spoil: [fn(&mut Vec<u8>); 4] = [
        |partial| partial.clear(),
        |partial| partial.truncate(SEGMENT_BYTES + 1),
        |partial| partial[SEGMENT_BYTES + 77] ^= 1,
        |partial| partial.resize(LARGE + 5, 7),
    ];
    for (case, spoil) in spoil.into_iter().enumerate() {
        let scene = Scene::new();
        scene.archived("large", "large", bytes(LARGE));
        assert!(!killed_after(&scene, 3 + 2 * 17 + 5).await);
        settle(&scene).await;
        assert_eq!(journalled(&scene).len(), 2, "the test stops after two segments");
        let names = names(&scene.to());
        let partial = scene.to().join(&names[0]);
        let mut content = fs::read(&partial).unwrap();
        spoil(&mut content);
        fs::write(&partial, content).unwrap();
        scene.shelf.state().read.clear();
        let (report, _) = scene.run(&scene.options()).await.unwrap();
        assert_eq!(report.retrieved, 1, "case {case}");
        assert!(fs::read(scene.to().join("large")).unwrap() == bytes(LARGE), "case {case}");
        let first_again =
            scene.shelf.state().read.iter().any(|(_, range)| *range == Some(range_of(0)));
        assert_eq!(first_again, case == 0, "case {case}: only what does not fit is fetched");
    }
}
