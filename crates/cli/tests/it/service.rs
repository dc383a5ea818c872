//! The service as a process, and the commands of its owner beside it and without it.

use std::{fs, path::Path};

use rustix::process::Signal;
use serde_json::json;

use crate::{process::Watched, sandbox::Sandbox};

const READ_ONLY: &str = r#"{"Version":"2012-10-17","Statement":[{"Sid":"Look","Effect":"Allow","Action":"glacier:List*","Resource":"*"}]}"#;

/// Starts a server on a free port and waits until it has told where it is.
fn serve(sandbox: &Sandbox, arguments: &[&str]) -> Watched {
    let fixed = ["serve", "--listen", "127.0.0.1:0", "--metrics-listen", "none"];
    let mut server = sandbox.start(fixed.iter().chain(arguments));
    if !server.has_written("region: ") {
        panic!("the server has ended: {}", server.finish());
    }
    server
}

fn end(server: Watched) -> crate::sandbox::Run {
    server.signal(Signal::TERM);
    server.finish().ended(0)
}

#[test]
fn a_store_without_a_key_is_not_served_and_the_way_out_is_told() {
    let sandbox = Sandbox::new();
    let words = ["serve", "--listen", "127.0.0.1:0", "--metrics-listen", "none"];
    let refused = sandbox.fails(2, words);
    refused.says("no store to serve").says("icefield key create").says("serve --dev");
    assert!(!sandbox.store().exists());
    sandbox.ok(["user", "create", "ann"]);
    let refused = sandbox.fails(2, words);
    refused.says("no access key").says("icefield key create").says("serve --dev");
}

#[test]
fn the_key_that_everybody_knows_is_for_this_machine_only_and_never_kept() {
    let sandbox = Sandbox::new();
    sandbox.fails(2, ["serve", "--dev", "--listen", "0.0.0.0:0"]).says("everybody knows");
    let store = sandbox.store().to_str().unwrap().to_owned();
    let server = serve(&sandbox, &["--dev", "--data", &store]);
    assert!(server.written().contains("access key: ICEFIELDDEVELOPMENT0"));
    end(server);
    assert_eq!(sandbox.json(["key", "list"]), json!([]));
    sandbox.fails(2, ["serve", "--listen", "127.0.0.1:0"]).says("no access key");
}

#[test]
fn the_owner_commands_work_beside_a_server_and_without_it() {
    let sandbox = Sandbox::new();
    let root = sandbox.json(["key", "create"]);
    assert_eq!(root["secret_key"].as_str().unwrap().len(), 40);
    assert_eq!(root["user"], json!(null));
    let server = serve(&sandbox, &[]);
    assert!(!server.written().contains("secret"), "{}", server.written());

    // Beside the server.
    sandbox.ok(["user", "create", "ann"]);
    sandbox.write("read.json", READ_ONLY);
    sandbox.ok(["user", "policy", "set", "ann", "look", "read.json"]);
    let session = sandbox.json(["key", "create", "--user", "ann", "--session", "1h"]);
    assert!(session["session_token"].is_string() && session["expires"].is_string());
    assert_eq!(sandbox.json(["key", "list"]).as_array().unwrap().len(), 2);
    assert_eq!(sandbox.json(["store", "stat"])["vaults"], 0);
    assert_eq!(sandbox.json(["store", "scrub"]), json!([]));
    assert_eq!(sandbox.json(["store", "compact"]), json!([]));
    sandbox.fails(1, ["store", "check"]).says("icefield store scrub");
    sandbox.fails(1, ["list", "photos", "--lock-wait", "0s"]);
    let refused = sandbox.write_and_upload_while_served();
    refused.says("icefield serve").says("http://127.0.0.1:");
    sandbox.fails(1, ["user", "create", "ann"]).says("there is a user ann already");
    end(server);
    assert!(!sandbox.store().join("control.sock").exists());

    // Without it.
    sandbox.ok(["store", "compact"]).says("no inventory or job").says("nothing was changed");
    assert_eq!(sandbox.ok(["user", "policy", "get", "ann", "look"]).text().trim(), READ_ONLY);
    let key = session["access_key"].as_str().unwrap();
    sandbox.fails(2, ["key", "revoke", key]).says("--yes");
    sandbox.ok(["key", "revoke", key, "--yes"]);
    sandbox.fails(1, ["key", "revoke", key, "--yes"]).says("there is no key");
    sandbox.ok(["user", "delete", "ann", "--yes"]);
    assert_eq!(sandbox.json(["user", "list"]), json!([]));
    sandbox.check_store();
}

impl Sandbox {
    fn write_and_upload_while_served(&self) -> crate::sandbox::Run {
        self.write("a.txt", "a");
        self.fails(1, ["upload", "photos", "a.txt", "--create", "--lock-wait", "0s"])
    }
}

#[test]
fn a_simulation_names_the_statement_and_tells_by_its_exit_code() {
    let sandbox = Sandbox::new();
    sandbox.ok(["user", "create", "ann"]);
    sandbox.write("read.json", READ_ONLY);
    sandbox.ok(["user", "policy", "set", "ann", "look", "read.json"]);
    let allowed = sandbox.json(["policy", "simulate", "ListJobs", "photos", "--user", "ann"]);
    assert_eq!(allowed["allowed"], true);
    assert!(allowed["decided_by"].as_str().unwrap().contains("Look"), "{allowed}");
    let words = ["policy", "simulate", "glacier:DeleteArchive", "photos", "--user", "ann"];
    assert!(sandbox.fails(3, words).text().contains("no statement allows it"));
    sandbox.ok(["policy", "simulate", "DeleteArchive", "photos"]);
    sandbox.fails(2, ["policy", "simulate", "DeleteArchive"]).says("name it");
    sandbox.fails(2, ["policy", "simulate", "Destroy", "photos"]).says("not an operation");
    sandbox.fails(1, ["policy", "simulate", "ListVaults", "--user", "nob"]).says("no user nob");
    sandbox.ok(["policy", "simulate", "DeleteArchive", "photos"]).says("--archive-id");
    sandbox.write("bad.json", "{\"Statement\":[{\"Effect\":\"Allow\"}]}");
    sandbox.fails(1, ["user", "policy", "set", "ann", "bad", "bad.json"]).says("Statement[0]");
}

#[test]
fn accounts_have_users_and_topics_of_their_own() {
    let sandbox = Sandbox::new();
    let account = sandbox.json(["account", "create"])["account"].as_str().unwrap().to_owned();
    assert_eq!(sandbox.json(["account", "list"]).as_array().unwrap().len(), 2);
    sandbox.ok(["user", "create", "bob", "--account", &account]);
    assert_eq!(sandbox.json(["user", "list"]), json!([]));
    assert_eq!(sandbox.json(["user", "list", "--account", &account])[0]["user"], "bob");
    sandbox.fails(1, ["key", "create", "--user", "bob"]).says("no user bob");
    let topics =
        sandbox.json(["topic", "add", "done", "mailto:bob@example.com", "--account", &account]);
    assert_eq!(topics[0]["topic"], format!("arn:aws:sns:us-east-1:{account}:done"));
    sandbox
        .ok(["topic", "add", "done", "https://example.com/hook", "--account", &account])
        .says("SubscribeURL");
    let listed = sandbox.json(["topic", "list", "--account", &account]);
    assert_eq!(listed[1]["confirmed"], false, "{listed}");
    let id = listed[0]["destination"].as_str().unwrap();
    sandbox.ok(["topic", "remove", "done", "--destination", id, "--account", &account, "--yes"]);
    sandbox.fails(2, ["topic", "add", "done", "pigeon"]).says("not a destination");
}

#[test]
fn a_store_is_served_as_one_region_and_with_one_master_key() {
    let sandbox = Sandbox::new();
    sandbox.ok(["key", "create"]);
    end(serve(&sandbox, &["--region", "eu-north-1"]));
    let server = serve(&sandbox, &[]);
    assert!(server.written().contains("region: eu-north-1"));
    end(server);
    let listen = ["serve", "--listen", "127.0.0.1:0", "--metrics-listen", "none"];
    sandbox.fails(1, listen.iter().chain(&["--region", "us-west-2"])).says("eu-north-1");

    let key = sandbox.root().join("home/.config/icefield/master.key");
    fs::remove_file(&key).unwrap();
    // No other one is made: keys would be sealed with two.
    for words in [&listen[..], &["key", "create"]] {
        sandbox.fails(1, words).says("there is none at").says("ICEFIELD_MASTER_KEY_FILE");
        assert!(!key.exists());
    }
    write_key(&key, &"ab".repeat(32));
    sandbox.fails(1, listen).says("cannot be read").says("ICEFIELD_MASTER_KEY_FILE");
    write_key(&key, "short");
    sandbox.fails(1, ["key", "list"]).says("64 hex digits");
}

#[test]
fn settings_that_are_wrong_are_refused_before_anything_is_made() {
    let sandbox = Sandbox::new();
    sandbox.write("serve.toml", "conections = 5\n");
    let words = ["serve", "--config", "serve.toml"];
    sandbox.fails(2, words).says("no setting `conections`").says("connections");
    for (setting, wrong) in [
        ("retrieval_delay = '4h'", "retrieval_delay in"),
        ("upload_expiry = '1h'", "less than 24h"),
        ("public_url = 'glacier.example.com'", "https://HOST"),
        ("zzzzzzzz = 1", "docs/configuration.md"),
    ] {
        sandbox.write("serve.toml", setting);
        sandbox.fails(2, words).says(wrong);
    }
    sandbox.fails(2, ["serve", "--listen", "nowhere"]).says("cannot listen on nowhere");
    sandbox.fails(2, ["serve", "--config", "missing.toml"]).says("missing.toml");
    assert!(!Path::new(sandbox.store()).exists());
}

fn write_key(path: &Path, digits: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(path, digits).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn a_compaction_makes_no_store() {
    let sandbox = Sandbox::new();
    sandbox.fails(1, ["store", "compact"]).says("there is no such folder");
    assert!(!sandbox.store().exists());
}
