//! A service over a store in memory, by a clock that stands still, that is called without a connection.

use std::sync::{Arc, Mutex};

use http::Request;
use http_body_util::BodyExt as _;
use icefield_engine::{Engine, MasterKey, Settings};
use icefield_protocol::{AccountId, Clock as _, Timestamp, UserName};
use icefield_server::{
    Observer, RequestFacts, Server, ServerSettings,
    connection::{Body, Peer, Service},
};
use icefield_store::{ManualClock, Store};

use super::message::{Client, Message, Who};
use crate::glacier::world::{START, engine_settings};

/// Archives of this length have a file; shorter ones lie in the log.
pub(super) const SMALL_BYTES: u64 = 100;

pub(super) struct World {
    pub(super) engine: Engine,
    pub(super) clock: Arc<ManualClock>,
    service: Arc<dyn Service>,
    last: Arc<Last>,
}

/// The facts of the last request.
#[derive(Debug, Default)]
struct Last(Mutex<Option<RequestFacts>>);

impl Observer for Last {
    fn finished(&self, facts: &RequestFacts) {
        *self.0.lock().unwrap() = Some(facts.clone());
    }
}

/// An answer, but for what names the request, and whether it was proved who asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Answer {
    pub(super) status: u16,
    headers: Vec<(String, Vec<u8>)>,
    pub(super) body: Vec<u8>,
    pub(super) proved: bool,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(one, _)| one == name);
        found.map_or("", |(_, value)| str::from_utf8(value).unwrap())
    }

    /// Returns the code of a refusal.
    pub(super) fn code(&self) -> &str {
        self.header("x-amzn-errortype")
    }
}

impl World {
    pub(super) async fn new() -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let store = Store::in_memory(Arc::<ManualClock>::clone(&clock)).await.unwrap();
        let settings = Settings { small_archive_bytes: SMALL_BYTES, ..engine_settings() };
        let key = MasterKey::from_bytes([7; 32]);
        let engine = Engine::open_with(store, settings, Some(&key)).await.unwrap();
        let last = Arc::<Last>::default();
        let observers: Vec<Arc<dyn Observer>> = vec![Arc::<Last>::clone(&last)];
        let service = Server::service(&engine, &ServerSettings::default(), observers);
        Self { engine, clock, service, last }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) async fn answer(&self, request: Request<Body>) -> Answer {
        let peer = Peer { address: ([127, 0, 0, 1], 1).into(), secure: false };
        let (parts, body) = self.service.call(peer, request).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        let facts = self.last.0.lock().unwrap().take().unwrap();
        let mut headers: Vec<(String, Vec<u8>)> = parts
            .headers
            .iter()
            .filter(|(name, _)| *name != "x-amzn-requestid")
            .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
            .collect();
        headers.sort();
        let proved = facts.caller.is_some();
        Answer { status: parts.status.as_u16(), headers, body, proved }
    }

    pub(super) async fn send(&self, message: &Message) -> Answer {
        self.answer(message.arrived().unwrap().1).await
    }

    /// Sends a request that has to be granted.
    pub(super) async fn granted(&self, who: &Who, message: Message) -> Answer {
        let message = message.signed(Client::Boto3, who, self.now());
        let answer = self.send(&message).await;
        assert!((200..300).contains(&answer.status), "{}\n{answer:?}", message.shown());
        answer
    }

    /// Makes a key of an account's root.
    pub(super) async fn root(&self, account: &AccountId) -> Who {
        self.key(account, None, None).await
    }

    pub(super) async fn key(
        &self,
        account: &AccountId,
        user: Option<&UserName>,
        session: Option<std::time::Duration>,
    ) -> Who {
        let key = self.engine.create_key(account, user, session).await.unwrap();
        Who { access_key: key.access_key, secret: key.secret, token: key.session_token }
    }

    /// Makes a user with a policy of one statement, or without any, and a key of it.
    pub(super) async fn user(&self, account: &AccountId, name: &str, statement: &str) -> Who {
        let user = UserName::parse(name).unwrap();
        self.engine.create_user(account, &user).await.unwrap();
        if !statement.is_empty() {
            self.allow(account, name, statement).await;
        }
        self.key(account, Some(&user), None).await
    }

    /// Gives a user this policy in place of the one that it had.
    pub(super) async fn allow(&self, account: &AccountId, name: &str, statements: &str) {
        let user = UserName::parse(name).unwrap();
        let policy = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
        self.engine.set_user_policy(account, &user, "rights", &policy).await.unwrap();
    }
}
