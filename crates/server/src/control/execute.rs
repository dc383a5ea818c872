//! Doing what is asked.

use std::{sync::Arc, time::Duration};

use icefield_engine::{
    Caller, Endpoint, Engine, EngineError, Resource, Topic, policy::ContextKeys,
};
use icefield_protocol::{AccountId, ErrorCode};
use icefield_store::{PackOutcome, entry::DeliveryNumber, scrub::Scrub};
use tokio::sync::Mutex;

use crate::{
    notify,
    operate::{AuditError, AuditLog, Change, Outcome},
    request_id::RequestId,
};

use super::request::{
    AccountRecord, Answer, CompactedRecord, DeadRecord, DecisionRecord, KeyRecord, Refusal,
    Request, ScrubRecord, TopicRecord, UserRecord, WhatIf,
};

/// Bytes that a scrub reads before it lets others have the disk.
const SCRUB_STEP_BYTES: u64 = 64 << 20;
/// Bytes that a compaction reads or copies before it lets others have the disk.
const COMPACTION_STEP_BYTES: u64 = 64 << 20;
/// Undelivered messages that an answer names, or that are tried again at once.
const MAX_DEAD: usize = 1000;
/// Problems that an answer names.
const MAX_PROBLEMS: usize = 1000;

/// Acts for the store's owner. Clones act as one.
#[derive(Debug, Clone)]
pub struct Administrator {
    engine: Engine,
    /// One scrub at a time: two would only be in each other's way.
    scrubbing: Arc<Mutex<()>>,
    audit: Option<AuditLog>,
}

impl Administrator {
    /// Acts on this engine.
    #[must_use]
    pub fn new(engine: Engine) -> Self {
        Self { engine, scrubbing: Arc::default(), audit: None }
    }

    /// Tells the audit log of every change.
    #[must_use]
    pub fn audited(self, audit: Option<AuditLog>) -> Self {
        Self { audit, ..self }
    }

    /// Does what is asked; what cannot be done is an answer, too.
    pub async fn execute(&self, request: Request) -> Answer {
        let audit = self.audit.as_ref().filter(|_| !request.only_tells());
        let Some(audit) = audit else { return self.answer(request).await };
        let refused =
            |error: AuditError| Answer::Refused(Refusal::new(ErrorCode::ServiceUnavailable, error));
        let ticket = match audit.begin(change(&request, self.engine.account())).await {
            Ok(ticket) => ticket,
            Err(error) => return refused(error),
        };
        let answer = self.answer(request).await;
        match ticket.record(outcome(&answer)).await {
            Ok(()) => answer,
            Err(error) => refused(error),
        }
    }

    async fn answer(&self, request: Request) -> Answer {
        match self.try_execute(request).await {
            Ok(answer) => answer,
            Err(error) => {
                if error.code() == ErrorCode::ServiceUnavailable {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "a command of the owner failed");
                }
                Answer::Refused(Refusal::new(error.code(), describe(&error)))
            }
        }
    }

    async fn try_execute(&self, request: Request) -> Result<Answer, EngineError> {
        let engine = &self.engine;
        let or_first =
            |account: Option<AccountId>| account.unwrap_or_else(|| engine.account().clone());
        match request {
            Request::CreateAccount => {
                let account = engine.create_account().await?;
                Ok(Answer::Accounts(vec![account_record(account)]))
            }
            Request::ListAccounts => {
                let accounts = engine.accounts().await?;
                Ok(Answer::Accounts(accounts.into_iter().map(account_record).collect()))
            }
            Request::CreateUser { account, user } => {
                let account = or_first(account);
                let user = engine.create_user(&account, &user).await?;
                Ok(Answer::Users(vec![user_record(&account, user)]))
            }
            Request::ListUsers { account } => {
                let account = or_first(account);
                let users = engine.users(&account).await?;
                let records = users.into_iter().map(|user| user_record(&account, user));
                Ok(Answer::Users(records.collect()))
            }
            Request::DeleteUser { account, user } => {
                engine.delete_user(&or_first(account), &user).await.map(|()| Answer::Done)
            }
            Request::UserPolicies { account, user } => {
                engine.user_policies(&or_first(account), &user).await.map(Answer::Policies)
            }
            Request::SetUserPolicy { account, user, name, text } => {
                engine.set_user_policy(&or_first(account), &user, &name, &text).await?;
                Ok(Answer::Done)
            }
            Request::RemoveUserPolicy { account, user, name } => {
                engine.remove_user_policy(&or_first(account), &user, &name).await?;
                Ok(Answer::Done)
            }
            Request::CreateKey { account, user, session_seconds } => {
                let account = or_first(account);
                let session = session_seconds.map(Duration::from_secs);
                let created = engine.store().clock().now();
                let key = engine.create_key(&account, user.as_ref(), session).await?;
                Ok(Answer::Keys(vec![KeyRecord {
                    access_key: key.access_key,
                    secret_key: Some(key.secret.as_str().to_owned()),
                    session_token: key.session_token,
                    account,
                    user,
                    created,
                    expires: key.expires,
                }]))
            }
            Request::ListKeys => {
                let keys = engine.keys().await?;
                let records = keys.into_iter().map(|key| KeyRecord {
                    access_key: key.access_key,
                    secret_key: None,
                    session_token: None,
                    account: key.account,
                    user: key.user,
                    created: key.created,
                    expires: key.expires,
                });
                Ok(Answer::Keys(records.collect()))
            }
            Request::RevokeKey { access_key } => {
                engine.revoke_key(&access_key).await.map(|()| Answer::Done)
            }
            Request::AddTopic { account, topic, to } => {
                let account = or_first(account);
                let added = engine.add_destination(&account, &topic, to).await?;
                let topics = engine.topics(&account).await?;
                let topics = topics.into_iter().filter(|known| known.arn.name == topic);
                let mut records: Vec<_> = topics.flat_map(topic_records).collect();
                records.retain(|record| record.destination == added.id);
                Ok(Answer::Topics(records))
            }
            Request::ListTopics { account } => {
                let topics = engine.topics(&or_first(account)).await?;
                Ok(Answer::Topics(topics.into_iter().flat_map(topic_records).collect()))
            }
            Request::RemoveTopic { account, topic, destination } => {
                engine.remove_topic(&or_first(account), &topic, destination.as_deref()).await?;
                Ok(Answer::Done)
            }
            Request::TestTopic { account, topic } => {
                let sent = notify::test_message(engine, &or_first(account), &topic).await?;
                Ok(Answer::Count(sent as u64))
            }
            Request::ListDead => self.dead().await,
            Request::RetryDead { number } => self.retry(number).await,
            Request::ForgetDead { number } => {
                let found = notify::forget(engine, DeliveryNumber(number)).await?;
                Ok(Answer::Count(found.into()))
            }
            Request::Simulate(what_if) => self.simulate(*what_if).await,
            Request::Stat => self.stat().await,
            Request::Scrub => self.scrub().await,
            Request::Compact => self.compact().await,
        }
    }

    async fn dead(&self) -> Result<Answer, EngineError> {
        let rows = notify::dead_letters(&self.engine, None, MAX_DEAD).await?;
        let records = rows.into_iter().map(|row| DeadRecord {
            number: row.number.0,
            topic: row.topic,
            destination: row.destination,
            created: row.created,
            attempts: row.attempts,
            error: row.error,
            message: row.message,
        });
        Ok(Answer::Dead(records.collect()))
    }

    async fn retry(&self, number: Option<u64>) -> Result<Answer, EngineError> {
        let numbers = match number {
            Some(number) => vec![DeliveryNumber(number)],
            None => {
                let rows = notify::dead_letters(&self.engine, None, MAX_DEAD).await?;
                rows.into_iter().map(|row| row.number).collect()
            }
        };
        let mut revived = 0;
        for number in numbers {
            revived += u64::from(notify::revive(&self.engine, number).await?);
        }
        Ok(Answer::Count(revived))
    }

    async fn simulate(&self, what_if: WhatIf) -> Result<Answer, EngineError> {
        let account = what_if.account.unwrap_or_else(|| self.engine.account().clone());
        let owner = what_if.owner.unwrap_or_else(|| account.clone());
        if let Some(user) = &what_if.user {
            // Who does not exist is refused everything, which would only hide a slip of the pen.
            self.engine.user_policies(&account, user).await?;
        }
        let mut context = ContextKeys::new();
        for (name, values) in what_if.context {
            context = context.with_many(&name, values);
        }
        let caller = match what_if.user {
            Some(user) => Caller::user(account, user),
            None => Caller::root(account),
        };
        let caller = caller.with_context(context);
        let resource = Resource {
            account: &owner,
            vault: what_if.vault.as_ref(),
            archive: what_if.archive.as_ref(),
        };
        let decision = self.engine.explain(&caller, what_if.operation, resource).await?;
        Ok(Answer::Decision(DecisionRecord {
            allowed: decision.allowed,
            decided_by: decision.to_string(),
            principal: caller.arn(),
            action: what_if.operation.action().to_owned(),
        }))
    }

    async fn stat(&self) -> Result<Answer, EngineError> {
        Ok(Answer::Stat(self.engine.store().stat().await?.into()))
    }

    /// Verifies everything once.
    async fn scrub(&self) -> Result<Answer, EngineError> {
        let _one_at_a_time = self.scrubbing.lock().await;
        let mut scrub = Scrub::new(self.engine.store());
        let mut found = ScrubRecord { bytes: 0, problems: Vec::new() };
        loop {
            let step = scrub.step(SCRUB_STEP_BYTES).await?;
            found.bytes += step.bytes;
            let problems = step.problems.iter().map(|problem| problem.damage.to_string());
            found.problems.extend(problems);
            found.problems.truncate(MAX_PROBLEMS);
            if step.finished_round {
                return Ok(Answer::Scrub(found));
            }
            tokio::task::yield_now().await;
        }
    }
}

impl Administrator {
    /// Compacts everything that is worth it.
    async fn compact(&self) -> Result<Answer, EngineError> {
        // What was deleted a moment ago is to be forgotten first.
        self.engine.housekeeping().await?;
        let mut compaction = self.engine.compaction();
        let mut packs = Vec::new();
        loop {
            let step = compaction.step(COMPACTION_STEP_BYTES).await?;
            if let Some((pack, outcome)) = step.pack {
                // It may have been tried before, without room.
                packs.retain(|known: &CompactedRecord| known.pack != pack);
                packs.push(self.compacted(pack, outcome).await?);
            }
            if step.is_idle {
                return Ok(Answer::Compacted(packs));
            }
            tokio::task::yield_now().await;
        }
    }

    async fn compacted(
        &self,
        pack: u32,
        outcome: PackOutcome,
    ) -> Result<CompactedRecord, EngineError> {
        let record = CompactedRecord {
            pack,
            freed_bytes: 0,
            left_alone: None,
            damaged: false,
            failed: false,
        };
        let left = |why| CompactedRecord { left_alone: Some(why), ..record.clone() };
        Ok(match outcome {
            PackOutcome::Shorter(freed_bytes) => CompactedRecord { freed_bytes, ..record },
            PackOutcome::Locked(vault) => {
                let row = self.engine.store().ledger().vault_by_number(vault).await?;
                let name = row.map_or_else(|| vault.to_string(), |row| row.name.to_string());
                left(format!("it has archives of vault {name}, which has a lock"))
            }
            PackOutcome::Damaged(damage) => {
                CompactedRecord { damaged: true, ..left(damage.to_string()) }
            }
            PackOutcome::NoRoom => {
                let why = "there is no room for its new file: free some space, then run the same command again";
                CompactedRecord { failed: true, ..left(why.to_owned()) }
            }
            PackOutcome::Failed(why) => CompactedRecord { failed: true, ..left(why) },
        })
    }
}

/// What the audit log is told of a command: names, no texts and no addresses, which may hold secrets.
fn change(request: &Request, first: &AccountId) -> Change {
    let told = serde_json::to_value(request).unwrap_or_default();
    let text = |name: &str| told.get(name).and_then(serde_json::Value::as_str).map(str::to_owned);
    let number = told.get("number").filter(|number| number.is_u64()).map(ToString::to_string);
    let names = ["topic", "destination", "user", "name", "access_key"].map(text);
    let names: Vec<String> = names.into_iter().chain([number]).flatten().collect();
    Change {
        request_id: RequestId::random().to_string(),
        principal: "owner".to_owned(),
        access_key: None,
        source: "local".to_owned(),
        operation: text("command").unwrap_or_default(),
        account: text("account").or_else(|| Some(first.to_string())),
        vault: None,
        resource: (!names.is_empty()).then(|| names.join("/")),
    }
}

fn outcome(answer: &Answer) -> Outcome {
    let created = match answer {
        Answer::Accounts(accounts) => accounts.first().map(|made| made.account.to_string()),
        Answer::Keys(keys) => keys.first().map(|made| made.access_key.to_string()),
        Answer::Topics(topics) => topics.first().map(|made| made.destination.clone()),
        _ => None,
    };
    let code = match answer {
        Answer::Refused(refusal) => refusal.code.clone(),
        _ => "OK".to_owned(),
    };
    Outcome { created, status: None, code }
}

/// The whole chain: the owner of the store may know what a client may not.
fn describe(error: &EngineError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn account_record(account: icefield_engine::AccountDescription) -> AccountRecord {
    let icefield_engine::AccountDescription { account, created, first } = account;
    AccountRecord { account, created, first }
}

fn user_record(account: &AccountId, user: icefield_engine::UserDescription) -> UserRecord {
    let icefield_engine::UserDescription { name, created, policies } = user;
    UserRecord { user: name, account: account.clone(), created, policies }
}

fn topic_records(topic: Topic) -> Vec<TopicRecord> {
    let record = |destination: icefield_engine::Destination| TopicRecord {
        topic: topic.arn.to_string(),
        kind: match destination.to {
            Endpoint::Webhook { .. } => "webhook",
            Endpoint::Email { .. } => "email",
            Endpoint::Sns { .. } => "sns",
            Endpoint::Sqs { .. } => "sqs",
        }
        .to_owned(),
        to: destination.to.address().to_owned(),
        confirmed: destination.unconfirmed.is_none(),
        destination: destination.id,
    };
    topic.destinations.into_iter().map(record).collect()
}
