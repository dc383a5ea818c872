//! HTTP/1.1 messages on their way through: where a head ends, where a body ends, and nothing else.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Longest head that is passed on.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// Longest line between two chunks.
const MAX_LINE_BYTES: usize = 4 << 10;
/// A body passes in pieces of at most this size.
const PIECE_BYTES: usize = 64 << 10;
/// How much of a message trickles a byte at a time, and in what pieces the rest follows.
const DRIPPING_BYTES: u64 = 600;
const TRICKLE_BYTES: usize = 1 << 10;

/// The reading side of a connection.
#[derive(Debug)]
pub(super) struct Incoming<R> {
    from: R,
    buffer: Vec<u8>,
}

/// The head of a request or an answer.
#[derive(Clone, Debug)]
pub(super) struct Head {
    /// As it came, with the empty line at its end.
    pub(super) raw: Vec<u8>,
    /// `PUT /-/vaults/v HTTP/1.1` or `HTTP/1.1 201 Created`.
    pub(super) first: String,
    pub(super) headers: Vec<(String, String)>,
}

/// What is left of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    Length(u64),
    /// In chunks; the next thing is this.
    Chunked(Next),
    /// Until the connection is closed.
    UntilClosed,
}

/// What comes next in a body of chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Size,
    /// This many bytes of data and of the line end after it.
    Data(u64),
    Trailer,
}

impl<R: AsyncRead + Unpin> Incoming<R> {
    pub(super) fn new(from: R) -> Self {
        Self { from, buffer: Vec::new() }
    }

    #[cfg(test)]
    pub(super) fn into_inner(self) -> R {
        self.from
    }

    /// Reads a head; nothing when the connection was closed before it began.
    pub(super) async fn head(&mut self) -> io::Result<Option<Head>> {
        let mut looked_at = 0;
        let end = loop {
            let found = self.buffer[looked_at..].windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(at) = found {
                break looked_at + at + 4;
            }
            looked_at = self.buffer.len().saturating_sub(3);
            if self.buffer.len() > MAX_HEAD_BYTES {
                return Err(invalid("the head does not end"));
            }
            if self.from.read_buf(&mut self.buffer).await? == 0 {
                let begun = !self.buffer.is_empty();
                return if begun { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(None) };
            }
        };
        let raw: Vec<u8> = self.buffer.drain(..end).collect();
        Head::parse(raw).map(Some)
    }

    /// Reads the next bytes of a body as they came; nothing at its end.
    pub(super) async fn piece(&mut self, body: &mut Body) -> io::Result<Option<Vec<u8>>> {
        match body {
            Body::Length(0) => Ok(None),
            Body::Length(left) => {
                let piece = self.at_most(*left).await?;
                *left -= piece.len() as u64;
                Ok(Some(piece))
            }
            Body::UntilClosed => match self.at_most(u64::MAX).await {
                Ok(piece) => Ok(Some(piece)),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    *body = Body::Length(0);
                    Ok(None)
                }
                Err(error) => Err(error),
            },
            Body::Chunked(next) => match *next {
                Next::Data(left) => {
                    let piece = self.at_most(left).await?;
                    let left = left - piece.len() as u64;
                    *next = if left == 0 { Next::Size } else { Next::Data(left) };
                    Ok(Some(piece))
                }
                Next::Size => {
                    let line = self.line().await?;
                    let size = chunk_size(&line).ok_or_else(|| invalid("no size of a chunk"))?;
                    *next = if size == 0 { Next::Trailer } else { Next::Data(size + 2) };
                    Ok(Some(line))
                }
                Next::Trailer => {
                    let line = self.line().await?;
                    if line == b"\r\n" {
                        *body = Body::Length(0);
                    }
                    Ok(Some(line))
                }
            },
        }
    }

    /// Reads on for as long as the other side stays; what comes meanwhile is kept.
    pub(super) async fn until_closed(&mut self) {
        while self.buffer.len() <= MAX_HEAD_BYTES {
            if !matches!(self.from.read_buf(&mut self.buffer).await, Ok(1..)) {
                return;
            }
        }
        std::future::pending::<()>().await;
    }

    async fn at_most(&mut self, most: u64) -> io::Result<Vec<u8>> {
        if self.buffer.is_empty() {
            let mut piece = Vec::with_capacity(PIECE_BYTES);
            if self.from.read_buf(&mut piece).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.buffer = piece;
        }
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(self.buffer.len());
        let rest = self.buffer.split_off(most);
        Ok(std::mem::replace(&mut self.buffer, rest))
    }

    /// Reads a line with its end.
    async fn line(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                return Ok(self.buffer.drain(..at + 2).collect());
            }
            if self.buffer.len() > MAX_LINE_BYTES {
                return Err(invalid("a line between chunks does not end"));
            }
            if self.from.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

fn chunk_size(line: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(line).ok()?;
    let digits = text.trim_end().split(';').next()?.trim();
    u64::from_str_radix(digits, 16).ok()?.checked_add(2)?.checked_sub(2)
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl Head {
    fn parse(raw: Vec<u8>) -> io::Result<Self> {
        let text = String::from_utf8_lossy(&raw);
        let mut lines = text.trim_end().split("\r\n");
        let first = lines.next().unwrap_or_default().to_owned();
        let field = |line: &str| {
            let (name, value) = line.split_once(':').ok_or_else(|| invalid("no header"))?;
            Ok((name.to_owned(), value.trim().to_owned()))
        };
        let headers = lines.map(field).collect::<io::Result<_>>()?;
        Ok(Self { raw, first, headers })
    }

    pub(super) fn field(&self, wanted: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.as_str())
    }

    /// Returns what body follows the head of a request.
    pub(super) fn request_body(&self) -> io::Result<Body> {
        Ok(self.framed()?.unwrap_or(Body::Length(0)))
    }

    /// Returns what body follows the head of the answer to a request with this method.
    pub(super) fn answer_body(&self, method: &str, status: u16) -> io::Result<Body> {
        if method == "HEAD" || status < 200 || status == 204 || status == 304 {
            return Ok(Body::Length(0));
        }
        Ok(self.framed()?.unwrap_or(Body::UntilClosed))
    }

    /// Returns the status of an answer.
    pub(super) fn status(&self) -> io::Result<u16> {
        let status = self.first.split(' ').nth(1).and_then(|text| text.parse().ok());
        status.ok_or_else(|| invalid("no status"))
    }

    /// Whether the connection ends after it.
    pub(super) fn closes(&self) -> bool {
        self.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    fn framed(&self) -> io::Result<Option<Body>> {
        if self.field("transfer-encoding").is_some_and(|value| value.ends_with("chunked")) {
            return Ok(Some(Body::Chunked(Next::Size)));
        }
        let length = self.field("content-length").map(str::parse).transpose();
        Ok(length.map_err(|_| invalid("no length"))?.map(Body::Length))
    }
}

/// The writing side of a connection for one message, which may end before the message does.
#[derive(Debug)]
pub(super) struct Outgoing<'a, W> {
    pub(super) to: &'a mut W,
    /// Bytes of the message that have been written.
    pub(super) written: u64,
    /// No more than this are.
    pub(super) limit: Option<u64>,
    /// The place of a byte that is written with one of its bits changed.
    pub(super) flip: Option<u64>,
    /// Whether it goes in the smallest pieces.
    pub(super) trickles: bool,
}

/// Whether a message goes on after a piece of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goes {
    On,
    /// The limit is reached.
    NoFurther,
}

impl<W: AsyncWrite + Unpin> Outgoing<'_, W> {
    pub(super) async fn write(&mut self, mut piece: Vec<u8>) -> io::Result<Goes> {
        let flipped = self.flip.and_then(|at| at.checked_sub(self.written));
        if let Some(byte) = flipped.and_then(|at| piece.get_mut(usize::try_from(at).ok()?)) {
            *byte ^= 0x10;
        }
        let room = self.limit.map_or(u64::MAX, |limit| limit - self.written);
        let most = usize::try_from(room).unwrap_or(usize::MAX).min(piece.len());
        self.pass(&piece[..most]).await?;
        let full = self.limit.is_some_and(|limit| self.written >= limit);
        Ok(if full { Goes::NoFurther } else { Goes::On })
    }

    async fn pass(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let step = match self.trickles {
                false => bytes.len(),
                true if self.written < DRIPPING_BYTES => 1,
                true => TRICKLE_BYTES.min(bytes.len()),
            };
            let (now, later) = bytes.split_at(step);
            self.to.write_all(now).await?;
            self.written += now.len() as u64;
            if self.trickles {
                // Lets the other side see each piece on its own.
                tokio::task::yield_now().await;
            }
            bytes = later;
        }
        Ok(())
    }
}
