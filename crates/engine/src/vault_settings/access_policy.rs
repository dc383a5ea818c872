//! The vault's access policy: who may do what in it, and who must not ("Vault Access Policies").

use icefield_protocol::Operation;

use crate::{
    access::Access,
    engine::Engine,
    error::EngineError,
    policy::{ContextKeys, Policy, PolicyKind},
};

impl Engine {
    /// Sets the access policy in the place of the one before; it is kept as it came.
    ///
    /// # Errors
    ///
    /// `AccessDenied`; `VaultNotFound`; `InvalidAccessPolicy` for one that is longer than 20,480 bytes, has anything in it
    /// that is not understood, or can never be about this vault.
    pub async fn set_access_policy(
        &self,
        access: &Access,
        policy: &str,
    ) -> Result<(), EngineError> {
        let (policy, vault) = (policy.to_owned(), self.vault_arn(access)?);
        let set = Operation::SetVaultAccessPolicy;
        self.change_vault(access, set, ContextKeys::new(), move |settings| {
            Policy::parse(&policy, PolicyKind::VaultAccess(vault.clone()))
                .inspect_err(|error| tracing::info!(%error, %vault, "an access policy is invalid"))
                .map_err(EngineError::InvalidAccessPolicy)?;
            settings.access_policy = Some(policy.clone());
            Ok(())
        })
        .await
    }

    /// Returns the access policy as it came.
    ///
    /// # Errors
    ///
    /// `VaultNotFound`; `NoAccessPolicy`.
    pub async fn access_policy(&self, access: &Access) -> Result<String, EngineError> {
        let settings = self.settings_for(access, Operation::GetVaultAccessPolicy).await?;
        let name = access.vault_name()?;
        settings.access_policy.ok_or_else(|| EngineError::NoAccessPolicy(name.clone()))
    }

    /// Removes the access policy; none is fine.
    ///
    /// # Errors
    ///
    /// `AccessDenied`; `VaultNotFound`.
    pub async fn delete_access_policy(&self, access: &Access) -> Result<(), EngineError> {
        let delete = Operation::DeleteVaultAccessPolicy;
        self.change_vault(access, delete, ContextKeys::new(), |settings| {
            settings.access_policy = None;
            Ok(())
        })
        .await
    }
}
