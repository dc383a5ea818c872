//! Requests that are refused: by hyper because it cannot read them, and by a service that does not read the body.

use http::Request;
use icefield_server::connection::{Body, Limits, Peer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::world::{PATIENCE, SHORT, answer, measure, patient, start};

/// Refuses by the head alone.
async fn refuse(
    _: Peer,
    _: Request<Body>,
) -> http::Response<icefield_server::connection::ResponseBody> {
    answer(403, "not you")
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_in_the_form_of_the_service() {
    let server = start(patient(), measure).await;
    let cases = [
        (400, "nonsense\r\n\r\n".to_owned()),
        (400, "GET / HTTP/1.1\r\nbad header\r\n\r\n".to_owned()),
        (400, "GET /\u{7f} HTTP/1.1\r\n\r\n".to_owned()),
        (400, "GET / HTTP/9.9\r\n\r\n".to_owned()),
        (400, "POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx".to_owned()),
        (400, "POST / HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\n".to_owned()),
        (431, format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(101))),
        (431, format!("GET / HTTP/1.1\r\na: {}\r\n\r\n", "x".repeat(40_000))),
    ];
    for (number, (status, request)) in cases.iter().enumerate() {
        let mut client = server.connect().await;
        assert_eq!(client.get().await.status, 200);
        client.send(request).await;
        let refusal = client.answer().await;
        assert_eq!(refusal.status, *status, "{request:.60}");
        assert_eq!(refusal.body, format!("refused with {status}"));
        for field in ["x-refused: yes", "connection: close", "date: "] {
            assert!(refusal.head.contains(field), "{field} in {}", refusal.head);
        }
        client.stream.shutdown().await.unwrap();
        client.closed().await;
        assert_eq!(server.gauges.refused(), number as u64 + 1);
    }
}

#[tokio::test]
async fn a_query_of_a_million_characters_is_answered_and_not_reset() {
    let server = start(patient(), measure).await;
    let mut client = server.connect().await;
    client.send(format!("GET /?{} HTTP/1.1\r\nhost: here\r\n\r\n", "q".repeat(1_000_000))).await;
    let refusal = client.answer().await;
    assert_eq!((refusal.status, refusal.body.as_str()), (431, "refused with 431"));
}

#[tokio::test]
async fn a_small_body_that_nobody_reads_does_not_cost_the_connection() {
    let server = start(patient(), refuse).await;
    let mut client = server.connect().await;
    for _ in 0..3 {
        client.send("PUT / HTTP/1.1\r\nhost: here\r\ncontent-length: 2\r\n\r\n").await;
        client.send("{}").await;
        let refusal = client.answer().await;
        assert_eq!((refusal.status, refusal.body.as_str()), (403, "not you"));
        assert!(!refusal.head.contains("connection: close"), "{}", refusal.head);
    }
    assert_eq!(server.gauges.accepted(), 1);
}

#[tokio::test]
async fn a_client_within_the_drain_limit_can_send_all_before_it_reads_the_refusal() {
    // More than the system buffers, so that somebody has to read it.
    let drained = 64 << 20;
    let server = start(Limits { drain_bytes: drained as u64, ..patient() }, refuse).await;
    for _ in 0..3 {
        let mut client = server.connect().await;
        client.post(&vec![7; drained]).await;
        let refusal = client.answer().await;
        assert_eq!((refusal.status, refusal.body.as_str()), (403, "not you"));
        assert!(refusal.head.contains("connection: close"), "{}", refusal.head);
        client.stream.shutdown().await.unwrap();
        client.closed().await;
    }
}

#[tokio::test]
async fn a_client_far_beyond_the_drain_limit_still_finds_the_refusal() {
    let server = start(Limits::default(), refuse).await;
    let body = vec![7; 64 << 20];
    for _ in 0..5 {
        let mut client = server.connect().await;
        let head =
            format!("POST / HTTP/1.1\r\nhost: here\r\ncontent-length: {}\r\n\r\n", body.len());
        client.send(head).await;
        // The connection may be closed midway; whoever ignores that and reads finds out why.
        let _broken = timeout(PATIENCE, client.stream.write_all(&body)).await.unwrap();
        let refusal = client.answer().await;
        assert_eq!((refusal.status, refusal.body.as_str()), (403, "not you"));
    }
}

#[tokio::test]
async fn a_client_that_neither_stops_nor_reads_is_closed_after_the_drain_time() {
    let limits = Limits { drain_time: SHORT, drain_bytes: u64::MAX, ..patient() };
    let server = start(limits, refuse).await;
    let mut client = server.connect().await;
    client.send("POST / HTTP/1.1\r\nhost: here\r\ncontent-length: 1000000000000\r\n\r\n").await;
    let block = vec![7; 64 << 10];
    let flood = async { while client.stream.write_all(&block).await.is_ok() {} };
    timeout(PATIENCE, flood).await.unwrap();
}

#[tokio::test]
async fn whoever_waits_for_a_word_is_told_to_send_when_the_body_is_asked_for() {
    let server = start(patient(), measure).await;
    let mut client = server.connect().await;
    for _ in 0..2 {
        let head =
            "POST / HTTP/1.1\r\nhost: here\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n";
        client.send(head).await;
        assert_eq!(client.head().await, "http/1.1 100 continue\r\n\r\n");
        client.send("four").await;
        assert_eq!(client.answer().await.body, "4");
    }
}

#[tokio::test]
async fn whoever_waits_for_a_word_and_is_refused_is_not_told_to_send() {
    let server = start(Limits { drain_time: SHORT, ..patient() }, refuse).await;
    let mut client = server.connect().await;
    let head = "POST / HTTP/1.1\r\nhost: here\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n";
    client.send(head).await;
    let refusal = client.answer().await;
    assert_eq!((refusal.status, refusal.body.as_str()), (403, "not you"));
    assert!(refusal.head.contains("connection: close"), "{}", refusal.head);
    client.closed().await;
}

#[tokio::test]
async fn a_client_that_speaks_http_2_is_closed() {
    let server = start(patient(), measure).await;
    let mut client = server.connect().await;
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    let mut rest = Vec::new();
    timeout(PATIENCE, client.stream.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert_eq!(rest, b"");
}
