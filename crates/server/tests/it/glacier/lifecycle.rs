//! Work in the background, the end of a server, and who is told of what.

use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex},
    time::Duration,
};

use icefield_engine::{Delays, Settings};
use icefield_protocol::{ErrorCode, Operation};
use icefield_server::{
    Observer, RequestFacts, Server, ServerError, ServerSettings, connection::TlsFiles,
};
use serde_json::json;

use super::world::{MIB, World, bytes, engine_settings, server_settings};

#[tokio::test]
async fn a_job_without_delay_ends_by_itself() {
    let world = World::new().await;
    world.create_vault("photos").await;
    let request = json!({"Type": "inventory-retrieval"}).to_string();
    world.upload("photos", b"x").await;
    let started = world.ask("POST", "/-/vaults/photos/jobs").body(request).send().await;
    let job = started.told("location");
    // Each look is a request of its own, so this is time enough for any machine.
    for _ in 0..10_000 {
        let described = world.send("GET", &job).await.json();
        if described["Completed"] == true {
            assert_eq!(described["StatusCode"], "Succeeded");
            return;
        }
    }
    panic!("the job did not end");
}

#[tokio::test]
async fn a_job_is_not_available_before_its_time() {
    let delay = Duration::from_secs(4 * 3600);
    let retrieval_delay = Delays { standard: delay, ..Delays::NONE };
    let settings = Settings { retrieval_delay, ..engine_settings() };
    let world = World::with(settings, server_settings(), Vec::new()).await;
    world.create_vault("photos").await;
    let archive = world.upload("photos", b"x").await;
    let job = world.job("photos", json!({"Type": "archive-retrieval", "ArchiveId": archive})).await;
    let ask = world.ask("GET", &format!("/-/vaults/photos/jobs/{job}/output"));
    let text = format!("The job is not currently available for download: {job}");
    ask.send().await.assert_refused(400, "InvalidParameterValueException", &text);
    world.clock.advance(delay);
    world.engine.run_due_jobs().await.unwrap();
    let target = format!("/-/vaults/photos/jobs/{job}/output");
    assert_eq!(world.send("GET", &target).await.body, b"x");
}

#[tokio::test]
async fn a_server_that_is_stopped_ends_what_it_has_begun() {
    let world = World::new().await;
    world.create_vault("photos").await;
    let upload = world.ask("POST", "/-/vaults/photos/archives").payload(bytes(2 * MIB));
    let upload = upload.header("expect", "100-continue");
    let mut open = upload.begin().await;
    // The server reads the body: the request is under way.
    open.wait_for_continue().await;
    let (engine, running) = (world.engine.clone(), world.running);
    let stopping = tokio::spawn(running.stop());
    open.write(&upload.body).await;
    let answer = open.answer().await;
    assert_eq!(answer.status, 201, "{answer:?}");
    stopping.await.unwrap().unwrap();
    assert_eq!(engine.store().stat().await.unwrap().ledger.archives, 1);
    assert!(tokio::net::TcpStream::connect(upload.server).await.is_err(), "it still listens");
}

#[tokio::test]
async fn an_account_that_asks_too_often_is_throttled() {
    let rate = NonZeroU32::new(2);
    let server = ServerSettings { requests_per_second: rate, ..server_settings() };
    let world = World::with(engine_settings(), server, Vec::new()).await;
    for _ in 0..4 {
        assert_eq!(world.send("GET", "/-/vaults").await.status, 200);
    }
    let refused = world.send("GET", "/-/vaults").await;
    refused.assert_refused(400, "ThrottlingException", "Rate exceeded");
    world.clock.advance(Duration::from_millis(500));
    assert_eq!(world.send("GET", "/-/vaults").await.status, 200);
}

#[tokio::test]
async fn a_store_that_fails_is_told_without_its_inside() {
    let world = World::new().await;
    world.create_vault("photos").await;
    world.engine.close().await;
    let text = "The service cannot complete the request.";
    let answer = world.send("PUT", "/-/vaults/videos").await;
    answer.assert_refused(500, "ServiceUnavailableException", text);
}

#[tokio::test]
async fn a_server_without_its_certificate_does_not_start() {
    let world = World::new().await;
    let none = std::path::PathBuf::from("/none");
    let files = TlsFiles { certificate: none.clone(), key: none };
    let server = ServerSettings { tls: Some(files), ..server_settings() };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let started = Server::start(world.engine.clone(), server, listener);
    assert!(matches!(started, Err(ServerError::Connections(_))), "{started:?}");
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_in_the_same_form() {
    let world = World::new().await;
    let mut head = world.ask("GET", "/-/vaults").head();
    head.insert_str(0, "no request line\r\n");
    let mut open = world.ask("GET", "/").begin_with(&head).await;
    open.write(b"").await;
    let answer = open.answer().await;
    answer.assert_refused(400, "BadRequest", "The request cannot be read.");
    assert_eq!(answer.told("x-amzn-requestid").len(), 47);
}

#[derive(Debug, Default)]
struct Witness(Mutex<Vec<RequestFacts>>);

impl Observer for Witness {
    fn finished(&self, facts: &RequestFacts) {
        self.0.lock().unwrap().push(facts.clone());
    }
}

#[tokio::test]
async fn observers_are_told_of_every_request_once_it_is_over() {
    let witness = Arc::new(Witness::default());
    let observers: Vec<Arc<dyn Observer>> = vec![Arc::<Witness>::clone(&witness)];
    let world = World::with(engine_settings(), server_settings(), observers).await;
    world.create_vault("photos").await;
    let archive = world.upload("photos", &bytes(MIB + 1)).await;
    let listed = world.send("GET", "/-/vaults").await;
    let refused = world.send("GET", "/-/vaults/none").await;
    world.send("GET", "/").await;
    let upload = world.ask("POST", "/-/vaults/photos/archives").payload("gone");
    let open = upload.begin().await;
    open.leave().await;
    world.running.stop().await.unwrap();

    let facts = witness.0.lock().unwrap().clone();
    assert_eq!(facts.len(), 6);
    let made = &facts[0];
    assert_eq!(
        (made.operation, made.status, made.mutation),
        (Some(Operation::CreateVault), Some(201), true)
    );
    assert_eq!(made.vault.as_deref(), Some("photos"));
    assert_eq!(made.account.as_ref(), Some(&world.account));
    assert_eq!(made.caller.as_ref().unwrap().account, world.account);
    assert_eq!(made.access_key.as_ref(), Some(&world.root.access_key));
    let stored = &facts[1];
    assert_eq!((stored.bytes_in, stored.bytes_out), (MIB as u64 + 1, 0));
    assert!(stored.location.as_ref().unwrap().ends_with(&archive));
    let list = &facts[2];
    assert_eq!((list.mutation, list.bytes_out), (false, listed.body.len() as u64));
    assert_eq!(list.request_id.as_str(), listed.told("x-amzn-requestid"));
    assert_eq!((facts[3].status, facts[3].code), (Some(404), Some(ErrorCode::ResourceNotFound)));
    assert_eq!(facts[3].request_id.as_str(), refused.told("x-amzn-requestid"));
    assert_eq!((facts[4].operation, facts[4].code), (None, Some(ErrorCode::BadRequest)));
    assert_eq!(facts[5].operation, Some(Operation::UploadArchive));
    assert_ne!(facts[5].status, Some(201));
}
