//! Are the kernels still as much faster than the library as they are said to be?
//!
//! Both are measured in turn, round by round, and the ratio is the median of the rounds: whatever else the machine does
//! slows both down. Ends with 1 when a ratio is below its floor. The floors are somewhat below what is measured on a quiet
//! machine (`docs/decisions/0011-sha256-kernels.md`); where there are no kernels for lanes, the library must not be
//! faster by more than noise.

mod baseline;

use std::hint::black_box;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use baseline::{PARTS, Pooled, aws_lc, both_by, by_hasher, data, tree_by};
use icefield_treehash::{LEAF_SIZE, kernel_names};

const ROUNDS: usize = 15;
/// One stream, and all parts together.
const SIZE: usize = 64 << 20;
/// The floor where the kernels are those of the library, or not much faster.
const AS_FAST: f64 = 0.8;

fn main() -> std::io::Result<ExitCode> {
    let names = kernel_names();
    let lanes = names.contains("AVX-512");
    let floor = |with_lanes| if lanes { with_lanes } else { AS_FAST };
    let whole = data(SIZE);
    let parts: Vec<_> =
        (0..PARTS).map(|n| whole.slice(n * (SIZE / PARTS)..(n + 1) * (SIZE / PARTS))).collect();
    let small = whole.slice(..4 << 10);
    let one_worker = Pooled::new(NonZeroUsize::MIN);
    let rows: [Row<'_>; 5] = [
        Row {
            what: "tree hash, one core",
            floor: floor(1.6),
            bytes: SIZE,
            own: &|| keep(by_hasher(&whole, false)),
            library: &|| keep(tree_by(aws_lc, &whole)),
        },
        Row {
            what: "both hashes of one stream, one core",
            floor: floor(1.2),
            bytes: SIZE,
            own: &|| keep(by_hasher(&whole, true)),
            library: &|| keep(both_by(aws_lc, &whole)),
        },
        Row {
            what: "both hashes of 16 parts, pool of one",
            floor: floor(1.6),
            bytes: SIZE,
            own: &|| keep(one_worker.hash(&parts, true)),
            library: &|| parts.iter().for_each(|part| keep(both_by(aws_lc, part))),
        },
        Row {
            what: "both hashes of one stream, pool of one",
            floor: floor(1.2),
            bytes: SIZE,
            own: &|| keep(one_worker.hash(std::slice::from_ref(&whole), true)),
            library: &|| keep(both_by(aws_lc, &whole)),
        },
        Row {
            what: "both hashes of 4 KiB, one core",
            floor: AS_FAST,
            bytes: LEAF_SIZE,
            own: &|| (0..256).for_each(|_| keep(by_hasher(black_box(&small), true))),
            library: &|| (0..256).for_each(|_| keep(both_by(aws_lc, black_box(&small)))),
        },
    ];
    let mut out = std::io::stdout().lock();
    writeln!(out, "{names}; MB/s of the best round, ratio of the median round")?;
    writeln!(out, "{:40} {:>7} {:>7} {:>6} {:>6}", "", "own", "library", "ratio", "floor")?;
    let mut as_fast = true;
    for row in rows {
        let (own, library, ratio) = row.measure();
        writeln!(out, "{:40} {own:>7.0} {library:>7.0} {ratio:>6.2} {:>6.2}", row.what, row.floor)?;
        as_fast &= ratio >= row.floor;
    }
    Ok(if as_fast { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Lets the compiler believe that the result is used.
fn keep<T>(hashed: T) {
    black_box(hashed);
}

/// Two ways to hash the same bytes.
struct Row<'a> {
    what: &'static str,
    floor: f64,
    bytes: usize,
    own: &'a dyn Fn(),
    library: &'a dyn Fn(),
}

impl Row<'_> {
    /// Returns the best rate of each in megabytes (10^6) a second, and the median of the ratios.
    fn measure(&self) -> (f64, f64, f64) {
        let rounds: Vec<_> = (0..ROUNDS).map(|_| (time(self.own), time(self.library))).collect();
        let rate = |time: Duration| self.bytes as f64 / time.as_secs_f64() / 1e6;
        let own = rounds.iter().map(|(own, _)| *own).min().unwrap_or(Duration::MAX);
        let library = rounds.iter().map(|(_, library)| *library).min().unwrap_or(Duration::MAX);
        let mut ratios: Vec<_> =
            rounds.iter().map(|(own, library)| library.div_duration_f64(*own)).collect();
        ratios.sort_by(f64::total_cmp);
        (rate(own), rate(library), ratios[ROUNDS / 2])
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn time(hash: &dyn Fn()) -> Duration {
    let begin = Instant::now();
    hash();
    begin.elapsed()
}
