//! `icefield vault`: vaults themselves, here; what is set for them in a file for each group of commands.

mod lock;
mod notify;
mod policy;
mod purge;
mod tags;

use std::sync::Arc;

use clap::Subcommand;
use icefield_client::{Target, TargetError, administration::Administration};
use icefield_protocol::VaultDescription;
use serde::Serialize;

use crate::{
    args::{TargetArg, VaultArg},
    failure::{Exit, Failure},
    output::{Record, count, one, size, stdout_rows},
    prompt::confirm,
    session::{Session, VaultSession},
};

pub(crate) use notify::TopicArg;

/// Make, list, describe and delete vaults; tag, guard and lock them
#[derive(Debug, Subcommand)]
pub(crate) enum Vault {
    /// Make a vault; one that exists is left as it is
    Create {
        /// The vault, as VAULT or TARGET:VAULT
        vault: VaultArg,
    },
    /// List the vaults of a target
    ///
    /// Sizes are as the service counts them: with 32KiB for every archive beside its bytes.
    #[command(visible_alias = "ls")]
    List {
        /// The target, as TARGET:
        // An id of its own: `target` is that of the global option.
        #[arg(id = "place", value_name = "TARGET:")]
        target: Option<TargetArg>,
    },
    /// Describe a vault: archives, bytes (with 32KiB for every archive), last inventory
    Describe {
        /// The vault
        vault: VaultArg,
    },
    /// Delete an empty vault
    #[command(visible_alias = "rm")]
    Delete {
        /// The vault
        vault: VaultArg,
    },
    Purge(purge::Purge),
    /// Give a vault tags, KEY=VALUE
    Tag(tags::Tag),
    /// Take tags from a vault
    Untag(tags::Untag),
    /// List the tags of a vault
    Tags {
        /// The vault
        vault: VaultArg,
    },
    #[command(subcommand)]
    Policy(policy::Policy),
    #[command(subcommand)]
    Lock(lock::Lock),
    #[command(subcommand)]
    Notify(notify::Notify),
}

impl Vault {
    /// Whether it changes nothing.
    pub(crate) fn only_tells(&self) -> bool {
        use self::{lock::Lock, notify::Notify, policy::Policy};
        match self {
            Self::List { .. } | Self::Describe { .. } | Self::Tags { .. } => true,
            Self::Policy(policy) => matches!(policy, Policy::Get { .. }),
            Self::Lock(lock) => matches!(lock, Lock::Show { .. }),
            Self::Notify(notify) => matches!(notify, Notify::Get { .. }),
            Self::Create { .. } | Self::Delete { .. } | Self::Purge(_) => false,
            Self::Tag(_) | Self::Untag(_) => false,
        }
    }
}

#[derive(Debug, Serialize)]
struct VaultRecord {
    vault: String,
    arn: String,
    created: String,
    archives: u64,
    size: u64,
    last_inventory: Option<String>,
}

impl VaultRecord {
    fn of(vault: &VaultDescription) -> Self {
        Self {
            vault: vault.vault_name.to_string(),
            arn: vault.vault_arn.to_string(),
            created: vault.creation_date.to_string(),
            archives: vault.number_of_archives,
            size: vault.size_in_bytes,
            last_inventory: vault.last_inventory_date.map(|date| date.to_string()),
        }
    }
}

impl Record for VaultRecord {
    const COLUMNS: &'static [&'static str] =
        &["vault", "arn", "created", "archives", "size", "last_inventory"];
    const HEADINGS: &'static [&'static str] =
        &["VAULT", "ARCHIVES", "SIZE WITH OVERHEAD", "CREATED", "INVENTORY"];

    fn cells(&self) -> Vec<String> {
        let inventory = self.last_inventory.clone().unwrap_or_else(|| "none yet".to_owned());
        vec![
            self.vault.clone(),
            self.archives.to_string(),
            size(self.size),
            self.created.clone(),
            inventory,
        ]
    }
}

/// Runs the command.
pub(crate) async fn run(command: Vault, session: &Session) -> anyhow::Result<Exit> {
    match command {
        Vault::Create { vault } => create(&vault, session).await,
        Vault::List { target } => list(target.as_ref(), session).await,
        Vault::Describe { vault } => describe(&vault, session).await,
        Vault::Delete { vault } => delete(&vault, session).await,
        Vault::Purge(command) => purge::run(command, session).await,
        Vault::Tag(command) => tags::tag(command, session).await,
        Vault::Untag(command) => tags::untag(command, session).await,
        Vault::Tags { vault } => tags::list(&vault, session).await,
        Vault::Policy(command) => policy::run(command, session).await,
        Vault::Lock(command) => lock::run(command, session).await,
        Vault::Notify(command) => notify::run(command, session).await,
    }
}

/// What can be set at a target beside its archives.
///
/// # Errors
///
/// When there is nothing of it at this kind of target.
pub(crate) fn administration(target: &Arc<dyn Target>) -> Result<&dyn Administration, Failure> {
    target.administration().ok_or_else(|| {
        Failure::failed(format!(
            "{} has no tags, policies, locks, notifications and capacity of vaults",
            target.describe()
        ))
        .hint("they belong to the vault API: name an embedded store, an icefield server or Amazon Glacier as target")
    })
}

/// What a vault's settings were asked for; `None` when the vault has nothing of it.
///
/// # Errors
///
/// Without the vault: names the nearest one.
async fn found<T>(
    open: &VaultSession,
    answer: Result<T, TargetError>,
) -> anyhow::Result<Option<T>> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_not_found() => {
            open.require_vault().await?;
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// What became of a change of a vault's settings.
///
/// # Errors
///
/// Without the vault: names the nearest one.
async fn done<T>(open: &VaultSession, answer: Result<T, TargetError>) -> anyhow::Result<T> {
    if matches!(&answer, Err(error) if error.is_not_found()) {
        open.require_vault().await?;
    }
    Ok(answer?)
}

async fn create(vault: &VaultArg, session: &Session) -> anyhow::Result<Exit> {
    let open = session.vault(vault, true).await?;
    if session.global.dry_run {
        session.progress.say(&format!(
            "would make the vault {} in {}",
            open.name,
            open.target().describe()
        ));
    } else {
        open.target().create_vault(&open.name).await?;
        let made = open.target().describe_vault(&open.name).await?;
        one(session.format(), &VaultRecord::of(&made))?;
    }
    open.opened.close().await?;
    Ok(Exit::Done)
}

async fn list(target: Option<&TargetArg>, session: &Session) -> anyhow::Result<Exit> {
    let open = session.target(target.map(|target| target.0.as_str()), false).await?;
    let mut rows = stdout_rows(session.format());
    let mut marker = None;
    loop {
        let page = open.target.list_vaults(marker.as_deref()).await?;
        for vault in &page.items {
            rows.push(&VaultRecord::of(vault))?;
        }
        marker = page.marker;
        if marker.is_none() {
            break;
        }
    }
    rows.finish()?;
    open.close().await?;
    Ok(Exit::Done)
}

async fn describe(vault: &VaultArg, session: &Session) -> anyhow::Result<Exit> {
    let open = session.vault(vault, false).await?;
    one(session.format(), &VaultRecord::of(&open.require_vault().await?))?;
    open.opened.close().await?;
    Ok(Exit::Done)
}

async fn delete(vault: &VaultArg, session: &Session) -> anyhow::Result<Exit> {
    let open = session.vault(vault, false).await?;
    let description = open.require_vault().await?;
    if description.number_of_archives > 0 {
        return Err(Failure::failed(format!(
            "the vault {} holds {}, and only an empty vault can be deleted",
            open.name,
            count(description.number_of_archives, "archive")
        ))
        .hint(format!("to delete them all and the vault: icefield vault purge {vault}"))
        .into());
    }
    if session.global.dry_run {
        session.progress.say(&format!("would delete the empty vault {}", open.name));
    } else {
        confirm(
            &session.global,
            &format!("delete the empty vault {} in {}", open.name, open.target().describe()),
        )?;
        open.target().delete_vault(&open.name).await?;
        open.catalog.forget_vault(open.known)?;
        session.progress.note(format!("deleted the vault {}", open.name));
    }
    open.opened.close().await?;
    Ok(Exit::Done)
}
