//! `icefield completions SHELL`.

use std::io::Write as _;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::{args::Cli, failure::Exit};

/// Print a completion script for your shell
///
/// For bash: `icefield completions bash > ~/.local/share/bash-completion/completions/icefield`
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Runs the command.
pub(crate) fn run(completions: &Completions) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(completions.shell, &mut Cli::command(), "icefield", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(Exit::Done)
}
