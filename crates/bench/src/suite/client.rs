//! The client beside others, to a server that throws bytes away and costs next to nothing.

use std::{
    fs::{self, File},
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result};
use icefield_conformance::discard;
use tempfile::TempDir;

use crate::{
    options::{ALONE, Options},
    process::{self, Cost},
    report::{Report, Section, tell},
    rounds::{mib, middle, ratio, times},
    server::random,
};

const FILE_BYTES: usize = 16 << 10;
const BLOCK_BYTES: usize = 64 << 20;
/// Files that AWS CLI sends: it takes a process for each.
const CLI_FILES: usize = 20;
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../conformance/foreign");

/// A client with what it is told to send.
struct Sender {
    name: &'static str,
    /// How to run it, or why it cannot be run; of several commands, one is run after the other.
    commands: Result<Vec<Command>>,
    /// Part of the whole that it sends.
    share: f64,
}

pub(crate) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let server = discard::start()?;
    let folder = TempDir::new_in(&options.folder)?;
    let config = folder.path().join("config.toml");
    let target = format!(
        "[target.cold]\ntype = \"vault-api\"\nregion = \"us-east-1\"\nendpoint = \"http://{server}\"\n"
    );
    fs::write(&config, target)?;
    let world = World { options, server, home: folder.path().to_owned(), config };
    large(&world, report)?;
    small(&world, report)
}

/// Where clients find what they need.
struct World<'a> {
    options: &'a Options,
    server: SocketAddr,
    home: PathBuf,
    config: PathBuf,
}

fn large(world: &World<'_>, report: &mut Report) -> Result<()> {
    let blocks = if world.options.short { 4 } else { 16 };
    let size = blocks * BLOCK_BYTES;
    let mut section = Section::new(
        "Client, one large file",
        &format!(
            "A file of {} MiB, which the system has in memory, in parts of 8 MiB, four at a time, to a server that throws \
             bytes away. AWS CLI cuts no files, so it sends the whole in one request; mt-aws-glacier works in child \
             processes, whose memory is not in the figure. Seconds include the start of the program.",
            size >> 20
        ),
        &["Client", "seconds", "icefield x", "CPU-s", "CPU x", "peak MiB"],
    );
    let file = world.home.join("large.bin");
    let mut out = File::create(&file)?;
    let block = random(BLOCK_BYTES);
    for number in 0..blocks {
        out.write_all(&block.slice(number * 8..))?;
        out.write_all(&block[..number * 8])?;
    }
    let boto2 = world.boto2("upload_concurrent.py", &file);
    let boto3 = world.python(|python| {
        let mut command = Command::new(python);
        command.arg(Path::new(SCRIPTS).join("python/upload_threads.py")).arg(&file);
        vec![command]
    });
    let mt = world.mtglacier(&["upload-file", "--set-rel-filename", "large", "--filename"], &file);
    let senders = [
        Sender { name: "icefield", commands: Ok(vec![world.icefield(&file)]), share: 1.0 },
        Sender { name: "boto3, 4 threads", commands: boto3, share: 1.0 },
        Sender {
            name: "AWS CLI",
            commands: world.python(|python| vec![world.aws_cli(python, &file)]),
            share: 1.0,
        },
        Sender { name: "boto 2.29.1, ConcurrentUploader", commands: boto2, share: 1.0 },
        Sender { name: "mt-aws-glacier", commands: mt, share: 1.0 },
    ];
    let ours =
        compare(world, senders, &mut section, |cost, _| format!("{:.2}", cost.wall.as_secs_f64()))?;
    fs::remove_file(&file)?;
    if let Some(cost) = ours {
        let what = format!("client, {} MiB to a server that discards, 4 workers", size >> 20);
        let part = size as f64 / f64::from(1 << 30);
        let (wall, most) = (cost.wall.as_secs_f64(), 1.4 * part);
        let goal = format!("at most {most:.2} s");
        report.goal(&what, &goal, format!("{wall:.2} s"), wall <= most);
        let most = 1.7 * part;
        let reached = format!("{:.2} CPU-s", cost.processor);
        report.goal(&what, &format!("at most {most:.2} CPU-s"), reached, cost.processor <= most);
        let reached = format!("{} MiB", mib(cost.peak_bytes));
        report.goal(&what, "at most 128 MiB", reached, cost.peak_bytes <= 128 << 20);
    }
    report.push(&section)
}

fn small(world: &World<'_>, report: &mut Report) -> Result<()> {
    let count = if world.options.short { 200 } else { 2000 };
    let mut section = Section::new(
        "Client, many small files",
        &format!(
            "{count} files of 16 KiB to the same server. AWS CLI takes a process for each, so it sends {CLI_FILES} of them, \
             one after the other. Seconds include the start of the program; processor seconds are of as many files as all \
             send."
        ),
        &["Client", "files/s", "icefield x", "CPU-s", "CPU x", "peak MiB"],
    );
    let folder = world.home.join("small");
    fs::create_dir_all(&folder)?;
    let bytes = random(FILE_BYTES + count * 8);
    let path = |number: usize| folder.join(format!("{number:05}.bin"));
    for number in 0..count {
        fs::write(path(number), &bytes[number * 8..number * 8 + FILE_BYTES])?;
    }
    let boto3 = world.python(|python| {
        let mut command = Command::new(python);
        command.arg(Path::new(SCRIPTS).join("python/upload_files.py")).arg(&folder);
        vec![command]
    });
    let cli = world.python(|python| {
        (0..CLI_FILES).map(|number| world.aws_cli(python, &path(number))).collect()
    });
    let one_large = Err(anyhow::anyhow!("ConcurrentUploader is for one large file"));
    let mt = world.mtglacier(&["sync", "--new", "--dir"], &folder);
    let senders = [
        Sender { name: "icefield", commands: Ok(vec![world.icefield(&folder)]), share: 1.0 },
        Sender { name: "boto3, 8 threads", commands: boto3, share: 1.0 },
        Sender { name: "AWS CLI", commands: cli, share: CLI_FILES as f64 / count as f64 },
        Sender { name: "boto 2.29.1", commands: one_large, share: 1.0 },
        Sender { name: "mt-aws-glacier", commands: mt, share: 1.0 },
    ];
    let ours = compare(world, senders, &mut section, |cost, share| {
        format!("{:.0}", count as f64 * share / cost.wall.as_secs_f64())
    })?;
    if let Some(cost) = ours {
        let what = format!("client, {count} files of 16 KiB to the same");
        let rate = count as f64 / cost.wall.as_secs_f64();
        report.goal(&what, "at least 3,000 a second", format!("{rate:.0}"), rate >= 3000.0);
    }
    report.push(&section)
}

/// Lets all take turns, adds a row for each, and returns what icefield, the first, took.
fn compare<const N: usize>(
    world: &World<'_>,
    mut senders: [Sender; N],
    section: &mut Section,
    shown: impl Fn(&Cost, f64) -> String,
) -> Result<Option<Cost>> {
    if world.options.alone {
        for sender in &mut senders[1..] {
            sender.commands = Err(anyhow::anyhow!(ALONE));
        }
    }
    let mut costs = [const { Vec::new() }; N];
    for round in 0..world.options.rounds() {
        tell(&format!("  round {}", round + 1));
        for (costs, sender) in costs.iter_mut().zip(&mut senders) {
            let Ok(commands) = &mut sender.commands else { continue };
            let (mut sum, mut failed): (Option<Cost>, _) = (None, None);
            // It would not send again what is in there.
            fs::remove_file(world.journal()).ok();
            for command in commands {
                let cost = match process::run(world.set(command)) {
                    Ok(cost) => cost,
                    Err(error) => {
                        failed = Some(error);
                        break;
                    }
                };
                let nothing = Cost { wall: Duration::ZERO, processor: 0.0, peak_bytes: 0 };
                let before = sum.unwrap_or(nothing);
                sum = Some(Cost {
                    wall: before.wall + cost.wall,
                    processor: before.processor + cost.processor,
                    peak_bytes: before.peak_bytes.max(cost.peak_bytes),
                });
            }
            match failed {
                Some(error) => sender.commands = Err(error),
                None => costs.extend(sum),
            }
        }
    }
    let wall = |cost: &Cost| cost.wall.as_secs_f64();
    let processor = |cost: &Cost| cost.processor;
    for (sender, of) in senders.iter().zip(&costs) {
        match (&sender.commands, middle(of, wall)) {
            (Ok(_), Some(cost)) => section.row([
                sender.name.to_owned(),
                shown(cost, sender.share),
                times(ratio(of, &costs[0], wall) / sender.share),
                format!("{:.2}", cost.processor / sender.share),
                times(ratio(of, &costs[0], processor) / sender.share),
                mib(cost.peak_bytes),
            ]),
            (Err(error), _) => section.skip(&[sender.name], &format!("{error:#}")),
            (Ok(_), None) => section.skip(&[sender.name], "not measured"),
        }
    }
    Ok(middle(&costs[0], wall).copied())
}

impl World<'_> {
    fn icefield(&self, what: &Path) -> Command {
        let mut command = Command::new(&self.options.icefield);
        command.args(["upload", "cold:v", "--force", "--concurrency", "4", "-q"]);
        command.args(["--part-size", "8MiB"]).arg(what).env("ICEFIELD_CONFIG", &self.config);
        command
    }

    fn python<T>(&self, then: impl FnOnce(&Path) -> T) -> Result<T> {
        let python = self.options.python.as_deref();
        Ok(then(python.context("ICEFIELD_PYTHON is not set (cargo xtask tools sets it)")?))
    }

    fn boto2(&self, script: &str, file: &Path) -> Result<Vec<Command>> {
        let python = self.options.python27.as_deref();
        let python = python.context("ICEFIELD_PYTHON27 is not set (cargo xtask tools sets it)")?;
        let releases = self.options.boto2.as_deref();
        let releases = releases.context("ICEFIELD_BOTO2 is not set (cargo xtask tools sets it)")?;
        let mut command = Command::new(python);
        command.arg(Path::new(SCRIPTS).join("boto2").join(script)).arg(file);
        command.env("PYTHONPATH", releases.join("2.29.1"));
        Ok(vec![command])
    }

    fn aws_cli(&self, python: &Path, file: &Path) -> Command {
        let mut command = Command::new(python);
        command.args(["-m", "awscli", "glacier", "upload-archive", "--account-id", "-"]);
        command.args(["--vault-name", "v", "--endpoint-url", &format!("http://{}", self.server)]);
        command.arg("--body").arg(file);
        command
    }

    /// Sets what clients read from their environment.
    fn set<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("ICEFIELD_ENDPOINT", format!("http://{}", self.server))
            .env("ICEFIELD_ACCOUNT", "012345678901")
            .env("AWS_ACCESS_KEY_ID", "ICEFIELDDEVELOPMENT0")
            .env("AWS_SECRET_ACCESS_KEY", "development/only/secret/of/icefield/serve")
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("HOME", &self.home)
            .env("XDG_DATA_HOME", self.home.join("data"))
            .env("NO_PROXY", "*")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env_remove("AWS_PROFILE")
            .env_remove("AWS_SESSION_TOKEN")
            .env_remove("ICEFIELD_CATALOG")
    }

    /// Where mt-aws-glacier remembers what it has sent.
    fn journal(&self) -> PathBuf {
        self.home.join("journal")
    }

    /// mt-aws-glacier takes a region and no endpoint; but its library can be told of a proxy, which the server that
    /// throws bytes away is as well as anything.
    fn mtglacier(&self, what: &[&str], path: &Path) -> Result<Vec<Command>> {
        let program = &self.options.mtglacier;
        let asked = Command::new(program).arg("--version").stdout(Stdio::null()).status();
        asked.context("mtglacier is not installed (ICEFIELD_MTGLACIER names its program)")?;
        let config = self.home.join("mtglacier.cfg");
        let text = "key=ICEFIELDDEVELOPMENT0\nsecret=development/only/secret/of/icefield/serv\nregion=us-east-1\nprotocol=http\n";
        fs::write(&config, text)?;
        let mut command = Command::new(program);
        command.args(what).arg(path).arg("--config").arg(config).args(["--vault", "v"]);
        command.arg("--journal").arg(self.journal());
        command.args(["--concurrency", "4", "--partsize", "8"]);
        command.env("PERL_LWP_ENV_PROXY", "1").env("http_proxy", format!("http://{}", self.server));
        Ok(vec![command])
    }
}
