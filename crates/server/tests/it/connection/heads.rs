//! What comes before a body.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;
use tokio::time::{Instant, interval, timeout};

use super::world::{NEVER, PATIENCE, SHORT, measure, patient, start};
use icefield_server::connection::Limits;

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed_in_the_time_of_a_head() {
    let server = start(Limits { header: SHORT, ..patient() }, measure).await;
    let begun = Instant::now();
    server.connect().await.closed().await;
    assert!(begun.elapsed() >= SHORT);
}

#[tokio::test]
async fn a_head_that_dribbles_is_closed_in_the_time_of_a_head() {
    let server = start(Limits { header: SHORT, ..patient() }, measure).await;
    let mut client = server.connect().await;
    assert_eq!(client.get().await.status, 200, "later heads are under the limit, too");
    let begun = Instant::now();
    let mut ticks = interval(SHORT / 10);
    let dribble = async {
        loop {
            ticks.tick().await;
            if client.stream.write_all(b"G").await.is_err() {
                return;
            }
        }
    };
    timeout(PATIENCE, dribble).await.unwrap();
    assert!(begun.elapsed() >= SHORT);
}

#[tokio::test]
async fn a_connection_may_idle_for_longer_than_a_head_may_take() {
    let idle = 3 * SHORT;
    let server = start(Limits { header: SHORT, idle, ..patient() }, measure).await;
    let mut client = server.connect().await;
    let begun = Instant::now();
    assert_eq!(client.get().await.status, 200);
    client.closed().await;
    assert!(begun.elapsed() >= idle);
}

#[tokio::test]
async fn half_a_head_behind_a_request_is_under_a_limit_too() {
    let server = start(Limits { header: SHORT, idle: SHORT, ..patient() }, measure).await;
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nhost: here\r\n\r\nGET /").await;
    assert_eq!(client.answer().await.status, 200);
    client.closed().await;
}

#[tokio::test]
async fn requests_sent_at_once_are_answered_in_order_on_one_connection() {
    let server = start(patient(), measure).await;
    let mut client = server.connect().await;
    for length in 1..=20 {
        client.post(&vec![b'x'; length]).await;
    }
    for length in 1..=20 {
        assert_eq!(client.answer().await.body, length.to_string());
    }
    assert_eq!((server.gauges.accepted(), server.gauges.open()), (1, 1));
}

#[tokio::test]
async fn a_client_that_closes_its_side_after_the_request_gets_the_answer() {
    let go_on = Arc::new(Notify::new());
    let wait = Arc::clone(&go_on);
    let server = start(patient(), move |peer, request| {
        let wait = Arc::clone(&wait);
        async move {
            if request.method() == Method::POST {
                wait.notified().await;
            }
            measure(peer, request).await
        }
    })
    .await;
    let mut client = server.connect().await;
    client.post(b"four").await;
    client.stream.shutdown().await.unwrap();
    // Other requests show that the server has had time to notice.
    for _ in 0..3 {
        assert_eq!(server.connect().await.get().await.status, 200);
    }
    go_on.notify_one();
    assert_eq!(client.answer().await.body, "4");
    client.closed().await;
}

#[tokio::test]
async fn times_are_not_reached_by_those_who_are_in_time() {
    let short = Duration::from_secs(5);
    let limits = Limits { header: short, idle: short, body_stall: short, ..patient() };
    let server = start(Limits { write_stall: short, rate_window: NEVER, ..limits }, measure).await;
    let mut client = server.connect().await;
    for _ in 0..100 {
        client.post(&[0; 10_000]).await;
        assert_eq!(client.answer().await.body, "10000");
    }
}
