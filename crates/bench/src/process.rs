//! Programs that are run to their end, and what that took.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

/// What one run took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    /// Processor seconds, user and system time together.
    pub(crate) processor: f64,
    pub(crate) peak_bytes: u64,
}

/// Runs a program, which must succeed.
pub(crate) fn run(command: &mut Command) -> Result<Cost> {
    // Where it is on this machine is nobody's business.
    let name = Path::new(command.get_program()).file_name().unwrap_or_default();
    let name = name.to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let begin = Instant::now();
    let child = command.spawn().with_context(|| format!("could not start {name}"))?;
    watch(child, begin).with_context(|| format!("{name} failed"))
}

/// Waits for the end; what the system has counted can be read as long as nobody has asked how it ended.
fn watch(mut child: Child, begin: Instant) -> Result<Cost> {
    let folder = format!("/proc/{}", child.id());
    let mut peak_bytes = 0;
    loop {
        let stat = fs::read_to_string(format!("{folder}/stat"))?;
        // The name in parentheses may hold anything.
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let fields: Vec<_> = fields.split_whitespace().collect();
        let status = fs::read_to_string(format!("{folder}/status"))?;
        let peak = status.lines().find_map(|line| {
            line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok()
        });
        peak_bytes = peak_bytes.max(peak.unwrap_or(0) << 10);
        if fields.first() == Some(&"Z") {
            let wall = begin.elapsed();
            let ticks = [11, 12, 13, 14].map(|field: usize| fields[field].parse::<u64>());
            let ticks = ticks.into_iter().try_fold(0, |sum, ticks| ticks.map(|ticks| sum + ticks));
            let status = child.wait()?;
            ensure!(status.success(), "{status}");
            return Ok(Cost { wall, processor: ticks? as f64 / 100.0, peak_bytes });
        }
        thread::sleep(Duration::from_millis(2));
    }
}
