//! Programs that are run to their end, and what that took.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use crate::usage;

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
    let process = child.id();
    let mut peak = 0;
    loop {
        // What has ended holds no memory any more.
        peak = peak.max(usage::memory(process, "VmHWM:").unwrap_or(0));
        let fields = usage::stat(process)?;
        if fields.first().is_some_and(|state| state == "Z") {
            let wall = begin.elapsed();
            let processor = usage::seconds(usage::ticks_of(&fields)?);
            let status = child.wait()?;
            ensure!(status.success(), "{status}");
            return Ok(Cost { wall, processor, peak_bytes: peak });
        }
        thread::sleep(Duration::from_millis(2));
    }
}
