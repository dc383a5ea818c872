//! A disk that is full in the middle of an upload: nothing is lost, and with room the same command finishes.

use std::{path::PathBuf, process::Command};

use crate::{
    differ::Snapshot,
    sandbox::{Sandbox, is_root, skip},
    trees::noise,
};

/// A small volume in memory; it is gone when this is dropped.
struct Volume {
    path: PathBuf,
}

impl Volume {
    /// Mounts it, where that is allowed.
    fn mount(path: PathBuf, size: &str) -> Option<Self> {
        if !is_root() {
            skip("only root can mount a small volume");
            return None;
        }
        std::fs::create_dir(&path).unwrap();
        let volume = Self { path };
        let size = format!("size={size}");
        if volume.run("mount", &["-t", "tmpfs", "-o", &size, "icefield-test"]) {
            Some(volume)
        } else {
            skip("this machine does not let us mount a small volume");
            None
        }
    }

    fn grow(&self, size: &str) {
        let size = format!("remount,size={size}");
        assert!(self.run("mount", &["-o", &size]));
    }

    fn run(&self, program: &str, arguments: &[&str]) -> bool {
        Command::new(program)
            .args(arguments)
            .arg(&self.path)
            .status()
            .is_ok_and(|status| status.success())
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        self.run("umount", &[]);
    }
}

fn fills_up(files: usize, size: usize, options: &[&str]) {
    let sandbox = Sandbox::new();
    let path = sandbox.root().join("volume");
    let sandbox = sandbox.with_store(path.join("store"));
    // After the sandbox, so that it is unmounted before the sandbox's folder is removed.
    let Some(volume) = Volume::mount(path, "12m") else { return };
    for number in 0..files {
        sandbox.write(&format!("tree/{number:04}"), noise(size, number as u64));
    }
    let before = Snapshot::of(&sandbox.path("tree"));
    sandbox.ok(["vault", "create", "v"]);
    let upload = [&["upload", "v", "tree"], options].concat();
    let run = sandbox.run(&upload);
    assert!(matches!(run.code, Some(1 | 3)), "{run}");
    run.says("no space left").says("same command again");

    // Where not even the ledger can be opened, the message says that it is for lack of room.
    let check = sandbox.run(["store", "check"]);
    if check.code != Some(0) {
        check.ended(1).says("no space left");
    }
    volume.grow("64m");
    sandbox.check_store();
    let (kept, _) = sandbox.holds("v");
    sandbox.ok(&upload);
    let (archives, _) = sandbox.holds("v");
    assert!(archives > kept);
    assert!(
        archives <= files as u64 + 2,
        "{archives} archives of {files} files and at most two manifests"
    );
    sandbox.check_store();
    sandbox.ok(["retrieve", "v", "--to", "back"]);
    before.assert_same(&Snapshot::of(&sandbox.path("back/tree")));
}

#[test]
fn a_disk_that_fills_up_with_files_keeps_what_was_stored() {
    fills_up(8, 3 << 20, &[]);
}

#[test]
fn a_disk_that_fills_up_with_parts_keeps_what_was_stored() {
    fills_up(1, 20 << 20, &["--part-size", "1MiB"]);
}

#[test]
fn a_disk_that_fills_up_with_small_files_keeps_what_was_stored() {
    fills_up(400, 50_000, &[]);
}

#[test]
fn a_destination_that_fills_up_keeps_the_files_that_fitted() {
    let sandbox = Sandbox::new();
    for number in 0..4 {
        sandbox.write(&format!("tree/{number}"), noise(3 << 20, number));
    }
    let before = Snapshot::of(&sandbox.path("tree"));
    sandbox.ok(["upload", "--create", "v", "tree"]);
    let Some(volume) = Volume::mount(sandbox.path("back"), "8m") else { return };
    let run = sandbox.run(["retrieve", "v", "--to", "back"]);
    assert!(matches!(run.code, Some(1 | 3)), "{run}");
    run.says("no space left");
    volume.grow("64m");
    sandbox.ok(["retrieve", "v", "--to", "back"]);
    before.assert_same(&Snapshot::of(&sandbox.path("back/tree")));
    assert_eq!(crate::trees::files(&sandbox.path("back")).len(), 4, "something was left behind");
}
