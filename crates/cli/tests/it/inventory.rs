//! `inventory refresh|show|export|import`, in every form that this version reads.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt as _, symlink},
    thread,
};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::{differ::Snapshot, sandbox::Sandbox, trees};

fn archived() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("M33/Light/blue.fit", "blue");
    sandbox.write("M33/Light/red, \"1\".fit", "red");
    sandbox.write("M33/notes.txt", "notes");
    sandbox.ok(["upload", "--create", "v", "M33"]);
    sandbox
}

fn files(sandbox: &Sandbox) -> Vec<String> {
    let files = sandbox.list("v").into_iter().filter(|record| record["kind"] == "file").collect();
    crate::sandbox::paths(&serde_json::Value::Array(files))
}

fn id_and_hash(sandbox: &Sandbox, path: &str) -> (String, String) {
    let record = &sandbox.json(["list", "v", path])[0];
    let text = |field: &str| record[field].as_str().unwrap().to_owned();
    (text("archive_id"), text("tree_hash"))
}

#[test]
fn an_exported_inventory_is_imported_by_an_empty_catalog() {
    let sandbox = archived();
    for form in ["icefield", "json", "jsonl", "service-json", "service-csv"] {
        let before = files(&sandbox);
        sandbox.ok(["inventory", "export", "v", form, "--form", form]);
        sandbox.lose_catalog();
        sandbox.ok(["inventory", "import", "v", form]);
        assert_eq!(files(&sandbox), before, "{form}");
        let to = format!("from {form}");
        sandbox.ok(["retrieve", "v", "M33/Light", "--to", &to]);
        for path in ["M33/Light/blue.fit", "M33/Light/red, \"1\".fit"] {
            assert_eq!(sandbox.read(format!("{to}/{path}")), sandbox.read(path), "{form}");
        }
    }
    let header = "FilePath,ArchiveId,Checksum,Size,Modified,Mode,Uploaded,Vault";
    assert!(String::from_utf8(sandbox.read("icefield")).unwrap().starts_with(header));
}

#[test]
fn an_export_replaces_an_older_one_as_a_whole_and_goes_to_standard_output_too() {
    let sandbox = archived();
    sandbox.write("out.csv", "x".repeat(100_000));
    sandbox.ok(["inventory", "export", "v", "out.csv"]);
    assert_eq!(sandbox.ok(["inventory", "export", "v", "-"]).stdout, sandbox.read("out.csv"));
    // Nobody reads on.
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    for form in ["icefield", "json", "service-csv", "powershell"] {
        let mut command = sandbox.command(["inventory", "export", "v", "-", "--form", form]);
        let ended = command.stdout(writer.try_clone().unwrap()).status().unwrap();
        assert_eq!(ended.code(), Some(0), "{form}");
    }
}

#[test]
fn an_export_writes_through_links_and_pipes_and_with_dry_run_not_at_all() {
    let sandbox = archived();
    sandbox.write("kept.csv", "mine");
    sandbox.ok(["-n", "inventory", "export", "v", "kept.csv"]).says("would write");
    assert_eq!(sandbox.read("kept.csv"), b"mine");

    sandbox.ok(["inventory", "export", "v", "out.csv"]);
    let all = sandbox.read("out.csv");
    symlink("kept.csv", sandbox.path("link")).unwrap();
    sandbox.ok(["inventory", "export", "v", "link"]);
    assert!(sandbox.path("link").is_symlink());
    assert_eq!(sandbox.read("kept.csv"), all);

    let pipe = sandbox.path("pipe");
    let (kind, mode) = (FileType::Fifo, Mode::from_raw_mode(0o600));
    mknodat(CWD, &pipe, kind, mode, 0).unwrap();
    let reading = thread::spawn({
        let pipe = pipe.clone();
        move || fs::read(pipe).unwrap()
    });
    sandbox.ok(["inventory", "export", "v", "pipe"]);
    assert_eq!(reading.join().unwrap(), all);
    assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
}

/// Sizes that no archive can have, from a service that lies or a file that was tampered with.
#[test]
fn sizes_that_cannot_be_added_up_stop_no_command() {
    let sandbox = archived();
    let row = |id: char| {
        let id = id.to_string().repeat(138);
        let hash = "0".repeat(64);
        format!(
            r#"{{"ArchiveId":"{id}","ArchiveDescription":"{id}","CreationDate":"2025-01-01T00:00:00Z","Size":9223372036854775807,"SHA256TreeHash":"{hash}"}}"#
        )
    };
    let rows: Vec<String> = ('a'..'e').map(row).collect();
    let inventory = format!(
        r#"{{"VaultARN":"arn:aws:glacier:us-east-1:012345678901:vaults/v","InventoryDate":"2026-01-01T00:00:00Z","ArchiveList":[{}]}}"#,
        rows.join(",")
    );
    sandbox.write("huge.json", inventory);
    sandbox.ok(["inventory", "import", "v", "huge.json"]);
    for words in [
        &["-n", "retrieve", "v", "--to", "back"][..],
        &["-n", "delete", "v", "**"],
        &["-n", "migrate", "v", "w"],
        &["-n", "vault", "purge", "v"],
        &["list", "v"],
        &["duplicates", "v"],
    ] {
        sandbox.ok(words);
    }
}

#[test]
fn an_inventory_file_is_enough_to_retrieve_from() {
    let sandbox = archived();
    sandbox.ok(["inventory", "export", "v", "out.csv"]);
    sandbox.lose_catalog();
    sandbox.ok(["retrieve", "v", "--from", "out.csv", "--to", "back"]);
    for path in ["M33/Light/blue.fit", "M33/Light/red, \"1\".fit", "M33/notes.txt"] {
        assert_eq!(sandbox.read(format!("back/{path}")), sandbox.read(path));
    }
    sandbox.ok(["retrieve", "v", "*blue*", "--from", "out.csv", "--to", "blue"]);
    assert_eq!(trees::files(&sandbox.path("blue")).len(), 1);
}

/// Windows PowerShell 5.1 puts a `#TYPE` line first, quotes everything and ends lines as Windows does.
#[test]
fn powershells_csv_of_both_editions_is_read() {
    for (edition, first_line, begin) in [
        ("5.1", "#TYPE Amazon.PowerShell.Cmdlets.GLC.FileUploadResult\r\n", ""),
        ("7", "", ""),
        ("5.1 in UTF-8", "#TYPE Amazon.PowerShell.Cmdlets.GLC.FileUploadResult\r\n", "\u{feff}"),
    ] {
        let sandbox = archived();
        let (id, hash) = id_and_hash(&sandbox, "M33/Light/blue.fit");
        let path = "C:\\astro\\Subs\\Light\\M33_Light_Blue_180sec_frame1.fit";
        sandbox.write(
            "glc.csv",
            format!("{begin}{first_line}\"FilePath\",\"ArchiveId\",\"Checksum\"\r\n\"{path}\",\"{id}\",\"{hash}\"\r\n"),
        );
        sandbox.lose_catalog();
        sandbox.ok(["inventory", "import", "v", "glc.csv"]);
        let listed = files(&sandbox);
        assert_eq!(listed.len(), 1, "{edition}");
        assert!(listed[0].ends_with("M33_Light_Blue_180sec_frame1.fit"), "{listed:?}");
        sandbox.ok(["retrieve", "v", "--to", "back"]);
        let back = trees::files(&sandbox.path("back"));
        assert_eq!(back.len(), 1, "{back:?}");
        assert_eq!(fs::read(&back[0]).unwrap(), b"blue", "{edition}");
    }
}

#[test]
fn the_services_own_inventories_are_read() {
    let sandbox = archived();
    for (format, file) in [("json", "vault.json"), ("csv", "vault.csv")] {
        let job = sandbox.json(["job", "start", "v", "--inventory", "--format", format]);
        sandbox.ok(["job", "output", "v", job["job_id"].as_str().unwrap(), "--to", file]);
        let before = files(&sandbox);
        sandbox.lose_catalog();
        sandbox.ok(["inventory", "import", "v", file]);
        assert_eq!(files(&sandbox), before, "{format}");
        sandbox.ok(["retrieve", "v", "M33/notes.txt", "--to", format]);
        assert_eq!(sandbox.read(format!("{format}/M33/notes.txt")), b"notes");
    }
}

#[test]
fn what_is_no_inventory_is_refused_with_the_place() {
    let sandbox = archived();
    let listed = sandbox.list("v");
    for (name, content) in [
        ("picture.jpg", "\u{ff}\u{d8}not an inventory"),
        ("other.csv", "Name,Colour\nblue,red\n"),
        (
            "cut.json",
            "{\"VaultARN\":\"arn:aws:glacier:us-east-1:012345678901:vaults/v\",\"InventoryDate\":\"2026",
        ),
        ("empty.csv", ""),
        ("bad.csv", "FilePath,ArchiveId,Checksum\nfile,short,zz\n"),
    ] {
        sandbox.write(name, content);
        let run = sandbox.run(["inventory", "import", "v", name]);
        assert!(matches!(run.code, Some(1..=3)), "{name}: {run}");
        let told = if name == "bad.csv" { "line 2" } else { "inventory" };
        run.says(told);
        assert_eq!(sandbox.list("v"), listed, "{name}");
    }
    sandbox.fails(1, ["inventory", "import", "v", "missing.csv"]).says("missing.csv");
}

#[test]
fn a_refresh_never_drops_what_the_catalog_knows() {
    let sandbox = archived();
    let before = sandbox.list("v");
    sandbox.ok(["inventory", "refresh", "v"]);
    assert_eq!(sandbox.list("v"), before);
    sandbox.ok(["upload", "v", "M33"]);
    assert_eq!(sandbox.list("v"), before);
}

#[test]
fn the_vaults_own_inventory_is_shown() {
    let sandbox = archived();
    let (id, _) = id_and_hash(&sandbox, "M33/notes.txt");
    let run = sandbox.ok(["inventory", "show", "v", "--output", "json"]);
    assert!(run.text().contains(&id), "{run}");
    sandbox.ok(["inventory", "show", "v"]);
}

#[test]
fn an_archive_with_a_foreign_description_keeps_it() {
    let sandbox = Sandbox::new();
    sandbox.write("file", "content");
    sandbox.ok(["upload", "--create", "v", "file", "--description", "images-main-2010.tar.xz"]);
    sandbox.lose_catalog();
    sandbox.ok(["inventory", "refresh", "v"]);
    let listed = sandbox.list("v");
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["description"], "images-main-2010.tar.xz");
    sandbox.ok(["retrieve", "v", "--to", "back"]);
    let back = trees::files(&sandbox.path("back"));
    assert_eq!(fs::read(&back[0]).unwrap(), b"content");
}

#[test]
fn a_new_machine_needs_nothing_but_the_store() {
    let sandbox = archived();
    let before = Snapshot::of(&sandbox.path("M33"));
    let elsewhere = Sandbox::new().with_store(sandbox.store().to_owned());
    elsewhere.ok(["inventory", "refresh", "v"]);
    elsewhere.ok(["retrieve", "v"]);
    before.assert_same(&Snapshot::of(&elsewhere.path("M33")));
    // And does not send it all again.
    let held = elsewhere.holds("v");
    elsewhere.ok(["upload", "v", "M33"]);
    assert_eq!(elsewhere.holds("v"), held);
}

/// Inventories tell times in whole seconds, so the order in which they list archives has to decide.
#[test]
fn of_versions_made_within_a_second_the_last_is_the_newest_after_a_refresh() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("tree")).unwrap();
    sandbox.ok(["vault", "create", "v"]);
    for version in 1..=8 {
        sandbox.write("tree/file", format!("version {version}"));
        let folder = sandbox.path("tree");
        trees::set_mtime(&folder.join("file"), 1_700_000_000 + version, 0);
        trees::set_mtime(&folder, 1_700_000_000 + version, 0);
        sandbox.ok(["upload", "v", "tree"]);
    }
    sandbox.lose_catalog();
    sandbox.ok(["inventory", "refresh", "v"]);
    sandbox.ok(["retrieve", "v", "--to", "back"]);
    assert_eq!(String::from_utf8(sandbox.read("back/tree/file")).unwrap(), "version 8");
    Snapshot::of(&sandbox.path("tree")).assert_same(&Snapshot::of(&sandbox.path("back/tree")));
}
