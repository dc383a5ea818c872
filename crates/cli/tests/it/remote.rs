//! A server on this machine as a target: the same commands, with the same results.

use std::fs;

use rustix::process::Signal;
use serde_json::json;

use crate::{
    differ::Snapshot,
    process::Watched,
    sandbox::{Run, Sandbox, paths},
};

/// A server that keeps everything in memory, and the target `lab` that names it.
#[derive(Debug)]
pub(crate) struct Remote {
    server: Watched,
    pub(crate) endpoint: String,
}

impl Remote {
    /// Starts it with these arguments beside `--dev`.
    pub(crate) fn start(sandbox: &Sandbox, arguments: &[&str]) -> Self {
        let fixed = ["serve", "--dev", "--listen", "127.0.0.1:0"];
        let mut server = sandbox.start(fixed.iter().chain(arguments));
        if !server.has_written("region: ") {
            panic!("the server has ended: {}", server.finish());
        }
        let written = server.written();
        let endpoint = written.lines().find_map(|line| line.strip_prefix("endpoint: "));
        let endpoint = endpoint.expect("an endpoint").to_owned();
        Self { server, endpoint }
    }

    /// Starts it, and gives the sandbox its key and its name.
    pub(crate) fn named(sandbox: &Sandbox) -> Self {
        let remote = Self::start(sandbox, &[]);
        key(sandbox, "ICEFIELDDEVELOPMENT0", "development/only/secret/of/icefield/serve");
        let add = ["target", "add", "lab", "--type", "vault-api", "--region", "us-east-1"];
        sandbox.ok(add.iter().chain(&["--endpoint-url", &remote.endpoint]));
        remote
    }

    pub(crate) fn end(self) -> Run {
        self.server.signal(Signal::TERM);
        self.server.finish().ended(0)
    }
}

/// Writes a key where every AWS tool looks for it.
fn key(sandbox: &Sandbox, id: &str, secret: &str) {
    let folder = sandbox.root().join("home/.aws");
    fs::create_dir_all(&folder).unwrap();
    let text = format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n");
    fs::write(folder.join("credentials"), text).unwrap();
}

fn assert_same(sandbox: &Sandbox, one: &str, other: &str) {
    Snapshot::of(&sandbox.path(one)).assert_same(&Snapshot::of(&sandbox.path(other)));
}

fn mixed_tree(sandbox: &Sandbox) {
    for number in 0..30 {
        sandbox.write(&format!("tree/small/{number}.txt"), format!("number {number}"));
    }
    sandbox.write("tree/large.bin", vec![7; 5_300_000]);
    sandbox.write("tree/empty", "");
    std::os::unix::fs::symlink("large.bin", sandbox.path("tree/link")).unwrap();
}

#[test]
fn a_tree_goes_to_a_server_and_comes_back() {
    let sandbox = Sandbox::new();
    let remote = Remote::named(&sandbox);
    mixed_tree(&sandbox);
    let words = ["upload", "lab:photos", "tree", "--create", "--part-size", "1MiB"];
    let uploaded = sandbox.json(words);
    let records = uploaded.as_array().unwrap();
    assert_eq!(records.len(), 31);
    let large = records.iter().find(|record| record["path"] == "tree/large.bin").unwrap();
    assert_eq!((&large["parts"], &large["size"]), (&json!(6), &json!(5_300_000)));
    sandbox.ok(words).says("nothing new");
    assert_eq!(sandbox.holds("lab:photos").0, 32, "31 files and the manifest");
    sandbox.ok(["retrieve", "lab:photos", "--to", "back"]);
    assert_same(&sandbox, "tree", "back/tree");
    sandbox.ok(["verify", "lab:photos", "tree"]);

    // Without the catalog the vault tells the names.
    sandbox.lose_catalog();
    sandbox.ok(["inventory", "refresh", "lab:photos"]);
    assert_eq!(sandbox.list("lab:photos").len(), 35, "and two folders, a link, an empty file");
    sandbox.ok(["delete", "lab:photos", "small", "--yes"]);
    assert_eq!(sandbox.holds("lab:photos").0, 2);
    sandbox.ok(["vault", "purge", "lab:photos", "--yes"]);
    sandbox.fails(1, ["vault", "describe", "lab:photos"]).says("there is no vault `photos`");
    remote.end();
}

#[test]
fn standard_input_and_single_files_work_as_well() {
    let sandbox = Sandbox::new();
    let remote = Remote::named(&sandbox);
    let bytes: Vec<u8> = (0..2_500_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    let words = ["upload", "lab:v", "-", "--name", "stream", "--create", "--part-size", "1MiB"];
    sandbox.run_with_input(&bytes, words).ended(0);
    assert_eq!(sandbox.ok(["retrieve", "lab:v", "stream", "--to", "-"]).stdout, bytes);
    let range = ["retrieve", "lab:v", "stream", "--to", "-", "--range", "1048000-1049999"];
    assert_eq!(sandbox.ok(range).stdout, bytes[1_048_000..1_050_000]);
    let job = sandbox.json(["job", "start", "lab:v", "--inventory"]);
    let id = job["job_id"].as_str().unwrap();
    let inventory = sandbox.ok(["job", "output", "lab:v", id]).json();
    assert_eq!(inventory["ArchiveList"][0]["Size"], 2_500_000);
    remote.end();
}

#[test]
fn the_catalog_is_asked_without_the_server_and_without_credentials() {
    let sandbox = Sandbox::new();
    let remote = Remote::named(&sandbox);
    sandbox.fails(1, ["list", "lab:photos"]).says("icefield inventory refresh");
    sandbox.write("a.txt", "a");
    sandbox.ok(["upload", "lab:photos", "a.txt", "--create"]);
    remote.end();
    assert_eq!(paths(&sandbox.json(["list", "lab:photos"])), ["a.txt"]);
    fs::remove_file(sandbox.root().join("home/.aws/credentials")).unwrap();
    assert_eq!(paths(&sandbox.json(["list", "lab:photos"])), ["a.txt"]);
    sandbox.fails(1, ["vault", "list", "lab:"]).says("there are no credentials");
}

#[test]
fn what_is_wrong_with_a_target_is_told_with_the_next_step() {
    let sandbox = Sandbox::new();
    let remote = Remote::named(&sandbox);
    sandbox.fails(1, ["vault", "describe", "lab:none"]).says("no vault `none`").says("us-east-1");
    sandbox.fails(2, ["vault", "list", "aws:"]).says("no region is named").says("--region");
    key(&sandbox, "NOSUCHKEYNOSUCHKEY00", "development/only/secret/of/icefield/serve");
    sandbox.fails(1, ["vault", "list", "lab:"]).says("NOSUCHKEYNOSUCHKEY00").says("AWS_ACCESS_KEY");
    key(&sandbox, "ICEFIELDDEVELOPMENT0", "another/secret/another/secret/another/se");
    sandbox.fails(1, ["vault", "list", "lab:"]).says("ICEFIELDDEVELOPMENT0").says("SECRET");
    let endpoint = remote.endpoint.clone();
    remote.end();
    key(&sandbox, "ICEFIELDDEVELOPMENT0", "development/only/secret/of/icefield/serve");
    sandbox.fails(1, ["vault", "list", "lab:"]).says(&endpoint).says("cannot be reached");
    let secret = ["target", "add", "x", "--type", "vault-api", "--endpoint-url", "http://u:p@host"];
    sandbox.fails(2, secret).says("https://HOST");
    let wrong = ["vault", "list", "lab:", "--endpoint-url", "nowhere"];
    sandbox.fails(2, wrong).says("https://HOST");
}

#[test]
fn a_vault_moves_to_a_server_and_back_and_is_deleted_where_it_came_from() {
    let sandbox = Sandbox::new();
    let remote = Remote::named(&sandbox);
    mixed_tree(&sandbox);
    sandbox.ok(["upload", "photos", "tree", "--create"]);
    let planned = sandbox.json(["migrate", "photos", "lab:moved", "-n"]);
    assert_eq!(planned.as_array().unwrap().len(), 35, "{planned}");
    assert_eq!(sandbox.json(["migrate", "photos", "lab:moved"]).as_array().unwrap().len(), 31);
    assert_eq!(sandbox.json(["migrate", "photos", "lab:moved"]), json!([]), "all is there");
    sandbox.ok(["retrieve", "lab:moved", "--to", "there"]);
    assert_same(&sandbox, "tree", "there/tree");

    let back = ["migrate", "lab:moved", "again", "--delete-source"];
    sandbox.fails(2, back).says("--yes");
    let vaults = sandbox.json(["vault", "list"]);
    assert_eq!(vaults.as_array().unwrap().len(), 1, "nothing is moved before that: {vaults}");
    sandbox.ok(back.iter().chain(&["--yes"])).says("deleted 31 archives");
    assert_eq!(sandbox.holds("lab:moved").0, 1, "the manifest is nobody's file");
    sandbox.ok(["retrieve", "again", "--to", "back"]);
    assert_same(&sandbox, "tree", "back/tree");
    sandbox.fails(2, ["migrate", "photos", "photos"]).says("the same vault");
    sandbox.fails(1, ["migrate", "lab:none", "photos"]).says("no vault `none`");
    let override_ = ["migrate", "photos", "lab:moved", "--region", "us-west-2"];
    sandbox.fails(2, override_).says("target add");
    remote.end();
}

#[test]
fn an_endpoint_of_the_environment_is_the_target_s_own() {
    let sandbox = Sandbox::new();
    let remote = Remote::named(&sandbox);
    sandbox.ok(["vault", "create", "lab:v"]);
    let mut command =
        sandbox.command(["vault", "list", "aws:", "--region", "us-east-1", "--output", "json"]);
    command.env("AWS_ENDPOINT_URL_GLACIER", &remote.endpoint);
    command.env("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    let vaults = Watched::start(command).finish().ended(0).json();
    assert_eq!(vaults.as_array().unwrap().len(), 1, "{vaults}");
    remote.end();
}

#[test]
fn what_was_killed_is_gone_on_with_by_watch() {
    let sandbox = Sandbox::new();
    let remote = Remote::named(&sandbox);
    sandbox.ok(["watch"]).says("nothing is left to do");
    let bytes: Vec<u8> =
        (0..40_000_000_u32).map(|n| n.to_le_bytes()[2] ^ n.to_le_bytes()[0]).collect();
    sandbox.write("large.bin", &bytes);
    let words = ["upload", "lab:v", "large.bin", "--create", "--part-size", "1MiB"];
    let mut upload = sandbox.start(words.iter().chain(&["--limit-rate", "20M"]));
    let is_running = || sandbox.run(["status"]).stderr.contains("running since");
    assert!(upload.until(is_running), "it did not get so far");
    assert!(upload.kill(), "it had ended");
    sandbox.ok(["status"]).says("interrupted since").says("icefield upload lab:v large.bin");
    sandbox.ok(["watch"]).says("going on with").says("all is done");
    sandbox.ok(["status"]).says("nothing is pending");
    sandbox.ok(words).says("nothing new");
    assert_eq!(sandbox.ok(["retrieve", "lab:v", "large.bin", "--to", "-"]).stdout, bytes);
    remote.end();
}
