//! One process owns a store at a time; the others wait, or are told whom they wait for.

use std::{
    io::Write as _,
    process::{ChildStdin, Stdio},
};

use crate::{process::Watched, sandbox::Sandbox};

/// An upload from standard input that holds the store until its input ends.
fn holder(sandbox: &Sandbox) -> (Watched, ChildStdin) {
    sandbox.ok(["vault", "create", "v"]);
    let mut command = sandbox.command(["upload", "v", "-", "--name", "stream"]);
    command.stdin(Stdio::piped());
    let mut holder = Watched::start(command);
    let mut input = holder.input();
    input.write_all(b"the beginning, ").unwrap();
    let lock = sandbox.store().join("lock");
    let process = format!("process {})", holder.id());
    let held =
        holder.until(|| std::fs::read_to_string(&lock).is_ok_and(|text| text.contains(&process)));
    assert!(held, "the upload ended before its input did: {}", holder.finish());
    (holder, input)
}

#[test]
fn a_store_in_use_is_refused_with_the_name_of_its_holder() {
    let sandbox = Sandbox::new();
    let (holder, input) = holder(&sandbox);
    let process = format!("process {}", holder.id());
    for arguments in [&["vault", "list"][..], &["store", "check"], &["store", "rebuild", "--yes"]] {
        sandbox
            .fails(1, [arguments, &["--lock-wait", "0s"]].concat())
            .says("in use")
            .says(&process);
    }
    drop(input);
    holder.finish().ended(0);
    sandbox.ok(["vault", "list", "--lock-wait", "0s"]);
    sandbox.ok(["retrieve", "v", "stream"]);
    assert_eq!(sandbox.read("stream"), b"the beginning, ");
}

#[test]
fn a_command_waits_until_the_store_is_free() {
    let sandbox = Sandbox::new();
    let (holder, mut input) = holder(&sandbox);
    let waits = sandbox.start(["vault", "describe", "v", "--output", "json"]);
    input.write_all(b"and the end").unwrap();
    drop(input);
    holder.finish().ended(0);
    let run = waits.finish().ended(0);
    assert_eq!(run.json()["archives"], 1);
    assert_eq!(
        sandbox.ok(["retrieve", "v", "stream", "--to", "-"]).text(),
        "the beginning, and the end"
    );
}

#[test]
fn what_the_catalog_knows_is_listed_while_the_store_is_in_use() {
    let sandbox = Sandbox::new();
    sandbox.write("file", "content");
    sandbox.ok(["upload", "--create", "v", "file"]);
    let (holder, input) = holder(&sandbox);
    assert_eq!(sandbox.listed_paths(["list", "v", "--lock-wait", "0s"]), ["file"]);
    drop(input);
    holder.finish().ended(0);
}

#[test]
fn the_lock_of_a_killed_process_is_no_obstacle() {
    let sandbox = Sandbox::new();
    let (holder, input) = holder(&sandbox);
    assert!(holder.kill());
    drop(input);
    sandbox.ok(["vault", "list", "--lock-wait", "0s"]);
    sandbox.check_store();
    assert_eq!(sandbox.holds("v"), (0, 0), "half a stream became an archive");
}

#[test]
fn a_store_whose_making_was_killed_is_made_by_the_next_run() {
    let sandbox = Sandbox::new();
    sandbox.write("file", "content");
    let mut making = sandbox.start(["upload", "--create", "v", "file"]);
    making.until(|| sandbox.store().exists());
    making.kill();
    sandbox.ok(["upload", "--create", "v", "file"]);
    assert_eq!(sandbox.holds("v").0, 1);
    sandbox.check_store();
}

#[test]
fn runs_that_make_the_same_store_at_once_do_not_disturb_each_other() {
    let sandbox = Sandbox::new();
    let runs: Vec<_> =
        ["a", "b", "c"].map(|vault| sandbox.start(["vault", "create", vault])).into();
    for run in runs {
        run.finish().ended(0);
    }
    assert_eq!(sandbox.json(["vault", "list"]).as_array().unwrap().len(), 3);
}
