//! Accepting connections, when there are too many.

use std::fs;
use std::time::Duration;

use icefield_server::connection::Limits;
use tokio::time::{interval, timeout};

use super::slow::Process;
use super::world::{PATIENCE, SHORT, measure, patient, start};

#[tokio::test]
async fn connections_beyond_the_limit_wait_until_others_close() {
    let server = start(Limits { connections: 2, ..patient() }, measure).await;
    let mut first = server.connect().await;
    let mut second = server.connect().await;
    assert_eq!((first.get().await.status, second.get().await.status), (200, 200));
    let mut third = server.connect().await;
    let mut waiting = Box::pin(third.get());
    assert!(timeout(SHORT, waiting.as_mut()).await.is_err());
    assert_eq!(server.gauges.open(), 2);
    drop(first);
    assert_eq!(timeout(PATIENCE, waiting).await.unwrap().status, 200);
    assert_eq!(server.gauges.accepted(), 3);
}

#[tokio::test]
async fn a_server_without_descriptors_rests_and_goes_on_when_it_has_some() {
    let server = Process::start(64).await;
    let mut crowd = Vec::new();
    for _ in 0..100 {
        crowd.push(server.connect().await);
    }
    assert_eq!(crowd[0].get().await.status, 200);
    let before = cpu_ticks(server.id());
    let mut tick = interval(Duration::from_millis(500));
    tick.tick().await;
    tick.tick().await;
    let spent = cpu_ticks(server.id()) - before;
    assert!(spent < 25, "{spent} of 50 ticks were spent on waiting");
    assert_eq!(crowd[0].get().await.status, 200, "connections go on");
    drop(crowd);
    assert_eq!(server.connect().await.get().await.status, 200);
}

/// Hundredths of a second that a process has computed for.
fn cpu_ticks(process: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}
