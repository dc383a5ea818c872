//! `icefield delete VAULT PATTERN... | --archive-id ID`.

use std::{ffi::OsString, sync::Arc};

use clap::Args;
use icefield_client::{
    catalog::{Entry, EntryQuery},
    price::{Cost, Usd},
    remove::{self, DeletePlan, RemoveContext},
};
use icefield_protocol::ArchiveId;

use crate::{
    args::{Format, VaultArg},
    commands::{
        list::{no_match, patterns, say_unmatched},
        would::WouldRecord,
    },
    cost,
    failure::{Exit, Failure},
    output::{count, printable, size, stdout_rows},
    prompt::confirm,
    session::{Session, VaultSession},
};

/// Delete archives: all versions of every path that matches
#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// The vault, as VAULT or TARGET:VAULT
    vault: VaultArg,
    /// Paths to delete (see `icefield list --help`); `**` is everything
    #[arg(required_unless_present = "archive_id", conflicts_with = "archive_id")]
    pattern: Vec<OsString>,
    /// Delete this archive, also if the catalog does not know it
    #[arg(long, allow_hyphen_values = true)]
    archive_id: Vec<ArchiveId>,
}

/// What `remove` works with.
pub(crate) fn context(open: &VaultSession, session: &Session) -> RemoveContext {
    RemoveContext {
        target: Arc::clone(open.target()),
        catalog: open.catalog.clone(),
        vault: open.known,
        vault_name: open.name.clone(),
        events: session.events(),
        clock: Arc::clone(&session.clock),
    }
}

/// Names what a plan would delete: the first few, and how many more.
pub(crate) fn say_plan(plan: &DeletePlan, session: &Session) {
    const NAMED_AT_MOST: usize = 10;
    for archive in plan.archives.iter().take(NAMED_AT_MOST) {
        let name = match &archive.path {
            Some(path) => printable(&path.to_lossy()),
            None => archive.archive.to_string(),
        };
        session.progress.say(&format!("  {name}  {}", archive.size.map(size).unwrap_or_default()));
    }
    if plan.archives.len() > NAMED_AT_MOST {
        session.progress.say(&format!("  and {} more", plan.archives.len() - NAMED_AT_MOST));
    }
}

/// The fee for what has not been stored for as long as is charged at least.
pub(crate) struct Fee {
    pub(crate) cost: Cost,
    /// How many archives that are, and how long they are charged for.
    early: u64,
    minimum_days: u32,
}

impl Fee {
    /// Returns what to say when asking whether to delete; nothing if it costs nothing.
    pub(crate) fn in_words(&self) -> String {
        match self.cost.once() {
            Usd::ZERO => String::new(),
            fee => format!(
                ", for {fee}, because {} charged for {} days",
                match self.early {
                    1 => "one archive is".to_owned(),
                    early => format!("{early} archives are"),
                },
                self.minimum_days
            ),
        }
    }
}

/// Returns what a plan costs, where somebody charges.
pub(crate) fn fee(
    plan: &DeletePlan,
    open: &VaultSession,
    session: &Session,
) -> anyhow::Result<Option<Fee>> {
    let Some(prices) = cost::prices(&open.opened, session)? else { return Ok(None) };
    let mut sum = prices.deleting(session.clock.now());
    for archive in &plan.archives {
        sum.add(archive.size.unwrap_or(0), archive.uploaded);
    }
    let mut cost = sum.cost();
    let unknown = plan.archives.iter().filter(|archive| archive.size.is_none()).count();
    if unknown > 0 {
        cost.notes.push(format!(
            "the size of {} is not known and not counted",
            count(unknown as u64, "archive")
        ));
    }
    Ok(Some(Fee { cost, early: sum.early(), minimum_days: prices.minimum_days() }))
}

/// Returns what it costs to delete all that the catalog knows of a vault, where somebody charges.
pub(crate) fn fee_of_all(open: &VaultSession, session: &Session) -> anyhow::Result<Option<Fee>> {
    let Some(prices) = cost::prices(&open.opened, session)? else { return Ok(None) };
    let mut sum = prices.deleting(session.clock.now());
    let query = EntryQuery { versions: true, as_of: None };
    open.catalog.for_each(open.known, &query, &mut |entry: Entry| -> anyhow::Result<()> {
        if entry.archive.is_some() {
            sum.add(entry.known_size().unwrap_or(0), entry.known_uploaded());
        }
        Ok(())
    })?;
    let mut cost = sum.cost();
    cost.notes.push("what the catalog does not know is not counted".to_owned());
    Ok(Some(Fee { cost, early: sum.early(), minimum_days: prices.minimum_days() }))
}

/// Tells scripts what would be deleted, and what it would cost.
pub(crate) fn tell_plan(
    plan: &DeletePlan,
    cost: Option<&Cost>,
    format: Format,
) -> anyhow::Result<()> {
    let mut rows = stdout_rows(format);
    for planned in &plan.archives {
        let would = WouldRecord::new("delete", planned.path.as_ref()).archive(&planned.archive);
        rows.push(&would.size(planned.size))?;
    }
    for path in &plan.without_bytes {
        rows.push(&WouldRecord::new("forget", Some(path)))?;
    }
    if let Some(cost) = cost {
        rows.push(&WouldRecord::pay(cost))?;
    }
    rows.finish()?;
    Ok(())
}

/// Runs the command.
pub(crate) async fn run(command: Delete, session: &Session) -> anyhow::Result<Exit> {
    let wanted = patterns(&command.pattern)?;
    let open = session.vault(&command.vault, false).await?;
    open.require_vault().await?;
    let plan = remove::plan_delete(&open.catalog, open.known, &wanted, &command.archive_id)?;
    if plan.is_empty() {
        return Err(no_match(&open.catalog, (open.known, &open.name), &command.pattern)?.into());
    }
    let is_unmatched = say_unmatched(&plan.unmatched, &command.pattern, session);
    let what = format!(
        "delete {} ({}) and forget {} folders, links and empty files of the vault {}",
        count(plan.archives.len() as u64, "archive"),
        size(plan.bytes()),
        plan.without_bytes.len(),
        open.name
    );
    if !session.global.quiet {
        say_plan(&plan, session);
    }
    let fee = fee(&plan, &open, session)?;
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
    if let Some(cost) = cost.filter(|_| !for_what.is_empty()) {
        cost::say(cost, session);
    }
    confirm(&session.global, &format!("{what}{for_what}"))?;
    let report = remove::delete(&context(&open, session), plan).await?;
    session.progress.finish();
    session.progress.note(format!(
        "deleted {} ({})",
        count(report.deleted, "archive"),
        size(report.bytes)
    ));
    for (archive, why) in &report.failed {
        session.progress.say(&format!("error: {archive} was not deleted: {why}"));
    }
    open.opened.close().await?;
    match (report.failed.is_empty(), report.deleted) {
        (true, _) if !is_unmatched => Ok(Exit::Done),
        (true, _) => Ok(Exit::Some),
        (false, 0) => Err(Failure::failed("nothing could be deleted").into()),
        (false, _) => Ok(Exit::Some),
    }
}
