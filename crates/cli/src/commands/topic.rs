//! `icefield topic add|list|remove|test|dead|retry|forget`.

use clap::{Args, Subcommand};
use icefield_engine::Endpoint;
use icefield_protocol::TopicName;
use icefield_server::control::{Answer, DeadRecord, Request, TopicRecord};

use crate::{
    admin::{Data, OfAccount, administer},
    failure::{Exit, Failure},
    output::{Record, count, stdout_rows},
    prompt::confirm,
    session::Session,
};

/// Topics: who is told when a retrieval is ready
#[derive(Debug, Subcommand)]
pub(crate) enum Topic {
    /// Add a destination to a topic; the first one makes the topic
    Add(Add),
    /// List the topics with their destinations
    #[command(visible_alias = "ls")]
    List(OfAccount),
    /// Send a test message to every destination of a topic
    Test {
        /// The topic's name
        topic: TopicName,
        #[command(flatten)]
        of: OfAccount,
    },
    /// List the messages that could not be delivered
    Dead(Data),
    /// Try to deliver messages again that could not be
    Retry {
        /// The message's number, as `topic dead` shows it
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        number: Option<u64>,
        /// All of them
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        data: Data,
    },
    /// Forget a message that could not be delivered
    Forget {
        /// The message's number, as `topic dead` shows it
        number: u64,
        #[command(flatten)]
        data: Data,
    },
    /// Remove a topic, or one of its destinations
    #[command(visible_alias = "rm")]
    Remove {
        /// The topic's name
        topic: TopicName,
        /// Only this destination (its ID, as `topic list` shows it)
        #[arg(long, value_name = "ID")]
        destination: Option<String>,
        #[command(flatten)]
        of: OfAccount,
    },
}

/// A topic and where its messages go.
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// The topic's name
    topic: TopicName,
    /// https://HOST/PATH (a web hook in the form of SNS), mailto:NAME@HOST, arn:aws:sns:REGION:ACCOUNT:NAME (a topic of
    /// Amazon SNS), or the URL of a queue of Amazon SQS with --sqs
    to: String,
    /// The destination is the URL of an SQS queue in this region
    #[arg(long, value_name = "REGION")]
    sqs: Option<String>,
    /// Speak to SNS or SQS at this URL instead of Amazon's
    #[arg(long, value_name = "URL")]
    at: Option<String>,
    #[command(flatten)]
    of: OfAccount,
}

impl Record for TopicRecord {
    const COLUMNS: &'static [&'static str] = &["topic", "destination", "kind", "to", "confirmed"];
    const HEADINGS: &'static [&'static str] = &["TOPIC", "DESTINATION", "KIND", "TO", "CONFIRMED"];

    fn cells(&self) -> Vec<String> {
        let confirmed = if self.confirmed { "yes" } else { "not yet" };
        vec![
            self.topic.clone(),
            self.destination.clone(),
            self.kind.clone(),
            self.to.clone(),
            confirmed.to_owned(),
        ]
    }
}

/// Runs the command.
pub(crate) async fn run(command: Topic, session: &Session) -> anyhow::Result<Exit> {
    match command {
        Topic::Add(add) => {
            let to = endpoint(&add)?;
            let is_hook = matches!(to, Endpoint::Webhook { .. });
            let request = Request::AddTopic { account: add.of.account, topic: add.topic, to };
            show(session, administer(session, &add.of.data, request).await?)?;
            if is_hook {
                session.progress.note("messages go there once the receiver has confirmed: the server sends it a SubscriptionConfirmation whose SubscribeURL it has to visit");
            }
        }
        Topic::List(of) => {
            let request = Request::ListTopics { account: of.account };
            show(session, administer(session, &of.data, request).await?)?;
        }
        Topic::Test { topic, of } => {
            let request = Request::TestTopic { account: of.account, topic };
            let sent = counted(administer(session, &of.data, request).await?);
            session.progress.note(format!(
                "a test message is on its way to {}; the running server delivers it",
                count(sent, "destination")
            ));
        }
        Topic::Dead(data) => {
            if let Answer::Dead(dead) = administer(session, &data, Request::ListDead).await? {
                let mut rows = stdout_rows(session.format());
                for message in &dead {
                    rows.push(message)?;
                }
                rows.finish()?;
            }
        }
        Topic::Retry { number, all: _, data } => {
            let request = Request::RetryDead { number };
            match counted(administer(session, &data, request).await?) {
                0 => return Err(not_dead().into()),
                again => session
                    .progress
                    .note(format!("{} will be tried again", count(again, "message"))),
            }
        }
        Topic::Forget { number, data } => {
            confirm(&session.global, &format!("forget the undelivered message {number}"))?;
            if counted(administer(session, &data, Request::ForgetDead { number }).await?) == 0 {
                return Err(not_dead().into());
            }
        }
        Topic::Remove { topic, destination, of } => {
            let what = match &destination {
                Some(destination) => {
                    format!("remove the destination {destination} of the topic {topic}")
                }
                None => format!("remove the topic {topic} with all its destinations"),
            };
            confirm(&session.global, &what)?;
            let request = Request::RemoveTopic { account: of.account, topic, destination };
            administer(session, &of.data, request).await?;
        }
    }
    Ok(Exit::Done)
}

fn counted(answer: Answer) -> u64 {
    if let Answer::Count(count) = answer { count } else { 0 }
}

fn not_dead() -> Failure {
    Failure::failed("there is no such undelivered message").hint("icefield topic dead lists them")
}

impl Record for DeadRecord {
    const COLUMNS: &'static [&'static str] =
        &["number", "topic", "destination", "created", "attempts", "error", "message"];
    const HEADINGS: &'static [&'static str] =
        &["NUMBER", "TOPIC", "DESTINATION", "CREATED", "ATTEMPTS", "ERROR"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.number.to_string(),
            self.topic.clone(),
            self.destination.clone(),
            self.created.to_string(),
            self.attempts.to_string(),
            self.error.clone().unwrap_or_default(),
        ]
    }
}

fn show(session: &Session, answer: Answer) -> anyhow::Result<()> {
    let Answer::Topics(topics) = answer else { return Ok(()) };
    let mut rows = stdout_rows(session.format());
    for topic in &topics {
        rows.push(topic)?;
    }
    Ok(rows.finish()?)
}

fn endpoint(add: &Add) -> Result<Endpoint, Failure> {
    let to = add.to.clone();
    let endpoint_url = add.at.clone();
    let endpoint = match (&add.sqs, to.strip_prefix("mailto:")) {
        (Some(region), _) => Endpoint::Sqs { queue_url: to, region: region.clone(), endpoint_url },
        (None, Some(address)) => Endpoint::Email { to: address.to_owned() },
        (None, None) if to.starts_with("arn:") => Endpoint::Sns { topic_arn: to, endpoint_url },
        (None, None) if to.starts_with("https://sqs.") => {
            return Err(Failure::usage(format!(
                "{to} looks like a queue of SQS, not like a web hook"
            ))
            .hint("name its region: --sqs REGION"));
        }
        (None, None) if to.starts_with("https://") || to.starts_with("http://") => {
            Endpoint::Webhook { url: to }
        }
        (None, None) => {
            return Err(Failure::usage(format!("{to:?} is not a destination")).hint(
                "https://HOST/PATH, mailto:NAME@HOST, arn:aws:sns:REGION:ACCOUNT:NAME, or the URL of a queue with --sqs REGION",
            ));
        }
    };
    match (&endpoint, &add.at) {
        (Endpoint::Webhook { .. } | Endpoint::Email { .. }, Some(_)) => {
            Err(Failure::usage("--at is for topics of SNS and queues of SQS"))
        }
        _ => Ok(endpoint),
    }
}
