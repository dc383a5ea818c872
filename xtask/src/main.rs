//! The task runner of the workspace: `cargo xtask check`, `cargo xtask test`, `cargo xtask bench`.
//!
//! Each command is a short list of programs to run, in one file of its own; [`steps`] runs them,
//! measures them and says at the end which one failed. CI runs `check` and `test` and nothing else,
//! so what passes here passes there. It needs nothing but Rust: tools that are not installed are
//! named and skipped.

mod bench;
mod check;
mod steps;
mod test;
mod tools;

use std::{env, process::ExitCode};

use anyhow::{Result, bail};

use crate::test::Length;

const HELP: &str = "\
Checks, tests and measures icefield.

Usage: cargo xtask COMMAND

  check              formatting, clippy and documentation with warnings as errors, and
                     licences, banned crates and sources (needs cargo-deny, else skipped)
  test [-- FILTER]   builds the release binary, then runs every test: documentation
                     examples, unit, API and whole-system tests. Uses cargo-nextest where
                     it is installed, else cargo test. FILTER is part of a test's name.
                     With --long also those that need minutes and gigabytes:
                     test --long [-- FILTER]
                     Clients of other people that tests use are installed first, once,
                     into the user's cache; what cannot be had is named and skipped.
  tools              only installs them, and prints the variables that tests look at,
                     for cargo test without xtask
  bench [-- WORDS] [OPTIONS]
                     runs the benchmarks of the crates that have some, then measures the
                     release binary beside its peers (crates/bench) and writes what came
                     of it to docs/performance.md. A WORD is a suite (kernels, server,
                     retrieval, embedded, client, rest, guard) or part of a benchmark's name;
                     OPTIONS are those of icefield-bench, --short or --rounds 5 for example.
                     With either, nothing is written unless --markdown FILE says so.

Examples:
  cargo xtask check                   before a commit
  cargo xtask test                    everything, as CI runs it
  cargo xtask test -- tree_hash       only the tests with tree_hash in their name
  cargo xtask test --long -- killed   those with killed in their name, the long ones too
  cargo xtask bench -- server --short icefield and other servers, roughly
  cargo test -p icefield-store        one crate, without the release build

Every command prints its steps and how long each took, and ends with a failure if one failed.";

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line program reports")]
fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(Some(text)) => println!("{text}"),
        Ok(None) => {}
        Err(error) => {
            eprintln!("xtask: {error:#}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Runs one command, or returns the text that answers it.
fn run(arguments: &[&str]) -> Result<Option<&'static str>> {
    match arguments {
        ["check"] => check::check()?,
        ["test"] => test::test(Length::Short, &[])?,
        ["test", "--", filter @ ..] => test::test(Length::Short, filter)?,
        ["test", "--long"] => test::test(Length::Long, &[])?,
        ["test", "--long", "--", filter @ ..] => test::test(Length::Long, filter)?,
        ["tools"] => tools::tools()?,
        ["bench"] => bench::bench(&[])?,
        ["bench", "--", filter @ ..] => bench::bench(filter)?,
        [] | ["help", ..] | [.., "--help" | "-h"] => return Ok(Some(HELP)),
        [command @ ("test" | "bench"), filter, ..] => {
            bail!("a filter stands behind `--`: cargo xtask {command} -- {filter}")
        }
        other => bail!("unknown command `{}`; see cargo xtask --help", other.join(" ")),
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::run;

    #[test]
    fn help_is_given_when_asked_for_and_without_a_command() {
        for arguments in [&[][..], &["--help"], &["test", "--help"], &["help"]] {
            let text = run(arguments).unwrap().expect("help has a text");
            assert!(text.contains("cargo xtask test -- tree_hash"));
        }
    }

    #[test]
    fn a_filter_without_dashes_is_refused_and_the_right_form_shown() {
        let error = run(&["test", "tree_hash"]).unwrap_err();
        assert!(error.to_string().contains("cargo xtask test -- tree_hash"));
    }

    #[test]
    fn an_unknown_command_is_named() {
        let error = run(&["chekc"]).unwrap_err();
        assert!(error.to_string().contains("`chekc`"));
    }
}
