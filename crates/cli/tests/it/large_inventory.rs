//! Inventories of a million archives pass through in bounded memory.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, BufWriter, Write as _},
    path::Path,
};

use crate::{
    sandbox::Sandbox,
    trees::{MIB, Random},
};

const LIMIT: u64 = 256 * MIB;

#[test]
fn an_inventory_of_50_000_archives_goes_in_and_out() {
    goes_in_and_out(50_000);
}

#[test]
#[ignore = "long"]
fn an_inventory_of_1_000_000_archives_goes_in_and_out_in_less_than_256_mib() {
    goes_in_and_out(1_000_000);
}

fn goes_in_and_out(archives: u64) {
    let sandbox = Sandbox::new();
    sandbox.ok(["vault", "create", "v"]);
    write_inventory(&sandbox.path("vault.json"), archives);

    let (run, import) =
        sandbox.start(["inventory", "import", "v", "vault.json"]).finish_with_usage();
    run.ended(0);
    let (run, export) = sandbox.start(["inventory", "export", "v", "out.csv"]).finish_with_usage();
    run.ended(0);
    assert_eq!(rows(&sandbox.path("out.csv")), archives);

    // What was written is read again, by a catalog that knows nothing.
    sandbox.lose_catalog();
    let (run, again) = sandbox.start(["inventory", "import", "v", "out.csv"]).finish_with_usage();
    run.ended(0);
    let (run, list) = sandbox.start(["list", "v", "--output", "jsonl"]).finish_with_usage();
    let run = run.ended(0);
    assert_eq!(run.text().lines().count() as u64, archives);
    let last = format!("\"archives/{:07}.dat\"", archives - 1);
    assert!(run.text().contains(&last), "{last} is not listed");

    let usages =
        [("import JSON", import), ("export CSV", export), ("import CSV", again), ("list", list)];
    for (what, usage) in usages {
        eprintln!("{what}: {} MiB", usage.peak_memory / MIB);
        assert!(usage.peak_memory < LIMIT, "{what} of {archives} archives took {usage:?}");
    }
}

/// Writes a vault's inventory as the service does.
pub(crate) fn write_inventory(path: &Path, archives: u64) {
    let mut random = Random::new(7);
    let mut hex = |digits: usize| -> String {
        let mut text = String::new();
        while text.len() < digits {
            text.push_str(&format!("{:016x}", random.next()));
        }
        text.truncate(digits);
        text
    };
    let mut to = BufWriter::new(File::create(path).unwrap());
    write!(
        to,
        "{{\"VaultARN\":\"arn:aws:glacier:us-east-1:012345678901:vaults/v\",\"InventoryDate\":\"2026-01-01T00:00:00Z\",\"ArchiveList\":["
    )
    .unwrap();
    for number in 0..archives {
        let comma = if number == 0 { "" } else { "," };
        let path = format!("archives/{number:07}.dat");
        let description = format!(
            "{{\\\"icefield\\\":1,\\\"path\\\":\\\"{path}\\\",\\\"mtime\\\":\\\"2024-05-01T12:00:00Z\\\",\\\"mode\\\":\\\"0644\\\"}}"
        );
        write!(
            to,
            "{comma}{{\"ArchiveId\":\"{}\",\"ArchiveDescription\":\"{description}\",\"CreationDate\":\"2025-01-01T00:00:00Z\",\"Size\":{},\"SHA256TreeHash\":\"{}\"}}",
            hex(138),
            number + 1,
            hex(64),
        )
        .unwrap();
    }
    write!(to, "]}}").unwrap();
    to.into_inner().unwrap();
}

fn rows(path: &Path) -> u64 {
    let header = 1;
    BufReader::new(File::open(path).unwrap()).lines().count() as u64 - header
}
