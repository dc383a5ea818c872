//! A file of its own in a bucket, such as an inventory that is to survive the workstation.

use std::{fmt, path::Path, pin::Pin, str::FromStr, sync::Arc};

use aws_sdk_s3::Client;
use bytes::Bytes;
use futures_core::Stream;
use futures_util::TryStreamExt as _;
use icefield_protocol::ByteRange;
use icefield_treehash::HashPool;

use super::{
    error::{is_not_implemented, is_taken, service_error},
    output::{Reading, Refused},
    send::Outgoing,
};
use crate::{
    target::{Body, TargetError},
    transfer::source::{FileSource, Source as _, SourceError},
};

/// Largest file that goes in one request.
const MAX_BYTES: u64 = 5 << 30;

/// Where a file is: `s3://BUCKET/KEY`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketFile {
    bucket: String,
    key: String,
}

/// The text names no file in a bucket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no file in a bucket: it is written s3://BUCKET/KEY")]
pub struct ParseBucketUrlError(pub String);

/// Why a file was not replaced.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The local file could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The service failed.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// It is larger than what goes in one request.
    #[error("{0} bytes are more than S3 takes in one request (5 GiB)")]
    TooLarge(u64),
    /// Somebody else has written it meanwhile.
    #[error("somebody else has written {0} meanwhile: run it again")]
    Changed(BucketFile),
}

impl FromStr for BucketFile {
    type Err = ParseBucketUrlError;

    fn from_str(text: &str) -> Result<Self, ParseBucketUrlError> {
        let refused = || ParseBucketUrlError(text.to_owned());
        let (bucket, key) =
            text.strip_prefix("s3://").and_then(|rest| rest.split_once('/')).ok_or_else(refused)?;
        if bucket.is_empty() || key.is_empty() || key.ends_with('/') {
            return Err(refused());
        }
        Ok(Self { bucket: bucket.to_owned(), key: key.to_owned() })
    }
}

impl fmt::Display for BucketFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

impl BucketFile {
    /// Returns at most the first `most` bytes, and the entity tag of the file; nothing if there is none.
    ///
    /// # Errors
    ///
    /// When the service fails, or the file has to be restored before it can be read.
    pub async fn beginning(
        &self,
        client: &Client,
        most: u64,
    ) -> Result<Option<(Bytes, Option<String>)>, TargetError> {
        let request = client.head_object().bucket(&self.bucket).key(&self.key);
        let size = match request.send().await {
            Ok(told) => told.content_length().and_then(|size| u64::try_from(size).ok()),
            Err(error) if super::error::is_missing(&error) => return Ok(None),
            Err(error) => return Err(service_error(&self.to_string(), error)),
        };
        // A range of nothing is no range.
        let range = ByteRange::whole(most.min(size.unwrap_or(0)));
        let (reading, _) = self.open(client, range).await?;
        let etag = reading.etag().map(str::to_owned);
        let chunks: Vec<Bytes> = reading.chunks().try_collect().await?;
        Ok(Some((chunks.concat().into(), etag)))
    }

    /// Reads the file.
    ///
    /// # Errors
    ///
    /// As [`beginning`](Self::beginning), and when there is none.
    pub async fn read(
        &self,
        client: &Client,
    ) -> Result<Pin<Box<dyn Stream<Item = Result<Bytes, TargetError>> + Send>>, TargetError> {
        Ok(self.open(client, None).await?.0.chunks())
    }

    /// Writes a local file there, in place of the one with this entity tag, or where there is none.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, the service fails, or somebody else has written there meanwhile (as far as the
    /// service tells).
    pub async fn replace(
        &self,
        client: &Client,
        with: &Path,
        before: Option<&str>,
        hashing: &HashPool,
    ) -> Result<(), FileError> {
        let with = with.to_owned();
        let source = Arc::new(crate::transfer::blocking(move || FileSource::open(&with)).await?);
        if source.size() > MAX_BYTES {
            return Err(FileError::TooLarge(source.size()));
        }
        let body = match ByteRange::whole(source.size()) {
            Some(range) => Arc::clone(&source).body(range).await?,
            None => Body::of(Vec::new()),
        };
        let outgoing = Outgoing::of(&body, hashing).await?;
        let mut is_conditional = true;
        loop {
            let request = client
                .put_object()
                .bucket(&self.bucket)
                .key(&self.key)
                .content_type("text/csv")
                .set_if_match(before.filter(|_| is_conditional).map(str::to_owned))
                .set_if_none_match((is_conditional && before.is_none()).then(|| "*".to_owned()))
                .content_length(outgoing.content_length())
                .checksum_sha256(outgoing.checksum())
                .body(outgoing.stream());
            match request.customize().interceptor(outgoing.signed()).send().await {
                Ok(_) => return Ok(()),
                Err(error) if is_taken(&error) => return Err(FileError::Changed(self.clone())),
                Err(error) if is_conditional && is_not_implemented(&error) => {
                    is_conditional = false;
                }
                Err(error) => {
                    return Err(outgoing.or_source(service_error(&self.to_string(), error)).into());
                }
            }
        }
    }

    async fn open(
        &self,
        client: &Client,
        range: Option<ByteRange>,
    ) -> Result<(Reading, u64), TargetError> {
        let place = (client.clone(), self.bucket.clone());
        Reading::begin(place, self.key.clone(), range).await.map_err(|refused| match refused {
            Refused::Error(error) => error,
            Refused::Cold { at } => TargetError::Service {
                code: icefield_protocol::ErrorCode::InvalidParameterValue,
                message: format!("{at}: it must be restored before it can be read"),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::BucketFile;

    #[test]
    fn a_file_is_named_by_bucket_and_key() {
        let text = "s3://lists/icefield/photos.csv";
        assert_eq!(text.parse::<BucketFile>().unwrap().to_string(), text);
        for bad in ["photos.csv", "s3://lists", "s3://lists/", "s3:///x", "s3://lists/folder/"] {
            assert!(bad.parse::<BucketFile>().is_err(), "{bad}");
        }
    }
}
