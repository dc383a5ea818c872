//! `icefield vault policy get|set|remove`, and the documents of policies for all commands about vaults.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

use clap::Subcommand;
use icefield_client::target::{Billing, TargetError};
use icefield_engine::policy::{Policy as Parsed, PolicyKind};
use icefield_protocol::{ErrorCode, VaultArn, limits::MAX_POLICY_BYTES};
use serde::{Deserialize as _, Serialize, de::IgnoredAny};

use super::{administration, done, found};
use crate::{
    args::{Format, VaultArg},
    commands::user::read_policy,
    failure::{Exit, Failure},
    output::{Record, one},
    session::{Session, VaultSession},
};

/// Say who may do what in a vault
///
/// The access policy is a document in IAM's language. It can be changed at any time; one that nobody can change is
/// `icefield vault lock`.
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  icefield vault policy set frames policy.json         put it in force, in place of the one before\n  icefield vault policy get frames > policy.json       write it to a file, as it was set\n  icefield -n vault policy set frames policy.json      only say what is wrong with it\n  icefield policy simulate DeleteArchive frames        what all policies of a store come to"
)]
pub(crate) enum Policy {
    /// Show the access policy, as it was set
    Get {
        /// The vault
        vault: VaultArg,
    },
    /// Set the access policy, in place of the one before
    Set {
        /// The vault
        vault: VaultArg,
        /// The document, at most 20,480 bytes of JSON; `-` for standard input
        file: PathBuf,
    },
    /// Remove the access policy; none is fine
    #[command(visible_alias = "rm")]
    Remove {
        /// The vault
        vault: VaultArg,
    },
}

#[derive(Debug, Serialize)]
struct PolicyRecord {
    vault: String,
    policy: String,
}

impl Record for PolicyRecord {
    const COLUMNS: &'static [&'static str] = &["vault", "policy"];
    const HEADINGS: &'static [&'static str] = &["VAULT", "POLICY"];

    fn cells(&self) -> Vec<String> {
        vec![self.vault.clone(), self.policy.clone()]
    }
}

/// Runs the command.
pub(super) async fn run(command: Policy, session: &Session) -> anyhow::Result<Exit> {
    match command {
        Policy::Get { vault } => get(&vault, session).await,
        Policy::Set { vault, file } => set(&vault, &file, session).await,
        Policy::Remove { vault } => remove(&vault, session).await,
    }
}

async fn get(vault: &VaultArg, session: &Session) -> anyhow::Result<Exit> {
    let open = session.vault(vault, false).await?;
    let policy = administration(open.target())?.access_policy(&open.name).await;
    let Some(policy) = found(&open, policy).await? else {
        return Err(Failure::failed(format!("the vault {} has no access policy", open.name))
            .hint(format!("to set one: icefield vault policy set {vault} FILE"))
            .into());
    };
    match session.format() {
        Format::Table => {
            let end = if policy.ends_with('\n') { "" } else { "\n" };
            write!(std::io::stdout(), "{policy}{end}")?;
        }
        format => one(format, &PolicyRecord { vault: open.name.to_string(), policy })?,
    }
    open.opened.close().await?;
    Ok(Exit::Done)
}

async fn set(vault: &VaultArg, file: &Path, session: &Session) -> anyhow::Result<Exit> {
    let document = Document::read(file, PolicyKind::VaultAccess)?;
    let open = session.vault(vault, false).await?;
    let settings = administration(open.target())?;
    if session.global.dry_run {
        document.try_out(&open, session).await?;
        session.progress.say(&format!("would set the access policy of the vault {}", open.name));
    } else {
        let set = settings.set_access_policy(&open.name, document.text()).await;
        document.explained(&open, set).await?;
        session.progress.note(format!("set the access policy of the vault {}", open.name));
    }
    open.opened.close().await?;
    Ok(Exit::Done)
}

async fn remove(vault: &VaultArg, session: &Session) -> anyhow::Result<Exit> {
    let open = session.vault(vault, false).await?;
    let settings = administration(open.target())?;
    if session.global.dry_run {
        open.require_vault().await?;
        session.progress.say(&format!("would remove the access policy of the vault {}", open.name));
    } else {
        done(&open, settings.remove_access_policy(&open.name).await).await?;
        session.progress.note(format!("the vault {} has no access policy now", open.name));
    }
    open.opened.close().await?;
    Ok(Exit::Done)
}

/// A policy as it is to be sent: JSON, and no longer than any service takes.
#[derive(Debug)]
pub(super) struct Document {
    text: String,
    file: PathBuf,
    kind: fn(VaultArn) -> PolicyKind,
}

impl Document {
    /// Reads a policy from a file or from standard input.
    pub(super) fn read(file: &Path, kind: fn(VaultArn) -> PolicyKind) -> anyhow::Result<Self> {
        let text = read_policy(file)?;
        if text.len() > MAX_POLICY_BYTES {
            return Err(Failure::failed(format!(
                "the policy {} is longer than the {MAX_POLICY_BYTES} bytes that a vault's policy may have",
                file.display()
            ))
            .hint("shorten it: blanks count, too, and wildcards stand for lists of actions")
            .into());
        }
        let mut reader = serde_json::Deserializer::from_str(&text);
        IgnoredAny::deserialize(&mut reader).and_then(|_| reader.end()).map_err(|error| {
            Failure::failed(format!("the policy {} is not JSON", file.display())).because(error)
        })?;
        Ok(Self { text, file: file.to_owned(), kind })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// What icefield's own reading of the document finds wrong with it.
    fn problem(&self, vault: &VaultArn) -> Option<String> {
        Parsed::parse(&self.text, (self.kind)(vault.clone())).err().map(|error| error.to_string())
    }

    /// Checks the document as far as that can be done without setting it.
    ///
    /// # Errors
    ///
    /// Without the vault, and when an icefield store would refuse the policy. Amazon may understand more.
    pub(super) async fn try_out(
        &self,
        open: &VaultSession,
        session: &Session,
    ) -> anyhow::Result<()> {
        let vault = open.require_vault().await?;
        let Some(problem) = self.problem(&vault.vault_arn) else { return Ok(()) };
        let message = format!("the policy {}: {problem}", self.file.display());
        match open.target().billing() {
            Billing::Free => Err(Failure::failed(message).into()),
            Billing::Aws { .. } => {
                session.progress.say(&format!("warning: icefield would refuse {message}"));
                Ok(())
            }
        }
    }

    /// Adds to the refusal of the document what icefield's own reading finds wrong with it.
    pub(super) async fn explained<T>(
        &self,
        open: &VaultSession,
        answer: Result<T, TargetError>,
    ) -> anyhow::Result<T> {
        let error = match answer {
            Err(error @ TargetError::Service { code: ErrorCode::InvalidParameterValue, .. }) => {
                error
            }
            answer => return done(open, answer).await,
        };
        let vault = open.require_vault().await?;
        let refused = Failure::failed(format!("the policy {} was refused", self.file.display()))
            .because(error);
        Err(match self.problem(&vault.vault_arn) {
            Some(problem) => refused.hint(problem),
            None => refused,
        }
        .into())
    }
}
