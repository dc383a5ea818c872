//! What those see who watch a server: metrics, health, and the audit log's say in what may be done.

use std::{fs, sync::Arc};

use icefield_engine::{Endpoint, Engine, MasterKey};
use icefield_protocol::TopicName;
use icefield_server::{
    Server, ServerSettings, Watch,
    control::{Administrator, Answer, Request},
    operate::AuditLog,
};
use icefield_store::{ManualClock, OpenOptions, Store};
use tempfile::tempdir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::glacier::world::{START, World, engine_settings, identity, server_settings};

/// Looks at the metrics before a test gives up.
const MAX_LOOKS: usize = 100_000;

async fn watched(store: Store, settings: ServerSettings, audit: Option<AuditLog>) -> World {
    let key = MasterKey::from_bytes([7; 32]);
    let engine = Engine::open_with(store, engine_settings(), Some(&key)).await.unwrap();
    let root = identity("AKIDEXAMPLEEXAMPLE12", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
    engine.set_root_key(&root.access_key, &root.secret).await.unwrap();
    let [listener, metrics] =
        [TcpListener::bind("127.0.0.1:0").await, TcpListener::bind("127.0.0.1:0").await];
    let watch = Watch { metrics: Some(metrics.unwrap()), audit, ..Watch::default() };
    let running =
        Server::start_watched(engine.clone(), settings, listener.unwrap(), watch).unwrap();
    let account = engine.account().clone();
    World { engine, clock: Arc::new(ManualClock::new(START)), running, account, root }
}

async fn in_memory(audit: Option<AuditLog>) -> World {
    let store = Store::in_memory(Arc::new(ManualClock::new(START))).await.unwrap();
    watched(store, server_settings(), audit).await
}

async fn ask(world: &World, method: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(world.running.metrics_address().unwrap()).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[tokio::test]
async fn three_paths_answer_and_nothing_but_get() {
    let world = in_memory(None).await;
    assert_eq!(ask(&world, "GET", "/health/live").await, (200, r#"{"live":true}"#.to_owned()));
    assert_eq!(ask(&world, "GET", "/health/ready").await, (200, r#"{"ready":true}"#.to_owned()));
    let (status, text) = ask(&world, "GET", "/metrics").await;
    assert_eq!(status, 200);
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (_, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
    assert_eq!(ask(&world, "POST", "/metrics").await.0, 405);
    assert_eq!(ask(&world, "GET", "/").await.0, 404);
}

#[tokio::test]
async fn requests_are_counted_by_operation_and_code() {
    let world = in_memory(None).await;
    world.create_vault("films").await;
    world.upload("films", &[7; 1000]).await;
    assert_eq!(world.send("DELETE", "/-/vaults/films").await.status, 400);
    let (_, text) = ask(&world, "GET", "/metrics").await;
    for line in [
        r#"icefield_requests_total{operation="UploadArchive",code="OK"} 1"#,
        r#"icefield_requests_total{operation="DeleteVault",code="InvalidParameterValueException"} 1"#,
        r#"icefield_request_bytes_total{operation="UploadArchive"} 1000"#,
        r#"icefield_request_duration_seconds_count{operation="CreateVault"} 1"#,
        "icefield_vaults 1",
        "icefield_archives 1",
        "icefield_archive_bytes 1000",
        "icefield_store_fenced 0",
    ] {
        assert!(text.lines().any(|one| one == line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("films") && !text.contains(world.account.as_str()), "{text}");
}

#[tokio::test]
async fn changes_are_refused_while_the_audit_log_cannot_be_written() {
    let dir = tempdir().unwrap();
    let (folder, path) = (dir.path().join("logs"), dir.path().join("logs/audit.log"));
    fs::create_dir(&folder).unwrap();
    let audit = AuditLog::open(&path, Arc::new(ManualClock::new(START))).unwrap();
    let world = in_memory(Some(audit)).await;
    world.create_vault("one").await;

    fs::remove_dir_all(&folder).unwrap();
    // Done, but no success is told without its line.
    assert_eq!(world.send("PUT", "/-/vaults/two").await.status, 500);
    assert_eq!(world.send("PUT", "/-/vaults/three").await.status, 500);
    let vaults = world.send("GET", "/-/vaults").await;
    assert_eq!(vaults.status, 200, "reading goes on");
    let vaults = format!("{vaults:?}");
    assert!(vaults.contains("vaults/two") && !vaults.contains("vaults/three"), "{vaults}");
    let (status, reason) = ask(&world, "GET", "/health/ready").await;
    assert!(status == 503 && reason.contains("audit log"), "{status} {reason}");
    assert!(ask(&world, "GET", "/metrics").await.1.contains("icefield_audit_failed 1"));

    fs::create_dir(&folder).unwrap();
    world.create_vault("four").await;
    assert_eq!(ask(&world, "GET", "/health/ready").await.0, 200);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("AuditLogResumed") && text.contains(r#""vault":"four""#), "{text}");
}

#[tokio::test]
async fn destinations_that_agree_or_leave_are_in_the_audit_log_or_do_not() {
    let dir = tempdir().unwrap();
    let (folder, path) = (dir.path().join("logs"), dir.path().join("logs/audit.log"));
    fs::create_dir(&folder).unwrap();
    let audit = AuditLog::open(&path, Arc::new(ManualClock::new(START))).unwrap();
    let world = in_memory(Some(audit)).await;
    let (account, name) = (&world.account, TopicName::parse("done").unwrap());
    let to = Endpoint::Webhook { url: "http://127.0.0.1:1/".to_owned() };
    let added = world.engine.add_destination(account, &name, to).await.unwrap();
    let topic = format!("arn:aws:sns:us-west-2:{account}:done");
    let confirm = format!("/?Action=ConfirmSubscription&TopicArn={topic}&Token=");
    let good = format!("{confirm}{}", added.unconfirmed.as_deref().unwrap());
    let unsubscribe = format!("/?Action=Unsubscribe&SubscriptionArn={topic}:{}", added.id);
    let open = async |target: &str| {
        let mut ask = world.ask("GET", target);
        ask.identity = None;
        ask.send().await
    };
    assert_eq!(open(&format!("{confirm}guess")).await.status, 404);
    assert_eq!(fs::read_to_string(&path).unwrap(), "", "anybody can guess");

    fs::remove_dir_all(&folder).unwrap();
    // Only who tries to write learns that nothing can be written.
    assert_eq!(world.send("PUT", "/-/vaults/one").await.status, 500);
    assert_eq!(open(&good).await.status, 500);
    assert_eq!(open(&unsubscribe).await.status, 500);
    let topics = world.engine.topics(account).await.unwrap();
    assert_eq!(topics[0].destinations, [added], "nothing has changed");

    fs::create_dir(&folder).unwrap();
    assert_eq!(open(&good).await.status, 200);
    assert_eq!(open(&unsubscribe).await.status, 200);
    let text = fs::read_to_string(&path).unwrap();
    for operation in ["ConfirmSubscription", "Unsubscribe"] {
        let whose = format!(r#""operation":"{operation}","account":"{account}","vault":null,"#);
        let what =
            format!(r#"{whose}"resource":"{topic}","created":null,"status":200,"code":"OK""#);
        assert!(text.contains(&what), "{what} is not in {text}");
    }
    assert_eq!(text.matches(r#""principal":"token""#).count(), 2, "{text}");
}

#[tokio::test]
async fn the_scrub_in_the_background_finds_damage_and_ends_with_the_server() {
    let dir = tempdir().unwrap();
    let open = async || {
        let clock = Arc::new(ManualClock::new(START));
        let options = OpenOptions { create: true, clock, ..OpenOptions::default() };
        Store::open(dir.path(), options).await.unwrap()
    };
    let unscrubbed = ServerSettings { scrub_bytes_per_second: None, ..server_settings() };
    let world = watched(open().await, unscrubbed, None).await;
    world.create_vault("films").await;
    world.upload("films", &[7; 1000]).await;
    world.running.stop().await.unwrap();
    world.engine.close().await;

    let pack = dir.path().join("packs/00000001.pack");
    let mut bytes = fs::read(&pack).unwrap();
    let payload = bytes.windows(1000).position(|window| window == [7; 1000]).unwrap();
    bytes[payload + 500] ^= 1;
    fs::write(&pack, bytes).unwrap();

    let world = watched(open().await, server_settings(), None).await;
    let mut text = String::new();
    for _ in 0..MAX_LOOKS {
        text = ask(&world, "GET", "/metrics").await.1;
        if text.contains("icefield_scrub_rounds_total 1") {
            break;
        }
    }
    assert!(text.lines().any(|line| line == "icefield_scrub_problems 1"), "{text}");
    assert!(!text.lines().any(|line| line == "icefield_scrub_bytes_total 0"), "{text}");
    world.running.stop().await.unwrap();
    world.engine.close().await;
}

#[tokio::test]
async fn packs_are_compacted_in_the_background_and_when_the_owner_asks() {
    let dir = tempdir().unwrap();
    let open = async || {
        let clock = Arc::new(ManualClock::new(START));
        let options =
            OpenOptions { create: true, clock, pack_bytes: 50_000, ..OpenOptions::default() };
        Store::open(dir.path(), options).await.unwrap()
    };
    let on_demand = ServerSettings { compaction_bytes_per_second: None, ..server_settings() };
    let world = watched(open().await, on_demand.clone(), None).await;
    world.create_vault("films").await;
    for _ in 0..30 {
        let archive = world.upload("films", &[7; 4096]).await;
        let deleted = world.send("DELETE", &format!("/-/vaults/films/archives/{archive}")).await;
        assert_eq!(deleted.status, 204);
    }
    world.running.stop().await.unwrap();
    world.engine.housekeeping().await.unwrap();
    world.engine.close().await;
    let first = dir.path().join("packs/00000001.1.pack");
    assert!(!first.exists());

    let world = watched(open().await, server_settings(), None).await;
    let mut text = String::new();
    for _ in 0..MAX_LOOKS {
        text = ask(&world, "GET", "/metrics").await.1;
        if first.exists() && !text.contains("icefield_compaction_freed_bytes_total 0") {
            break;
        }
    }
    assert!(first.exists(), "{text}");
    world.running.stop().await.unwrap();
    world.engine.close().await;

    let world = watched(open().await, on_demand, None).await;
    for _ in 0..30 {
        let archive = world.upload("films", &[7; 4096]).await;
        world.send("DELETE", &format!("/-/vaults/films/archives/{archive}")).await;
    }
    let answer = Administrator::new(world.engine.clone()).execute(Request::Compact).await;
    let Answer::Compacted(packs) = answer else { panic!("{answer:?}") };
    assert!(!packs.is_empty());
    assert!(packs.iter().all(|pack| pack.freed_bytes > 30_000 && pack.left_alone.is_none()));
    world.running.stop().await.unwrap();
    world.engine.close().await;
}
