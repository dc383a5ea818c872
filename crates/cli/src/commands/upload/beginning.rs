//! What is said before an upload begins: how much it is, how long it takes, and what it costs.

use icefield_client::{
    price::{Cost, Usd},
    transfer::{
        estimate::{Rate, Workload},
        plan::Plan,
        rate::RateLimit,
        upload::{SurveyOptions, UploadOptions, survey},
    },
    walk::Selection,
};
use icefield_protocol::Timestamp;

use super::{Input, Upload};
use crate::{
    cost,
    output::{count, printable, size},
    session::{Session, VaultSession},
};

/// Says what goes where, how much of it is new, how long that takes, and what it costs.
pub(super) async fn say_beginning(
    command: &Upload,
    options: &UploadOptions,
    input: Input,
    selection: &Selection,
    open: &VaultSession,
    session: &Session,
) -> anyhow::Result<Input> {
    if session.global.quiet {
        return Ok(input);
    }
    let now = session.clock.now();
    session.progress.note(format!(
        "{now} uploading {} to the vault {} in {}",
        named(command),
        open.name,
        open.target().describe()
    ));
    // How much a stream has is known when it ends.
    let Input::Roots(roots) = input else { return Ok(input) };
    let prices = cost::prices(&open.opened, session)?;
    let UploadOptions { part_size, force, checksum, .. } = *options;
    let rate = open.catalog.rate(open.target().identity())?;
    let limits = open.target().limits().at_rate(rate);
    let (catalog, vault, selection) = (open.catalog.clone(), open.known, selection.clone());
    let surveying = tokio::task::spawn_blocking(move || {
        let mut work = Workload::default();
        let mut sum = prices.as_ref().map(|prices| prices.uploading());
        let options = SurveyOptions { part_size, force, checksum, limits };
        let found = survey(&catalog, vault, (&roots, &selection), options, &mut |size, plan| {
            work.add(size, plan);
            if let Some(sum) = &mut sum {
                sum.add(size, plan);
            }
        })?;
        if let Some(sum) = sum.as_mut().filter(|_| found.noted > 0) {
            // They go into an archive of the run's own.
            sum.add(0, &Plan::Single);
        }
        let cost = sum.map(|sum| sum.cost());
        anyhow::Ok((roots, work, cost))
    });
    let (roots, work, cost) = surveying.await??;
    if work.files > 0 {
        session.progress.note(amount(&work));
        if let Some(line) = duration(&work, command, open, session, now)? {
            session.progress.note(line);
        }
        // A dry run tells the price when it knows more.
        if let Some(cost) = cost.filter(|_| !session.global.dry_run) {
            session.progress.note(price(&cost));
        }
    }
    Ok(Input::Roots(roots))
}

fn amount(work: &Workload) -> String {
    format!(
        "to be sent: {} ({}) in {} and {}",
        count(work.files, "file"),
        size(work.bytes),
        count(work.parts, "part"),
        count(work.requests, "request")
    )
}

/// How long it takes at the rate that was given, or was reached before, unless a limit is below it.
fn duration(
    work: &Workload,
    command: &Upload,
    open: &VaultSession,
    session: &Session,
    now: Timestamp,
) -> anyhow::Result<Option<String>> {
    let remembered = || open.catalog.rate(open.target().identity());
    let known = match command.estimate_rate {
        Some(mbit) => Rate::mbit_per_second(mbit).map(|rate| (rate, "the given rate")),
        None => remembered()?
            .and_then(Rate::bytes_per_second)
            .map(|rate| (rate, "the rate of earlier runs")),
    };
    let limit = command.limit_rate.as_deref().and_then(|text| text.parse::<RateLimit>().ok());
    #[expect(clippy::cast_precision_loss, reason = "an estimate for people")]
    let limit = limit
        .and_then(|limit| limit.at(now, session.local_offset))
        .and_then(|rate| Rate::bytes_per_second(rate as f64))
        .map(|rate| (rate, "the rate of --limit-rate"));
    let slower = match (known, limit) {
        (Some(known), Some(limit)) => Some(if limit.0 < known.0 { limit } else { known }),
        (known, limit) => known.or(limit),
    };
    let Some((rate, whose)) = slower else { return Ok(None) };
    let Some(estimate) = rate.estimate(work.bytes, now) else { return Ok(None) };
    Ok(Some(format!(
        "about {} at {whose} ({:.2} Mbit/s), until {}",
        humantime::format_duration(estimate.duration),
        rate.mbit(),
        estimate.finish,
    )))
}

fn price(cost: &Cost) -> String {
    let (once, per_month) = (cost.once(), cost.per_month());
    let mut line = format!("costs {once} for requests");
    if per_month > Usd::ZERO {
        line.push_str(&format!(" and {per_month} a month for storage"));
    }
    format!("{line} (prices of {} for the region {})", cost.prices, cost.region)
}

/// What is uploaded, in the user's words: the first few paths.
fn named(command: &Upload) -> String {
    const NAMED_AT_MOST: usize = 3;
    if command.is_stream() {
        return "standard input".to_owned();
    }
    let paths = command.path.iter().map(|path| printable(&path.to_string_lossy()));
    let list = command.files_from.iter().map(|list| format!("what {} lists", list.display()));
    let mut named: Vec<_> = paths.chain(list).collect();
    let more = named.len().saturating_sub(NAMED_AT_MOST);
    named.truncate(NAMED_AT_MOST);
    match more {
        0 => named.join(", "),
        _ => format!("{} and {more} more", named.join(", ")),
    }
}
