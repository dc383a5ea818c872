//! The proxy in front of a server that does as it is told.

use std::sync::{Arc, Mutex};

use icefield_protocol::{ErrorCode, Operation};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
};

use super::{
    Fault, Moment, Plan, Proxy, Reached, Refusal,
    message::{Body, Incoming},
};
use crate::http::{Connection, Delivery, NoAnswer, RawAnswer};

const PART: &str = "PUT /-/vaults/v/multipart-uploads/u HTTP/1.1\r\n";
const ARCHIVE: &str = "POST /-/vaults/v/archives HTTP/1.1\r\n";
const OUTPUT: &str = "GET /-/vaults/v/jobs/j/output HTTP/1.1\r\n";
const JOBS: &str = "GET /-/vaults/v/jobs HTTP/1.1\r\n";
const STORED: &str = "HTTP/1.1 204 No Content\r\nx-amz-sha256-tree-hash: 00\r\n\r\n";
const LISTED: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\n{  }";

/// What the upstream has read of a request: its first line, and how much of its body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Heard {
    first: String,
    body: Vec<u8>,
    whole: bool,
}

/// A server that gives every request the same answer.
struct Upstream {
    proxy: Proxy,
    heard: Arc<Mutex<Vec<Heard>>>,
    /// Told of each request that has been read as far as it came.
    reading_ended: Arc<Notify>,
    serving: JoinHandle<()>,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Upstream {
    async fn that_answers(answer: impl Into<Vec<u8>>) -> Self {
        Self::start(answer.into(), true).await
    }

    /// One that answers before it has read the body.
    async fn that_answers_early(answer: impl Into<Vec<u8>>) -> Self {
        Self::start(answer.into(), false).await
    }

    async fn start(answer: Vec<u8>, reads_body: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy::start(listener.local_addr().unwrap()).await.unwrap();
        let heard: Arc<Mutex<Vec<Heard>>> = Arc::default();
        let reading_ended = Arc::new(Notify::new());
        let (notes, ended) = (Arc::clone(&heard), Arc::clone(&reading_ended));
        let serving = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (answer, notes, ended) =
                    (answer.clone(), Arc::clone(&notes), Arc::clone(&ended));
                tokio::spawn(async move {
                    let (mut stream, request) = read(stream, reads_body).await;
                    let answers = request.whole || !reads_body;
                    notes.lock().unwrap().push(request);
                    ended.notify_one();
                    if answers {
                        drop(stream.write_all(&answer).await);
                    }
                    // What was not read when a connection is closed would take the answer with it.
                    drop(stream.shutdown().await);
                    drop(tokio::io::copy(&mut stream, &mut tokio::io::sink()).await);
                });
            }
        });
        Self { proxy, heard, reading_ended, serving }
    }

    /// Sends one request on a connection of its own, with a body of this length.
    async fn send(&self, first: &str, length: usize) -> Result<RawAnswer, NoAnswer> {
        self.connect().await.ask(first, length).await
    }

    async fn connect(&self) -> Client {
        Client(Connection::open(&self.proxy.address().to_string()).await.unwrap())
    }

    /// Does this to the next request, and nothing to those after it.
    fn next(&self, fault: Fault) {
        self.proxy.follow(move |_, _: &_| Some(fault.clone()), 1);
    }

    async fn last_heard(&self) -> Heard {
        self.reading_ended.notified().await;
        self.heard.lock().unwrap().last().unwrap().clone()
    }

    fn last(&self) -> super::Exchange {
        self.proxy.log().exchanges().last().unwrap().clone()
    }
}

struct Client(Connection);

impl Client {
    async fn ask(&mut self, first: &str, length: usize) -> Result<RawAnswer, NoAnswer> {
        let head = match length {
            0 => format!("{first}Host: x\r\n\r\n"),
            _ => format!(
                "{first}Content-Range: bytes 0-{}/*\r\nContent-Length: {length}\r\n\r\n",
                length - 1
            ),
        };
        self.0.send(head.as_bytes(), &bytes(length), Delivery::Whole).await
    }
}

fn bytes(length: usize) -> Vec<u8> {
    crate::bytes::bytes(1, length)
}

async fn read(stream: TcpStream, reads_body: bool) -> (TcpStream, Heard) {
    let mut heard = Heard::default();
    let mut incoming = Incoming::new(stream);
    if let Ok(Some(head)) = incoming.head().await {
        heard.first = format!("{}\r\n", head.first);
        let mut body = head.request_body().unwrap();
        heard.whole = reads_body;
        while body != Body::Length(0) && reads_body {
            match incoming.piece(&mut body).await {
                Ok(piece) => heard.body.extend(piece.unwrap_or_default()),
                Err(_) => {
                    heard.whole = false;
                    break;
                }
            }
        }
    }
    (incoming.into_inner(), heard)
}

#[tokio::test]
async fn what_is_left_alone_passes_unchanged_and_counts_as_acknowledged() {
    let upstream = Upstream::that_answers(STORED).await;
    let mut client = upstream.connect().await;
    for _ in 0..2 {
        let answer = client.ask(PART, 100_000).await.unwrap();
        assert_eq!(answer.status, 204);
        assert_eq!(answer.headers, [("x-amz-sha256-tree-hash".to_owned(), "00".to_owned())]);
        let heard = upstream.last_heard().await;
        assert_eq!(heard, Heard { first: PART.to_owned(), body: bytes(100_000), whole: true });
    }
    let log = upstream.proxy.log();
    assert_eq!(log.acknowledged(Operation::UploadMultipartPart), 2);
    let [first, second] = log.exchanges() else { panic!("{log}") };
    assert_eq!((first.read, second.read), (true, false), "{log}");
    assert_eq!(first.connection, second.connection);
    assert!(first.is_before(second) && !second.is_before(first));
}

#[tokio::test]
async fn a_request_that_is_cut_reaches_the_upstream_as_far_as_was_said() {
    let upstream = Upstream::that_answers(STORED).await;
    let half = Moment::InRequest(u16::MAX / 2);
    for (moment, passed) in [(half, 49_998), (Moment::LastByteOfRequest, 99_999)] {
        upstream.next(Fault::Cut(moment));
        let answer = upstream.send(PART, 100_000).await;
        assert!(answer.is_err(), "{answer:?}");
        let heard = upstream.last_heard().await;
        assert_eq!((heard.body.len(), heard.whole), (passed, false), "{moment:?}");
        assert_eq!(upstream.last().reached, Reached::Lost);
        assert!(upstream.last().answered.is_none());
    }
    upstream.next(Fault::Cut(Moment::RequestPassed));
    assert!(upstream.send(PART, 100_000).await.is_err());
    let heard = upstream.last_heard().await;
    assert!(heard.whole, "nobody waits for the answer, but all was sent");
    assert_eq!(upstream.proxy.log().acknowledged(Operation::UploadMultipartPart), 0);
}

#[tokio::test]
async fn a_request_without_a_body_is_cut_in_its_head() {
    let upstream = Upstream::that_answers(LISTED).await;
    for moment in [Moment::InRequest(u16::MAX), Moment::InRequest(0), Moment::LastByteOfRequest] {
        upstream.next(Fault::Cut(moment));
        assert!(upstream.send(JOBS, 0).await.is_err());
        assert_eq!(upstream.last_heard().await, Heard::default(), "{moment:?}");
    }
}

#[tokio::test]
async fn a_request_that_is_cut_at_once_is_never_heard_of() {
    let upstream = Upstream::that_answers(STORED).await;
    upstream.next(Fault::Cut(Moment::HeadCame));
    assert!(upstream.send(PART, 100_000).await.is_err());
    assert!(upstream.heard.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_lost_answer_is_known_to_the_upstream_alone() {
    let upstream = Upstream::that_answers(LISTED).await;
    for moment in [
        Moment::AnswerCame,
        Moment::InAnswer(30_000),
        Moment::InAnswer(0),
        Moment::LastByteOfAnswer,
    ] {
        upstream.next(Fault::Cut(moment));
        let answer = upstream.send(JOBS, 0).await;
        assert!(matches!(answer, Err(NoAnswer::Closed | NoAnswer::Garbled(_))), "{answer:?}");
        let last = upstream.last();
        assert_eq!((last.is_done(), last.is_acknowledged()), (true, false), "{last}");
    }
}

#[tokio::test]
async fn a_connection_that_is_cut_after_the_answer_has_brought_it() {
    let upstream = Upstream::that_answers(LISTED).await;
    upstream.next(Fault::Cut(Moment::AnswerPassed));
    let mut client = upstream.connect().await;
    assert_eq!(client.ask(JOBS, 0).await.unwrap().body, b"{  }");
    assert!(upstream.last().is_acknowledged());
    assert!(client.ask(JOBS, 0).await.is_err());
}

#[tokio::test]
async fn a_refusal_comes_from_the_proxy_and_the_upstream_hears_nothing() {
    let upstream = Upstream::that_answers(STORED).await;
    let mut client = upstream.connect().await;
    for refusal in Refusal::passing() {
        upstream.next(Fault::Refused { refusal: refusal.clone(), early: false });
        let answer = client.ask(PART, 100_000).await.unwrap();
        assert_eq!(answer.status, refusal.status);
    }
    assert!(upstream.heard.lock().unwrap().is_empty());
    assert_eq!(client.ask(PART, 100_000).await.unwrap().status, 204, "the connection is kept");
}

#[tokio::test]
async fn an_early_refusal_arrives_although_nobody_has_read_the_body() {
    let upstream = Upstream::that_answers(STORED).await;
    upstream.next(Fault::Refused { refusal: Refusal::throttled(), early: true });
    let mut client = upstream.connect().await;
    let answer = client.ask(PART, 4 << 20).await.unwrap();
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((answer.status, &body["code"]), (400, &ErrorCode::Throttling.as_str().into()));
    assert!(client.ask(PART, 1).await.is_err());
}

#[tokio::test]
async fn another_answer_takes_the_place_of_the_upstreams() {
    let upstream = Upstream::that_answers(STORED).await;
    upstream.next(Fault::Replaced(Refusal::internal()));
    assert_eq!(upstream.send(ARCHIVE, 10).await.unwrap().status, 500);
    assert!(upstream.last_heard().await.whole);
    let last = upstream.last();
    assert_eq!((last.is_done(), last.reached), (true, Reached::Refused), "{last}");
}

fn output(kind: &str) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: 100000\r\n\r\n");
    [head.into_bytes(), bytes(100_000)].concat()
}

#[tokio::test]
async fn one_bit_of_a_downloaded_archive_is_another_one() {
    let upstream = Upstream::that_answers(output("application/octet-stream")).await;
    for share in [0, 30_000, u16::MAX] {
        upstream.next(Fault::Flipped(share));
        let answer = upstream.send(OUTPUT, 0).await.unwrap();
        let pairs = answer.body.iter().zip(bytes(100_000));
        let changed: u32 = pairs.map(|(came, sent)| (came ^ sent).count_ones()).sum();
        assert_eq!((answer.body.len(), changed), (100_000, 1));
        assert_eq!(upstream.last().reached, Reached::Damaged);
    }
}

#[tokio::test]
async fn an_inventory_is_never_damaged_because_nobody_could_tell() {
    let upstream = Upstream::that_answers(output("application/json")).await;
    upstream.next(Fault::Flipped(100));
    assert_eq!(upstream.send(OUTPUT, 0).await.unwrap().body, bytes(100_000));
    assert!(upstream.last().is_acknowledged());
}

#[tokio::test]
async fn what_trickles_arrives_whole() {
    let upstream = Upstream::that_answers(output("application/octet-stream")).await;
    upstream.next(Fault::Trickled);
    assert_eq!(upstream.send(ARCHIVE, 100_000).await.unwrap().body, bytes(100_000));
    assert_eq!(upstream.last_heard().await.body, bytes(100_000));
}

#[tokio::test]
async fn an_answer_in_chunks_passes_to_its_end_and_the_connection_goes_on() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                   5;x=y\r\nabcde\r\n1\r\n\r\r\n0\r\nTrailer: t\r\n\r\n";
    let upstream = Upstream::that_answers(chunked).await;
    let mut stream = TcpStream::connect(upstream.proxy.address()).await.unwrap();
    for _ in 0..2 {
        stream.write_all(format!("{JOBS}\r\n").as_bytes()).await.unwrap();
        let mut came = vec![0; chunked.len()];
        tokio::io::AsyncReadExt::read_exact(&mut stream, &mut came).await.unwrap();
        assert_eq!(String::from_utf8(came).unwrap(), chunked);
    }
}

#[tokio::test]
async fn an_answer_that_comes_before_the_body_was_sent_is_passed_on() {
    let refused = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno";
    let upstream = Upstream::that_answers_early(refused).await;
    let answer = upstream.send(PART, 8 << 20).await.unwrap();
    assert_eq!((answer.status, answer.body), (400, b"no".to_vec()));
    assert_eq!(upstream.last().reached, Reached::Answered);
}

#[tokio::test]
async fn a_stall_ends_when_enough_others_have_been_answered() {
    let upstream = Upstream::that_answers(LISTED).await;
    // Held, so that the stall does not end for want of others.
    upstream.proxy.follow(
        |number, _: &_| match number {
            0 => Some(Fault::Held(Moment::HeadCame)),
            1 => Some(Fault::Stalled { at: Moment::AnswerCame, answers: 2 }),
            _ => None,
        },
        2,
    );
    let mut held = upstream.connect().await;
    let holding = tokio::spawn(async move { held.ask(JOBS, 0).await });
    upstream.proxy.held().await;
    let (mut stalled, mut other) = (upstream.connect().await, upstream.connect().await);
    let stalling = async {
        assert!(stalled.ask(JOBS, 0).await.is_err());
        upstream.proxy.release();
    };
    let others = async {
        for _ in 0..2 {
            other.ask(JOBS, 0).await.unwrap();
        }
    };
    tokio::join!(stalling, others);
    assert!(holding.await.unwrap().is_err());
}

#[tokio::test]
async fn what_is_held_stays_until_it_is_released() {
    let upstream = Upstream::that_answers(STORED).await;
    upstream.next(Fault::Held(Moment::AnswerCame));
    let mut client = upstream.connect().await;
    let asking = tokio::spawn(async move { client.ask(PART, 1000).await });
    upstream.proxy.held().await;
    assert_eq!(upstream.last().reached, Reached::UnderWay);
    assert!(upstream.last().is_done());
    upstream.proxy.release();
    assert!(asking.await.unwrap().is_err());
    assert_eq!(upstream.last().reached, Reached::Lost);
}

#[tokio::test]
async fn no_more_faults_come_than_were_asked_for() {
    let upstream = Upstream::that_answers(LISTED).await;
    upstream.proxy.follow(|_, _: &_| Some(Fault::Cut(Moment::HeadCame)), 3);
    for _ in 0..3 {
        assert!(upstream.send(JOBS, 0).await.is_err());
    }
    assert!(upstream.send(JOBS, 0).await.is_ok());
    assert_eq!((upstream.proxy.faults_left(), upstream.proxy.log().faults()), (0, 3));
}

#[tokio::test]
async fn a_part_that_is_sent_after_it_was_acknowledged_is_found() {
    let upstream = Upstream::that_answers(STORED).await;
    upstream.next(Fault::Cut(Moment::AnswerCame));
    assert!(upstream.send(PART, 10).await.is_err());
    upstream.send(PART, 10).await.unwrap();
    upstream.send(PART, 20).await.unwrap();
    assert!(upstream.proxy.log().parts_sent_again().is_empty(), "its first answer was lost");
    upstream.send(PART, 10).await.unwrap();
    let log = upstream.proxy.log();
    let again: Vec<_> =
        log.parts_sent_again().iter().map(|(one, two)| (one.number, two.number)).collect();
    assert_eq!(again, [(1, 3)], "{log}");
}

#[tokio::test]
async fn a_client_that_leaves_before_its_answer_has_not_got_it() {
    // An answer that never comes.
    let upstream = Upstream::that_answers("").await;
    let mut stream = TcpStream::connect(upstream.proxy.address()).await.unwrap();
    upstream.next(Fault::Trickled);
    stream.write_all(format!("{PART}Content-Length: 5\r\n\r\nabc").as_bytes()).await.unwrap();
    drop(stream);
    assert!(!upstream.last_heard().await.whole);
    upstream.proxy.quiet().await;
    assert_eq!(upstream.last().reached, Reached::ClientLeft);
}

#[test]
fn a_plan_may_be_a_function() {
    fn is_plan(_: impl Plan) {}
    is_plan(|_: u64, _: &super::Asked| None);
}
