//! Questions before destructive or costly actions.

use std::io::{ErrorKind, IsTerminal, Write};

use icefield_client::price::{Cost, Usd};

use crate::{args::Global, failure::Failure, session::Session};

/// Asks whether to do what `action` names. `--yes` answers for the user; without a terminal and without `--yes` it refuses.
///
/// # Errors
///
/// When the answer is no, or nobody can be asked.
pub(crate) fn confirm(global: &Global, action: &str) -> anyhow::Result<()> {
    can_confirm(global, action)?;
    if global.yes {
        return Ok(());
    }
    // A failing standard error leaves nobody to tell.
    writeln!(std::io::stderr(), "This will {action}.").ok();
    match dialoguer::Confirm::new().with_prompt("Go on?").default(false).interact() {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failure::failed("nothing was done: the answer was no").into()),
        Err(dialoguer::Error::IO(error)) if error.kind() == ErrorKind::Interrupted => {
            // The prompt leaves the line open and the cursor hidden.
            dialoguer::console::Term::stderr().show_cursor().ok();
            writeln!(std::io::stderr()).ok();
            Err(Failure::interrupted("nothing was done").into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether `action` can be agreed to, so that what comes before it is not done in vain.
///
/// # Errors
///
/// When nobody can be asked.
pub(crate) fn can_confirm(global: &Global, action: &str) -> Result<(), Failure> {
    if global.yes || (std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        return Ok(());
    }
    Err(Failure::usage(format!("this would {action}, and nobody is there to be asked"))
        .hint("add --yes to do it, or --dry-run to see what it would do"))
}

/// Asks whether to do what `what` names at these costs, unless it costs nothing or a limit has answered: `--max-cost`, or what
/// was agreed to when the errand that is gone on with was begun. Returns what is agreed to at most. `bulk` is what it costs at
/// the tier that takes longest.
///
/// # Errors
///
/// When it costs more than the limit, the answer is no, or nobody can be asked. An errand is given up then.
pub(crate) fn consent(
    session: &Session,
    what: &str,
    costs: &[&Cost],
    max_cost: Option<Usd>,
    bulk: Option<Usd>,
) -> anyhow::Result<Usd> {
    let once: Usd = costs.iter().map(|cost| cost.once()).sum();
    let per_month: Usd = costs.iter().map(|cost| cost.per_month()).sum();
    let begun = session.going_on.as_ref();
    let Some(most) = begun.and_then(|errand| errand.agreed).or(max_cost) else {
        let price = match (once, per_month) {
            (Usd::ZERO, Usd::ZERO) => return Ok(Usd::ZERO),
            (once, Usd::ZERO) => once.to_string(),
            (once, per_month) => format!("{once} and {per_month} a month"),
        };
        confirm(&session.global, &format!("{what} for {price}"))?;
        return Ok(once);
    };
    if once <= most {
        return Ok(most);
    }
    let refused = match begun {
        Some(errand) => {
            session.catalog()?.end_errand(errand.id)?;
            Failure::usage(format!(
                "to {what} costs {once} by now, and {most} was agreed to: it is given up"
            ))
            .hint("to agree to the price of now, type the command again")
        }
        None => Failure::usage(format!(
            "to {what} costs {once}, and --max-cost is {most}: nothing was started"
        )),
    };
    let bulk = bulk.filter(|bulk| *bulk < once);
    let bulk = bulk.map(|bulk| format!("--tier bulk takes longer and costs {bulk}"));
    Err(bulk
        .into_iter()
        .fold(refused, Failure::hint)
        .hint(format!("to pay it: --max-cost {}", once.to_string().replace(['$', ','], "")))
        .hint("or name fewer files; what an earlier run has asked for is not paid again")
        .into())
}
