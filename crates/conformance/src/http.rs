//! A small HTTP/1.1 client that sends exactly the bytes it is given, right or wrong, and keeps every byte that comes.
//!
//! Ordinary clients repair what they are given (lengths, paths, duplicate headers) and hide what comes (order, case,
//! duplicates); this one does neither. One request per connection, unless a [`Connection`] is kept.

use std::fmt;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, tcp};
use tokio::time::timeout;

/// Longest time for an answer: longer than any limit a server may sensibly have for a stalled head or body here.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Longest head and longest body of an answer that is kept.
const MAX_HEAD_BYTES: usize = 64 << 10;
const MAX_BODY_BYTES: usize = 64 << 20;

/// How long an answer without any length may go on.
const UNFRAMED: Duration = Duration::from_secs(2);

/// How the body of a request is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// With the head.
    Whole,
    /// After the server has asked for it (`Expect: 100-continue`); not at all when it answers something else.
    AfterContinue,
    /// Only the first bytes, then the sending side is closed.
    CutAfter(usize),
    /// Only the first bytes; the sending side stays open.
    StallAfter(usize),
}

/// An answer as it came.
#[derive(Clone, Debug)]
pub struct RawAnswer {
    /// Status code.
    pub status: u16,
    /// Header fields in order of arrival, names as sent.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// Statuses of the interim answers before it.
    pub interim: Vec<u16>,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum NoAnswer {
    /// The server closed the connection without one.
    Closed,
    /// None came in time.
    Timeout,
    /// What came is not HTTP.
    Garbled(String),
    /// The connection could not be made, or it broke.
    Broken(std::io::Error),
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the connection was closed without an answer"),
            Self::Timeout => f.write_str("no answer came in time"),
            Self::Garbled(what) => write!(f, "not an HTTP answer: {what}"),
            Self::Broken(error) => write!(f, "the connection broke: {error}"),
        }
    }
}

impl From<std::io::Error> for NoAnswer {
    fn from(error: std::io::Error) -> Self {
        Self::Broken(error)
    }
}

/// A connection, for more than one request.
#[derive(Debug)]
pub struct Connection {
    read: tcp::OwnedReadHalf,
    write: tcp::OwnedWriteHalf,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects to `host:port`.
    ///
    /// # Errors
    ///
    /// When nothing listens there.
    pub async fn open(authority: &str) -> Result<Self, NoAnswer> {
        let stream = timeout(ANSWER_TIMEOUT, TcpStream::connect(authority)).await;
        let stream = stream.map_err(|_| NoAnswer::Timeout)??;
        stream.set_nodelay(true)?;
        let (read, write) = stream.into_split();
        Ok(Self { read, write, buffer: Vec::new() })
    }

    /// Sends bytes, whatever they are.
    ///
    /// # Errors
    ///
    /// When the connection is broken.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), NoAnswer> {
        Ok(self.write.write_all(bytes).await?)
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub async fn send(
        &mut self,
        head: &[u8],
        body: &[u8],
        delivery: Delivery,
    ) -> Result<RawAnswer, NoAnswer> {
        let is_head = head.starts_with(b"HEAD ");
        let exchange = async {
            match delivery {
                Delivery::Whole => self.deliver(&[head, body].concat(), is_head).await,
                Delivery::AfterContinue => self.deliver_on_request(head, body, is_head).await,
                Delivery::CutAfter(length) => {
                    self.write(head).await?;
                    self.write(&body[..length]).await?;
                    self.write.shutdown().await?;
                    self.answer(is_head).await
                }
                Delivery::StallAfter(length) => {
                    self.write(head).await?;
                    self.write(&body[..length]).await?;
                    self.answer(is_head).await
                }
            }
        };
        timeout(ANSWER_TIMEOUT, exchange).await.unwrap_or(Err(NoAnswer::Timeout))
    }

    /// Reads one answer.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub async fn receive(&mut self) -> Result<RawAnswer, NoAnswer> {
        timeout(ANSWER_TIMEOUT, self.answer(false)).await.unwrap_or(Err(NoAnswer::Timeout))
    }

    /// Reads the head of one answer, which may be an interim one, and returns its status.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub async fn interim(&mut self) -> Result<u16, NoAnswer> {
        let head = timeout(ANSWER_TIMEOUT, head_of(&mut self.read, &mut self.buffer)).await;
        Ok(head.map_err(|_| NoAnswer::Timeout)??.0)
    }

    /// Sends while listening: a server that refuses early need not read the rest.
    async fn deliver(&mut self, bytes: &[u8], is_head: bool) -> Result<RawAnswer, NoAnswer> {
        let Self { read, write, buffer } = self;
        let mut answering = Box::pin(answer(read, buffer, is_head));
        tokio::select! {
            early = &mut answering => early,
            // A server that has refused may close its side; the answer counts, not the failure to send.
            _sent = write.write_all(bytes) => answering.await,
        }
    }

    async fn deliver_on_request(
        &mut self,
        head: &[u8],
        body: &[u8],
        is_head: bool,
    ) -> Result<RawAnswer, NoAnswer> {
        self.write(head).await?;
        let first = head_of(&mut self.read, &mut self.buffer).await?;
        if first.0 != 100 {
            return body_of(&mut self.read, &mut self.buffer, first, vec![], is_head).await;
        }
        let mut answer = self.deliver(body, is_head).await?;
        answer.interim.insert(0, 100);
        Ok(answer)
    }

    async fn answer(&mut self, is_head: bool) -> Result<RawAnswer, NoAnswer> {
        answer(&mut self.read, &mut self.buffer, is_head).await
    }
}

type Head = (u16, Vec<(String, String)>);

async fn answer(
    read: &mut tcp::OwnedReadHalf,
    buffer: &mut Vec<u8>,
    is_head: bool,
) -> Result<RawAnswer, NoAnswer> {
    let mut interim = Vec::new();
    loop {
        let head = head_of(read, buffer).await?;
        if head.0 >= 200 {
            return body_of(read, buffer, head, interim, is_head).await;
        }
        interim.push(head.0);
    }
}

async fn head_of(read: &mut tcp::OwnedReadHalf, buffer: &mut Vec<u8>) -> Result<Head, NoAnswer> {
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        if buffer.len() > MAX_HEAD_BYTES {
            return Err(NoAnswer::Garbled("the head does not end".to_owned()));
        }
        if read.read_buf(buffer).await? == 0 {
            return Err(if buffer.is_empty() {
                NoAnswer::Closed
            } else {
                NoAnswer::Garbled("the head was cut off".to_owned())
            });
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    buffer.drain(..end + 4);
    parse_head(&head).ok_or(NoAnswer::Garbled(head))
}

fn parse_head(head: &str) -> Option<Head> {
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let fields = lines.map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_owned(), value.trim().to_owned()))
    });
    Some((status, fields.collect::<Option<_>>()?))
}

async fn body_of(
    read: &mut tcp::OwnedReadHalf,
    buffer: &mut Vec<u8>,
    (status, headers): Head,
    interim: Vec<u16>,
    is_head: bool,
) -> Result<RawAnswer, NoAnswer> {
    let field = |wanted: &str| headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
    let length = match field("content-length") {
        Some((_, text)) => Some(text.parse().map_err(|_| NoAnswer::Garbled(text.clone()))?),
        None if is_head || status == 204 || status == 304 => Some(0),
        None => None,
    };
    let length = if is_head { Some(0) } else { length };
    let body = match length {
        Some(length) => exactly(read, buffer, length).await?,
        None => {
            // Judged later: an answer with a body must have a length.
            let _until_closed = timeout(UNFRAMED, read.read_to_end(buffer)).await;
            std::mem::take(buffer)
        }
    };
    Ok(RawAnswer { status, headers, body, interim })
}

async fn exactly(
    read: &mut tcp::OwnedReadHalf,
    buffer: &mut Vec<u8>,
    length: usize,
) -> Result<Vec<u8>, NoAnswer> {
    if length > MAX_BODY_BYTES {
        return Err(NoAnswer::Garbled(format!("a body of {length} bytes")));
    }
    while buffer.len() < length {
        if read.read_buf(buffer).await? == 0 {
            let came = buffer.len();
            return Err(NoAnswer::Garbled(format!("{came} of {length} bytes of body came")));
        }
    }
    let rest = buffer.split_off(length);
    Ok(std::mem::replace(buffer, rest))
}
