//! One connection of a client: request after request, each with its fault.

use std::{io, pin::pin};

use tokio::{
    io::AsyncWriteExt as _,
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use super::{
    Answered, Asked, Fault, Moment, Reached, Refusal, Shared,
    message::{Body, Goes, Head, Incoming, Outgoing},
};

/// What an end of both connections may have to wait for.
enum Stop {
    Now,
    After { answers: u64 },
    Released,
}

/// Whether the client's connection is good for another request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Next,
    Close,
}

/// How much of a request was passed on.
enum Sent {
    Whole,
    /// As much as the fault lets through.
    InPart,
    ClientLeft,
    /// The upstream has answered before it had all, or closed its side.
    AnsweredEarly(io::Result<Option<Head>>),
}

/// Why a message did not pass.
enum Broken {
    From,
    To,
}

type Reader = Incoming<OwnedReadHalf>;

/// Serves a connection until it ends.
pub(super) async fn all(client: TcpStream, connection: u64, shared: &Shared) -> io::Result<()> {
    client.set_nodelay(true)?;
    let (read, mut write) = client.into_split();
    let mut read = Incoming::new(read);
    while let Some(head) = read.head().await? {
        let mut words = head.first.split(' ');
        let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let asked = Asked::new(method, target, head.headers.clone());
        let _under_way = shared.gate.enter();
        let (index, fault) = shared.book.begin(connection, asked);
        let entry = Entry { shared, index, reached: Reached::Lost };
        let mut exchange = Exchange { entry, client: (&mut read, &mut write), head, fault };
        let then = exchange.run().await?;
        drop(exchange);
        if then == Then::Close {
            break;
        }
    }
    Ok(())
}

/// The exchange's line in the log; written when this is dropped, whatever ends it.
struct Entry<'a> {
    shared: &'a Shared,
    index: usize,
    reached: Reached,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.shared.book.end(self.index, self.reached);
    }
}

struct Exchange<'a> {
    entry: Entry<'a>,
    client: (&'a mut Reader, &'a mut OwnedWriteHalf),
    head: Head,
    fault: Option<Fault>,
}

impl Exchange<'_> {
    async fn run(&mut self) -> io::Result<Then> {
        let mut body = self.head.request_body()?;
        if let Some(Fault::Refused { refusal, early }) = self.fault.clone() {
            return self.refuse(&refusal, body, early).await;
        }
        if self.ends_at(|moment| moment == Moment::HeadCame).is_some() {
            return self.stop().await;
        }
        let upstream = TcpStream::connect(self.entry.shared.upstream).await?;
        upstream.set_nodelay(true)?;
        let (up_read, mut up_write) = upstream.into_split();
        let mut up_read = Incoming::new(up_read);

        let limit = self.request_limit(body);
        let trickles = self.fault == Some(Fault::Trickled);
        let mut out = Outgoing { to: &mut up_write, written: 0, limit, flip: None, trickles };
        let head = self.head.raw.clone();
        let sent = send(head, &mut self.client, &mut body, &mut out, &mut up_read).await;
        let (answer, is_early) = match sent {
            Sent::InPart => return self.stop().await,
            Sent::ClientLeft => return Ok(self.end(Reached::ClientLeft)),
            Sent::AnsweredEarly(answer) => (answer, true),
            Sent::Whole if self.ends_at(|at| at == Moment::RequestPassed).is_some() => {
                return self.stop().await;
            }
            Sent::Whole => {
                let (client_read, client_write) = &mut self.client;
                tokio::select! {
                    biased;
                    answer = final_head(&mut up_read, client_write) => (answer, false),
                    () = client_read.until_closed() => return Ok(self.end(Reached::ClientLeft)),
                }
            }
        };
        let Ok(Some(answer)) = answer else { return Ok(self.end(Reached::UpstreamLeft)) };
        let then = self.answer(answer, &mut up_read).await?;
        if is_early && then == Then::Next {
            self.drain(body).await;
            return Ok(Then::Close);
        }
        Ok(then)
    }

    /// Passes the upstream's answer on.
    async fn answer(&mut self, head: Head, upstream: &mut Reader) -> io::Result<Then> {
        let status = head.status()?;
        let (entry, headers) = (&self.entry, head.headers.clone());
        entry.shared.book.answered(entry.index, Answered::new(status, headers));
        let method = self.head.first.split(' ').next().unwrap_or("");
        let mut body = head.answer_body(method, status)?;
        if self.ends_at(|moment| moment == Moment::AnswerCame).is_some() {
            return self.stop().await;
        }
        if let Some(Fault::Replaced(refusal)) = self.fault.clone() {
            self.client.1.write_all(&refusal.bytes(true)).await?;
            self.entry.reached = Reached::Refused;
            return Ok(Then::Close);
        }
        let flip = self.flip(&head, body);
        let trickles = self.fault == Some(Fault::Trickled);
        let limit = self.answer_limit(&head, body);
        let to = &mut *self.client.1;
        let mut out = Outgoing { to, written: 0, limit, flip, trickles };
        let closes = head.closes() || body == Body::UntilClosed;
        let passed = pass(head.raw, upstream, &mut body, &mut out).await;
        match passed {
            Ok(Goes::NoFurther) => return self.stop().await,
            Err(Broken::From) => return Ok(self.end(Reached::UpstreamLeft)),
            Err(Broken::To) => return Ok(self.end(Reached::ClientLeft)),
            Ok(Goes::On) => {}
        }
        self.entry.reached = if flip.is_some() { Reached::Damaged } else { Reached::Answered };
        if self.ends_at(|moment| moment == Moment::AnswerPassed).is_some() {
            return self.stop().await;
        }
        Ok(if closes { Then::Close } else { Then::Next })
    }

    /// Answers for the upstream, which hears nothing.
    async fn refuse(&mut self, refusal: &Refusal, mut body: Body, early: bool) -> io::Result<Then> {
        let early = early && body != Body::Length(0);
        if !early {
            while let Some(_thrown_away) = self.client.0.piece(&mut body).await? {}
        }
        self.client.1.write_all(&refusal.bytes(early)).await?;
        self.entry.reached = Reached::Refused;
        if early {
            self.drain(body).await;
        }
        Ok(if early { Then::Close } else { Then::Next })
    }

    /// Reads the rest of a body that nobody wants: what a client has sent when its connection is closed would reset the
    /// connection, and take the answer with it.
    async fn drain(&mut self, mut body: Body) {
        if self.client.1.shutdown().await.is_ok() {
            while let Ok(Some(_thrown_away)) = self.client.0.piece(&mut body).await {}
        }
    }

    /// Waits as long as the fault says, then ends both connections.
    async fn stop(&mut self) -> io::Result<Then> {
        let gate = &self.entry.shared.gate;
        match self.ends_at(|_| true).map(|(_, stop)| stop) {
            Some(Stop::After { answers }) => gate.stall(answers).await,
            Some(Stop::Released) => gate.hold().await,
            Some(Stop::Now) | None => {}
        }
        Ok(Then::Close)
    }

    fn end(&mut self, reached: Reached) -> Then {
        self.entry.reached = reached;
        Then::Close
    }

    /// Returns when and how the fault ends the connections, if it does so at such a moment.
    fn ends_at(&self, at: impl Fn(Moment) -> bool) -> Option<(Moment, Stop)> {
        let (moment, stop) = match self.fault.as_ref()? {
            Fault::Cut(moment) => (*moment, Stop::Now),
            Fault::Stalled { at, answers } => (*at, Stop::After { answers: *answers }),
            Fault::Held(moment) => (*moment, Stop::Released),
            _ => return None,
        };
        at(moment).then_some((moment, stop))
    }

    fn request_limit(&self, body: Body) -> Option<u64> {
        let (moment, _) = self.ends_at(Moment::is_of_request)?;
        limit(moment, self.head.raw.len() as u64, body)
    }

    fn answer_limit(&self, head: &Head, body: Body) -> Option<u64> {
        let (moment, _) = self.ends_at(|moment| !moment.is_of_request())?;
        limit(moment, head.raw.len() as u64, body)
    }

    /// Returns the place of the byte that is damaged: in the bytes of an archive, because nothing tells a client whether an
    /// inventory is the one that was sent.
    fn flip(&self, head: &Head, body: Body) -> Option<u64> {
        let (Some(Fault::Flipped(share)), Body::Length(length @ 1..)) = (&self.fault, body) else {
            return None;
        };
        let is_archive = head.field("content-type") == Some("application/octet-stream");
        is_archive.then(|| head.raw.len() as u64 + share_of(length - 1, *share))
    }
}

/// Returns how many bytes of a message pass until a moment in it; none is no limit. Where the length is not known, only the
/// head counts.
fn limit(moment: Moment, head: u64, body: Body) -> Option<u64> {
    let body = match body {
        Body::Length(length) => length,
        Body::Chunked(_) | Body::UntilClosed => 0,
    };
    match moment {
        Moment::InRequest(share) | Moment::InAnswer(share) if body == 0 => {
            // At least a byte is held back, so that the message never passes whole.
            Some(share_of(head - 1, share))
        }
        Moment::InRequest(share) | Moment::InAnswer(share) => {
            Some(head + share_of(body - 1, share))
        }
        Moment::LastByteOfRequest | Moment::LastByteOfAnswer => Some(head + body - 1),
        Moment::HeadCame | Moment::RequestPassed | Moment::AnswerCame | Moment::AnswerPassed => {
            None
        }
    }
}

fn share_of(length: u64, share: u16) -> u64 {
    let part = u128::from(length) * u128::from(share) / u128::from(u16::MAX);
    u64::try_from(part).expect("a share is not more than the whole")
}

/// Passes a request on and listens meanwhile: a server may answer before it has heard all.
async fn send(
    head: Vec<u8>,
    (client_read, client_write): &mut (&mut Reader, &mut OwnedWriteHalf),
    body: &mut Body,
    out: &mut Outgoing<'_, OwnedWriteHalf>,
    upstream: &mut Reader,
) -> Sent {
    let mut answering = pin!(final_head(upstream, client_write));
    tokio::select! {
        biased;
        passed = pass(head, client_read, body, out) => match passed {
            Ok(Goes::On) => Sent::Whole,
            Ok(Goes::NoFurther) => Sent::InPart,
            Err(Broken::From) => Sent::ClientLeft,
            // It may have answered before it closed its side.
            Err(Broken::To) => Sent::AnsweredEarly(answering.await),
        },
        answer = &mut answering => Sent::AnsweredEarly(answer),
    }
}

/// Passes a message on, piece by piece.
async fn pass(
    head: Vec<u8>,
    from: &mut Reader,
    body: &mut Body,
    to: &mut Outgoing<'_, OwnedWriteHalf>,
) -> Result<Goes, Broken> {
    let mut piece = Some(head);
    while let Some(bytes) = piece {
        if to.write(bytes).await.map_err(|_| Broken::To)? == Goes::NoFurther {
            return Ok(Goes::NoFurther);
        }
        piece = from.piece(body).await.map_err(|_| Broken::From)?;
    }
    Ok(Goes::On)
}

/// Reads the head of the answer proper; passes on those that come before it (`100 Continue`).
async fn final_head(
    upstream: &mut Reader,
    client: &mut OwnedWriteHalf,
) -> io::Result<Option<Head>> {
    loop {
        match upstream.head().await? {
            Some(head) if head.status()? < 200 => client.write_all(&head.raw).await?,
            head => return Ok(head),
        }
    }
}
