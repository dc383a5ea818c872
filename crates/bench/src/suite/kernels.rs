//! Hashing: the kernels of icefield beside libraries, on one core.

use std::{hint::black_box, num::NonZeroUsize, process::Command, time::Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;

use crate::{
    options::Options,
    report::{Report, Section},
    rounds::{median, megabytes, ratio, times},
};

#[path = "../../../treehash/benches/baseline/mod.rs"]
mod baseline;

use baseline::{PARTS, Pooled, Sha256, aws_lc, both_by, by_hasher, data, tree_by};

/// One stream, and all parts together.
const SIZE: usize = 64 << 20;
/// More than of other suites: they take no time.
const ROUNDS: usize = 9;

/// Who hashes.
const LIBRARIES: [(&str, Sha256); 3] =
    [("aws-lc-rs", aws_lc), ("ring", by_ring), ("sha2", by_sha2)];

/// Something to be hashed, by ways that each hash as many bytes.
struct Task<'a> {
    what: &'static str,
    /// How many times as fast as the first library.
    goal: f64,
    /// How often libraries go through all bytes.
    passes: f64,
    own: &'a dyn Fn(),
    library: &'a dyn Fn(Sha256),
}

pub(crate) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let mut section = Section::new(
        "Hashing, one core",
        "64 MiB that come as they do in a transfer. Libraries hash one message at a time, so both hashes take them two \
         passes. The row of OpenSSL is that of its own measurement (`openssl speed -evp sha256`), divided by the number of \
         passes.",
        &["What", "By", "MB/s", "icefield x"],
    );
    let whole = data(SIZE);
    let part = SIZE / PARTS;
    let parts: Vec<Bytes> = (0..PARTS).map(|n| whole.slice(n * part..(n + 1) * part)).collect();
    let one_worker = Pooled::new(NonZeroUsize::MIN);
    let rounds = if options.short { 3 } else { ROUNDS };
    let openssl: Result<Vec<f64>> = (0..rounds.min(3)).map(|_| openssl()).collect();
    let tasks: [Task<'_>; 3] = [
        Task {
            what: "tree hash",
            goal: 2.0,
            passes: 1.0,
            own: &|| keep(by_hasher(&whole, false)),
            library: &|sha256| keep(tree_by(sha256, &whole)),
        },
        Task {
            what: "linear and tree hash of one stream",
            goal: 1.35,
            passes: 2.0,
            own: &|| keep(by_hasher(&whole, true)),
            library: &|sha256| keep(both_by(sha256, &whole)),
        },
        Task {
            what: "linear and tree hash of 16 concurrent parts",
            goal: 2.0,
            passes: 2.0,
            own: &|| keep(one_worker.hash(&parts, true)),
            library: &|sha256| parts.iter().for_each(|part| keep(both_by(sha256, part))),
        },
    ];
    for Task { what, goal, passes, own, library } in tasks {
        let mut rates: [Vec<f64>; 1 + LIBRARIES.len()] = Default::default();
        // The first hash of all tests the kernels.
        own();
        for _ in 0..rounds {
            rates[0].push(rate(own));
            for (rates, (_, sha256)) in rates[1..].iter_mut().zip(LIBRARIES) {
                rates.push(rate(&|| library(sha256)));
            }
        }
        let names = ["icefield"].into_iter().chain(LIBRARIES.map(|(name, _)| name));
        for (name, of) in names.zip(&rates) {
            let ratio = ratio(&rates[0], of, |rate| *rate);
            let rate = megabytes(median(of.iter().copied()));
            section.row([what.to_owned(), name.to_owned(), rate, times(ratio)]);
        }
        match &openssl {
            Ok(openssl) => {
                let rate = median(openssl.iter().copied()) / passes;
                let ratio = median(rates[0].iter().copied()) / rate;
                section.row([what.into(), "OpenSSL".into(), megabytes(rate), times(ratio)]);
            }
            Err(error) => section.skip(&[what, "OpenSSL"], &format!("{error:#}")),
        }
        let reached = ratio(&rates[0], &rates[1], |rate| *rate);
        let text = format!("at least {goal} times `aws-lc-rs`");
        report.goal(&format!("{what}, one core"), &text, times(reached), reached >= goal);
    }
    report.push(&section)
}

/// How many bytes a second it hashes.
fn rate(hash: &dyn Fn()) -> f64 {
    let begin = Instant::now();
    hash();
    SIZE as f64 / begin.elapsed().as_secs_f64()
}

/// Lets the compiler believe that the result is used.
fn keep<T>(hashed: T) {
    black_box(hashed);
}

fn by_ring(bytes: &[u8]) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().try_into().expect("a SHA-256 has 32 bytes")
}

fn by_sha2(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).into()
}

/// How many bytes a second OpenSSL hashes, by its own measurement.
fn openssl() -> Result<f64> {
    let done = Command::new("openssl")
        .args(["speed", "-elapsed", "-seconds", "1", "-bytes", "1048576", "-evp", "sha256"])
        .output()
        .context("the command openssl cannot be run")?;
    ensure!(done.status.success(), "openssl speed: {}", done.status);
    let said = String::from_utf8_lossy(&done.stdout);
    let line = said.lines().rev().find(|line| line.to_ascii_lowercase().starts_with("sha256"));
    let rate = line.and_then(|line| line.split_whitespace().last()?.strip_suffix('k'));
    let rate: f64 = rate.context("openssl speed said nothing of sha256")?.parse()?;
    Ok(rate * 1e3)
}
