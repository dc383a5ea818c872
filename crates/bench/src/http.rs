//! A client that costs next to nothing: a prepared head, a body from memory, and an answer of which little is kept.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;

/// Bytes that are read from the socket at a time.
const READ_BYTES: usize = 256 << 10;

/// A request, ready to be sent as often as wanted.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Request line and header fields, with the empty line at their end.
    pub(crate) head: String,
    pub(crate) body: Bytes,
}

/// What is kept of an answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: Vec<(String, String)>,
    /// How long the body was.
    pub(crate) length: u64,
    /// The body, of an answer with little.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Result<&str> {
        let found = self.head.iter().find(|(given, _)| given == name);
        found.map(|(_, value)| value.as_str()).with_context(|| format!("no header {name}"))
    }

    /// Refuses all but the answers of success.
    pub(crate) fn success(self) -> Result<Self> {
        let text = String::from_utf8_lossy(&self.body);
        ensure!((200..300).contains(&self.status), "the server answered {}: {text}", self.status);
        Ok(self)
    }
}

/// A connection for many requests, one after the other; opened again when the server closes it between two.
#[derive(Debug)]
pub(crate) struct Connection {
    address: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
    /// Bytes of a body that are kept; of a longer one none are.
    most: u64,
}

impl Connection {
    pub(crate) fn to(address: SocketAddr) -> Self {
        Self { address, stream: None, most: 1 << 20 }
    }

    pub(crate) fn send(&mut self, request: &Request) -> Result<Answer> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(self.address)?;
                stream.set_nodelay(true)?;
                BufReader::with_capacity(READ_BYTES, stream)
            }
        };
        // A small body goes with its head: two packets would be two system calls on both sides.
        let small = request.body.len() <= 64 << 10;
        if small {
            let whole = [request.head.as_bytes(), &request.body].concat();
            stream.get_mut().write_all(&whole)?;
        } else {
            stream.get_mut().write_all(request.head.as_bytes())?;
            stream.get_mut().write_all(&request.body)?;
        }
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status: u16 = status.with_context(|| format!("no answer but {line:?}"))?;
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line)?;
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            let Some((name, value)) = line.split_once(':') else { bail!("no header: {line}") };
            head.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Answer { status, head, length: 0, body: Vec::new() };
        if let Ok(length) = answer.header("content-length") {
            answer.length = length.parse()?;
        }
        let mut rest = answer.length;
        if rest <= self.most {
            answer.body = vec![0; usize::try_from(rest)?];
            stream.read_exact(&mut answer.body)?;
            rest = 0;
        }
        while rest > 0 {
            let come = stream.fill_buf()?.len();
            ensure!(come > 0, "the answer broke off");
            let taken = come.min(usize::try_from(rest).unwrap_or(usize::MAX));
            stream.consume(taken);
            rest -= taken as u64;
        }
        let closes = answer.header("connection").is_ok_and(|value| value == "close");
        if !closes && !line.starts_with("HTTP/1.0") {
            self.stream = Some(stream);
        }
        Ok(answer)
    }
}
