//! Notifications of a server that runs, and the addresses that receivers open.

#[path = "../../../src/notify/tests/receiver.rs"]
mod receiver;

use std::time::Duration;

use icefield_engine::Endpoint;
use icefield_protocol::TopicName;
use icefield_server::{Server, ServerSettings};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use self::receiver::Receiver;
use crate::glacier::world::World;

/// Sends a request without a signature, and returns status and body.
async fn open(world: &World, method: &str, target: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(world.running.address()).await.unwrap();
    let request = format!("{method} {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}

/// The part of a URL behind the host.
fn target(url: &str) -> &str {
    let from = url.match_indices('/').nth(2).unwrap().0;
    &url[from..]
}

impl World {
    /// Adds a web hook to the topic `done` and lets it agree.
    async fn agreed(&self, hook: &mut Receiver) {
        let to = Endpoint::Webhook { url: hook.url() };
        let name = TopicName::parse("done").unwrap();
        self.engine.add_destination(&self.account, &name, to).await.unwrap();
        let asked = hook.next().await;
        let (status, answer) = open(self, "GET", target(asked.text("SubscribeURL"))).await;
        assert_eq!(status, 200, "{answer}");
        let arn = format!("<SubscriptionArn>{}:", self.topic());
        assert!(answer.contains(&arn), "{answer}");
    }

    fn topic(&self) -> String {
        format!("arn:aws:sns:us-west-2:{}:done", self.account)
    }

    async fn retrieval(&self, vault: &str, archive: &str, more: &str) -> String {
        let request = format!(r#"{{"Type":"archive-retrieval","ArchiveId":"{archive}"{more}}}"#);
        self.job(vault, request).await
    }
}

#[tokio::test]
async fn a_web_hook_agrees_at_the_address_it_was_sent_and_is_told_of_its_jobs() {
    let world = World::new().await;
    let mut hook = Receiver::start("200 OK").await;
    world.agreed(&mut hook).await;
    world.create_vault("v").await;
    let archive = world.upload("v", b"hello").await;
    world.retrieval("v", &archive, "").await;
    let told = format!(r#","SNSTopic":"{}""#, world.topic());
    let job = world.retrieval("v", &archive, &told).await;
    let message = hook.next().await;
    let described: serde_json::Value = serde_json::from_str(message.text("Message")).unwrap();
    assert_eq!(described["JobId"], job, "only the job that asked for it");
    assert_eq!(described["StatusCode"], "Succeeded");

    let (status, certificate) = open(&world, "GET", target(message.text("SigningCertURL"))).await;
    assert_eq!(status, 200);
    assert!(certificate.starts_with("-----BEGIN CERTIFICATE-----"), "{certificate}");
    let (status, _) = open(&world, "GET", target(message.text("UnsubscribeURL"))).await;
    assert_eq!(status, 200);
    assert_eq!(world.engine.topics(&world.account).await.unwrap(), []);
    assert_eq!(world.running.notifications().delivered(), 2);
}

#[tokio::test]
async fn what_a_stopped_server_did_not_deliver_the_next_one_does() {
    let world = World::new().await;
    let mut hook = Receiver::start("200 OK").await;
    world.agreed(&mut hook).await;
    let address = hook.address;
    hook.close().await;
    world.create_vault("v").await;
    let archive = world.upload("v", b"hello").await;
    let told = format!(r#","SNSTopic":"{}""#, world.topic());
    let job = world.retrieval("v", &archive, &told).await;
    let World { engine, clock, running, .. } = world;
    running.stop().await.unwrap();
    clock.advance(Duration::from_mins(1));
    let mut hook = Receiver::start_at(address, "200 OK").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let running = Server::start(engine, ServerSettings::default(), listener).unwrap();
    assert!(hook.next().await.text("Message").contains(&job));
    running.stop().await.unwrap();
}

#[tokio::test]
async fn only_who_has_the_token_agrees_and_only_by_get() {
    let world = World::new().await;
    let mut hook = Receiver::start("200 OK").await;
    let to = Endpoint::Webhook { url: hook.url() };
    let name = TopicName::parse("done").unwrap();
    let added = world.engine.add_destination(&world.account, &name, to).await.unwrap();
    let asked = hook.next().await;
    let good = target(asked.text("SubscribeURL")).to_owned();
    let token = asked.text("Token");
    let no_one = world.topic().replace("done", "nobody");
    for (method, target, status) in [
        ("GET", good.replace(token, "guess"), 404),
        ("GET", good.replace(token, ""), 404),
        ("GET", good.replace(&format!("&Token={token}"), ""), 404),
        ("GET", good.replace(&world.topic(), &no_one), 404),
        ("GET", good.replace(&world.topic(), "nonsense"), 404),
        (
            "GET",
            format!("/?Action=Unsubscribe&SubscriptionArn={}:0000000000000000", world.topic()),
            404,
        ),
        ("GET", "/SimpleNotificationService-00.pem".to_owned(), 404),
        ("POST", good.clone(), 400),
        ("PUT", good.clone(), 400),
        ("GET", good.replace("/?", "/x?"), 400),
        ("GET", "/?Action=Publish".to_owned(), 400),
        ("GET", "/".to_owned(), 400),
    ] {
        let answer = open(&world, method, &target).await;
        assert_eq!(answer.0, status, "{method} {target}: {}", answer.1);
    }
    let topics = world.engine.topics(&world.account).await.unwrap();
    assert_eq!(topics[0].destinations, [added], "nothing has changed");
    assert!(hook.came().is_none(), "it was asked once");
    assert_eq!(open(&world, "GET", &good).await.0, 200);
    assert_eq!(open(&world, "GET", &good).await.0, 404, "the token is used up");
}
