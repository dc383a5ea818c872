//! The store of a sandbox behind a server, and the commands of a client that speaks with it.

use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    process::Watched,
    sandbox::{Run, Sandbox},
};

/// A server of a sandbox's store.
#[derive(Debug)]
pub(crate) struct Served {
    server: Watched,
    key: Value,
}

impl Served {
    /// Starts it with these settings of the environment, on a free port, for the store's root by a new key.
    pub(crate) fn start(sandbox: &Sandbox, settings: &[(&str, &str)]) -> Self {
        let key = sandbox.json(["key", "create"]);
        let free = ["serve", "--listen", "127.0.0.1:0", "--metrics-listen", "none"];
        let mut command = sandbox.command(free);
        command.envs(settings.iter().copied());
        let mut server = Watched::start(command);
        if !server.has_written("region: ") {
            panic!("the server has ended: {}", server.finish());
        }
        let written = server.written();
        let endpoint = written.lines().find_map(|line| line.strip_prefix("endpoint: "));
        let endpoint = endpoint.expect("an endpoint");
        let add = ["target", "add", "lab", "--type", "vault-api", "--region", "us-east-1"];
        sandbox.ok(add.iter().chain(&["--endpoint-url", endpoint]));
        Self { server, key }
    }

    /// Lets a command speak with the server where no target is named.
    pub(crate) fn is_default_of(&self, command: &mut Command) {
        let key = |name: &str| self.key[name].as_str().unwrap().to_owned();
        command.env("ICEFIELD_TARGET", "lab");
        command.env("AWS_ACCESS_KEY_ID", key("access_key"));
        command.env("AWS_SECRET_ACCESS_KEY", key("secret_key"));
    }

    /// Runs the program against the server.
    pub(crate) fn run(&self, sandbox: &Sandbox, words: &[&str]) -> Run {
        let mut command = sandbox.command(words);
        self.is_default_of(&mut command);
        Watched::start(command).finish()
    }

    /// Runs the program against the server, again and again until it has come so far: jobs take a moment.
    fn run_until(&self, sandbox: &Sandbox, words: &[&str], is_it: impl Fn(&Run) -> bool) -> Run {
        const MOST_RUNS: u32 = 100;
        for _ in 0..MOST_RUNS {
            let run = self.run(sandbox, words);
            if is_it(&run) {
                return run;
            }
        }
        self.run(sandbox, words)
    }

    /// Ends it and returns the operations that it has done.
    pub(crate) fn end(self, sandbox: &Sandbox) -> Vec<String> {
        self.server.signal(Signal::TERM);
        let run = self.server.finish().ended(0);
        sandbox.ok(["target", "remove", "lab", "--yes"]);
        let lines = run.stderr.lines().map(|line| serde_json::from_str(line).expect(line));
        let done = lines.filter(|line: &Value| {
            line["message"] == "request" && line["status"].as_u64().is_some_and(|code| code < 300)
        });
        let operation = |line: Value| line["operation"].as_str().expect("an operation").to_owned();
        done.map(operation).collect()
    }
}

fn is_done(run: &Run) -> bool {
    run.code == Some(0)
}

/// How often an operation is among those that were done.
fn times(done: &[String], operation: &str) -> usize {
    done.iter().filter(|one| *one == operation).count()
}

#[test]
fn a_purge_goes_on_when_the_server_has_made_its_next_inventory() {
    let sandbox = Sandbox::new();
    sandbox.write("tree/a", "a");
    sandbox.write("tree/b", "bb");
    sandbox.ok(["upload", "--create", "v", "tree"]);

    // One inventory a day, and none yet. The catalog knows nothing of the vault at the server.
    let server = Served::start(&sandbox, &[]);
    let purge = ["vault", "purge", "v", "--no-wait", "--yes"];
    let first = server.run(&sandbox, &purge).ended(75).says("next inventory");
    first.says("deleted 0 archives").says("run the same command again later");
    let done = server.end(&sandbox);
    assert_eq!(times(&done, "DeleteArchive"), 0, "{done:?}");

    let server = Served::start(&sandbox, &[("ICEFIELD_INVENTORY_INTERVAL", "0s")]);
    server.run_until(&sandbox, &purge, is_done).ended(0).says("the vault v");
    let done = server.end(&sandbox);
    assert_eq!(times(&done, "DeleteArchive"), 3, "two files and their manifest: {done:?}");
    assert_eq!(sandbox.json(["vault", "list"]).as_array().unwrap().len(), 0);
}

#[test]
fn what_a_purge_has_deleted_is_not_deleted_again_while_the_last_inventory_lists_it() {
    let sandbox = Sandbox::new();
    sandbox.write("tree/a", "a");
    sandbox.write("tree/b", "bb");
    sandbox.ok(["upload", "--create", "v", "tree"]);
    let at_once = [("ICEFIELD_INVENTORY_INTERVAL", "0s")];
    let server = Served::start(&sandbox, &at_once);
    server.run_until(&sandbox, &["inventory", "refresh", "v"], is_done).ended(0);
    server.end(&sandbox);

    // One inventory a day, and today's is made: by it the vault is not empty until tomorrow.
    let server = Served::start(&sandbox, &[]);
    let purge = ["vault", "purge", "v", "--no-wait", "--yes"];
    server.run_until(&sandbox, &purge, |run| run.stderr.contains("deleted 3 archives")).ended(75);
    server.run(&sandbox, &purge).ended(75).says("deleted 0 archives");
    server.run(&sandbox, &purge).ended(75).says("deleted 0 archives");
    let done = server.end(&sandbox);
    assert_eq!(times(&done, "DeleteArchive"), 3, "two files and their manifest: {done:?}");

    let server = Served::start(&sandbox, &at_once);
    server.run_until(&sandbox, &purge, is_done).ended(0).says("the vault v");
    server.end(&sandbox);
    assert_eq!(sandbox.json(["vault", "list"]).as_array().unwrap().len(), 0);
}

#[test]
fn an_interrupted_purge_is_gone_on_with_by_watch() {
    let sandbox = Sandbox::new();
    sandbox.write("a", "a");
    sandbox.ok(["upload", "--create", "v", "a"]);
    let server = Served::start(&sandbox, &[]);
    server.run(&sandbox, &["vault", "purge", "v", "--no-wait", "--yes"]).ended(75);
    server.run(&sandbox, &["watch", "--once"]).ended(75).says("vault purge v");
    server.end(&sandbox);
    let server = Served::start(&sandbox, &[("ICEFIELD_INVENTORY_INTERVAL", "0s")]);
    server.run_until(&sandbox, &["watch", "--once"], is_done).ended(0);
    server.end(&sandbox);
    assert_eq!(sandbox.json(["vault", "list"]).as_array().unwrap().len(), 0);
}
