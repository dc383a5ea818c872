//! Data retrieval policies, provisioned capacity and topics.

use std::time::Duration;

use icefield_engine::{Endpoint, EngineError, Resource, Settings};
use icefield_protocol::{
    Clock as _, ErrorCode, InventoryParameters, JobRequest, NotificationConfiguration,
    NotificationEvent, Operation, RetrievalPolicy, Tier, Timestamp, TopicArn, TopicName,
};

use icefield_store::ledger::DeliveryRow;

use crate::world::{HOUR, World, archive_job, assert_refused, bytes, inventory_job, service};

const GIB: u64 = 1 << 30;

impl World {
    async fn set_policy(&self, policy: RetrievalPolicy) {
        let resource = Resource::account(&self.account);
        let access = self.engine.access(Operation::SetDataRetrievalPolicy, resource).await.unwrap();
        self.engine.set_retrieval_policy(&access, policy).await.unwrap();
    }

    async fn policy(&self) -> RetrievalPolicy {
        let resource = Resource::account(&self.account);
        let access = self.engine.access(Operation::GetDataRetrievalPolicy, resource).await.unwrap();
        self.engine.retrieval_policy(&access).await.unwrap()
    }

    async fn purchase(&self) -> Result<(), EngineError> {
        let resource = Resource::account(&self.account);
        let operation = Operation::PurchaseProvisionedCapacity;
        let access = self.engine.access(operation, resource).await.unwrap();
        self.engine.purchase_capacity(&access).await.map(drop)
    }

    async fn capacity(&self) -> Vec<(Timestamp, Timestamp)> {
        let resource = Resource::account(&self.account);
        let access =
            self.engine.access(Operation::ListProvisionedCapacity, resource).await.unwrap();
        let units = self.engine.capacity(&access).await.unwrap();
        units.into_iter().map(|unit| (unit.start_date, unit.expiration_date)).collect()
    }
}

fn with_tier(request: JobRequest, tier: Tier) -> JobRequest {
    match request {
        JobRequest::Archive { archive, range, description, sns_topic, .. } => {
            JobRequest::Archive { archive, range, tier, description, sns_topic }
        }
        inventory @ JobRequest::Inventory { .. } => inventory,
    }
}

#[tokio::test]
async fn a_rate_is_shared_by_the_standard_retrievals_in_progress() {
    let world = World::with(service()).await;
    assert_eq!(world.policy().await, RetrievalPolicy::None);
    let archive = world.put(&bytes(1, 1001)).await.id;
    // Over 4 hours 1001 bytes are 251 an hour.
    world.set_policy(RetrievalPolicy::BytesPerHour(502)).await;
    let request = archive_job(&archive, None);
    world.start(&request).await.unwrap();
    world.start(&request).await.unwrap();
    assert_refused(
        world.start(&request).await,
        ErrorCode::PolicyEnforced,
        "InitiateJob request denied by current data retrieval policy.",
    );
    world.start(&with_tier(request.clone(), Tier::Bulk)).await.unwrap();
    world.start(&with_tier(request.clone(), Tier::Expedited)).await.unwrap();
    world.clock.advance(Duration::from_hours(5));
    world.engine.run_due_jobs().await.unwrap();
    world.start(&request).await.unwrap();
}

#[tokio::test]
async fn two_retrievals_at_once_are_not_both_the_last_that_fits() {
    let world = World::with(service()).await;
    let archive = world.put(&bytes(1, 1000)).await.id;
    world.set_policy(RetrievalPolicy::BytesPerHour(250)).await;
    let request = archive_job(&archive, None);
    let starts = futures_util::future::join_all((0..20).map(|_| world.start(&request))).await;
    assert_eq!(starts.iter().filter(|start| start.is_ok()).count(), 1);
}

#[tokio::test]
async fn the_free_tier_is_a_share_of_each_day() {
    // January has 31 days.
    let settings = Settings { free_tier_bytes: 31 * 1500, ..service() };
    let world = World::with(settings).await;
    let archive = world.put(&bytes(1, 1000)).await.id;
    world.set_policy(RetrievalPolicy::FreeTier).await;
    let request = archive_job(&archive, None);
    world.start(&request).await.unwrap();
    assert!(matches!(world.start(&request).await, Err(EngineError::PolicyEnforced)));
    world.clock.advance(Duration::from_hours(24));
    world.start(&request).await.unwrap();
    assert_eq!(Settings::embedded().free_tier_bytes, 10 * GIB);
}

#[tokio::test]
async fn two_units_of_capacity_for_a_month() {
    let settings = Settings { expedited_needs_capacity: true, ..service() };
    let world = World::with(settings).await;
    let archive = world.put(&bytes(1, 10)).await.id;
    let expedited = with_tier(archive_job(&archive, None), Tier::Expedited);
    let refused = world.start(&expedited).await;
    assert!(matches!(refused, Err(EngineError::InsufficientCapacity)), "{refused:?}");
    world.purchase().await.unwrap();
    world.start(&expedited).await.unwrap();
    world.purchase().await.unwrap();
    assert_refused(
        world.purchase().await,
        ErrorCode::LimitExceeded,
        "The limit of 2 units of provisioned capacity is reached.",
    );
    let (start, end) = world.capacity().await[0];
    assert_eq!(start.to_string(), "2026-01-01T00:00:00.500Z");
    assert_eq!(end.to_string(), "2026-02-01T00:00:00.000Z");
    world.clock.advance(Duration::from_hours(31 * 24));
    world.purchase().await.unwrap();
    assert_eq!(world.capacity().await.len(), 3, "ended units are listed for a while");
    world.clock.advance(Duration::from_hours(32 * 24));
    assert_eq!(world.capacity().await.len(), 1);
}

#[tokio::test]
async fn a_topic_has_destinations_and_a_web_hook_consents_once() {
    let world = World::new().await;
    let name = TopicName::parse("done").unwrap();
    let hook = Endpoint::Webhook { url: "https://example.com/hook".to_owned() };
    let mail = Endpoint::Email { to: "ann@example.com".to_owned() };
    let hook = world.engine.add_destination(&world.account, &name, hook.clone()).await.unwrap();
    let mail = world.engine.add_destination(&world.account, &name, mail).await.unwrap();
    assert_eq!(mail.unconfirmed, None);
    let twice = world.engine.add_destination(&world.account, &name, hook.to.clone()).await;
    assert!(matches!(twice, Err(EngineError::InvalidDestination(_))), "{twice:?}");

    let topic = world.engine.topics(&world.account).await.unwrap().remove(0);
    assert_eq!(topic.arn.to_string(), format!("arn:aws:sns:local:{}:done", world.account));
    assert_eq!(world.engine.topic(&topic.arn).await.unwrap().unwrap(), topic);
    let elsewhere: TopicArn = topic.arn.to_string().replace("local", "mars").parse().unwrap();
    assert_eq!(world.engine.topic(&elsewhere).await.unwrap(), None);

    let token = hook.unconfirmed.unwrap();
    assert!(world.engine.confirm_destination(&topic.arn, "guess").await.is_err());
    let confirmed = world.engine.confirm_destination(&topic.arn, &token).await.unwrap();
    assert_eq!((confirmed.id, confirmed.unconfirmed), (hook.id.clone(), None));
    assert!(world.engine.confirm_destination(&topic.arn, &token).await.is_err());

    world.engine.remove_topic(&world.account, &name, Some(&mail.id)).await.unwrap();
    assert_eq!(world.engine.topics(&world.account).await.unwrap()[0].destinations.len(), 1);
    world.engine.remove_topic(&world.account, &name, Some(&hook.id)).await.unwrap();
    assert!(world.engine.topics(&world.account).await.unwrap().is_empty());
    assert!(world.engine.remove_topic(&world.account, &name, None).await.is_err());
}

#[tokio::test]
async fn what_cannot_be_a_destination_is_refused_with_the_form() {
    let world = World::new().await;
    let name = TopicName::parse("done").unwrap();
    for (to, form) in [
        (Endpoint::Webhook { url: "ftp://example.com/".to_owned() }, "https://HOST/PATH"),
        (Endpoint::Webhook { url: "https://".to_owned() }, "https://HOST/PATH"),
        (Endpoint::Webhook { url: "https://a b".to_owned() }, "https://HOST/PATH"),
        (Endpoint::Email { to: "ann".to_owned() }, "NAME@HOST"),
        (Endpoint::Email { to: "ann@x\r\nBcc: all@x".to_owned() }, "NAME@HOST"),
        (
            Endpoint::Sns { topic_arn: "done".to_owned(), endpoint_url: None },
            "arn:aws:sns:REGION:ACCOUNT:NAME",
        ),
    ] {
        let refused = world.engine.add_destination(&world.account, &name, to).await.unwrap_err();
        assert!(refused.to_string().contains(form), "{refused}");
    }
    assert!(world.engine.topics(&world.account).await.unwrap().is_empty());
}

impl World {
    async fn configure(&self, events: &[NotificationEvent], topic: &str) {
        let resource = Resource::vault(&self.account, &self.vault);
        let operation = Operation::SetVaultNotifications;
        let access = self.engine.access(operation, resource).await.unwrap();
        let sns_topic = self.topic(topic);
        let configuration = NotificationConfiguration { events: events.to_vec(), sns_topic };
        self.engine.set_notifications(&access, configuration).await.unwrap();
    }

    fn topic(&self, name: &str) -> TopicArn {
        format!("arn:aws:sns:local:{}:{name}", self.account).parse().unwrap()
    }

    async fn listen(&self, topic: &str, to: &str) -> String {
        let to = Endpoint::Email { to: to.to_owned() };
        let name = TopicName::parse(topic).unwrap();
        self.engine.add_destination(&self.account, &name, to).await.unwrap().id
    }

    async fn deliveries(&self) -> Vec<DeliveryRow> {
        self.engine.store().ledger().due_deliveries(self.clock.now(), 100).await.unwrap()
    }
}

fn told_to(request: JobRequest, topic: &TopicArn) -> JobRequest {
    let told = Some(topic.to_string());
    match request {
        JobRequest::Archive { archive, range, tier, description, .. } => {
            JobRequest::Archive { archive, range, tier, description, sns_topic: told }
        }
        JobRequest::Inventory { parameters, description, .. } => {
            JobRequest::Inventory { parameters, description, sns_topic: told }
        }
    }
}

#[tokio::test]
async fn the_end_of_a_job_is_told_to_every_destination_of_its_topics() {
    let world = World::new().await;
    let archive = world.put(&bytes(1, 10)).await.id;
    let (first, second) = (world.listen("done", "a@x").await, world.listen("done", "b@x").await);
    let of_vault = world.listen("vault", "c@x").await;
    world.configure(&[NotificationEvent::ArchiveRetrievalCompleted], "vault").await;
    let request = told_to(archive_job(&archive, None), &world.topic("done"));
    let job = world.start(&request).await.unwrap();
    assert_eq!(world.deliveries().await, [], "nothing before the job has ended");
    world.engine.run_due_jobs().await.unwrap();
    let told = world.deliveries().await;
    let destinations: Vec<_> = told.iter().map(|row| row.destination.clone()).collect();
    assert_eq!(destinations, [first, second, of_vault]);
    assert_eq!(told[0].message_id, told[1].message_id, "one message to two destinations");
    assert_ne!(told[0].message_id, told[2].message_id, "another to the other topic");
    let described = world.describe(&job).await.unwrap();
    let mut expected = serde_json::to_value(&described).unwrap();
    let never =
        ["JobOutputPath", "NextInventoryRetrievalMarker", "OutputLocation", "SelectParameters"];
    for never in never {
        expected.as_object_mut().unwrap().remove(never);
    }
    assert_eq!(serde_json::from_str::<serde_json::Value>(&told[0].message).unwrap(), expected);
    assert!(told[0].message.starts_with(r#"{"Action":"ArchiveRetrieval","ArchiveId":""#));
    world.engine.run_due_jobs().await.unwrap();
    assert_eq!(world.deliveries().await.len(), 3, "once");
}

#[tokio::test]
async fn a_message_given_up_is_kept_for_thirty_days() {
    let world = World::new().await;
    let archive = world.put(&bytes(1, 10)).await.id;
    world.listen("done", "a@x").await;
    world.listen("done", "b@x").await;
    let request = told_to(archive_job(&archive, None), &world.topic("done"));
    world.start(&request).await.unwrap();
    world.engine.run_due_jobs().await.unwrap();
    let ledger = world.engine.store().ledger();
    let [first, second] = world.deliveries().await.try_into().unwrap();
    let given_up = DeliveryRow { dead: true, next: world.clock.now(), ..first };
    assert!(ledger.update_delivery(given_up.clone()).await.unwrap());
    let kept = async || ledger.dead_deliveries(None, 9).await.unwrap();
    world.clock.advance(30 * 24 * HOUR - Duration::from_millis(1));
    world.engine.housekeeping().await.unwrap();
    assert_eq!(kept().await, [given_up]);
    world.clock.advance(Duration::from_millis(1));
    world.engine.housekeeping().await.unwrap();
    assert_eq!(kept().await, []);
    assert_eq!(world.deliveries().await, [second], "what is on its way stays");
}

#[tokio::test]
async fn only_the_events_that_were_asked_for_are_told() {
    let world = World::new().await;
    let archive = world.put(&bytes(1, 10)).await.id;
    world.listen("done", "a@x").await;
    world.configure(&[NotificationEvent::InventoryRetrievalCompleted], "done").await;
    world.start(&archive_job(&archive, None)).await.unwrap();
    let elsewhere = world.topic("nobody");
    world.start(&told_to(archive_job(&archive, None), &elsewhere)).await.unwrap();
    let foreign = "arn:aws:sns:local:999999999999:done".parse().unwrap();
    world.start(&told_to(archive_job(&archive, None), &foreign)).await.unwrap();
    world.engine.run_due_jobs().await.unwrap();
    assert_eq!(world.deliveries().await, []);
    world.start(&inventory_job(InventoryParameters::default())).await.unwrap();
    world.engine.run_due_jobs().await.unwrap();
    let told = world.deliveries().await;
    assert_eq!(told.len(), 1);
    assert!(told[0].message.contains(r#""SNSTopic":null"#), "the job has no topic of its own");
}

#[tokio::test]
async fn a_failed_job_is_told_and_an_unconfirmed_web_hook_is_not() {
    let world = World::with(service()).await;
    let archive = world.put(&bytes(1, 10)).await.id;
    let name = TopicName::parse("done").unwrap();
    let hook = Endpoint::Webhook { url: "https://example.com/".to_owned() };
    world.engine.add_destination(&world.account, &name, hook).await.unwrap();
    let mail = world.listen("done", "a@x").await;
    let request = told_to(archive_job(&archive, None), &world.topic("done"));
    world.start(&request).await.unwrap();
    world.delete(&archive).await.unwrap();
    world.clock.advance(Duration::from_hours(5));
    let asked = world.deliveries().await.remove(0);
    assert_eq!(asked.message, "", "the web hook is asked whether it wants this");
    assert!(world.engine.store().ledger().remove_delivery(asked.number).await.unwrap());
    world.engine.run_due_jobs().await.unwrap();
    let told = world.deliveries().await;
    assert_eq!(told.iter().map(|row| &row.destination).collect::<Vec<_>>(), [&mail]);
    assert!(told[0].message.contains(r#""StatusCode":"Failed""#));
}

#[tokio::test]
async fn a_message_to_a_topic_goes_to_all_its_destinations() {
    let world = World::new().await;
    let (first, second) = (world.listen("done", "a@x").await, world.listen("done", "b@x").await);
    world.listen("other", "c@x").await;
    let name = TopicName::parse("done").unwrap();
    let sent = world.engine.publish(&world.account, &name, "hello").await.unwrap();
    let told = world.deliveries().await;
    let destinations: Vec<_> = told.iter().map(|row| row.destination.clone()).collect();
    assert_eq!((sent, destinations), (2, vec![first, second]));
    assert_eq!((told[0].message.as_str(), &told[0].message_id), ("hello", &told[1].message_id));
    let nobody = TopicName::parse("nobody").unwrap();
    let refused = world.engine.publish(&world.account, &nobody, "hello").await.unwrap_err();
    assert!(matches!(refused, EngineError::TopicNotFound(_)), "{refused:?}");
}
