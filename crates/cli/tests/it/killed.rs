//! `kill -9` at any moment: the same command again finishes, and what was finished is not done twice.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use crate::{
    differ::same_bytes,
    sandbox::{OVERHEAD, Sandbox},
    trees::{self, MIB, Random, big_file, bytes_on_disk},
};

/// How hard it is tried.
struct Effort {
    size: u64,
    kills: u64,
    options: &'static [&'static str],
}

/// Small parts, so that a short run finishes some between two kills.
const SHORT: Effort =
    Effort { size: 256 * MIB, kills: 6, options: &["--part-size", "4MiB", "--concurrency", "2"] };

/// Part size and number of workers as they come.
const LONG: Effort = Effort { size: 3 << 30, kills: 20, options: &[] };

#[test]
fn an_upload_killed_at_random_moments_ends_in_one_archive() {
    kill_uploads(&SHORT);
}

#[test]
#[ignore = "long"]
fn an_upload_of_3_gib_killed_at_20_random_moments_ends_in_one_archive() {
    kill_uploads(&LONG);
}

#[test]
fn a_retrieval_killed_at_random_moments_ends_with_the_file() {
    kill_retrievals(&SHORT);
}

#[test]
#[ignore = "long"]
fn a_retrieval_of_3_gib_killed_at_20_random_moments_ends_with_the_file() {
    kill_retrievals(&LONG);
}

#[test]
fn an_upload_of_many_files_killed_at_random_moments_has_each_file_once() {
    const FILES: u64 = 1500;
    let sandbox = Sandbox::new();
    let mut random = Random::announced();
    trees::many(&sandbox.path("tree"), FILES);
    sandbox.ok(["vault", "create", "v"]);
    let all = bytes_on_disk(&sandbox.path("tree"));
    for kill in 0..6 {
        let seen = random.between(all * kill / 6, all * (kill + 1) / 6);
        let mut run = sandbox.start(["upload", "v", "tree"]);
        run.until(|| bytes_on_disk(sandbox.store()) >= seen);
        run.kill();
    }
    sandbox.ok(["upload", "v", "tree"]);
    let manifests = 1;
    let (archives, _) = sandbox.holds("v");
    assert!(
        (FILES..=FILES + manifests).contains(&archives),
        "{archives} archives of {FILES} files"
    );
    sandbox.check_store();
    sandbox.ok(["retrieve", "v", "--to", "back"]);
    crate::differ::Snapshot::of(&sandbox.path("tree"))
        .assert_same(&crate::differ::Snapshot::of(&sandbox.path("back/tree")));
}

fn kill_uploads(effort: &Effort) {
    let sandbox = Sandbox::new();
    let mut random = Random::announced();
    big_file(&sandbox.path("big"), effort.size, 1);
    sandbox.ok(["vault", "create", "v"]);
    let upload = [&["upload", "v", "big", "--output", "json"], effort.options].concat();

    let mut finished = (0, BTreeMap::new());
    for kill in 0..effort.kills {
        let seen = moment(&mut random, effort, kill);
        let mut run = sandbox.start(&upload);
        run.until(|| bytes_on_disk(sandbox.store()) >= seen);
        assert!(run.kill(), "the upload ended before {seen} bytes were seen in the store");

        let parts = parts(&sandbox);
        let files = payload_files(sandbox.store());
        assert!(parts >= finished.0, "{} parts were finished, {parts} are left", finished.0);
        // Whatever belonged to a finished part is still the same file, untouched.
        let kept = finished.1.iter().filter(|(path, file)| files.get(*path) == Some(file)).count();
        assert!(
            kept >= finished.0,
            "{kept} of the files of {} finished parts were kept",
            finished.0
        );
        finished = (parts, files);
    }
    let (run, traffic) = sandbox.start(&upload).finish_with_traffic();
    let run = run.ended(0);
    assert_eq!(run.json().as_array().unwrap().len(), 1, "{run}");
    let (parts, kept) = finished;
    assert!(parts > 0, "no part was finished before the last kill, so nothing was shown");
    let part_size = run.json()[0]["parts"]
        .as_u64()
        .map(|count| effort.size.div_ceil(count))
        .expect("a number of parts");
    let read_at_most = effort.size - part_size * (parts as u64 - 1) + 64 * MIB;
    assert!(
        traffic.read < read_at_most,
        "{parts} parts were finished, and {} bytes were read",
        traffic.read
    );
    let files = payload_files(sandbox.store());
    let kept = kept.iter().filter(|(path, file)| files.get(*path) == Some(file)).count();
    assert!(kept >= parts, "{kept} of the files of {parts} finished parts were kept");

    assert_eq!(sandbox.holds("v"), (1, effort.size + OVERHEAD));
    assert_eq!(sandbox.json(["uploads", "list", "v"]).as_array().unwrap().len(), 0);
    sandbox.check_store();
    sandbox.ok(["retrieve", "v", "--to", "back"]);
    assert!(same_bytes(&sandbox.path("big"), &sandbox.path("back/big")));
}

fn kill_retrievals(effort: &Effort) {
    let sandbox = Sandbox::new();
    let mut random = Random::announced();
    big_file(&sandbox.path("big"), effort.size, 2);
    sandbox.ok([&["upload", "--create", "v", "big"], effort.options].concat());
    let back = sandbox.path("back");
    for kill in 0..effort.kills {
        let seen = moment(&mut random, effort, kill);
        let mut run = sandbox.start(["retrieve", "v", "--to", "back"]);
        run.until(|| bytes_on_disk(&back) >= seen);
        assert!(run.kill(), "the retrieval ended before {seen} bytes were seen at the destination");
        assert!(!back.join("big").exists(), "an unfinished file has its final name");
    }
    let (run, traffic) = sandbox.start(["retrieve", "v", "--to", "back"]).finish_with_traffic();
    run.ended(0);
    assert!(
        traffic.written < effort.size / 2,
        "almost all was there, and {} of {} bytes were written again",
        traffic.written,
        effort.size
    );
    assert!(same_bytes(&sandbox.path("big"), &back.join("big")));
    assert_eq!(trees::files(&back), [back.join("big")], "something was left behind");
    let jobs = sandbox.json(["job", "list", "v"]);
    let retrievals =
        jobs.as_array().unwrap().iter().filter(|job| job["action"] == "archive-retrieval");
    assert_eq!(retrievals.count(), 1, "{jobs}");
    sandbox.check_store();
}

/// Returns how many bytes there are when this kill comes: anywhere in its share of the way, so that each goes on where
/// the one before ended; the last one when almost all is there.
fn moment(random: &mut Random, effort: &Effort, kill: u64) -> u64 {
    let share = effort.size * 9 / 10 / effort.kills;
    random.between(share * kill, share * (kill + 1))
}

/// Returns how many parts of the one incomplete upload are finished: stored, and known to be.
fn parts(sandbox: &Sandbox) -> usize {
    let uploads = sandbox.json(["uploads", "list", "v"]);
    match uploads.as_array().unwrap().as_slice() {
        [] => 0,
        [upload] => {
            let id = upload["upload_id"].as_str().unwrap();
            let stored = sandbox.json(["uploads", "parts", "v", id]).as_array().unwrap().len();
            stored.min(journalled(sandbox))
        }
        more => panic!("{} uploads of one file", more.len()),
    }
}

/// Returns how many parts the journal knows: `status` says `12 of 64 parts`.
fn journalled(sandbox: &Sandbox) -> usize {
    let status = sandbox.json(["status"]);
    let done = status[0]["done"].as_str().unwrap_or_else(|| panic!("nothing is pending: {status}"));
    done.split(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// Returns the files of at least a MiB in the store, with what changes when they are written again.
fn payload_files(store: &Path) -> BTreeMap<PathBuf, (u64, i64, i64, u64)> {
    let look = |path: PathBuf| {
        let found = fs::metadata(&path).ok()?;
        let file = (found.ino(), found.mtime(), found.mtime_nsec(), found.len());
        (found.len() >= MIB).then_some((path, file))
    };
    trees::files(store).into_iter().filter_map(look).collect()
}
