//! The bodies of responses, and clients that do not take them.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::Frame;
use http_body_util::BodyExt;
use icefield_server::connection::Limits;
use tokio::io::AsyncReadExt;
use tokio::net::TcpSocket;
use tokio::sync::mpsc;
use tokio::time::{interval, timeout};

use super::world::{PATIENCE, Raw, SHORT, patient, start};

const FRAME: usize = 64 << 10;

/// A body of many frames that counts those taken, ends with an error if it is told to, and says when it is dropped.
struct Long {
    frames: usize,
    breaks: bool,
    taken: Arc<AtomicUsize>,
    dropped: mpsc::UnboundedSender<()>,
}

impl http_body::Body for Long {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.frames == 0 {
            return Poll::Ready(self.breaks.then(|| Err(std::io::Error::other("broken"))));
        }
        self.frames -= 1;
        self.taken.fetch_add(1, SeqCst);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![7; FRAME])))))
    }
}

impl Drop for Long {
    fn drop(&mut self) {
        let _nobody_listens = self.dropped.send(());
    }
}

struct Scene {
    server: super::world::Running,
    taken: Arc<AtomicUsize>,
    drops: mpsc::UnboundedReceiver<()>,
}

async fn scene(limits: Limits, frames: usize, breaks: bool) -> Scene {
    let taken = Arc::new(AtomicUsize::new(0));
    let (dropped, drops) = mpsc::unbounded_channel();
    let count = Arc::clone(&taken);
    let server = start(limits, move |_, _| {
        let (taken, dropped) = (Arc::clone(&count), dropped.clone());
        async move { Response::new(Long { frames, breaks, taken, dropped }.boxed_unsync()) }
    })
    .await;
    Scene { server, taken, drops }
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_closed_and_little_was_held_for_it() {
    let mut scene = scene(Limits { write_stall: SHORT, ..patient() }, 100_000, false).await;
    // The client's system takes little, so all the rest would be held on the server's side.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 << 10).unwrap();
    let mut client = Raw::new(socket.connect(scene.server.address).await.unwrap());
    client.send("GET / HTTP/1.1\r\nhost: here\r\n\r\n").await;
    timeout(PATIENCE, scene.drops.recv()).await.unwrap().unwrap();
    let held = scene.taken.load(SeqCst) * FRAME;
    let window = Limits::default().window_bytes;
    assert!(held <= 4 * window, "{held} bytes");
    let mut rest = Vec::new();
    let _reset = timeout(PATIENCE, client.stream.read_to_end(&mut rest)).await.unwrap();
}

#[tokio::test]
async fn a_client_that_sips_is_closed() {
    let limits = Limits { rate_bytes: 100 << 20, rate_window: SHORT, ..patient() };
    let mut scene = scene(limits, 100_000, false).await;
    let mut client = scene.server.connect().await;
    client.send("GET / HTTP/1.1\r\nhost: here\r\n\r\n").await;
    let mut ticks = interval(SHORT / 10);
    let mut block = vec![0; 4096];
    let sip = async {
        loop {
            ticks.tick().await;
            let _closed = client.stream.read(&mut block).await;
        }
    };
    tokio::select! {
        () = sip => {}
        dropped = timeout(PATIENCE, scene.drops.recv()) => dropped.unwrap().unwrap(),
    }
}

#[tokio::test]
async fn a_client_that_takes_all_gets_all() {
    let limits = Limits { write_stall: SHORT * 20, ..patient() };
    let scene = scene(limits, 2000, false).await;
    let mut client = scene.server.connect().await;
    client.send("GET / HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n").await;
    let mut all = Vec::new();
    timeout(PATIENCE, client.stream.read_to_end(&mut all)).await.unwrap().unwrap();
    assert!(all.ends_with(b"\r\n0\r\n\r\n"));
    assert!(all.len() > 2000 * FRAME);
}

#[tokio::test]
async fn a_response_that_breaks_off_does_not_look_complete() {
    let scene = scene(patient(), 3, true).await;
    let mut client = scene.server.connect().await;
    client.send("GET / HTTP/1.1\r\nhost: here\r\n\r\n").await;
    let mut all = Vec::new();
    let _reset = timeout(PATIENCE, client.stream.read_to_end(&mut all)).await.unwrap();
    assert!(!all.ends_with(b"0\r\n\r\n"));
}
