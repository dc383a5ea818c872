//! Instructions that the portable paths take, counted by callgrind, which knows neither SHA-NI nor AVX-512; and those that
//! the server takes to copy what comes.

use std::{
    collections::BTreeMap, env::current_exe, fs, path::Path, process::Command, time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::{NamedTempFile, TempDir};

use crate::{
    guarded::Guarded,
    load::{self, Limit},
    options::Options,
    report::{Report, Section},
    server::{Payload, Server},
};

/// What was counted when it was last thought right: a name and a number on each line.
const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.txt");
/// How much more may be counted.
const TOLERANCE: f64 = 0.05;
/// How much more may be counted of copies: another one would be a hundred hundredths, and threads take turns differently.
const COPIES_TOLERANCE: f64 = 0.25;
/// Bytes of the archive of which the copies are counted.
const COPIED_BYTES: usize = 8 << 20;

pub(crate) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let mut section = Section::new(
        "Instructions",
        "Counted by callgrind, which knows neither SHA-NI nor AVX-512, so that it guards what other machines run; the start \
         of the program is taken off. More than 5 % above the recorded number (25 % for copies) fails the command, except with \
         other kernels than those recorded. `--record` records anew.",
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
    let mut all = Vec::new();
    for guarded in Guarded::COUNTED {
        let (counted, _) = count(guarded)?;
        all.push((guarded.name(), guarded.what(), counted.saturating_sub(base), TOLERANCE));
    }
    let copied = copies(options, true)?.saturating_sub(copies(options, false)?);
    let what = "copies of the server while it stores an archive of 8 MiB";
    all.push(("copies", what, copied, COPIES_TOLERANCE));
    for (name, what, counted, tolerance) in all {
        lines.push_str(&format!("{name}: {counted}\n"));
        let before = recorded.get(name).and_then(|before| before.parse::<u64>().ok());
        let (before, ratio) = match before.filter(|_| comparable) {
            Some(before) => {
                let ratio = counted as f64 / before as f64;
                if ratio > 1.0 + tolerance {
                    more.push(what);
                }
                (before.to_string(), format!("{ratio:.3}"))
            }
            None => ("skipped: not counted with these kernels before".to_owned(), String::new()),
        };
        section.row([what.to_owned(), counted.to_string(), before, ratio]);
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
    let done = callgrind(out.path())
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

/// Returns how many instructions of a server are copies, from its start to its end, with an archive stored or without.
fn copies(options: &Options, stores: bool) -> Result<u64> {
    let home = TempDir::new_in(&options.folder)?;
    let out = home.path().join("counts");
    let mut command = callgrind(&out);
    command.arg(&options.icefield);
    let server = Server::icefield_by(command, &home.path().join("data"))?;
    if stores {
        let limit = Limit { requests: 1, time: Duration::MAX };
        load::store(&server, &Payload::many(COPIED_BYTES, 1), 1, limit)?;
    }
    // It ends, and what was counted is written.
    drop(server);
    Ok(instructions(&fs::read_to_string(out)?, |name| {
        name.contains("memcpy") || name.contains("memmove")
    }))
}

fn callgrind(out: &Path) -> Command {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--error-exitcode=1"]);
    command.arg(format!("--callgrind-out-file={}", out.display()));
    command
}

/// Adds up what callgrind has counted in functions with these names, without what they call.
fn instructions(counts: &str, wanted: impl Fn(&str) -> bool) -> u64 {
    let mut names = BTreeMap::new();
    let (mut within, mut sum) = (false, 0);
    let mut lines = counts.lines();
    while let Some(line) = lines.next() {
        if let Some((kind @ ("fn" | "cfn"), function)) = line.split_once('=') {
            // The name comes with the number only once.
            let (number, name) = function.split_once(' ').unwrap_or((function, ""));
            let is_wanted = *names.entry(number).or_insert_with(|| wanted(name));
            if kind == "fn" {
                within = is_wanted;
            }
        } else if line.starts_with("calls=") {
            // What the call cost inclusively.
            lines.next();
        } else if within
            && line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first))
        {
            let cost = line.split(' ').nth(1).and_then(|cost| cost.parse::<u64>().ok());
            sum += cost.unwrap_or_default();
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::instructions;

    #[test]
    fn only_what_functions_take_themselves_is_added_up() {
        let counts = "events: Ir\nfn=(1) main\n3 100\ncfn=(2) __memcpy_avx\ncalls=2 0\n4 70\n+1 5\n\nfn=(2)\n7 30\n* 40\n\nfn=(1)\n9 1000\n";
        assert_eq!(instructions(counts, |name| name.contains("memcpy")), 70);
        assert_eq!(instructions(counts, |name| name == "main"), 1105);
    }
}
