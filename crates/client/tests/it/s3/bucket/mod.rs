//! A bucket in memory, behind s3s, with S3's rules as far as the target relies on them, and with faults to order.
//!
//! Parts and puts are checked against the checksum that comes with them; completions against the entity tags, checksums
//! and size of the parts; `If-None-Match` holds; objects of Glacier classes are read only while they are restored.

mod service;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::StreamExt as _;
use hyper_util::rt::TokioIo;
use s3s::dto::{ETagCondition, StreamingBlob};
use s3s::{S3 as Service, S3Response, S3Result, auth::SimpleAuth, s3_error};
use tokio::net::TcpListener;

use self::service::Handle;

pub(crate) const ACCESS_KEY: &str = "AKIAIOSFODNN7EXAMPLE";
pub(crate) const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// The only bucket.
const NAME: &str = "cold";

/// An object in this bucket.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stored {
    pub(crate) bytes: Bytes,
    /// Larger than the bytes where they are thrown away.
    pub(crate) size: u64,
    pub(crate) metadata: HashMap<String, String>,
    pub(crate) class: Option<String>,
    /// Bytes as they are checked by the service.
    pub(crate) checksum: Option<String>,
    pub(crate) tags: Vec<(String, String)>,
    etag: String,
    restore: Restored,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Restored {
    #[default]
    No,
    Ongoing,
    Yes,
}

#[derive(Debug, Default)]
struct Begun {
    object: Stored,
    key: String,
    parts: BTreeMap<i32, Stored>,
}

/// A bucket, and what went on in it.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    pub(crate) endpoint: String,
    objects: Mutex<BTreeMap<String, Stored>>,
    uploads: Mutex<BTreeMap<String, Begun>>,
    requests: Mutex<HashMap<&'static str, u64>>,
    /// Answers to be lost after the deed was done, by operation.
    lost: Mutex<HashMap<&'static str, u32>>,
    /// Downloads that break in the middle.
    breaks: AtomicU64,
    number: AtomicU64,
    /// Whether conditions are not looked at, as some services do.
    pub(crate) ignores_conditions: AtomicBool,
    /// Whether conditions are refused, as other services do.
    pub(crate) refuses_conditions: AtomicBool,
    /// Whether there are no tags.
    pub(crate) has_no_tags: AtomicBool,
    /// Whether bytes are thrown away after they were checked.
    pub(crate) discards: AtomicBool,
}

/// Speaks for a store of objects to whoever has the key, for as long as the runtime lives.
pub(crate) fn serve(listener: TcpListener, store: impl Service) {
    let mut builder = s3s::service::S3ServiceBuilder::new(store);
    builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
    let service = builder.build();
    tokio::spawn(async move {
        loop {
            let Ok((connection, _)) = listener.accept().await else { return };
            let service = service.clone();
            tokio::spawn(async move {
                let connection = TokioIo::new(connection);
                let http = hyper::server::conn::http1::Builder::new();
                // A client may go away.
                drop(http.serve_connection(connection, service).await);
            });
        }
    });
}

impl Bucket {
    /// Serves one on a port of its own, for as long as the runtime lives.
    pub(crate) async fn serve() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let bucket = Arc::new(Self { endpoint, ..Self::default() });
        serve(listener, Handle(Arc::clone(&bucket)));
        bucket
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<String, Stored>> {
        self.objects.lock().unwrap()
    }

    fn uploads(&self) -> MutexGuard<'_, BTreeMap<String, Begun>> {
        self.uploads.lock().unwrap()
    }

    /// Returns an object.
    pub(crate) fn object(&self, key: &str) -> Stored {
        let objects = self.objects();
        objects.get(key).unwrap_or_else(|| panic!("{key} of {:?}", objects.keys())).clone()
    }

    /// Returns all keys.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.objects().keys().cloned().collect()
    }

    /// Puts an object as another program would.
    pub(crate) fn put_foreign(&self, key: &str, bytes: &Bytes) {
        let size = bytes.len() as u64;
        let etag = self.next();
        let object = Stored { bytes: bytes.clone(), size, etag, ..Stored::default() };
        self.objects().insert(key.to_owned(), object);
    }

    /// Has all restores that were asked for be done.
    pub(crate) fn finish_restores(&self) {
        for object in self.objects().values_mut().filter(|one| one.restore == Restored::Ongoing) {
            object.restore = Restored::Yes;
        }
    }

    /// Has all restored copies expire.
    pub(crate) fn expire_restores(&self) {
        self.objects().values_mut().for_each(|object| object.restore = Restored::No);
    }

    /// Has the next `times` answers to an operation get lost after it was done.
    pub(crate) fn lose(&self, operation: &'static str, times: u32) {
        self.lost.lock().unwrap().insert(operation, times);
    }

    /// Has the next downloads break in the middle.
    pub(crate) fn break_downloads(&self, times: u64) {
        self.breaks.store(times, Relaxed);
    }

    /// Returns how often an operation was asked for.
    pub(crate) fn requests(&self, operation: &str) -> u64 {
        self.requests.lock().unwrap().get(operation).copied().unwrap_or(0)
    }

    /// Returns how many uploads are open.
    pub(crate) fn open_uploads(&self) -> usize {
        self.uploads().len()
    }

    fn next(&self) -> String {
        format!("{:032x}", self.number.fetch_add(1, Relaxed) + 1)
    }

    fn asked(&self, operation: &'static str, bucket: &str) -> S3Result<()> {
        *self.requests.lock().unwrap().entry(operation).or_default() += 1;
        if bucket == NAME { Ok(()) } else { Err(s3_error!(NoSuchBucket, "no such bucket")) }
    }

    fn answer<T>(&self, operation: &'static str, output: T) -> S3Result<S3Response<T>> {
        let mut lost = self.lost.lock().unwrap();
        match lost.get_mut(operation) {
            Some(times) if *times > 0 => {
                *times -= 1;
                Err(s3_error!(InternalError, "the answer was lost"))
            }
            _ => Ok(S3Response::new(output)),
        }
    }

    fn check_condition(&self, key: &str, condition: Option<&ETagCondition>) -> S3Result<()> {
        if condition.is_none_or(|condition| !condition.is_any())
            || self.ignores_conditions.load(Relaxed)
        {
            return Ok(());
        }
        if self.refuses_conditions.load(Relaxed) {
            return Err(s3_error!(NotImplemented, "If-None-Match is not implemented"));
        }
        if self.objects().contains_key(key) {
            return Err(s3_error!(PreconditionFailed, "there is an object"));
        }
        Ok(())
    }

    /// Takes a body and compares it with its checksum.
    async fn receive(
        &self,
        body: Option<StreamingBlob>,
        checksum: Option<String>,
    ) -> S3Result<Stored> {
        let mut chunks = Vec::new();
        let (mut size, mut context) =
            (0, aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256));
        let mut body = body.ok_or_else(|| s3_error!(IncompleteBody))?;
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|_| s3_error!(IncompleteBody))?;
            size += chunk.len() as u64;
            context.update(&chunk);
            if !self.discards.load(Relaxed) {
                chunks.push(chunk);
            }
        }
        let computed = STANDARD.encode(context.finish());
        match &checksum {
            None => return Err(s3_error!(InvalidRequest, "the checksum is missing")),
            Some(told) if *told != computed => {
                return Err(s3_error!(BadDigest, "other bytes came"));
            }
            Some(_) => {}
        }
        let etag = self.next();
        Ok(Stored { bytes: chunks.concat().into(), size, checksum, etag, ..Stored::default() })
    }
}

impl Stored {
    fn is_cold(&self) -> bool {
        matches!(self.class.as_deref(), Some("GLACIER" | "DEEP_ARCHIVE"))
    }

    fn restore_header(&self) -> Option<String> {
        match self.restore {
            Restored::No => None,
            Restored::Ongoing => Some(r#"ongoing-request="true""#.to_owned()),
            Restored::Yes => Some(
                r#"ongoing-request="false", expiry-date="Fri, 21 Dec 2029 00:00:00 GMT""#
                    .to_owned(),
            ),
        }
    }
}
