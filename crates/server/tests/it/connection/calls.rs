//! What becomes of a call when something happens to its connection.

use std::sync::Arc;
use std::time::Duration;

use http::Request;
use icefield_server::connection::{Body, Limits, Peer};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::timeout;

use super::world::{PATIENCE, SHORT, answer, length, measure, patient, start};

/// Says when it is dropped.
struct Witness(Option<oneshot::Sender<()>>);

impl Drop for Witness {
    fn drop(&mut self) {
        let _nobody_listens = self.0.take().unwrap().send(());
    }
}

#[tokio::test]
async fn a_call_that_has_its_body_runs_to_its_end_without_its_client() {
    let (begun, mut begins) = mpsc::unbounded_channel();
    let (done, mut ends) = mpsc::unbounded_channel();
    let go_on = Arc::new(Notify::new());
    let wait = Arc::clone(&go_on);
    let server = start(patient(), move |_, request: Request<Body>| {
        let (begun, done, wait) = (begun.clone(), done.clone(), Arc::clone(&wait));
        async move {
            let length = length(&mut request.into_body()).await.unwrap();
            begun.send(()).unwrap();
            wait.notified().await;
            done.send(length).unwrap();
            answer(201, "")
        }
    })
    .await;
    let mut client = server.connect().await;
    client.post(b"four").await;
    timeout(PATIENCE, begins.recv()).await.unwrap().unwrap();
    // Closing with a reset is the rudest way to go.
    client.stream.set_zero_linger().unwrap();
    drop(client);
    // Another request shows that the server has had time to notice.
    let mut other = server.connect().await;
    other.post(b"12345").await;
    timeout(PATIENCE, begins.recv()).await.unwrap().unwrap();
    go_on.notify_one();
    go_on.notify_one();
    let first = timeout(PATIENCE, ends.recv()).await.unwrap().unwrap();
    go_on.notify_one();
    let second = timeout(PATIENCE, ends.recv()).await.unwrap().unwrap();
    assert_eq!(first + second, 9);
}

#[tokio::test]
async fn a_call_that_lacks_its_body_is_cancelled_when_its_client_is_gone() {
    let (dropped, drops) = oneshot::channel();
    let witness = std::sync::Mutex::new(Some(Witness(Some(dropped))));
    let server =
        start(Limits { drain_time: SHORT, ..patient() }, move |_, request: Request<Body>| {
            let witness = witness.lock().unwrap().take().unwrap();
            async move {
                let _kept = (witness, request);
                std::future::pending().await
            }
        })
        .await;
    let mut client = server.connect().await;
    client.send("POST / HTTP/1.1\r\nhost: here\r\ncontent-length: 4\r\n\r\n").await;
    drop(client);
    timeout(PATIENCE, drops).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_call_that_panics_is_answered_and_the_connection_goes_on() {
    let server = start(patient(), |peer: Peer, request: Request<Body>| async move {
        assert!(request.uri().path() != "/panic", "as the test wants");
        measure(peer, request).await
    })
    .await;
    let mut client = server.connect().await;
    client.send("GET /panic HTTP/1.1\r\nhost: here\r\n\r\n").await;
    let failure = client.answer().await;
    assert_eq!((failure.status, failure.body.as_str()), (500, "refused with 500"));
    assert!(failure.head.contains("x-refused: yes"));
    assert_eq!(client.get().await.status, 200);
}

#[tokio::test]
async fn a_service_is_told_who_asks() {
    let server = start(patient(), |peer: Peer, _| async move {
        answer(200, format!("{} {}", peer.address, peer.secure))
    })
    .await;
    let mut client = server.connect().await;
    let address = client.stream.local_addr().unwrap();
    assert_eq!(client.get().await.body, format!("{address} false"));
}

#[tokio::test]
async fn a_slow_call_is_not_held_against_its_client() {
    let tiny = Duration::from_millis(20);
    let limits = Limits { header: tiny, body_stall: tiny, write_stall: tiny, ..patient() };
    let server = start(limits, |peer, request: Request<Body>| async move {
        let _waited = timeout(SHORT, std::future::pending::<()>()).await;
        measure(peer, request).await
    })
    .await;
    let mut client = server.connect().await;
    client.post(&[0; 1000]).await;
    assert_eq!(client.answer().await.body, "1000");
}
