//! The body of a request, under all limits.
//!
//! hyper reads ahead by one frame; everything beyond stays in the socket until it is asked for, so a slow service slows
//! the client. A chunk is a piece of the buffer that hyper has read into, whatever its length: whoever wants to keep bytes
//! copies them, and hyper reads into the same buffer again.

use std::error::Error;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use super::budget::{Budget, Permit, Room};
use super::gauges::Gauges;
use super::limits::Limits;
use super::pace::Pace;

/// The incoming body of a request.
///
/// Trailers are read and ignored. A body that failed goes on failing: it never looks complete.
#[derive(Debug)]
pub struct Body {
    source: Source,
    announced: Option<u64>,
    received: u64,
    /// Came, and was not given out yet.
    ahead: Bytes,
    pace: Pace,
    deadline: Option<Pin<Box<Sleep>>>,
    room: Room,
    state: Arc<BodyState>,
}

/// A piece of a body, never empty. It holds its room in the byte budget until it is dropped, so drop it when its bytes
/// are hashed and written, or copied.
#[derive(Debug)]
pub struct Chunk {
    /// The bytes, at most one window.
    pub bytes: Bytes,
    _permit: Permit,
}

/// Why a body did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The client paused for too long, or sent too little in too much time.
    #[error("the body did not keep arriving")]
    Stalled,
    /// The body did not end in the time that any body has.
    #[error("the body took too long")]
    TooLate,
    /// The client went away or sent what is no body.
    #[error("the body broke off")]
    Broken(#[source] Box<dyn Error + Send + Sync>),
    /// The body is longer than the caller wants to hold.
    #[error("the body is too long")]
    TooLong,
}

impl Body {
    /// Takes the body of a request that has just come.
    pub(crate) fn new(incoming: Incoming, limits: &Limits, room: Room) -> (Self, Arc<BodyState>) {
        let state = Arc::new(BodyState::default());
        state.complete.store(incoming.is_end_stream(), Relaxed);
        let announced = incoming.size_hint().exact();
        let pace = Pace::new(limits.body_stall, limits.rate_bytes, limits.rate_window);
        let deadline = limits.body_total.map(|total| Box::pin(sleep_until(Instant::now() + total)));
        let body = Self {
            source: Source::Wire(incoming),
            announced,
            received: 0,
            ahead: Bytes::new(),
            pace,
            deadline,
            room,
            state: Arc::clone(&state),
        };
        (body, state)
    }

    /// Makes a body of bytes that are here already, for tests of services.
    #[must_use]
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        let (bytes, limits) = (bytes.into(), Limits::default());
        let room = Budget::new(limits.budget_bytes, limits.window_bytes, Gauges::default()).room();
        Self {
            announced: Some(bytes.len() as u64),
            source: Source::Fixed(bytes),
            received: 0,
            ahead: Bytes::new(),
            pace: Pace::new(limits.body_stall, limits.rate_bytes, limits.rate_window),
            deadline: None,
            room,
            state: Arc::default(),
        }
    }

    /// Returns the length that the client announced (`Content-Length`), or none for a chunked body.
    #[must_use]
    pub fn announced(&self) -> Option<u64> {
        self.announced
    }

    /// Waits for the next chunk, or none at the end of the body.
    ///
    /// The first call lets a client that asked (`Expect: 100-continue`) begin to send. Cancel safe. A service that keeps
    /// chunks while it waits for the next one waits for room, too: it must be able to go on with what it has.
    ///
    /// # Errors
    ///
    /// When the client is too slow, goes away, or sends less than it announced.
    pub async fn chunk(&mut self) -> Result<Option<Chunk>, BodyError> {
        let mut permit = self.room.take(self.room.window()).await;
        if self.ahead.is_empty() {
            match self.frame().await? {
                Some(frame) => self.ahead = frame,
                None => return Ok(None),
            }
        }
        let bytes = self.ahead.split_to(self.ahead.len().min(self.room.window()));
        permit.fill(bytes.len());
        Ok(Some(Chunk { bytes, _permit: permit }))
    }

    /// Waits for the whole of a small body. Its room is held until the last clone of the bytes is dropped.
    ///
    /// # Errors
    ///
    /// As [`chunk`](Self::chunk); `TooLong` for more than `limit` bytes, before anything is read if it was announced.
    pub async fn read_to_end(mut self, limit: usize) -> Result<Bytes, BodyError> {
        let most = match self.announced.map(usize::try_from) {
            Some(Ok(length)) if length <= limit => length,
            Some(_) => return Err(BodyError::TooLong),
            None => limit,
        };
        let mut permit = self.room.take(most).await;
        let mut whole = BytesMut::new();
        while let Some(frame) = self.frame().await? {
            if frame.len() > limit - whole.len() {
                return Err(BodyError::TooLong);
            }
            whole.extend_from_slice(&frame);
        }
        permit.fill(whole.len());
        Ok(Bytes::from_owner(Whole { bytes: whole.freeze(), _permit: permit }))
    }

    /// Waits for the next frame that is not empty, or none at the end of the body.
    async fn frame(&mut self) -> Result<Option<Bytes>, BodyError> {
        self.state.asked.store(true, Relaxed);
        let next = poll_fn(|cx| self.poll_frame(cx)).await;
        match &next {
            Ok(Some(_)) if !self.source.is_end() => {}
            Ok(_) => self.state.complete.store(true, Relaxed),
            Err(_) => self.source = Source::Failed,
        }
        next
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>> {
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(BodyError::TooLate));
        }
        loop {
            match self.source.poll(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    // Anything but data is a trailer.
                    let Ok(bytes) = frame.into_data() else { continue };
                    self.pace.moved(bytes.len());
                    self.received += bytes.len() as u64;
                    if !bytes.is_empty() {
                        return Poll::Ready(Ok(Some(bytes)));
                    }
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(BodyError::Broken(error))),
                Poll::Ready(None) => return Poll::Ready(self.end()),
                Poll::Pending => {
                    ready!(self.pace.poll_too_slow(cx));
                    return Poll::Ready(Err(BodyError::Stalled));
                }
            }
        }
    }

    /// A body that is shorter than announced is never taken for a whole one, whatever the layer below says.
    fn end(&self) -> Result<Option<Bytes>, BodyError> {
        match self.announced {
            Some(announced) if announced != self.received => {
                let text = format!("{} of {announced} bytes came", self.received);
                Err(BodyError::Broken(text.into()))
            }
            Some(_) | None => Ok(None),
        }
    }
}

impl Drop for Body {
    /// Leaves what was not read to the connection, which decides whether it is worth reading.
    fn drop(&mut self) {
        if let Source::Wire(rest) = std::mem::replace(&mut self.source, Source::Failed)
            && !self.state.is_complete()
        {
            *self.state.rest.lock().unwrap_or_else(PoisonError::into_inner) = Some(rest);
        }
    }
}

#[derive(Debug)]
enum Source {
    Wire(Incoming),
    Fixed(Bytes),
    /// An error was reported already.
    Failed,
}

type FrameResult = Result<Frame<Bytes>, Box<dyn Error + Send + Sync>>;

impl Source {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<FrameResult>> {
        match self {
            Self::Wire(incoming) => {
                Pin::new(incoming).poll_frame(cx).map(|next| next.map(|frame| Ok(frame?)))
            }
            Self::Fixed(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Fixed(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Failed => Poll::Ready(Some(Err("the body failed before".into()))),
        }
    }

    fn is_end(&self) -> bool {
        match self {
            Self::Wire(incoming) => incoming.is_end_stream(),
            Self::Fixed(bytes) => bytes.is_empty(),
            Self::Failed => false,
        }
    }
}

/// What the connection wants to know of a body that it has given away.
#[derive(Debug, Default)]
pub(crate) struct BodyState {
    asked: AtomicBool,
    complete: AtomicBool,
    rest: Mutex<Option<Incoming>>,
}

impl BodyState {
    /// Whether anybody asked for the body, so that a waiting client was told to send it.
    pub(crate) fn was_asked_for(&self) -> bool {
        self.asked.load(Relaxed)
    }

    /// Whether the body came to its end.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete.load(Relaxed)
    }

    /// Takes what was left unread of a body that did not fail.
    pub(crate) fn take_rest(&self) -> Option<Incoming> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A body in one piece, with its room.
struct Whole {
    bytes: Bytes,
    _permit: Permit,
}

impl AsRef<[u8]> for Whole {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
