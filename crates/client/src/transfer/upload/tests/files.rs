use std::{
    fs, io::Write, os::unix::ffi::OsStrExt, os::unix::fs::symlink, path::PathBuf, time::Duration,
};

use icefield_protocol::{ArchiveId, Description, ErrorCode, InventoryItem, Timestamp, VaultName};
use icefield_treehash::TreeHash;

use super::{
    Bench, MIB, content,
    memory::{Step, Verdict},
    options, set_modified,
};
use crate::{
    catalog::{Catalog, ClaimRequest, FileTime, Kind},
    description::{ArchiveNote, Decoded, decode},
    inventory::{Reconciliation, apply_manifest},
    path::CatalogPath,
    target::TargetError,
    transfer::{
        Canceller, FileError, Outcome, UploadError, UploadOptions,
        source::SourceError,
        upload::{Describe, upload},
    },
    walk::Selection,
};

fn mixed_tree() -> Bench {
    let bench = Bench::new();
    bench.write("small", b"small");
    bench.write("sub/medium", &content(MIB, 1));
    bench.write("sub/large", &content(3 * MIB + 7, 2));
    bench.write("empty", b"");
    fs::create_dir(bench.path("hollow")).unwrap();
    symlink("nowhere", bench.path("dangling")).unwrap();
    bench
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_becomes_archives_and_a_manifest() {
    let bench = mixed_tree();
    let report = bench.run_well().await;
    assert_eq!((report.uploaded, report.noted, report.skipped), (3, 5, 0));
    let large = bench.newest("tree/sub/large").unwrap();
    let archives = &bench.target.state.lock().unwrap().archives;
    assert_eq!(archives.len(), 4);
    let stored = &archives[large.archive.unwrap().as_str()];
    assert!(stored.content == content(3 * MIB + 7, 2));
    let note = decode(stored.description.as_ref().unwrap()).unwrap();
    let expected = ArchiveNote {
        path: CatalogPath::parse("tree/sub/large").unwrap(),
        mtime: large.mtime,
        mode: large.mode,
    };
    assert_eq!(note, Decoded::Note(expected));
    let manifest = &archives[report.manifest.unwrap().as_str()];
    assert_eq!(manifest.content.iter().filter(|byte| **byte == b'\n').count(), 5);
    let link = bench.newest("tree/dangling").unwrap();
    assert_eq!((link.kind, link.link_target.as_deref()), (Kind::Link, Some(&b"nowhere"[..])));
    assert!(link.manifest.is_some() && link.archive.is_none());
    assert_eq!(bench.newest("tree/empty").unwrap().kind, Kind::File);
    assert_eq!(bench.newest("tree").unwrap().kind, Kind::Folder);
    assert_eq!(bench.catalog.pending_uploads(None).unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unchanged_tree_moves_no_byte() {
    let bench = mixed_tree();
    bench.run_well().await;
    let received = bench.bytes_received();
    let report = bench.run_well().await;
    assert_eq!(bench.bytes_received(), received);
    assert_eq!((report.uploaded, report.skipped, report.noted, report.bytes), (0, 8, 0, 0));
    assert_eq!(report.manifest, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_changed_is_sent_and_older_versions_stay() {
    let bench = mixed_tree();
    bench.run_well().await;
    let received = bench.bytes_received();
    bench.write("small", b"other");
    bench.write("sub/large", &content(3 * MIB + 7, 9));
    let report = bench.run_well().await;
    assert_eq!((report.uploaded, report.skipped, report.manifest), (2, 6, None));
    assert_eq!(bench.bytes_received() - received, 5 + 3 * MIB as u64 + 7);
    assert_eq!(bench.target.contents().len(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_only_touched_is_read_and_not_sent() {
    let bench = mixed_tree();
    bench.run_well().await;
    let received = bench.bytes_received();
    for name in ["small", "sub/large", "sub/medium", "empty", "hollow", "sub"] {
        set_modified(&bench.path(name), 77);
    }
    let report = bench.run_well().await;
    assert_eq!(bench.bytes_received(), received);
    assert_eq!((report.uploaded, report.touched, report.manifest), (0, 6, None));
    for name in ["small", "sub/large", "hollow"] {
        let entry = bench.newest(&format!("tree/{name}")).unwrap();
        assert_eq!(entry.mtime, Some(FileTime { seconds: 77, nanos: 0 }), "{name}");
    }
    assert_eq!(bench.run_well().await.skipped, 8);
    assert_eq!(bench.catalog.pending_uploads(None).unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_times_of_folders_go_along_when_something_else_is_sent() {
    let bench = mixed_tree();
    bench.run_well().await;
    bench.write("hollow/new", b"new");
    let report = bench.run_well().await;
    assert_eq!((report.uploaded, report.noted), (1, 1));
    assert_eq!(bench.newest("tree/hollow").unwrap().manifest, report.manifest);
    assert!(report.manifest.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checksum_reads_everything_and_finds_what_time_and_size_hide() {
    let bench = Bench::new();
    bench.write("a", b"one");
    bench.write("b", b"two");
    set_modified(&bench.path("a"), 77);
    bench.run_well().await;
    bench.write("a", b"eno");
    set_modified(&bench.path("a"), 77);
    assert_eq!(bench.run_well().await.uploaded, 0);
    let (report, _) = bench.run(UploadOptions { checksum: true, ..options() }).await;
    assert_eq!((report.uploaded, report.skipped), (1, 2));
    let (report, _) = bench.run(UploadOptions { force: true, ..options() }).await;
    assert_eq!((report.uploaded, report.noted), (2, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_sends_and_records_nothing() {
    let bench = mixed_tree();
    let (report, outcomes) = bench.run(UploadOptions { dry_run: true, ..options() }).await;
    assert_eq!((report.uploaded, report.noted), (3, 5));
    assert_eq!(report.bytes, 5 + MIB as u64 + 3 * MIB as u64 + 7);
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::WouldUpload { .. })));
    assert_eq!((bench.bytes_received(), bench.target.contents().len()), (0, 0));
    assert!(bench.newest("tree/small").is_none());
    assert_eq!(bench.catalog.pending_uploads(None).unwrap(), []);
}

/// Changes `name` once, when the first megabyte of a body has arrived.
fn change_in_transfer(bench: &Bench, name: &str) {
    let path = bench.path(name);
    let mut is_changed = false;
    bench.target.hook(move |step| {
        if !is_changed && matches!(step, Step::Chunk(bytes) if bytes >= MIB as u64) {
            is_changed = true;
            let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
            file.write_all(b"changed").unwrap();
        }
        Verdict::GoOn
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_changes_while_it_is_sent_is_named_and_nothing_of_it_stays() {
    for part_size in [options().part_size, None] {
        let bench = Bench::new();
        bench.write("steady", b"steady");
        bench.write("unsteady", &content(9 * MIB, 3));
        change_in_transfer(&bench, "unsteady");
        let (report, outcomes) = bench.run(UploadOptions { part_size, ..options() }).await;
        assert_eq!((report.uploaded, report.failed), (1, 1), "{outcomes:?}");
        let is_named = |outcome: &Outcome| {
            matches!(outcome, Outcome::Failed { local, error: FileError::Source(SourceError::Changed) }
                if *local == bench.path("unsteady"))
        };
        assert!(outcomes.iter().any(is_named), "{outcomes:?}");
        assert!(bench.events.warnings()[0].contains("changed while it was being read"));
        assert!(bench.newest("tree/unsteady").is_none());
        assert_eq!(bench.target.contents().iter().filter(|one| one.len() > MIB).count(), 0);
        assert!(bench.target.state.lock().unwrap().uploads.is_empty(), "the upload was aborted");
        assert_eq!(bench.catalog.pending_uploads(None).unwrap(), []);
        bench.target.unhook();
        assert_eq!(bench.run_well().await.uploaded, 1);
        let now = fs::read(bench.path("unsteady")).unwrap();
        assert!(bench.target.contents().contains(&now));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_upload_of_a_file_that_then_changed_is_aborted() {
    let bench = Bench::new();
    bench.write("large", &content(4 * MIB, 1));
    bench.target.hook(|step| match step {
        Step::Before("complete_upload") => Verdict::Fail(TargetError::Full { what: "x".into() }),
        _ => Verdict::GoOn,
    });
    let (report, _) = bench.run(options()).await;
    assert!(matches!(report.stopped, Some(UploadError::Target { .. })));
    assert_eq!(bench.catalog.pending_uploads(None).unwrap()[0].parts_done, 4);
    bench.target.unhook();
    bench.write("large", &content(4 * MIB, 2));
    assert_eq!(bench.run_well().await.uploaded, 1);
    assert!(bench.target.state.lock().unwrap().uploads.is_empty());
    assert!(bench.target.contents().contains(&content(4 * MIB, 2)));
    assert_eq!(bench.catalog.pending_uploads(None).unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_target_ends_the_run_with_what_is_done_kept() {
    let bench = Bench::new();
    for name in ["a", "b", "c", "d"] {
        bench.write(name, name.as_bytes());
    }
    let mut stored = 0;
    bench.target.hook(move |step| match step {
        Step::Before("upload_archive") if stored == 2 => {
            Verdict::Fail(TargetError::Full { what: "no space left on /mnt, free some".into() })
        }
        Step::After("upload_archive") => {
            stored += 1;
            Verdict::GoOn
        }
        _ => Verdict::GoOn,
    });
    let one_by_one = UploadOptions { concurrency: std::num::NonZeroUsize::MIN, ..options() };
    let (report, _) = bench.run(one_by_one).await;
    let why = report.stopped.unwrap();
    assert!(why.to_string().contains("the upload stopped at tree/c"), "{why}");
    let cause = std::error::Error::source(&why).unwrap().to_string();
    assert_eq!(cause, "the target is full: no space left on /mnt, free some");
    assert_eq!(report.uploaded, 2);
    bench.target.unhook();
    let report = bench.run_well().await;
    assert_eq!((report.uploaded, report.skipped, report.noted), (2, 2, 1));
    assert_eq!(bench.target.contents().len(), 5, "four files and the manifest");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_target_refuses_for_one_file_does_not_stop_the_others() {
    let bench = Bench::new();
    bench.write("a", b"a");
    bench.write("b", b"b");
    let mut calls = 0;
    bench.target.hook(move |step| match step {
        Step::Before("upload_archive") => {
            calls += 1;
            if calls > 1 {
                return Verdict::GoOn;
            }
            let code = ErrorCode::InvalidParameterValue;
            Verdict::Fail(TargetError::Service { code, message: "no".into() })
        }
        _ => Verdict::GoOn,
    });
    let (report, _) = bench.run(options()).await;
    assert_eq!((report.uploaded, report.failed), (1, 1));
    assert!(report.stopped.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_expired_at_the_target_is_begun_afresh() {
    let bench = Bench::new();
    bench.write("large", &content(4 * MIB, 1));
    bench.target.hook(|step| match step {
        Step::Before("complete_upload") => Verdict::Fail(TargetError::Full { what: "x".into() }),
        _ => Verdict::GoOn,
    });
    bench.run(options()).await;
    bench.target.unhook();
    bench.target.state.lock().unwrap().uploads.clear();
    assert_eq!(bench.run_well().await.uploaded, 1);
    assert!(bench.target.contents().contains(&content(4 * MIB, 1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_run_holds_is_left_to_it() {
    let bench = Bench::new();
    bench.write("mine", b"mine");
    bench.write("theirs", b"theirs");
    let theirs = bench.catalog.begin_run("theirs").unwrap();
    let metadata = fs::metadata(bench.path("theirs")).unwrap();
    let request = ClaimRequest {
        path: CatalogPath::parse("tree/theirs").unwrap(),
        local: bench.path("theirs"),
        identity: crate::local::identity(&metadata),
    };
    let now = Timestamp::UNIX_EPOCH;
    bench.catalog.claim(&theirs, bench.vault(), &[request], now).unwrap();
    let report = bench.run_well().await;
    assert_eq!((report.uploaded, report.held, report.left_out), (1, 1, 0));
    drop(theirs);
    assert_eq!(bench.run_well().await.uploaded, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_names_are_kept_and_pipes_are_named() {
    let bench = Bench::new();
    let odd = std::ffi::OsStr::from_bytes(b"\xff\xfe");
    fs::write(bench.folder.path().join("tree").join(odd), b"odd").unwrap();
    bench.write("-rf", b"dash");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        bench.path("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let report = bench.run_well().await;
    assert_eq!((report.uploaded, report.left_out, report.failed), (2, 1, 0));
    assert_eq!(bench.events.warnings(), ["left out: it is a named pipe, which cannot be archived"]);
    let path = CatalogPath::parse(&b"tree/\xff\xfe"[..]).unwrap();
    let entry = bench.catalog.newest(bench.vault(), &path).unwrap().unwrap();
    let Ok(Decoded::Note(note)) = decode(&entry.description.unwrap()) else { panic!("no note") };
    assert_eq!(note.path, path);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_too_long_for_a_description_are_told_by_the_manifest() {
    let bench = Bench::new();
    let long = format!("{}/{}/file", "é".repeat(100), "ü".repeat(100));
    bench.write(&long, b"deep");
    let report = bench.run_well().await;
    let entry = bench.newest(&format!("tree/{long}")).unwrap();
    let description = decode(entry.description.as_deref().unwrap()).unwrap();
    assert!(matches!(description, Decoded::ManifestItem { item: 0, .. }), "{description:?}");
    assert_eq!((entry.manifest.as_ref(), report.uploaded), (report.manifest.as_ref(), 1));
    let archives = &bench.target.state.lock().unwrap().archives;
    let manifest = &archives[report.manifest.unwrap().as_str()].content;
    let id = entry.archive.unwrap();
    assert!(String::from_utf8_lossy(manifest).contains(id.as_str()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_description_of_ones_own_is_sent_as_it_is() {
    let bench = Bench::new();
    bench.write("a", b"a");
    let text = Description::parse("holiday films").unwrap();
    let (report, _) =
        bench.run(UploadOptions { describe: Describe::Verbatim(text), ..options() }).await;
    assert_eq!(report.uploaded, 1);
    let entry = bench.newest("tree/a").unwrap();
    assert_eq!(entry.description.as_deref(), Some("holiday films"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_one_description_come_back_under_their_paths_on_a_new_machine() {
    let bench = Bench::new();
    for name in ["a", "b", "c", "d/e", "d/f"] {
        bench.write(name, name.as_bytes());
    }
    let describe = Describe::Verbatim(Description::parse("holiday films").unwrap());
    let (report, _) = bench.run(UploadOptions { describe, ..options() }).await;
    let manifest = report.manifest.unwrap();
    let archives = bench.target.state.lock().unwrap().archives.clone();
    assert_eq!(archives.len(), 6);

    let catalog = Catalog::open(&bench.folder.path().join("new.db")).unwrap();
    let vault = catalog.vault("memory", &VaultName::parse("v").unwrap()).unwrap();
    let mut reconciliation = Reconciliation::begin(&catalog, vault).unwrap();
    for (id, stored) in &archives {
        let item = InventoryItem {
            archive_id: ArchiveId::parse(id).unwrap(),
            description: stored.description.clone().unwrap_or_default(),
            created: Timestamp::from_unix_millis(1_000_000),
            size: stored.content.len() as u64,
            tree_hash: Some(TreeHash::of_leaf(&stored.content)),
        };
        reconciliation.item(item).unwrap();
    }
    let date = Timestamp::from_unix_millis(2_000_000);
    let report = reconciliation.finish(date, Duration::ZERO).unwrap();
    assert_eq!(report.manifests[0].0, manifest);
    let content = &archives[manifest.as_str()].content;
    apply_manifest(&catalog, vault, &manifest, content.as_slice()).unwrap();
    for name in ["a", "b", "c", "d/e", "d/f"] {
        let path = CatalogPath::parse(format!("tree/{name}")).unwrap();
        let (old, new) = (bench.newest(&path.to_lossy()).unwrap(), catalog.newest(vault, &path));
        let new = new.unwrap().unwrap();
        assert_eq!((&new.archive, new.mtime, new.mode), (&old.archive, old.mtime, old.mode));
        assert_eq!(new.description.as_deref(), Some("holiday films"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_cancelled_keeps_what_is_done_and_the_next_goes_on() {
    let bench = Bench::new();
    bench.write("a", b"a");
    bench.write("large", &content(4 * MIB, 1));
    let (canceller, cancel) = Canceller::new();
    let mut parts = 0;
    bench.target.hook(move |step| {
        if step == Step::After("upload_part") {
            parts += 1;
            if parts == 3 {
                canceller.cancel();
            }
        }
        Verdict::GoOn
    });
    let context = crate::transfer::UploadContext { cancel, ..bench.context() };
    let roots = bench.roots();
    let report =
        upload(context, options(), roots, Selection::default(), &mut |_| {}).await.unwrap();
    assert!(matches!(report.stopped, Some(UploadError::Cancelled)), "{report:?}");
    assert!(bench.newest("tree/large").is_none());
    bench.target.unhook();
    let report = bench.run_well().await;
    assert!(report.resumed_bytes > 0, "{report:?}");
    assert_eq!(bench.target.contents().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_vanishes_fails_by_name() {
    let bench = Bench::new();
    bench.write("a", b"a");
    bench.write("b", b"b");
    let vanishing: PathBuf = bench.path("b");
    bench.target.hook(move |step| {
        if step == Step::Before("upload_archive") && vanishing.exists() {
            fs::remove_file(&vanishing).unwrap();
        }
        Verdict::GoOn
    });
    let one_by_one = UploadOptions { concurrency: std::num::NonZeroUsize::MIN, ..options() };
    let (report, outcomes) = bench.run(one_by_one).await;
    assert_eq!((report.uploaded, report.failed), (1, 1), "{outcomes:?}");
    assert!(bench.events.warnings()[0].contains("tree/b: it cannot be read: "));
    assert_eq!(bench.catalog.pending_uploads(None).unwrap(), []);
}
