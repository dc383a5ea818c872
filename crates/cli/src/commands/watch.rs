//! `icefield watch`.

use std::{path::Path, time::Duration};

use anyhow::Context as _;
use clap::{Args, Parser as _};
use icefield_client::catalog::Errand;

use crate::{
    args::{Cli, Command},
    commands::{self, vault::Vault},
    errand::words_of,
    failure::{Exit, report},
    output::count,
    session::Session,
};

/// First pause between two rounds; each later one is twice as long, until something has ended.
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// Longest pause between two rounds.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// Go on with everything that has begun and not ended, until it is done
///
/// Uploads, retrievals, migrations and purges that were interrupted, or wait for their jobs, are gone on with, as if the same
/// commands were typed again in the same folders: what was agreed to then is not asked again, and nothing is started or
/// paid twice. What would now cost more than was agreed to is given up. `icefield status` shows what there is. Credentials
/// and settings are those of this command's environment.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  icefield retrieve cold:films --no-wait; icefield watch    start now, and wait for all of it\n  icefield watch --once                                     one look, for cron: exit code 75 while something is left\n  icefield watch --stay                                     also go on with what is begun later, as a service"
)]
pub(crate) struct Watch {
    /// Look once: exit code 75 when something is left to wait for
    #[arg(long, conflicts_with = "stay")]
    once: bool,
    /// Do not end when all is done
    #[arg(long)]
    stay: bool,
}

/// What became of the errands of one round.
#[derive(Debug, Default)]
struct Round {
    ended: u64,
    failed: u64,
    waiting: u64,
}

/// Runs the command.
pub(crate) async fn run(watch: Watch, session: &Session) -> anyhow::Result<Exit> {
    let mut pause = FIRST_PAUSE;
    let mut failed = 0;
    loop {
        let round = look(session).await?;
        failed += round.failed;
        if round.ended + round.failed > 0 {
            pause = FIRST_PAUSE;
        }
        match round.waiting {
            0 if !watch.stay => {
                let said =
                    if round.ended + failed == 0 { "nothing is left to do" } else { "all is done" };
                session.progress.note(said);
                return Ok(if failed == 0 { Exit::Done } else { Exit::Some });
            }
            _ if watch.once => return Ok(Exit::NotReady),
            _ => {}
        }
        rest(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Goes on with each errand as far as it will go now.
async fn look(session: &Session) -> anyhow::Result<Round> {
    let mut round = Round::default();
    for errand in session.catalog()?.errands()? {
        if errand.held {
            round.waiting += 1;
            continue;
        }
        session.progress.note(format!("going on with: icefield {}", words_of(&errand.words)));
        if session.global.dry_run {
            round.ended += 1;
            continue;
        }
        match go_on(&errand, session).await {
            Ok(Exit::Done) => round.ended += 1,
            Ok(Exit::NotReady) => round.waiting += 1,
            Ok(_) => round.failed += 1,
            Err(error) => {
                report(&error, &mut anstream::stderr());
                // What cannot be gone on with is over; what broke on the way is tried again.
                let left = session.catalog()?.errands()?;
                if left.iter().any(|other| other.id == errand.id) {
                    round.waiting += 1;
                } else {
                    round.failed += 1;
                }
            }
        }
    }
    if round.waiting > 0 {
        session.progress.note(format!("{} not done yet", count(round.waiting, "command")));
    }
    Ok(round)
}

async fn go_on(errand: &Errand, session: &Session) -> anyhow::Result<Exit> {
    let program = std::ffi::OsString::from("icefield");
    let words = std::iter::once(program).chain(errand.words.iter().cloned());
    let catalog = session.catalog()?;
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(error) => {
            // Another version of icefield wrote it.
            catalog.end_errand(errand.id)?;
            return Err(error).context("the command is not understood any more, and given up");
        }
    };
    std::env::set_current_dir(&errand.folder)
        .with_context(|| format!("cannot go to {}", shown(&errand.folder)))?;
    let (mut global, mut command) = (cli.global, cli.command);
    // It was agreed to when it was begun; what is paid for is held to the price of then.
    global.yes = true;
    global.quiet = session.global.quiet;
    match &mut command {
        Command::Retrieve(retrieve) => retrieve.no_wait = true,
        Command::Migrate(migrate) => migrate.no_wait = true,
        Command::Vault(Vault::Purge(purge)) => purge.no_wait = true,
        _ => {}
    }
    let own = Session::beside(session, global, errand.clone())?;
    let ended = Box::pin(commands::run(command, &own)).await;
    own.end_errand(&ended)?;
    ended
}

fn shown(folder: &Path) -> String {
    folder.display().to_string()
}

#[expect(clippy::disallowed_methods, reason = "the named pause between two rounds")]
async fn rest(pause: Duration) {
    tokio::time::sleep(pause).await;
}
