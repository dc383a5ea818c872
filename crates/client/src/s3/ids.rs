//! What the identifiers of uploads and jobs are made of: S3 has neither, beside the key.
//!
//! `{upload ID of S3}:{part size as a power of two}:{key}`, where `%`, `:` and blanks of the first are `%XX`. It is empty
//! for an upload that was found completed. Jobs are `inventory:{time}` and `archive:{time}:{tier}:{range}:{key}`, the time in
//! milliseconds since 1970 and the range empty for a whole archive.

use std::fmt;

use icefield_protocol::{ByteRange, ErrorCode, JobId, PartSize, Tier, Timestamp, UploadId};

use super::keys::{escape, unescaped};
use crate::target::TargetError;

/// What an upload is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Upload {
    /// S3's own identifier; empty when the upload was found completed.
    pub(super) id: String,
    pub(super) part_size: PartSize,
    pub(super) key: String,
}

impl Upload {
    pub(super) fn parse(upload: &UploadId) -> Result<Self, TargetError> {
        let unknown = || not_found(format!("there is no upload {upload}"));
        let mut fields = upload.as_str().splitn(3, ':');
        let mut next = || fields.next().ok_or_else(unknown);
        let (id, shift, key) = (next()?, next()?, next()?);
        let size = shift.parse::<u32>().ok().and_then(|shift| 1_u64.checked_shl(shift));
        Ok(Self {
            id: String::from_utf8(unescaped(id)).map_err(|_| unknown())?,
            part_size: size.and_then(|size| PartSize::new(size).ok()).ok_or_else(unknown)?,
            key: key.to_owned(),
        })
    }

    /// Returns it as the identifier that is handed out.
    pub(super) fn id(&self) -> Result<UploadId, TargetError> {
        UploadId::parse(&self.to_string()).map_err(|error| TargetError::Failed(Box::new(error)))
    }

    /// Returns where part `number`, counted from 1, begins.
    pub(super) fn offset(&self, number: u64) -> u64 {
        number.saturating_sub(1).saturating_mul(self.part_size.bytes())
    }
}

impl fmt::Display for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut id = String::with_capacity(self.id.len());
        for character in self.id.chars() {
            if matches!(character, '%' | ':' | ' ') || !character.is_ascii_graphic() {
                escape(&mut id, character.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                id.push(character);
            }
        }
        write!(f, "{id}:{}:{}", self.part_size.bytes().trailing_zeros(), self.key)
    }
}

/// What a job is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Job {
    Inventory { at: Timestamp },
    Archive { at: Timestamp, tier: Tier, range: Option<ByteRange>, key: String },
}

impl Job {
    pub(super) fn parse(job: &JobId) -> Result<Self, TargetError> {
        let read = || {
            let (kind, rest) = job.as_str().split_once(':')?;
            if kind == "inventory" {
                return Some(Self::Inventory { at: time(rest)? });
            }
            let mut fields = rest.splitn(4, ':');
            let (at, tier) = (time(fields.next()?)?, fields.next()?.parse().ok()?);
            let range = match fields.next()? {
                "" => None,
                range => Some(ByteRange::parse(range).ok()?),
            };
            let key = fields.next()?.to_owned();
            (kind == "archive").then_some(Self::Archive { at, tier, range, key })
        };
        read().ok_or_else(|| not_found(format!("there is no job {job}")))
    }

    /// Returns it as the identifier that is handed out.
    pub(super) fn id(&self) -> Result<JobId, TargetError> {
        JobId::parse(&self.to_string()).map_err(|error| TargetError::Failed(Box::new(error)))
    }

    /// When it was asked for.
    pub(super) const fn at(&self) -> Timestamp {
        match self {
            Self::Inventory { at } | Self::Archive { at, .. } => *at,
        }
    }
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inventory { at } => write!(f, "inventory:{}", at.unix_millis()),
            Self::Archive { at, tier, range, key } => {
                let range = range.map(|range| range.to_string()).unwrap_or_default();
                write!(f, "archive:{}:{tier}:{range}:{key}", at.unix_millis())
            }
        }
    }
}

fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok().map(Timestamp::from_unix_millis)
}

fn not_found(message: String) -> TargetError {
    TargetError::Service { code: ErrorCode::ResourceNotFound, message }
}

#[cfg(test)]
mod tests {
    use icefield_protocol::{ByteRange, JobId, PartSize, Tier, Timestamp, UploadId};

    use super::{Job, Upload};

    #[test]
    fn uploads_are_read_back_whatever_their_service_calls_them() {
        for id in ["", "2~abc.DEF_-", "a:b %c", "é"] {
            let upload = Upload {
                id: id.to_owned(),
                part_size: PartSize::new(8 << 20).unwrap(),
                key: "deep/v/a:b c".to_owned(),
            };
            assert_eq!(Upload::parse(&upload.id().unwrap()).unwrap(), upload);
        }
        for bad in ["x", "x:23", "x:99:k", "x:a:k", "x:19:k"] {
            assert!(Upload::parse(&UploadId::parse(bad).unwrap()).is_err(), "{bad}");
        }
    }

    #[test]
    fn jobs_are_read_back() {
        let at = Timestamp::from_unix_millis(1_764_370_800_000);
        let archive = |range| Job::Archive { at, tier: Tier::Bulk, range, key: "v/a:b".to_owned() };
        let range = ByteRange { first: 0, last: 1_048_575 };
        for job in [Job::Inventory { at }, archive(None), archive(Some(range))] {
            assert_eq!(Job::parse(&job.id().unwrap()).unwrap(), job);
        }
        for bad in ["x", "inventory:x", "archive:1:Bulk:", "archive:1:Slow::k", "other:1:Bulk::k"] {
            assert!(Job::parse(&JobId::parse(bad).unwrap()).is_err(), "{bad}");
        }
    }
}
