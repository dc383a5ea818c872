//! Progress on standard error: bars on a terminal, one line a minute otherwise, nothing with `--quiet`.

use std::{
    io::{IsTerminal, Write},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use icefield_client::{Event, Events};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::{count, printable, printable_lines, size};

/// How often a line is written where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(60);

/// Target of log records of lines that were also written to standard error.
pub(crate) const SAID: &str = "icefield::said";

/// Takes the library's events and shows them.
#[derive(Debug)]
pub(crate) struct Progress {
    quiet: bool,
    /// Whether a bar can be drawn; it is once there is something to do.
    draws: bool,
    bar: ProgressBar,
    done: AtomicU64,
    files: AtomicU64,
    moved: AtomicU64,
    bytes: AtomicU64,
    last_line: Mutex<Duration>,
}

impl Progress {
    pub(crate) fn new(quiet: bool) -> Self {
        let draws = !quiet && std::io::stderr().is_terminal();
        let bar = ProgressBar::hidden();
        let style = ProgressStyle::with_template(
            "{msg} {bar:24} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta} left",
        );
        if let Ok(style) = style {
            bar.set_style(style);
        }
        Self {
            quiet,
            draws,
            bar,
            done: AtomicU64::new(0),
            files: AtomicU64::new(0),
            moved: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            last_line: Mutex::new(Duration::ZERO),
        }
    }

    /// Takes the bars away, so that what follows stands alone.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// A remark for the user; not with `--quiet`.
    pub(crate) fn note(&self, note: impl Into<String>) {
        self.event(Event::Note(note.into()));
    }

    /// Writes a line to standard error without disturbing the bar, and to the log.
    pub(crate) fn say(&self, line: &str) {
        tracing::info!(target: SAID, "{}", printable_lines(line));
        self.write(line);
    }

    fn write(&self, line: &str) {
        let line = printable_lines(line);
        self.bar.suspend(|| {
            // A failing standard error leaves nobody to tell.
            writeln!(std::io::stderr(), "{line}").ok();
        });
    }

    fn step(&self) {
        let files = self.files.load(Ordering::Relaxed);
        if files == 0 {
            return;
        }
        let done = self.done.load(Ordering::Relaxed).min(files);
        if !self.bar.is_hidden() {
            self.bar.set_message(format!("{done}/{}", count(files, "file")));
            return;
        }
        if self.quiet {
            return;
        }
        // `elapsed` is the bar's own clock, so that no other is needed here.
        let elapsed = self.bar.elapsed();
        let mut last = self.last_line.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if elapsed.saturating_sub(*last) < LINE_INTERVAL {
            return;
        }
        *last = elapsed;
        let (moved, bytes) =
            (self.moved.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed));
        let rate = moved / elapsed.as_secs().max(1);
        let left = bytes.saturating_sub(moved) / rate.max(1);
        self.say(&format!(
            "{done} of {}, {} of {}, {}/s, about {} left",
            count(files, "file"),
            size(moved),
            size(bytes),
            size(rate),
            humantime::format_duration(Duration::from_secs(left)),
        ));
    }
}

impl Events for Progress {
    fn event(&self, event: Event) {
        match event {
            Event::Planned { files, bytes } => {
                let before = self.files.swap(files, Ordering::Relaxed);
                self.bytes.store(bytes, Ordering::Relaxed);
                self.bar.set_length(bytes);
                if self.draws && before == 0 && files > 0 {
                    self.bar.reset_elapsed();
                    self.bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(8));
                }
            }
            Event::Moved { bytes, resumed: _ } => {
                self.moved.fetch_add(bytes, Ordering::Relaxed);
                self.bar.inc(bytes);
            }
            Event::FileDone { path, skipped } => {
                self.done.fetch_add(u64::from(!skipped), Ordering::Relaxed);
                tracing::debug!(path = printable(&path.to_lossy()), skipped, "done");
            }
            Event::Warning { path, message } => {
                let line = match &path {
                    Some(path) => format!("warning: {}: {message}", printable(&path.to_lossy())),
                    None => format!("warning: {message}"),
                };
                tracing::warn!(target: SAID, "{}", printable_lines(&line));
                self.write(&line);
                return;
            }
            Event::Note(note) => {
                tracing::info!(target: SAID, "{}", printable_lines(&note));
                if !self.quiet {
                    self.write(&note);
                }
                return;
            }
            _ => return,
        }
        self.step();
    }
}
