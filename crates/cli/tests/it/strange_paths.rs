//! Nothing that comes from an inventory, a vault or a link at the destination leads out of the destination.

use std::{fs, os::unix::fs::symlink, path::Path};

use crate::{sandbox::Sandbox, trees};

/// A vault with one archive, and its ID.
fn archived() -> (Sandbox, String) {
    let sandbox = Sandbox::new();
    sandbox.write("file", "content");
    sandbox.write("outside/precious", "do not touch");
    sandbox.ok(["upload", "--create", "v", "file"]);
    let id = sandbox.json(["list", "v", "file"])[0]["archive_id"].as_str().unwrap().to_owned();
    (sandbox, id)
}

/// Imports `inventory`, retrieves everything below `dest/deep`, and checks that nothing was written anywhere else.
fn stays_inside(sandbox: &Sandbox, inventory: impl AsRef<[u8]>) {
    sandbox.write("inventory.csv", inventory);
    fs::create_dir_all(sandbox.path("dest")).unwrap();
    let elsewhere = || -> Vec<_> {
        let mut files = trees::files(&sandbox.path(""));
        files.retain(|path| !path.starts_with(sandbox.path("dest/deep")));
        files
    };
    let before = elsewhere();
    let run = sandbox.run(["inventory", "import", "v", "inventory.csv"]);
    assert!(matches!(run.code, Some(0 | 1 | 3)), "{run}");
    for arguments in [
        &["retrieve", "v", "--to", "dest/deep"][..],
        &["retrieve", "v", "--from", "inventory.csv", "--to", "dest/deep"],
    ] {
        let run = sandbox.run(arguments);
        assert!(matches!(run.code, Some(0 | 1 | 3)), "{run}");
    }
    assert_eq!(elsewhere(), before);
    assert_eq!(sandbox.read("outside/precious"), b"do not touch");
    for evil in [
        Path::new("/evil"),
        Path::new("/tmp/evil"),
        Path::new("/etc/evil"),
        &sandbox.root().join("evil"),
    ] {
        assert!(!evil.exists(), "{} was written", evil.display());
    }
}

#[test]
fn a_path_in_an_imported_inventory_never_leaves_the_destination() {
    for path in [
        "../evil",
        "../../evil",
        "a/../../evil",
        "/tmp/evil",
        "/etc/evil",
        "C:\\evil",
        "C:/evil",
        "\\\\host\\share\\evil",
        "..\\..\\evil",
        "C:\\..\\..\\evil",
        "a/..",
        "..",
        ".",
        "",
        "a//b",
        "~/evil",
        "a\0b",
    ] {
        let (sandbox, id) = archived();
        stays_inside(&sandbox, format!("FilePath,ArchiveId,Checksum\n\"{path}\",{id},\n"));
        stays_inside(&sandbox, format!("FilePath,ArchiveId,Checksum,Size\n\"{path}\",{id},,7\n"));
    }
}

#[test]
fn a_path_that_would_leave_is_refused_by_name_and_the_others_are_taken() {
    for (path, shown) in [
        ("../evil", "../evil"),
        ("/etc/evil", "/etc/evil"),
        ("C:\\evil", "evil"),
        ("C:/evil", "C:/evil"),
        ("a/../../evil", "a/../../evil"),
        ("a\0b", "NUL"),
    ] {
        let (sandbox, id) = archived();
        sandbox.write(
            "in.csv",
            format!("FilePath,ArchiveId,Checksum,Size\n\"{path}\",{id},,7\nfine,{id},,7\n"),
        );
        sandbox.lose_catalog();
        sandbox.fails(3, ["inventory", "import", "v", "in.csv"]).says(shown);
        assert_eq!(sandbox.listed_paths(["list", "v"]), ["fine"]);
        sandbox.fails(3, ["retrieve", "v", "--from", "in.csv", "--to", "back"]).says(shown);
        assert_eq!(sandbox.read("back/fine"), b"content");
    }
}

#[test]
fn a_path_in_an_archives_description_never_leaves_the_destination() {
    for path in ["../evil", "/tmp/evil", "C:\\\\evil", "a/../../evil", "a\\u0000b"] {
        let sandbox = Sandbox::new();
        sandbox.write("file", "content");
        let description = format!("{{\"icefield\":1,\"path\":\"{path}\"}}");
        sandbox.ok(["upload", "--create", "v", "file", "--description", &description]);
        sandbox.lose_catalog();
        let run = sandbox.run(["inventory", "refresh", "v"]);
        assert!(matches!(run.code, Some(0 | 3)), "{run}");
        let run = sandbox.run(["retrieve", "v", "--to", "dest/deep"]);
        assert!(matches!(run.code, Some(0 | 3)), "{run}");
        assert!(!sandbox.path("dest/evil").exists());
        assert!(!sandbox.path("evil").exists());
        assert!(!Path::new("/tmp/evil").exists());
        // The bytes can still be had, by the archive's ID.
        let id = sandbox.list("v")[0]["archive_id"].as_str().unwrap().to_owned();
        let run = sandbox.ok(["retrieve", "v", "--archive-id", &id, "--to", "-"]);
        assert_eq!(run.stdout, b"content");
    }
}

#[test]
fn a_link_at_the_destination_does_not_lead_a_file_out_of_it() {
    let sandbox = Sandbox::new();
    sandbox.write("tree/folder/file", "archived");
    sandbox.write("outside/file", "precious");
    sandbox.ok(["upload", "--create", "v", "tree"]);
    fs::create_dir_all(sandbox.path("back/tree")).unwrap();
    symlink(sandbox.path("outside"), sandbox.path("back/tree/folder")).unwrap();
    sandbox.fails(3, ["retrieve", "v", "--to", "back", "--overwrite"]).says("folder");
    assert_eq!(sandbox.read("outside/file"), b"precious");
    assert_eq!(trees::files(&sandbox.path("outside")).len(), 1);
}

#[test]
fn a_link_in_an_archive_does_not_lead_a_file_out_of_the_destination() {
    // A vault in which `a` was a link first and a folder later: both are versions, and the newest of each path counts.
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("tree")).unwrap();
    fs::create_dir(sandbox.path("outside")).unwrap();
    symlink(sandbox.path("outside"), sandbox.path("tree/a")).unwrap();
    sandbox.ok(["upload", "--create", "v", "tree"]);
    fs::remove_file(sandbox.path("tree/a")).unwrap();
    sandbox.write("tree/a/file", "below");
    sandbox.ok(["upload", "v", "tree"]);
    let run = sandbox.run(["retrieve", "v", "--to", "back"]);
    assert!(matches!(run.code, Some(0 | 3)), "{run}");
    assert_eq!(trees::files(&sandbox.path("outside")), [] as [std::path::PathBuf; 0]);
}
