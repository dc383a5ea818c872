//! Questions before destructive or costly actions.

use std::io::{ErrorKind, IsTerminal, Write};

use crate::{args::Global, failure::Failure};

/// Asks whether to do what `action` names. `--yes` answers for the user; without a terminal and without `--yes` it refuses.
///
/// # Errors
///
/// When the answer is no, or nobody can be asked.
pub(crate) fn confirm(global: &Global, action: &str) -> anyhow::Result<()> {
    if global.yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(Failure::usage(format!(
            "this would {action}, and nobody is there to be asked"
        ))
        .hint("add --yes to do it, or --dry-run to see what it would do")
        .into());
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
