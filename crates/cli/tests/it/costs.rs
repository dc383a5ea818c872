//! What Amazon would charge is told before it is done, at a service that stands for Amazon's.

use std::{ffi::OsStr, fs};

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    process::Watched,
    sandbox::{Run, Sandbox},
};

/// A server, and a target `west` that says Amazon stands behind it.
struct Billed {
    sandbox: Sandbox,
    server: Watched,
}

impl Billed {
    /// Starts the server; `settings` are more lines of the configuration, above the targets.
    fn with(settings: &str, delays: &str) -> Self {
        let sandbox = Sandbox::new();
        let words = ["serve", "--dev", "--listen", "127.0.0.1:0", "--region", "us-west-2"];
        let mut command = sandbox.command(words);
        command.env("ICEFIELD_RETRIEVAL_DELAY", delays);
        let mut server = Watched::start(command);
        assert!(server.has_written("region: "), "{}", server.finish());
        let written = server.written();
        let endpoint = written.lines().find_map(|line| line.strip_prefix("endpoint: ")).unwrap();
        let config = sandbox.root().join("home/.config/icefield");
        fs::create_dir_all(&config).unwrap();
        let target = |name: &str, billing: &str| {
            format!(
                "[target.{name}]\ntype = \"vault-api\"\nregion = \"us-west-2\"\nendpoint = \"{endpoint}\"\n{billing}\n"
            )
        };
        let targets = target("west", "billing = \"aws\"") + &target("own", "");
        fs::write(config.join("config.toml"), format!("{settings}\n{targets}")).unwrap();
        let billed = Self { sandbox, server };
        billed.run(["vault", "create", "west:v"]).ended(0);
        billed
    }

    fn new() -> Self {
        Self::with("", "")
    }

    fn run<A: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = A>) -> Run {
        let mut command = self.sandbox.command(words);
        command.env("AWS_ACCESS_KEY_ID", "ICEFIELDDEVELOPMENT0");
        command.env("AWS_SECRET_ACCESS_KEY", "development/only/secret/of/icefield/serve");
        Watched::start(command).finish()
    }

    fn end(self) {
        self.server.signal(Signal::TERM);
        self.server.finish().ended(0);
    }
}

/// The record of a dry run that has the price.
#[track_caller]
fn pay(run: &Run) -> Value {
    let records = run.json_lines();
    let pay: Vec<_> = records.iter().filter(|record| record["would"] == "pay").collect();
    assert_eq!(pay.len(), 1, "{run}");
    pay[0].clone()
}

#[test]
fn an_upload_tells_its_size_its_time_and_its_price_and_asks_nothing() {
    let billed = Billed::new();
    billed.sandbox.write("tree/a", vec![1; 3 << 20]);
    billed.sandbox.write("tree/b", vec![2; 100]);
    let would = billed.run(["upload", "west:v", "tree", "--part-size", "1MiB", "-n"]).ended(0);
    // Three parts, a beginning and an end, a small file, and the folder's manifest: seven requests at 0.05 a thousand.
    would
        .says("requests that store archives")
        .says("3 at $0.05 a thousand")
        .says("4 at $0.05 a thousand");
    let words = ["upload", "west:v", "tree", "--part-size", "1MiB", "-n", "--output", "jsonl"];
    let record = pay(&billed.run(words).ended(0));
    assert_eq!(record["cost_usd"], 0.00035);
    assert_eq!(record["cost"]["currency"], "USD");
    assert_eq!(record["cost"]["region"], "us-west-2");
    let run =
        billed.run(["upload", "west:v", "tree", "--part-size", "1MiB", "--estimate-rate", "8"]);
    let run = run.ended(0);
    run.says("to be sent: 2 files (3.0MiB) in 4 parts and 6 requests")
        .says("about 4s at the given rate (8.00 Mbit/s), until 20")
        .says("costs $0.0004 for requests and $0.0001 a month for storage (prices of 20");
    let quiet = billed.run(["upload", "west:v", "tree", "--force", "--quiet"]).ended(0);
    assert_eq!(quiet.stderr, "");
    billed.end();
}

#[test]
fn a_retrieval_that_costs_something_asks_and_max_cost_answers() {
    let billed = Billed::new();
    billed.sandbox.write("a", vec![1; 3 << 20]);
    billed.sandbox.write("b", vec![2; 5]);
    billed.run(["upload", "west:v", "a", "b"]).ended(0);
    let expedited = ["retrieve", "west:v", "--to", "back", "--tier", "expedited"];
    // Two jobs at 10 a thousand; 3 MiB and 5 bytes at 0.03 + 0.09 a GiB are 0.00035 more.
    billed
        .run(expedited)
        .ended(2)
        .says("for $0.0204, and nobody is there to be asked")
        .says("2 at $10.00 a thousand");
    let with = |more: &[&'static str]| [&expedited[..], more].concat();
    billed
        .run(with(&["--yes", "--max-cost", "0.02"]))
        .ended(2)
        .says("costs $0.0204, and --max-cost is $0.02: nothing was started")
        .says("--tier bulk takes longer and costs $0.0004")
        .says("to pay it: --max-cost 0.0204");
    assert!(!billed.sandbox.path("back").exists());
    let jobs = billed.run(["job", "list", "west:v", "--output", "jsonl"]).ended(0);
    assert_eq!(jobs.json_lines(), Vec::<Value>::new(), "nothing was started");

    let record = pay(&billed.run(with(&["-n", "--output", "jsonl"])).ended(0));
    assert_eq!(record["cost"]["items"][0]["what"], "retrievals");
    assert_eq!(record["cost"]["items"][0]["quantity"], 2.0);
    assert!(record["cost_usd"].as_f64().unwrap() > 0.0203, "{record}");

    billed.run(with(&["--max-cost", "0.0204"])).ended(0);
    assert_eq!(billed.sandbox.read("back/b"), vec![2; 5]);
    billed.end();
}

#[test]
fn what_an_earlier_run_has_asked_for_is_not_paid_again() {
    let billed = Billed::with("", "expedited=1h,standard=1h,bulk=1h");
    billed.sandbox.write("a", vec![1; 100]);
    billed.run(["upload", "west:v", "a"]).ended(0);
    billed.run(["retrieve", "west:v", "--to", "back", "--no-wait", "--yes"]).ended(75);
    let record = pay(&billed
        .run(["retrieve", "west:v", "--to", "back", "-n", "--output", "jsonl"])
        .ended(0));
    let items = record["cost"]["items"].as_array().unwrap();
    let what: Vec<_> = items.iter().map(|item| item["what"].as_str().unwrap()).collect();
    assert_eq!(what, ["transfer"], "the job runs already: {record}");
    // A hundred bytes are less than a hundredth of a cent.
    billed
        .run(["retrieve", "west:v", "--to", "back", "--no-wait", "--max-cost", "0.0001"])
        .ended(75);
    billed.end();
}

#[test]
fn deleting_early_names_the_fee() {
    let billed = Billed::new();
    billed.sandbox.write("a", vec![1; 3 << 20]);
    billed.run(["upload", "west:v", "a"]).ended(0);
    billed
        .run(["delete", "west:v", "a"])
        .ended(2)
        .says("for $0.0001, because one archive is charged for 90 days, and nobody is there")
        .says("deletion before the minimum duration");
    let record = pay(&billed.run(["delete", "west:v", "a", "-n", "--output", "jsonl"]).ended(0));
    // 3 MiB and 32 KiB for three months at 0.0036 a GiB, rounded up to a billionth.
    assert_eq!(record["cost_usd"], 0.000031971);
    let would = billed.run(["vault", "purge", "west:v", "-n"]).ended(0);
    would.says("deletion before the minimum duration").says("in all, once");
    billed.run(["vault", "purge", "west:v"]).ended(2).says("for $0.0001, because");
    billed.run(["delete", "west:v", "a", "--yes"]).ended(0);
    billed.end();
}

#[test]
fn a_migration_tells_the_price_of_both_places_and_asks() {
    let billed = Billed::new();
    billed.sandbox.write("a", vec![1; 3 << 20]);
    billed.sandbox.write("b", vec![2; 5]);
    billed.run(["upload", "own:v", "a", "b"]).ended(0);
    // Two requests at 0.05 a thousand; 3 MiB and twice 32 KiB a month.
    let arriving = billed.run(["migrate", "own:v", "west:w"]).ended(2);
    arriving
        .says("for $0.0001 and $0.0001 a month, and nobody is there to be asked")
        .says("storage of 32 KiB more for each archive");

    // Two jobs at 0.05 a thousand; 3 MiB and 5 bytes at 0.01 + 0.09 a GiB.
    let leaving = ["migrate", "west:v", "own:w"];
    let with = |more: &[&'static str]| [&leaving[..], more].concat();
    let asked = billed.run(leaving).ended(2);
    asked.says("for $0.0004, and nobody is there to be asked").says("transfer to the internet");
    billed
        .run(with(&["--max-cost", "0.0003", "--yes"]))
        .ended(2)
        .says("costs $0.0004, and --max-cost is $0.0003: nothing was started")
        .says("--tier bulk takes longer");
    let jobs = billed.run(["job", "list", "west:v", "--output", "jsonl"]).ended(0);
    assert_eq!(jobs.json_lines(), Vec::<Value>::new(), "nothing was started");
    billed.run(with(&["--max-cost", "0.0004"])).ended(0).says("moved 2 files");
    billed.run(leaving).ended(0).says("moved 0 files");

    let both = ["migrate", "west:v", "west:x", "--delete-source", "-n", "--output", "jsonl"];
    let told = billed.run(both).ended(0);
    let records = told.json_lines();
    let paid: Vec<_> = records.iter().filter(|record| record["would"] == "pay").collect();
    let what = |cost: &Value| -> Vec<String> {
        let items = cost["cost"]["items"].as_array().unwrap();
        items.iter().map(|item| item["what"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(paid.len(), 2, "{told}");
    assert_eq!(what(paid[0]), ["transfer", "early_deletion"], "the jobs are paid for");
    assert_eq!(what(paid[1]), ["uploads", "storage", "overhead"]);
    billed.run(both.map(|word| if word == "-n" { "--yes" } else { word })).ended(0);

    let sandbox = &billed.sandbox;
    let would = billed.run(["migrate", "own:w", "mine", "-n"]).ended(0);
    would.says("charges nothing that icefield knows of").says("costs nothing: embedded store");
    billed.run(["migrate", "own:w", "mine"]).ended(0);
    assert_eq!(sandbox.holds("mine").0, 2);
    billed.end();
}

#[test]
fn watch_pays_no_more_than_was_agreed_to() {
    let billed = Billed::with("", "expedited=1h,standard=1h,bulk=1h");
    billed.sandbox.write("a", vec![1; 100]);
    billed.run(["upload", "west:v", "a"]).ended(0);
    let retrieve = ["retrieve", "west:v", "--to", "back", "--no-wait", "--tier", "expedited"];
    let migrate = ["migrate", "west:v", "own:w", "--no-wait"];
    billed.run([&retrieve[..], &["--yes"]].concat()).ended(75);
    billed.run([&migrate[..], &["--max-cost", "0.0001"]].concat()).ended(75);
    billed.run(["watch", "--once"]).ended(75).says("2 commands not done yet");
    // More than was there when both were begun.
    let more = ["b", "c", "d", "e"];
    for name in more {
        billed.sandbox.write(name, name);
    }
    billed.run([&["upload", "west:v"][..], &more].concat()).ended(0);
    billed
        .run(["watch", "--once"])
        .ended(3)
        .says("by now, and $0.0101 was agreed to: it is given up")
        .says("type the command again")
        .says("by now, and $0.0001 was agreed to");
    let jobs = billed.run(["job", "list", "west:v", "--output", "jsonl"]).ended(0);
    assert_eq!(jobs.json_lines().len(), 1, "nothing more was started");
    billed.run(["watch", "--once"]).ended(0).says("nothing is left to do");
    billed.end();
}

#[test]
fn a_unit_of_capacity_has_its_price_from_the_table() {
    let billed = Billed::new();
    let would = billed.run(["capacity", "purchase", "west:", "-n", "--output", "json"]).ended(0);
    assert_eq!(would.json()["cost_usd"], 100.0, "{would}");
    would.says("1 at $100.00 a unit").says("taken from us-east-1: provisioned capacity");
    billed.run(["capacity", "purchase", "west:"]).ended(2).says("for $100.00, and nobody is there");
    billed.sandbox.write("ours.toml", "[region.us-west-2.vault]\ncapacity = 90\n");
    let priced = ["capacity", "purchase", "west:", "--prices", "ours.toml", "--yes"];
    billed.run(priced).ended(0).says("1 at $90.00 a unit");
    billed.end();
}

#[test]
fn an_own_service_and_an_embedded_store_cost_nothing() {
    let billed = Billed::new();
    billed.sandbox.write("a", "a");
    let would = billed.run(["upload", "own:v", "a", "-n", "--output", "jsonl"]).ended(0);
    let would = would.says("charges nothing that icefield knows of");
    assert_eq!(would.json_lines().len(), 1, "no price");
    billed.run(["upload", "own:v", "a"]).ended(0);
    billed.run(["retrieve", "own:v", "--to", "back"]).ended(0);
    let sandbox = &billed.sandbox;
    sandbox.ok(["upload", "--create", "v", "a"]);
    for words in [
        &["upload", "v", "a", "--force", "-n"][..],
        &["retrieve", "v", "--to", "elsewhere", "-n"],
        &["delete", "v", "a", "-n"],
        &["vault", "purge", "v", "-n"],
    ] {
        sandbox.ok(words).says("costs nothing: embedded store");
    }
    billed.end();
}

#[test]
fn prices_of_ones_own_are_taken_from_the_option_or_the_configuration() {
    let billed = Billed::with("prices = \"ours.toml\"", "");
    let config = billed.sandbox.root().join("home/.config/icefield");
    fs::write(config.join("ours.toml"), "[region.us-west-2.vault]\nput = 2000\n").unwrap();
    billed.sandbox.write("a", "a");
    let record = pay(&billed.run(["upload", "west:v", "a", "-n", "--output", "jsonl"]).ended(0));
    assert_eq!(record["cost_usd"], 2.0);
    assert!(record["cost"]["prices"].as_str().unwrap().ends_with("ours.toml"), "{record}");

    let theirs = "version = \"2030-01-01\"\n[region.us-west-2.vault]\nput = 3000\n";
    billed.sandbox.write("theirs.toml", theirs);
    let words = ["upload", "west:v", "a", "-n", "--output", "jsonl", "--prices", "theirs.toml"];
    let record = pay(&billed.run(words).ended(0));
    assert_eq!(record["cost_usd"], 3.0);
    assert_eq!(record["cost"]["prices"], "2030-01-01 (theirs.toml)");

    billed.sandbox.write("wrong.toml", "[region.us-west-2.vault]\nputt = 1\n");
    let words = ["upload", "west:v", "a", "-n", "--prices", "wrong.toml"];
    billed.run(words).ended(2).says("cannot use the prices wrong.toml").says("putt");
    billed.end();
}
