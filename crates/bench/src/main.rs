//! `icefield-bench`: how fast icefield is, beside its peers and the machine's limits.
//!
//! Each suite starts what it measures on this machine, lets icefield and its peers take turns, and adds a section to the
//! report. A peer that is not there is a row that says so; a suite that breaks off does not stop the next one, but fails the
//! command.

mod ceiling;
mod fill;
mod guarded;
mod http;
mod load;
mod options;
mod peers;
mod process;
mod report;
mod rounds;
mod s3s;
mod server;
mod suite;
mod usage;

use std::fs;

use anyhow::{Result, bail};
use clap::Parser as _;

use options::{Options, Task};
use report::{Report, tell};

fn main() -> Result<()> {
    let options = Options::parse();
    match &options.command {
        Some(Task::ServeS3s { address, key, secret, folder }) => {
            return s3s::serve(folder, *address, key, secret);
        }
        Some(Task::Guarded { what }) => return what.run(),
        None => {}
    }
    fs::create_dir_all(&options.folder)?;
    let mut report = Report::new(&options.folder)?;
    for (name, measure) in suite::SUITES {
        if options.wants(name)
            && let Err(error) = measure(&options, &mut report)
        {
            tell(&format!("{name} broke off: {error:#}"));
            report.broke_off(name, &error);
        }
    }
    report.finish(options.markdown.as_deref())?;
    if !report.failures.is_empty() {
        bail!("broke off: {}", report.failures.join(", "));
    }
    Ok(())
}
