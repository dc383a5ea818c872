//! Where one connection stands: shared by the wire below hyper and the exchange above it.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};

use tokio_util::sync::CancellationToken;

use super::crowd::Seat;

/// The steps of a connection, again for every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// No byte of the next request came yet.
    Waiting,
    /// Some bytes of a head came.
    Head,
    /// A service has the request, or its response is being written.
    Busy,
    /// The response was handed over as a whole; the next flush writes the last of it.
    Answered,
}

/// The state of one connection. Only its own task writes it, so no ordering is needed.
#[derive(Debug)]
pub(crate) struct Line {
    phase: AtomicU8,
    unread: AtomicBool,
    gone: CancellationToken,
    seat: Seat,
}

impl Line {
    pub(crate) fn new(seat: Seat) -> Self {
        Self {
            phase: AtomicU8::new(Phase::Waiting as u8),
            unread: AtomicBool::new(false),
            gone: CancellationToken::new(),
            seat,
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Relaxed) {
            0 => Phase::Waiting,
            1 => Phase::Head,
            2 => Phase::Busy,
            _ => Phase::Answered,
        }
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Relaxed);
        match phase {
            Phase::Waiting => self.seat.sit(),
            Phase::Busy => self.seat.rise(),
            Phase::Head | Phase::Answered => {}
        }
    }

    /// Notes that the client may still be sending what nobody will read.
    pub(crate) fn leave_unread(&self) {
        self.unread.store(true, Relaxed);
    }

    pub(crate) fn is_unread(&self) -> bool {
        self.unread.load(Relaxed)
    }

    /// Notes that the service knows who asks here.
    pub(crate) fn know(&self) {
        self.seat.know();
    }

    /// Ends when this connection has to make room for another one. Never does during a request.
    pub(crate) async fn dismissed(&self) {
        loop {
            self.seat.told_to_go().await;
            if matches!(self.phase(), Phase::Waiting | Phase::Head) {
                return;
            }
        }
    }

    /// Ends when the client stopped sending in the middle of a body.
    pub(crate) fn gone(&self) -> &CancellationToken {
        &self.gone
    }
}
