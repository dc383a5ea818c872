//! Vaults: prefixes of keys, with an empty object that says that they are there.

use aws_sdk_s3::types::Object;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use icefield_protocol::{
    ErrorCode, LinearHash, Page, Timestamp, VaultDescription, VaultName,
    limits::ARCHIVE_OVERHEAD_BYTES,
};

use super::{
    S3,
    error::{is_not_implemented, is_taken, service_error},
};
use crate::target::TargetError;

/// Vaults of a page, each of which takes two requests more.
const VAULTS_OF_A_PAGE: i32 = 100;

/// Vaults that are looked at at a time.
const VAULTS_AT_ONCE: usize = 8;

impl S3 {
    /// Makes a vault; one that exists, with or without a marker, is left as it is.
    pub(super) async fn make_vault(&self, vault: &VaultName) -> Result<(), TargetError> {
        match self.look_at_vault(vault).await {
            Ok(_) => return Ok(()),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
        let key = self.keys.vault(vault);
        let put = async |condition: Option<String>| {
            let request = self
                .client
                .put_object()
                .bucket(&self.settings.bucket)
                .key(&key)
                .set_if_none_match(condition)
                .content_length(0)
                .checksum_sha256(super::send::base64(LinearHash::of(b"")));
            request.send().await
        };
        let condition = self.if_none_match();
        let made = match put(condition.clone()).await {
            Err(error) if condition.is_some() && is_not_implemented(&error) => put(None).await,
            made => made,
        };
        match made {
            Ok(_) => Ok(()),
            Err(error) if is_taken(&error) => Ok(()),
            Err(error) => Err(service_error(&self.at(&key), error)),
        }
    }

    /// Describes a vault: its numbers are those of this moment, or, of a vault that is larger than one page of a listing,
    /// at least so many; then no inventory is told.
    pub(super) async fn look_at_vault(
        &self,
        vault: &VaultName,
    ) -> Result<VaultDescription, TargetError> {
        let marker = self.keys.vault(vault);
        let request = self.client.list_objects_v2().bucket(&self.settings.bucket).prefix(&marker);
        let page = request.send().await.map_err(|error| service_error(&self.at(&marker), error))?;
        let made = match page.contents().iter().find(|object| object.key() == Some(&marker)) {
            Some(object) => object.last_modified().and_then(super::object::timestamp),
            // A marker has the first key of all; but who lists otherwise may have it.
            None if page.is_truncated() == Some(true) => None,
            None if page.contents().is_empty() => return Err(self.no_vault(vault)),
            None => None,
        };
        let (archives, bytes) = count(page.contents(), &marker);
        let is_whole = page.is_truncated() != Some(true);
        Ok(VaultDescription {
            creation_date: made.unwrap_or(Timestamp::UNIX_EPOCH),
            last_inventory_date: is_whole.then(|| self.clock.now()),
            number_of_archives: archives,
            size_in_bytes: bytes + archives * ARCHIVE_OVERHEAD_BYTES,
            vault_arn: self.arn(vault),
            vault_name: vault.clone(),
        })
    }

    /// Lists vaults.
    pub(super) async fn page_of_vaults(
        &self,
        marker: Option<&str>,
    ) -> Result<Page<VaultDescription>, TargetError> {
        let request = self
            .client
            .list_objects_v2()
            .bucket(&self.settings.bucket)
            .prefix(self.keys.root())
            .delimiter("/")
            .max_keys(VAULTS_OF_A_PAGE)
            .set_continuation_token(marker.map(str::to_owned));
        let page = request.send().await;
        let page = page.map_err(|error| service_error(&self.at(self.keys.root()), error))?;
        let names = page.common_prefixes().iter().filter_map(|common| common.prefix());
        let names: Vec<_> = names.filter_map(|prefix| self.keys.vault_of(prefix)).collect();
        let items: Vec<_> = stream::iter(names)
            .map(async |name| match self.look_at_vault(&name).await {
                Ok(vault) => Ok(Some(vault)),
                // It is gone since.
                Err(error) if error.is_not_found() => Ok(None),
                Err(error) => Err(error),
            })
            .buffered(VAULTS_AT_ONCE)
            .try_collect()
            .await?;
        let more = page.is_truncated().unwrap_or(false);
        Ok(Page {
            items: items.into_iter().flatten().collect(),
            marker: page.next_continuation_token().filter(|_| more).map(str::to_owned),
        })
    }

    /// Deletes a vault in which there is nothing but its marker.
    pub(super) async fn remove_vault(&self, vault: &VaultName) -> Result<(), TargetError> {
        let marker = self.keys.vault(vault);
        let request =
            self.client.list_objects_v2().bucket(&self.settings.bucket).prefix(&marker).max_keys(2);
        let page = request.send().await.map_err(|error| service_error(&self.at(&marker), error))?;
        if page.contents().is_empty() {
            return Err(self.no_vault(vault));
        }
        if page.contents().iter().any(|object| object.key() != Some(&marker)) {
            return Err(TargetError::Service {
                code: ErrorCode::InvalidParameterValue,
                message: format!("Vault not empty or recently written to: {}", self.arn(vault)),
            });
        }
        let request = self.client.delete_object().bucket(&self.settings.bucket).key(&marker);
        request.send().await.map(drop).map_err(|error| service_error(&self.at(&marker), error))
    }

    fn no_vault(&self, vault: &VaultName) -> TargetError {
        TargetError::Service {
            code: ErrorCode::ResourceNotFound,
            message: format!("there is no vault {vault} in {}", self.at(self.keys.root())),
        }
    }
}

/// Counts archives and their bytes.
fn count(objects: &[Object], marker: &str) -> (u64, u64) {
    let sizes = objects.iter().filter(|object| object.key() != Some(marker));
    let sizes = sizes.filter_map(|object| u64::try_from(object.size()?).ok());
    let sizes = sizes.filter(|size| *size > 0);
    sizes.fold((0, 0), |(archives, bytes), size| (archives + 1, bytes + size))
}
