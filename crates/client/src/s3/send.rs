//! The bytes of a request: hashed once, sent as often as it takes.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use aws_runtime::auth::PayloadSigningOverride;
use aws_sdk_s3::{
    config::{
        ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeTransmitInterceptorContextMut,
    },
    error::BoxError,
    primitives::{ByteStream, SdkBody},
};
use aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http_body::{Frame, SizeHint};
use icefield_protocol::{LinearHash, TreeHash};
use icefield_treehash::{HashPool, Roles};

use crate::target::{Body, Chunks, TargetError};

/// Bodies up to this size are kept in memory from hashing to sending; larger ones are read again.
pub(super) const HELD_BYTES: u64 = 1 << 20;

/// Bytes that go to the connection at a time: little enough that a thin line is not taken for one that stands still.
const FRAME_BYTES: usize = 64 << 10;

/// Bytes that were hashed and can be sent.
pub(super) struct Outgoing {
    pub(super) size: u64,
    pub(super) tree_hash: TreeHash,
    pub(super) sha256: LinearHash,
    open: Arc<dyn Fn() -> Chunks + Send + Sync>,
    failure: Arc<Mutex<Option<io::Error>>>,
}

impl Outgoing {
    /// Reads the whole body and hashes it.
    pub(super) async fn of(body: &Body, hashing: &HashPool) -> Result<Self, TargetError> {
        let mut hashing = hashing.start(Roles { linear: true });
        let mut held = (body.size() <= HELD_BYTES).then(Vec::new);
        let mut chunks = body.read();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(TargetError::Source)?;
            if let Some(held) = &mut held {
                held.push(chunk.clone());
            }
            hashing.submit(chunk).await;
        }
        let hashed = hashing.finish().await;
        if hashed.size != body.size() {
            return Err(TargetError::Source(io::ErrorKind::UnexpectedEof.into()));
        }
        let body = body.clone();
        let open: Arc<dyn Fn() -> Chunks + Send + Sync> = match held {
            Some(held) => Arc::new(move || {
                body.measure(Box::pin(stream::iter(held.clone().into_iter().map(Ok))))
            }),
            None => Arc::new(move || body.send()),
        };
        Ok(Self {
            size: hashed.size,
            tree_hash: hashed.tree,
            sha256: hashed.linear.expect("it was asked for"),
            open,
            failure: Arc::default(),
        })
    }

    /// The length as the header has it.
    pub(super) fn content_length(&self) -> i64 {
        i64::try_from(self.size).unwrap_or(i64::MAX)
    }

    /// The checksum as the header has it.
    pub(super) fn checksum(&self) -> String {
        base64(self.sha256)
    }

    /// The bytes, which the SDK opens again for every attempt.
    pub(super) fn stream(&self) -> ByteStream {
        let (open, failure, size) = (Arc::clone(&self.open), Arc::clone(&self.failure), self.size);
        ByteStream::new(SdkBody::retryable(move || {
            SdkBody::from_body_1_x(Leaving {
                chunks: Mutex::new(open()),
                current: Bytes::new(),
                left: size,
                failure: Arc::clone(&failure),
            })
        }))
    }

    /// Has the request signed with the hash that is known.
    pub(super) fn signed(&self) -> SignedAs {
        SignedAs(self.sha256)
    }

    /// Returns why the source failed, if that is why the request did.
    pub(super) fn or_source(&self, error: TargetError) -> TargetError {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        failure.map_or(error, TargetError::Source)
    }
}

/// A hash as headers have it.
pub(super) fn base64(hash: LinearHash) -> String {
    STANDARD.encode(hash.as_bytes())
}

/// Signs a request with a hash of its body that is known.
///
/// The SDK alone leaves bodies that are streams unsigned, which over plain HTTP nobody should accept.
#[derive(Debug)]
pub(super) struct SignedAs(LinearHash);

#[dyn_dispatch_hint]
impl Intercept for SignedAs {
    fn name(&self) -> &'static str {
        "SignedAs"
    }

    fn modify_before_signing(
        &self,
        _: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        cfg.interceptor_state().store_put(PayloadSigningOverride::Precomputed(self.0.to_string()));
        Ok(())
    }
}

/// A body on its way, in small frames and of known length.
struct Leaving {
    /// Never locked: it makes a stream that is not `Sync` be so.
    chunks: Mutex<Chunks>,
    current: Bytes,
    left: u64,
    failure: Arc<Mutex<Option<io::Error>>>,
}

impl Leaving {
    fn failed(&self, error: io::Error) -> io::Error {
        let shown = io::Error::new(error.kind(), "the source of the bytes failed");
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        shown
    }
}

impl http_body::Body for Leaving {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        while self.current.is_empty() {
            if self.left == 0 {
                return Poll::Ready(None);
            }
            let chunks = self.chunks.get_mut().unwrap_or_else(PoisonError::into_inner);
            match ready!(chunks.as_mut().poll_next(context)) {
                Some(Ok(chunk)) => self.current = chunk,
                Some(Err(error)) => return Poll::Ready(Some(Err(self.failed(error)))),
                None => {
                    let error = io::Error::from(io::ErrorKind::UnexpectedEof);
                    return Poll::Ready(Some(Err(self.failed(error))));
                }
            }
        }
        let length = self.current.len().min(FRAME_BYTES);
        let length = length.min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let frame = self.current.split_to(length);
        self.left -= frame.len() as u64;
        if self.left == 0 {
            self.current = Bytes::new();
        }
        Poll::Ready(Some(Ok(Frame::data(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
