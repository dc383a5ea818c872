//! Memory does not depend on the size of a file.

use crate::{
    differ::same_bytes,
    sandbox::Sandbox,
    trees::{MIB, big_file},
};

const LIMIT: u64 = 256 * MIB;

#[test]
fn a_file_of_1_gib_goes_in_and_out_in_less_than_256_mib() {
    goes_in_and_out(1 << 30);
}

#[test]
#[ignore = "long"]
fn a_file_of_6_gib_goes_in_and_out_in_less_than_256_mib() {
    goes_in_and_out(6 << 30);
}

fn goes_in_and_out(size: u64) {
    let sandbox = Sandbox::new();
    big_file(&sandbox.path("big"), size, 5);
    let (run, upload) = sandbox.start(["upload", "--create", "v", "big"]).finish_with_usage();
    run.ended(0);
    let (run, retrieval) = sandbox.start(["retrieve", "v", "--to", "back"]).finish_with_usage();
    run.ended(0);
    eprintln!(
        "peak memory in MiB: upload {}, retrieval {}",
        upload.peak_memory / MIB,
        retrieval.peak_memory / MIB
    );
    assert!(upload.peak_memory < LIMIT, "{upload:?}");
    assert!(retrieval.peak_memory < LIMIT, "{retrieval:?}");
    assert!(same_bytes(&sandbox.path("big"), &sandbox.path("back/big")));
}
