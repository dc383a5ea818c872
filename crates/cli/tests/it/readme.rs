//! The README's commands work as they stand, one after another, in an empty folder with an empty home.

use std::os::unix::fs::symlink;

use crate::{
    process::Watched,
    sandbox::{Sandbox, binary},
};

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");

/// Returns the lines that begin with `$ ` in blocks marked `console` below "Use".
fn commands(readme: &str) -> Vec<String> {
    let (_, below) = readme.split_once("\n## Use\n").expect("the README has a section Use");
    let blocks = below.split("```console\n").skip(1).filter_map(|block| block.split_once("```"));
    let lines = blocks.flat_map(|(block, _)| block.lines());
    lines.filter_map(|line| line.strip_prefix("$ ")).map(str::to_owned).collect()
}

#[test]
fn every_command_of_the_readme_works() {
    let sandbox = Sandbox::new();
    let programs = sandbox.root().join("programs");
    std::fs::create_dir(&programs).unwrap();
    symlink(binary(), programs.join("icefield")).unwrap();
    let commands = commands(&std::fs::read_to_string(README).unwrap());
    assert!(commands.len() > 30, "only {} commands were found", commands.len());
    let mut failed = Vec::new();
    for line in commands {
        let mut shell = sandbox.prepare("sh");
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", programs.display());
        shell.args(["-c", &line]).env("PATH", path);
        // As a reader has it: the store and the catalog are where they are by default.
        shell.env_remove("ICEFIELD_STORE").env_remove("ICEFIELD_CATALOG");
        let run = Watched::start(shell).finish();
        if run.code != Some(0) {
            failed.push(run.to_string());
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(sandbox.root().join("home/.local/share/icefield/catalog.db").exists());
}
