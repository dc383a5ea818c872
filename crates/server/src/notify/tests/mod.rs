//! Delivering by rounds, each begun by the test, by a clock that stands still.

mod receiver;

use std::{sync::Arc, time::Duration};

use icefield_engine::{Destination, Endpoint, Engine, MasterKey, Settings};
use icefield_protocol::{Timestamp, TopicArn, TopicName};
use icefield_store::{ManualClock, Store, ledger::DeliveryRow};

use self::receiver::Receiver;
use super::{Notifier, NotifySettings, dead_letters, forget, revive, test_message};

const START: Timestamp = Timestamp::from_unix_millis(1_336_392_000_250);
const ATTEMPTS: u32 = 3;

struct World {
    engine: Engine,
    clock: Arc<ManualClock>,
    notifier: Notifier,
    topic: TopicName,
}

impl World {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let store = Store::in_memory(Arc::<ManualClock>::clone(&clock)).await.unwrap();
        let key = MasterKey::from_bytes([7; 32]);
        let engine = Engine::open_with(store, Settings::embedded(), Some(&key)).await.unwrap();
        let settings = NotifySettings { attempts: ATTEMPTS, ..NotifySettings::default() };
        let notifier = Notifier::new(engine.clone(), "https://cold.example/", settings);
        Self { engine, clock, notifier, topic: TopicName::parse("done").unwrap() }
    }

    async fn add(&self, url: &str) -> Destination {
        let to = Endpoint::Webhook { url: url.to_owned() };
        self.engine.add_destination(self.engine.account(), &self.topic, to).await.unwrap()
    }

    /// Adds a web hook that has agreed, without having been asked.
    async fn agreed(&self, url: &str) -> Destination {
        let added = self.add(url).await;
        let token = added.unconfirmed.unwrap();
        let agreed = self.engine.confirm_destination(&self.arn(), &token).await.unwrap();
        self.notifier.round().await.unwrap();
        agreed
    }

    fn arn(&self) -> TopicArn {
        TopicArn::new(
            self.engine.region().clone(),
            self.engine.account().clone(),
            self.topic.clone(),
        )
    }

    async fn publish(&self, message: &str) {
        self.engine.publish(self.engine.account(), &self.topic, message).await.unwrap();
    }

    /// What is in the outbox, whenever it is due.
    async fn waiting(&self) -> Vec<DeliveryRow> {
        let end = Timestamp::from_unix_millis(i64::MAX);
        self.engine.store().ledger().due_deliveries(end, 1000).await.unwrap()
    }
}

#[tokio::test]
async fn a_web_hook_is_asked_before_it_is_told_anything() {
    let world = World::new().await;
    let mut hook = Receiver::start("200 OK").await;
    let added = world.add(&hook.url()).await;
    world.publish("early").await;
    world.notifier.round().await.unwrap();
    for _ in 0..2 {
        let asked = hook.next().await;
        assert_eq!(asked.header("x-amz-sns-message-type"), "SubscriptionConfirmation");
        assert_eq!(asked.text("Token"), added.unconfirmed.as_deref().unwrap());
        assert!(!asked.text("Message").contains("early"), "{asked:?}");
    }
    assert_eq!(world.waiting().await, []);
    let token = added.unconfirmed.unwrap();
    world.engine.confirm_destination(&world.arn(), &token).await.unwrap();
    world.publish("late").await;
    world.notifier.round().await.unwrap();
    let told = hook.next().await;
    assert_eq!((told.text("Type"), told.text("Message")), ("Notification", "late"));
    assert_eq!(told.header("x-amz-sns-message-type"), "Notification");
    assert_eq!(told.header("x-amz-sns-message-id"), told.text("MessageId"));
    assert_eq!(told.header("x-amz-sns-topic-arn"), world.arn().to_string());
    assert_eq!(told.header("content-type"), "text/plain; charset=UTF-8");
    assert!(told.head.starts_with("POST /hook HTTP/1.1\r\n"), "{}", told.head);
    assert!(told.text("SigningCertURL").starts_with("https://cold.example/Simple"));
    assert_eq!(world.notifier.counters().delivered(), 3);
}

#[tokio::test]
async fn a_question_that_was_answered_meanwhile_is_not_sent_as_a_message() {
    let world = World::new().await;
    let mut hook = Receiver::start("200 OK").await;
    world.agreed(&hook.url()).await;
    assert!(hook.came().is_none());
    assert_eq!(world.waiting().await, []);
}

#[tokio::test]
async fn a_message_to_a_destination_that_is_down_is_tried_again_when_it_is_due() {
    let world = World::new().await;
    let hook = Receiver::start("200 OK").await;
    let address = hook.address;
    world.agreed(&hook.url()).await;
    hook.close().await;
    world.publish("first").await;
    world.publish("second").await;
    world.notifier.round().await.unwrap();
    let failed = world.waiting().await;
    assert_eq!(failed.iter().map(|row| row.attempts).collect::<Vec<_>>(), [1, 1]);
    let wait = failed[0].next.saturating_since(START);
    assert!((5..=10).contains(&wait.as_secs()), "{wait:?}");
    assert!(failed[0].error.is_some());

    let mut hook = Receiver::start_at(address, "200 OK").await;
    world.notifier.round().await.unwrap();
    assert!(hook.came().is_none(), "it is not due yet");
    world.clock.advance(Duration::from_secs(10));
    world.notifier.round().await.unwrap();
    let mut told =
        [hook.next().await, hook.next().await].map(|told| told.text("Message").to_owned());
    told.sort_unstable();
    assert_eq!(told, ["first", "second"]);
    assert_eq!(world.waiting().await, []);
}

#[tokio::test]
async fn a_repeated_message_keeps_its_id() {
    let world = World::new().await;
    let mut hook = Receiver::start("503 Service Unavailable").await;
    world.agreed(&hook.url()).await;
    world.publish("hello").await;
    world.notifier.round().await.unwrap();
    world.clock.advance(Duration::from_secs(10));
    world.notifier.round().await.unwrap();
    let (first, second) = (hook.next().await, hook.next().await);
    assert_eq!(first.text("MessageId"), second.text("MessageId"));
    assert_eq!(world.notifier.counters().failed(), 2);
}

#[tokio::test]
async fn a_refused_message_does_not_hold_up_the_next_one() {
    let world = World::new().await;
    let mut hook = Receiver::start("403 Forbidden").await;
    world.agreed(&hook.url()).await;
    for message in ["first", "second", "third"] {
        world.publish(message).await;
    }
    world.notifier.round().await.unwrap();
    for _ in 0..3 {
        hook.next().await;
    }
    assert!(world.waiting().await.iter().all(|row| row.attempts == 1));
    let mut gone = Receiver::start("503 Service Unavailable").await;
    let other = World::new().await;
    other.agreed(&gone.url()).await;
    for message in ["first", "second", "third"] {
        other.publish(message).await;
    }
    other.notifier.round().await.unwrap();
    gone.next().await;
    assert!(gone.came().is_none(), "a destination that is not well is left alone");
    assert!(other.waiting().await.iter().all(|row| row.attempts == 1), "but each was tried");
}

#[tokio::test]
async fn a_message_is_given_up_kept_and_revived() {
    let world = World::new().await;
    let mut hook = Receiver::start("500 Internal Server Error").await;
    world.agreed(&hook.url()).await;
    world.publish("hello").await;
    world.publish("forget me").await;
    for _ in 0..ATTEMPTS {
        world.notifier.round().await.unwrap();
        world.clock.advance(Duration::from_hours(1));
    }
    let dead = dead_letters(&world.engine, None, 10).await.unwrap();
    assert_eq!((dead.len(), world.waiting().await.len()), (2, 0));
    assert_eq!(dead[0].error.as_deref(), Some("the web hook answered 500 Internal Server Error"));
    assert_eq!((dead[0].attempts, world.notifier.counters().given_up()), (ATTEMPTS, 2));
    world.notifier.round().await.unwrap();
    while hook.came().is_some() {}

    let address = hook.address;
    hook.close().await;
    assert!(forget(&world.engine, dead[1].number).await.unwrap());
    assert!(!forget(&world.engine, dead[1].number).await.unwrap());
    assert!(!revive(&world.engine, dead[1].number).await.unwrap());
    assert!(revive(&world.engine, dead[0].number).await.unwrap());
    assert!(!revive(&world.engine, dead[0].number).await.unwrap(), "it is on its way again");
    let mut hook = Receiver::start_at(address, "204 No Content").await;
    world.notifier.round().await.unwrap();
    assert_eq!(hook.next().await.text("Message"), "hello");
    assert_eq!(dead_letters(&world.engine, None, 10).await.unwrap(), []);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let world = World::new().await;
    let mut target = Receiver::start("200 OK").await;
    let location = format!("307 Temporary Redirect\r\nlocation: {}", target.url());
    let mut hook = Receiver::start(&location).await;
    world.agreed(&hook.url()).await;
    world.publish("hello").await;
    world.notifier.round().await.unwrap();
    hook.next().await;
    assert!(target.came().is_none());
    assert_eq!(world.waiting().await[0].attempts, 1);
}

#[tokio::test]
async fn nothing_is_sent_to_a_barred_address_by_any_channel() {
    let world = World::new().await;
    world.agreed("http://169.254.169.254/latest/meta-data").await;
    for to in [
        Endpoint::Sqs {
            queue_url: "http://[fd00:ec2::254]/1/queue".to_owned(),
            region: "us-west-2".to_owned(),
            endpoint_url: None,
        },
        Endpoint::Sns {
            topic_arn: "arn:aws:sns:us-west-2:012345678901:done".to_owned(),
            endpoint_url: Some("http://2852039166/".to_owned()),
        },
    ] {
        world.engine.add_destination(world.engine.account(), &world.topic, to).await.unwrap();
    }
    world.publish("hello").await;
    world.notifier.round().await.unwrap();
    let waiting = world.waiting().await;
    assert_eq!(waiting.len(), 3);
    for row in waiting {
        let error = row.error.unwrap();
        assert!(error.contains("nothing is sent there unless `notify_allow` names"), "{error}");
    }
}

#[tokio::test]
async fn mail_without_a_mail_server_says_what_to_set() {
    let world = World::new().await;
    let to = Endpoint::Email { to: "ann@example.com".to_owned() };
    world.engine.add_destination(world.engine.account(), &world.topic, to).await.unwrap();
    assert_eq!(test_message(&world.engine, world.engine.account(), &world.topic).await.unwrap(), 1);
    world.notifier.round().await.unwrap();
    let error = world.waiting().await.remove(0).error.unwrap();
    assert!(error.contains("smtp_url"), "{error}");
}

#[tokio::test]
async fn what_is_for_a_removed_destination_is_dropped() {
    let world = World::new().await;
    let mut hook = Receiver::start("200 OK").await;
    let added = world.agreed(&hook.url()).await;
    world.publish("hello").await;
    let account = world.engine.account();
    world.engine.remove_topic(account, &world.topic, Some(&added.id)).await.unwrap();
    world.notifier.round().await.unwrap();
    assert!(hook.came().is_none());
    assert_eq!(world.waiting().await, []);
}

#[tokio::test]
async fn a_long_queue_for_a_dead_destination_costs_one_attempt() {
    let world = World::new().await;
    let mut hook = Receiver::start("503 Service Unavailable").await;
    world.agreed(&hook.url()).await;
    for message in 0..300 {
        world.publish(&message.to_string()).await;
    }
    for _page in 0..2 {
        world.notifier.round().await.unwrap();
    }
    assert!(world.waiting().await.iter().all(|row| row.attempts == 1), "each was tried");
    hook.next().await;
    assert!(hook.came().is_none(), "by one request");
    world.clock.advance(Duration::from_secs(10));
    world.notifier.round().await.unwrap();
    hook.next().await;
}

#[tokio::test]
async fn a_dead_destination_does_not_hold_up_another_topic() {
    let world = World::new().await;
    let dead = Receiver::start("503 Service Unavailable").await;
    world.agreed(&dead.url()).await;
    world.publish("lost").await;
    let other = TopicName::parse("other").unwrap();
    let other = World { topic: other, ..world };
    let mut hook = Receiver::start("200 OK").await;
    other.agreed(&hook.url()).await;
    other.publish("found").await;
    other.notifier.round().await.unwrap();
    assert_eq!(hook.next().await.text("Message"), "found");
}
