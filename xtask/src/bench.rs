//! `cargo xtask bench`: the benchmarks of the crates that have some.

use std::fs;

use anyhow::{Context, Result};

use crate::steps::{Steps, cargo, root};

/// Runs every benchmark whose name contains one of the words of `filter`, or all.
pub(crate) fn bench(filter: &[&str]) -> Result<()> {
    let mut steps = Steps::default();
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
    steps.finish()
}
