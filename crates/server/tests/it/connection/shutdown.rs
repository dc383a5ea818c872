//! The end of a server.

use std::sync::Arc;

use http::Request;
use icefield_server::connection::{Body, Limits};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout};

use super::world::{PATIENCE, SHORT, answer, length, measure, patient, start};

#[tokio::test]
async fn idle_connections_close_at_once_and_no_new_ones_are_accepted() {
    let server = start(patient(), measure).await;
    let mut used = server.connect().await;
    assert_eq!(used.get().await.status, 200);
    let mut silent = server.connect().await;
    // The silent one was accepted before this one.
    assert_eq!(server.connect().await.get().await.status, 200);
    server.shutdown.cancel();
    used.closed().await;
    silent.closed().await;
    let address = server.address;
    server.ended().await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn requests_under_way_are_answered_before_the_server_ends() {
    let (begun, mut begins) = mpsc::unbounded_channel();
    let server = start(patient(), move |_, request: Request<Body>| {
        let begun = begun.clone();
        async move {
            begun.send(()).unwrap();
            answer(200, length(&mut request.into_body()).await.unwrap().to_string())
        }
    })
    .await;
    let mut client = server.connect().await;
    client.send("POST / HTTP/1.1\r\nhost: here\r\ncontent-length: 8\r\n\r\nhalf").await;
    timeout(PATIENCE, begins.recv()).await.unwrap().unwrap();
    server.shutdown.cancel();
    client.send("half").await;
    let last = client.answer().await;
    assert_eq!((last.status, last.body.as_str()), (200, "8"));
    assert!(last.head.contains("connection: close"), "{}", last.head);
    client.closed().await;
    server.ended().await;
}

#[tokio::test]
async fn what_does_not_end_in_time_is_cut() {
    let (begun, mut begins) = mpsc::unbounded_channel();
    let held = Arc::new(Notify::new());
    let hold = Arc::clone(&held);
    let server = start(Limits { shutdown: SHORT, ..patient() }, move |_, _| {
        let (begun, hold) = (begun.clone(), Arc::clone(&hold));
        async move {
            begun.send(()).unwrap();
            hold.notified().await;
            answer(200, "")
        }
    })
    .await;
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nhost: here\r\n\r\n").await;
    timeout(PATIENCE, begins.recv()).await.unwrap().unwrap();
    let stopped = Instant::now();
    server.shutdown.cancel();
    let gauges = server.gauges.clone();
    server.ended().await;
    assert!(stopped.elapsed() >= SHORT);
    client.closed().await;
    assert_eq!(gauges.open(), 0);
    assert_eq!(Arc::strong_count(&held), 1, "neither the call nor the service is left");
}

#[tokio::test]
async fn a_server_that_is_dropped_leaves_nothing_behind() {
    let server = start(patient(), measure).await;
    let mut client = server.connect().await;
    assert_eq!(client.get().await.status, 200);
    server.task.abort();
    client.closed().await;
}
