//! Bytes on their way to a target, from a source that can be read again.
//!
//! A target that stores them itself reads them once, with [`Body::send`]. One that has to sign them first reads them
//! twice: [`Body::read`] to hash, [`Body::send`] to send; and a request that did not get through is sent again from the
//! same body, with the hashes that are known already.

use std::{
    fmt, io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::Stream;
use futures_util::{StreamExt as _, stream};

/// Chunks of a body: of any size, best 1 MiB each and aligned to MiB from the start.
///
/// An error ends the transfer and nothing of it is kept.
pub type Chunks = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// Told about the bytes of a body as they leave.
#[async_trait]
pub trait Meter: fmt::Debug + Send + Sync {
    /// Waits until so many bytes may leave.
    async fn wait(&self, bytes: u64);

    /// Counts bytes that leave for the first time.
    fn moved(&self, bytes: u64);
}

/// Bytes on their way to a target. Clones are the same bytes, counted together.
#[derive(Clone)]
pub struct Body {
    size: u64,
    open: Arc<dyn Fn() -> Chunks + Send + Sync>,
    meter: Option<Arc<dyn Meter>>,
    /// How far any sending has come: what is sent again is not counted again.
    counted: Arc<AtomicU64>,
}

impl Body {
    /// Makes a body of exactly `size` bytes; `open` begins at the first one, each time it is called.
    pub fn new(size: u64, open: impl Fn() -> Chunks + Send + Sync + 'static) -> Self {
        Self { size, open: Arc::new(open), meter: None, counted: Arc::default() }
    }

    /// Makes a body of bytes in memory.
    pub fn of(chunks: Vec<Bytes>) -> Self {
        let size = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        Self::new(size, move || Box::pin(stream::iter(chunks.clone().into_iter().map(Ok))))
    }

    /// Has the bytes measured, and held back, as they leave.
    #[must_use]
    pub fn metered(self, meter: Arc<dyn Meter>) -> Self {
        Self { meter: Some(meter), ..self }
    }

    /// Returns the exact number of bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Opens the bytes for a look at them that moves nothing.
    pub fn read(&self) -> Chunks {
        (self.open)()
    }

    /// Opens the bytes to be moved: they wait for the rate limit and are counted, once.
    pub fn send(&self) -> Chunks {
        self.measure(self.read())
    }

    /// Measures bytes of this body, from its first one on, that the target has kept from [`Body::read`].
    pub fn measure(&self, chunks: Chunks) -> Chunks {
        let Some(meter) = self.meter.clone() else { return chunks };
        let (counted, passed) = (Arc::clone(&self.counted), Arc::new(AtomicU64::new(0)));
        Box::pin(chunks.then(move |chunk| {
            let (meter, counted) = (Arc::clone(&meter), Arc::clone(&counted));
            let passed = Arc::clone(&passed);
            async move {
                if let Ok(bytes) = &chunk {
                    let length = bytes.len() as u64;
                    meter.wait(length).await;
                    let end = passed.fetch_add(length, Relaxed) + length;
                    let before = counted.fetch_max(end, Relaxed);
                    if end > before {
                        meter.moved(end - before);
                    }
                }
                chunk
            }
        }))
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("size", &self.size).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    };

    use async_trait::async_trait;
    use bytes::Bytes;
    use futures_util::StreamExt as _;

    use super::{Body, Meter};

    #[derive(Debug, Default)]
    struct Counter {
        waited: AtomicU64,
        moved: AtomicU64,
    }

    #[async_trait]
    impl Meter for Counter {
        async fn wait(&self, bytes: u64) {
            self.waited.fetch_add(bytes, Relaxed);
        }

        fn moved(&self, bytes: u64) {
            self.moved.fetch_add(bytes, Relaxed);
        }
    }

    #[tokio::test]
    async fn what_is_sent_again_waits_again_and_counts_once() {
        let counter = Arc::new(Counter::default());
        let chunks = vec![Bytes::from_static(b"abc"), Bytes::from_static(b"de")];
        let body = Body::of(chunks).metered(Arc::<Counter>::clone(&counter));
        assert_eq!(body.read().count().await, 2);
        assert_eq!(counter.waited.load(Relaxed), 0, "a look moves nothing");
        let mut torn = body.send();
        torn.next().await.unwrap().unwrap();
        drop(torn);
        let sent: Vec<_> = body.send().map(Result::unwrap).collect().await;
        assert_eq!(sent.concat(), b"abcde");
        assert_eq!((counter.waited.load(Relaxed), counter.moved.load(Relaxed)), (8, 5));
        assert_eq!(body.size(), 5);
    }
}
