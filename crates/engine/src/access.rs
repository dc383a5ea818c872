//! Who may do what: the one place that decides, and the value that says it was asked.
//!
//! Every operation takes an [`Access`], and only [`Engine::authorize`] makes one. So no operation can be reached without a
//! decision, whoever calls: the service, or a program that works on the store as its owner.

use icefield_protocol::{AccountId, ArchiveId, Operation, UserName, VaultArn, VaultName};
use icefield_store::{entry::VaultNumber, ledger::VaultRow};

use crate::{
    engine::Engine,
    error::EngineError,
    policy::{ContextKeys, Decision, PrincipalRef},
};

/// Who asks, and what its request says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The account that the caller belongs to.
    pub account: AccountId,
    /// The user; `None` is the account's root.
    pub user: Option<UserName>,
    /// Condition keys that only whoever took the request knows: address, transport, headers, session. Those that the
    /// engine knows itself (principal, times, tags, age, region) must not be among them.
    pub context: ContextKeys,
}

impl Caller {
    /// The root of an account: needs nobody's permission in it, and is bound by what its vaults' policies deny.
    #[must_use]
    pub fn root(account: AccountId) -> Self {
        Self { account, user: None, context: ContextKeys::new() }
    }

    /// A user: has the rights that its policies and those of vaults give.
    #[must_use]
    pub fn user(account: AccountId, user: UserName) -> Self {
        Self { user: Some(user), ..Self::root(account) }
    }

    /// Sets what the request says about itself.
    #[must_use]
    pub fn with_context(self, context: ContextKeys) -> Self {
        Self { context, ..self }
    }

    /// Returns `arn:aws:iam::ACCOUNT:root` or `arn:aws:iam::ACCOUNT:user/NAME`.
    #[must_use]
    pub fn arn(&self) -> String {
        self.principal().arn()
    }

    pub(crate) fn principal(&self) -> PrincipalRef<'_> {
        PrincipalRef { account: &self.account, user: self.user.as_ref().map(UserName::as_str) }
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
///
/// Operations that remove something, or change by what is decided, decide once more when they are at it: a permission that
/// is older than a lock is worth nothing against it.
#[derive(Debug, Clone)]
pub struct Access {
    operation: Operation,
    caller: Caller,
    account: AccountId,
    vault: Option<VaultName>,
    /// The life of the vault that was decided about; `None` when there was no such vault.
    number: Option<VaultNumber>,
    /// The archive whose age was looked at.
    archive: Option<ArchiveId>,
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

    /// Refuses another archive than the one whose age was looked at: a mistake of the program, too.
    pub(crate) fn is_about(&self, archive: Option<&ArchiveId>) -> Result<(), EngineError> {
        if self.archive.as_ref() == archive {
            return Ok(());
        }
        Err(EngineError::unexpected("checking the permission for an archive", &self))
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
        self.decided(caller, operation, resource, &ContextKeys::new()).await
    }

    /// Does what [`authorize`](Self::authorize) does for a request whose body has a say, too: the tags that it adds or removes.
    /// The operation itself decides by them once more, whatever `said` is.
    ///
    /// # Errors
    ///
    /// `AccessDenied`.
    pub async fn authorize_saying(
        &self,
        caller: &Caller,
        operation: Operation,
        resource: Resource<'_>,
        said: &ContextKeys,
    ) -> Result<Access, EngineError> {
        self.decided(caller, operation, resource, said).await
    }

    /// Tells how [`authorize`](Self::authorize) would decide, and by what.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn explain(
        &self,
        caller: &Caller,
        operation: Operation,
        resource: Resource<'_>,
    ) -> Result<Decision, EngineError> {
        Ok(self.decide(caller, operation, resource, &ContextKeys::new()).await?.0)
    }

    /// Decides once more, for an operation that is about to commit while the caller holds `deciding`, and finds the vault.
    /// `archive` is what it is going to remove; `said` what the request says beside its head.
    ///
    /// # Errors
    ///
    /// `AccessDenied`; `VaultNotFound`, also when there is another vault of that name by now.
    pub(crate) async fn decide_again(
        &self,
        access: &Access,
        operation: Operation,
        archive: Option<&ArchiveId>,
        said: &ContextKeys,
    ) -> Result<VaultRow, EngineError> {
        access.is_for(operation)?;
        let vault = Some(access.vault_name()?);
        let resource = Resource { account: &access.account, vault, archive };
        self.decided(&access.caller, operation, resource, said).await?;
        self.vault(access, operation).await
    }

    async fn decided(
        &self,
        caller: &Caller,
        operation: Operation,
        resource: Resource<'_>,
        said: &ContextKeys,
    ) -> Result<Access, EngineError> {
        let (decision, number) = self.decide(caller, operation, resource, said).await?;
        if !decision.allowed {
            let (principal, resource) = (caller.arn(), self.resource_arn(operation, resource));
            let action = operation.action();
            tracing::info!(%principal, action, %resource, %decision, "refused");
            return Err(EngineError::AccessDenied { principal, operation, resource });
        }
        Ok(Access {
            operation,
            caller: caller.clone(),
            account: resource.account.clone(),
            vault: resource.vault.cloned(),
            number,
            archive: resource.archive.cloned(),
        })
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

    /// Refuses when there was no vault to decide about. Every operation finds out by itself; this is for a caller that has to
    /// know before it looks at the rest of a request.
    ///
    /// # Errors
    ///
    /// `VaultNotFound`.
    pub fn check_vault(&self, access: &Access) -> Result<(), EngineError> {
        match access.number {
            Some(_) => Ok(()),
            None => Err(EngineError::VaultNotFound(self.vault_arn(access)?)),
        }
    }

    pub(crate) fn vault_arn(&self, access: &Access) -> Result<VaultArn, EngineError> {
        Ok(self.arn(&access.account, access.vault_name()?))
    }
}
