//! What a decision is made from: the policies that have a say, and what is known about the request.
//!
//! All of it is read anew for each decision; nothing is remembered that could be out of date.

use icefield_protocol::{ArchiveId, Operation};
use icefield_store::{entry::VaultNumber, ledger::VaultRow};

use crate::{
    access::{Caller, Resource},
    account::UserDocument,
    engine::Engine,
    error::EngineError,
    policy::{ContextKeys, Decision, Policy, PolicyKind, PolicySet, Question, Reason, decide, key},
    vault_settings::VaultSettings,
};

const DAY_SECONDS: u64 = 24 * 60 * 60;

impl Engine {
    /// Decides, and names the vault that was decided about. `said` is what the request says beside its head.
    pub(crate) async fn decide(
        &self,
        caller: &Caller,
        operation: Operation,
        resource: Resource<'_>,
        said: &ContextKeys,
    ) -> Result<(Decision, Option<VaultNumber>), EngineError> {
        if operation.has_vault() != resource.vault.is_some() {
            return Err(EngineError::unexpected("deciding about a resource", &resource));
        }
        let refused = |by| Ok((Decision { allowed: false, by }, None));
        // Whatever policies say: these operations do not reach into another account.
        if operation.is_for_own_account() && caller.account != *resource.account {
            return refused(Reason::NoVaultAllow);
        }
        let user = match &caller.user {
            Some(user) => match self.user(&caller.account, user).await? {
                Some(document) => Some(document),
                // One that is gone has no rights, also where a vault still names it.
                None => return refused(Reason::NothingAllows),
            },
            None => None,
        };
        let vault = match resource.vault {
            // A vault has no say in being made ("Access Control").
            Some(_) if operation == Operation::CreateVault => None,
            Some(vault) => self.store().ledger().vault(resource.account, vault).await?,
            None => None,
        };
        let settings = match &vault {
            Some(vault) => self.vault_settings(vault.number).await?,
            None => VaultSettings::default(),
        };
        let keys = said.clone().and(&self.keys_of(caller, user.as_ref(), resource, &settings));
        let keys = match (&vault, resource.archive) {
            (Some(vault), Some(archive)) => self.with_age(keys, vault, archive).await?,
            _ => keys,
        };
        let question = Question {
            principal: caller.principal(),
            action: operation,
            resource: &self.resource_arn(operation, resource),
            owner: resource.account,
            keys: &keys,
        };
        let decision = self.ask(&question, user.as_ref(), vault.as_ref(), &settings);
        Ok((decision, vault.map(|vault| vault.number)))
    }

    fn ask(
        &self,
        question: &Question<'_>,
        user: Option<&UserDocument>,
        vault: Option<&VaultRow>,
        settings: &VaultSettings,
    ) -> Decision {
        let identity: Vec<(&str, Policy)> = user
            .into_iter()
            .flat_map(|user| &user.policies)
            .map(|(name, text)| (name.as_str(), in_force(text, PolicyKind::Identity)))
            .collect();
        let of_vault = |text: Option<&str>, kind: fn(_) -> PolicyKind| {
            Some(in_force(text?, kind(self.arn_of(vault?))))
        };
        let lock = settings.lock_at(self.now()).map(|lock| lock.policy.as_str());
        let access = of_vault(settings.access_policy.as_deref(), PolicyKind::VaultAccess);
        let lock = of_vault(lock, PolicyKind::VaultLock);
        let set = PolicySet {
            identity: identity.iter().map(|(name, policy)| (*name, policy)).collect(),
            access: access.as_ref(),
            lock: lock.as_ref(),
            lock_keys: Some(&self.by_compliance_clock(question.keys)),
        };
        decide(question, &set)
    }

    /// The same request at the time of the clock that nobody can set: a rule of a lock that names a date holds until
    /// both clocks have passed it.
    fn by_compliance_clock(&self, keys: &ContextKeys) -> ContextKeys {
        let time = self.compliance_time();
        let seconds = time.unix_millis().div_euclid(1000);
        keys.clone()
            .instead(key::CURRENT_TIME, time.to_seconds_string())
            .instead(key::EPOCH_TIME, seconds.to_string())
    }

    fn keys_of(
        &self,
        caller: &Caller,
        user: Option<&UserDocument>,
        resource: Resource<'_>,
        settings: &VaultSettings,
    ) -> ContextKeys {
        let now = self.now();
        let seconds = now.unix_millis().div_euclid(1000);
        let mut keys = ContextKeys::of_principal(&caller.principal())
            .and(&caller.context)
            .with(key::CURRENT_TIME, now.to_seconds_string())
            .with(key::EPOCH_TIME, seconds.to_string())
            .with(key::RESOURCE_ACCOUNT, resource.account.as_str())
            .with(key::REQUESTED_REGION, self.settings().region.as_str());
        if let Some(user) = user {
            keys = keys.with(key::USERID, user.number.to_string());
        }
        for (name, value) in &settings.tags {
            for prefix in [key::GLACIER_RESOURCE_TAG, key::RESOURCE_TAG] {
                keys = keys.with(&format!("{prefix}{name}"), value.as_str());
            }
        }
        keys
    }

    /// Adds the age of the archive, also of a deleted one that is still known. Of anything else there is no age.
    async fn with_age(
        &self,
        keys: ContextKeys,
        vault: &VaultRow,
        archive: &ArchiveId,
    ) -> Result<ContextKeys, EngineError> {
        let opened = self.ids().open_archive(archive.as_str());
        let Some(opened) = opened.filter(|opened| opened.vault == vault.number) else {
            return Ok(keys);
        };
        let row = self.store().ledger().archive(opened.number).await?;
        let Some(row) = row.filter(|row| row.seal == opened.seal) else {
            return Ok(keys);
        };
        let age = self.compliance_time().saturating_since(row.aged.unwrap_or(row.created));
        Ok(keys.with(key::ARCHIVE_AGE_IN_DAYS, (age.as_secs() / DAY_SECONDS).to_string()))
    }

    /// What policies name as the resource of an operation.
    pub(crate) fn resource_arn(&self, operation: Operation, resource: Resource<'_>) -> String {
        match (resource.vault, operation) {
            (Some(vault), _) => self.arn(resource.account, vault).to_string(),
            (None, Operation::GetDataRetrievalPolicy | Operation::SetDataRetrievalPolicy) => {
                let (region, account) = (&self.settings().region, resource.account);
                format!("arn:aws:glacier:{region}:{account}:policies/retrieval-limit-policy")
            }
            (None, _) => "*".to_owned(),
        }
    }
}

/// Reads a policy that is in force. One that cannot be read (any more) may forbid anything, so everything is forbidden.
fn in_force(text: &str, kind: PolicyKind) -> Policy {
    Policy::parse(text, kind.clone()).unwrap_or_else(|error| {
        tracing::error!(%error, ?kind, "a policy in force cannot be read, so everything is denied");
        let principal = if kind == PolicyKind::Identity { "" } else { r#""Principal":"*","# };
        let deny = format!(
            r#"{{"Statement":{{"Sid":"Unreadable","Effect":"Deny",{principal}"Action":"*","Resource":"*"}}}}"#
        );
        Policy::parse(&deny, kind).expect("every kind of policy can deny everything")
    })
}

#[cfg(test)]
mod tests {
    use super::in_force;
    use crate::policy::{
        ContextKeys, PolicyKind, PolicySet, PrincipalRef, Question, Reason, decide,
    };
    use icefield_protocol::{AccountId, Operation};

    #[test]
    fn a_policy_that_cannot_be_read_denies_everything() {
        let account = AccountId::parse("012345678901").unwrap();
        let arn = "arn:aws:glacier:local:012345678901:vaults/photos";
        let vault = || arn.parse().unwrap();
        let unreadable = |kind| in_force("{\"Statement\":[]", kind);
        let (identity, access, lock) = (
            unreadable(PolicyKind::Identity),
            unreadable(PolicyKind::VaultAccess(vault())),
            unreadable(PolicyKind::VaultLock(vault())),
        );
        for set in [
            PolicySet { identity: vec![("mine", &identity)], ..PolicySet::default() },
            PolicySet { access: Some(&access), ..PolicySet::default() },
            PolicySet { lock: Some(&lock), ..PolicySet::default() },
        ] {
            let question = Question {
                principal: PrincipalRef { account: &account, user: None },
                action: Operation::DeleteArchive,
                resource: arn,
                owner: &account,
                keys: &ContextKeys::new(),
            };
            let decision = decide(&question, &set);
            assert!(!decision.allowed && matches!(decision.by, Reason::Deny(_)), "{decision}");
        }
    }
}
