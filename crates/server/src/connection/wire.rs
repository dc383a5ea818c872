//! The socket as hyper sees it: with the times that hyper does not keep.
//!
//! hyper has one timer, for heads, and none for writing. Here a connection has a time for its next request to begin, a
//! time for a head to end, and a pace for what it takes of a response.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_rustls::server::TlsStream;

use super::Service;
use super::gauges::Gauges;
use super::limits::Limits;
use super::line::{Line, Phase};
use super::pace::Pace;
use super::refusal::Refusal;

/// A TCP connection, with or without TLS.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    Secure(Box<TlsStream<TcpStream>>),
}

/// A connection under limits.
pub(crate) struct Wire {
    stream: Stream,
    line: Arc<Line>,
    head: HeadTimer,
    pace: Pace,
    refusal: Refusal,
    service: Arc<dyn Service>,
    gauges: Gauges,
}

impl Wire {
    pub(crate) fn new(
        stream: Stream,
        line: Arc<Line>,
        limits: &Limits,
        service: Arc<dyn Service>,
        gauges: Gauges,
    ) -> Self {
        let pace = Pace::new(limits.write_stall, limits.rate_bytes, limits.rate_window);
        let head = HeadTimer::new(limits.header, limits.idle);
        Self { stream, line, head, pace, refusal: Refusal::default(), service, gauges }
    }

    /// Reads and forgets, at most `bytes`, until the client closes.
    pub(crate) async fn discard(&mut self, bytes: u64) -> io::Result<()> {
        use tokio::io::AsyncReadExt;
        tokio::io::copy(&mut (&mut self.stream).take(bytes), &mut tokio::io::sink()).await?;
        Ok(())
    }

    /// Takes what hyper writes by itself. The client may still be sending.
    fn refuse(&mut self, bytes: &[u8]) {
        let service = &self.service;
        if self.refusal.catch(bytes, |status| service.refuse(status)) {
            self.gauges.refuse();
            self.line.leave_unread();
        }
    }

    /// Lets the client's pace decide how long a write may take.
    fn paced<T>(
        &mut self,
        cx: &mut Context<'_>,
        step: Poll<io::Result<T>>,
        bytes: impl FnOnce(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        match step {
            Poll::Ready(Ok(done)) => {
                self.pace.moved(bytes(&done));
                Poll::Ready(Ok(done))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                ready!(self.pace.poll_too_slow(cx));
                Poll::Ready(Err(ErrorKind::TimedOut.into()))
            }
        }
    }

    fn is_serving(&self) -> bool {
        matches!(self.line.phase(), Phase::Busy | Phase::Answered)
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        let serving = this.is_serving();
        match &read {
            Poll::Ready(Ok(())) if buf.filled().len() > before => {
                if this.line.phase() == Phase::Waiting {
                    this.line.enter(Phase::Head);
                    this.head.begin();
                }
            }
            // hyper reads during a request only while it wants more of the body.
            Poll::Ready(_) if serving => this.line.gone().cancel(),
            Poll::Ready(_) => {}
            Poll::Pending if serving => {}
            Poll::Pending => {
                ready!(this.head.poll_late(cx));
                return Poll::Ready(Err(ErrorKind::TimedOut.into()));
            }
        }
        read
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if !this.is_serving() {
            for buf in bufs {
                this.refuse(buf);
            }
            return Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()));
        }
        let step = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.paced(cx, step, |written| *written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while !this.refusal.pending().is_empty() {
            let step = Pin::new(&mut this.stream).poll_write(cx, this.refusal.pending());
            let written = ready!(this.paced(cx, step, |written| *written))?;
            this.refusal.advance(written);
        }
        let step = Pin::new(&mut this.stream).poll_flush(cx);
        ready!(this.paced(cx, step, |()| 0))?;
        if this.line.phase() == Phase::Answered {
            this.line.enter(Phase::Waiting);
            this.head.wait();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let step = Pin::new(&mut this.stream).poll_shutdown(cx);
        this.paced(cx, step, |()| 0)
    }
}

/// The time for the next request to begin, then the time for its head to end.
#[derive(Debug)]
struct HeadTimer {
    header: Duration,
    idle: Duration,
    timer: Pin<Box<Sleep>>,
}

impl HeadTimer {
    /// A new connection has to begin at once.
    fn new(header: Duration, idle: Duration) -> Self {
        Self { header, idle, timer: Box::pin(sleep_until(Instant::now() + header)) }
    }

    fn begin(&mut self) {
        self.timer.as_mut().reset(Instant::now() + self.header);
    }

    fn wait(&mut self) {
        self.timer.as_mut().reset(Instant::now() + self.idle);
    }

    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.timer.as_mut().poll(cx)
    }
}

/// Calls the same method of whichever stream it is.
macro_rules! either {
    ($stream:expr, $inner:ident => $call:expr) => {
        match $stream {
            Stream::Plain($inner) => $call,
            Stream::Secure($inner) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self.get_mut(), stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        either!(self, stream => stream.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), stream => Pin::new(stream).poll_shutdown(cx))
    }
}
