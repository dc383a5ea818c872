//! What an upload costs beside those of boto3 and boto 2, to a server that throws bytes away.
//!
//! Each client sends the same file, in parts of 8 MiB, four at a time, in turns, and its processor time and most memory
//! are taken from the system. Ratios of one run say something on a busy machine, seconds do not.

use std::{
    fs,
    io::Write as _,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
};

use icefield_conformance::discard;
use tempfile::TempDir;

use crate::{
    foreign::{script, tool},
    process::program,
};

/// Rounds; the median counts.
const ROUNDS: usize = 5;

/// Most memory that a transfer of ours may take.
const MEMORY_BYTES: u64 = 128 << 20;

/// What one run took.
#[derive(Debug, Clone, Copy)]
struct Cost {
    /// Ticks of the system's clock, user and system time together.
    ticks: u64,
    peak_bytes: u64,
}

#[test]
#[ignore = "long: compares processor times"]
fn an_upload_costs_less_than_those_of_boto() {
    compare(256);
}

#[test]
#[ignore = "long"]
fn an_upload_of_a_gibibyte_costs_less_than_those_of_boto() {
    compare(1024);
}

fn compare(mib: u64) {
    let (Some(python), Some(python27), Some(boto2)) =
        (tool("ICEFIELD_PYTHON"), tool("ICEFIELD_PYTHON27"), tool("ICEFIELD_BOTO2"))
    else {
        return;
    };
    if cfg!(debug_assertions) && program().to_string_lossy().contains("/debug/") {
        eprintln!("SKIPPED: a debug build says nothing about speed (set ICEFIELD_BIN)");
        return;
    }
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("large.bin");
    write(&file, mib);
    let server = discard::start().unwrap();
    let mut ours = Command::new(program());
    ours.args(["upload", "cold:v", "--force", "--concurrency", "4", "--part-size", "8MiB", "-q"]);
    ours.arg(&file);
    let mut boto3 = Command::new(python);
    boto3.arg(script("python/upload_threads.py")).arg(&file);
    let mut boto2_29 = Command::new(python27);
    boto2_29.arg(script("boto2/upload_concurrent.py")).arg(&file);
    boto2_29.env("PYTHONPATH", Path::new(&boto2).join("2.29.1"));
    let config = folder.path().join("config.toml");
    let target = format!(
        "[target.cold]\ntype = \"vault-api\"\nregion = \"us-east-1\"\nendpoint = \"http://{server}\"\n"
    );
    fs::write(&config, target).unwrap();
    ours.env("ICEFIELD_CONFIG", &config);

    let mut costs = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        for (costs, command) in costs.iter_mut().zip([&mut ours, &mut boto3, &mut boto2_29]) {
            costs.push(run(command, server, folder.path()));
        }
    }
    let [ours, boto3, boto2] = costs.map(|costs| median(&costs));
    let load = fs::read_to_string("/proc/loadavg").unwrap();
    for (name, cost) in [("icefield", ours), ("boto3", boto3), ("boto 2.29.1", boto2)] {
        eprintln!(
            "{name}: {} ticks for {mib} MiB, most memory {} MiB",
            cost.ticks,
            cost.peak_bytes >> 20
        );
    }
    eprintln!("load {load}");
    assert!(ours.peak_bytes < MEMORY_BYTES, "{ours:?}");
    assert!(ours.ticks * 3 <= boto3.ticks * 2, "1.5 times as many bytes per tick as boto3");
    assert!(ours.ticks * 2 <= boto2.ticks, "twice as many bytes per tick as boto 2");
}

/// Writes bytes that do not compress and do not repeat within a part.
fn write(path: &Path, mib: u64) {
    let mut out = fs::File::create(path).unwrap();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..mib {
        let mut block = Vec::with_capacity(1 << 20);
        while block.len() < 1 << 20 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            block.extend_from_slice(&state.to_le_bytes());
        }
        out.write_all(&block).unwrap();
    }
}

fn run(command: &mut Command, server: SocketAddr, home: &Path) -> Cost {
    let child = command
        .env("ICEFIELD_ENDPOINT", format!("http://{server}"))
        .env("ICEFIELD_ACCOUNT", "012345678901")
        .env("AWS_ACCESS_KEY_ID", "ICEFIELDDEVELOPMENT0")
        .env("AWS_SECRET_ACCESS_KEY", "development/only/secret/of/icefield/serve")
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("HOME", home)
        .env("XDG_DATA_HOME", home.join("data"))
        .env("NO_PROXY", "*")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env_remove("AWS_PROFILE")
        .env_remove("AWS_SESSION_TOKEN")
        .env_remove("ICEFIELD_CATALOG")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    watch(child)
}

/// Waits for the end; what the system has counted can be read as long as nobody has asked how it ended.
fn watch(mut child: Child) -> Cost {
    let of = |what: &str| fs::read_to_string(format!("/proc/{}/{what}", child.id())).unwrap();
    let mut peak_bytes = 0;
    loop {
        let stat = of("stat");
        // The name in parentheses may hold anything.
        let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let hwm = of("status").lines().find_map(|line| {
            line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok()
        });
        peak_bytes = peak_bytes.max(hwm.unwrap_or(0) << 10);
        if fields[0] == "Z" {
            let ticks = [11, 12].map(|field: usize| fields[field].parse::<u64>().unwrap());
            let status = child.wait().unwrap();
            assert!(status.success(), "{status}");
            return Cost { ticks: ticks.iter().sum(), peak_bytes };
        }
        // Looks again when there was time for something to happen.
        std::thread::yield_now();
        std::thread::park_timeout(std::time::Duration::from_millis(5));
    }
}

fn median(costs: &[Cost]) -> Cost {
    let mut sorted = costs.to_vec();
    sorted.sort_by_key(|cost| cost.ticks);
    let most = costs.iter().map(|cost| cost.peak_bytes).max().unwrap();
    Cost { peak_bytes: most, ..sorted[sorted.len() / 2] }
}
