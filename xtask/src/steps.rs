//! Runs the programs of one command one after another, and accounts for them.
//!
//! A failed step does not stop the following ones, so that one run shows everything that is wrong;
//! [`Steps::finish`] turns any failure into the failure of the command.

use std::{
    env,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// The steps done so far.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    done: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    name: String,
    outcome: Outcome,
}

#[derive(Debug)]
enum Outcome {
    Passed(Duration),
    Failed(Duration, String),
    Skipped(String),
}

impl Steps {
    /// Runs `command` to its end with the terminal as it is, and returns whether it succeeded.
    #[expect(clippy::print_stdout, reason = "a command line program reports")]
    #[expect(clippy::disallowed_methods, reason = "measures what it runs, for a person to read")]
    pub(crate) fn run(&mut self, name: &str, command: &mut Command) -> bool {
        let line = command_line(command);
        println!("\n==> {name}: {line}");
        let started = Instant::now();
        let status = command.status().with_context(|| format!("could not start `{line}`"));
        let taken = started.elapsed();
        let outcome = match status {
            Ok(status) if status.success() => Outcome::Passed(taken),
            Ok(status) => Outcome::Failed(taken, format!("`{line}` ended with {status}")),
            Err(error) => Outcome::Failed(taken, format!("{error:#}")),
        };
        let passed = matches!(outcome, Outcome::Passed(_));
        self.done.push(Step { name: name.to_owned(), outcome });
        passed
    }

    /// Records that a step was left out, and why.
    #[expect(clippy::print_stdout, reason = "a command line program reports")]
    pub(crate) fn skip(&mut self, name: &str, reason: &str) {
        println!("\n==> {name}: skipped: {reason}");
        self.done
            .push(Step { name: name.to_owned(), outcome: Outcome::Skipped(reason.to_owned()) });
    }

    /// Prints what each step came to.
    ///
    /// # Errors
    ///
    /// Names every command that failed, if one did.
    #[expect(clippy::print_stdout, reason = "a command line program reports")]
    pub(crate) fn finish(self) -> Result<()> {
        println!();
        let mut failures = Vec::new();
        for Step { name, outcome } in self.done {
            match outcome {
                Outcome::Passed(taken) => {
                    println!("  passed {:7.1} s  {name}", taken.as_secs_f64());
                }
                Outcome::Failed(taken, failure) => {
                    println!("  FAILED {:7.1} s  {name}", taken.as_secs_f64());
                    failures.push(failure);
                }
                Outcome::Skipped(reason) => println!("  skipped          {name}: {reason}"),
            }
        }
        if failures.is_empty() { Ok(()) } else { bail!("failed:\n  {}", failures.join("\n  ")) }
    }
}

/// Returns `cargo` with `arguments`, to be run in the root of the workspace.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(arguments).current_dir(root());
    command
}

/// Returns whether `cargo NAME` is a command on this machine.
pub(crate) fn has_cargo_command(name: &str) -> bool {
    cargo(&[name, "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Returns the root of the workspace.
///
/// Where it is run, not where it was built: checkouts may share a target folder.
#[expect(clippy::disallowed_methods, reason = "cargo says where the program is run")]
pub(crate) fn root() -> PathBuf {
    let here = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    here.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into()).join("..")
}

/// Returns the command as one would type it, with the variables that were set for it.
fn command_line(command: &Command) -> String {
    let variables = command.get_envs().filter_map(|(name, value)| {
        Some(format!("{}={:?}", name.to_string_lossy(), value?.to_string_lossy()))
    });
    let words = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned());
    variables.chain(words).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::{Steps, cargo};

    #[test]
    fn a_failed_step_does_not_stop_the_next_but_fails_the_command_by_name() {
        let mut steps = Steps::default();
        assert!(!steps.run("fails", &mut cargo(&["no-such-command"])));
        assert!(steps.run("passes", &mut cargo(&["--version"])));
        steps.skip("left out", "not installed");
        let error = steps.finish().unwrap_err().to_string();
        assert!(error.contains("cargo no-such-command"), "{error}");
        assert!(!error.contains("--version"), "{error}");
    }

    #[test]
    fn a_program_that_is_not_there_is_a_failure_that_names_it() {
        let mut steps = Steps::default();
        assert!(!steps.run("missing", &mut std::process::Command::new("no-such-program")));
        assert!(steps.finish().unwrap_err().to_string().contains("no-such-program"));
    }

    #[test]
    fn skipped_steps_do_not_fail_the_command() {
        let mut steps = Steps::default();
        steps.skip("left out", "not installed");
        assert!(steps.finish().is_ok());
    }
}
