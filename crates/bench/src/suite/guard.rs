//! Instructions that the portable paths take, counted by callgrind, which knows neither SHA-NI nor AVX-512.
//!
//! The server itself cannot be counted: valgrind hides from it where the system's clock is, and `rustix` ends a program that
//! does not find it. So the copies of an upload are guarded by what the server suite says of processor seconds only.

use std::{collections::BTreeMap, env::current_exe, fs, process::Command};

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::NamedTempFile;

use crate::{
    guarded::Guarded,
    options::Options,
    report::{Report, Section},
};

/// What was counted when it was last thought right: a name and a number on each line.
const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.txt");
/// How much more may be counted.
const TOLERANCE: f64 = 0.05;

pub(crate) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let mut section = Section::new(
        "Instructions",
        "Counted by callgrind, which knows neither SHA-NI nor AVX-512, so that it guards what other machines run; the start \
         of the program is taken off. More than 5 % above the recorded number fails the command, except with other kernels \
         than those recorded. `--record` records anew.",
        &["What", "Instructions", "Recorded", "Ratio"],
    );
    let (base, kernels) = match count(Guarded::Nothing) {
        Ok(counted) => counted,
        Err(error) => {
            section.skip(&["all"], &format!("{error:#}"));
            return report.push(&section);
        }
    };
    let text = fs::read_to_string(RECORDED).unwrap_or_default();
    let recorded: BTreeMap<_, _> = text.lines().filter_map(|line| line.split_once(": ")).collect();
    let comparable = recorded.get("kernels").is_some_and(|of| *of == kernels);
    let (mut lines, mut more) = (format!("kernels: {kernels}\n"), Vec::new());
    for guarded in Guarded::COUNTED {
        let (counted, _) = count(guarded)?;
        let counted = counted.saturating_sub(base);
        lines.push_str(&format!("{}: {counted}\n", guarded.name()));
        let before = recorded.get(guarded.name()).and_then(|before| before.parse::<u64>().ok());
        let (before, ratio) = match before.filter(|_| comparable) {
            Some(before) => {
                let ratio = counted as f64 / before as f64;
                if ratio > 1.0 + TOLERANCE {
                    more.push(guarded.what());
                }
                (before.to_string(), format!("{ratio:.3}"))
            }
            None => ("skipped: other kernels here".to_owned(), String::new()),
        };
        section.row([guarded.what().to_owned(), counted.to_string(), before, ratio]);
    }
    report.push(&section)?;
    if options.record {
        fs::write(RECORDED, lines).context("could not record")?;
    } else if !more.is_empty() {
        bail!("more instructions than recorded: {}", more.join(", "));
    }
    Ok(())
}

/// Returns how many instructions a run takes, and with which kernels.
fn count(guarded: Guarded) -> Result<(u64, String)> {
    let out = NamedTempFile::new()?;
    let done = Command::new("valgrind")
        .args(["--tool=callgrind", "--error-exitcode=1"])
        .arg(format!("--callgrind-out-file={}", out.path().display()))
        .arg(current_exe()?)
        .args(["guarded", guarded.name()])
        .output()
        .context("valgrind is not installed")?;
    let said = String::from_utf8_lossy(&done.stderr);
    let last = said.lines().last().unwrap_or_default();
    ensure!(done.status.success(), "valgrind ended with {}: {last}", done.status);
    let counts = fs::read_to_string(out.path())?;
    let total = counts
        .lines()
        .find_map(|line| line.strip_prefix("summary: ").or_else(|| line.strip_prefix("totals: ")));
    let total = total.context("callgrind has counted nothing")?.trim().parse()?;
    Ok((total, String::from_utf8_lossy(&done.stdout).trim().to_owned()))
}
