//! Accepting connections, when there are too many.

use std::fs;
use std::time::Duration;

use icefield_server::connection::Limits;
use tokio::net::TcpStream;
use tokio::time::{interval, timeout};

use super::slow::Process;
use super::world::{PATIENCE, Raw, SHORT, measure, patient, start};
use crate::glacier::world::{World, engine_settings, server_settings};

/// What connections have said that then say nothing more.
const IDLE: [&str; 3] = ["", "GET / HTTP/1.1\r\nx: ", "GET / HTTP/1.1\r\nhost: here\r\n\r\n"];

#[tokio::test]
async fn a_new_connection_is_served_at_once_however_many_idle_ones_there_are() {
    let server = start(Limits { connections: 40, ..patient() }, measure).await;
    let mut crowd = Vec::new();
    for number in 0..40 {
        let mut idle = server.connect().await;
        idle.send(IDLE[number % IDLE.len()]).await;
        if number % IDLE.len() == 2 {
            assert_eq!(idle.answer().await.status, 200);
        }
        crowd.push(idle);
    }
    let mut honest = server.connect().await;
    assert_eq!(honest.get().await.status, 200);
    crowd[0].closed().await;
    assert_eq!((server.gauges.sheds(), server.gauges.open()), (1, 40));
    crowd[2].post(b"still here").await;
    assert_eq!(crowd[2].answer().await.body, "10");
    // Its request makes that one the last to go.
    for _ in 0..39 {
        crowd.push(server.connect().await);
        assert_eq!(crowd.last_mut().unwrap().get().await.status, 200);
    }
    assert_eq!(crowd[2].get().await.status, 200);
    for gone in [1, 3, 4, 39] {
        crowd[gone].closed().await;
    }
    honest.closed().await;
    assert_eq!(server.gauges.sheds(), 40);
}

#[tokio::test]
async fn connections_with_a_request_under_way_are_waited_for() {
    let server = start(Limits { connections: 2, ..patient() }, measure).await;
    let half = "POST / HTTP/1.1\r\nhost: here\r\ncontent-length: 8\r\n\r\nhalf";
    let mut first = server.connect().await;
    let mut second = server.connect().await;
    for busy in [&mut first, &mut second] {
        assert_eq!(busy.get().await.status, 200);
        busy.send(half).await;
    }
    let mut third = server.connect().await;
    let mut waiting = Box::pin(third.get());
    assert!(timeout(SHORT, waiting.as_mut()).await.is_err());
    assert_eq!((server.gauges.open(), server.gauges.sheds()), (2, 0));
    first.send("half").await;
    assert_eq!(first.answer().await.body, "8");
    assert_eq!(timeout(PATIENCE, waiting).await.unwrap().status, 200);
    first.closed().await;
    second.send("half").await;
    assert_eq!(second.answer().await.body, "8");
    assert_eq!((server.gauges.accepted(), server.gauges.sheds()), (3, 1));
}

#[tokio::test]
async fn connections_on_which_somebody_has_signed_go_last() {
    let mut settings = server_settings();
    settings.limits.connections = 2;
    let world = World::with(engine_settings(), settings, Vec::new()).await;
    let connect = async || Raw::new(TcpStream::connect(world.running.address()).await.unwrap());
    let signed = world.ask("GET", "/-/vaults").head().replace("connection: close\r\n", "");
    let mut known = connect().await;
    known.send(&signed).await;
    assert_eq!(known.answer().await.status, 200);
    for _ in 0..3 {
        let mut stranger = connect().await;
        assert_eq!(stranger.get().await.status, 400);
        assert_eq!(connect().await.get().await.status, 400);
        stranger.closed().await;
    }
    known.send(&signed).await;
    assert_eq!(known.answer().await.status, 200);
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
