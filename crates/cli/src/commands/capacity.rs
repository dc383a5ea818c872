//! `icefield capacity list|purchase`.

use clap::Subcommand;
use icefield_protocol::{CapacityId, CapacityUnit, Timestamp};
use serde::Serialize;

use crate::{
    args::{Format, TargetArg},
    commands::{vault::administration, would::WouldRecord},
    cost,
    failure::Exit,
    output::{Record, one, stdout_rows},
    prompt::confirm,
    session::Session,
};

/// Provisioned capacity: expedited retrievals that are sure to be taken
///
/// A unit lasts a month, cannot be given back, and an account has two of them at most.
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  icefield capacity list\n  icefield -n capacity purchase aws:     say what it costs\n  icefield capacity purchase aws:        buy a unit; asks first"
)]
pub(crate) enum Capacity {
    /// List the account's units
    #[command(visible_alias = "ls")]
    List {
        /// The target, as TARGET:
        #[arg(id = "place", value_name = "TARGET:")]
        target: Option<TargetArg>,
    },
    /// Buy a unit for a month from now; names the price and asks
    Purchase {
        /// The target, as TARGET:
        #[arg(id = "place", value_name = "TARGET:")]
        target: Option<TargetArg>,
    },
}

#[derive(Debug, Serialize)]
struct UnitRecord {
    capacity_id: CapacityId,
    start: Option<Timestamp>,
    expires: Option<Timestamp>,
}

impl UnitRecord {
    fn of(unit: CapacityUnit) -> Self {
        let (start, expires) = (Some(unit.start_date), Some(unit.expiration_date));
        Self { capacity_id: unit.capacity_id, start, expires }
    }
}

impl Record for UnitRecord {
    const COLUMNS: &'static [&'static str] = &["capacity_id", "start", "expires"];
    const HEADINGS: &'static [&'static str] = &["CAPACITY ID", "START", "EXPIRES"];

    fn cells(&self) -> Vec<String> {
        let text = |time: Option<Timestamp>| time.map(|time| time.to_string()).unwrap_or_default();
        vec![self.capacity_id.to_string(), text(self.start), text(self.expires)]
    }
}

/// Runs the command.
pub(crate) async fn run(command: Capacity, session: &Session) -> anyhow::Result<Exit> {
    match command {
        Capacity::List { target } => list(target.as_ref(), session).await,
        Capacity::Purchase { target } => purchase(target.as_ref(), session).await,
    }
}

async fn list(target: Option<&TargetArg>, session: &Session) -> anyhow::Result<Exit> {
    let open = session.target(target.map(|target| target.0.as_str()), false).await?;
    let units = administration(&open.target)?.capacity().await?;
    if units.is_empty() {
        session.progress.note("the account has no provisioned capacity");
    }
    let mut rows = stdout_rows(session.format());
    for unit in units {
        rows.push(&UnitRecord::of(unit))?;
    }
    rows.finish()?;
    open.close().await?;
    Ok(Exit::Done)
}

async fn purchase(target: Option<&TargetArg>, session: &Session) -> anyhow::Result<Exit> {
    let open = session.target(target.map(|target| target.0.as_str()), false).await?;
    let settings = administration(&open.target)?;
    let place = open.target.describe();
    let what = format!("buy a unit of provisioned capacity for a month in {place}");
    let cost = cost::prices(&open, session)?.map(|prices| prices.capacity());
    if session.global.dry_run {
        session.progress.say(&format!("would {what}"));
        cost::say_would(cost.as_ref(), &open, session);
        if let Some(cost) = cost.filter(|_| session.format() != Format::Table) {
            one(session.format(), &WouldRecord::pay(&cost))?;
        }
    } else {
        let price = match &cost {
            Some(cost) => {
                cost::say(cost, session);
                format!("for {}", cost.once())
            }
            None => "which costs nothing here".to_owned(),
        };
        confirm(&session.global, &format!("{what}, {price}"))?;
        let id = settings.purchase_capacity().await?;
        // It is bought: its ID is told also if nothing more is to be had.
        let units = settings.capacity().await.unwrap_or_default();
        let unit = units.into_iter().find(|unit| unit.capacity_id == id).map(UnitRecord::of);
        let bought = UnitRecord { capacity_id: id, start: None, expires: None };
        one(session.format(), &unit.unwrap_or(bought))?;
    }
    open.close().await?;
    Ok(Exit::Done)
}
