//! Operating the service: the manual's commands as they stand, and what is in the log, the audit log and the metrics.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::fs::symlink,
};

use icefield_protocol::{
    Clock as _, LinearHash,
    sigv4::{AccessKeyId, RequestHead, RequestTime, SecretKey, Signer},
};
use icefield_store::SystemClock;
use rustix::process::Signal;
use serde_json::Value;

use crate::{
    process::Watched,
    sandbox::{Sandbox, binary},
};

/// Tests run in the folder of their crate.
const MANUAL: &str = "../../docs/operate.md";

/// Returns the commands of all `console` blocks, in order, and the scripts that name their file.
fn of_manual(manual: &str) -> (Vec<&str>, Vec<(&str, &str)>) {
    let blocks = |opening: &'static str| {
        let blocks = manual.split(opening).skip(1);
        blocks.filter_map(|block| block.split_once("\n```\n")).map(|(block, _)| block)
    };
    let lines = blocks("\n```console\n").flat_map(str::lines);
    let commands = lines.filter_map(|line| line.strip_prefix("$ ")).collect();
    let scripts = blocks("\n```sh\n").filter_map(|script| {
        let (name, _) = script.strip_prefix("# ")?.split_once(':')?;
        Some((name, script))
    });
    (commands, scripts.collect())
}

/// A port that nobody has at the moment.
fn free_port() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// One after another in one shell, as a reader types them; the first that fails ends it.
#[test]
fn every_command_of_the_manual_works() {
    let manual = fs::read_to_string(MANUAL).unwrap();
    let (commands, scripts) = of_manual(&manual);
    assert!(commands.len() > 25 && scripts.len() == 1, "{commands:?} {scripts:?}");
    let sandbox = Sandbox::new();
    for (name, script) in scripts {
        sandbox.write(name, format!("{script}\n"));
    }
    let programs = sandbox.root().join("programs");
    fs::create_dir(&programs).unwrap();
    symlink(binary(), programs.join("icefield")).unwrap();
    let (listen, metrics) = (free_port(), free_port());
    let mut script = String::from("set -e\n");
    for command in &commands {
        script += &format!("echo '== {}' >&2\n", command.replace('\'', "\""));
        // What has to fail is marked so, and `set -e` does not look at it.
        match command.strip_prefix("! ") {
            Some(fails) => script += &format!("if {fails}; then exit 1; fi\n"),
            None => script += &format!("{command}\n"),
        }
    }
    let script = script.replace("127.0.0.1:9441", &metrics);
    let mut shell = sandbox.prepare("sh");
    shell.args(["-c", &script]).env_remove("ICEFIELD_STORE").env_remove("ICEFIELD_CATALOG");
    shell.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", programs.display()));
    shell.env("ICEFIELD_LISTEN", listen).env("ICEFIELD_METRICS_LISTEN", &metrics);
    let run = Watched::start(shell).finish().ended(0);
    let told = run.text();
    for expected in ["{\"ready\":true}", "icefield_store_fenced 0", "all lines follow"] {
        assert!(told.contains(expected), "{expected} is not in\n{run}");
    }
}

/// A key, and requests signed with it.
struct Client {
    server: String,
    account: String,
    access_key: AccessKeyId,
    secret: SecretKey,
    token: Option<String>,
    /// Every signature that was sent.
    signatures: Vec<String>,
}

impl Client {
    fn new(server: &str, account: &str, key: &Value) -> Self {
        let text = |name: &str| key[name].as_str().map(str::to_owned);
        Self {
            server: server.to_owned(),
            account: account.to_owned(),
            access_key: AccessKeyId::parse(&text("access_key").unwrap()).unwrap(),
            secret: SecretKey::new(text("secret_key").unwrap().as_str()),
            token: text("session_token"),
            signatures: Vec::new(),
        }
    }

    /// Sends a request and returns the status; `secret` signs it if it is given.
    fn send(&mut self, method: &str, path: &str, body: &str, secret: Option<&str>) -> u16 {
        let time = SystemClock.now();
        let (path, hash) = (format!("/{}{path}", self.account), LinearHash::of(body.as_bytes()));
        let mut headers = vec![
            ("host", self.server.clone()),
            ("x-amz-date", RequestTime::of(time).to_string()),
            ("x-amz-glacier-version", "2012-06-01".to_owned()),
            ("x-amz-content-sha256", hash.to_string()),
            ("x-amz-sha256-tree-hash", hash.to_string()),
            ("x-amz-archive-description", "plans of a secret garden".to_owned()),
            ("content-length", body.len().to_string()),
        ];
        headers.extend(self.token.clone().map(|token| ("x-amz-security-token", token)));
        let secret = secret.map_or_else(|| self.secret.clone(), SecretKey::new);
        let head = RequestHead {
            method,
            path: &path,
            query: "",
            headers: headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect(),
        };
        let (region, service) = ("us-east-1", "glacier");
        let signer = Signer { access_key: &self.access_key, secret: &secret, region, service };
        let names: Vec<_> = headers.iter().map(|(name, _)| *name).collect();
        let authorization = signer.authorize(&head, &names, time, &hash.to_string());
        let (_, signature) = authorization.rsplit_once('=').unwrap();
        self.signatures.push(signature.to_owned());
        headers.push(("authorization", authorization.clone()));
        let mut text = format!("{method} {path} HTTP/1.1\r\n");
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        text += "connection: close\r\n\r\n";
        exchange(&self.server, &(text + body)).0
    }
}

/// Sends bytes and returns the status and all of the answer.
fn exchange(server: &str, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(server).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
}

fn told(server: &Watched, name: &str) -> String {
    let written = server.written();
    let line = written.lines().find_map(|line| line.strip_prefix(name));
    line.expect("the server tells it").to_owned()
}

/// A key of root and a key of a session make changes, are refused, and sign wrongly, on the most talkative level.
#[test]
fn logs_tell_of_every_request_and_of_no_secret() {
    let sandbox = Sandbox::new();
    let root = sandbox.json(["key", "create"]);
    sandbox.ok(["user", "create", "ann"]);
    let session = sandbox.json(["key", "create", "--user", "ann", "--session", "1h"]);
    let free = ["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"];
    let mut command = sandbox.command(["serve"].iter().chain(&free));
    command.env("ICEFIELD_LOG_LEVEL", "trace");
    let mut server = Watched::start(command);
    assert!(server.has_written("/metrics\n"), "{}", server.finish());
    let address = told(&server, "endpoint: http://");
    let account = told(&server, "account: ");
    let metrics = told(&server, "metrics: http://").replace("/metrics", "");

    let mut by_root = Client::new(&address, &account, &root);
    let mut by_ann = Client::new(&address, &account, &session);
    let wrong = "wrong/secret/wrong/secret/wrong/secret/w";
    let payload = "what is stored is nobody's business";
    let upload = "/vaults/films/archives";
    assert_eq!(by_root.send("PUT", "/vaults/films", "", None), 201);
    assert_eq!(by_root.send("POST", upload, payload, None), 201);
    assert_eq!(by_root.send("POST", upload, payload, Some(wrong)), 403);
    assert_eq!(by_root.send("DELETE", "/vaults/films", "", None), 400);
    assert_eq!(by_root.send("GET", "/vaults", "", None), 200);
    assert_eq!(by_ann.send("DELETE", "/vaults/films", "", None), 403);
    let token = by_ann.token.replace("stolen/token/stolen/token".to_owned()).unwrap();
    assert_eq!(by_ann.send("DELETE", "/vaults/films", "", None), 400);
    assert_eq!(exchange(&address, "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").0, 400);

    let get = |path: &str| exchange(&metrics, &format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n"));
    let (_, numbers) = get("/metrics");
    server.signal(Signal::TERM);
    let run = server.finish().ended(0);

    let audit = fs::read_to_string(sandbox.store().join("audit.log")).unwrap();
    let mut secrets = vec![wrong.to_owned(), token, payload.to_owned(), "stolen/token".to_owned()];
    secrets.push("secret garden".to_owned());
    secrets.extend([&root, &session].map(|key| key["secret_key"].as_str().unwrap().to_owned()));
    secrets.extend(by_root.signatures.into_iter().chain(by_ann.signatures));
    for secret in secrets {
        for (name, text) in [("log", &run.stderr), ("audit log", &audit), ("metrics", &numbers)] {
            assert!(!text.contains(&secret), "the {name} has {secret}");
        }
    }

    let lines: Vec<Value> =
        run.stderr.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let requests = lines.iter().filter(|line| line["message"] == "request");
    let ended: Vec<_> = requests
        .map(|line| (line["operation"].as_str(), line["status"].as_u64(), line["code"].as_str()))
        .collect();
    assert_eq!(
        ended,
        [
            (Some("CreateVault"), Some(201), None),
            (Some("UploadArchive"), Some(201), None),
            (Some("UploadArchive"), Some(403), Some("InvalidSignatureException")),
            (Some("DeleteVault"), Some(400), Some("InvalidParameterValueException")),
            (Some("ListVaults"), Some(200), None),
            (Some("DeleteVault"), Some(403), Some("AccessDeniedException")),
            (Some("DeleteVault"), Some(400), Some("UnrecognizedClientException")),
            (None, Some(400), Some("BadRequest")),
        ],
        "{}",
        run.stderr
    );
    for told in ["operation=\"UploadArchive\",code=\"OK\"} 1", "icefield_vaults 1\n"] {
        assert!(numbers.contains(told), "{told} is not in\n{numbers}");
    }
    assert!(!numbers.contains("films") && !numbers.contains(&account), "{numbers}");

    let changes: Vec<Value> =
        audit.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |name: &str| -> Vec<&str> {
        changes.iter().map(|line| line[name].as_str().unwrap_or("-")).collect()
    };
    let operations = [
        "create_key",
        "create_user",
        "create_key",
        "CreateVault",
        "UploadArchive",
        "DeleteVault",
        "DeleteVault",
    ];
    assert_eq!(of("operation"), operations, "{audit}");
    let codes =
        ["OK", "OK", "OK", "OK", "OK", "InvalidParameterValueException", "AccessDeniedException"];
    assert_eq!(of("code"), codes);
    let ann = format!("arn:aws:iam::{account}:user/ann");
    let by_root = format!("arn:aws:iam::{account}:root");
    let principals = ["owner", "owner", "owner", &by_root, &by_root, &by_root, &ann];
    assert_eq!(of("principal"), principals);
    assert!(changes[4]["created"].as_str().unwrap().contains("/vaults/films/archives/"));
    assert_eq!(changes[6]["access_key"], session["access_key"]);
    sandbox.check_store();
}
