//! The bodies of requests: their limits, and the room they take.

use std::time::Duration;

use http::Request;
use icefield_server::connection::{Body, BodyError, Gauges, Limits, Peer};
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;
use tokio::time::{Instant, interval, timeout};

use super::world::{PATIENCE, Running, SHORT, answer, measure, patient, start};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Sends `body` in pieces, one at each tick, until the server closes.
async fn dribble(server: &Running, length: usize, piece: &[u8], every: Duration) -> String {
    let mut client = server.connect().await;
    client.send(format!("POST / HTTP/1.1\r\nhost: here\r\ncontent-length: {length}\r\n\r\n")).await;
    let mut ticks = interval(every);
    let (reading, mut writing) = tokio::io::split(client.stream);
    let mut client = super::world::Raw::new(tokio::io::join(reading, tokio::io::sink()));
    let sending = async {
        for _ in 0..length / piece.len() {
            ticks.tick().await;
            if writing.write_all(piece).await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = sending => unreachable!(),
        answer = client.answer() => answer.body,
    }
}

/// Bytes of which no two windows are alike.
fn pattern(length: usize) -> Vec<u8> {
    (0..=250).cycle().take(length).collect()
}

#[tokio::test]
async fn a_body_arrives_whole_in_chunks_of_at_most_a_window() {
    let window_bytes = 64 * KIB;
    let server =
        start(Limits { window_bytes, ..patient() }, |_, request: Request<Body>| async move {
            let mut body = request.into_body();
            let announced = body.announced();
            let mut whole = Vec::new();
            while let Some(chunk) = body.chunk().await.unwrap() {
                assert!((1..=64 * KIB).contains(&chunk.bytes.len()));
                whole.extend_from_slice(&chunk.bytes);
            }
            assert_eq!(announced, Some(whole.len() as u64));
            assert!(whole == pattern(whole.len()));
            answer(200, whole.len().to_string())
        })
        .await;
    let mut client = server.connect().await;
    for length in [0, 1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 5 * MIB + 3] {
        client.post(&pattern(length)).await;
        assert_eq!(client.answer().await.body, length.to_string());
    }
}

#[tokio::test]
async fn a_body_that_stops_is_given_up() {
    let server = start(Limits { body_stall: SHORT, ..patient() }, measure).await;
    let mut client = server.connect().await;
    let begun = Instant::now();
    client.send("POST / HTTP/1.1\r\nhost: here\r\ncontent-length: 8\r\n\r\nhalf").await;
    let late = client.answer().await;
    assert!(begun.elapsed() >= SHORT);
    assert_eq!((late.status, late.body.as_str()), (408, "Stalled"));
    assert!(late.head.contains("connection: close"), "{}", late.head);
    client.stream.shutdown().await.unwrap();
    client.closed().await;
}

#[tokio::test]
async fn a_body_that_only_dribbles_is_given_up() {
    let limits = Limits { rate_bytes: 1000, rate_window: SHORT, ..patient() };
    let server = start(limits, measure).await;
    assert_eq!(dribble(&server, 10_000, b"x", SHORT / 20).await, "Stalled");
}

#[tokio::test]
async fn a_chunked_body_whose_framing_dribbles_is_given_up() {
    let server = start(Limits { body_stall: SHORT, ..patient() }, measure).await;
    let mut client = server.connect().await;
    client.send("POST / HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n").await;
    let (reading, mut writing) = tokio::io::split(client.stream);
    let mut client = super::world::Raw::new(tokio::io::join(reading, tokio::io::sink()));
    let mut ticks = interval(SHORT / 20);
    let sending = async {
        writing.write_all(b"4;").await.unwrap();
        loop {
            ticks.tick().await;
            let _closed = writing.write_all(b"e").await;
        }
    };
    tokio::select! {
        () = sending => {}
        late = client.answer() => assert_eq!(late.body, "Stalled"),
    }
}

#[tokio::test]
async fn a_body_that_is_slow_but_fast_enough_arrives() {
    let limits = Limits { rate_bytes: 10, rate_window: SHORT, body_stall: SHORT, ..patient() };
    let server = start(limits, measure).await;
    assert_eq!(dribble(&server, 500, &[7; 10], SHORT / 10).await, "500");
}

#[tokio::test]
async fn a_body_has_a_time_to_end_if_one_is_set() {
    let server = start(Limits { body_total: Some(SHORT), ..patient() }, measure).await;
    assert_eq!(dribble(&server, MIB, &[7; 100], SHORT / 20).await, "TooLate");
}

#[tokio::test]
async fn a_body_that_breaks_off_never_looks_complete() {
    let server = start(patient(), |_, request: Request<Body>| async move {
        let mut body = request.into_body();
        while let Ok(chunk) = body.chunk().await {
            assert!(chunk.is_some(), "it looks complete");
        }
        let mut broken = 0;
        for _ in 0..5 {
            broken += usize::from(matches!(body.chunk().await, Err(BodyError::Broken(_))));
        }
        answer(400, broken.to_string())
    })
    .await;
    let chunked = "transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n4\r\nha";
    for rest in
        ["content-length: 8\r\n\r\nhalf", chunked, "transfer-encoding: chunked\r\n\r\nz\r\n"]
    {
        let mut client = server.connect().await;
        client.send(format!("POST / HTTP/1.1\r\nhost: here\r\n{rest}")).await;
        client.stream.shutdown().await.unwrap();
        assert_eq!(client.answer().await.body, "5", "{rest}");
    }
}

#[tokio::test]
async fn trailers_are_ignored() {
    let server = start(patient(), measure).await;
    let mut client = server.connect().await;
    let body = "4\r\nfour\r\n0\r\nx-trailer: 1\r\n\r\n";
    let head = "POST / HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n";
    client.send([head, body].concat()).await;
    assert_eq!(client.answer().await.body, "4");
    assert_eq!(client.get().await.status, 200);
}

async fn read_ten(
    _: Peer,
    request: Request<Body>,
) -> http::Response<icefield_server::connection::ResponseBody> {
    let body = request.into_body();
    let announced = body.announced();
    match body.read_to_end(10).await {
        Ok(bytes) => answer(200, bytes),
        Err(error) => answer(413, format!("{error} {announced:?}")),
    }
}

#[tokio::test]
async fn a_small_body_is_read_whole_up_to_its_limit() {
    let server = start(patient(), read_ten).await;
    let mut client = server.connect().await;
    client.post(b"0123456789").await;
    assert_eq!(client.answer().await.body, "0123456789");
    client.post(b"0123456789a").await;
    assert_eq!(client.answer().await.body, "the body is too long Some(11)");
    let head = "POST / HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n";
    client.send([head, "4\r\nfour\r\n0\r\n\r\n"].concat()).await;
    assert_eq!(client.answer().await.body, "four");
    client.send([head, "b\r\n0123456789a\r\n0\r\n\r\n"].concat()).await;
    assert_eq!(client.answer().await.body, "the body is too long None");
}

#[tokio::test]
async fn too_long_a_body_is_refused_before_its_client_sends_it() {
    let server = start(Limits { drain_time: SHORT, ..patient() }, read_ten).await;
    let mut client = server.connect().await;
    let head =
        "POST / HTTP/1.1\r\nhost: here\r\nexpect: 100-continue\r\ncontent-length: 11\r\n\r\n";
    client.send(head).await;
    assert_eq!(client.answer().await.status, 413);
}

#[tokio::test]
async fn a_body_made_for_a_test_reads_like_one_that_came() {
    let whole = vec![7_u8; 3 * MIB];
    let mut body = Body::from_bytes(whole.clone());
    assert_eq!(body.announced(), Some(3 * MIB as u64));
    let mut read = Vec::new();
    while let Some(chunk) = body.chunk().await.unwrap() {
        assert!(chunk.bytes.len() <= Limits::default().window_bytes);
        read.extend_from_slice(&chunk.bytes);
    }
    assert!(read == whole);
    assert_eq!(Body::from_bytes("ten bytes!").read_to_end(10).await.unwrap(), "ten bytes!");
}

/// Waits until as many bytes are held as `full` says.
async fn filled(gauges: &Gauges, full: impl Fn(u64) -> bool + Send + Sync) {
    let mut ticks = interval(Duration::from_millis(1));
    let wait = async {
        while !full(gauges.bytes()) {
            ticks.tick().await;
        }
    };
    timeout(PATIENCE, wait).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_hold_no_more_than_the_budget_and_starve_nobody() {
    const WINDOW: usize = 64 * KIB;
    const HOARDERS: usize = 4;
    let (release, released) = watch::channel(false);
    let limits = Limits { budget_bytes: MIB, window_bytes: WINDOW, ..patient() };
    let server = start(limits, move |peer, request: Request<Body>| {
        let mut released = released.clone();
        async move {
            if request.uri().path() == "/" {
                return measure(peer, request).await;
            }
            let (mut body, mut kept, mut length) = (request.into_body(), Vec::new(), 0);
            loop {
                tokio::select! {
                    next = body.chunk() => match next.unwrap() {
                        Some(chunk) => {
                            length += chunk.bytes.len();
                            kept.push(chunk);
                        }
                        None => return answer(200, length.to_string()),
                    },
                    _ = released.wait_for(|released| *released) => kept.clear(),
                }
            }
        }
    })
    .await;
    let hoarding: Vec<_> = (0..HOARDERS)
        .map(|_| {
            let address = server.address;
            tokio::spawn(async move {
                let stream = tokio::net::TcpStream::connect(address).await.unwrap();
                let mut client = super::world::Raw::new(stream);
                let length = 8 * MIB;
                let head = format!(
                    "POST /hoard HTTP/1.1\r\nhost: here\r\ncontent-length: {length}\r\n\r\n"
                );
                client.send([head.as_bytes(), &vec![7; length]].concat()).await;
                client.answer().await.body
            })
        })
        .collect();
    filled(&server.gauges, |bytes| bytes > (MIB - WINDOW) as u64).await;

    // With nothing left of the budget, another upload still goes through, window by window.
    let mut modest = server.connect().await;
    modest.post(&vec![7; 8 * MIB]).await;
    assert_eq!(modest.answer().await.body, (8 * MIB).to_string());
    assert!(server.gauges.bytes() <= (MIB + (HOARDERS + 1) * WINDOW) as u64);
    assert!(hoarding.iter().all(|hoarder| !hoarder.is_finished()), "they wait for room");

    release.send(true).unwrap();
    for hoarder in hoarding {
        assert_eq!(timeout(PATIENCE, hoarder).await.unwrap().unwrap(), (8 * MIB).to_string());
    }
    filled(&server.gauges, |bytes| bytes == 0).await;
}
