//! `icefield vault purge`.

use clap::Args;
use icefield_client::remove::{self, PurgeReport, Purged};

use crate::{
    args::VaultArg,
    commands::delete::{Fee, context, fee_of_all},
    cost,
    failure::{Exit, Failure},
    output::{count, size},
    prompt::confirm,
    session::{Session, VaultSession},
};

/// Delete every archive of a vault, then the vault; run it again if it was interrupted
///
/// Archives that the catalog knows come first, then those that an inventory of the vault lists. A service counts a vault
/// by its last inventory: at Amazon one that was emptied can be deleted only after the next one, about a day later. purge
/// waits for it, up to three days, and says so; with --no-wait it ends with exit code 75 instead, to be run again.
/// Whatever was deleted is not deleted again.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  icefield -n vault purge frames           what would be deleted\n  icefield vault purge frames              ask, then delete, then wait if need be\n  icefield vault purge frames --yes --no-wait    for cron: until it ends with 0"
)]
pub(crate) struct Purge {
    /// The vault
    vault: VaultArg,
    /// Do not wait for an inventory: exit with 75, and go on when it is run again
    #[arg(long)]
    pub(crate) no_wait: bool,
}

/// Runs the command.
pub(super) async fn run(command: Purge, session: &Session) -> anyhow::Result<Exit> {
    let open = session.vault(&command.vault, false).await?;
    let (known, bytes) = open.catalog.archives_and_bytes(open.known)?;
    let what = if is_gone(&open, known).await? {
        format!(
            "forget what the catalog knows of the vault {}, which is not in {} any more",
            open.name,
            open.target().describe()
        )
    } else {
        let archives = open.require_vault().await?.number_of_archives.max(known);
        format!(
            "delete the vault {} in {} with all of its archives ({archives}, {})",
            open.name,
            open.target().describe(),
            size(bytes)
        )
    };
    let fee = fee_of_all(&open, session)?;
    let cost = fee.as_ref().map(|fee| &fee.cost);
    if session.global.dry_run {
        session.progress.say(&format!("would {what}"));
        cost::say_would(cost, &open.opened, session);
        open.opened.close().await?;
        return Ok(Exit::Done);
    }
    let for_what = fee.as_ref().map(Fee::in_words).unwrap_or_default();
    if let Some(cost) = cost.filter(|cost| !for_what.is_empty() || !cost.notes.is_empty()) {
        cost::say(cost, session);
    }
    confirm(&session.global, &format!("{what}{for_what}"))?;
    session.begin_errand(&open.catalog, &command.vault, None)?;
    let purged = remove::purge(&context(&open, session), command.no_wait).await?;
    session.progress.finish();
    let name = open.name.clone();
    open.opened.close().await?;
    let deleted = |report: PurgeReport| {
        format!("{} ({})", count(report.deleted, "archive"), size(report.bytes))
    };
    match purged {
        Purged::Done(report) => {
            session.progress.note(format!("deleted {} and the vault {name}", deleted(report)));
            Ok(Exit::Done)
        }
        Purged::Gone(report) => {
            session.progress.note(format!(
                "deleted {}; the vault {name} was deleted by somebody else",
                deleted(report)
            ));
            Ok(Exit::Done)
        }
        Purged::NotReady { report, waits_for } => Err(Failure::not_ready(format!(
            "deleted {}; the vault {name} is not gone yet and waits for {waits_for}",
            deleted(report)
        ))
        .hint("run the same command again later: it goes on from here")
        .into()),
        Purged::Left(report) => {
            let failed = count(report.failed, "archive");
            let left = format!("{failed} could not be deleted, so the vault {name} is still there");
            if report.deleted == 0 {
                return Err(Failure::failed(left)
                    .hint(format!(
                        "icefield vault lock show {} tells whether a lock forbids it",
                        command.vault
                    ))
                    .into());
            }
            session.progress.say(&format!("deleted {}; {left}", deleted(report)));
            Ok(Exit::Some)
        }
    }
}

/// Whether the vault is gone and the catalog has not noticed, as after a purge that was killed in its last moment.
async fn is_gone(open: &VaultSession, known: u64) -> anyhow::Result<bool> {
    match open.target().describe_vault(&open.name).await {
        Ok(_) => Ok(false),
        Err(error) if error.is_not_found() => Ok(known > 0 || open.catalog.has_purged(open.known)?),
        Err(error) => Err(error.into()),
    }
}
