//! The vault's tags ("Tagging Amazon S3 Glacier Resources").

use icefield_protocol::{
    Operation, TagKey, Tags,
    limits::{TAGS_PER_REQUEST, TAGS_PER_VAULT},
};

use crate::{access::Access, engine::Engine, error::EngineError, policy::ContextKeys};

impl Engine {
    /// Adds tags, and gives new values to those that the vault has; all or none.
    ///
    /// # Errors
    ///
    /// `AccessDenied`; `VaultNotFound`; `InvalidTagCount` of none or more than 10; `TagLimit` when the vault would have more
    /// than 50.
    pub async fn add_tags(&self, access: &Access, tags: Tags) -> Result<(), EngineError> {
        check_count(tags.len())?;
        let said = ContextKeys::of_tags(&tags);
        self.change_vault(access, Operation::AddTagsToVault, said, move |settings| {
            settings.tags.extend(tags.clone());
            if settings.tags.len() > TAGS_PER_VAULT {
                return Err(EngineError::TagLimit(TAGS_PER_VAULT));
            }
            Ok(())
        })
        .await
    }

    /// Removes tags; keys that the vault does not have are fine.
    ///
    /// # Errors
    ///
    /// `AccessDenied`; `VaultNotFound`; `InvalidTagCount` of none or more than 10.
    pub async fn remove_tags(&self, access: &Access, keys: &[TagKey]) -> Result<(), EngineError> {
        check_count(keys.len())?;
        let said = ContextKeys::of_tag_keys(keys);
        let keys = keys.to_vec();
        self.change_vault(access, Operation::RemoveTagsFromVault, said, move |settings| {
            settings.tags.retain(|key, _| !keys.contains(key));
            Ok(())
        })
        .await
    }

    /// Lists the tags.
    ///
    /// # Errors
    ///
    /// `VaultNotFound`.
    pub async fn tags(&self, access: &Access) -> Result<Tags, EngineError> {
        Ok(self.settings_for(access, Operation::ListTagsForVault).await?.tags)
    }
}

/// Counts before anything is decided: what is compared with policies has to be little.
fn check_count(count: usize) -> Result<(), EngineError> {
    if (1..=TAGS_PER_REQUEST).contains(&count) {
        return Ok(());
    }
    Err(EngineError::InvalidTagCount(count))
}
