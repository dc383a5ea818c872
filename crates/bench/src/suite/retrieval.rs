//! Output of a retrieval whose bytes are in the page cache.

use std::{fs::File, io::Write as _, time::Instant};

use anyhow::{Result, ensure};
use tempfile::TempDir;

use crate::{
    http::{Connection, Request},
    load::{self, Outcome, measured},
    options::Options,
    peers::{self, Peer},
    report::{Report, Section, tell},
    rounds::{megabytes, mib, middle, ratio, times},
    server::{Payload, Server},
};

const PART_BYTES: usize = 16 << 20;

pub(crate) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let parts = Payload::many(PART_BYTES, if options.short { 16 } else { 64 });
    let size = PART_BYTES * parts.len();
    let mut section = Section::new(
        "Retrieval",
        &format!(
            "The output of a job over an archive of {} MiB in parts of 16 MiB, which the system has in memory, to clients \
             that throw it away. nginx sends a file of the same bytes. icefield verifies every byte on its way.",
            size >> 20
        ),
        &["Clients", "Server", "MB/s", "icefield x", "CPU-s/GiB", "peak MiB"],
    );
    let home = TempDir::new_in(&options.folder)?;
    let server = Peer::Icefield.start(options, home.path())?;
    let archive = load::upload(&server, &parts)?;
    let job = format!(r#"{{"Type":"archive-retrieval","ArchiveId":"{archive}"}}"#);
    let (path, _) = load::job(&server, &job)?;
    let output = server.request("GET", &format!("{path}/output"), "", &[], None);
    let mut sides = vec![(server, output)];
    let other = TempDir::new_in(&options.folder)?;
    let absent = match peers::nginx(other.path()) {
        Ok(nginx) => {
            let mut file = File::create(other.path().join("files/archive"))?;
            parts.iter().try_for_each(|part| file.write_all(&part.bytes))?;
            let request = nginx.request("GET", "/archive", "", &[], None);
            sides.push((nginx, request));
            None
        }
        Err(error) => Some(error),
    };
    for (server, request) in &sides {
        get(server, request, 1, size)?;
    }
    for clients in [1, 4] {
        let mut outcomes: Vec<Vec<Outcome>> = sides.iter().map(|_| Vec::new()).collect();
        for round in 0..options.rounds() {
            tell(&format!("  {clients} clients, round {}", round + 1));
            for (outcomes, (server, request)) in outcomes.iter_mut().zip(&sides) {
                outcomes.push(get(server, request, clients, size)?);
            }
        }
        for ((server, _), of) in sides.iter().zip(&outcomes) {
            let Some(outcome) = middle(of, Outcome::rate) else { continue };
            let name = if server.name == "icefield" { "icefield" } else { "nginx, GET of a file" };
            section.row([
                clients.to_string(),
                name.to_owned(),
                megabytes(outcome.rate()),
                times(ratio(&outcomes[0], of, Outcome::rate)),
                format!("{:.2}", outcome.processor_per_gib()),
                mib(outcome.peak_bytes),
            ]);
        }
        if clients == 1
            && let Some(outcome) = middle(&outcomes[0], Outcome::rate)
        {
            let reached = format!("{:.2} GB/s", outcome.rate() / 1e9);
            let met = outcome.rate() >= 1.5e9;
            report.goal("retrieval output from page cache", "at least 1.5 GB/s", reached, met);
        }
    }
    if let Some(error) = absent {
        section.skip(&["", "nginx"], &format!("{error:#}"));
    }
    report.push(&section)
}

/// Reads the whole body by so many clients.
fn get(server: &Server, request: &Request, clients: usize, size: usize) -> Result<Outcome> {
    measured(server, clients, |_, waits| {
        let begin = Instant::now();
        let answer = Connection::to(server.address).send(request)?.success()?;
        ensure!(answer.length == size as u64, "{} bytes came", answer.length);
        waits.push(begin.elapsed());
        Ok(size)
    })
}
