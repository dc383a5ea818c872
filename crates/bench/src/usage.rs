//! What a process has taken of the machine, as the system counts it.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

/// What processes took between two moments.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) wall: Duration,
    /// Processor seconds, user and system time of all threads together.
    pub(crate) processor: f64,
}

/// Counts from its begin on.
#[derive(Debug)]
pub(crate) struct Meter {
    process: u32,
    begin: Instant,
    ticks: u64,
}

impl Meter {
    /// Begins to count what a process and its children take.
    pub(crate) fn of(process: u32) -> Result<Self> {
        Ok(Self { process, begin: Instant::now(), ticks: ticks(process)? })
    }

    pub(crate) fn usage(&self) -> Result<Usage> {
        let wall = self.begin.elapsed();
        let ticks = ticks(self.process)? - self.ticks;
        Ok(Usage { wall, processor: seconds(ticks) })
    }
}

/// Most memory that a process and its living children have held, in bytes.
pub(crate) fn peak_bytes(process: u32) -> Result<u64> {
    sum(process, |process| memory(process, "VmHWM:"))
}

/// Lets the count of that memory begin anew, where the system allows it.
pub(crate) fn forget_peak(process: u32) {
    for process in children(process).unwrap_or_default().into_iter().chain([process]) {
        fs::write(format!("/proc/{process}/clear_refs"), "5").ok();
    }
}

/// Memory that a process and its living children hold, in bytes.
pub(crate) fn resident_bytes(process: u32) -> Result<u64> {
    sum(process, |process| memory(process, "VmRSS:"))
}

/// The load of the last minute.
pub(crate) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("unknown").to_owned()
}

fn sum(process: u32, of: fn(u32) -> Result<u64>) -> Result<u64> {
    let mut sum = of(process)?;
    for child in children(process)? {
        // One that has ended meanwhile holds nothing.
        sum += of(child).unwrap_or(0);
    }
    Ok(sum)
}

/// What a line of the process's status says, in bytes.
pub(crate) fn memory(process: u32, line: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let value = status.lines().find_map(|text| text.strip_prefix(line)).context("no such line")?;
    Ok(value.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
}

fn ticks(process: u32) -> Result<u64> {
    sum(process, |process| ticks_of(&stat(process)?))
}

/// Its own, and those of children that have ended.
pub(crate) fn ticks_of(fields: &[String]) -> Result<u64> {
    let ticks = [11, 12, 13, 14].map(|field: usize| fields[field].parse::<u64>());
    ticks.into_iter().try_fold(0, |sum, ticks| Ok(sum + ticks?))
}

/// They are hundredths of a second on every Linux there is.
pub(crate) fn seconds(ticks: u64) -> f64 {
    ticks as f64 / 100.0
}

/// The fields after the name, which may hold anything.
pub(crate) fn stat(process: u32) -> Result<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("no name in it")?;
    Ok(fields.split_whitespace().map(ToOwned::to_owned).collect())
}

fn children(process: u32) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(other) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        if stat(other).is_ok_and(|fields| fields[1] == process.to_string()) {
            found.push(other);
        }
    }
    Ok(found)
}
