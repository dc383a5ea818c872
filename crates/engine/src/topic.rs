//! Topics: who is told that a job has ended, and where.
//!
//! A topic has a name and any number of destinations. What is to be told is recorded with the end of the job, once for
//! each destination; delivering it is the server's work.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use icefield_protocol::{AccountId, TopicArn, TopicName};
use icefield_store::entry::DocumentName;
use serde::{Deserialize, Serialize};

use crate::{
    documents::{self, Change},
    engine::Engine,
    error::EngineError,
    job::message_id,
    random::random,
};

/// Destinations of one topic.
const MAX_DESTINATIONS: usize = 100;
/// Longest address of any kind.
const MAX_ADDRESS_BYTES: usize = 2048;

/// Where a message goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Endpoint {
    /// A web hook, told in the form of SNS.
    Webhook {
        /// `https://` or `http://`.
        url: String,
    },
    /// A mailbox, through the mail server of the settings.
    Email {
        /// The address.
        to: String,
    },
    /// A topic of Amazon SNS, or of a service that speaks its protocol.
    Sns {
        /// Its ARN.
        topic_arn: String,
        /// Instead of Amazon's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        endpoint_url: Option<String>,
    },
    /// A queue of Amazon SQS, or of a service that speaks its protocol.
    Sqs {
        /// Its URL.
        queue_url: String,
        /// Its region.
        region: String,
        /// Instead of the one that the URL names.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        endpoint_url: Option<String>,
    },
}

impl Endpoint {
    /// The address, for people.
    #[must_use]
    pub fn address(&self) -> &str {
        match self {
            Self::Webhook { url } => url,
            Self::Email { to } => to,
            Self::Sns { topic_arn, .. } => topic_arn,
            Self::Sqs { queue_url, .. } => queue_url,
        }
    }

    /// Refuses what cannot be an address.
    fn check(&self) -> Result<(), EngineError> {
        let address = self.address();
        let fits = (1..=MAX_ADDRESS_BYTES).contains(&address.len())
            && address.bytes().all(|byte| (0x21..0x7f).contains(&byte));
        let is_url = |text: &str| {
            let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
            rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        };
        let (good, form) = match self {
            Self::Webhook { url } => (is_url(url), "https://HOST/PATH"),
            Self::Email { to } => {
                let parts = to.split_once('@');
                (
                    parts.is_some_and(|(user, host)| !user.is_empty() && !host.is_empty()),
                    "NAME@HOST",
                )
            }
            Self::Sns { topic_arn, .. } => {
                (topic_arn.parse::<TopicArn>().is_ok(), "arn:aws:sns:REGION:ACCOUNT:NAME")
            }
            Self::Sqs { queue_url, .. } => {
                (is_url(queue_url), "https://sqs.REGION.amazonaws.com/...")
            }
        };
        if fits && good {
            return Ok(());
        }
        Err(EngineError::InvalidDestination(format!(
            "{address:?} cannot be a destination: it has the form {form}"
        )))
    }
}

/// A destination of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Destination {
    /// Names it within its topic: 16 hex digits.
    pub id: String,
    /// Where it leads.
    pub to: Endpoint,
    /// For a web hook that has not said yet that it wants this: the token that it has to give back. Nothing else goes
    /// there until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unconfirmed: Option<String>,
}

/// A topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its full name.
    pub arn: TopicArn,
    /// Where its messages go.
    pub destinations: Vec<Destination>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TopicDocument {
    destinations: Vec<Destination>,
}

fn document_of(account: &AccountId, topic: &TopicName) -> Result<DocumentName, EngineError> {
    documents::name(&format!("topic/{account}/{topic}"))
}

impl Engine {
    /// Adds a destination to a topic, and makes the topic if there is none of this name. A web hook has to be confirmed
    /// before messages go there; it is asked through the outbox, where a delivery to a destination that is not confirmed
    /// stands for the question.
    ///
    /// # Errors
    ///
    /// `AccountNotFound`; `InvalidDestination`, also for the 101st.
    pub async fn add_destination(
        &self,
        account: &AccountId,
        topic: &TopicName,
        to: Endpoint,
    ) -> Result<Destination, EngineError> {
        self.known_account(account).await?;
        to.check()?;
        let id = format!("{:016x}", u64::from_be_bytes(random()?));
        let unconfirmed = match to {
            Endpoint::Webhook { .. } => Some(format!("{:032x}", u128::from_be_bytes(random()?))),
            Endpoint::Email { .. } | Endpoint::Sns { .. } | Endpoint::Sqs { .. } => None,
        };
        let new = Destination { id, to, unconfirmed };
        self.change(&document_of(account, topic)?, None, |found: Option<TopicDocument>| {
            let mut document = found.unwrap_or_default();
            if document.destinations.iter().any(|known| known.to == new.to) {
                let text = format!("{} is a destination already", new.to.address());
                return Err(EngineError::InvalidDestination(text));
            }
            if document.destinations.len() >= MAX_DESTINATIONS {
                let text = format!("a topic has at most {MAX_DESTINATIONS} destinations");
                return Err(EngineError::InvalidDestination(text));
            }
            document.destinations.push(new.clone());
            Ok((Change::Set(document), ()))
        })
        .await?;
        if new.unconfirmed.is_some() {
            let arn = TopicArn::new(self.settings().region.clone(), account.clone(), topic.clone());
            self.enqueue(&Topic { arn, destinations: vec![new.clone()] }, "").await?;
        }
        Ok(new)
    }

    /// Sends a message to every destination of a topic; one that is not confirmed is asked once more instead. Returns to
    /// how many it is on its way.
    ///
    /// # Errors
    ///
    /// `TopicNotFound`.
    pub async fn publish(
        &self,
        account: &AccountId,
        topic: &TopicName,
        message: &str,
    ) -> Result<usize, EngineError> {
        let arn = TopicArn::new(self.settings().region.clone(), account.clone(), topic.clone());
        let found = self.topic(&arn).await?;
        let found = found.ok_or_else(|| EngineError::TopicNotFound(topic.clone()))?;
        self.enqueue(&found, message).await?;
        Ok(found.destinations.len())
    }

    /// Records one message to all destinations in the outbox.
    async fn enqueue(&self, topic: &Topic, message: &str) -> Result<(), EngineError> {
        let (id, now) = (message_id()?, self.now());
        let rows = topic.destinations.iter().map(|destination| {
            let to = destination.id.clone();
            self.delivery(&topic.arn, to, id.clone(), message.to_owned(), now)
        });
        self.store().ledger().enqueue(rows.collect()).await?;
        self.inner.outbox.notify_one();
        Ok(())
    }

    /// Removes a destination, and the topic with its last one. `None` removes the whole topic.
    ///
    /// # Errors
    ///
    /// `TopicNotFound`, also when the topic has no such destination.
    pub async fn remove_topic(
        &self,
        account: &AccountId,
        topic: &TopicName,
        destination: Option<&str>,
    ) -> Result<(), EngineError> {
        let not_found = || EngineError::TopicNotFound(topic.clone());
        self.change(&document_of(account, topic)?, None, |found: Option<TopicDocument>| {
            let mut document = found.ok_or_else(not_found)?;
            let before = document.destinations.len();
            document.destinations.retain(|known| destination.is_some_and(|id| known.id != id));
            match document.destinations.len() {
                0 => Ok((Change::Remove, ())),
                after if after == before => Err(not_found()),
                _ => Ok((Change::Set(document), ())),
            }
        })
        .await
    }

    /// Lists the topics of an account by name.
    ///
    /// # Errors
    ///
    /// `AccountNotFound`.
    pub async fn topics(&self, account: &AccountId) -> Result<Vec<Topic>, EngineError> {
        self.known_account(account).await?;
        let found = self.documents::<TopicDocument>(&format!("topic/{account}/")).await?;
        let topics = found.into_iter().map(|(name, document)| {
            let name = TopicName::parse(&name)
                .map_err(|error| EngineError::unexpected("listing topics", &error))?;
            let arn = TopicArn::new(self.settings().region.clone(), account.clone(), name);
            Ok(Topic { arn, destinations: document.destinations })
        });
        topics.collect()
    }

    /// Finds a topic by its full name; `None` for one of another region, or that does not exist.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn topic(&self, arn: &TopicArn) -> Result<Option<Topic>, EngineError> {
        if arn.region != self.settings().region {
            return Ok(None);
        }
        let name = document_of(&arn.account, &arn.name)?;
        let document: Option<TopicDocument> = self.document(&name).await?;
        Ok(document.map(|document| Topic { arn: arn.clone(), destinations: document.destinations }))
    }

    /// Takes the token that was sent to a web hook as its consent.
    ///
    /// # Errors
    ///
    /// `TopicNotFound` when no destination of the topic waits for this token, or has had it.
    pub async fn confirm_destination(
        &self,
        arn: &TopicArn,
        token: &str,
    ) -> Result<Destination, EngineError> {
        let not_found = || EngineError::TopicNotFound(arn.name.clone());
        let name = document_of(&arn.account, &arn.name)?;
        self.change(&name, None, |found: Option<TopicDocument>| {
            let mut document = found.ok_or_else(not_found)?;
            let waits = |known: &&mut Destination| {
                let given = |kept: &str| verify_slices_are_equal(kept.as_bytes(), token.as_bytes());
                known.unconfirmed.as_deref().is_some_and(|kept| given(kept).is_ok())
            };
            let destination = document.destinations.iter_mut().find(waits).ok_or_else(not_found)?;
            destination.unconfirmed = None;
            let confirmed = destination.clone();
            Ok((Change::Set(document), confirmed))
        })
        .await
    }
}
