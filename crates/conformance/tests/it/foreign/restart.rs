//! One client ends what another began, after the server between them was killed.

use std::{fs, process::Command};

use tempfile::TempDir;

use super::{DELAYS, INVENTORY, boto2_script, run_against, script, tool};
use crate::process::Serve;

#[test]
fn boto_2_ends_what_boto3_began_before_the_server_was_killed() {
    let Some(python) = tool("ICEFIELD_PYTHON") else { return };
    let Some(mut end) = boto2_script("end.py", "2.49.0") else { return };
    let folder = TempDir::new().unwrap();
    let (data, notes) = (folder.path().join("store"), folder.path().join("notes"));
    fs::create_dir(&notes).unwrap();
    let mut begin = Command::new(python);
    begin.arg(script("python/boto3_begin.py"));

    let server = Serve::start_on(&data, &[DELAYS, INVENTORY]);
    run_against(&server, begin.env("ICEFIELD_NOTES", &notes));
    drop(server);
    let server = Serve::start_on(&data, &[DELAYS, INVENTORY]);
    run_against(&server, end.env("ICEFIELD_NOTES", &notes));
}
