//! Many connections that do nothing, or next to nothing, for as long as they are allowed to.

use std::fs;
use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use icefield_server::connection::{Gauges, Limits, serve};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::world::{Closure, PATIENCE, Raw, measure, patient, start};

/// Well-behaved clients.
const WORKERS: usize = 8;

/// Lets this process have as many descriptors as it may, at most `most`.
fn limit_descriptors(most: u64) {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let current = Some(maximum.map_or(most, |maximum| maximum.min(most)));
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
}

/// What a hostile connection says at first, and then byte by byte.
const HOSTILE: [(&str, &str); 4] = [
    ("", ""),
    ("GET / HTTP/1.1\r\nhost: here\r\n\r\n", ""),
    ("GET / HTTP/1.1\r\nx: ", "x"),
    ("POST / HTTP/1.1\r\nhost: here\r\ncontent-length: 1000000\r\n\r\nx", "x"),
];

/// Opens hostile connections, again whenever the server closes one. Every `tick` each says a byte, if it says any.
async fn besiege(address: SocketAddr, count: usize, tick: Duration) -> JoinSet<()> {
    let mut siege = JoinSet::new();
    for number in 0..count {
        let mut stream = TcpStream::connect(address).await.unwrap();
        siege.spawn(async move {
            loop {
                hostile(stream, HOSTILE[number % HOSTILE.len()], tick).await;
                stream = TcpStream::connect(address).await.unwrap();
            }
        });
    }
    siege
}

/// One hostile connection, until the server closes it.
async fn hostile(mut stream: TcpStream, (first, then): (&str, &str), tick: Duration) {
    if stream.write_all(first.as_bytes()).await.is_err() {
        return;
    }
    let (mut reading, mut writing) = stream.split();
    let mut block = [0; 512];
    let mut ticks = interval(tick);
    loop {
        tokio::select! {
            read = reading.read(&mut block) => if matches!(read, Ok(0) | Err(_)) { return },
            _ = ticks.tick(), if !then.is_empty() => {
                if writing.write_all(then.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Requests answered to well-behaved clients in `time`.
async fn work(address: SocketAddr, time: Duration) -> u64 {
    let end = Instant::now() + time;
    let done = Arc::new(AtomicU64::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        let done = Arc::clone(&done);
        workers.spawn(timeout_at(end, async move {
            let mut client = Raw::new(TcpStream::connect(address).await.unwrap());
            loop {
                client.post(&[7; 100]).await;
                assert_eq!(client.answer().await.body, "100");
                done.fetch_add(1, Relaxed);
            }
        }));
    }
    while let Some(worker) = workers.join_next().await {
        assert!(worker.unwrap().is_err(), "no worker ends before its time");
    }
    done.load(Relaxed)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_slow_connections_are_closed_while_good_ones_go_on() {
    limit_descriptors(8192);
    let second = Duration::from_secs(1);
    let limits = Limits {
        header: second,
        idle: second,
        body_stall: second,
        rate_window: second,
        drain_time: second / 5,
        ..patient()
    };
    let server = start(limits, measure).await;
    let good = Arc::new(AtomicBool::new(true));
    let going = Arc::clone(&good);
    let address = server.address;
    let steady = tokio::spawn(async move {
        let mut client = Raw::new(TcpStream::connect(address).await.unwrap());
        let mut answered = 0;
        while going.load(Relaxed) {
            client.post(&[7; 100]).await;
            assert_eq!(client.answer().await.body, "100");
            answered += 1;
        }
        answered
    });
    let mut slow = JoinSet::new();
    for number in 0..1000 {
        // One after the other: what overflows the backlog is a connection to its client only.
        let stream = TcpStream::connect(address).await.unwrap();
        slow.spawn(hostile(stream, HOSTILE[number % HOSTILE.len()], second / 20));
    }
    let all = async { while slow.join_next().await.is_some() {} };
    timeout(PATIENCE, all).await.expect("every slow connection is closed");
    good.store(false, Relaxed);
    assert!(steady.await.unwrap() > 100);
    assert_eq!(server.gauges.accepted(), 1001);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long"]
async fn five_thousand_slow_connections_cost_good_ones_less_than_a_tenth() {
    limit_descriptors(16_384);
    let server = Process::start(16_384).await;
    let part = Duration::from_secs(20);
    let _warm = work(server.address, part / 4).await;
    let before = work(server.address, part).await;
    let siege = besiege(server.address, 5000, Duration::from_secs(5)).await;
    // All are open, and the first ones were closed and have come back.
    let _settling = work(server.address, part + part / 2).await;
    let besieged = work(server.address, 3 * part).await;
    let memory = resident_mib(server.id());
    let open = fs::read_dir(format!("/proc/{}/fd", server.id())).unwrap().count();
    drop(siege);
    let _recovering = work(server.address, part / 4).await;
    let after = work(server.address, part).await;
    let calm = u64::midpoint(before, after);
    println!(
        "requests per second: {} before, {} besieged, {} after; {open} files open, {memory} MiB resident at most",
        before / 20,
        besieged / 60,
        after / 20
    );
    assert!(besieged / 3 * 10 >= calm * 9);
    assert!(memory < 256);
    assert!(open > 4500, "the siege went on to the end");
}

/// Memory that a process holds.
fn resident_mib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// A server in a process of its own, which ends with this value.
pub(super) struct Process {
    child: Child,
    /// Kept open: the process ends when it cannot write that it takes long.
    _output: Lines<BufReader<ChildStdout>>,
    pub(super) address: SocketAddr,
}

impl Process {
    /// Starts a server that may have `descriptors` files open, with the default limits.
    pub(super) async fn start(descriptors: u64) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "connection::slow::serve_in_a_process", "--ignored", "--nocapture"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        writeln!(child.stdin.as_mut().unwrap(), "{descriptors}").unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines
            .find_map(|line| line.unwrap().split_once("serving ")?.1.parse().ok())
            .expect("the process says its address");
        Self { child, _output: lines, address }
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) async fn connect(&self) -> Raw<TcpStream> {
        Raw::new(TcpStream::connect(self.address).await.unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// The other side of [`Process`]: told by its input what it may have open, it serves until its input ends.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "is run by other tests"]
async fn serve_in_a_process() {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    let Ok(descriptors) = line.trim().parse() else { return };
    limit_descriptors(descriptors);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("serving {}", listener.local_addr().unwrap());
    let shutdown = CancellationToken::new();
    let service = Arc::new(Closure(measure));
    let served =
        serve(listener, None, Limits::default(), Gauges::default(), service, shutdown.clone());
    tokio::select! {
        served = served => served.unwrap(),
        () = end_of_input() => {}
    }
}

async fn end_of_input() {
    let rest = || std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    tokio::task::spawn_blocking(rest).await.unwrap();
}
