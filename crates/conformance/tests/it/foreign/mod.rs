//! Clients that other people wrote, unmodified, in fixed versions.
//!
//! `cargo xtask test` installs them and says in environment variables where they are. A test whose
//! client is not there says `SKIPPED`; xtask has then said why. What a client has to find is in its
//! script, in `crates/conformance/foreign`: it prints a line for each check and ends with a failure
//! at the first that does not hold.

mod restart;
mod rust_sdk;
mod tls;

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

use crate::process::Serve;

/// Standard and Expedited retrievals are ready at once; Bulk ones stay in progress during a test.
const DELAYS: (&str, &str) = ("ICEFIELD_RETRIEVAL_DELAY", "expedited=0s,standard=0s,bulk=24h");
/// An inventory is taken anew whenever it is asked for.
const INVENTORY: (&str, &str) = ("ICEFIELD_INVENTORY_INTERVAL", "0s");

#[test]
fn boto3_finds_vaults_and_account_as_the_service_has_them() {
    let Some(python) = tool("ICEFIELD_PYTHON") else { return };
    run(Command::new(python).arg(script("python/boto3_account.py")));
}

#[test]
fn boto3_finds_archives_uploads_and_jobs_as_the_service_has_them() {
    let Some(python) = tool("ICEFIELD_PYTHON") else { return };
    run(Command::new(python).arg(script("python/boto3_archives.py")));
}

#[test]
fn boto3_finds_the_same_on_a_server_that_keeps_its_store_on_disk() {
    let Some(python) = tool("ICEFIELD_PYTHON") else { return };
    let data = TempDir::new().unwrap();
    let server = Serve::start_on(&data.path().join("store"), &[DELAYS, INVENTORY]);
    run_against(&server, Command::new(python).arg(script("python/boto3_archives.py")));
}

#[test]
fn the_developer_guide_can_be_followed_with_aws_cli_for_archives() {
    aws_cli("archives");
}

#[test]
fn the_developer_guide_can_be_followed_with_aws_cli_for_locks_and_settings() {
    aws_cli("settings");
}

#[test]
fn the_sdk_for_javascript_v3_works_unmodified() {
    let Some(modules) = tool("ICEFIELD_NODE_PATH") else { return };
    run(Command::new("node").arg(script("node/sdk_v3.cjs")).env("NODE_PATH", modules));
}

#[test]
fn the_sdk_for_javascript_v2_works_unmodified() {
    let Some(modules) = tool("ICEFIELD_NODE_PATH") else { return };
    run(Command::new("node").arg(script("node/sdk_v2.cjs")).env("NODE_PATH", modules));
}

#[test]
fn boto_2_29_1_works_unmodified() {
    boto2("2.29.1");
}

#[test]
fn boto_2_49_0_works_unmodified() {
    boto2("2.49.0");
}

#[test]
fn the_command_glacier_of_boto_2_works_unmodified() {
    for release in ["2.29.1", "2.49.0"] {
        if let Some(mut command) = boto2_script("command.py", release) {
            run(&mut command);
        }
    }
}

fn aws_cli(walk_throughs: &str) {
    let Some(python) = tool("ICEFIELD_PYTHON") else { return };
    run(Command::new(python).arg(script("python/aws_cli.py")).arg(walk_throughs));
}

fn boto2(release: &str) {
    if let Some(mut walk) = boto2_script("walk.py", release) {
        run(&mut walk);
    }
}

/// Returns the command for a script of boto 2's, or says that the test is left out.
fn boto2_script(name: &str, release: &str) -> Option<Command> {
    let (python, releases) = (tool("ICEFIELD_PYTHON27")?, tool("ICEFIELD_BOTO2")?);
    let mut command = Command::new(python);
    command.arg(script("boto2").join(name));
    command.env("PYTHONPATH", Path::new(&releases).join(release)).env("BOTO_RELEASE", release);
    Some(command)
}

/// Returns where a client is, or says that the test is left out.
#[expect(clippy::disallowed_methods, reason = "where clients are is the environment's to say")]
pub(crate) fn tool(variable: &str) -> Option<OsString> {
    let found = env::var_os(variable);
    if found.is_none() {
        eprintln!("SKIPPED: {variable} is not set (cargo xtask tools tells what to set)");
    }
    found
}

/// Tests run in the folder of their crate.
pub(crate) fn script(path: &str) -> PathBuf {
    env::current_dir().unwrap().join("foreign").join(path)
}

/// Runs a script against a server of its own.
fn run(script: &mut Command) {
    run_against(&Serve::start(&[DELAYS, INVENTORY]), script);
}

/// Runs a script and fails with all it printed if it fails.
fn run_against(server: &Serve, script: &mut Command) {
    let home = TempDir::new().unwrap();
    let output = script
        .env("ICEFIELD_ENDPOINT", &server.endpoint)
        .env("ICEFIELD_ACCOUNT", &server.account)
        .env("AWS_ACCESS_KEY_ID", &server.access_key)
        .env("AWS_SECRET_ACCESS_KEY", &server.secret_key)
        .env("AWS_DEFAULT_REGION", &server.region)
        // Nothing of this machine's own AWS settings or proxies gets in.
        .env("HOME", home.path())
        .env("TMPDIR", home.path())
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_SDK_JS_SUPPRESS_MAINTENANCE_MODE_MESSAGE", "1")
        .env("NO_PROXY", "*")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env_remove("AWS_PROFILE")
        .env_remove("AWS_SESSION_TOKEN")
        .env_remove("AWS_CONFIG_FILE")
        .env_remove("AWS_SHARED_CREDENTIALS_FILE")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{said}\n{complained}", output.status);
    assert!(said.lines().any(|line| line.starts_with("ok ")), "it checked nothing:\n{said}");
}
