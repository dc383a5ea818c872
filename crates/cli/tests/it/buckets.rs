//! Vaults in a bucket: the program against a service in this process.

use std::{process::Command, sync::Arc};

use tokio::runtime::Runtime;

use crate::{
    bucket::{ACCESS_KEY, Bucket, SECRET_KEY},
    process::Watched,
    sandbox::{Run, Sandbox, paths},
};

const MIB: usize = 1 << 20;

/// A bucket that is served while the program runs.
struct Served {
    sandbox: Sandbox,
    bucket: Arc<Bucket>,
    _runtime: Runtime,
}

impl Served {
    /// Serves a bucket and names it `deep` in the configuration.
    fn new(class: &str) -> Self {
        let runtime = Runtime::new().unwrap();
        let bucket = runtime.block_on(Bucket::serve());
        let served = Self { sandbox: Sandbox::new(), bucket, _runtime: runtime };
        let endpoint = served.bucket.endpoint.clone();
        served.ok(&[
            "target",
            "add",
            "deep",
            "--type",
            "s3",
            "--bucket",
            "cold",
            "--prefix",
            "masters",
            "--storage-class",
            class,
            "--endpoint-url",
            &endpoint,
            "--region",
            "us-east-1",
        ]);
        served
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.sandbox.command(words);
        command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
        command.env("AWS_EC2_METADATA_DISABLED", "true").env("NO_PROXY", "*");
        command
    }

    fn run(&self, words: &[&str]) -> Run {
        Watched::start(self.command(words)).finish()
    }

    #[track_caller]
    fn ok(&self, words: &[&str]) -> Run {
        self.run(words).ended(0)
    }

    #[track_caller]
    fn json(&self, words: &[&str]) -> serde_json::Value {
        self.ok(&[words, &["--output", "json"]].concat()).json()
    }
}

#[test]
fn a_folder_goes_into_deep_archive_and_comes_back_after_the_restore() {
    let served = Served::new("DEEP_ARCHIVE");
    let sandbox = &served.sandbox;
    sandbox.write("films/a.mov", "first");
    sandbox.write("films/sub/b c.mov", vec![7; 3 * MIB]);
    served.ok(&["upload", "--create", "deep:masters", "films"]);
    assert_eq!(
        paths(&served.json(&["list", "deep:masters"])),
        ["films", "films/a.mov", "films/sub", "films/sub/b c.mov"]
    );
    let keys = served.bucket.keys();
    assert!(keys.contains(&"masters/masters/films/a.mov".to_owned()), "{keys:?}");
    let object = served.bucket.object("masters/masters/films/sub/b c.mov");
    assert_eq!(object.class.as_deref(), Some("DEEP_ARCHIVE"));
    assert_eq!(object.bytes, vec![7; 3 * MIB]);

    let again = served.ok(&["upload", "deep:masters", "films", "--output", "json"]);
    assert_eq!(again.json().as_array().unwrap().len(), 0, "{again}");

    let get = ["retrieve", "deep:masters", "--to", "back", "--no-wait", "--yes"];
    served.run(&get).ended(75);
    let asked = served.bucket.requests("restore_object");
    assert_eq!(asked, 2);
    served.run(&get).ended(75);
    assert_eq!(served.bucket.requests("restore_object"), asked, "a restore was asked for twice");
    served.bucket.finish_restores();
    served.ok(&get);
    assert_eq!(sandbox.read("back/films/a.mov"), b"first");
    assert_eq!(sandbox.read("back/films/sub/b c.mov"), vec![7; 3 * MIB]);
    sandbox.write("later.mov", "later");
    served.ok(&["upload", "deep:masters", "later.mov"]);
    let expedited =
        ["retrieve", "deep:masters", "later.mov", "--to", "x", "--tier", "expedited", "--yes"];
    served.run(&expedited).ended(3).says("no expedited retrieval");
}

#[test]
fn a_lost_catalog_is_made_again_from_the_bucket_and_a_changed_file_is_a_version() {
    let served = Served::new("GLACIER_IR");
    let sandbox = &served.sandbox;
    sandbox.write("films/a.mov", "first");
    sandbox.write("films/empty", "");
    served.ok(&["upload", "--create", "deep:v", "films"]);
    sandbox.write("films/a.mov", "second, and longer");
    served.ok(&["upload", "deep:v", "films"]);
    served.bucket.put_foreign("masters/v/theirs.txt", &b"put by hand"[..].into());
    sandbox.lose_catalog();

    let refreshed = served.json(&["inventory", "refresh", "deep:v"]);
    assert_eq!(refreshed["refused"], 0, "{refreshed}");
    assert_eq!(
        paths(&served.json(&["list", "deep:v"])),
        ["films", "films/a.mov", "films/empty", "theirs.txt"]
    );
    served.ok(&["retrieve", "deep:v", "--to", "back", "--yes"]);
    assert_eq!(sandbox.read("back/films/a.mov"), b"second, and longer");
    assert_eq!(sandbox.read("back/films/empty"), b"");
    assert_eq!(sandbox.read("back/theirs.txt"), b"put by hand");
    served.ok(&["verify", "deep:v", "films"]);

    served.ok(&["delete", "deep:v", "films/a.mov", "--yes"]);
    let keys = served.bucket.keys();
    assert!(!keys.iter().any(|key| key.contains("a.mov")), "{keys:?}");
    served.run(&["vault", "delete", "deep:v", "--yes"]).ended(1).says("only an empty vault");
}

#[test]
fn an_upload_that_was_killed_goes_on_and_sends_no_part_twice() {
    let served = Served::new("STANDARD");
    let content: Vec<u8> = (0..90 * MIB).map(|at| u8::try_from(at / 4099 % 251).unwrap()).collect();
    served.sandbox.write("big", &content);
    let upload =
        ["upload", "--create", "deep:v", "big", "--part-size", "8MiB", "--concurrency", "1"];
    let mut running = Watched::start(served.command(&upload));
    running.until(|| served.bucket.requests("upload_part") >= 4);
    running.kill();
    assert_eq!(served.bucket.open_uploads(), 1);
    served.ok(&upload);
    let parts = served.bucket.requests("upload_part");
    // The part that was in transfer, and one that was stored and not noted yet.
    assert!(parts <= 12 + 2, "{parts} parts were sent of 12");
    assert_eq!(served.bucket.open_uploads(), 0);
    assert_eq!(served.bucket.object("masters/v/big").bytes, content);
    served.ok(&["uploads", "list", "deep:v"]);
}

#[test]
fn the_catalog_survives_in_a_bucket() {
    let served = Served::new("STANDARD");
    let sandbox = &served.sandbox;
    sandbox.write("frames/blue.fit", "blue");
    sandbox.ok(["upload", "--create", "photos", "frames"]);
    let endpoint = served.bucket.endpoint.clone();
    let options = ["--endpoint-url", &*endpoint, "--region", "us-east-1"];
    let ask = |words: &[&str]| served.run(&[words, &options].concat());
    let file = "s3://cold/lists/photos.csv";
    ask(&["inventory", "push", "photos", file]).ended(0);
    let first = served.bucket.object("lists/photos.csv").bytes;
    assert!(first.starts_with(b"FilePath,ArchiveId,Checksum"));

    sandbox.write("frames/red.fit", "red");
    sandbox.ok(["upload", "photos", "frames"]);
    ask(&["inventory", "push", "photos", file]).ended(0);
    assert_ne!(served.bucket.object("lists/photos.csv").bytes, first);

    let before = sandbox.listed_paths(["list", "photos"]);
    sandbox.lose_catalog();
    ask(&["inventory", "pull", "photos", file]).ended(0);
    assert_eq!(sandbox.listed_paths(["list", "photos"]), before);

    sandbox.ok(["upload", "--create", "other", "frames"]);
    ask(&["inventory", "push", "other", file]).ended(1).says("no inventory of the vault other");
    served.bucket.put_foreign("diary", &b"dear diary"[..].into());
    ask(&["inventory", "push", "photos", "s3://cold/diary"]).ended(1).says("left as it is");
    ask(&["inventory", "pull", "photos", "s3://cold/missing"]).ended(1).says("s3://cold/missing");
    served.run(&["inventory", "push", "photos", "cold/x"]).ended(2).says("s3://BUCKET/KEY");
}

#[test]
fn what_is_wrong_with_a_target_is_said() {
    let served = Served::new("STANDARD");
    let mut command = served.command(&["vault", "list", "deep:"]);
    command.env("AWS_SECRET_ACCESS_KEY", "wrong");
    Watched::start(command).finish().ended(1).says("s3://cold/masters/");
    let mut command = served.command(&["vault", "list", "deep:"]);
    command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    Watched::start(command).finish().ended(1).says("credentials");
    let add = ["target", "add", "x", "--type", "s3", "--bucket", "b", "--storage-class", "COLD"];
    served.run(&add).ended(2).says("DEEP_ARCHIVE");
    served.ok(&[
        "target",
        "add",
        "nowhere",
        "--type",
        "s3",
        "--bucket",
        "missing",
        "--endpoint-url",
        &served.bucket.endpoint,
        "--region",
        "us-east-1",
    ]);
    served.run(&["target", "test", "nowhere"]).ended(1).says("s3://missing");
    served.ok(&["target", "test", "deep"]);
}

#[test]
fn an_endpoint_of_the_environment_is_the_target_s_own() {
    let served = Served::new("DEEP_ARCHIVE");
    served.sandbox.write("a", "a");
    served.ok(&["upload", "--create", "deep:v", "a"]);
    let add = ["target", "add", "same", "--type", "s3", "--bucket", "cold", "--prefix", "masters"];
    served.ok(&[&add[..], &["--region", "us-east-1"]].concat());
    let run = |endpoint: &str, words: &[&str]| {
        let mut command = served.command(words);
        command.env("AWS_ENDPOINT_URL_S3", endpoint).env("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
        Watched::start(command).finish()
    };
    let endpoint = &*served.bucket.endpoint;
    let listed = run(endpoint, &["list", "same:v", "--output", "json"]).ended(0);
    assert_eq!(paths(&listed.json()), ["a"], "the catalog knows it as the same place");
    let would = run(endpoint, &["retrieve", "same:v", "--to", "back", "-n"]).ended(0);
    would.says(endpoint).says("charges nothing that icefield knows of");
    run("http://127.0.0.1:1", &["vault", "list", "deep:"]).ended(0);
}

#[test]
fn a_bucket_of_amazon_s_behind_another_endpoint_is_billed() {
    let served = Served::new("DEEP_ARCHIVE");
    served.sandbox.write("a", "a");
    served.ok(&["upload", "--create", "deep:v", "a"]);
    let config = served.sandbox.root().join("home/.config/icefield/config.toml");
    let written = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{written}billing = \"aws\"\n")).unwrap();
    let retrieve = ["retrieve", "deep:v", "--to", "back", "--no-wait"];
    let priced = served.run(&retrieve).ended(2);
    priced.says("for $0.0002, and nobody is there").says("region us-east-1");
    served.run(&[&retrieve[..], &["--max-cost", "0.0002"]].concat()).ended(75);
}

#[test]
fn what_only_the_vault_api_has_is_named_where_it_is_not() {
    let served = Served::new("DEEP_ARCHIVE");
    for words in [
        &["vault", "tags", "deep:films"][..],
        &["vault", "tag", "deep:films", "owner=anna"],
        &["vault", "policy", "get", "deep:films"],
        &["vault", "lock", "show", "deep:films"],
        &["vault", "notify", "get", "deep:films"],
        &["retrieval-policy", "get", "deep:"],
        &["capacity", "list", "deep:"],
    ] {
        served.run(words).ended(1).says("has no tags, policies").says("the vault API");
    }
}
