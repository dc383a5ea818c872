//! `icefield man`.

use std::{io::Write as _, path::PathBuf};

use clap::{Args, CommandFactory as _};

use crate::{args::Cli, failure::Exit};

/// Print the manual page, or write one page per command into a folder
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Write icefield.1, icefield-upload.1 and so on into this folder
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn run(man: &Man) -> anyhow::Result<Exit> {
    if let Some(folder) = &man.to {
        std::fs::create_dir_all(folder)?;
        clap_mangen::generate_to(Cli::command(), folder)?;
    } else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut page)?;
        std::io::stdout().write_all(&page)?;
    }
    Ok(Exit::Done)
}
