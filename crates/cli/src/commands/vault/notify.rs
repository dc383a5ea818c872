//! `icefield vault notify get|set|remove`.

use std::str::FromStr;

use clap::{Subcommand, ValueEnum};
use icefield_protocol::{
    NotificationConfiguration, NotificationEvent, TopicArn, TopicName, VaultArn,
};
use serde::Serialize;

use super::{administration, done, found};
use crate::{
    args::VaultArg,
    failure::{Exit, Failure},
    output::{Record, one},
    session::Session,
};

/// Say which topic is told when a retrieval is ready
///
/// A topic of Amazon SNS for vaults at Amazon; of a store, one made by `icefield topic add`, whose messages `icefield
/// serve` delivers to web hooks, mail, SNS or SQS.
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  icefield vault notify set frames --topic ready\n  icefield vault notify set frames --topic arn:aws:sns:us-east-1:012345678901:ready --event archive\n  icefield vault notify get frames"
)]
pub(crate) enum Notify {
    /// Show who is told of what
    Get {
        /// The vault
        vault: VaultArg,
    },
    /// Say who is told of what, in place of what was said before
    Set {
        /// The vault
        vault: VaultArg,
        /// The topic's ARN, or its name where it is one of the vault's own account and region; it need not exist yet
        #[arg(long, value_name = "TOPIC")]
        topic: TopicArg,
        /// What is told: that an archive or an inventory is ready, or has failed (default: both); may be repeated
        #[arg(long = "event", value_enum, value_name = "EVENT")]
        events: Vec<Told>,
    },
    /// Tell nobody any more; nobody before is fine
    #[command(visible_alias = "rm")]
    Remove {
        /// The vault
        vault: VaultArg,
    },
}

/// A topic as users write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TopicArg {
    Arn(TopicArn),
    /// Of the vault's account and region.
    Name(TopicName),
}

impl FromStr for TopicArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with("arn:") {
            text.parse()
                .map(Self::Arn)
                .map_err(|error: icefield_protocol::InvalidTopicArn| error.to_string())
        } else {
            TopicName::parse(text).map(Self::Name).map_err(|error| error.to_string())
        }
    }
}

impl TopicArg {
    /// The topic's ARN, by that of a vault beside it.
    pub(crate) fn beside(self, vault: VaultArn) -> TopicArn {
        match self {
            Self::Arn(arn) => arn,
            Self::Name(name) => TopicArn::new(vault.region, vault.account, name),
        }
    }
}

/// What is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Told {
    /// The retrieval of an archive has ended
    Archive,
    /// The retrieval of an inventory has ended
    Inventory,
}

impl Told {
    fn event(self) -> NotificationEvent {
        match self {
            Self::Archive => NotificationEvent::ArchiveRetrievalCompleted,
            Self::Inventory => NotificationEvent::InventoryRetrievalCompleted,
        }
    }

    fn of(event: NotificationEvent) -> Self {
        match event {
            NotificationEvent::ArchiveRetrievalCompleted => Self::Archive,
            NotificationEvent::InventoryRetrievalCompleted => Self::Inventory,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Archive => "archive",
            Self::Inventory => "inventory",
        }
    }
}

#[derive(Debug, Serialize)]
struct NotifyRecord {
    vault: String,
    topic: String,
    events: Vec<Told>,
}

impl NotifyRecord {
    fn of(vault: String, configuration: NotificationConfiguration) -> Self {
        let events = configuration.events.into_iter().map(Told::of).collect();
        Self { vault, topic: configuration.sns_topic.to_string(), events }
    }
}

impl Record for NotifyRecord {
    const COLUMNS: &'static [&'static str] = &["vault", "topic", "events"];
    const HEADINGS: &'static [&'static str] = &["VAULT", "TOPIC", "EVENTS"];

    fn cells(&self) -> Vec<String> {
        let events: Vec<_> = self.events.iter().map(|event| event.as_str()).collect();
        vec![self.vault.clone(), self.topic.clone(), events.join(", ")]
    }
}

/// Runs the command.
pub(super) async fn run(command: Notify, session: &Session) -> anyhow::Result<Exit> {
    match command {
        Notify::Get { vault } => get(&vault, session).await,
        Notify::Set { vault, topic, events } => set(&vault, topic, &events, session).await,
        Notify::Remove { vault } => remove(&vault, session).await,
    }
}

async fn get(vault: &VaultArg, session: &Session) -> anyhow::Result<Exit> {
    let open = session.vault(vault, false).await?;
    let configuration = administration(open.target())?.notifications(&open.name).await;
    let Some(configuration) = found(&open, configuration).await? else {
        return Err(Failure::failed(format!("the vault {} tells nobody", open.name))
            .hint(format!("to tell a topic: icefield vault notify set {vault} --topic TOPIC"))
            .into());
    };
    one(session.format(), &NotifyRecord::of(open.name.to_string(), configuration))?;
    open.opened.close().await?;
    Ok(Exit::Done)
}

async fn set(
    vault: &VaultArg,
    topic: TopicArg,
    events: &[Told],
    session: &Session,
) -> anyhow::Result<Exit> {
    let events = if events.is_empty() { Told::value_variants() } else { events };
    let open = session.vault(vault, false).await?;
    let settings = administration(open.target())?;
    let topic = topic.beside(open.require_vault().await?.vault_arn);
    if session.global.dry_run {
        session.progress.say(&format!("would tell {topic} of the vault {}", open.name));
    } else {
        let configuration = NotificationConfiguration {
            events: events.iter().map(|event| event.event()).collect(),
            sns_topic: topic.clone(),
        };
        done(&open, settings.set_notifications(&open.name, &configuration).await).await?;
        session.progress.note(format!("{topic} is told of the vault {}", open.name));
    }
    open.opened.close().await?;
    Ok(Exit::Done)
}

async fn remove(vault: &VaultArg, session: &Session) -> anyhow::Result<Exit> {
    let open = session.vault(vault, false).await?;
    let settings = administration(open.target())?;
    if session.global.dry_run {
        open.require_vault().await?;
        session.progress.say(&format!("would tell nobody of the vault {} any more", open.name));
    } else {
        done(&open, settings.remove_notifications(&open.name).await).await?;
        session.progress.note(format!("nobody is told of the vault {} now", open.name));
    }
    open.opened.close().await?;
    Ok(Exit::Done)
}
