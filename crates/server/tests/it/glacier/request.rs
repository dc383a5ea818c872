//! Requests written by hand and answers kept as they came.

use std::{
    fmt::{self, Write as _},
    net::SocketAddr,
};

use icefield_protocol::{
    LinearHash, Timestamp,
    sigv4::{AccessKeyId, RequestHead, RequestTime, SecretKey, Signer},
};
use icefield_treehash::TreeHash;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Who signs, and what for.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) access_key: AccessKeyId,
    pub(crate) secret: SecretKey,
    pub(crate) region: String,
    pub(crate) service: String,
}

/// A request to be signed and sent.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) server: SocketAddr,
    pub(crate) identity: Option<Identity>,
    pub(crate) time: Timestamp,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    /// Headers that are sent, but not signed.
    pub(crate) unsigned: Vec<String>,
    pub(crate) body: Vec<u8>,
}

impl Ask {
    /// Sets a header, in the place of one of that name.
    pub(crate) fn header(self, name: &str, value: impl ToString) -> Self {
        let mut ask = self.without(name);
        ask.headers.push((name.to_owned(), value.to_string()));
        ask
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(one, _)| one != name);
        self
    }

    pub(crate) fn unsigned(mut self, name: &str) -> Self {
        self.unsigned.push(name.to_owned());
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        let length = self.body.len();
        self.header("content-length", length)
    }

    /// Sets the body of an upload and the hashes that go with it.
    pub(crate) fn payload(self, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let leaves = body.chunks(1 << 20).map(TreeHash::of_leaf);
        let tree_hash = TreeHash::combine(leaves);
        let linear = LinearHash::of(&body);
        self.header("x-amz-content-sha256", linear)
            .header("x-amz-sha256-tree-hash", tree_hash)
            .body(body)
    }

    pub(crate) fn signed_by(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Returns the head as it is sent, its empty line included.
    pub(crate) fn head(&self) -> String {
        let time = RequestTime::of(self.time).to_string();
        let mut headers = vec![("host".to_owned(), "glacier.example".to_owned())];
        headers.push(("x-amz-date".to_owned(), time));
        headers.extend(self.headers.iter().cloned());
        if let Some(identity) = &self.identity {
            let authorization = self.authorization(identity, &headers);
            headers.push(("authorization".to_owned(), authorization));
        }
        headers.push(("connection".to_owned(), "close".to_owned()));
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        head + "\r\n"
    }

    fn authorization(&self, identity: &Identity, headers: &[(String, String)]) -> String {
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        let pairs = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let head = RequestHead { method: &self.method, path, query, headers: pairs.collect() };
        let announced = headers.iter().find(|(name, _)| name == "x-amz-content-sha256");
        let hash = announced
            .map_or_else(|| LinearHash::of(&self.body).to_string(), |(_, value)| value.clone());
        let names = headers.iter().map(|(name, _)| name.as_str());
        let names: Vec<&str> =
            names.filter(|name| !self.unsigned.iter().any(|one| one == name)).collect();
        let Identity { access_key, secret, region, service } = identity;
        let signer = Signer { access_key, secret, region, service };
        signer.authorize(&head, &names, self.time, &hash)
    }

    pub(crate) async fn send(&self) -> Answer {
        let mut open = self.begin().await;
        open.write(&self.body).await;
        open.answer().await
    }

    /// Sends the head and leaves the body to the test.
    pub(crate) async fn begin(&self) -> Open {
        self.begin_with(&self.head()).await
    }

    /// Sends another head.
    pub(crate) async fn begin_with(&self, head: &str) -> Open {
        let mut stream = TcpStream::connect(self.server).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        Open(stream)
    }
}

/// A request whose head was sent.
#[derive(Debug)]
pub(crate) struct Open(TcpStream);

impl Open {
    /// Sends bytes; a server that has answered already need not take them.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        let _refused = self.0.write_all(bytes).await;
    }

    /// Waits for the word to send the body.
    pub(crate) async fn wait_for_continue(&mut self) {
        let mut interim = [0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
        self.0.read_exact(&mut interim).await.unwrap();
        assert!(interim.starts_with(b"HTTP/1.1 100 "));
    }

    /// Goes away in the middle, and waits until the server has noticed.
    pub(crate) async fn leave(mut self) {
        self.0.shutdown().await.unwrap();
        let mut rest = Vec::new();
        let _reset = self.0.read_to_end(&mut rest).await;
    }

    /// Reads the answer to the end of the connection.
    pub(crate) async fn answer(mut self) -> Answer {
        let mut bytes = Vec::new();
        let _reset = self.0.read_to_end(&mut bytes).await;
        Answer::parse(&bytes)
    }
}

/// An answer.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl fmt::Debug for Answer {
    /// Shows the body as text: most of them are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = String::from_utf8_lossy(&self.body);
        write!(f, "{} {:?} {body}", self.status, self.headers)
    }
}

impl Answer {
    fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no head: {:?}", String::from_utf8_lossy(bytes)));
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .map(|line| line.split_once(": ").unwrap_or((line, "")))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
        Self { status, headers: headers.collect(), body: bytes[end + 4..].to_vec() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str())
    }

    /// Returns a header that must be there.
    #[track_caller]
    pub(crate) fn told(&self, name: &str) -> String {
        self.header(name).unwrap_or_else(|| panic!("no {name}: {self:?}")).to_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Returns code and message of a refusal whose headers agree with its body.
    #[track_caller]
    pub(crate) fn refusal(&self) -> (u16, String, String) {
        let body = self.json();
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        assert_eq!(self.told("x-amzn-errortype"), text("code"));
        assert_eq!(self.told("content-type"), "application/json");
        (self.status, text("code"), text("message"))
    }

    #[track_caller]
    pub(crate) fn assert_refused(&self, status: u16, code: &str, message: &str) {
        assert_eq!(self.refusal(), (status, code.to_owned(), message.to_owned()));
    }
}
