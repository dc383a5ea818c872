//! `icefield migrate SRC DST [PATTERN...]`.

use std::{collections::HashSet, ffi::OsString, num::NonZeroUsize, sync::Arc, time::Duration};

use anyhow::Context as _;
use clap::Args;
use icefield_client::{
    catalog::{CatalogError, Entry},
    inventory::{RefreshOptions, refresh},
    migrate::{MigrateOptions, MigratePlan, MigrateReport, migrate, pieces, plan_migration},
    price::{Cost, Prices, Usd},
    remove::{self, DeletePlan, PlannedDelete},
    retrieval::{RetrieveContext, quote},
    transfer::{
        Cancel, Outcome, Throttle, UploadContext, UploadOptions,
        plan::{Plan, plan},
        rate::RateLimit,
    },
};
use icefield_protocol::{PartSize, Tier};

use crate::{
    args::{Format, VaultArg},
    commands::{
        delete,
        job::parse_tier,
        list::{knows_nothing, patterns, say_unmatched},
        upload::{UploadRecord, parse_part_size, parse_size},
        would::WouldRecord,
    },
    cost,
    failure::{Exit, Failure},
    output::{ROWS_FOR_PEOPLE, count, printable, size, stdout_rows},
    prompt::{can_confirm, confirm, consent},
    session::{Session, VaultSession},
};

/// Move archives from one vault to another: between Amazon, icefield servers, S3 Glacier classes and stores on this machine
///
/// The newest version of every path is retrieved from the first vault and uploaded to the second as it comes, without a
/// local copy, compared with its tree hash on the way in and again before it becomes an archive there. Names come from the
/// catalog: run `icefield inventory refresh` on the first vault before. What is there already is left out; what was
/// interrupted goes on when the same command is typed again, and no job is started twice.
///
/// Where Amazon charges it says before what it costs, at both places, and asks.
///
/// An archive that is larger than the second vault can hold becomes numbered pieces: NAME.0001, NAME.0002 and so on.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  icefield migrate aws:photos deep:photos            a vault of Amazon Glacier to an S3 class\n  icefield migrate aws:photos lab:photos --no-wait   start the jobs now, run it again when they are done (or: icefield watch)\n  icefield migrate deep:photos home:photos --delete-source   move, and delete what has arrived"
)]
pub(crate) struct Migrate {
    /// The vault to take from, as VAULT or TARGET:VAULT
    source: VaultArg,
    /// The vault to bring to; made if it does not exist
    destination: VaultArg,
    /// Only paths that match one of these (see `icefield list --help`)
    pattern: Vec<OsString>,
    /// How fast the source makes archives readable: expedited costs most, bulk least
    #[arg(long, value_parser = parse_tier, default_value = "standard")]
    tier: Tier,
    /// Go ahead without asking if it costs at most this much, storage aside, and not at all if it costs more
    #[arg(long, value_name = "USD")]
    max_cost: Option<Usd>,
    /// Ask the source for at most so many bytes an hour, counted over all runs
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_rate: Option<u64>,
    /// Start the jobs and end with exit code 75 until they are ready
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Delete from the source what has arrived
    #[arg(long)]
    delete_source: bool,
    /// Size of the parts of large archives: a power of two from 1MiB to 4GiB (default: by size)
    #[arg(long, value_name = "SIZE", value_parser = parse_part_size)]
    part_size: Option<PartSize>,
    /// Parts of large archives in flight at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    concurrency: Option<u16>,
    /// Send at most so many bytes a second (`10M`), or a timetable (`08:00,512K 19:00,10M 23:00,off`)
    #[arg(long, value_name = "RATE")]
    limit_rate: Option<String>,
}

/// Runs the command.
pub(crate) async fn run(command: Migrate, session: &Session) -> anyhow::Result<Exit> {
    refuse_overrides(session)?;
    let throttle = command.limit_rate.as_deref().map(str::parse::<RateLimit>).transpose();
    let throttle =
        throttle.map_err(|error| Failure::usage("--limit-rate is not valid").because(error))?;
    let wanted = patterns(&command.pattern)?;
    let (from, to) = session.two_vaults(&command.source, &command.destination).await?;
    from.require_vault().await?;
    if knows_nothing(&from.catalog, from.known)? {
        return Err(Failure::failed(format!(
            "the catalog knows nothing of the vault {}",
            from.name
        ))
        .hint(format!("to learn what it holds: icefield inventory refresh {}", command.source))
        .into());
    }
    let source = RetrieveContext {
        target: Arc::clone(from.target()),
        catalog: from.catalog.clone(),
        vault: from.known,
        vault_name: from.name.clone(),
        hashing: session.hashing(),
        events: session.events(),
        clock: Arc::clone(&session.clock),
    };
    let target = UploadContext {
        target: Arc::clone(to.target()),
        catalog: to.catalog.clone(),
        vault: to.name.clone(),
        hashing: session.hashing(),
        clock: Arc::clone(&session.clock),
        events: session.events(),
        cancel: Cancel::never(),
        opener: None,
    };
    let defaults = UploadOptions::default();
    let asked = command.concurrency.and_then(|count| NonZeroUsize::new(count.into()));
    let options = MigrateOptions {
        patterns: wanted,
        tier: command.tier,
        max_rate: command.max_rate,
        refused_pause: Duration::from_mins(10),
        no_wait: command.no_wait,
        largest: to.target().limits().largest_archive_bytes,
        upload: UploadOptions {
            part_size: command.part_size,
            concurrency: asked.unwrap_or_else(|| to.target().bodies_at_once()),
            throttle: throttle.map(|limit| Arc::new(Throttle::new(limit, session.local_offset))),
            ..defaults
        },
    };
    let plan = plan_migration(&source, &target, &options)?;
    let unmatched = say_unmatched(&plan.unmatched, &command.pattern, session);
    let what = format!(
        "move {} ({}) from the vault {} in {} to the vault {} in {}",
        count(plan.files.len() as u64, "file"),
        size(plan.bytes()),
        from.name,
        from.target().describe(),
        to.name,
        to.target().describe(),
    );
    let price =
        price(&source, &plan, &options, (&from, &to), command.delete_source, session).await?;
    if session.global.dry_run {
        tell_plan(&plan, &what, &price, (&from, &to), session)?;
        return close(from, to, Exit::Done).await;
    }
    if command.delete_source {
        let later = format!("delete from the vault {} what has arrived", from.name);
        can_confirm(&session.global, &later)?;
    }
    say_price(&price, (&from, &to), session);
    let agreed = consent(session, &what, &price.costs(), command.max_cost, price.bulk)?;
    session.progress.note(format!("{} to {what}", session.clock.now()));
    to.target().create_vault(&to.name).await?;
    session.begin_errand(&from.catalog, &command.source, Some(agreed))?;
    let mut rows = stdout_rows(session.format()).at_most(ROWS_FOR_PEOPLE);
    let mut unwritten = None;
    let report = migrate(&source, target, options, plan, &mut |outcome| {
        if let (Outcome::Uploaded(file), None) = (&outcome, &unwritten) {
            unwritten = rows.push(&UploadRecord::of(file)).err();
        }
    })
    .await?;
    if let Some(error) = unwritten {
        return Err(error.into());
    }
    session.progress.finish();
    rows.finish()?;
    let exit = say_end(report, session)?;
    let exit = match exit {
        Exit::Done if command.delete_source => delete_source(&from, &to, &command, session).await?,
        Exit::Done if unmatched => Exit::Some,
        exit => exit,
    };
    drop(source);
    close(from, to, exit).await
}

async fn close(from: VaultSession, to: VaultSession, exit: Exit) -> anyhow::Result<Exit> {
    from.opened.close().await?;
    to.opened.close().await?;
    Ok(exit)
}

/// Which of the two targets an option is meant for cannot be known.
fn refuse_overrides(session: &Session) -> Result<(), Failure> {
    let global = &session.global;
    for (option, given) in [
        ("--region", global.region.is_some()),
        ("--profile", global.profile.is_some()),
        ("--endpoint-url", global.endpoint_url.is_some()),
    ] {
        if given {
            return Err(Failure::usage(format!("{option} does not say which of the two vaults it is for"))
                .hint("give both places a name: icefield target add NAME --type vault-api --region REGION"));
        }
    }
    Ok(())
}

/// What it costs where archives are taken from and where they are brought to, as far as somebody charges there.
struct Price {
    from: Option<Cost>,
    to: Option<Cost>,
    /// What all of it would cost if it were not hurried.
    bulk: Option<Usd>,
}

impl Price {
    fn costs(&self) -> Vec<&Cost> {
        self.from.iter().chain(&self.to).collect()
    }
}

/// Finds out what a plan costs. Jobs that an earlier run has started are paid for.
async fn price(
    source: &RetrieveContext,
    files: &MigratePlan,
    options: &MigrateOptions,
    (from, to): (&VaultSession, &VaultSession),
    delete_source: bool,
    session: &Session,
) -> anyhow::Result<Price> {
    let limits = to.target().limits().at_rate(to.catalog.rate(to.target().identity())?);
    let ways = |size: u64| {
        pieces(size, options.largest).map(move |piece| {
            let size = piece.end - piece.start;
            (size, plan(size, options.upload.part_size, limits).unwrap_or(Plan::Single))
        })
    };
    let arriving = cost::prices(&to.opened, session)?.map(|prices| {
        let mut sum = prices.uploading();
        files
            .files
            .iter()
            .flat_map(|file| ways(file.size))
            .for_each(|(size, way)| sum.add(size, &way));
        if files.noted > 0 {
            // They go into an archive of the run's own.
            sum.add(0, &Plan::Single);
        }
        sum.cost()
    });
    let Some(prices) = cost::prices(&from.opened, session)? else {
        return Ok(Price { from: None, to: arriving, bulk: None });
    };
    let quote = quote(source, &files.retrievals()).await?;
    // A part is read when it is sent.
    let requests = |bytes: u64| ways(bytes).map(|(_, way)| way.bodies()).sum();
    let days = from.target().restore_days();
    let leaving = cost::of_retrieval(&prices, options.tier, days, &quote, &requests)?;
    let fee = delete_source.then(|| fee(&prices, files, options.largest, session));
    let besides = fee.iter().chain(&arriving).map(Cost::once).sum::<Usd>();
    Ok(Price {
        bulk: leaving.bulk.map(|bulk| bulk.saturating_add(besides)),
        from: Some(match fee {
            Some(fee) => leaving.cost.and(fee),
            None => leaving.cost,
        }),
        to: arriving,
    })
}

/// What it costs to delete early all that will have arrived. Pieces of an archive do not stand for it.
fn fee(prices: &Prices, plan: &MigratePlan, largest: u64, session: &Session) -> Cost {
    let mut sum = prices.deleting(session.clock.now());
    let mut seen = HashSet::new();
    for entry in plan.files.iter().chain(&plan.present) {
        if entry.size <= largest && seen.insert(&entry.archive) {
            sum.add(entry.size, entry.known_uploaded());
        }
    }
    sum.cost()
}

/// Says item by item what is charged at each of the two places.
fn say_price(price: &Price, (from, to): (&VaultSession, &VaultSession), session: &Session) {
    for (vault, cost) in [(from, &price.from), (to, &price.to)] {
        if let Some(cost) = cost.as_ref().filter(|cost| !cost.items.is_empty()) {
            let place = vault.target().describe();
            session.progress.note(format!("the vault {} in {place}:", vault.name));
            cost::say(cost, session);
        }
    }
}

fn tell_plan(
    plan: &MigratePlan,
    what: &str,
    price: &Price,
    (from, to): (&VaultSession, &VaultSession),
    session: &Session,
) -> anyhow::Result<()> {
    session.progress.say(&format!(
        "would {what}; {} there already, {} without bytes",
        plan.present.len(),
        plan.bare.len()
    ));
    say_price(price, (from, to), session);
    if price.from.is_none() {
        cost::say_free(&from.opened, session);
    }
    if price.to.is_none() && to.target().identity() != from.target().identity() {
        cost::say_free(&to.opened, session);
    }
    let mut rows = stdout_rows(session.format());
    let told = [("move", &plan.files), ("note", &plan.bare), ("skip", &plan.present)];
    for (would, entry) in
        told.iter().flat_map(|(would, list)| list.iter().map(move |e| (*would, e)))
    {
        let record = WouldRecord::new(would, Some(&entry.path)).size(entry.known_size());
        rows.push(&match &entry.archive {
            Some(archive) => record.archive(archive),
            None => record,
        })?;
    }
    if session.format() != Format::Table {
        price.costs().into_iter().try_for_each(|cost| rows.push(&WouldRecord::pay(cost)))?;
    }
    rows.finish()?;
    Ok(())
}

fn say_end(report: MigrateReport, session: &Session) -> anyhow::Result<Exit> {
    let MigrateReport { upload, waiting, refused } = report;
    for (path, why) in &refused {
        session.progress.say(&format!("error: {}: {why}", printable(&path.to_lossy())));
    }
    let failed = upload.failed + refused.len() as u64;
    let mut said = format!("moved {} ({})", count(upload.uploaded, "file"), size(upload.bytes));
    for (count, what) in [
        (upload.skipped + upload.touched, "there already"),
        (waiting, "wait for their jobs: run the same command again later, or icefield watch"),
        (upload.held, "left to another run that is moving: run the same command again later"),
        (failed, "failed"),
    ] {
        if count > 0 {
            said.push_str(&format!(", {count} {what}"));
        }
    }
    session.progress.note(format!("{} {said}", upload.finished));
    match upload.stopped {
        Some(error) => Err(error.into()),
        None if failed > 0 => Ok(Exit::Some),
        None if waiting + upload.held > 0 => Ok(Exit::NotReady),
        None => Ok(Exit::Done),
    }
}

/// Deletes from the source what the destination has with the same tree hash, as its own list says where it has a current one.
async fn delete_source(
    from: &VaultSession,
    to: &VaultSession,
    command: &Migrate,
    session: &Session,
) -> anyhow::Result<Exit> {
    if to.target().inventory_lag().is_zero() {
        let clock = Arc::clone(&session.clock);
        let (target, options) = (to.target(), RefreshOptions::default());
        let events = session.events();
        refresh(&**target, &to.catalog, &to.name, &*events, &move || clock.now(), &options)
            .await
            .context("what has arrived could not be checked, so nothing was deleted")?;
    }
    let everything = [OsString::from("**")];
    let given = if command.pattern.is_empty() { &everything[..] } else { &command.pattern };
    let all = remove::plan_delete(&from.catalog, from.known, &patterns(given)?, &[])?;
    let mut arrived = DeletePlan::default();
    for planned in all.archives {
        if has_arrived(&planned, from, to)? {
            arrived.archives.push(planned);
        }
    }
    if arrived.archives.is_empty() {
        session.progress.note("nothing to delete: older versions and pieces stay in the source");
        return Ok(Exit::Done);
    }
    let what = format!(
        "delete {} ({}) from the vault {} in {}, all of which has arrived",
        count(arrived.archives.len() as u64, "archive"),
        size(arrived.bytes()),
        from.name,
        from.target().describe()
    );
    let fee = delete::fee(&arrived, from, session)?;
    let for_what = fee.as_ref().map(delete::Fee::in_words).unwrap_or_default();
    confirm(&session.global, &format!("{what}{for_what}"))?;
    let report = remove::delete(&delete::context(from, session), arrived).await?;
    session.progress.finish();
    session.progress.note(format!("deleted {}", count(report.deleted, "archive")));
    for (archive, why) in &report.failed {
        session.progress.say(&format!("error: {archive} was not deleted: {why}"));
    }
    Ok(if report.failed.is_empty() { Exit::Done } else { Exit::Some })
}

fn has_arrived(
    planned: &PlannedDelete,
    from: &VaultSession,
    to: &VaultSession,
) -> Result<bool, CatalogError> {
    let Some(path) = &planned.path else { return Ok(false) };
    let there = to.catalog.newest(to.known, path)?;
    let here = from.catalog.by_archive(from.known, &planned.archive)?;
    let same = |here: &Entry, there: &Entry| {
        here.tree_hash.is_some()
            && here.tree_hash == there.tree_hash
            && here.known_size() == there.known_size()
            && there.archive.is_some()
    };
    Ok(there.is_some_and(|there| !here.is_empty() && here.iter().all(|here| same(here, &there))))
}
