//! `cargo xtask test`: every test there is.
//!
//! Whole-system tests run the binary that users get, so the release build comes first and its path
//! is handed to them in `ICEFIELD_BIN`. The tests proper come last, so that the test runner's own
//! summary stands at the end of the output. Clients of other people are provided by [`tools`].
//!
//! Before them run the guards of speed: ratios and counted instructions, which do not depend on what else the machine does.
//!
//! Tests that need minutes or gigabytes are marked `#[ignore = "long"]` and run with `--long` only.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{
    bench::guards,
    steps::{Steps, cargo, has_cargo_command},
    tools,
};

/// Which tests are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    /// Those that CI has time for.
    Short,
    /// The long ones too.
    Long,
}

/// Runs the tests whose name contains one of the words of `filter`, or all.
pub(crate) fn test(length: Length, filter: &[&str]) -> Result<()> {
    let mut steps = Steps::default();
    let binary = release_binary("icefield")?;
    if !steps
        .run("release build", &mut cargo(&["build", "--release", "--locked", "-p", "icefield"]))
    {
        return steps.finish();
    }

    if filter.is_empty() {
        guards(&mut steps, &binary)?;
    }

    let mut doctests = cargo(&["test", "--workspace", "--doc", "--locked", "--quiet", "--"]);
    steps.run("documentation examples", doctests.args(filter));

    let mut tests = if has_cargo_command("nextest") {
        let mut nextest = cargo(&["nextest", "run", "--workspace", "--locked", "--no-fail-fast"]);
        if length == Length::Long {
            // What they measured is wanted, so it is shown though they passed.
            nextest.args(["--run-ignored", "all", "--success-output", "final"]);
        }
        nextest.arg("--");
        nextest
    } else {
        steps.skip("cargo-nextest", "not installed, cargo test does its work");
        let mut test = cargo(&["test", "--workspace", "--lib", "--bins", "--tests", "--locked"]);
        test.args(["--no-fail-fast", "--"]);
        if length == Length::Long {
            test.arg("--include-ignored");
        }
        test
    };
    tests.args(filter).env("ICEFIELD_BIN", binary).envs(tools::provide(&mut steps));
    steps.run("tests", &mut tests);
    steps.finish()
}

/// Returns where cargo puts a release binary: beside the profile this program was built in,
/// whatever target folder is configured.
pub(crate) fn release_binary(name: &str) -> Result<PathBuf> {
    let this = env::current_exe().context("could not find the path of this program")?;
    let target =
        this.parent().and_then(Path::parent).context("this program is not in a target folder")?;
    Ok(target.join("release").join(format!("{name}{}", env::consts::EXE_SUFFIX)))
}
