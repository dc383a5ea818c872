//! `icefield delete VAULT PATTERN... | --archive-id ID`.

use std::{ffi::OsString, sync::Arc};

use clap::Args;
use icefield_client::remove::{self, DeletePlan, RemoveContext};
use icefield_protocol::ArchiveId;

use crate::{
    args::{Format, VaultArg},
    commands::{
        list::{no_match, patterns, say_unmatched},
        would::WouldRecord,
    },
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

fn tell_plan(plan: &DeletePlan, format: Format) -> anyhow::Result<()> {
    let mut rows = stdout_rows(format);
    for planned in &plan.archives {
        let would = WouldRecord::new("delete", planned.path.as_ref()).archive(&planned.archive);
        rows.push(&would.size(planned.size))?;
    }
    for path in &plan.without_bytes {
        rows.push(&WouldRecord::new("forget", Some(path)))?;
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
    if session.global.dry_run {
        session.progress.say(&format!("would {what}"));
        if session.format() != Format::Table {
            tell_plan(&plan, session.format())?;
        }
        open.opened.close().await?;
        return Ok(Exit::Done);
    }
    confirm(&session.global, &what)?;
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
