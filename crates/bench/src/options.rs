//! What is measured, with what, and how thoroughly.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Parser, Subcommand};

use crate::guarded::Guarded;

/// Why another program has no figures.
pub(crate) const ALONE: &str = "measured alone";

/// Measures icefield beside its peers. Everything happens on this machine.
#[derive(Debug, Parser)]
#[command(name = "icefield-bench", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    /// The program that is measured
    #[arg(long, env = "ICEFIELD_BIN", default_value = "icefield")]
    pub(crate) icefield: PathBuf,
    /// Where stores and files are put while they are measured: some 20 GB
    #[arg(long, default_value = ".")]
    pub(crate) folder: PathBuf,
    /// Rounds in which all take their turns; the median counts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Only suites with this in their names: kernels, server, retrieval, embedded, client, rest, guard (may be
    /// repeated)
    #[arg(long, value_name = "WORD")]
    only: Vec<String>,
    /// Of the server's loads only those with this in their names (may be repeated)
    #[arg(long, value_name = "WORD")]
    load: Vec<String>,
    /// Measure no other server or client beside it
    #[arg(long)]
    pub(crate) alone: bool,
    /// One round of little: shows that everything runs, says less about how fast
    #[arg(long)]
    pub(crate) short: bool,
    /// Write the page there
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
    /// Archives of the vault that is large
    #[arg(long, default_value_t = 10_000_000)]
    archives: u64,
    /// Take the instructions that are counted for right
    #[arg(long)]
    pub(crate) record: bool,
    /// Python with boto3, AWS CLI and moto
    #[arg(long, env = "ICEFIELD_PYTHON")]
    pub(crate) python: Option<PathBuf>,
    /// Python 2.7
    #[arg(long, env = "ICEFIELD_PYTHON27")]
    pub(crate) python27: Option<PathBuf>,
    /// Folder with releases of boto 2
    #[arg(long, env = "ICEFIELD_BOTO2")]
    pub(crate) boto2: Option<PathBuf>,
    /// Garage (default: as found by the shell)
    #[arg(long, env = "ICEFIELD_GARAGE")]
    pub(crate) garage: Option<PathBuf>,
    /// mt-aws-glacier (default: as found by the shell)
    #[arg(long, env = "ICEFIELD_MTGLACIER", default_value = "mtglacier")]
    pub(crate) mtglacier: PathBuf,
    #[command(subcommand)]
    pub(crate) command: Option<Task>,
}

/// What this program does for its own measurements.
#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Serves a folder with s3s-fs
    #[command(hide = true)]
    ServeS3s { address: SocketAddr, key: String, secret: String, folder: PathBuf },
    /// Does what is counted in instructions
    #[command(hide = true)]
    Guarded { what: Guarded },
}

impl Options {
    pub(crate) fn rounds(&self) -> usize {
        if self.short { 1 } else { self.rounds.into() }
    }

    pub(crate) fn archives(&self) -> u64 {
        if self.short { self.archives.min(100_000) } else { self.archives }
    }

    /// Whether a suite is to be run.
    pub(crate) fn wants(&self, suite: &str) -> bool {
        any_in(&self.only, suite)
    }

    /// Whether a load of the server is to be measured.
    pub(crate) fn wants_load(&self, load: &str) -> bool {
        any_in(&self.load, load)
    }
}

/// Whether one of the words is in the name, or there are none.
fn any_in(words: &[String], name: &str) -> bool {
    words.is_empty() || words.iter().any(|word| name.contains(word.as_str()))
}
