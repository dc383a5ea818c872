//! The same scripts over TLS, as clients use the service by default. Each client verifies the
//! certificate by its own means, the oldest with the OpenSSL of Debian 11 and without naming the host.

use std::{fs, process::Command};

use tempfile::TempDir;

use super::{DELAYS, INVENTORY, boto2_script, run_against, script, tool};
use crate::process::Serve;

#[test]
fn boto3_works_over_tls() {
    let Some(python) = tool("ICEFIELD_PYTHON") else { return };
    run_over_tls(Command::new(python).arg(script("python/boto3_archives.py")));
}

#[test]
fn the_sdk_for_javascript_works_over_tls() {
    let Some(modules) = tool("ICEFIELD_NODE_PATH") else { return };
    run_over_tls(Command::new("node").arg(script("node/sdk_v3.cjs")).env("NODE_PATH", modules));
}

#[test]
fn boto_2_works_over_tls() {
    if let Some(mut walk) = boto2_script("walk.py", "2.29.1") {
        run_over_tls(&mut walk);
    }
}

/// Runs a script against a server with a certificate of its own, which the script is to trust.
fn run_over_tls(script: &mut Command) {
    let folder = TempDir::new().unwrap();
    let (certificate, key) = (folder.path().join("certificate.pem"), folder.path().join("key.pem"));
    // The real service's name too: some clients take region and service from it.
    let names = ["localhost", "glacier.us-east-1.amazonaws.com"].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    fs::write(&certificate, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();

    let mut server = Serve::start(&[
        DELAYS,
        INVENTORY,
        ("ICEFIELD_TLS_CERTIFICATE", certificate.to_str().unwrap()),
        ("ICEFIELD_TLS_KEY", key.to_str().unwrap()),
    ]);
    assert!(server.endpoint.starts_with("https://127.0.0.1:"), "{}", server.endpoint);
    server.endpoint = server.endpoint.replace("127.0.0.1", "localhost");
    script.env("AWS_CA_BUNDLE", &certificate).env("NODE_EXTRA_CA_CERTS", &certificate);
    run_against(&server, script);
}
