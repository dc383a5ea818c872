//! Pages of the documentation whose tables name commands: each of them works.
//!
//! A page speaks of the same vaults, files and IDs; they are made once, and every command runs on a copy of its own, so
//! that no line depends on another.

use std::process::{Command, Stdio};

use icefield_protocol::Operation;
use rusqlite::Connection;

use crate::{
    process::Watched,
    sandbox::{Run, Sandbox, binary},
    served::Served,
    trees::{bytes_on_disk, noise},
};

const COMMANDS: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/commands.md"));

const COMING_FROM: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/coming-from.md"));

/// Stands in nobody's way here.
const POLICY: &str = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
    "Principal": {"AWS": "arn:aws:iam::012345678901:root"}, "Action": "glacier:ListJobs", "Resource": "*"}]}"#;

/// What the pages speak of.
struct Scene {
    sandbox: Sandbox,
    /// Names in capital letters, and what stands for them here.
    ids: Vec<(&'static str, String)>,
}

impl Scene {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        for (name, content) in [
            ("M33/Light/M33_Light_Blue_180sec_frame1.fit", "blue, number 1"),
            ("M33/Light/M33_Light_Red_180sec_frame1.fit", "red, number 1"),
            ("M33/Dark/M33_Dark_180sec_frame1.fit", "dark, number 1"),
            ("M33/notes.txt", "clouds after midnight"),
            ("policy.json", POLICY),
            ("files.txt", "M33/notes.txt\n"),
        ] {
            sandbox.write(name, content);
        }
        sandbox.write("M33.tar", noise((3 << 20) + 5, 33));
        sandbox.ok(["upload", "--create", "frames", "M33"]);
        sandbox.ok(["vault", "tag", "frames", "owner=anna"]);
        sandbox.ok(["vault", "policy", "set", "frames", "policy.json"]);
        let topic = "arn:aws:sns:us-east-1:012345678901:ready";
        sandbox.ok(["vault", "notify", "set", "frames", "--topic", topic]);
        sandbox.ok(["inventory", "export", "frames", "frames.csv"]);
        leave_like_other_tools(&sandbox);
        sandbox.ok(["vault", "create", "spare"]);
        sandbox.ok(["vault", "create", "tapes"]);
        let lock = sandbox.json(["vault", "lock", "start", "tapes", "policy.json"]);
        let archive = text(&sandbox.json(["list", "frames", "M33/notes.txt"])[0]["archive_id"]);
        let job = sandbox.json(["job", "start", "frames", "--archive-id", &archive]);
        let upload = incomplete_upload(&sandbox);
        let ids = vec![
            ("ARCHIVE_ID", archive),
            ("UPLOAD_ID", upload),
            ("JOB_ID", text(&job["job_id"])),
            ("LOCK_ID", text(&lock["lock_id"])),
        ];
        Self { sandbox, ids }
    }

    /// Runs the commands of a cell one after another, until one fails.
    fn run(&self, commands: &[String]) -> Result<(), Run> {
        self.run_in(&self.sandbox.copy(), commands, |_| {})
    }

    /// Runs the commands against a server of the store and returns the operations that it has done.
    fn run_served(&self, commands: &[String]) -> Result<Vec<String>, Run> {
        let copy = self.sandbox.copy();
        let server = Served::start(&copy, &[]);
        let ran = self.run_in(&copy, commands, |shell| server.is_default_of(shell));
        let done = server.end(&copy);
        ran.map(|()| done)
    }

    fn run_in(
        &self,
        copy: &Sandbox,
        commands: &[String],
        prepare: impl Fn(&mut Command),
    ) -> Result<(), Run> {
        for command in commands {
            let with_ids = |line: String, (name, id): &(&str, String)| line.replace(name, id);
            let line = self.ids.iter().fold(command.clone(), with_ids);
            let mut shell = copy.prepare("sh");
            prepare(&mut shell);
            let programs = binary().parent().unwrap().display().to_string();
            shell
                .args(["-c", &line])
                .env("PATH", format!("{programs}:/usr/local/bin:/usr/bin:/bin"));
            let run = Watched::start(shell).finish();
            if run.code != Some(0) {
                return Err(run);
            }
        }
        Ok(())
    }
}

/// Writes what other tools keep of the vault.
fn leave_like_other_tools(sandbox: &Sandbox) {
    for (file, form) in [("archives.csv", "powershell"), ("journal.log", "mtglacier-journal")] {
        sandbox.ok(["inventory", "export", "frames", file, "--form", form]);
    }
    let archive = text(&sandbox.json(["list", "frames", "M33/notes.txt"])[0]["archive_id"]);
    let cache = Connection::open(sandbox.path("glacier-cli.db")).unwrap();
    let table = "CREATE TABLE archive (id VARCHAR PRIMARY KEY, name VARCHAR, vault VARCHAR, key VARCHAR, deleted_here INTEGER);";
    let row =
        format!("INSERT INTO archive VALUES ('{archive}', 'notes.txt', 'frames', 'K', NULL);");
    cache.execute_batch(&format!("{table} {row}")).unwrap();
}

fn text(value: &serde_json::Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

/// Leaves an upload in the vault that was killed in the middle, and returns its ID.
fn incomplete_upload(sandbox: &Sandbox) -> String {
    use std::io::Write as _;
    let mut command =
        sandbox.command(["upload", "frames", "-", "--name", "stream", "--part-size", "1MiB"]);
    command.stdin(Stdio::piped());
    let before = bytes_on_disk(sandbox.store());
    let mut upload = Watched::start(command);
    let mut input = upload.input();
    input.write_all(&noise(5 << 20, 34)).unwrap();
    assert!(upload.until(|| bytes_on_disk(sandbox.store()) > before + (2 << 20)));
    upload.kill();
    text(&sandbox.json(["uploads", "list", "frames"])[0]["upload_id"])
}

/// A row of a table: its first cell, and the commands of the cell below `heading`.
struct Row {
    first: String,
    commands: Vec<String>,
}

/// Returns the rows of all tables that have a column with this heading.
fn rows(page: &str, heading: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut column = None;
    for line in page.lines() {
        let Some(line) = line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |")) else {
            column = None;
            continue;
        };
        let cells: Vec<_> = line.split(" | ").collect();
        match column {
            None => column = Some(cells.iter().position(|cell| *cell == heading)),
            Some(Some(column)) if !line.starts_with("---") => {
                let cell = cells.get(column).unwrap_or_else(|| panic!("a cell is missing: {line}"));
                rows.push(Row { first: cells[0].to_owned(), commands: code(cell) });
            }
            Some(_) => {}
        }
    }
    rows
}

/// Returns what stands in backticks. A bar in a table has a backslash before it.
fn code(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(|code| code.replace("\\|", "|")).collect()
}

/// Runs every command of the rows and names all that fail.
fn run_all(rows: &[Row]) {
    let scene = Scene::new();
    let mut failed = Vec::new();
    for row in rows {
        for command in &row.commands {
            assert!(command.contains("icefield "), "no command of icefield: {command}");
        }
        if let Err(run) = scene.run(&row.commands) {
            failed.push(format!("{}: {run}", row.first));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn every_operation_of_the_service_has_a_command_that_reaches_it() {
    let (rows, scene) = (rows(COMMANDS, "Command"), Scene::new());
    for operation in Operation::ALL {
        let names = |row: &&Row| row.first.split(", ").any(|name| name == operation.as_str());
        assert!(rows.iter().any(|row| names(&row)), "docs/commands.md has no {operation}");
    }
    for row in &rows {
        let done = scene.run_served(&row.commands).unwrap_or_else(|run| panic!("{run}"));
        for operation in row.first.split(", ") {
            assert!(
                done.iter().any(|done| done == operation),
                "{operation} was not asked for by {:?}, but {done:?}",
                row.commands
            );
        }
    }
}

#[test]
fn every_command_of_an_operation_works_on_an_embedded_store() {
    run_all(&rows(COMMANDS, "Command"));
}

#[test]
fn what_other_tools_are_here_works() {
    let rows = rows(COMING_FROM, "Here");
    assert!(rows.len() > 120, "only {} rows were found", rows.len());
    for row in &rows {
        assert!(!row.commands.is_empty(), "nothing is said of {}", row.first);
    }
    run_all(&rows);
}
