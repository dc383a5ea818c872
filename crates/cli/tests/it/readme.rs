//! The commands of the README and of pages of the documentation work as they stand, one after another, in an empty folder
//! with an empty home.

use std::{
    fs::Permissions,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

use rustix::process::Signal;

use crate::{
    process::Watched,
    sandbox::{Sandbox, binary, skip},
};

/// Tests run in the folder of their crate.
const ROOT: &str = "../..";

/// Returns the lines that begin with `$ ` in blocks marked `console`.
fn commands(page: &str) -> Vec<String> {
    let blocks = page.split("```console\n").skip(1).filter_map(|block| block.split_once("```"));
    let lines = blocks.flat_map(|(block, _)| block.lines());
    lines.filter_map(|line| line.strip_prefix("$ ")).map(str::to_owned).collect()
}

#[test]
fn every_command_of_the_readme_works() {
    let readme = std::fs::read_to_string(format!("{ROOT}/README.md")).unwrap();
    let (_, below) = readme.split_once("\n## Use\n").expect("the README has a section Use");
    let commands = commands(below);
    assert!(commands.len() > 30, "only {} commands were found", commands.len());
    let sandbox = Sandbox::new();
    assert!(run(&sandbox, commands).is_none(), "the last server was not ended");
    assert!(sandbox.root().join("home/.local/share/icefield/catalog.db").exists());
}

#[test]
fn every_command_of_the_page_on_costs_works() {
    let page = std::fs::read_to_string(format!("{ROOT}/docs/costs.md")).unwrap();
    let commands = commands(&page);
    assert!(commands.len() > 10, "only {} commands were found", commands.len());
    let sandbox = Sandbox::new();
    let server = run(&sandbox, commands);
    ended(server.expect("the page starts a server"));
}

#[test]
fn what_the_pages_on_single_files_scripts_and_folder_trees_do_can_be_done() {
    for page in ["upload-one-file", "upload-from-a-script", "archive-a-folder-tree"] {
        let text = std::fs::read_to_string(format!("{ROOT}/docs/{page}.md")).unwrap();
        let commands = commands(&text);
        assert!(commands.len() > 12, "only {} commands were found in {page}", commands.len());
        let sandbox = Sandbox::new();
        let server = run(&sandbox, commands);
        ended(server.expect("the page starts a server"));
    }
}

/// Runs commands one after another, and servers beside them; the server that runs at the end is returned.
fn run(sandbox: &Sandbox, commands: Vec<String>) -> Option<Watched> {
    let programs = sandbox.root().join("programs");
    std::fs::create_dir(&programs).unwrap();
    symlink(binary(), programs.join("icefield")).unwrap();
    let mut failed = Vec::new();
    let has_aws = link_aws(&programs);
    let mut server: Option<(Watched, String)> = None;
    let mut exported: Vec<(String, String)> = Vec::new();
    for line in commands {
        // Each command has a shell of its own.
        if let Some((name, value)) = line.strip_prefix("export ").and_then(|it| it.split_once('='))
        {
            exported.push((name.to_owned(), value.to_owned()));
            continue;
        }
        if line.starts_with("aws ") && !has_aws {
            skip(&format!("no AWS CLI (cargo xtask tools): {line}"));
            continue;
        }
        if line.starts_with("icefield serve") {
            if let Some((before, _)) = server.take() {
                ended(before);
            }
            server = Some(serve(sandbox, &line));
            continue;
        }
        // The server has been given a free port instead of the usual one.
        let line = match &server {
            Some((_, address)) => line.replace("127.0.0.1:9440", address),
            None => line,
        };
        // What follows uses the store itself.
        if line.starts_with("icefield store rebuild")
            && let Some((before, _)) = server.take()
        {
            ended(before);
        }
        let mut shell = sandbox.prepare("sh");
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", programs.display());
        shell.args(["-c", &line]).env("PATH", path).envs(exported.iter().cloned());
        // As a reader has it: the store and the catalog are where they are by default.
        shell.env_remove("ICEFIELD_STORE").env_remove("ICEFIELD_CATALOG");
        let run = Watched::start(shell).finish();
        if run.code != Some(0) {
            failed.push(run.to_string());
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    server.map(|(server, _)| server)
}

/// Puts the AWS CLI of the test tools beside the program under test, where there is one.
#[expect(clippy::disallowed_methods, reason = "where the tools are reaches the tests from outside")]
fn link_aws(programs: &Path) -> bool {
    let Ok(python) = std::env::var("ICEFIELD_PYTHON") else { return false };
    let aws = programs.join("aws");
    std::fs::write(&aws, format!("#!/bin/sh\nexec {python} -m awscli \"$@\"\n")).unwrap();
    std::fs::set_permissions(&aws, Permissions::from_mode(0o755)).unwrap();
    true
}

/// Starts a server as the line says, but on a free port, and returns its address, too.
fn serve(sandbox: &Sandbox, line: &str) -> (Watched, String) {
    let words = line.split_whitespace().skip(1);
    let free = ["--listen", "127.0.0.1:0", "--metrics-listen", "none"];
    let mut command = sandbox.command(words.chain(free));
    command.env_remove("ICEFIELD_STORE").env_remove("ICEFIELD_CATALOG");
    let mut server = Watched::start(command);
    if !server.has_written("region: ") {
        panic!("{}", server.finish());
    }
    let written = server.written();
    let endpoint = written.lines().find_map(|line| line.strip_prefix("endpoint: http://"));
    let address = endpoint.expect("an endpoint").to_owned();
    (server, address)
}

fn ended(server: Watched) {
    server.signal(Signal::TERM);
    server.finish().ended(0);
}
