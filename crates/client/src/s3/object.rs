//! One object as HeadObject tells it.

use aws_sdk_s3::{
    operation::head_object::HeadObjectOutput,
    primitives::DateTime,
    types::{ArchiveStatus, ChecksumMode, StorageClass},
};
use icefield_protocol::{Timestamp, TreeHash};

use super::{
    S3,
    error::{is_missing, is_not_implemented, service_error},
    metadata::{Metadata, TREE_HASH_TAG},
};
use crate::target::TargetError;

/// What an object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) size: u64,
    pub(super) modified: Option<Timestamp>,
    pub(super) metadata: Metadata,
    pub(super) class: Option<StorageClass>,
    pub(super) state: State,
    /// The checksum of a completed upload: that of its parts' checksums, and their number.
    pub(super) checksum: Option<String>,
    has_tags: bool,
}

/// Whether an object can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// Its class is readable at any time.
    Readable,
    /// It has to be restored first, and nobody has asked for that, or the restored copy has expired.
    Cold,
    /// It is being restored.
    Restoring,
    /// It was restored; until when, as the service says it.
    Restored(Option<String>),
}

impl S3 {
    /// Looks at an object; nothing if it does not exist.
    pub(super) async fn head(&self, key: &str) -> Result<Option<Found>, TargetError> {
        let request = self
            .client
            .head_object()
            .bucket(&self.settings.bucket)
            .key(key)
            .checksum_mode(ChecksumMode::Enabled);
        match request.send().await {
            Ok(told) => Ok(Some(found(&told))),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(service_error(&self.at(key), error)),
        }
    }

    /// Returns an object's tree hash from its metadata, else from its tags.
    pub(super) async fn tree_hash(
        &self,
        key: &str,
        found: &Found,
    ) -> Result<Option<TreeHash>, TargetError> {
        // Only what icefield has put there can have such a tag.
        if found.metadata.tree_hash.is_some() || !found.has_tags || found.metadata.token.is_none() {
            return Ok(found.metadata.tree_hash);
        }
        let request = self.client.get_object_tagging().bucket(&self.settings.bucket).key(key);
        match request.send().await {
            Ok(tags) => {
                let tag = tags.tag_set().iter().find(|tag| tag.key() == TREE_HASH_TAG);
                Ok(tag.and_then(|tag| tag.value().parse().ok()))
            }
            Err(error) if is_missing(&error) || is_not_implemented(&error) => Ok(None),
            Err(error) => Err(service_error(&self.at(key), error)),
        }
    }
}

fn found(told: &HeadObjectOutput) -> Found {
    Found {
        size: told.content_length().and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
        modified: told.last_modified().and_then(timestamp),
        metadata: Metadata::read(told.metadata()),
        class: told.storage_class().cloned(),
        state: state(told.storage_class(), told.archive_status(), told.restore()),
        checksum: told.checksum_sha256().map(str::to_owned),
        // Some services do not tell whether there are any.
        has_tags: told.tag_count().is_none_or(|count| count > 0),
    }
}

fn state(
    class: Option<&StorageClass>,
    tier: Option<&ArchiveStatus>,
    restore: Option<&str>,
) -> State {
    let is_cold =
        matches!(class, Some(StorageClass::Glacier | StorageClass::DeepArchive)) || tier.is_some();
    match restore {
        _ if !is_cold => State::Readable,
        None => State::Cold,
        Some(restore) if restore.contains(r#"ongoing-request="true""#) => State::Restoring,
        Some(restore) => {
            let expiry = restore.split_once(r#"expiry-date=""#);
            let until = expiry.and_then(|(_, rest)| rest.split_once('"'));
            State::Restored(until.map(|(until, _)| until.to_owned()))
        }
    }
}

pub(super) fn timestamp(time: &DateTime) -> Option<Timestamp> {
    time.to_millis().ok().map(Timestamp::from_unix_millis)
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::types::{ArchiveStatus, StorageClass};

    use super::{State, state};

    #[test]
    fn only_cold_classes_have_to_be_restored() {
        let told = r#"ongoing-request="false", expiry-date="Fri, 21 Dec 2012 00:00:00 GMT""#;
        let until = State::Restored(Some("Fri, 21 Dec 2012 00:00:00 GMT".to_owned()));
        for class in [StorageClass::Glacier, StorageClass::DeepArchive] {
            assert_eq!(state(Some(&class), None, None), State::Cold);
            let ongoing = Some(r#"ongoing-request="true""#);
            assert_eq!(state(Some(&class), None, ongoing), State::Restoring);
            assert_eq!(state(Some(&class), None, Some(told)), until);
        }
        for class in [None, Some(StorageClass::GlacierIr), Some(StorageClass::Standard)] {
            assert_eq!(state(class.as_ref(), None, None), State::Readable);
        }
        let tier = Some(&ArchiveStatus::DeepArchiveAccess);
        assert_eq!(state(Some(&StorageClass::IntelligentTiering), tier, None), State::Cold);
    }
}
