//! Vaults that other programs have filled, and their files.

use rusqlite::Connection;
use serde_json::Value;

use crate::sandbox::Sandbox;

/// What other programs write for `M33/Light/frame é1.fit` of 2019-01-03T12:45:10Z.
const DESCRIPTIONS: [&str; 4] = [
    "mt2 eyJmaWxlbmFtZSI6Ik0zMy9MaWdodC9mcmFtZSDDqTEuZml0IiwibXRpbWUiOiIyMDE5MDEwM1QxMjQ1MTBaIn0",
    "mt1 eyJmaWxlbmFtZSI6Ik0zMy9MaWdodC9mcmFtZSDDg8KpMS5maXQiLCJtdGltZSI6IjIwMTkwMTAzVDEyNDUxMFoifQ",
    "<m><v>4</v><p>TTMzL0xpZ2h0L2ZyYW1lIMOpMS5maXQ=</p><lm>20190103T124510Z</lm><ce>0:1:4340ebcf79712dc5e3ef7d50bab98ba5:7</ce></m>",
    r#"{"Path":"M33/Light/frame +AOk-1.fit","UTCDateModified":"20190103T124510Z","Flags":0}"#,
];

const HASH: &str = "36e6802a75fd6339e72a3ac8a05fcb5160194f55221ec5a761648e97d3835b22";

/// A vault with one archive of each description, as versions of one path.
fn filled() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.ok(["vault", "create", "v"]);
    let base = inventory(&DESCRIPTIONS.map(|description| (description, "2020-01-01T00:00:00Z")));
    sandbox.write("vault.json", base);
    sandbox
}

/// The inventory of a vault whose archives were made a day after one another.
fn inventory(archives: &[(&str, &str)]) -> String {
    let items: Vec<Value> = (0..)
        .zip(archives)
        .map(|(number, (description, created))| {
            serde_json::json!({
                "ArchiveId": format!("archive{number}"),
                "ArchiveDescription": description,
                "CreationDate": created.replace("01T", &format!("{:02}T", number + 1)),
                "Size": 7,
                "SHA256TreeHash": HASH,
            })
        })
        .collect();
    serde_json::json!({
        "VaultARN": "arn:aws:glacier:us-east-1:012345678901:vaults/v",
        "InventoryDate": "2021-01-01T00:00:00Z",
        "ArchiveList": items,
    })
    .to_string()
}

fn ids(records: &Value) -> Vec<&str> {
    records
        .as_array()
        .unwrap()
        .iter()
        .map(|record| record["archive_id"].as_str().unwrap())
        .collect()
}

#[test]
fn what_other_programs_describe_is_listed_by_pattern_version_and_time() {
    let sandbox = filled();
    sandbox.ok(["inventory", "import", "v", "vault.json"]);
    let listed = sandbox.list("v");
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(listed[0]["path"], "M33/Light/frame \u{e9}1.fit");
    assert_eq!(listed[0]["modified"], "2019-01-03T12:45:10Z");
    for pattern in ["frame*", "M33/Light", "M33/**/*.fit", "Light"] {
        let records = sandbox.json(["list", "v", pattern, "--versions"]);
        assert_eq!(ids(&records), ["archive0", "archive1", "archive2", "archive3"], "{pattern}");
    }
    sandbox.fails(1, ["list", "v", "Dark"]).says("nothing in the vault");
    let then = |time: &str| sandbox.json(["list", "v", "--as-of", time]);
    assert_eq!(ids(&then("2020-01-02")), ["archive1"]);
    assert_eq!(ids(&then("2020-01-03T12:00:00Z")), ["archive2"]);
    assert_eq!(then("2019-12-31"), Value::Array(Vec::new()));
    let records = sandbox.json(["list", "v", "frame*", "--as-of", "2020-01-02", "--versions"]);
    assert_eq!(ids(&records), ["archive0", "archive1"]);
}

#[test]
fn a_refresh_names_archives_by_what_other_programs_describe() {
    let sandbox = Sandbox::new();
    for (number, description) in DESCRIPTIONS.iter().enumerate() {
        let name = format!("as-{number}");
        sandbox.write(&name, name.clone());
        sandbox.ok(["upload", "--create", "v", &name, "--description", description]);
    }
    // Without the manifests, which tell the paths that icefield knew.
    let kept = sandbox.json(["list", "v"]);
    let known = ids(&kept);
    let listing = sandbox.json(["job", "start", "v", "--inventory"]);
    sandbox.ok(["job", "output", "v", listing["job_id"].as_str().unwrap(), "--to", "all.json"]);
    let all: Value = serde_json::from_slice(&sandbox.read("all.json")).unwrap();
    for archive in all["ArchiveList"].as_array().unwrap() {
        let id = archive["ArchiveId"].as_str().unwrap();
        if !known.contains(&id) {
            sandbox.ok(["delete", "v", "--archive-id", id, "--yes"]);
        }
    }
    sandbox.lose_catalog();
    let run = sandbox.ok(["inventory", "refresh", "v", "--output", "json"]);
    let run = run.says("not unpacked by icefield: 1 archive");
    assert_eq!((&run.json()["foreign"], &run.json()["packed"]), (&4.into(), &1.into()));
    let listed = sandbox.listed_paths(["list", "v", "--versions"]);
    assert_eq!(listed, ["M33/Light/frame \u{e9}1.fit"; 4]);
    sandbox.ok(["retrieve", "v", "M33", "--to", "back"]);
    assert_eq!(sandbox.read("back/M33/Light/frame \u{e9}1.fit"), b"as-3");
}

#[test]
fn what_is_described_for_other_programs_comes_back_whole() {
    for (form, begin) in [("mt2", "mt2 eyJ"), ("plain", "tree/")] {
        let sandbox = Sandbox::new();
        sandbox.write("tree/file", "content");
        sandbox.write("tree/\u{e9}", "accent");
        sandbox.write("tree/empty", "");
        std::os::unix::fs::symlink("file", sandbox.path("tree/link")).unwrap();
        sandbox.ok(["upload", "--create", "v", "tree", "--describe", form]);
        let described = sandbox.json(["list", "v", "tree/file"])[0]["description"].clone();
        assert!(described.as_str().unwrap().starts_with(begin), "{described}");
        let before = crate::differ::Snapshot::of(&sandbox.path("tree"));
        let listed = sandbox.list("v");
        sandbox.ok(["upload", "v", "tree", "--describe", form]).says("no bytes were moved");
        sandbox.lose_catalog();
        sandbox.ok(["inventory", "refresh", "v"]);
        assert_eq!(sandbox.list("v").len(), listed.len(), "{form}");
        sandbox.ok(["retrieve", "v", "--to", "back"]);
        before.assert_same(&crate::differ::Snapshot::of(&sandbox.path("back/tree")));
    }
    let sandbox = Sandbox::new();
    sandbox.fails(2, ["upload", "v", "x", "--describe", "mt2", "--description", "y"]);
}

#[test]
fn mtglaciers_journal_goes_in_and_out() {
    let sandbox = Sandbox::new();
    sandbox.write("M33/a.fit", "a");
    sandbox.write("M33/b.fit", "b");
    sandbox.ok(["upload", "--create", "v", "M33"]);
    sandbox.ok(["inventory", "export", "v", "journal", "--form", "mtglacier-journal"]);
    let journal = String::from_utf8(sandbox.read("journal")).unwrap();
    assert_eq!(journal.lines().count(), 2, "{journal}");
    let gone =
        sandbox.json(["list", "v", "M33/b.fit"])[0]["archive_id"].as_str().unwrap().to_owned();
    sandbox
        .write("journal", format!("{journal}B\t1\tDELETED\t{gone}\tM33/b.fit\nB\t1\tCREATED\tcut"));
    sandbox.lose_catalog();
    let run = sandbox.fails(3, ["inventory", "import", "v", "journal", "--output", "json"]);
    let record = run.says("line 4").json();
    assert_eq!((&record["form"], &record["gone"]), (&"mtglacier-journal".into(), &1.into()));
    assert_eq!(sandbox.listed_paths(["list", "v"]), ["M33/a.fit"]);
    sandbox.fails(3, ["retrieve", "v", "--from", "journal", "--to", "back"]);
    assert_eq!(sandbox.read("back/M33/a.fit"), b"a");
    assert!(!sandbox.path("back/M33/b.fit").exists());
}

#[test]
fn databases_are_read_from_their_file_and_not_from_a_stream() {
    let sandbox = Sandbox::new();
    sandbox.write("M33/a.fit", "a");
    sandbox.ok(["upload", "--create", "v", "M33/a.fit"]);
    let id = sandbox.json(["list", "v"])[0]["archive_id"].as_str().unwrap().to_owned();
    let archives = "CREATE TABLE archive (id VARCHAR PRIMARY KEY, name VARCHAR, vault VARCHAR, key VARCHAR, deleted_here INTEGER);";
    Connection::open(sandbox.path("cache"))
        .unwrap()
        .execute_batch(&format!(
            "{archives} INSERT INTO archive VALUES ('{id}', 'a.fit', 'v', 'K', NULL), ('x', 'y', 'w', 'K', NULL);"
        ))
        .unwrap();
    Connection::open(sandbox.path("mapping"))
        .unwrap()
        .execute_batch(&format!(
            "CREATE TABLE file_info_tb (key INTEGER PRIMARY KEY, shareName TEXT, basePath TEXT, archiveID TEXT, fileSize INTEGER);
             INSERT INTO file_info_tb VALUES (1, 'photo', 'M33/a.fit', '{id}', 1);"
        ))
        .unwrap();
    for (file, form, path) in
        [("cache", "glacier-cli", "a.fit"), ("mapping", "synology", "photo/M33/a.fit")]
    {
        sandbox.lose_catalog();
        let run = sandbox.ok(["inventory", "import", "v", file, "--output", "json"]);
        assert_eq!(run.json()["form"], form);
        assert_eq!(sandbox.listed_paths(["list", "v"]), [path]);
        sandbox.ok(["retrieve", "v", "--from", file, "--to", form]);
        assert_eq!(sandbox.read(format!("{form}/{path}")), b"a");
    }
    sandbox.ok(["inventory", "import", "v", "cache"]).says("1 row of other vaults");
    let run = sandbox.run_with_input(&sandbox.read("cache"), ["inventory", "import", "v", "-"]);
    run.ended(1).says("name its file");
}
