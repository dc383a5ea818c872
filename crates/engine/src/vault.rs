//! Vaults, and how old their inventory may be.
//!
//! What a vault tells about its contents is what its last inventory shows, as on the service ("Describe Vault (GET
//! vault)"). With an interval of zero an inventory is taken on every use. With another one it is taken at the first use
//! (reading or writing) after each multiple of the interval since the vault's creation: nothing can have happened to
//! the vault in between, so it shows what it would have shown at that moment, and nobody has to visit idle vaults.

use icefield_protocol::{Operation, Page, Timestamp, VaultArn, VaultDescription, limits};
use icefield_store::{
    Entry, Outcome,
    entry::VaultNumber,
    ledger::{ArchiveQuery, VaultRow},
};

use crate::{
    access::Access,
    engine::Engine,
    error::EngineError,
    page::{page_limit, page_of, read_marker},
    policy::ContextKeys,
};

impl Engine {
    /// Creates a vault; one that exists is left as it is.
    ///
    /// # Errors
    ///
    /// `VaultLimit` when the account has all the vaults it may have.
    pub async fn create_vault(&self, access: &Access) -> Result<(), EngineError> {
        access.is_for(Operation::CreateVault)?;
        let (account, vault) = (access.account(), access.vault_name()?);
        let _one_at_a_time = self.inner.creating.lock().await;
        let ledger = self.store().ledger();
        if ledger.vault(account, vault).await?.is_some() {
            return Ok(());
        }
        let limit = self.settings().vaults_per_account;
        let at_most = usize::try_from(limit).unwrap_or(usize::MAX);
        if ledger.vaults(account, None, at_most).await?.len() >= at_most {
            return Err(EngineError::VaultLimit(limit));
        }
        let entry = Entry::VaultCreated {
            vault: VaultNumber(self.store().next_number()),
            account: account.clone(),
            name: vault.clone(),
            created: self.now(),
        };
        match self.store().commit(entry, bytes::Bytes::new()).await?.0 {
            Outcome::Done { .. } | Outcome::VaultExists(_) => Ok(()),
            other => Err(EngineError::unexpected("creating a vault", &other)),
        }
    }

    /// Describes a vault.
    ///
    /// # Errors
    ///
    /// `VaultNotFound`.
    pub async fn describe_vault(&self, access: &Access) -> Result<VaultDescription, EngineError> {
        let row = self.vault(access, Operation::DescribeVault).await?;
        let row = self.with_inventory(row).await?;
        Ok(self.vault_description(&row))
    }

    /// Lists vaults in byte order of their names; the marker is the ARN of the first vault of the next page.
    ///
    /// # Errors
    ///
    /// `InvalidLimit` of zero; `InvalidMarker` when it is not the ARN of a vault of this account and region.
    pub async fn list_vaults(
        &self,
        access: &Access,
        marker: Option<&str>,
        limit: Option<u64>,
    ) -> Result<Page<VaultDescription>, EngineError> {
        access.is_for(Operation::ListVaults)?;
        let account = access.account();
        let limit = page_limit(limit, limits::LIST_VAULTS_LIMIT)?;
        let from = read_marker(marker, |text| {
            let arn: VaultArn = text.parse().ok()?;
            let ours = arn.account == *account && arn.region == self.settings().region;
            ours.then_some(arn.vault)
        })?;
        let rows = self.store().ledger().vaults(account, from.as_ref(), limit + 1).await?;
        let mut current = Vec::with_capacity(rows.len());
        for row in rows {
            current.push(self.with_inventory(row).await?);
        }
        page_of(
            current,
            limit,
            |row| Ok(self.arn_of(row).to_string()),
            |row| Ok(Some(self.vault_description(&row))),
        )
    }

    /// Deletes a vault, with its uploads and jobs; one that does not exist is fine.
    ///
    /// # Errors
    ///
    /// `AccessDenied`, also by a lock that came into force since the permission; `VaultNotEmpty` unless the last inventory lists no archive and nothing was written since.
    pub async fn delete_vault(&self, access: &Access) -> Result<(), EngineError> {
        let _decided_by_what_holds = self.inner.deciding.read().await;
        let delete = Operation::DeleteVault;
        let row = match self.decide_again(access, delete, None, &ContextKeys::new()).await {
            Err(EngineError::VaultNotFound(_)) => return Ok(()),
            found => found?,
        };
        let row = self.with_inventory(row).await?;
        let (archives, writes) =
            row.inventory.map_or((0, 0), |inventory| (inventory.archives, inventory.writes));
        let not_empty = || EngineError::VaultNotEmpty(self.arn_of(&row));
        if archives > 0 || writes != row.writes {
            return Err(not_empty());
        }
        let entry =
            Entry::VaultDeleted { vault: row.number, writes: row.writes, deleted: self.now() };
        match self.store().commit(entry, bytes::Bytes::new()).await?.0 {
            Outcome::Done { .. } | Outcome::VaultGone => Ok(()),
            Outcome::VaultChanged => Err(not_empty()),
            other => Err(EngineError::unexpected("deleting a vault", &other)),
        }
    }

    /// Takes the vault's inventory if it is time to.
    pub(crate) async fn with_inventory(&self, row: VaultRow) -> Result<VaultRow, EngineError> {
        let now = self.now();
        if !self.is_inventory_due(&row, now).await? {
            return Ok(row);
        }
        // Whether it is time was decided here, so the ledger need not look at the interval.
        let taken = self.store().ledger().take_inventory(row.number, now, 0).await?;
        taken.ok_or_else(|| EngineError::VaultNotFound(self.arn_of(&row)))
    }

    /// Before a write: an inventory that is due must not show it.
    pub(crate) async fn settle_inventory(&self, row: VaultRow) -> Result<VaultRow, EngineError> {
        // Taken on every use, it will be taken by whoever looks next.
        if self.settings().inventory_interval.is_zero() {
            return Ok(row);
        }
        self.with_inventory(row).await
    }

    async fn is_inventory_due(&self, row: &VaultRow, now: Timestamp) -> Result<bool, EngineError> {
        let shown = row.inventory.map_or(0, |inventory| inventory.writes);
        if row.writes == shown {
            return Ok(false);
        }
        let interval = self.settings().inventory_interval.as_millis();
        if interval == 0 {
            return Ok(true);
        }
        let period = |time: Timestamp| time.saturating_since(row.created).as_millis() / interval;
        let since = match row.inventory {
            Some(inventory) => inventory.date,
            None => self.any_write(row).await?.unwrap_or(row.created),
        };
        Ok(period(now) > period(since))
    }

    /// When one of the vault's archives was created, if any is left. While there is no inventory all of them are of one
    /// period: the first use of the next period takes one. So the first of the list will do; that of the first write may be
    /// deleted and forgotten, and who looks for it looks at every archive of the vault.
    async fn any_write(&self, row: &VaultRow) -> Result<Option<Timestamp>, EngineError> {
        let any = ArchiveQuery {
            vault: row.number,
            writes: row.writes,
            after: None,
            start: None,
            end: None,
            limit: 1,
        };
        let rows = self.store().ledger().archives(any).await?;
        Ok(rows.first().map(|archive| archive.created))
    }

    fn vault_description(&self, row: &VaultRow) -> VaultDescription {
        let (archives, bytes) =
            row.inventory.map_or((0, 0), |inventory| (inventory.archives, inventory.bytes));
        VaultDescription {
            creation_date: row.created,
            last_inventory_date: row.inventory.map(|inventory| inventory.date),
            number_of_archives: archives,
            size_in_bytes: bytes + archives * limits::ARCHIVE_OVERHEAD_BYTES,
            vault_arn: self.arn_of(row),
            vault_name: row.name.clone(),
        }
    }
}
