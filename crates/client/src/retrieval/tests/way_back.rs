//! What comes back, and how it looks.

use std::{
    fs,
    io::{self, Write},
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    sync::{Arc, Mutex},
};

use icefield_protocol::{ArchiveId, ByteRange, Timestamp};

use super::{MTIME, Scene, bytes, entry, link, names, shelf::tree_hash};
use crate::{
    catalog::Kind,
    pattern::Pattern,
    retrieval::{RetrieveError, RetrieveOptions, Status, plan, retrieve_to_writer},
};

fn time_of(path: &std::path::Path) -> (i64, i64) {
    let metadata = fs::symlink_metadata(path).unwrap();
    (metadata.mtime(), metadata.mtime_nsec())
}

#[tokio::test]
async fn a_tree_comes_back_with_bytes_links_times_and_modes() {
    let scene = Scene::new();
    let odd = b"top/na\xffme \n".as_slice();
    scene.record(&[
        entry("top", Kind::Folder),
        entry("top/deep", Kind::Folder),
        entry("top/none", Kind::File),
        link("top/away", b"/nowhere/\xfe"),
    ]);
    scene.archived("top/deep/small", "small", bytes(1000));
    scene.archived("top/deep/middle", "middle", bytes((3 << 20) + 5));
    scene.archived("top/deep/large", "large", bytes((33 << 20) + 17));
    scene.archived(odd, "odd", b"odd".to_vec());
    let (report, files) = scene.run(&scene.options()).await.unwrap();
    assert_eq!((report.retrieved, report.skipped, report.failed.len()), (6, 0, 0));
    assert_eq!(report.bytes, 1000 + (3 << 20) + 5 + (33 << 20) + 17 + 3);
    assert!(files.iter().all(|file| file.status == Status::Retrieved));

    let top = scene.to().join("top");
    assert_eq!(fs::read(top.join("deep/small")).unwrap(), bytes(1000));
    assert!(fs::read(top.join("deep/middle")).unwrap() == bytes((3 << 20) + 5));
    assert!(fs::read(top.join("deep/large")).unwrap() == bytes((33 << 20) + 17));
    assert_eq!(fs::read(scene.to().join(std::ffi::OsStr::from_bytes(odd))).unwrap(), b"odd");
    assert_eq!(fs::read(top.join("none")).unwrap(), b"");
    assert_eq!(fs::read_link(top.join("away")).unwrap().as_os_str().as_bytes(), b"/nowhere/\xfe");
    for one in ["", "deep", "deep/small", "deep/middle", "deep/large", "none", "away"] {
        let path = top.join(one);
        assert_eq!(time_of(&path), (MTIME.seconds, i64::from(MTIME.nanos)), "{one}");
        let metadata = fs::symlink_metadata(&path).unwrap();
        let mode = if metadata.is_dir() { 0o750 } else { 0o640 };
        assert!(metadata.is_symlink() || metadata.mode() & 0o7777 == mode, "{one}");
    }
    assert_eq!(names(&top.join("deep")), ["large", "middle", "small"], "nothing else is left");
    assert!(scene.context.catalog.pending_retrievals(None).unwrap().is_empty());
}

#[tokio::test]
async fn what_is_there_already_is_skipped_and_gets_its_recorded_attributes() {
    let scene = Scene::new();
    scene.record(&[entry("d", Kind::Folder), link("d/l", b"x"), entry("d/e", Kind::File)]);
    scene.archived("d/f", "f", bytes(2000));
    scene.run(&scene.options()).await.unwrap();
    let file = scene.to().join("d/f");
    fs::write(&file, bytes(2000)).unwrap();
    assert_ne!(time_of(&file), (MTIME.seconds, i64::from(MTIME.nanos)));
    let (report, _) = scene.run(&scene.options()).await.unwrap();
    assert_eq!((report.retrieved, report.skipped, report.bytes), (0, 3, 0));
    assert_eq!(scene.shelf.state().initiated, 1);
    assert_eq!(time_of(&file), (MTIME.seconds, i64::from(MTIME.nanos)));
}

#[tokio::test]
async fn fifty_files_are_synced_and_named_in_one_go() {
    let scene = Scene::new();
    for number in 0..50 {
        scene.archived(
            format!("d{}/f{number}", number % 7),
            &format!("a{number}"),
            bytes(number + 1),
        );
    }
    let (report, _) = scene.run(&scene.options()).await.unwrap();
    assert_eq!(report.retrieved, 50);
    for number in 0..50 {
        let file = scene.to().join(format!("d{}/f{number}", number % 7));
        assert_eq!(fs::read(file).unwrap(), bytes(number + 1));
    }
}

#[tokio::test]
async fn patterns_versions_and_archive_ids_select() {
    let scene = Scene::new();
    let old = scene.archived("a/x.fit", "old", b"old".to_vec());
    let mut newer = entry("a/x.fit", Kind::File);
    newer.size = 3;
    newer.tree_hash = Some(tree_hash(b"new"));
    newer.archive = Some(scene.shelf.put("new", "new"));
    newer.uploaded = Timestamp::from_unix_millis(2000);
    scene.record(&[newer]);
    scene.archived("a/y.txt", "y", b"y".to_vec());

    let fit = RetrieveOptions {
        patterns: vec![Pattern::parse("*.fit").unwrap()],
        ..RetrieveOptions::new(scene.folder.path().join("newest"))
    };
    scene.run(&fit).await.unwrap();
    assert_eq!(fs::read(fit.to.join("a/x.fit")).unwrap(), b"new");
    assert_eq!(names(&fit.to.join("a")), ["x.fit"]);

    let then = RetrieveOptions {
        as_of: Some(Timestamp::from_unix_millis(1500)),
        to: scene.folder.path().join("then"),
        ..fit.clone()
    };
    scene.run(&then).await.unwrap();
    assert_eq!(fs::read(then.to.join("a/x.fit")).unwrap(), b"old");

    let foreign = scene.shelf.put("-unknown", "who am I");
    let ids = RetrieveOptions {
        archive_ids: vec![old, foreign],
        patterns: Vec::new(),
        to: scene.folder.path().join("ids"),
        ..fit
    };
    scene.run(&ids).await.unwrap();
    assert_eq!(fs::read(ids.to.join("a/x.fit")).unwrap(), b"old");
    assert_eq!(fs::read(ids.to.join("-unknown")).unwrap(), b"who am I");
}

#[tokio::test]
async fn an_inventory_file_stands_in_for_the_catalog() {
    let scene = Scene::new();
    scene.shelf.put("one", "first");
    scene.shelf.put("two", "second");
    // Only path and ID are known, as in a file written by other tools; the last row of a path counts.
    let row = |id| {
        let archive = Some(ArchiveId::parse(id).unwrap());
        super::Entry { archive, mtime: None, mode: None, ..entry("p", Kind::File) }
    };
    let options = RetrieveOptions { from: Some(vec![row("one"), row("two")]), ..scene.options() };
    scene.run(&options).await.unwrap();
    assert_eq!(fs::read(scene.to().join("p")).unwrap(), b"second");
}

#[tokio::test]
async fn a_range_is_widened_for_the_job_and_trimmed_in_the_file() {
    let scene = Scene::new();
    let whole = bytes((40 << 20) + 9);
    scene.archived("f", "f", whole.clone());
    for (number, (first, last)) in [(5_usize, 5), ((1 << 20) - 1, 1 << 20), (3, (37 << 20) + 1)]
        .into_iter()
        .chain([((40 << 20) + 8, (40 << 20) + 8)])
        .enumerate()
    {
        let options = RetrieveOptions {
            range: Some(ByteRange { first: first as u64, last: last as u64 }),
            ..RetrieveOptions::new(scene.folder.path().join(number.to_string()))
        };
        scene.run(&options).await.unwrap();
        assert!(fs::read(options.to.join("f")).unwrap() == whole[first..=last], "{first}-{last}");
    }
    let jobs: Vec<_> = scene.shelf.state().jobs.values().cloned().collect();
    let ranges: Vec<_> =
        jobs.iter().map(|job| job.retrieval_byte_range.unwrap().to_string()).collect();
    assert_eq!(ranges, ["0-1048575", "0-2097151", "0-41943048", "41943040-41943048"]);
    assert!(jobs.iter().all(|job| job.tree_hash.is_some()), "what comes can be compared: {jobs:?}");

    let beyond = RetrieveOptions {
        range: Some(ByteRange { first: 0, last: whole.len() as u64 }),
        ..scene.options()
    };
    assert!(matches!(scene.run(&beyond).await, Err(RetrieveError::Options(_))));
}

/// A writer that can be looked into afterwards.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn one_file_goes_to_a_writer_in_order() {
    let scene = Scene::new();
    let whole = bytes((37 << 20) + 3);
    scene.archived("f", "f", whole.clone());
    let all = Shared::default();
    let planned = plan(&scene.context, &scene.options()).await.unwrap();
    let writer = Box::new(all.clone());
    let file = retrieve_to_writer(&scene.context, &scene.options(), planned, writer).await.unwrap();
    assert_eq!((file.status, file.size), (Status::Retrieved, Some(whole.len() as u64)));
    assert!(*all.0.lock().unwrap() == whole);

    let some = Shared::default();
    let range = Some(ByteRange { first: 100, last: (9 << 20) + 1 });
    let options = RetrieveOptions { range, ..scene.options() };
    let planned = plan(&scene.context, &options).await.unwrap();
    let writer = Box::new(some.clone());
    retrieve_to_writer(&scene.context, &options, planned, writer).await.unwrap();
    assert!(*some.0.lock().unwrap() == whole[100..=(9 << 20) + 1]);

    scene.archived("g", "g", b"g".to_vec());
    let planned = plan(&scene.context, &scene.options()).await.unwrap();
    let writer = Box::new(Shared::default());
    let two = retrieve_to_writer(&scene.context, &scene.options(), planned, writer).await;
    assert!(matches!(two, Err(RetrieveError::Options(_))));
}

#[tokio::test]
async fn a_stream_of_a_damaged_archive_ends_with_an_error_that_names_the_mib() {
    let scene = Scene::new();
    let archive = scene.archived("f", "f", bytes(20 << 20));
    scene.shelf.state().damaged.insert(archive, 13);
    let out = Shared::default();
    let planned = plan(&scene.context, &scene.options()).await.unwrap();
    let error =
        retrieve_to_writer(&scene.context, &scene.options(), planned, Box::new(out.clone()))
            .await
            .unwrap_err();
    assert!(error.to_string().contains("MiB 13"), "{error}");
    let written = out.0.lock().unwrap().clone();
    assert!(written == bytes(20 << 20)[..written.len()], "what was written is right");
    assert!(written.len() <= 13 << 20);
}

#[tokio::test]
async fn a_plan_tells_what_it_would_do_and_changes_nothing() {
    let scene = Scene::new();
    scene.record(&[entry("d", Kind::Folder)]);
    scene.archived("d/f", "f", bytes(10));
    let planned = plan(&scene.context, &scene.options()).await.unwrap();
    assert_eq!((planned.files.len(), planned.bytes(), planned.folders.len()), (1, 10, 1));
    assert!(!scene.to().exists());
    assert_eq!(scene.shelf.state().initiated, 0);
}

#[tokio::test]
async fn a_file_in_place_of_a_folder_and_a_folder_in_place_of_a_file_come_back_as_they_were_last() {
    let scene = Scene::new();
    scene.archived("was-folder/x", "old-x", bytes(10));
    scene.archived("was-folder", "file", bytes(20));
    scene.archived("was-file", "old-file", bytes(30));
    scene.archived("was-file/x", "x", bytes(40));
    let report = scene.run(&scene.options()).await.unwrap();
    assert!(report.0.failed.is_empty(), "{report:?}");
    assert_eq!(fs::read(scene.to().join("was-folder")).unwrap(), bytes(20));
    assert_eq!(fs::read(scene.to().join("was-file/x")).unwrap(), bytes(40));
}

#[tokio::test]
async fn patterns_that_match_nothing_are_told() {
    let scene = Scene::new();
    scene.archived("a", "a", bytes(1));
    let patterns = ["b", "a"].map(|text| Pattern::parse(text).unwrap()).to_vec();
    let options = RetrieveOptions { patterns, ..scene.options() };
    assert_eq!(plan(&scene.context, &options).await.unwrap().unmatched, [0]);
}

#[tokio::test]
async fn a_stream_into_a_closed_pipe_leaves_nothing_pending() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let scene = Scene::new();
    scene.archived("a", "a", bytes(100));
    let planned = plan(&scene.context, &scene.options()).await.unwrap();
    let ended =
        retrieve_to_writer(&scene.context, &scene.options(), planned, Box::new(Closed)).await;
    assert!(matches!(ended, Err(RetrieveError::Output(_))), "{ended:?}");
    assert_eq!(scene.context.catalog.pending_retrievals(None).unwrap(), []);
}
