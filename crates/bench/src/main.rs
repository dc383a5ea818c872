//! `icefield-bench`: how fast icefield is, beside its peers and the machine's limits.

mod ceiling;
mod http;
mod load;
mod server;
mod usage;

use std::{fs, io::Write as _, path::PathBuf};

use anyhow::Result;
use clap::Parser;

use server::{Payload, Server, folder};

/// Measures icefield beside its peers. Everything happens on this machine.
#[derive(Debug, Parser)]
#[command(name = "icefield-bench", version)]
struct Args {
    /// The program that is measured
    #[arg(long, env = "ICEFIELD_BIN")]
    icefield: PathBuf,
    /// Where stores and files are put while they are measured
    #[arg(long, default_value = ".")]
    folder: PathBuf,
    /// How often
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only what has this in its name
    #[arg(long, default_value = "")]
    only: String,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let mut out = std::io::stdout();
    fs::create_dir_all(&args.folder)?;
    let part = Payload::random(64 << 20);
    let small = Payload::random(4 << 10);
    for _ in 0..args.rounds {
        let hash = ceiling::hash(&part.bytes, 16, true)?;
        let disk = ceiling::disk(&args.folder, part.bytes.len(), 4, 8)?;
        writeln!(
            out,
            "load {} ceiling: hash {:.0} MB/s, disk {:.0} MB/s",
            usage::load(),
            hash / 1e6,
            disk / 1e6
        )?;
        let (_home, data) = folder(&args.folder)?;
        let server = Server::icefield(&args.icefield, &data)?;
        if "parts".contains(&args.only) {
            let done = load::store_parts(&server, &part, 4, 16)?;
            writeln!(
                out,
                "  64 MiB parts x4: {:.0} MB/s, {:.2} CPU-s/GiB, {:.0}% of the ceiling, peak {} MiB, p99 {:?}",
                done.rate() / 1e6,
                done.processor_per_gib(),
                100.0 * done.rate() / hash.min(disk),
                done.peak_bytes >> 20,
                done.percentile(99)
            )?;
        }
        if "small".contains(&args.only) {
            let done = load::store(&server, &small, 64, 40_000)?;
            writeln!(
                out,
                "  4 KiB x64: {:.0}/s, p50 {:?} p99 {:?}, {:.1} us CPU each, peak {} MiB",
                done.per_second(),
                done.percentile(50),
                done.percentile(99),
                done.usage.processor / done.requests as f64 * 1e6,
                done.peak_bytes >> 20
            )?;
        }
    }
    Ok(())
}
