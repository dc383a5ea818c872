//! An archive in one request, and the key that an archive gets.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use icefield_protocol::{ArchiveId, ErrorCode, UploadToken, VaultName};
use tokio::sync::OnceCell;

use super::{
    S3, class_header,
    error::{is_not_implemented, is_taken, service_error},
    keys::{PathKey, is_version, version},
    metadata::Metadata,
    object::Found,
    send::Outgoing,
};
use crate::target::{Archived, Body, NewArchive, TargetError};

/// Times that another program may take the key between the look and the put.
const MAX_SEATS: u32 = 4;

/// Newest archives of a path among which the first result of a repeated put is looked for. Who repeats has held the path
/// since, so no run of the same catalog can have put others.
const VERSIONS_LOOKED_AT: usize = 8;

/// Where a new archive goes.
#[derive(Debug)]
pub(super) enum Seat {
    /// It is there already: its put, or its upload, was repeated.
    Taken { key: String, found: Box<Found> },
    /// Here.
    Free { key: String, tell_path: bool },
}

impl S3 {
    /// Finds the key for a new archive.
    pub(super) async fn seat(
        &self,
        vault: &VaultName,
        new: &NewArchive,
    ) -> Result<Seat, TargetError> {
        let PathKey { key, is_plain } = self.keys.path(vault, &new.path);
        let Some(found) = self.head(&key).await? else {
            return Ok(Seat::Free { key, tell_path: !is_plain });
        };
        if found.metadata.token == Some(new.token) {
            return Ok(Seat::Taken { key, found: Box::new(found) });
        }
        let versions = self.versions(&key).await?;
        for key in versions.iter().rev().take(VERSIONS_LOOKED_AT) {
            if let Some(found) = self.with_token(key, new.token).await? {
                return Ok(Seat::Taken { key: key.clone(), found: Box::new(found) });
            }
        }
        let mut at = self.clock.now();
        while versions.contains(&version(&key, at)) {
            at = at.saturating_add(Duration::from_secs(1));
        }
        Ok(Seat::Free { key: version(&key, at), tell_path: true })
    }

    /// Looks at an object, and returns it if it was put with this token.
    pub(super) async fn with_token(
        &self,
        key: &str,
        token: UploadToken,
    ) -> Result<Option<Found>, TargetError> {
        let found = self.head(key).await?;
        Ok(found.filter(|found| found.metadata.token == Some(token)))
    }

    /// Lists the keys of later archives of a path, the oldest first.
    async fn versions(&self, key: &str) -> Result<Vec<String>, TargetError> {
        let mut versions = Vec::new();
        let mut pages = self
            .client
            .list_objects_v2()
            .bucket(&self.settings.bucket)
            .prefix(format!("{key}@"))
            .into_paginator()
            .send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| service_error(&self.at(key), error))?;
            let keys = page.contents().iter().filter_map(|object| object.key());
            versions.extend(keys.filter(|found| is_version(key, found)).map(str::to_owned));
        }
        Ok(versions)
    }

    /// Stores an archive in one request; `outgoing` is kept between repeats, so that its bytes are hashed once.
    pub(super) async fn put(
        &self,
        vault: &VaultName,
        new: &NewArchive,
        body: &Body,
        outgoing: &OnceCell<Outgoing>,
    ) -> Result<Archived, TargetError> {
        let hashed = || outgoing.get_or_try_init(|| Outgoing::of(body, &self.hashing));
        for _ in 0..MAX_SEATS {
            let (key, tell_path) = match self.seat(vault, new).await? {
                Seat::Taken { key, found } => {
                    let tree_hash = match self.tree_hash(&key, &found).await? {
                        Some(tree_hash) => tree_hash,
                        None => hashed().await?.tree_hash,
                    };
                    return Ok(Archived { archive: id(key)?, tree_hash });
                }
                Seat::Free { key, tell_path } => (key, tell_path),
            };
            let outgoing = hashed().await?;
            if self.put_at(&key, new, tell_path, outgoing).await? {
                return Ok(Archived { archive: id(key)?, tree_hash: outgoing.tree_hash });
            }
        }
        Err(TargetError::Service {
            code: ErrorCode::InvalidParameterValue,
            message: format!("others keep storing archives as {}", new.path),
        })
    }

    /// Deletes an archive.
    pub(super) async fn delete(
        &self,
        vault: &VaultName,
        archive: &ArchiveId,
    ) -> Result<(), TargetError> {
        let key = self.keys.of(vault, archive)?;
        let request = self.client.delete_object().bucket(&self.settings.bucket).key(key);
        request.send().await.map(drop).map_err(|error| service_error(&self.at(key), error))
    }

    /// Puts an object; false when the key was taken meanwhile.
    async fn put_at(
        &self,
        key: &str,
        new: &NewArchive,
        tell_path: bool,
        outgoing: &Outgoing,
    ) -> Result<bool, TargetError> {
        let metadata = Metadata::write(new, Some(outgoing.tree_hash), tell_path)?;
        loop {
            let condition = self.if_none_match();
            let request = self
                .client
                .put_object()
                .bucket(&self.settings.bucket)
                .key(key)
                .set_metadata(Some(metadata.clone()))
                .set_storage_class(class_header(self.settings.class))
                .set_if_none_match(condition.clone())
                .content_length(outgoing.content_length())
                .checksum_sha256(outgoing.checksum())
                .body(outgoing.stream());
            match request.customize().interceptor(outgoing.signed()).send().await {
                Ok(_) => return Ok(true),
                Err(error) if is_taken(&error) => return Ok(false),
                Err(error) if condition.is_some() && is_not_implemented(&error) => {
                    self.conditional.store(false, Relaxed);
                }
                Err(error) => {
                    return Err(outgoing.or_source(service_error(&self.at(key), error)));
                }
            }
        }
    }
}

/// The key as the identifier that is handed out.
pub(super) fn id(key: String) -> Result<ArchiveId, TargetError> {
    ArchiveId::try_from(key).map_err(|error| TargetError::Failed(Box::new(error)))
}
