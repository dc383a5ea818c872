//! `store check|rebuild|stat`, and folders of other versions.

use std::{fs, io::Write as _, process::Stdio};

use crate::{
    sandbox::{OVERHEAD, Sandbox},
    trees::noise,
};

fn archived() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("tree/small", "small");
    sandbox.write("tree/large", noise(3 << 20, 1));
    sandbox.ok(["upload", "--create", "v", "tree"]);
    sandbox
}

#[test]
fn stat_tells_what_the_store_holds() {
    let sandbox = archived();
    let stat = sandbox.json(["store", "stat"]);
    assert_eq!(stat["vaults"], 1);
    let (archives, size) = sandbox.holds("v");
    assert_eq!(stat["archives"], archives);
    assert_eq!(stat["size"], size - archives * OVERHEAD);
    assert!(stat["file_bytes"].as_u64().unwrap() >= 3 << 20, "{stat}");
    let data = sandbox.store().to_str().unwrap().to_owned();
    assert_eq!(sandbox.json(["store", "stat", "--data", &data]), stat);
}

#[test]
fn a_rebuilt_ledger_knows_what_the_old_one_knew() {
    let sandbox = archived();
    sandbox.write("more", "more");
    sandbox.ok(["upload", "--create", "w", "more"]);
    sandbox.ok(["delete", "v", "tree/small", "--yes"]);
    sandbox.ok(["vault", "create", "x"]);
    sandbox.ok(["vault", "delete", "x", "--yes"]);
    let (vaults, listed) = (sandbox.json(["vault", "list"]), sandbox.list("v"));
    sandbox.lose_ledger();
    sandbox.ok(["store", "rebuild", "--yes"]);
    let rebuilt = sandbox.json(["vault", "list"]);
    for (before, after) in vaults.as_array().unwrap().iter().zip(rebuilt.as_array().unwrap()) {
        for field in ["vault", "arn", "created", "archives", "size"] {
            assert_eq!(before[field], after[field], "{field}");
        }
    }
    assert_eq!(rebuilt.as_array().unwrap().len(), 2);
    sandbox.lose_catalog();
    sandbox.ok(["inventory", "refresh", "v"]);
    let ids = |records: &[serde_json::Value]| {
        records.iter().map(|record| record["archive_id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&sandbox.list("v")), ids(&listed));
}

#[test]
fn a_rebuild_of_a_good_ledger_changes_nothing() {
    let sandbox = archived();
    let held = sandbox.holds("v");
    sandbox.ok(["store", "rebuild", "--yes"]);
    assert_eq!(sandbox.holds("v"), held);
    sandbox.check_store();
}

#[test]
fn a_damaged_ledger_is_not_believed() {
    let sandbox = archived();
    let ledger = sandbox.store().join("ledger.db");
    let length = ledger.metadata().unwrap().len();
    fs::write(&ledger, vec![0x5a; usize::try_from(length).unwrap()]).unwrap();
    let run = sandbox.run(["vault", "list"]);
    assert_eq!(run.code, Some(1), "{run}");
    sandbox.ok(["store", "rebuild", "--yes"]);
    sandbox.check_store();
    sandbox.ok(["retrieve", "v", "--to", "back"]);
    assert_eq!(sandbox.read("back/tree/large"), sandbox.read("tree/large"));
}

/// What is lost with a damaged record may be a vault's lock or the end of a key: its owner has to know, and to say so.
#[test]
fn a_rebuild_that_may_bring_older_settings_back_asks_for_an_option() {
    let sandbox = archived();
    sandbox.ok(["user", "create", "ann"]);
    sandbox.ok(["upload", "v", "tree", "--force"]);
    let pack = sandbox.store().join("packs/00000001.pack");
    let mut log = fs::read(&pack).unwrap();
    let name = b"\"name\":\"user/";
    let at = log.windows(name.len()).rposition(|window| window == name).unwrap();
    let value = b"\"value\":";
    let value_at = log[at..].windows(value.len()).position(|window| window == value).unwrap();
    log[at + value_at + value.len() + 2] ^= 1;
    fs::write(&pack, log).unwrap();

    let run = sandbox.fails(3, ["store", "rebuild", "--yes"]);
    run.says("taken over from the old ledger").says("/ann");
    sandbox.lose_ledger();
    let run = sandbox.fails(1, ["store", "rebuild", "--yes"]);
    run.says("bytes").says("/ann").says("no old ledger").says("--accept-older-settings");
    sandbox.fails(1, ["vault", "list"]).says("store rebuild");
    sandbox.fails(3, ["store", "rebuild", "--yes", "--accept-older-settings"]);
    let users = sandbox.ok(["user", "list"]);
    assert!(users.text().contains("ann"), "{users}");
}

/// Written with `head` and `sha256sum`, as the data directory's description says that the check can be made.
#[test]
fn a_store_of_a_newer_format_is_left_alone() {
    let sandbox = archived();
    let identity = sandbox.store().join("store.json");
    let text = fs::read_to_string(&identity).unwrap();
    assert!(text.contains("\"format\": 1"), "{text}");
    let text = text.replace("\"format\": 1", "\"format\": 2");
    let lines: Vec<_> = text.lines().collect();
    let covered: String = lines[..lines.len() - 2].iter().map(|line| format!("{line}\n")).collect();
    let check = sha256(&sandbox, covered.as_bytes());
    fs::write(&identity, format!("{covered}  \"check\": \"{check}\"\n}}\n")).unwrap();
    for arguments in [
        &["vault", "list"][..],
        &["upload", "v", "tree"],
        &["store", "check"],
        &["store", "rebuild", "--yes"],
    ] {
        sandbox.fails(1, arguments).says("format 2").says("newer icefield");
    }
}

fn sha256(sandbox: &Sandbox, bytes: &[u8]) -> String {
    let mut sum =
        sandbox.prepare("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    sum.stdin.take().unwrap().write_all(bytes).unwrap();
    let output = sum.wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
}

/// The promise of `docs/data-directory.md`: the bytes of a large archive are a file, and its hashes are text.
#[test]
fn a_large_archive_can_be_checked_with_split_and_sha256sum() {
    let sandbox = archived();
    let content = sandbox.read("tree/large");
    let payload = crate::trees::files(sandbox.store());
    let payload = payload
        .iter()
        .find(|path| path.metadata().unwrap().len() == 3 << 20)
        .expect("a file of its size");
    assert_eq!(fs::read(payload).unwrap(), content);
    let script =
        format!("split -b 1M --filter=sha256sum {0} | cmp - {0}.sha256", payload.display());
    let status = sandbox.prepare("sh").args(["-c", &script]).status().unwrap();
    assert!(status.success());
}
