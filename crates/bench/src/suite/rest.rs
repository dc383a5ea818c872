//! What does not depend on bytes: starting, resting, completing an upload of many parts, listing many archives.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use icefield_treehash::TreeHash;
use tempfile::TempDir;

use crate::{
    fill,
    http::Connection,
    load::{self, measured},
    options::Options,
    peers::Peer,
    report::{Report, Section, tell},
    rounds::{median, mib, millis},
    server::{Payload, Server},
    usage::{forget_peak, peak_bytes, resident_bytes},
};

const PART_BYTES: usize = 1 << 20;
/// How long a server rests before its memory counts.
const REST: Duration = Duration::from_secs(2);

pub(crate) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let mut section = Section::new(
        "Start, rest, and many archives",
        "Parts and archives are put into the ledger directly, without bytes: what is measured here reads none. There are no \
         peers to compare with. A start lasts until the server has said where it listens.",
        &["What", "Median", "Most memory, MiB"],
    );
    empty(options, report, &mut section)?;
    complete(options, report, &mut section)?;
    many(options, report, &mut section)?;
    report.push(&section)
}

fn empty(options: &Options, report: &mut Report, section: &mut Section) -> Result<()> {
    let (mut starts, mut resident) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds() {
        let home = TempDir::new_in(&options.folder)?;
        let server = Peer::Icefield.start(options, home.path())?;
        starts.push(server.ready_after.as_secs_f64());
        thread::sleep(REST);
        resident.push(resident_bytes(server.process())? as f64);
    }
    let (start, resident) = (median(starts), median(resident));
    let row = ["start of a new store".to_owned(), seconds(start), String::new()];
    section.row(row);
    at_rest(report, section, "server at rest, new store", resident);
    Ok(())
}

fn at_rest(report: &mut Report, section: &mut Section, what: &str, resident: f64) {
    let memory = format!("{:.1}", resident / f64::from(1 << 20));
    section.row([what.to_owned(), String::new(), memory.clone()]);
    let met = resident < f64::from(40 << 20);
    report.goal(what, "below 40 MiB", format!("{memory} MiB"), met);
}

fn complete(options: &Options, report: &mut Report, section: &mut Section) -> Result<()> {
    let count: u32 = if options.short { 1000 } else { 10_000 };
    let what = format!("Complete of {count} parts");
    let part = Payload::many(PART_BYTES, 1).remove(0);
    let (mut walls, mut peak) = (Vec::new(), 0);
    for round in 0..options.rounds() {
        tell(&format!("  {what}, round {}", round + 1));
        let home = TempDir::new_in(&options.folder)?;
        let server = Peer::Icefield.start(options, home.path())?;
        let path = load::begin(&server, PART_BYTES)?;
        drop(server);
        fill::parts(&home.path().join("data"), 0, count, PART_BYTES as u64, part.tree)?;
        let server = Peer::Icefield.start(options, home.path())?;
        let whole = TreeHash::combine(std::iter::repeat_n(part.tree, usize::try_from(count)?));
        forget_peak(server.process());
        let begin = Instant::now();
        load::complete_as(&server, &path, u64::from(count) << 20, whole)?;
        walls.push(begin.elapsed().as_secs_f64());
        peak = peak.max(peak_bytes(server.process())?);
    }
    let wall = median(walls);
    section.row([what.clone(), seconds(wall), mib(peak)]);
    report.goal(&what, "below 200 ms", seconds(wall), wall < 0.2);
    Ok(())
}

/// Starts, memory and the inventory of a large vault.
fn many(options: &Options, report: &mut Report, section: &mut Section) -> Result<()> {
    let count = options.archives();
    let home = TempDir::new_in(&options.folder)?;
    tell(&format!("  {count} archives are put into the ledger"));
    drop(Peer::Icefield.start(options, home.path())?);
    fill::archives(&home.path().join("data"), count)?;
    let (mut starts, mut resident) = (Vec::new(), Vec::new());
    let mut server: Option<Server> = None;
    for _ in 0..options.rounds() {
        drop(server.take());
        let started = Peer::Icefield.start(options, home.path())?;
        starts.push(started.ready_after.as_secs_f64());
        thread::sleep(REST);
        resident.push(resident_bytes(started.process())? as f64);
        server = Some(started);
    }
    let start = median(starts);
    let what = format!("start with {count} archives");
    section.row([what.clone(), seconds(start), String::new()]);
    report.goal(&what, "below 1 s", seconds(start), start < 1.0);
    at_rest(report, section, &format!("server at rest, {count} archives"), median(resident));
    let Some(server) = server else { return Ok(()) };
    inventory(report, section, &server, count)
}

fn inventory(
    report: &mut Report,
    section: &mut Section,
    server: &Server,
    count: u64,
) -> Result<()> {
    tell("  inventory");
    let what = format!("inventory of {count} archives");
    forget_peak(server.process());
    let request = r#"{"Type":"inventory-retrieval"}"#;
    let (path, wall) = load::job(server, request)?;
    let peak = peak_bytes(server.process())?;
    section.row([format!("{what}, job"), seconds(wall.as_secs_f64()), mib(peak)]);
    let reached = seconds(wall.as_secs_f64());
    report.goal(&what, "below 60 s", reached, wall < Duration::from_secs(60));
    report.goal(&what, "below 256 MiB", format!("{} MiB", mib(peak)), peak < 256 << 20);
    let output = server.request("GET", &format!("{path}/output"), "", &[], None);
    let read = measured(server, 1, |_, _| {
        let answer = Connection::to(server.address).send(&output)?.success()?;
        // Each archive takes more than a hundred bytes in it.
        ensure!(answer.length > count * 100, "an inventory of {} bytes", answer.length);
        Ok(usize::try_from(answer.length)?)
    })?;
    let length = read.bytes >> 20;
    let row = format!("{what}, output of {length} MiB read");
    section.row([row, seconds(read.usage.wall.as_secs_f64()), mib(read.peak_bytes)]);
    Ok(())
}

fn seconds(wall: f64) -> String {
    if wall < 1.0 {
        format!("{} ms", millis(Duration::from_secs_f64(wall)))
    } else {
        format!("{wall:.1} s")
    }
}
