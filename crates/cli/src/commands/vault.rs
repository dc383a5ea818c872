//! `icefield vault create|list|describe|delete|purge`.

use clap::Subcommand;
use icefield_client::remove::{self, Purged};
use icefield_protocol::VaultDescription;
use serde::Serialize;

use crate::{
    args::{Format, TargetArg, VaultArg},
    commands::delete::{Fee, context, fee, tell_plan},
    cost,
    failure::{Exit, Failure},
    output::{Record, count, one, size, stdout_rows},
    prompt::confirm,
    session::Session,
};

/// Make, list, describe and delete vaults
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
    /// Delete every archive of a vault, then the vault; run it again if it was interrupted
    Purge {
        /// The vault
        vault: VaultArg,
    },
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
        Vault::Purge { vault } => purge(&vault, session).await,
    }
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

async fn purge(vault: &VaultArg, session: &Session) -> anyhow::Result<Exit> {
    let open = session.vault(vault, false).await?;
    let description = open.require_vault().await?;
    let plan = remove::plan_purge(&open.catalog, open.known)?;
    let archives = description.number_of_archives.max(plan.archives.len() as u64);
    let what = format!(
        "delete the vault {} in {} with all of its archives ({archives}, {})",
        open.name,
        open.target().describe(),
        size(plan.bytes())
    );
    let mut fee = fee(&plan, &open, session)?;
    let unknown = archives - plan.archives.len() as u64;
    if let Some(fee) = fee.as_mut().filter(|_| unknown > 0) {
        fee.cost.notes.push(format!(
            "{} that the catalog does not know are not counted",
            count(unknown, "archive")
        ));
    }
    let cost = fee.as_ref().map(|fee| &fee.cost);
    if session.global.dry_run {
        session.progress.say(&format!("would {what}"));
        cost::say_would(cost, &open.opened, session);
        if session.format() != Format::Table {
            tell_plan(&plan, cost, session.format())?;
        }
        open.opened.close().await?;
        return Ok(Exit::Done);
    }
    let for_what = fee.as_ref().map(Fee::in_words).unwrap_or_default();
    if let Some(cost) = cost.filter(|cost| !for_what.is_empty() || !cost.notes.is_empty()) {
        cost::say(cost, session);
    }
    confirm(&session.global, &format!("{what}{for_what}"))?;
    let purged = remove::purge(&context(&open, session), false).await?;
    session.progress.finish();
    open.opened.close().await?;
    match purged {
        Purged::Done(report) => {
            session.progress.note(format!(
                "deleted {} ({}) and the vault",
                count(report.deleted, "archive"),
                size(report.bytes)
            ));
            Ok(Exit::Done)
        }
        Purged::NotReady { report, why } => Err(Failure::not_ready(format!(
            "{} archives were deleted, the vault is not gone yet: {why}",
            report.deleted
        ))
        .hint("run the same command again later")
        .into()),
    }
}
