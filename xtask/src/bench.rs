//! `cargo xtask bench`: the benchmarks of the crates that have some, and the release binary beside its peers.
//!
//! Peers that are clients or moto's server come from [`tools`]; nginx, Garage, OpenSSL and valgrind are used where they are
//! installed, and what is not there is a row that says so.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result};

use crate::{
    steps::{Steps, cargo, root},
    test::release_binary,
    tools,
};

/// What `icefield-bench` measures.
const SUITES: [&str; 7] = ["kernels", "server", "retrieval", "embedded", "client", "rest", "guard"];

/// Runs the suites and benchmarks that the words name, or all; what begins with a hyphen, and all behind it, is for
/// `icefield-bench`.
pub(crate) fn bench(arguments: &[&str]) -> Result<()> {
    let words = arguments.iter().take_while(|word| !word.starts_with('-')).count();
    let (words, options) = arguments.split_at(words);
    let (suites, filter): (Vec<&str>, Vec<&str>) =
        words.iter().partition(|word| SUITES.contains(word));
    let mut steps = Steps::default();
    if arguments.is_empty() || !filter.is_empty() {
        benchmarks(&mut steps, &filter)?;
    }
    if words.is_empty() || !suites.is_empty() {
        peers(&mut steps, &suites, options)?;
    }
    steps.finish()
}

/// Runs what fails when something has become slower than it is said to be, and can be told on a busy machine: ratios within one
/// run, and instructions that are counted.
pub(crate) fn guards(steps: &mut Steps, icefield: &Path) -> Result<()> {
    let mut kernels =
        cargo(&["bench", "--locked", "--quiet", "-p", "icefield-treehash", "--bench", "guard"]);
    steps.run("kernels beside the library", &mut kernels);
    let asked = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    if asked.is_err() {
        steps.skip("instructions", "valgrind is not installed");
        return Ok(());
    }
    let mut build = cargo(&["build", "--release", "--locked", "-p", "icefield-bench"]);
    if steps.run("release build of icefield-bench", &mut build) {
        let folder = icefield.parent().and_then(Path::parent).context("no target folder")?;
        let mut command = Command::new(release_binary("icefield-bench")?);
        command.args(["--only", "guard", "--icefield"]).arg(icefield);
        command.arg("--folder").arg(folder.join("bench"));
        steps.run("instructions", &mut command);
    }
    Ok(())
}

/// Runs every benchmark whose name contains one of the words of `filter`, or all.
fn benchmarks(steps: &mut Steps, filter: &[&str]) -> Result<()> {
    let crates = root().join("crates");
    let mut with_benches = Vec::new();
    for entry in
        fs::read_dir(&crates).with_context(|| format!("could not list {}", crates.display()))?
    {
        let manifest_dir = entry?.path();
        if manifest_dir.join("benches").is_dir() {
            with_benches.push(manifest_dir);
        }
    }
    with_benches.sort();
    if with_benches.is_empty() {
        steps.skip("benchmarks", "no crate has a folder `benches`");
    }
    for manifest_dir in with_benches {
        let name = manifest_dir.file_name().unwrap_or_default().to_string_lossy();
        // `--bench *` leaves out the unit tests, which `cargo bench` would go through as well.
        let mut command = cargo(&["bench", "--locked", "--bench", "*", "--manifest-path"]);
        steps.run(&name, command.arg(manifest_dir.join("Cargo.toml")).arg("--").args(filter));
    }
    Ok(())
}

/// Measures the release binary beside its peers. A run of everything writes the page.
fn peers(steps: &mut Steps, suites: &[&str], options: &[&str]) -> Result<()> {
    // One after the other: built together, the program would get features that only the benchmarks need.
    for name in ["icefield", "icefield-bench"] {
        let step = format!("release build of {name}");
        if !steps.run(&step, &mut cargo(&["build", "--release", "--locked", "-p", name])) {
            return Ok(());
        }
    }
    let (program, bench) = (release_binary("icefield")?, release_binary("icefield-bench")?);
    let target = program.parent().and_then(Path::parent).context("no target folder")?;
    let mut command = Command::new(bench);
    command.current_dir(root()).env("ICEFIELD_BIN", &program).envs(tools::provide(steps));
    command.arg("--folder").arg(target.join("bench"));
    for suite in suites {
        command.args(["--only", suite]);
    }
    if suites.is_empty() && options.is_empty() {
        command.args(["--markdown", "docs/performance.md"]);
    }
    steps.run("icefield and its peers", command.args(options));
    Ok(())
}
