//! Notifications of a real server, received by servers that other people wrote: aiosmtpd, and moto for SNS and SQS.
//!
//! What has to be found is in `foreign/python/notify_walk.py`, which also starts and restarts the server.

use std::process::{Command, Stdio};

use crate::{
    foreign::{script, tool},
    process::program,
};

#[test]
fn everybody_is_told_of_exactly_the_jobs_asked_for_also_after_a_time_of_being_down() {
    let Some(python) = tool("ICEFIELD_PYTHON") else { return };
    let output = Command::new(python)
        .arg(script("python/notify_walk.py"))
        .env("ICEFIELD_BIN", program())
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("NO_PROXY", "*")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{said}\n{complained}", output.status);
    assert!(said.lines().any(|line| line.starts_with("ok ")), "it checked nothing:\n{said}");
}
