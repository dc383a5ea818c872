//! Which account the credentials belong to, and whether the service keeps upload tokens.
//!
//! A vault is known by its account, not by a key, so that new keys find the old catalog. No operation tells the account
//! itself, but every answer about a vault does: its ARN, or the text that says that there is none with that ARN. Whether
//! tokens are kept is told by an icefield server, which sends a token back that it was sent.

use http::{HeaderMap, Method};
use icefield_protocol::{AccountId, UploadToken, VaultArn, VaultDescription, VaultName};

use super::{VaultApi, call::Failed, identity, request::Request};
use crate::{
    catalog::{Catalog, CatalogError, Place},
    target::TargetError,
    transfer::blocking,
};

/// The header that carries a token, there and back.
const TOKEN: &str = "x-icefield-upload-token";

/// A vault that is asked for when none is named; whether there is one does not matter.
const ANY_VAULT: &str = "icefield";

/// What was learnt of a service.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) place: Place,
    pub(super) identity: String,
}

/// Learning failed.
#[derive(Debug, thiserror::Error)]
pub enum LearnError {
    /// The service was not reached, or refused.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The service did not tell.
    #[error("{0} does not tell which account the access key belongs to")]
    Untold(String),
}

impl VaultApi {
    /// Learns the account, from the catalog or with one request, and remembers it there.
    ///
    /// # Errors
    ///
    /// When there are no credentials, the service is not reached, or refuses without telling the account.
    pub async fn learn(
        &self,
        catalog: &Catalog,
        vault: Option<&VaultName>,
    ) -> Result<(), LearnError> {
        let key = self.credentials().await?.access_key_id().to_owned();
        let (endpoint, region) = (self.endpoint.clone(), self.region.to_string());
        let place = {
            let (catalog, key) = (catalog.clone(), key.clone());
            let (endpoint, region) = (endpoint.clone(), region.clone());
            blocking(move || catalog.place(&endpoint, &region, &key)).await?
        };
        let place = match place {
            Some(place) => place,
            None => {
                let asked = self.ask_account(vault).await?;
                let (catalog, place) = (catalog.clone(), asked.clone());
                blocking(move || catalog.record_place(&endpoint, &region, &key, &place)).await?;
                asked
            }
        };
        self.take_as(place);
        Ok(())
    }

    /// Takes what the catalog knows without asking anybody, if that is one account only.
    ///
    /// # Errors
    ///
    /// When the catalog fails. Blocks.
    pub fn recall(
        &self,
        catalog: &Catalog,
        access_key: Option<&str>,
    ) -> Result<Option<AccountId>, CatalogError> {
        let (endpoint, region) = (&self.endpoint, self.region.as_str());
        let exact = access_key.map(|key| catalog.place(endpoint, region, key)).transpose()?;
        let place = match exact.flatten() {
            Some(place) => Some(place),
            None => catalog.only_place(endpoint, region)?,
        };
        Ok(place.map(|place| {
            let account = place.account.clone();
            self.take_as(place);
            account
        }))
    }

    /// Returns the access key that requests are signed with.
    ///
    /// # Errors
    ///
    /// When there are no credentials.
    pub async fn access_key(&self) -> Result<String, TargetError> {
        Ok(self.credentials().await?.access_key_id().to_owned())
    }

    fn take_as(&self, place: Place) {
        let identity = identity(&self.endpoint, &self.region, Some(&place.account));
        // Who learns it a second time learns the same.
        drop(self.known.set(Known { place, identity }));
    }

    async fn ask_account(&self, vault: Option<&VaultName>) -> Result<Place, LearnError> {
        let any = VaultName::parse(ANY_VAULT).expect("the name is a vault's");
        let token = UploadToken::from_bytes([0; 16]);
        let mut request = Request::vault(Method::GET, vault.unwrap_or(&any), "");
        if !self.is_amazon {
            request = request.header(TOKEN, token);
        }
        let (account, keeps_tokens) = match self.try_call(&request).await {
            Ok(answer) => {
                let vault: Option<VaultDescription> = serde_json::from_slice(&answer.body).ok();
                (vault.map(|vault| vault.vault_arn.account), is_echoed(&answer.headers))
            }
            Err(Failed::Refused(refusal)) => match account_in(&refusal.message) {
                Some(account) => (Some(account), refusal.echoes_token),
                None => return Err(self.explained(refusal).into()),
            },
            Err(failed) => return Err(self.failed(failed).into()),
        };
        let account = account.ok_or_else(|| LearnError::Untold(self.endpoint.clone()))?;
        Ok(Place { account, keeps_tokens })
    }
}

/// Whether the service has sent the token back.
pub(super) fn is_echoed(headers: &HeaderMap) -> bool {
    headers.contains_key(TOKEN)
}

/// Finds the account in a text that names a vault by its ARN.
fn account_in(text: &str) -> Option<AccountId> {
    let starts = text.match_indices("arn:").map(|(at, _)| at);
    starts
        .filter_map(|at| {
            let end = text[at..].find(|c: char| c.is_whitespace() || matches!(c, '"' | ',' | ')'));
            let arn = &text[at..end.map_or(text.len(), |end| at + end)];
            arn.parse::<VaultArn>().ok().map(|arn| arn.account)
        })
        .next()
}

#[cfg(test)]
mod tests {
    use super::account_in;

    #[test]
    fn the_account_is_found_where_a_vault_is_named() {
        let account = |text| account_in(text).map(|account| account.to_string());
        let known = Some("012345678901".to_owned());
        assert_eq!(
            account("Vault not found for ARN: arn:aws:glacier:us-west-2:012345678901:vaults/x"),
            known
        );
        assert_eq!(
            account(
                "User: arn:aws:iam::999999999999:user/ann is not authorized to perform: glacier:DescribeVault on resource: arn:aws:glacier:us-east-1:012345678901:vaults/x because"
            ),
            known
        );
        assert_eq!(account("Access denied"), None);
    }
}
