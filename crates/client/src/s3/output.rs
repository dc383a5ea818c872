//! The bytes of a job: of a restored object, or of an inventory that is made now.
//!
//! A connection that breaks is opened again where it broke; S3 is told the entity tag, so that it goes on with the same
//! object. What comes is not verified here: S3 knows no tree hash of a range, so who asked hashes it.

use std::{pin::Pin, time::Duration};

use aws_sdk_s3::{Client, operation::get_object::GetObjectOutput, primitives::ByteStream};
use bytes::Bytes;
use futures_core::Stream;
use futures_util::stream;
use icefield_protocol::{ByteRange, ErrorCode, JobId, VaultName};

use super::{
    S3,
    error::{causes, code_of, service_error},
    ids::Job,
};
use crate::target::{Output, TargetError};

/// Times in a row that a connection may break before a byte has come.
const MAX_BREAKS: u32 = 10;

/// Pause after a break; it doubles with each one in a row.
const BREAK_PAUSE: Duration = Duration::from_millis(200);

impl S3 {
    /// Opens a job's output.
    pub(super) async fn open_output(
        &self,
        vault: &VaultName,
        job: &JobId,
        range: Option<ByteRange>,
    ) -> Result<Output, TargetError> {
        let (window, key) = match Job::parse(job)? {
            Job::Archive { range, key, .. } => (range, key),
            Job::Inventory { .. } if range.is_some() => {
                return Err(TargetError::Unsupported {
                    what: "an inventory of S3 is made while it is read, so there is no part of it"
                        .to_owned(),
                });
            }
            Job::Inventory { .. } => return self.open_inventory(vault),
        };
        self.keys.inside(vault, &key)?;
        let asked = inside(window, range)?;
        let place = (self.client.clone(), self.settings.bucket.clone());
        let (mut reading, size) = match Reading::begin(place, key, asked).await {
            Ok(opened) => opened,
            Err(Refused::Cold { at }) => return Err(expired(&at)),
            Err(Refused::Error(error)) => return Err(error),
        };
        let end = window.map_or(size, |window| size.min(window.last.saturating_add(1)));
        reading.end = reading.end.min(end);
        let total = end.saturating_sub(window.map_or(0, |window| window.first));
        Ok(Output { total, tree_hash: None, chunks: reading.chunks() })
    }
}

/// What a job has become whose output cannot be read any more.
pub(super) fn expired(at: &str) -> TargetError {
    TargetError::Service {
        code: ErrorCode::ResourceNotFound,
        message: format!("{at}: the restored copy has expired"),
    }
}

/// Returns which bytes of the object a range of the output is.
fn inside(
    window: Option<ByteRange>,
    range: Option<ByteRange>,
) -> Result<Option<ByteRange>, TargetError> {
    let (Some(window), Some(range)) = (window, range) else { return Ok(window.or(range)) };
    let first = window.first.saturating_add(range.first);
    if first > window.last {
        return Err(TargetError::Service {
            code: ErrorCode::InvalidParameterValue,
            message: format!("the range {range} begins beyond the end of the output"),
        });
    }
    let last = window.first.saturating_add(range.last).min(window.last);
    Ok(Some(ByteRange { first, last }))
}

/// Returns the size of the whole object.
fn total(opened: &GetObjectOutput, at: &str) -> Result<u64, TargetError> {
    let from_range = opened.content_range().and_then(|text| {
        let (_, total) = text.rsplit_once('/')?;
        total.parse().ok()
    });
    let whole = || opened.content_length().and_then(|length| u64::try_from(length).ok());
    from_range.or_else(|| opened.content_range().is_none().then(whole).flatten()).ok_or_else(|| {
        TargetError::Transport { what: format!("{at}: the answer does not tell its length") }
    })
}

/// Why an object could not be opened.
pub(super) enum Refused {
    /// It is not restored, or not any more.
    Cold {
        /// The object.
        at: String,
    },
    Error(TargetError),
}

/// An object that is being read.
pub(super) struct Reading {
    client: Client,
    bucket: String,
    key: String,
    at: String,
    /// The next byte that is wanted.
    next: u64,
    /// Where it ends, exclusive.
    end: u64,
    etag: Option<String>,
    body: Option<ByteStream>,
    breaks: u32,
}

impl Reading {
    /// Opens an object of a bucket, or a range of it; also tells the size of the whole object.
    pub(super) async fn begin(
        (client, bucket): (Client, String),
        key: String,
        range: Option<ByteRange>,
    ) -> Result<(Self, u64), Refused> {
        let at = format!("s3://{bucket}/{key}");
        let (next, last) = range.map_or((0, None), |range| (range.first, Some(range.last)));
        let end = last.map_or(u64::MAX, |last| last.saturating_add(1));
        let (etag, body, breaks) = (None, None, 0);
        let mut reading = Self { client, bucket, key, at, next, end, etag, body, breaks };
        let opened = reading.open().await?;
        let size = total(&opened, &reading.at).map_err(Refused::Error)?;
        reading.end = end.min(size);
        reading.etag = opened.e_tag().map(str::to_owned);
        reading.body = Some(opened.body);
        Ok((reading, size))
    }

    /// The entity tag of the object.
    pub(super) fn etag(&self) -> Option<&str> {
        self.etag.as_deref()
    }

    /// The bytes.
    pub(super) fn chunks(self) -> Pin<Box<dyn Stream<Item = Result<Bytes, TargetError>> + Send>> {
        Box::pin(stream::unfold(Some(self), async |reading| {
            let mut reading = reading?;
            match reading.next().await {
                Ok(Some(chunk)) => Some((Ok(chunk), Some(reading))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        }))
    }

    async fn open(&self) -> Result<GetObjectOutput, Refused> {
        let range = match self.end {
            u64::MAX if self.next == 0 => None,
            u64::MAX => Some(format!("bytes={}-", self.next)),
            end => Some(format!("bytes={}-{}", self.next, end.saturating_sub(1))),
        };
        let request = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(&self.key)
            .set_range(range)
            .set_if_match(self.etag.clone());
        request.send().await.map_err(|error| {
            if code_of(&error) == Some("InvalidObjectState") {
                Refused::Cold { at: self.at.clone() }
            } else {
                Refused::Error(service_error(&self.at, error))
            }
        })
    }

    async fn next(&mut self) -> Result<Option<Bytes>, TargetError> {
        while self.next < self.end {
            let Some(body) = &mut self.body else {
                match self.open().await {
                    Ok(opened) => self.body = Some(opened.body),
                    Err(Refused::Cold { at }) => return Err(expired(&at)),
                    Err(Refused::Error(TargetError::Transport { what })) => {
                        self.broken(&what).await?;
                    }
                    Err(Refused::Error(error)) => return Err(error),
                }
                continue;
            };
            match body.next().await {
                Some(Ok(mut chunk)) => {
                    let left = usize::try_from(self.end - self.next).unwrap_or(usize::MAX);
                    chunk.truncate(left);
                    self.next += chunk.len() as u64;
                    self.breaks = 0;
                    return Ok(Some(chunk));
                }
                Some(Err(error)) => self.broken(&causes(&error)).await?,
                None => self.broken("the answer ended too soon").await?,
            }
        }
        Ok(None)
    }

    /// Notes that the connection broke, and waits before the next one.
    #[expect(clippy::disallowed_methods, reason = "the pause of the retry policy above")]
    async fn broken(&mut self, why: &str) -> Result<(), TargetError> {
        self.body = None;
        self.breaks += 1;
        if self.breaks > MAX_BREAKS {
            return Err(TargetError::Transport { what: format!("{}: {why}", self.at) });
        }
        tokio::time::sleep(BREAK_PAUSE * 2_u32.pow(self.breaks - 1)).await;
        Ok(())
    }
}
