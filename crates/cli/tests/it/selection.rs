//! What of a tree is taken: patterns, ignore files, lists.

use std::{fs, path::PathBuf};

use serde_json::Value;

use crate::sandbox::{Sandbox, paths};

fn astro() -> Sandbox {
    let sandbox = Sandbox::new();
    for path in [
        "M33/Light/Blue_1.fit",
        "M33/Light/Blue_2.fit",
        "M33/Light/Red_1.fit",
        "M33/Dark/Dark_1.fit",
        "M33/notes.txt",
        "M33/cache/thumb.jpg",
    ] {
        sandbox.write(path, path);
    }
    sandbox
}

fn uploaded(options: &[&str]) -> Vec<String> {
    let sandbox = astro();
    sandbox.ok([&["upload", "--create", "v", "M33"], options].concat());
    files(&sandbox)
}

fn files(sandbox: &Sandbox) -> Vec<String> {
    let files = sandbox.list("v").into_iter().filter(|record| record["kind"] == "file").collect();
    paths(&Value::Array(files))
}

#[test]
fn include_takes_only_what_matches() {
    assert_eq!(
        uploaded(&["--include", "*Blue*"]),
        ["M33/Light/Blue_1.fit", "M33/Light/Blue_2.fit"]
    );
    assert_eq!(
        uploaded(&["--include", "M33/Dark", "--include", "*.txt"]),
        ["M33/Dark/Dark_1.fit", "M33/notes.txt"]
    );
    assert_eq!(uploaded(&["--include", "M33/**/*_2.fit"]), ["M33/Light/Blue_2.fit"]);
}

#[test]
fn exclude_leaves_out_what_matches_and_wins() {
    assert_eq!(uploaded(&["--exclude", "*.fit", "--exclude", "cache"]), ["M33/notes.txt"]);
    assert_eq!(uploaded(&["--include", "Light", "--exclude", "*_1.fit"]), ["M33/Light/Blue_2.fit"]);
}

#[test]
fn an_ignore_file_leaves_out_what_it_names() {
    let sandbox = astro();
    sandbox.write("M33/.icefieldignore", "cache/\n*_1.fit\n!Red_1.fit\n");
    sandbox.ok(["upload", "--create", "v", "M33"]);
    let files = files(&sandbox);
    assert!(
        !files.iter().any(|path| path.contains("cache") || path.contains("Blue_1")),
        "{files:?}"
    );
    for kept in ["M33/Light/Red_1.fit", "M33/Light/Blue_2.fit", "M33/notes.txt"] {
        assert!(files.iter().any(|path| path == kept), "{kept} is not in {files:?}");
    }
}

#[test]
fn no_other_ignore_file_and_no_hidden_file_is_left_out() {
    let sandbox = astro();
    sandbox.write("M33/.gitignore", "*\n");
    sandbox.write("M33/.ignore", "*\n");
    sandbox.write("M33/.hidden/file", "hidden");
    sandbox.ok(["upload", "--create", "v", "M33"]);
    assert_eq!(files(&sandbox).len(), 9);
}

#[test]
fn files_come_from_a_list() {
    let sandbox = astro();
    sandbox.write("list", "M33/notes.txt\nM33/Dark/Dark_1.fit\n");
    sandbox.ok(["upload", "--create", "v", "--files-from", "list"]);
    assert_eq!(files(&sandbox), ["M33/Dark/Dark_1.fit", "M33/notes.txt"]);
}

#[test]
fn a_list_with_nuls_has_names_with_newlines() {
    let sandbox = astro();
    sandbox.write("M33/odd\nname", "odd");
    sandbox.write("list", "M33/odd\nname\0M33/notes.txt\0");
    sandbox.ok(["upload", "--create", "v", "--files-from", "list"]);
    assert_eq!(files(&sandbox), ["M33/notes.txt", "M33/odd\nname"]);
}

#[test]
fn a_list_comes_from_standard_input() {
    let sandbox = astro();
    sandbox
        .run_with_input(b"M33/notes.txt\n", ["upload", "--create", "v", "--files-from", "-"])
        .ended(0);
    assert_eq!(files(&sandbox), ["M33/notes.txt"]);
}

#[test]
fn patterns_select_what_is_listed_and_retrieved() {
    let sandbox = astro();
    sandbox.ok(["upload", "--create", "v", "M33"]);
    for (pattern, found) in [
        ("*Blue*", &["M33/Light/Blue_1.fit", "M33/Light/Blue_2.fit"][..]),
        ("M33/*/*_1.fit", &["M33/Dark/Dark_1.fit", "M33/Light/Blue_1.fit", "M33/Light/Red_1.fit"]),
        ("M33/Dark/**", &["M33/Dark/Dark_1.fit"]),
        ("notes.txt", &["M33/notes.txt"]),
        ("**/Red_1.fit", &["M33/Light/Red_1.fit"]),
    ] {
        assert_eq!(sandbox.listed_paths(["list", "v", pattern]), found, "{pattern}");
        sandbox.ok(["retrieve", "v", pattern, "--to", "back"]);
        let back: Vec<PathBuf> = crate::trees::files(&sandbox.path("back"));
        assert_eq!(
            back,
            found.iter().map(|path| sandbox.path("back").join(path)).collect::<Vec<_>>(),
            "{pattern}"
        );
        fs::remove_dir_all(sandbox.path("back")).unwrap();
    }
    assert_eq!(sandbox.listed_paths(["list", "v", "*Red*", "*.txt"]).len(), 2);
}
