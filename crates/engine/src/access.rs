//! Who may do what: the one place that decides, and the value that says it was asked.
//!
//! Every operation takes an [`Access`], and only [`Engine::authorize`] makes one. So no operation can be reached without a
//! decision, whoever calls: the service, or a program that works on the store as its owner.

use icefield_protocol::{AccountId, ArchiveId, Operation, VaultName};
use icefield_store::{entry::VaultNumber, ledger::VaultRow};

use crate::{engine::Engine, error::EngineError};

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The account that the caller belongs to.
    pub account: AccountId,
}

impl Caller {
    /// The root of an account: needs nobody's permission in it, and is bound by what its vaults' policies deny.
    #[must_use]
    pub const fn root(account: AccountId) -> Self {
        Self { account }
    }
}

/// What is asked about.
#[derive(Debug, Clone, Copy)]
pub struct Resource<'a> {
    /// The owner of what is asked about.
    pub account: &'a AccountId,
    /// The vault; `None` for operations about an account.
    pub vault: Option<&'a VaultName>,
    /// The archive that the request names: its age counts.
    pub archive: Option<&'a ArchiveId>,
}

impl<'a> Resource<'a> {
    /// An account.
    #[must_use]
    pub const fn account(account: &'a AccountId) -> Self {
        Self { account, vault: None, archive: None }
    }

    /// A vault.
    #[must_use]
    pub const fn vault(account: &'a AccountId, vault: &'a VaultName) -> Self {
        Self { account, vault: Some(vault), archive: None }
    }
}

/// Permission for one operation on one resource.
#[derive(Debug)]
pub struct Access {
    operation: Operation,
    caller: Caller,
    account: AccountId,
    vault: Option<VaultName>,
    /// The life of the vault that was decided about; `None` when there was no such vault.
    number: Option<VaultNumber>,
}

impl Access {
    /// Returns who asked.
    #[must_use]
    pub const fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Returns the owner of what was asked about.
    #[must_use]
    pub const fn account(&self) -> &AccountId {
        &self.account
    }

    /// Returns the operation that was asked for.
    #[must_use]
    pub const fn operation(&self) -> Operation {
        self.operation
    }

    /// Returns the vault of an operation about a vault.
    pub(crate) fn vault_name(&self) -> Result<&VaultName, EngineError> {
        self.vault.as_ref().ok_or_else(|| EngineError::unexpected("finding the vault", &self))
    }

    /// Refuses another operation than the one that was decided about: a mistake of the program, never of a caller.
    pub(crate) fn is_for(&self, operation: Operation) -> Result<(), EngineError> {
        if self.operation == operation {
            return Ok(());
        }
        Err(EngineError::unexpected("checking the permission for an operation", &self))
    }
}

impl Engine {
    /// Decides whether the caller may do this.
    ///
    /// # Errors
    ///
    /// `AccessDenied`.
    pub async fn authorize(
        &self,
        caller: &Caller,
        operation: Operation,
        resource: Resource<'_>,
    ) -> Result<Access, EngineError> {
        let Resource { account, vault, .. } = resource;
        if caller.account != *account {
            return Err(self.denied(caller, operation, resource));
        }
        let row = match vault {
            Some(vault) => self.store().ledger().vault(account, vault).await?,
            None => None,
        };
        Ok(Access {
            operation,
            caller: caller.clone(),
            account: account.clone(),
            vault: vault.cloned(),
            number: row.map(|row| row.number),
        })
    }

    fn denied(&self, caller: &Caller, operation: Operation, resource: Resource<'_>) -> EngineError {
        let principal = format!("arn:aws:iam::{}:root", caller.account);
        let resource = resource
            .vault
            .map_or_else(|| "*".to_owned(), |vault| self.arn(resource.account, vault).to_string());
        EngineError::AccessDenied { principal, operation, resource }
    }

    /// Finds the vault that the permission is for.
    pub(crate) async fn vault(
        &self,
        access: &Access,
        operation: Operation,
    ) -> Result<VaultRow, EngineError> {
        access.is_for(operation)?;
        let name = access.vault_name()?;
        let row = self.store().ledger().vault(&access.account, name).await?;
        // One that was deleted and made again since has other policies.
        row.filter(|row| Some(row.number) == access.number)
            .ok_or_else(|| EngineError::VaultNotFound(self.arn(&access.account, name)))
    }
}
