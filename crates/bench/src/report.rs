//! What was measured, as a page of Markdown: sections with a table each, and the goals.

use std::{
    fs,
    io::{Write as _, stderr, stdout},
    path::Path,
    thread::available_parallelism,
};

use anyhow::{Context as _, Error, Result};

use crate::{server::now, usage::load};

/// The page.
#[derive(Debug)]
pub(crate) struct Report {
    machine: String,
    goals: Vec<Goal>,
    sections: String,
    /// Suites that broke off.
    pub(crate) failures: Vec<String>,
}

/// Something that icefield is to reach.
#[derive(Debug)]
struct Goal {
    what: String,
    goal: String,
    reached: String,
    met: Option<bool>,
}

/// A heading, what is measured, a table.
#[derive(Debug)]
pub(crate) struct Section {
    title: String,
    text: String,
    head: Vec<String>,
    rows: Vec<Vec<String>>,
    load: String,
}

impl Section {
    /// Begins a section with a table of these columns, the first of which say what a row is of.
    pub(crate) fn new(title: &str, text: &str, head: &[&str]) -> Self {
        tell(&format!("{title} ..."));
        let head = head.iter().map(|&name| name.to_owned()).collect();
        let (title, text) = (title.to_owned(), text.to_owned());
        Self { title, text, head, rows: Vec::new(), load: load() }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    /// A row of something that could not be measured, and why.
    pub(crate) fn skip(&mut self, names: &[&str], reason: &str) {
        let mut cells: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        cells.push(format!("skipped: {reason}"));
        self.rows.push(cells);
    }

    fn markdown(&self) -> String {
        let mut text = format!("## {}\n\n{}\n\n", self.title, wrapped(&self.text));
        let mut line = |cells: &[String]| {
            let cells = (0..self.head.len()).map(|n| cells.get(n).map_or("", String::as_str));
            text.push_str(&format!("| {} |\n", cells.collect::<Vec<_>>().join(" | ")));
        };
        line(&self.head);
        line(&vec!["---".to_owned(); self.head.len()]);
        self.rows.iter().for_each(|row| line(row));
        text + &format!("\nLoad of the machine before {}, after {}.\n", self.load, load())
    }
}

impl Report {
    /// Begins a page about this machine, on which files are put into `folder`.
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        let of = |path: &str, name: &str| {
            let text = fs::read_to_string(path).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_once(':').map_or("unknown", |(_, value)| value.trim()).to_owned()
        };
        let memory = of("/proc/meminfo", "MemTotal");
        let memory: u64 = memory.trim_end_matches(" kB").parse().unwrap_or(0);
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let machine = format!(
            "| | |\n| --- | --- |\n| date | {} |\n| processor | {}, {} cores |\n| memory | {} GiB |\n\
             | kernel | Linux {} |\n| file system | {} |\n| hash kernels | {} |\n",
            now().to_seconds_string(),
            of("/proc/cpuinfo", "model name"),
            available_parallelism()?,
            (memory + (1 << 19)) >> 20,
            kernel.trim(),
            file_system(folder)?,
            icefield_treehash::kernel_names(),
        );
        writeln!(stdout(), "{machine}")?;
        let (goals, sections, failures) = (Vec::new(), String::new(), Vec::new());
        Ok(Self { machine, goals, sections, failures })
    }

    /// Takes a section that is complete, and shows it.
    pub(crate) fn push(&mut self, section: &Section) -> Result<()> {
        let text = section.markdown();
        writeln!(stdout(), "{text}")?;
        self.sections.push_str(&text);
        self.sections.push('\n');
        Ok(())
    }

    /// Says that a suite has not come to its end, and why.
    pub(crate) fn broke_off(&mut self, suite: &str, error: &Error) {
        self.sections.push_str(&format!("## Suite {suite}\n\nBroke off: {error:#}\n\n"));
        self.failures.push(suite.to_owned());
    }

    /// Says what was reached of a goal.
    pub(crate) fn goal(&mut self, what: &str, goal: &str, reached: String, met: bool) {
        let (what, goal) = (what.to_owned(), goal.to_owned());
        self.goals.push(Goal { what, goal, reached, met: Some(met) });
    }

    /// Says why nothing can be said of a goal.
    pub(crate) fn no_goal(&mut self, what: &str, goal: &str, reason: &str) {
        let (what, goal) = (what.to_owned(), goal.to_owned());
        self.goals.push(Goal { what, goal, reached: format!("skipped: {reason}"), met: None });
    }

    /// Shows the goals, and writes the page to `file`.
    pub(crate) fn finish(&self, file: Option<&Path>) -> Result<()> {
        let mut goals = String::from("| What | Goal | Reached | |\n| --- | --- | --- | --- |\n");
        for goal in &self.goals {
            let met = goal.met.map_or("", |met| if met { "met" } else { "**not met**" });
            let line = format!("| {} | {} | {} | {met} |\n", goal.what, goal.goal, goal.reached);
            goals.push_str(&line);
        }
        writeln!(stdout(), "## Goals\n\n{goals}")?;
        let Some(file) = file else { return Ok(()) };
        let page = format!(
            "{}\n## The machine\n\n{}\n## Goals\n\n{goals}\n{}",
            include_str!("introduction.md"),
            self.machine,
            self.sections.trim_end(),
        );
        fs::write(file, page + "\n").context("could not write the page")
    }
}

/// Says what goes on.
pub(crate) fn tell(text: &str) {
    // Whoever has closed the terminal's end does not want to know.
    drop(writeln!(stderr(), "{text}"));
}

/// Returns the type of the file system that `folder` is on.
fn file_system(folder: &Path) -> Result<String> {
    let folder = folder.canonicalize()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let on = mounts.lines().filter_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let place = place.split(' ').nth(4)?;
        folder.starts_with(place).then(|| (place.len(), kind.split(' ').next()))
    });
    let longest = on.max_by_key(|(length, _)| *length).and_then(|(_, kind)| kind);
    Ok(longest.unwrap_or("unknown").to_owned())
}

/// Breaks a paragraph into lines of a width that can be read.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.len() + word.len() < 118 => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}
