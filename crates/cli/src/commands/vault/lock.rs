//! `icefield vault lock start|complete|abort|show`.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Subcommand;
use icefield_client::target::TargetError;
use icefield_engine::policy::PolicyKind;
use icefield_protocol::{
    ErrorCode, LockDescription, LockId, LockState, limits::LOCK_IN_PROGRESS_HOURS,
};
use serde::Serialize;

use super::{administration, done, found, policy::Document};
use crate::{
    args::VaultArg,
    failure::{Exit, Failure},
    output::{Record, one},
    prompt::confirm,
    session::Session,
};

/// Lock a vault with a policy that nobody can take back
///
/// A lock begins as a trial: the policy is in force for 24 hours, and is gone by itself unless it is completed. Once it
/// is completed it CANNOT BE UNDONE, changed or removed by anybody, for as long as the vault exists. `complete` wants
/// the lock ID that `start` printed, so that nobody completes a policy other than the one that was tried.
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Example:\n  icefield vault lock start frames retention.json    in force for 24 hours; prints the lock ID\n  icefield vault lock show frames                    until when, and what it says\n  icefield vault lock abort frames                   take it back, correct it, start again\n  icefield vault lock complete frames LOCK_ID        for ever"
)]
pub(crate) enum Lock {
    /// Put a lock policy in force for 24 hours, and print the ID that completes it
    Start {
        /// The vault
        vault: VaultArg,
        /// The policy, at most 20,480 bytes of JSON; `-` for standard input
        file: PathBuf,
    },
    /// Make the lock policy final: this cannot be undone by anybody
    Complete {
        /// The vault
        vault: VaultArg,
        /// The ID that `start` has printed
        #[arg(allow_hyphen_values = true)]
        lock_id: LockId,
    },
    /// Take back a lock policy that is not final; none is fine
    Abort {
        /// The vault
        vault: VaultArg,
    },
    /// Show the lock policy, whether it is final, and until when it is not
    Show {
        /// The vault
        vault: VaultArg,
    },
}

#[derive(Debug, Serialize)]
struct StartedRecord {
    vault: String,
    lock_id: String,
    expires: String,
}

impl Record for StartedRecord {
    const COLUMNS: &'static [&'static str] = &["vault", "lock_id", "expires"];
    const HEADINGS: &'static [&'static str] = &["VAULT", "LOCK ID", "EXPIRES"];

    fn cells(&self) -> Vec<String> {
        vec![self.vault.clone(), self.lock_id.clone(), self.expires.clone()]
    }
}

#[derive(Debug, Serialize)]
struct LockRecord {
    vault: String,
    state: &'static str,
    created: String,
    expires: Option<String>,
    policy: String,
}

impl LockRecord {
    fn of(vault: String, lock: LockDescription) -> Self {
        Self {
            vault,
            state: match lock.state {
                LockState::InProgress => "in-progress",
                LockState::Locked => "locked",
            },
            created: lock.creation_date.to_string(),
            expires: lock.expiration_date.map(|date| date.to_string()),
            policy: lock.policy,
        }
    }
}

impl Record for LockRecord {
    const COLUMNS: &'static [&'static str] = &["vault", "state", "created", "expires", "policy"];
    const HEADINGS: &'static [&'static str] = &["VAULT", "STATE", "CREATED", "EXPIRES", "POLICY"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.vault.clone(),
            self.state.to_owned(),
            self.created.clone(),
            self.expires.clone().unwrap_or_else(|| "never".to_owned()),
            // On one line.
            self.policy.split_whitespace().collect::<Vec<_>>().join(" "),
        ]
    }
}

/// Runs the command.
pub(super) async fn run(command: Lock, session: &Session) -> anyhow::Result<Exit> {
    match command {
        Lock::Start { vault, file } => start(&vault, &file, session).await,
        Lock::Complete { vault, lock_id } => complete(&vault, &lock_id, session).await,
        Lock::Abort { vault } => abort(&vault, session).await,
        Lock::Show { vault } => show(&vault, session).await,
    }
}

async fn start(vault: &VaultArg, file: &Path, session: &Session) -> anyhow::Result<Exit> {
    let document = Document::read(file, PolicyKind::VaultLock)?;
    let open = session.vault(vault, false).await?;
    let settings = administration(open.target())?;
    if session.global.dry_run {
        document.try_out(&open, session).await?;
        session.progress.say(&format!(
            "would put the lock policy in force in the vault {} for {LOCK_IN_PROGRESS_HOURS} hours",
            open.name
        ));
        open.opened.close().await?;
        return Ok(Exit::Done);
    }
    let begun = session.clock.now();
    let started = settings.initiate_lock(&open.name, document.text()).await;
    let id = match started {
        Err(error) if is_denied(&error) => {
            return Err(Failure::failed("the lock was not started")
                .because(error)
                .hint(format!("icefield vault lock show {vault} tells whether there is one already; `lock abort` takes back one that is not final"))
                .into());
        }
        started => document.explained(&open, started).await?,
    };
    // Whoever may start a lock need not be allowed to see it.
    let told = settings.lock(&open.name).await.ok().and_then(|lock| lock.expiration_date);
    let day = Duration::from_hours(LOCK_IN_PROGRESS_HOURS);
    let expires = told.unwrap_or_else(|| begun.saturating_add(day));
    let record = StartedRecord {
        vault: open.name.to_string(),
        lock_id: id.to_string(),
        expires: expires.to_string(),
    };
    one(session.format(), &record)?;
    session.progress.note(format!(
        "the policy is in force now and is gone on {expires} by itself. Try it out until then, and\n  to keep it for ever:  icefield vault lock complete {vault} {id}\n                        (this CANNOT BE UNDONE, by nobody, for as long as the vault exists)\n  to take it back:      icefield vault lock abort {vault}"
    ));
    open.opened.close().await?;
    Ok(Exit::Done)
}

async fn complete(vault: &VaultArg, id: &LockId, session: &Session) -> anyhow::Result<Exit> {
    let open = session.vault(vault, false).await?;
    let settings = administration(open.target())?;
    // Nobody is asked about what cannot be done. Whoever may complete a lock need not be allowed to see it.
    let lock = match settings.lock(&open.name).await {
        Err(error) if is_denied(&error) => None,
        lock => Some(found(&open, lock).await?.ok_or_else(|| {
            Failure::failed(format!("the vault {} has no lock to complete", open.name)).hint(
                format!(
                    "it may have expired; to start one: icefield vault lock start {vault} FILE"
                ),
            )
        })?),
    };
    let what = format!(
        "make the lock policy of the vault {} in {} final: it CANNOT BE UNDONE, changed or removed by anybody, for as long as the vault exists",
        open.name,
        open.target().describe()
    );
    if session.global.dry_run {
        session.progress.say(&format!("would {what}"));
        open.opened.close().await?;
        return Ok(Exit::Done);
    }
    if lock.is_none_or(|lock| lock.state == LockState::InProgress) {
        confirm(&session.global, &what)?;
    }
    let completed = settings.complete_lock(&open.name, id).await;
    if let Err(TargetError::Service { code: ErrorCode::InvalidParameterValue, .. }) = completed {
        return Err(Failure::failed(format!("the lock of the vault {} was not completed", open.name))
            .because(completed.expect_err("it was refused"))
            .hint(format!("`icefield vault lock start` has printed the ID; if it is lost: icefield vault lock abort {vault}, and start again"))
            .into());
    }
    done(&open, completed).await?;
    session.progress.note(format!("the vault {} is locked for ever", open.name));
    open.opened.close().await?;
    Ok(Exit::Done)
}

async fn abort(vault: &VaultArg, session: &Session) -> anyhow::Result<Exit> {
    let open = session.vault(vault, false).await?;
    let settings = administration(open.target())?;
    if session.global.dry_run {
        open.require_vault().await?;
        session.progress.say(&format!(
            "would take back the lock policy of the vault {} that is not final",
            open.name
        ));
    } else {
        let aborted = settings.abort_lock(&open.name).await;
        if let Err(error) = aborted {
            if !is_denied(&error) {
                return done(&open, Err(error)).await;
            }
            return Err(Failure::failed("the lock was not taken back")
                .because(error)
                .hint("a lock that was completed is there for as long as the vault")
                .into());
        }
        session.progress.note(format!("the vault {} has no lock policy now", open.name));
    }
    open.opened.close().await?;
    Ok(Exit::Done)
}

async fn show(vault: &VaultArg, session: &Session) -> anyhow::Result<Exit> {
    let open = session.vault(vault, false).await?;
    let lock = administration(open.target())?.lock(&open.name).await;
    let Some(lock) = found(&open, lock).await? else {
        return Err(Failure::failed(format!("the vault {} has no lock policy", open.name))
            .hint(format!("to start one: icefield vault lock start {vault} FILE"))
            .into());
    };
    one(session.format(), &LockRecord::of(open.name.to_string(), lock))?;
    open.opened.close().await?;
    Ok(Exit::Done)
}

fn is_denied(error: &TargetError) -> bool {
    matches!(error, TargetError::Service { code: ErrorCode::AccessDenied, .. })
}
