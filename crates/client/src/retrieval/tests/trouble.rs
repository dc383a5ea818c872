//! Hostile catalogs, damage, expired jobs, and files in the way.

use std::{fs, os::unix::fs::symlink};

use icefield_protocol::JobStatus;

use super::{Scene, bytes, entry, link, names, shelf::tree_hash, statuses};
use crate::{
    catalog::{CatalogError, EntryQuery, Kind},
    retrieval::{RetrieveOptions, Status},
};

#[tokio::test]
async fn a_link_never_leads_a_file_out_of_the_destination() {
    let scene = Scene::new();
    let outside = scene.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let outside_bytes = outside.as_os_str().as_encoded_bytes();
    scene.record(&[link("evil", outside_bytes), link("up", b".."), entry("up/d", Kind::Folder)]);
    scene.record(&[link("up/l", b"x"), entry("evil/empty", Kind::File)]);
    scene.archived("evil/file", "file", bytes(100));
    scene.archived("evil/large", "large", bytes(17 << 20));
    scene.archived("fine", "fine", bytes(100));
    fs::create_dir(scene.to()).unwrap();
    symlink(&outside, scene.to().join("before")).unwrap();
    scene.archived("before/file", "before", bytes(100));

    // An inventory file may say what no tree can be.
    let (mut told, every) = (Vec::new(), EntryQuery { versions: true, as_of: None });
    let tell = &mut |entry| {
        told.push(entry);
        Ok::<(), CatalogError>(())
    };
    scene.context.catalog.for_each(scene.context.vault, &every, tell).unwrap();
    let options = RetrieveOptions { from: Some(told), ..scene.options() };
    let (report, _) = scene.run(&options).await.unwrap();
    assert_eq!(names(&outside), Vec::<String>::new());
    assert_eq!(names(&scene.to()), ["before", "evil", "fine", "up"]);
    assert_eq!(fs::read(scene.to().join("fine")).unwrap(), bytes(100));
    let mut failed: Vec<_> = report.failed.iter().map(|(path, _)| path.to_string()).collect();
    failed.sort();
    // `up/d` is made before the link, as a folder; the link is what then fails.
    assert_eq!(failed, ["before/file", "evil/empty", "evil/file", "evil/large", "up"]);
    assert!(report.failed.iter().all(|(_, why)| !why.is_empty()), "{:?}", report.failed);
}

#[tokio::test]
async fn a_different_file_is_refused_until_overwriting_is_allowed() {
    let scene = Scene::new();
    scene.archived("size", "size", bytes(100));
    scene.archived("content", "content", bytes(100));
    scene.archived("folder", "folder", bytes(100));
    scene.archived("other", "other", bytes(100));
    scene.record(&[link("link", b"there")]);
    fs::create_dir_all(scene.to().join("folder")).unwrap();
    fs::write(scene.to().join("size"), "mine").unwrap();
    fs::write(scene.to().join("content"), vec![0; 100]).unwrap();
    fs::write(scene.to().join("link"), "mine").unwrap();

    let (report, files) = scene.run(&scene.options()).await.unwrap();
    assert_eq!(fs::read(scene.to().join("size")).unwrap(), b"mine");
    assert_eq!(fs::read(scene.to().join("content")).unwrap(), vec![0; 100]);
    assert_eq!(fs::read(scene.to().join("link")).unwrap(), b"mine");
    assert_eq!(report.failed.len(), 4);
    assert!(statuses(&files).contains(&("other".to_owned(), Status::Retrieved)));
    assert_eq!(scene.shelf.state().initiated, 1, "what is refused is not asked for");

    let options = RetrieveOptions { overwrite: true, ..scene.options() };
    let (report, _) = scene.run(&options).await.unwrap();
    assert_eq!(fs::read(scene.to().join("size")).unwrap(), bytes(100));
    assert_eq!(fs::read(scene.to().join("content")).unwrap(), bytes(100));
    assert_eq!(fs::read_link(scene.to().join("link")).unwrap().to_str(), Some("there"));
    let failed: Vec<_> = report.failed.iter().map(|(path, _)| path.to_string()).collect();
    assert_eq!(failed, ["folder"], "a folder is never replaced");
}

#[tokio::test]
async fn a_file_that_appears_during_the_download_is_not_replaced() {
    let scene = Scene::new();
    scene.archived("f", "f", bytes(100));
    let planned = super::plan(&scene.context, &scene.options()).await.unwrap();
    fs::create_dir(scene.to()).unwrap();
    fs::write(scene.to().join("f"), "mine").unwrap();
    let report =
        super::retrieve(&scene.context, &scene.options(), planned, &mut |_| {}).await.unwrap();
    assert_eq!(report.failed.len(), 1);
    assert_eq!(fs::read(scene.to().join("f")).unwrap(), b"mine");
    assert_eq!(names(&scene.to()), ["f"]);
}

#[tokio::test]
async fn a_damaged_archive_fails_by_name_and_the_others_still_come() {
    let scene = Scene::new();
    let small = scene.archived("d/small", "small", bytes(5));
    let large = scene.archived("d/large", "large", bytes(40 << 20));
    scene.archived("d/fine", "fine", bytes(5));
    scene.shelf.state().damaged.insert(small, 0);
    scene.shelf.state().damaged.insert(large, 21);
    let (report, _) = scene.run(&scene.options()).await.unwrap();
    assert_eq!(names(&scene.to().join("d")), ["fine"]);
    let mut failed = report.failed;
    failed.sort();
    assert_eq!(failed[0].0.to_string(), "d/large");
    assert!(failed[0].1.contains("MiB 21"), "{failed:?}");
    assert!(failed[1].1.contains("MiB 0"), "{failed:?}");
}

#[tokio::test]
async fn bytes_that_are_not_the_recorded_ones_are_discarded_whoever_hashes() {
    for hidden in [false, true] {
        for length in [100, 5 << 20, 33 << 20] {
            let scene = Scene::new();
            scene.record(&[entry("d", Kind::Folder)]);
            let archive = scene.archived("d/f", "f", bytes(length));
            let options = RetrieveOptions { no_wait: true, ..scene.options() };
            scene.shelf.state().slow = true;
            scene.run(&options).await.unwrap();
            // The job knows the right hash; the stored bytes change behind it.
            let mut other = bytes(length);
            other[length / 2] ^= 1;
            scene.shelf.state().archives.insert(archive, other.into());
            scene.shelf.state().hashes_hidden = hidden;
            let (report, _) = scene.run(&scene.options()).await.unwrap();
            assert_eq!(report.failed.len(), 1, "{length} {hidden}");
            assert!(report.failed[0].1.contains("tree hash"), "{:?}", report.failed);
            assert_eq!(names(&scene.to().join("d")), Vec::<String>::new());
        }
    }
}

#[tokio::test]
async fn another_archive_under_the_recorded_id_is_noticed_before_a_byte_moves() {
    let scene = Scene::new();
    let mut wrong = entry("f", Kind::File);
    wrong.size = 4;
    wrong.tree_hash = Some(tree_hash(b"mine"));
    wrong.archive = Some(scene.shelf.put("f", "your"));
    scene.record(&[wrong]);
    let (report, _) = scene.run(&scene.options()).await.unwrap();
    assert!(report.failed[0].1.contains("tree hash"), "{:?}", report.failed);
    assert!(scene.shelf.state().read.is_empty());
}

#[tokio::test]
async fn an_archive_that_is_gone_fails_alone() {
    let scene = Scene::new();
    let gone = scene.archived("gone", "gone", bytes(5));
    scene.archived("fine", "fine", bytes(5));
    scene.shelf.state().archives.remove(&gone);
    let (report, files) = scene.run(&scene.options()).await.unwrap();
    assert_eq!(report.failed.len(), 1);
    let expected = [("fine".to_owned(), Status::Retrieved), ("gone".to_owned(), Status::Failed)];
    assert_eq!(statuses(&files), expected);
}

#[tokio::test]
async fn without_waiting_the_same_job_is_used_later() {
    let scene = Scene::new();
    scene.shelf.state().slow = true;
    scene.archived("a", "a", bytes(5));
    scene.archived("b", "b", bytes(6));
    let options = RetrieveOptions { no_wait: true, ..scene.options() };
    for _ in 0..2 {
        let (report, files) = scene.run(&options).await.unwrap();
        assert_eq!((report.waiting, report.retrieved), (2, 0));
        assert!(files.iter().all(|file| file.job.is_some()));
    }
    let (report, _) = scene.run(&scene.options()).await.unwrap();
    assert_eq!(report.retrieved, 2);
    assert_eq!(scene.shelf.state().initiated, 2);
}

#[tokio::test]
async fn a_job_that_only_the_target_knows_is_used() {
    let scene = Scene::new();
    scene.shelf.state().slow = true;
    scene.archived("a", "a", bytes(5));
    let options = RetrieveOptions { no_wait: true, ..scene.options() };
    scene.run(&options).await.unwrap();
    let mut other = Scene::new();
    other.shelf = std::sync::Arc::clone(&scene.shelf);
    other.context.target = std::sync::Arc::new(std::sync::Arc::clone(&scene.shelf));
    other.archived("a", "a", bytes(5));
    let (report, _) = other.run(&other.options()).await.unwrap();
    assert_eq!(report.retrieved, 1);
    assert_eq!(scene.shelf.state().initiated, 1);
}

#[tokio::test]
async fn a_job_that_expired_or_failed_is_started_again_once() {
    let scene = Scene::new();
    scene.shelf.state().slow = true;
    scene.archived("expired", "a", bytes(5));
    scene.archived("failed", "b", bytes(6));
    let options = RetrieveOptions { no_wait: true, ..scene.options() };
    scene.run(&options).await.unwrap();
    {
        let mut state = scene.shelf.state();
        state.jobs.pop_first();
        state.jobs.first_entry().unwrap().get_mut().status_code = JobStatus::Failed;
    }
    let (report, _) = scene.run(&scene.options()).await.unwrap();
    assert_eq!((report.retrieved, scene.shelf.state().initiated), (2, 4));
}

#[tokio::test]
async fn two_paths_of_one_archive_share_a_job() {
    let scene = Scene::new();
    scene.archived("a", "same", bytes(5));
    scene.archived("b", "same", bytes(5));
    let (report, _) = scene.run(&scene.options()).await.unwrap();
    assert_eq!((report.retrieved, scene.shelf.state().initiated), (2, 1));
}

#[tokio::test]
async fn what_another_run_is_retrieving_is_left_to_it() {
    let scene = Scene::new();
    let archive = scene.archived("a", "a", bytes(5));
    let catalog = &scene.context.catalog;
    let run = catalog.begin_run("retrieve").unwrap();
    let key = crate::catalog::RetrievalKey { archive, range: None };
    let now = icefield_protocol::Timestamp::UNIX_EPOCH;
    catalog.claim_retrieval(&run, scene.context.vault, &key, &scene.to().join("a"), now).unwrap();
    let (report, _) = scene.run(&scene.options()).await.unwrap();
    assert_eq!((report.waiting, report.retrieved), (1, 0));
    drop(run);
    let (report, _) = scene.run(&scene.options()).await.unwrap();
    assert_eq!(report.retrieved, 1);
}
