//! The server under load, beside its peers and the ceiling.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::{
    ceiling,
    load::{self, Limit, Outcome},
    options::{ALONE, Options},
    peers::{self, Peer},
    report::{Report, Section, tell},
    rounds::{median, megabytes, mib, middle, millis, percent, ratio, times},
    server::{Payload, Server},
};

/// Bytes that the clients of one measurement store at most.
const BYTES: usize = 1 << 30;
/// How long they begin requests.
const TIME: Duration = Duration::from_millis(1500);
/// Requests whose bodies differ; after them they come again.
const DIFFERENT: usize = 4096;
/// Bytes of files with which the disk is measured.
const DISK_FILE_BYTES: usize = 64 << 20;
const DISK_FILES: usize = 4;

/// What is stored.
struct Load {
    name: &'static str,
    /// Bytes of a request.
    size: usize,
    archives: Archives,
    clients: &'static [usize],
}

enum Archives {
    /// One request each, as many as the limits allow.
    Whole,
    /// So many at a time, each of so many parts.
    Parts(usize, usize),
}

const LOADS: [Load; 6] = [
    Load { name: "4 KiB", size: 4 << 10, archives: Archives::Whole, clients: &[1, 8, 64] },
    Load { name: "64 KiB", size: 64 << 10, archives: Archives::Whole, clients: &[1, 8, 64] },
    Load { name: "1 MiB", size: 1 << 20, archives: Archives::Whole, clients: &[1, 8, 64] },
    Load { name: "16 MiB", size: 16 << 20, archives: Archives::Whole, clients: &[1, 8, 64] },
    Load {
        name: "4 archives in parts of 64 MiB",
        size: 64 << 20,
        archives: Archives::Parts(4, 8),
        clients: &[4],
    },
    Load {
        name: "1 GiB in parts of 16 MiB",
        size: 16 << 20,
        archives: Archives::Parts(1, 64),
        clients: &[1, 8, 64],
    },
];

/// Rounds of one load by one number of clients.
#[derive(Default)]
struct Cell {
    /// In bytes a second, by round.
    ceilings: Vec<f64>,
    outcomes: [Vec<Outcome>; Peer::ALL.len()],
}

pub(crate) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let mut section = Section::new(
        "Server",
        "Archives are stored by clients that each wait for their answer before they send the next; of a large archive they \
         share the parts. To the peers that do not speak Glacier each archive or part is an object or file, signed for S3; \
         moto does, but knows no parts. \
         s3s-fs writes files and does not sync; moto keeps everything in memory; nginx knows no sync, so its folder has \
         the attribute S and every write is synced by the file system, where that has it.",
        &[
            "Load",
            "Clients",
            "Server",
            "requests/s",
            "MB/s",
            "icefield x",
            "of ceiling",
            "CPU-s/GiB",
            "p50 ms",
            "p99 ms",
            "peak MiB",
        ],
    );
    let mut absent: [Option<String>; Peer::ALL.len()] = Default::default();
    let mut names = Peer::ALL.map(Peer::name);
    for load in LOADS.into_iter().filter(|load| options.wants_load(load.name)) {
        let mut cells: Vec<Cell> = load.clients.iter().map(|_| Cell::default()).collect();
        let count = match load.archives {
            Archives::Whole => (BYTES / load.size).min(DIFFERENT),
            Archives::Parts(_, parts) => parts,
        };
        let payloads = Payload::many(load.size, if options.short { count.min(16) } else { count });
        for round in 0..options.rounds() {
            tell(&format!("  {}, round {}", load.name, round + 1));
            ceilings(options, &load, &payloads, &mut cells)?;
            for (number, peer) in Peer::ALL.into_iter().enumerate() {
                if absent[number].is_some() {
                    continue;
                }
                if options.alone && peer != Peer::Icefield {
                    absent[number] = Some(ALONE.to_owned());
                    continue;
                }
                let home = TempDir::new_in(&options.folder)?;
                let done = peer.start(options, home.path()).and_then(|server| {
                    names[number] = server.name;
                    let limit = if options.short { TIME / 5 } else { TIME };
                    let outcomes = load.clients.iter();
                    let outcomes =
                        outcomes.map(|clients| put(&server, &load, &payloads, *clients, limit));
                    outcomes.collect::<Result<Vec<_>>>()
                });
                match done {
                    Ok(outcomes) => {
                        for (cell, outcome) in cells.iter_mut().zip(outcomes) {
                            cell.outcomes[number].push(outcome);
                        }
                    }
                    Err(error) if peer != Peer::Icefield => {
                        tell(&format!("  {} is left out: {error:#}", names[number]));
                        let error = format!("{error:#}").replace(['\n', '\r', '|'], " ");
                        absent[number] = Some(error);
                    }
                    Err(error) => return Err(error).context(load.name),
                }
                peers::remove(home.path())?;
                // What one left to be written does not burden the next.
                rustix::fs::sync();
            }
        }
        for (cell, clients) in cells.iter().zip(load.clients) {
            for (name, outcomes) in names.iter().zip(&cell.outcomes) {
                let Some(outcome) = middle(outcomes, Outcome::rate) else { continue };
                let ceiling = outcomes.iter().zip(&cell.ceilings);
                let ceiling = median(ceiling.map(|(outcome, most)| outcome.rate() / most));
                section.row([
                    load.name.to_owned(),
                    clients.to_string(),
                    (*name).to_owned(),
                    format!("{:.0}", outcome.per_second()),
                    megabytes(outcome.rate()),
                    times(ratio(&cell.outcomes[0], outcomes, Outcome::rate)),
                    percent(ceiling),
                    format!("{:.2}", outcome.processor_per_gib()),
                    millis(outcome.percentile(50)),
                    millis(outcome.percentile(99)),
                    mib(outcome.peak_bytes),
                ]);
            }
        }
        goals(report, &load, &cells, &absent);
    }
    for (name, reason) in names.iter().zip(&absent) {
        if let Some(reason) = reason {
            section.skip(&["what is missing above", "", name], reason);
        }
    }
    report.push(&section)
}

/// What hashing and the disk allow in this round.
fn ceilings(
    options: &Options,
    load: &Load,
    payloads: &[Payload],
    cells: &mut [Cell],
) -> Result<()> {
    let rounds = if options.short { 1 } else { 4 };
    let disk = ceiling::disk(&options.folder, DISK_FILE_BYTES, DISK_FILES, rounds)?;
    for (cell, clients) in cells.iter_mut().zip(load.clients) {
        let hash = ceiling::hash(&payloads[0].bytes, *clients, true)?;
        cell.ceilings.push(hash.min(disk));
    }
    Ok(())
}

fn put(
    server: &Server,
    load: &Load,
    payloads: &[Payload],
    clients: usize,
    time: Duration,
) -> Result<Outcome> {
    match load.archives {
        Archives::Whole => {
            let requests = (BYTES / load.size).max(clients);
            load::store(server, payloads, clients, Limit { requests, time })
        }
        Archives::Parts(archives, _) => load::store_parts(server, payloads, archives, clients),
    }
}

/// Says what was reached, after the loads that there are goals for.
fn goals(report: &mut Report, load: &Load, cells: &[Cell], absent: &[Option<String>]) {
    let (Some(cell), Some(clients)) = (cells.last(), load.clients.last()) else { return };
    let ours = &cell.outcomes[0];
    let Some(outcome) = middle(ours, Outcome::rate) else { return };
    let what = format!("server, {}, {clients} clients, durable", load.name);
    match load.archives {
        Archives::Parts(4, _) => {
            let garage = &cell.outcomes[1];
            match &absent[1] {
                None => {
                    let ratio = ratio(ours, garage, Outcome::rate);
                    report.goal(&what, "at least 3 times Garage", times(ratio), ratio >= 3.0);
                }
                Some(reason) => report.no_goal(&what, "at least 3 times Garage", reason),
            }
            let processor = outcome.processor_per_gib();
            let reached = format!("{processor:.2}");
            report.goal(&what, "at most 2.2 CPU-s per GiB", reached, processor <= 2.2);
            let ceilings = ours.iter().zip(&cell.ceilings);
            let part = median(ceilings.map(|(outcome, most)| outcome.rate() / most));
            report.goal(&what, "at least 75 % of the ceiling", percent(part), part >= 0.75);
        }
        Archives::Whole if load.size == 4 << 10 => {
            let rate = outcome.per_second();
            report.goal(&what, "at least 6,000 a second", format!("{rate:.0}"), rate >= 6000.0);
            let wait = outcome.percentile(99);
            let reached = format!("{} ms", millis(wait));
            report.goal(&what, "p99 below 30 ms", reached, wait < Duration::from_millis(30));
        }
        _ => {}
    }
}
