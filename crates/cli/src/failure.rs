//! Errors as the user meets them: a message, what to try next, and an exit code.

use std::{fmt, io, path::Path, process::ExitCode};

use crate::{output::printable_lines, progress::SAID};

/// How a run ended, as the exit code tells scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All done.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// The command line or the configuration is wrong; nothing was tried.
    Usage = 2,
    /// Some items failed or differ; each was named.
    Some = 3,
    /// Not ready yet: run the same command again later.
    NotReady = 75,
    /// Interrupted; what was done is kept.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A failure with its exit code and hints. The library's error stays the source, so that the whole chain is shown.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
    pub(crate) hints: Vec<String>,
    pub(crate) source: Option<anyhow::Error>,
}

impl Failure {
    /// The command line is wrong.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, message: message.into(), hints: Vec::new(), source: None }
    }

    /// Something failed.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { exit: Exit::Failed, message: message.into(), hints: Vec::new(), source: None }
    }

    /// Not ready yet.
    pub(crate) fn not_ready(message: impl Into<String>) -> Self {
        Self { exit: Exit::NotReady, message: message.into(), hints: Vec::new(), source: None }
    }

    /// The user has interrupted it.
    pub(crate) fn interrupted(message: impl Into<String>) -> Self {
        Self { exit: Exit::Interrupted, message: message.into(), hints: Vec::new(), source: None }
    }

    /// Adds what to try next.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Keeps what went wrong below.
    pub(crate) fn because(mut self, source: impl Into<anyhow::Error>) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn std::error::Error + 'static))
    }
}

/// A file that could not be written. Names the file, not the temporary one that stood in for it.
pub(crate) fn unwritable(path: &Path, error: io::Error) -> Failure {
    let error = if error.raw_os_error().is_some() { error } else { error.kind().into() };
    Failure::failed(format!("cannot write {}", path.display())).because(error)
}

/// Writes an error with its causes and hints to standard error and returns the exit code.
pub(crate) fn report(error: &anyhow::Error, to: &mut dyn io::Write) -> Exit {
    let failures = || error.chain().filter_map(|cause| cause.downcast_ref::<Failure>());
    let exit = failures().next().map_or(Exit::Failed, |failure| failure.exit);
    let mut line = String::from(match exit {
        Exit::Interrupted => "interrupted",
        _ => "error",
    });
    for cause in error.chain() {
        let text = cause.to_string();
        if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
    }
    let line = printable_lines(&line);
    tracing::error!(target: SAID, "{line}");
    // A failing standard error leaves nobody to tell.
    writeln!(to, "{line}").ok();
    for hint in failures().flat_map(|failure| &failure.hints) {
        writeln!(to, "hint: {}", printable_lines(hint)).ok();
    }
    exit
}

#[cfg(test)]
mod tests {
    use std::{io, path::Path};

    use super::{Exit, Failure, report, unwritable};

    fn reported(failure: Failure) -> (Exit, String) {
        let mut said = Vec::new();
        let exit = report(&failure.into(), &mut said);
        (exit, String::from_utf8(said).unwrap())
    }

    #[test]
    fn a_cause_that_was_named_already_is_not_repeated() {
        let cause = io::Error::from(io::ErrorKind::PermissionDenied);
        let failure =
            Failure::failed(format!("cannot look: {cause}")).because(cause).hint("look away");
        assert_eq!(
            reported(failure),
            (Exit::Failed, "error: cannot look: permission denied\nhint: look away\n".to_owned())
        );
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named_and_its_stand_in_is_not() {
        let missing = Path::new("/nowhere/at/all");
        let error = tempfile::NamedTempFile::new_in(missing).unwrap_err();
        assert!(error.to_string().contains(".tmp"), "{error}");
        let (_, said) = reported(unwritable(&missing.join("file"), error));
        assert_eq!(said, "error: cannot write /nowhere/at/all/file: entity not found\n");
    }

    #[test]
    fn what_a_server_says_does_not_steer_the_terminal() {
        let refused = Failure::failed("no \x1b]0;own\x07\u{202e}such\nvault");
        let (_, said) = reported(refused.hint("\x1b[31mrun"));
        let escaped = "error: no \\u{1b}]0;own\\u{7}\\u{202e}such\nvault\nhint: \\u{1b}[31mrun\n";
        assert_eq!(said, escaped);
    }

    #[test]
    fn an_interruption_is_no_error() {
        let said = reported(Failure::interrupted("nothing was done"));
        assert_eq!(said, (Exit::Interrupted, "interrupted: nothing was done\n".to_owned()));
    }
}
