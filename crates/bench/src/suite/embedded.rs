//! The program without a server: a large file into the embedded store.

use std::{
    fs::{self, File},
    io::Write as _,
    process::Command,
    thread::available_parallelism,
};

use anyhow::Result;
use tempfile::TempDir;

use crate::{
    ceiling,
    options::Options,
    process::{self, Cost},
    report::{Report, Section, tell},
    rounds::{median, megabytes, mib, middle, percent},
    server::random,
};

const BLOCK_BYTES: usize = 64 << 20;

pub(crate) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let blocks = if options.short { 8 } else { 64 };
    let size = blocks * BLOCK_BYTES;
    let mut section = Section::new(
        "Embedded store",
        &format!(
            "`icefield upload --create v FILE -q` of a file of {} MiB, which the system has in memory, into a new store; \
             durable when it ends. The ceiling is the lesser of the tree hash by all cores and of what the disk takes in \
             one synced file of that size.",
            size >> 20
        ),
        &["What", "MB/s", "of ceiling", "CPU-s/GiB", "peak MiB"],
    );
    let folder = TempDir::new_in(&options.folder)?;
    let (file, home) = (folder.path().join("large.bin"), folder.path().join("home"));
    let mut out = File::create(&file)?;
    let block = random(BLOCK_BYTES);
    for number in 0..blocks {
        // No two MiB are the same.
        out.write_all(&block.slice(number * 8..))?;
        out.write_all(&block[..number * 8])?;
    }
    out.sync_all()?;
    let cores = available_parallelism()?.get();
    let (mut ceilings, mut costs) = (Vec::new(), Vec::new());
    for round in 0..options.rounds() {
        tell(&format!("  round {}", round + 1));
        let hash = ceiling::hash(&block, cores, false)?;
        let disk = ceiling::disk(folder.path(), size, 1, 1)?;
        ceilings.push((hash, disk));
        fs::create_dir_all(&home)?;
        let mut command = Command::new(&options.icefield);
        command.args(["upload", "--create", "v", "-q"]).arg(&file);
        for variable in ["ICEFIELD_STORE", "ICEFIELD_CONFIG", "ICEFIELD_CATALOG", "XDG_DATA_HOME"] {
            command.env_remove(variable);
        }
        costs.push(process::run(command.env("HOME", &home).env_remove("XDG_CONFIG_HOME"))?);
        fs::remove_dir_all(&home)?;
        rustix::fs::sync();
    }
    let rate = |cost: &Cost| size as f64 / cost.wall.as_secs_f64();
    let part = ceilings.iter().zip(&costs);
    let part = median(part.map(|((hash, disk), cost)| rate(cost) / hash.min(*disk)));
    if let Some(cost) = middle(&costs, rate) {
        let gib = size as f64 / f64::from(1 << 30);
        section.row([
            "icefield".to_owned(),
            megabytes(rate(cost)),
            percent(part),
            format!("{:.2}", cost.processor / gib),
            mib(cost.peak_bytes),
        ]);
    }
    for (what, of) in [
        ("tree hash by all cores", median(ceilings.iter().map(|(hash, _)| *hash))),
        ("disk", median(ceilings.iter().map(|(_, disk)| *disk))),
    ] {
        section.row([what.into(), megabytes(of), String::new(), String::new(), String::new()]);
    }
    let what = format!("embedded upload of {} MiB, durable", size >> 20);
    report.goal(&what, "at least 80 % of the ceiling", percent(part), part >= 0.8);
    report.push(&section)
}
