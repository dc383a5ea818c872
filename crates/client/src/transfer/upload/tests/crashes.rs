//! The process dies at every step of every call in turn; the same command again has to finish, with one archive each.

use std::os::unix::fs::symlink;

use super::{
    Bench, MIB, content,
    memory::{Step, Verdict},
    options,
};
use crate::{transfer::upload::upload, walk::Selection};

/// Runs until the target says that the process dies at its `step`th step; returns whether it did.
///
/// A runtime of its own: dropping it ends all tasks and waits for blocking calls, as if the last had been the last.
fn run_until(bench: &Bench, step: usize) -> bool {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut steps = 0;
    bench.target.hook(move |_: Step| {
        steps += 1;
        if steps == step { Verdict::Die } else { Verdict::GoOn }
    });
    runtime.block_on(async {
        let mut tell = |_| {};
        let uploading =
            upload(bench.context(), options(), bench.roots(), Selection::default(), &mut tell);
        tokio::select! {
            report = uploading => {
                let report = report.unwrap();
                assert!(report.stopped.is_none() && report.failed == 0, "{report:?}");
                false
            }
            () = bench.target.died.notified() => true,
        }
    })
}

#[test]
fn exactly_one_archive_results_wherever_a_run_dies() {
    for step in 1.. {
        let bench = Bench::new();
        let files = [
            ("a", content(5, 1)),
            ("b/medium", content(MIB, 2)),
            ("large", content(4 * MIB + 3, 3)),
        ];
        for (name, bytes) in &files {
            bench.write(name, bytes);
        }
        symlink("a", bench.path("link")).unwrap();
        let has_died = run_until(&bench, step);
        let parts_received = || bench.target.state.lock().unwrap().parts_received.len();
        let (before, large_is_done) = (parts_received(), bench.newest("tree/large").is_some());

        assert!(!run_until(&bench, usize::MAX), "the second run finishes");
        assert_eq!(parts_received(), 5, "step {step}: no part that arrived is sent twice");
        let is_resumed = before > 0 && !large_is_done;
        assert!(!is_resumed || bench.events.resumed_bytes() > 0, "step {step}");
        let contents = bench.target.contents();
        for (name, bytes) in &files {
            let copies = contents.iter().filter(|one| *one == bytes).count();
            assert_eq!(copies, 1, "{name} after dying at step {step}");
            assert!(bench.newest(&format!("tree/{name}")).is_some(), "{name}, step {step}");
        }
        assert!(bench.newest("tree/link").is_some_and(|link| link.manifest.is_some()));
        assert_eq!(bench.catalog.pending_uploads(None).unwrap(), [], "step {step}");
        assert!(bench.target.state.lock().unwrap().uploads.is_empty(), "step {step}");
        if !has_died {
            assert!(step > 20, "there are more steps than {step}");
            break;
        }
    }
}

/// The second run was told the ID of the deleted archive and noted the file as stored under it.
#[test]
fn a_file_whose_archive_was_deleted_before_it_was_noted_is_sent_again() {
    for (call, size) in [("upload_archive", MIB), ("complete_upload", 4 * MIB + 3)] {
        let bench = Bench::new();
        bench.write("one", &content(size, 3));
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        bench.target.hook(
            move |step| {
                if step == Step::After(call) { Verdict::Die } else { Verdict::GoOn }
            },
        );
        runtime.block_on(async {
            let mut tell = |_| {};
            let uploading =
                upload(bench.context(), options(), bench.roots(), Selection::default(), &mut tell);
            tokio::select! {
                _ = uploading => panic!("{call} is not called"),
                () = bench.target.died.notified() => {}
            }
        });
        drop(runtime);
        assert_eq!(bench.target.contents(), [content(size, 3)]);
        bench.target.state.lock().unwrap().archives.clear();

        assert!(!run_until(&bench, usize::MAX));
        let noted = bench.newest("tree/one").unwrap().archive.unwrap();
        let state = bench.target.state.lock().unwrap();
        let live: Vec<_> =
            state.archives.iter().filter(|(_, one)| one.content == content(size, 3)).collect();
        assert_eq!(live.len(), 1, "{call}");
        assert_eq!(live[0].0, noted.as_str(), "{call}");
    }
}

#[test]
fn a_run_that_dies_again_and_again_still_ends_with_one_archive() {
    let bench = Bench::new();
    bench.write("large", &content(6 * MIB, 3));
    let mut deaths = 0;
    while run_until(&bench, 4) {
        deaths += 1;
        assert!(deaths < 100, "no progress");
    }
    assert!(deaths > 2);
    let large = content(6 * MIB, 3);
    assert_eq!(bench.target.contents().iter().filter(|one| **one == large).count(), 1);
}
