//! A line on which every other request goes wrong: all arrives, nothing is sent, stored or paid twice.

use icefield_conformance::Random;

use super::{
    files::{Files, Sizes},
    line::{Line, at},
};
use crate::seed::seed;

/// What is sent there and back, and how much goes wrong on each of the two ways.
struct Effort {
    sizes: Sizes,
    /// Faults on each way, at least.
    faults: usize,
    /// How many of a hundred requests of an upload something happens to, and of a retrieval, which has fewer.
    percent: [u64; 2],
}

const SHORT: Effort =
    Effort { sizes: Sizes { small: 188, large: 12, most_mib: 4 }, faults: 75, percent: [33, 25] };

const LONG: Effort =
    Effort { sizes: Sizes { small: 140, large: 60, most_mib: 20 }, faults: 500, percent: [42, 55] };

/// No command has to be repeated more often. Most need no repeat, because the program repeats requests itself.
const MOST_RUNS: usize = 20;

const VAULT: &str = "v";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_arrive_through_150_faults_and_nothing_twice() {
    there_and_back(&SHORT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long"]
async fn all_arrive_through_1000_faults_and_nothing_twice() {
    there_and_back(&LONG).await;
}

async fn there_and_back(effort: &Effort) {
    let seed = seed();
    let line = Line::new().await;
    line.home.ok(&["vault", "create", &at(VAULT)]).await;
    let files = Files::write(&line.home.path("tree"), effort.sizes, seed);

    let [there, back] = effort.percent;
    line.storm(Random::of(seed, 1).next(), there);
    let upload = ["upload", &at(VAULT), "tree", "--part-size", "1MiB", "--concurrency", "4"];
    let runs = repeat(&line, &upload).await;
    line.proxy.quiet().await;
    let log = line.proxy.log();
    eprintln!("upload: {runs} runs, {} faults\n{}", log.faults(), log.figures());
    assert!(log.faults() >= effort.faults, "too few requests for so many faults");
    let again: Vec<_> = log.parts_sent_again();
    assert!(
        again.is_empty(),
        "sent again although acknowledged: {} and {}",
        again[0].0,
        again[0].1
    );
    assert_eq!(line.view.uploads(VAULT).await, Vec::<String>::new(), "uploads are left");
    files.assert_each_once(&line.view.copies(VAULT).await);

    let before = log.faults();
    line.storm(Random::of(seed, 2).next(), back);
    let runs = repeat(&line, &["retrieve", &at(VAULT), "--to", "back"]).await;
    line.proxy.quiet().await;
    let log = line.proxy.log();
    eprintln!("retrieve: {runs} runs, {} faults\n{}", log.faults() - before, log.figures());
    assert!(log.faults() - before >= effort.faults, "too few requests for so many faults");
    files.assert_in(&line.home.path("back/tree"));
    let retrievals = line.view.retrievals(VAULT).await;
    assert!(retrievals.len() >= files.len(), "{} retrievals", retrievals.len());
    let twice: Vec<_> = retrievals.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "retrieved more than once: {twice:?}");
}

/// Runs a command until it has done all, and returns how often.
async fn repeat(line: &Line, command: &[&str]) -> usize {
    for runs in 1..=MOST_RUNS {
        let run = line.home.run(command).await;
        if run.code == Some(0) {
            return runs;
        }
        eprintln!("run {runs}: {run}");
    }
    panic!("{command:?} does not come to an end");
}
