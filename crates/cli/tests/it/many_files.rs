//! Many small files.

use std::{fs, time::Instant};

use crate::{differ::Snapshot, sandbox::Sandbox, trees};

#[test]
fn two_thousand_small_files_go_in_and_come_back() {
    let sandbox = Sandbox::new();
    trees::many(&sandbox.path("tree"), 2000);
    let before = Snapshot::of(&sandbox.path("tree"));
    let run = sandbox.ok(["upload", "--create", "v", "tree", "--output", "jsonl"]);
    let archives = run.json_lines().iter().filter(|record| !record["archive_id"].is_null()).count();
    assert_eq!(archives, 2000);
    sandbox.check_store();
    sandbox.ok(["retrieve", "v", "--to", "back"]);
    before.assert_same(&Snapshot::of(&sandbox.path("back/tree")));
}

/// Measures rather than judges by the clock alone: on a busy machine the load that is printed explains a low rate.
#[test]
#[ignore = "long"]
#[expect(clippy::disallowed_methods, reason = "measures how long a run takes")]
fn twenty_thousand_small_files_go_in_at_more_than_1000_a_second() {
    const FILES: u64 = 20_000;
    let sandbox = Sandbox::new();
    trees::many(&sandbox.path("tree"), FILES);
    let load = fs::read_to_string("/proc/loadavg").unwrap();
    let began = Instant::now();
    sandbox.ok(["upload", "--create", "v", "tree", "--quiet"]);
    let seconds = began.elapsed().as_secs_f64();
    eprintln!("{FILES} files in {seconds:.1} s, load before: {}", load.trim());
    assert!(seconds < 20.0, "{FILES} files took {seconds:.1} s, load before: {}", load.trim());
    sandbox.check_store();
}
