//! A web hook: takes requests one at a time, answers each with the status it was given, and tells the test.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
    time::{Duration, timeout},
};

/// What was sent to it.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) head: String,
    pub(crate) body: Value,
}

impl Received {
    /// The value of a header.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        });
        found.unwrap_or_else(|| panic!("{name} is not in {}", self.head))
    }

    /// A member of the body.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.body[name].as_str().unwrap_or_default()
    }
}

/// A web hook on this machine.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    received: mpsc::UnboundedReceiver<Received>,
    task: JoinHandle<()>,
}

impl Receiver {
    /// Listens; `status` is the answer's first line after the version.
    pub(crate) async fn start(status: &str) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), status).await
    }

    pub(crate) async fn start_at(address: SocketAddr, status: &str) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, received) = mpsc::unbounded_channel();
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Some(request) = take(stream, &answer).await {
                    tell.send(request).unwrap();
                }
            }
        });
        Self { address, received, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Waits for a request.
    pub(crate) async fn next(&mut self) -> Received {
        let next = timeout(Duration::from_secs(30), self.received.recv()).await;
        next.expect("nothing came").unwrap()
    }

    /// Closes its port.
    pub(crate) async fn close(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }

    /// Returns a request that has come already.
    pub(crate) fn came(&mut self) -> Option<Received> {
        self.received.try_recv().ok()
    }
}

async fn take(stream: TcpStream, answer: &str) -> Option<Received> {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let mut request = Received { head, body: Value::Null };
    let mut body = vec![0; request.header("content-length").parse().unwrap()];
    stream.read_exact(&mut body).await.ok()?;
    request.body = serde_json::from_slice(&body).unwrap();
    stream.write_all(answer.as_bytes()).await.ok()?;
    Some(request)
}
